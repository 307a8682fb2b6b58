package memstore_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// roomy is for measuring where the bounds are not what is measured.
var roomy = memstore.Bounds{Entries: 1 << 40, Bytes: 2 << 30}

const (
	month    = 31 * 24 * time.Hour
	prepared = 65_000
)

// A crowd is a store with n live challenges and the meters of as many people.
type crowd struct {
	*memstore.Store
	n    int
	some []int // of the challenges, far apart
	now  time.Time
}

// newCrowd has always the same number of some, so that what a benchmark prepares
// for them is equally far away whatever n is. The first round of them differ, and
// so does any other.
func newCrowd(b *testing.B, n int) *crowd {
	c := &crowd{memstore.NewBounded(roomy), n, make([]int, prepared), start}
	fill(b, c.Store, n, 6)
	for i := range c.some {
		c.some[i] = int(uint64(i) * 2_654_435_761 % uint64(n))
	}
	return c
}

func (c *crowd) round() int { return min(c.n, prepared) }

func fill(b *testing.B, s *memstore.Store, n, nCharges int) {
	for i := range n {
		issue{record(i, start), charges(i, start)[:nCharges]}.to(b, s, start, 48*time.Hour)
	}
}

// An issue is what a service puts for one challenge.
type issue struct {
	r otp.Record
	c []otp.Charge
}

func (p issue) to(b *testing.B, s *memstore.Store, now time.Time, ttl time.Duration) {
	for i := range p.c {
		p.c[i].At = now
	}
	p.r.ExpiresAt = now.Add(ttl)
	out, err := s.PutCharged(b.Context(), p.r, p.c, now)
	if err != nil || !out.Applied {
		b.Fatal(out, err)
	}
}

// A thousand challenges fit into a processor's cache. Of a million each one is far
// away, and what a call costs then is mostly how often it waits for memory, 0.1 to
// 0.4 µs each time. x-of-1k is how many times as long it takes.
func BenchmarkStore(b *testing.B) {
	ofThousand := map[string]float64{}
	for _, n := range []int{1e3, 1e6} {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			c := newCrowd(b, n)
			for _, bb := range []struct {
				name string
				run  func(*crowd, *testing.B)
			}{
				{"Spend/wrong", (*crowd).spendWrong},
				{"Spend/right", (*crowd).spendRight},
				{"PutCharged/new", (*crowd).putNew},
				{"Prune", (*crowd).prune},
				{"PutCharged/known", (*crowd).putKnown},
			} {
				b.Run(bb.name, func(b *testing.B) {
					b.ReportAllocs()
					bb.run(c, b)
					ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
					if n == 1e3 {
						ofThousand[bb.name] = ns
					}
					if first := ofThousand[bb.name]; first > 0 {
						b.ReportMetric(ns/first, "x-of-1k")
					}
				})
			}
		})
	}
}

