package memstore_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// full returns a store at one of its bounds, with a record, a meter and a counter,
// of which the names are "record", "meter" and "counter".
func full(t *testing.T, by string) *memstore.Store {
	t.Helper()
	fillUp := func(s *memstore.Store) {
		r := record(1, start)
		r.ID, r.ExpiresAt = "record", start.Add(time.Hour)
		put(t, s, r, start)
		d, err := s.Take(t.Context(), "meter", 1, perHour, start)
		require.NoError(t, err)
		require.True(t, d.OK)
		_, err = s.Advance(t.Context(), "counter", 1)
		require.NoError(t, err)
	}
	measure := memstore.New()
	fillUp(measure)
	bounds := measure.Used()
	switch by {
	case "entries":
		bounds.Bytes = 0
	case "bytes":
		bounds.Entries = 0
	}
	s := memstore.NewBounded(bounds)
	fillUp(s)
	return s
}

// S-87: a lease is charged at its end, hours ahead. That makes no room of what is live till then.
func TestChargesAheadForgetNothing(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"entries", "bytes"} {
		ctx, s := t.Context(), full(t, by)
		perDay := []otp.Limit{{N: 10, Per: 24 * time.Hour}}
		_, err := s.Take(ctx, "lease", 1, perDay, start.Add(75*time.Minute))
		require.ErrorIs(t, err, memstore.ErrFull)
		_, err = s.Get(ctx, "record")
		require.NoError(t, err)
		_, err = s.Take(ctx, "lease", 1, perDay, start.Add(48*time.Hour))
		require.NoError(t, err, "by then all of it is over")
	}
}

// S-87: a full store refuses what is new and changes nothing. What it holds goes on
// working, even where that needs more bytes.
func TestFull(t *testing.T) {
	for _, by := range []string{"entries", "bytes"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			ctx, s := t.Context(), full(t, by)
			used := s.Used()
			refused := func(err error) {
				t.Helper()
				require.ErrorIs(t, err, memstore.ErrFull)
				require.Equal(t, used, s.Used())
			}
			_, _, err := s.Put(ctx, record(2, start), start)
			refused(err)
			_, err = s.Take(ctx, "new", 1, perHour, start)
			refused(err)
			_, err = s.Advance(ctx, "new", 1)
			refused(err)
			_, err = s.PutCharged(ctx, record(2, start), []otp.Charge{charge("meter", 1)}, start)
			refused(err)
			_, err = s.ReissueCharged(ctx, "record", right(2), 9, []otp.Charge{charge("meter", 1), charge("new", 1)}, start)
			refused(err)
			require.EqualValues(t, 1, left(t, s, "meter"))

			// What the store would refuse anyway is refused as ever.
			d, err := s.Take(ctx, "new", 3, perHour, start)
			require.NoError(t, err)
			require.False(t, d.OK)
			out, err := s.PutCharged(ctx, record(2, start), []otp.Charge{charge("meter", 2), charge("new", 1)}, start)
			require.NoError(t, err)
			require.NotNil(t, out.Refused)

			// Nothing of the store is held up.
			for i := range 2 {
				_, ok, err := s.Reissue(ctx, "record", right(i), 9, start)
				require.NoError(t, err)
				require.True(t, ok)
			}
			require.Greater(t, s.Used().Bytes, used.Bytes)
			used = s.Used()
			d, err = s.Take(ctx, "meter", 1, perHour, start.Add(time.Minute))
			require.NoError(t, err)
			require.True(t, d.OK)
			require.NoError(t, s.Give(ctx, "meter", 1, perHour, start))
			ok, err := s.Advance(ctx, "counter", 2)
			require.NoError(t, err)
			require.True(t, ok)
			rec, ok, err := s.Spend(ctx, "record", right(0), start)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, otp.StateVerified, rec.State)
			require.Equal(t, used, s.Used())
			_, err = s.Take(ctx, "new", 1, perHour, start)
			refused(err)

			// Giving everything back makes room.
			require.NoError(t, s.Give(ctx, "meter", 1, perHour, start.Add(time.Minute)))
			require.Equal(t, used.Entries-1, s.Used().Entries)
		})
	}
}

// A call that needs several entries gets all of them or none.
func TestNearlyFull(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memstore.NewBounded(memstore.Bounds{Entries: 6})
	_, err := s.PutCharged(ctx, record(1, start), charges(1, start), start) // seven
	require.ErrorIs(t, err, memstore.ErrFull)
	require.Zero(t, s.Used())
	out, err := s.PutCharged(ctx, record(1, start), charges(1, start)[:5], start)
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.EqualValues(t, 6, s.Used().Entries)
}

