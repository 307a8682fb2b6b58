package memstore_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// atOnce runs f in 64 goroutines.
func atOnce(f func(g int)) {
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() { f(g) })
	}
	wg.Wait()
}

// noError is for goroutines, where require must not be used.
func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// S-22 FM-05: of 64 right answers at once, one is accepted.
func TestSpendOnce(t *testing.T) {
	t.Parallel()
	const records = 1000
	s := memstore.New()
	for i := range records {
		r := record(i, start)
		r.MaxAttempts = 1000
		put(t, s, r, start)
	}
	var verified [records]atomic.Int64
	atOnce(func(int) {
		for i := range records {
			rec, ok, err := s.Spend(t.Context(), name(i), right(i), start)
			noError(t, err)
			assert.Equal(t, otp.StateVerified, rec.State)
			assert.Equal(t, 1, rec.Attempts)
			if ok {
				verified[i].Add(1)
			}
		}
	})
	for i := range verified {
		require.EqualValues(t, 1, verified[i].Load())
	}
}

// S-23 FM-07: no more answers are compared than MaxAttempts.
func TestAttemptsBound(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	put(t, s, record(1, start), start)
	var applied atomic.Int64
	atOnce(func(int) {
		for range 100 {
			rec, ok, err := s.Spend(t.Context(), name(1), right(2), start)
			noError(t, err)
			assert.Equal(t, otp.StatePending, rec.State)
			if ok {
				applied.Add(1)
			}
		}
	})
	require.EqualValues(t, 5, applied.Load())
	rec, ok, err := s.Spend(t.Context(), name(1), right(1), start)
	require.NoError(t, err)
	require.False(t, ok)
	require.Equal(t, 5, rec.Attempts)
}

// Of everybody who puts at once, exactly as many are admitted as the limit has room
// for, to whatever other keys they charge.
func TestChargedWindowBound(t *testing.T) {
	t.Parallel()
	const room = 64 // the most that is exact in time too
	s, limits := memstore.New(), []otp.Limit{{N: room, Per: time.Hour}}
	var applied atomic.Int64
	atOnce(func(g int) {
		for i := range 20 {
			n := g*20 + i
			c := append(charges(n, start), otp.Charge{Scope: "prefix", Key: "shared", Cost: 1, Limits: limits, At: start})
			out, err := s.PutCharged(t.Context(), record(n, start), c, start)
			noError(t, err)
			if out.Applied {
				applied.Add(1)
			} else {
				assert.Equal(t, &otp.Refusal{Scope: "prefix", RetryAfter: time.Hour}, out.Refused)
			}
		}
	})
	require.EqualValues(t, room, applied.Load())
	require.EqualValues(t, room*7+1, s.Used().Entries, "a refused put charged another key")
}

// Charges over many shards, refusals, silent refusals and gifts at once: at the end
// each meter holds what was applied, no more and no less. Prune runs among them.
func TestAllOrNone(t *testing.T) {
	t.Parallel()
	const keys, n = 16, 150
	limits := []otp.Limit{{N: n}}
	s := memstore.New()
	var made [keys]atomic.Int64
	atOnce(func(g int) {
		rnd := rand.New(rand.NewPCG(uint64(g), 0))
		for i := range 50 {
			r := record(g*1000+i, start)
			c := make([]otp.Charge, 1+rnd.IntN(6))
			for j := range c {
				k := rnd.IntN(keys)
				c[j] = otp.Charge{Scope: string(rune(k)), Key: name(k), Cost: 1, Limits: limits, At: start, Silent: j > 2}
			}
			var out otp.Outcome
			var err error
			if rnd.IntN(4) > 0 {
				out, err = s.PutCharged(t.Context(), r, c, start)
			} else {
				_, _, err = s.Put(t.Context(), r, start)
				noError(t, err)
				out, err = s.ReissueCharged(t.Context(), r.ID, right(1), 2, c, start)
			}
			noError(t, err)
			given := rnd.IntN(4) == 0 && out.Applied && out.Refused == nil
			if given {
				noError(t, s.GiveAll(t.Context(), c))
			}
			for _, one := range c {
				if out.Applied && !given && (out.Refused == nil || !one.Silent) {
					made[[]rune(one.Scope)[0]].Add(1)
				}
			}
			if i%10 == 0 {
				_, err := s.Prune(t.Context(), start.Add(-time.Hour), 100)
				noError(t, err)
			}
		}
	})
	some := false
	for k := range keys {
		rest := n - made[k].Load()
		some = some || rest == 0
		for _, cost := range []int64{rest + 1, rest} {
			d, err := s.Take(t.Context(), name(k), cost, limits, start)
			require.NoError(t, err)
			require.Equal(t, cost == rest, d.OK, "key %d: %d of %d left", k, rest, n)
		}
	}
	require.True(t, some, "no limit was reached")
}

// Everything at once on few keys, for the race detector and for deadlocks. The
// store is tiny, so that it is full most of the time and entries come and go.
func TestMixedUse(t *testing.T) {
	t.Parallel()
	s := memstore.NewBounded(memstore.Bounds{Entries: 300})
	var clock atomic.Int64
	atOnce(func(g int) {
		rnd, ctx := rand.New(rand.NewPCG(uint64(g), 1)), t.Context()
		for range 200 {
			now := start.Add(time.Duration(clock.Add(1)) * time.Second)
			n := rnd.IntN(100)
			r := record(n, now)
			switch rnd.IntN(7) {
			case 0:
				_, _, _ = s.Spend(ctx, r.ID, right(n), now)
			case 1:
				_, _, _ = s.Cancel(ctx, r.ID, now)
			case 2:
				_, _ = s.ReissueCharged(ctx, r.ID, right(n+1), 2, charges(n, now), now)
			case 3:
				_ = s.GiveAll(ctx, charges(n, now.Add(-time.Second)))
			case 4:
				_, _ = s.Prune(ctx, now.Add(-time.Hour), 10)
			default:
				got, err := s.PutCharged(ctx, r, charges(n, now), now)
				if err == nil && got.Applied {
					assert.Equal(t, r, got.Record)
				}
			}
		}
	})
	require.LessOrEqual(t, s.Used().Entries, int64(300))
	_, err := s.Prune(t.Context(), start.Add(1e6*time.Hour), 1<<30)
	require.NoError(t, err)
	require.Zero(t, s.Used())
}
