package memstore_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func prunes(t *testing.T, s *memstore.Store, before time.Time, limit, want int) {
	t.Helper()
	n, err := s.Prune(t.Context(), before, limit)
	require.NoError(t, err)
	require.Equal(t, want, n)
}

func TestPrune(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	for i := range 1000 {
		put(t, s, record(i, start.Add(time.Duration(i)*time.Second)), start)
	}
	first := record(0, start).ExpiresAt
	prunes(t, s, first.Add(-1), 100, 0)
	prunes(t, s, first, 0, 0)
	prunes(t, s, first, -1, 0)
	prunes(t, s, first, 100, 1)
	prunes(t, s, first, 100, 0)
	prunes(t, s, first.Add(499*time.Second), 100, 100)
	prunes(t, s, first.Add(499*time.Second), 1000, 399)
	require.EqualValues(t, 500, s.Used().Entries)
	for i := range 1000 {
		_, err := s.Get(t.Context(), name(i))
		if i < 500 {
			require.ErrorIs(t, err, otp.ErrNotFound)
		} else {
			require.NoError(t, err)
		}
	}
	prunes(t, s, start.Add(1e6*time.Hour), math.MaxInt, 500)
	require.Zero(t, s.Used())
}

// More of one shard than it is locked for at a time.
func TestPruneMany(t *testing.T) {
	t.Parallel()
	s, n := memstore.New(), 100_000
	for i := range n {
		d, err := s.Take(t.Context(), name(i), 1, perHour, start)
		require.NoError(t, err)
		require.True(t, d.OK)
	}
	prunes(t, s, forgettable(perHour, start), n-1, n-1)
	prunes(t, s, forgettable(perHour, start), n, 1)
	require.Zero(t, s.Used())
}

// A meter goes when nothing in it can refuse any more: later than first planned if
// it was charged again, earlier if it was given back.
func TestPruneMeters(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memstore.New()
	take := func(key string, limits []otp.Limit, at time.Time) {
		d, err := s.Take(ctx, key, 1, limits, at)
		require.NoError(t, err)
		require.True(t, d.OK)
	}
	streak := []otp.Limit{{N: 5, Per: time.Hour}, {N: 5}}
	const week = 7 * 24 * time.Hour

	again := start.Add(30 * time.Minute)
	take("again", perHour, start)
	take("again", perHour, again)
	prunes(t, s, forgettable(perHour, again).Add(-1), 9, 0)
	prunes(t, s, forgettable(perHour, again), 9, 1)

	take("streak", streak, start)
	prunes(t, s, start.Add(52*week), 9, 0)
	require.NoError(t, s.Give(ctx, "streak", 1, streak[1:], start))
	prunes(t, s, forgettable(streak[:1], start).Add(-1), 9, 0)
	prunes(t, s, forgettable(streak[:1], start), 9, 1)

	take("streak", streak, start)
	require.NoError(t, s.Give(ctx, "streak", 1, streak, start))
	require.Zero(t, s.Used(), "an empty meter is forgotten at once")
}

// A record that was put over goes by the time of the new one.
func TestPruneAfterPutOver(t *testing.T) {
	t.Parallel()
	for _, ttl := range []time.Duration{time.Minute, time.Hour} {
		s, r := memstore.New(), record(1, start)
		put(t, s, r, start)
		_, _, err := s.Cancel(t.Context(), r.ID, start)
		require.NoError(t, err)
		r.ExpiresAt = start.Add(ttl)
		put(t, s, r, start)
		prunes(t, s, r.ExpiresAt.Add(-1), 9, 0)
		prunes(t, s, r.ExpiresAt, 9, 1)
	}
}

// S-87: the cost of Prune is that of what has expired. A thousand calls that find
// nothing take less time than to make the entries that they pass over. A machine that is
// busy may stop at any time, so the best of several rounds counts.
func TestPruneLooksAtNothingElse(t *testing.T) {
	s, began := memstore.New(), time.Now()
	for i := range 100_000 {
		_, err := s.Take(t.Context(), name(i), 1, perHour, start)
		require.NoError(t, err)
	}
	filled, best := time.Since(began), time.Duration(math.MaxInt64)
	for range 10 {
		began = time.Now()
		for range 1000 {
			prunes(t, s, start.Add(time.Hour-1), math.MaxInt, 0)
		}
		if best = min(best, time.Since(began)); best < filled {
			return
		}
	}
	t.Errorf("%v, and %v to make the entries", best, filled)
}