func (c *crowd) spendWrong(b *testing.B) {
	ids, wrong := make([]string, prepared), right(-1)
	for i, n := range c.some {
		ids[i] = name(n)
	}
	c.reissue(b, 1<<40)
	for i := 0; b.Loop(); i++ {
		if _, ok, err := c.Spend(b.Context(), ids[i%prepared], wrong, start); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func (c *crowd) spendRight(b *testing.B) {
	ids, digests := make([]string, prepared), make([][]byte, prepared)
	for i, n := range c.some {
		ids[i], digests[i] = name(n), right(n)
	}
	for i := 0; b.Loop(); i++ {
		if i%c.round() == 0 {
			b.StopTimer()
			c.reissue(b, 5)
			b.StartTimer()
		}
		rec, _, err := c.Spend(b.Context(), ids[i%prepared], digests[i%prepared], start)
		if err != nil || rec.State != otp.StateVerified {
			b.Fatal(rec, err)
		}
	}
}

// reissue puts new challenges over those of one round.
func (c *crowd) reissue(b *testing.B, attempts int) {
	for _, n := range c.some[:c.round()] {
		r := record(n, start)
		r.MaxAttempts = attempts
		if _, _, err := c.Cancel(b.Context(), r.ID, start); err != nil {
			b.Fatal(err)
		}
		issue{r, nil}.to(b, c.Store, start, 48*time.Hour)
	}
}

// Known people come back after a month: the store has their meters.
func (c *crowd) putKnown(b *testing.B) {
	known := make([]issue, prepared)
	for i, n := range c.some {
		known[i] = issue{record(n, start), charges(n, start)}
	}
	c.now = c.now.Add(month)
	for i := 0; b.Loop(); i++ {
		c.now = c.now.Add(month / time.Duration(c.round()))
		known[i%prepared].to(b, c.Store, c.now, time.Hour)
	}
	c.now = c.now.Add(month)
}

// New people take a new entry for each charge.
func (c *crowd) putNew(b *testing.B) {
	people := make([]issue, prepared)
	for i, n := range c.some {
		people[i] = issue{record(-1-n, start), charges(-1-n, start)}
	}
	leave := func(n int) {
		for _, p := range people[:n] {
			if err := c.GiveAll(b.Context(), p.c); err != nil {
				b.Fatal(err)
			}
		}
		c.forget(b, n)
	}
	there := 0
	for i := 0; b.Loop(); i++ {
		if there == c.round() {
			b.StopTimer()
			leave(there)
			there = 0
			b.StartTimer()
		}
		people[i%prepared].to(b, c.Store, start.Add(time.Hour), time.Hour)
		there++
	}
	leave(there)
}

// One operation is to forget a thousand expired records.
func (c *crowd) prune(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		for n := range 1000 {
			issue{record(-1-n, start), nil}.to(b, c.Store, start, time.Hour)
		}
		b.StartTimer()
		c.forget(b, 1000)
	}
}

// forget prunes so many that came after the crowd and go before it.
func (c *crowd) forget(b *testing.B, want int) {
	got, err := c.Prune(b.Context(), start.Add(2*time.Hour), 1<<40)
	if err != nil || got != want {
		b.Fatal(got, err)
	}
}

// How calls get in each other's way: with -cpu 1,2,… x-of-first is how many times as
// many are done as with the first number of processors.
func BenchmarkParallel(b *testing.B) {
	const people = 1 << 14
	for _, bb := range []struct {
		name string
		op   func(b *testing.B, s *memstore.Store, p issue, turn int)
	}{
		{"Spend", func(b *testing.B, s *memstore.Store, p issue, _ int) {
			if _, _, err := s.Spend(b.Context(), p.r.ID, p.r.Digests, start); err != nil {
				b.Error(err)
			}
		}},
		{"PutCharged", func(b *testing.B, s *memstore.Store, p issue, turn int) {
			p.c = append(make([]otp.Charge, 0, 6), p.c...)
			p.to(b, s, start.Add(time.Duration(turn+1)*month), time.Hour)
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			s, ps := memstore.NewBounded(roomy), make([]issue, people)
			fill(b, s, people, 6)
			for i := range ps {
				ps[i] = issue{record(i, start), charges(i, start)}
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := int(next.Add(1))
					bb.op(b, s, ps[n%people], n/people)
				}
			})
			if b.N == 1 {
				return // the trial run, on all processors
			}
			perSecond := float64(b.N) / b.Elapsed().Seconds()
			first, ok := firstThroughput[bb.name]
			if !ok || first.procs == runtime.GOMAXPROCS(0) {
				first = throughput{runtime.GOMAXPROCS(0), perSecond}
				firstThroughput[bb.name] = first
			}
			b.ReportMetric(perSecond/first.perSecond, "x-of-first")
		})
	}
}

type throughput struct {
	procs     int
	perSecond float64
}

// firstThroughput is kept from one number of processors to the next.
var firstThroughput = map[string]throughput{}

// What a million live challenges with four meters each take, against the payload
// of the records alone. S-87.
func BenchmarkMemory(b *testing.B) {
	const n = 1e6
	for b.Loop() {
		none := heap()
		s := memstore.NewBounded(roomy)
		fill(b, s, n, 4)
		each := float64(heap()-none) / n
		b.ReportMetric(each, "B/challenge")
		b.ReportMetric(each/float64(payload(record(0, start))), "x-payload")
		b.ReportMetric(float64(s.Used().Bytes)/n, "B-accounted")
	}
}

// heap is what is reachable.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
