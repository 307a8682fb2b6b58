package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"otp.example/otp"
)

// Benchmark measures the calls that a service makes: a request (PutCharged with six
// charges), a wrong answer (Spend), a right one (Spend and GiveAll) and a limit of its
// own (Take), each from one goroutine and from several. The names are the same for every
// store, so that benchstat can compare them.
func Benchmark(b *testing.B, newStore func(t testing.TB) otp.ChargingStore) {
	for _, m := range []struct {
		name string
		make func(context.Context, otp.ChargingStore) measured
	}{
		{"PutCharged", func(ctx context.Context, s otp.ChargingStore) measured {
			return measured{do: func(int) error {
				r := newRecord(now)
				out, err := s.PutCharged(ctx, r, sixCharges(r.ID), now)
				return must(out.Applied, err)
			}}
		}},
		{"SpendWrong", func(ctx context.Context, s otp.ChargingStore) measured {
			// On many records, as wrong answers come from many people.
			var ids [crowd]string
			wrong := newDigest()
			return measured{
				prepare: func(int) error {
					return together(crowd, func(i int) error {
						r := newRecord(now)
						r.MaxAttempts = 1 << 30
						ids[i] = r.ID
						_, applied, err := s.Put(ctx, r, now)
						return must(applied, err)
					})
				},
				do: func(i int) error {
					_, applied, err := s.Spend(ctx, ids[i%crowd], wrong, now)
					return must(applied, err)
				},
			}
		}},
		{"SpendRightGiveAll", func(ctx context.Context, s otp.ChargingStore) measured {
			var all []otp.Record
			return measured{
				prepare: func(n int) error {
					all = make([]otp.Record, n)
					var next atomic.Int64
					return together(min(n, crowd), func(int) error {
						for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
							all[i] = newRecord(now)
							out, err := s.PutCharged(ctx, all[i], sixCharges(all[i].ID), now)
							if err := must(out.Applied, err); err != nil {
								return err
							}
						}
						return nil
					})
				},
				do: func(i int) error {
					r := &all[i]
					_, applied, err := s.Spend(ctx, r.ID, r.Digests, now)
					if err := must(applied, err); err != nil {
						return err
					}
					return s.GiveAll(ctx, sixCharges(r.ID)[4:]) // the guesses
				},
			}
		}},
		{"Take", func(ctx context.Context, s otp.ChargingStore) measured {
			return measured{do: func(int) error {
				d, err := s.Take(ctx, newName(), 1, sendLimits, now)
				return must(d.OK, err)
			}}
		}},
	} {
		b.Run(m.name, func(b *testing.B) {
			b.Run("serial", func(b *testing.B) { m.make(b.Context(), newStore(b)).run(b, serial) })
			b.Run("parallel", func(b *testing.B) { m.make(b.Context(), newStore(b)).run(b, parallel) })
		})
	}
}

// must keeps a store that refuses from being measured as a fast one.
func must(applied bool, err error) error {
	if err == nil && !applied {
		return errors.New("a call was refused that should be applied; is it a store that RunCharging passes?")
	}
	return err
}

// sendLimits and guessLimits are the defaults of a service.
var (
	sendLimits  = []otp.Limit{{N: 1, Per: 30 * time.Second}, {N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: day}}
	guessLimits = []otp.Limit{{N: 20_000, Per: day}, {N: 80_000, Per: 30 * day}, {N: 100_000}}
)

// sixCharges is what a request with a subject and a client costs.
func sixCharges(id string) []otp.Charge {
	charge := func(scope, key string, cost int64, limits []otp.Limit) otp.Charge {
		return otp.Charge{Scope: scope, Key: key + id, Cost: cost, Limits: limits, At: now}
	}
	return []otp.Charge{
		charge("client", "c", 1, sendLimits[2:]),
		charge("recipient", "r", 1, sendLimits),
		charge("subject", "s", 1, sendLimits[1:]),
		charge("client", "h", 1, sendLimits[3:]),
		charge("guesses", "g", 5_000, guessLimits),
		charge("guesses", "d", 5_000, guessLimits),
	}
}

// A measured is a call that is numbered from zero, and what it needs.
type measured struct {
	prepare func(n int) error // for so many calls
	do      func(i int) error
}

const (
	serial   = false
	parallel = true
)

// run makes b.N calls. It does not use b.Loop, since what is prepared depends on how
// many there will be.
func (m measured) run(b *testing.B, parallel bool) {
	b.ReportAllocs()
	if m.prepare != nil {
		if err := m.prepare(b.N); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	if parallel {
		var next atomic.Int64
		var once sync.Once
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := m.do(int(next.Add(1) - 1)); err != nil {
					once.Do(func() { b.Error(err) })
				}
			}
		})
		return
	}
	for i := 0; i < b.N; i++ {
		if err := m.do(i); err != nil {
			b.Fatal(err)
		}
	}
}
