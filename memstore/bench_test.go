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

// sizes are numbers of live challenges. A thousand fit into a processor's cache. Of
// a million each one is far away, and what an operation costs then is mostly how
// often it waits for memory, 0.1 to 0.3 µs each time.
var sizes = []int{1e3, 1e6}

const (
	month    = 31 * 24 * time.Hour
	prepared = 65_000
)

// crowded runs f on a store of each size, whose challenges have so many charges,
// and compares the times. It gives f the numbers of challenges that lie far apart.
// The first round of them are different, and so are as many from any other on; they
// are always 65000, so that what f prepares for them is equally far away.
func crowded(b *testing.B, nCharges int, f func(b *testing.B, s *memstore.Store, some []int, round int)) {
	var first float64
	for _, n := range sizes {
		b.Run(fmt.Sprint("n=", n), func(b *testing.B) {
			s := memstore.NewBounded(roomy)
			fill(b, s, n, nCharges)
			some := make([]int, prepared)
			for i := range some {
				some[i] = int(uint64(i) * 2_654_435_761 % uint64(n))
			}
			b.ReportAllocs()
			f(b, s, some, min(n, prepared))
			ns := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			if n == sizes[0] {
				first = ns
			}
			if first > 0 {
				b.ReportMetric(ns/first, "x-of-1k")
			}
		})
	}
}

func fill(b *testing.B, s *memstore.Store, n, nCharges int) {
	for i := range n {
		issue{record(i, start), charges(i, start)[:nCharges]}.to(b, s, start, 48*time.Hour)
	}
}

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

func unclocked(b *testing.B, f func()) {
	b.StopTimer()
	f()
	b.StartTimer()
}

func BenchmarkSpend(b *testing.B) {
	for _, bb := range []struct {
		name     string
		digest   func(i int) []byte
		attempts int
	}{
		{"wrong", func(int) []byte { return right(-1) }, 1 << 40},
		{"right", right, 1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			crowded(b, 4, func(b *testing.B, s *memstore.Store, some []int, round int) {
				ids, digests := make([]string, len(some)), make([][]byte, len(some))
				for i, n := range some {
					ids[i], digests[i] = name(n), bb.digest(n)
				}
				issue := func() {
					for _, n := range some[:round] {
						r := record(n, start)
						r.MaxAttempts = bb.attempts
						_, _, _ = s.Cancel(b.Context(), r.ID, start)
						issue{r, nil}.to(b, s, start, time.Hour)
					}
				}
				issue()
				for i := 0; b.Loop(); i++ {
					if i > 0 && i%round == 0 && bb.attempts == 1 {
						unclocked(b, issue)
					}
					_, ok, err := s.Spend(b.Context(), ids[i%len(ids)], digests[i%len(ids)], start)
					if !ok || err != nil {
						b.Fatal(ok, err)
					}
				}
			})
		})
	}
}

// Known people come back after a month: the store has their meters. New ones take
// a new entry for each charge.
func BenchmarkPutCharged(b *testing.B) {
	b.Run("known", func(b *testing.B) {
		crowded(b, 6, func(b *testing.B, s *memstore.Store, some []int, round int) {
			ps := make([]issue, len(some))
			for i, n := range some {
				ps[i] = issue{record(n, start), charges(n, start)}
			}
			now := start.Add(month)
			for i := 0; b.Loop(); i++ {
				ps[i%len(ps)].to(b, s, now, time.Hour)
				now = now.Add(month / time.Duration(round))
			}
		})
	})
	b.Run("new", func(b *testing.B) {
		crowded(b, 6, func(b *testing.B, s *memstore.Store, some []int, round int) {
			ps := newcomers(some)
			for i := 0; b.Loop(); i++ {
				if i > 0 && i%round == 0 {
					unclocked(b, func() { leave(b, s, ps[:round]) })
				}
				ps[i%len(ps)].to(b, s, start.Add(time.Hour), time.Hour)
			}
		})
	})
}

// newcomers are people of whom the store knows nothing.
func newcomers(some []int) []issue {
	ps := make([]issue, len(some))
	for i, n := range some {
		ps[i] = issue{record(-1-n, start), charges(-1-n, start)}
	}
	return ps
}

// leave forgets newcomers.
func leave(b *testing.B, s *memstore.Store, ps []issue) {
	for _, p := range ps {
		if err := s.GiveAll(b.Context(), p.c); err != nil {
			b.Fatal(err)
		}
	}
	prune(b, s, len(ps))
}

func prune(b *testing.B, s *memstore.Store, want int) {
	got, err := s.Prune(b.Context(), start.Add(24*time.Hour-1), 1<<40)
	if err != nil || got != want {
		b.Fatal(got, err)
	}
}

// One operation is to forget a thousand expired records.
func BenchmarkPrune(b *testing.B) {
	crowded(b, 4, func(b *testing.B, s *memstore.Store, some []int, _ int) {
		ps := newcomers(some[:1000])
		for b.Loop() {
			unclocked(b, func() {
				for _, p := range ps {
					issue{p.r, nil}.to(b, s, start, time.Hour)
				}
			})
			prune(b, s, len(ps))
		}
	})
}

// How calls get in each other's way: with -cpu 1,2 it compares.
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
			issue{p.r, append(make([]otp.Charge, 0, 6), p.c...)}.to(b, s, start.Add(time.Duration(turn+1)*month), time.Hour)
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
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
		})
	}
}

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