// S-87: what has expired makes room, in the order of nothing but time; what has not
// expired never does, used codes included.
func TestExpiredMakesRoom(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memstore.NewBounded(memstore.Bounds{Entries: 3})
	r := record(1, start)
	put(t, s, r, start)
	rec, _, err := s.Spend(ctx, r.ID, right(1), start)
	require.NoError(t, err)
	require.Equal(t, otp.StateVerified, rec.State)
	minute, hour := []otp.Limit{{N: 1, Per: time.Minute}}, []otp.Limit{{N: 1, Per: time.Hour}}
	for key, limits := range map[string][]otp.Limit{"minute": minute, "hour": hour} {
		_, err := s.Take(ctx, key, 1, limits, start)
		require.NoError(t, err)
	}
	forOne := func(n int, now time.Time, want error) {
		t.Helper()
		_, _, err := s.Put(ctx, record(n, start.Add(time.Hour)), now)
		require.ErrorIs(t, err, want)
	}
	forOne(2, forgettable(minute, start).Add(-1), memstore.ErrFull)
	forOne(2, forgettable(minute, start), nil)
	forOne(3, r.ExpiresAt.Add(-1), memstore.ErrFull)
	rec, err = s.Get(ctx, r.ID)
	require.NoError(t, err)
	require.Equal(t, otp.StateVerified, rec.State)
	forOne(3, r.ExpiresAt, nil)
	_, err = s.Get(ctx, r.ID)
	require.ErrorIs(t, err, otp.ErrNotFound)
	forOne(4, start.Add(time.Hour-1), memstore.ErrFull)
	d, err := s.Take(ctx, "hour", 1, hour, start.Add(time.Hour-1))
	require.NoError(t, err)
	require.False(t, d.OK)
}

// A large record may need the room of many expired entries.
func TestReclaimsEnough(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memstore.NewBounded(memstore.Bounds{Bytes: 96 * 1000})
	for n := 0; ; n++ {
		_, err := s.Take(ctx, name(n), 1, perHour, start)
		if err != nil {
			require.ErrorIs(t, err, memstore.ErrFull)
			break
		}
	}
	r := record(1, start)
	r.ID, r.Sealed, r.Digests = strings.Repeat("x", 128), make([]byte, 4<<10), make([]byte, otp.MaxDigests*otp.DigestSize)
	room := forgettable(perHour, start)
	_, err := s.PutCharged(ctx, r, charges(1, start), room.Add(-1))
	require.ErrorIs(t, err, memstore.ErrFull)
	out, err := s.PutCharged(ctx, r, charges(1, start), room)
	require.NoError(t, err)
	require.True(t, out.Applied)
}

// Bounds that are missing or make no sense are the default ones: there is no way to
// switch them off.
func TestDefaultBounds(t *testing.T) {
	bounds := memstore.Bounds{Entries: 1 << 20, Bytes: 256 << 20}
	large := record(0, start)
	large.Sealed = make([]byte, 4<<10)
	s := memstore.NewBounded(memstore.Bounds{Entries: -1, Bytes: -1})
	for n := 0; ; n++ {
		large.ID = name(n)
		if _, _, err := s.Put(t.Context(), large, start); err != nil {
			require.ErrorIs(t, err, memstore.ErrFull)
			break
		}
	}
	require.LessOrEqual(t, s.Used().Bytes, bounds.Bytes)
	require.Greater(t, s.Used().Bytes, bounds.Bytes-5<<10)

	if raceEnabled {
		return // a million calls more
	}
	s = memstore.New()
	for n := range bounds.Entries {
		_, err := s.Advance(t.Context(), name(int(n)), 1)
		require.NoError(t, err)
	}
	_, err := s.Advance(t.Context(), "one more", 1)
	require.ErrorIs(t, err, memstore.ErrFull)
}

// S-87: the bounds are exact, whoever comes at the same time.
func TestBoundUnderConcurrency(t *testing.T) {
	t.Parallel()
	const goroutines, each, entries = 64, 100, 7 * 500
	s := memstore.NewBounded(memstore.Bounds{Entries: entries})
	var applied atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				n := g*each + i
				out, err := s.PutCharged(t.Context(), record(n, start), charges(n, start), start)
				if out.Applied {
					applied.Add(1)
				} else {
					assert.ErrorIs(t, err, memstore.ErrFull)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, entries/7, applied.Load())
	require.EqualValues(t, entries, s.Used().Entries)
}

// S-87: a million strangers ask. The store stays as large as it may be, and nobody's
// limits are reset.
func TestMillionStrangers(t *testing.T) {
	strangers := int(1e6)
	if raceEnabled {
		strangers = 1e5 // each costs twenty times as much
	}
	bounds := memstore.Bounds{Entries: 1 << 40, Bytes: 4 << 20}
	once := []otp.Limit{{N: 1, Per: time.Hour}}
	before := heap()
	s := memstore.NewBounded(bounds)
	held := 0
	for n := range strangers {
		d, err := s.Take(t.Context(), name(n), 1, once, start.Add(time.Duration(n)*time.Millisecond))
		if err != nil {
			require.ErrorIs(t, err, memstore.ErrFull)
			continue
		}
		require.True(t, d.OK)
		require.Equal(t, held, n, "room appeared")
		held++
	}
	require.Greater(t, held, 25_000)
	require.LessOrEqual(t, s.Used().Bytes, bounds.Bytes)
	require.Less(t, heap()-before, bounds.Bytes+bounds.Bytes/50+1<<20)
	end := start.Add(time.Duration(strangers) * time.Millisecond)
	for n := range held {
		d, err := s.Take(t.Context(), name(n), 1, once, end)
		require.NoError(t, err)
		require.False(t, d.OK, "a limit was reset")
	}
	// When the window has passed, strangers get in again.
	d, err := s.Take(t.Context(), "new", 1, once, start.Add(2*time.Hour))
	require.NoError(t, err)
	require.True(t, d.OK)
}
