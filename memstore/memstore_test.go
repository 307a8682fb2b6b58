package memstore_test

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func put(t *testing.T, s *memstore.Store, r otp.Record, now time.Time) {
	t.Helper()
	_, ok, err := s.Put(t.Context(), r, now)
	require.NoError(t, err)
	require.True(t, ok)
}

// What comes in comes out: no field, length or time is special.
func TestRoundTrip(t *testing.T) {
	plain := record(1, start)
	for name, change := range map[string]func(*otp.Record){
		"plain":            func(*otp.Record) {},
		"no digests":       func(r *otp.Record) { r.Digests = nil },
		"nothing sealed":   func(r *otp.Record) { r.Sealed = nil },
		"neither":          func(r *otp.Record) { r.Digests, r.Sealed = nil, nil },
		"several digests":  func(r *otp.Record) { r.Digests = append(right(2), right(3)...) },
		"the most digests": func(r *otp.Record) { r.Digests = bytes.Repeat(right(2), otp.MaxDigests) },
		"the most sealed":  func(r *otp.Record) { r.Sealed = make([]byte, 4<<10) },
		"the shortest ID":  func(r *otp.Record) { r.ID = "x" },
		"the longest ID":   func(r *otp.Record) { r.ID = strings.Repeat("y", 128) },
		"zero times":       func(r *otp.Record) { r.CreatedAt, r.SentAt, r.ExpiresAt = time.Time{}, time.Time{}, time.Time{} },
		"times before":     func(r *otp.Record) { r.SentAt = r.CreatedAt.Add(-time.Hour) },
		"all counted":      func(r *otp.Record) { r.Attempts, r.MaxAttempts, r.Sends, r.MaxSends = 300, 301, 302, 303 },
		"absurdly counted": func(r *otp.Record) { r.Attempts, r.MaxAttempts = math.MaxInt, math.MinInt },
		"verified":         func(r *otp.Record) { r.State = otp.StateVerified },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, r := memstore.New(), plain
			change(&r)
			rec, ok, err := s.Put(t.Context(), r, start)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, r, rec)
			got, err := s.Get(t.Context(), r.ID)
			require.NoError(t, err)
			require.Equal(t, r, got)
		})
	}
}

func TestTimesAreUTCMicroseconds(t *testing.T) {
	t.Parallel()
	s, r := memstore.New(), record(1, start)
	zone := time.FixedZone("east", 3600)
	r.CreatedAt, r.SentAt, r.ExpiresAt = start.Add(999).In(zone), start.Add(1999), r.ExpiresAt.Add(1)
	got, _, err := s.Put(t.Context(), r, start)
	require.NoError(t, err)
	require.Equal(t, start, got.CreatedAt)
	require.Equal(t, start.Add(time.Microsecond), got.SentAt)
	got, ok, err := s.Reissue(t.Context(), r.ID, right(2), 2, start.Add(time.Second+1).In(zone))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, start.Add(time.Second), got.SentAt)
}

// S-33: valid at t < exp, invalid at t = exp, with nothing pruned.
func TestExpiryIsExact(t *testing.T) {
	t.Parallel()
	r := record(1, start)
	for _, tt := range []struct {
		after time.Duration
		want  bool
	}{{-1, true}, {0, false}, {1, false}} {
		s := memstore.New()
		put(t, s, r, start)
		now := r.ExpiresAt.Add(tt.after)
		rec, ok, err := s.Spend(t.Context(), r.ID, right(1), now)
		require.NoError(t, err)
		require.Equal(t, tt.want, ok)
		require.Equal(t, tt.want, rec.State == otp.StateVerified)
	}
}

func TestNotFound(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	put(t, s, record(1, start), start)
	_, err := s.Take(t.Context(), name(2), 1, sendLimits, start) // a meter is no record
	require.NoError(t, err)
	for _, id := range []string{"", name(2), strings.Repeat("x", 1<<20)} {
		_, err := s.Get(t.Context(), id)
		require.ErrorIs(t, err, otp.ErrNotFound)
		_, _, err = s.Spend(t.Context(), id, right(1), start)
		require.ErrorIs(t, err, otp.ErrNotFound)
		_, _, err = s.Cancel(t.Context(), id, start)
		require.ErrorIs(t, err, otp.ErrNotFound)
		_, _, err = s.Reissue(t.Context(), id, right(1), 2, start)
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
}

// S-87: lengths are checked first, the error names the field and nothing is stored.
func TestBadArguments(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	with := func(change func(*otp.Record)) otp.Record {
		r := record(1, start)
		change(&r)
		return r
	}
	long := strings.Repeat("k", 129)
	for _, tt := range []struct {
		want string
		call func(s *memstore.Store) error
	}{
		{"record ID empty", func(s *memstore.Store) error {
			_, _, err := s.Put(ctx, with(func(r *otp.Record) { r.ID = "" }), start)
			return err
		}},
		{"record ID longer", func(s *memstore.Store) error {
			_, _, err := s.Put(ctx, with(func(r *otp.Record) { r.ID = long }), start)
			return err
		}},
		{"record Sealed longer", func(s *memstore.Store) error {
			_, _, err := s.Put(ctx, with(func(r *otp.Record) { r.Sealed = make([]byte, 4<<10+1) }), start)
			return err
		}},
		{"record Digests not", func(s *memstore.Store) error {
			_, _, err := s.Put(ctx, with(func(r *otp.Record) { r.Digests = make([]byte, 33) }), start)
			return err
		}},
		{"record Digests longer", func(s *memstore.Store) error {
			_, _, err := s.Put(ctx, with(func(r *otp.Record) { r.Digests = make([]byte, (otp.MaxDigests+1)*otp.DigestSize) }), start)
			return err
		}},
		{"key longer", func(s *memstore.Store) error {
			_, err := s.PutCharged(ctx, record(1, start), []otp.Charge{{Key: long, Cost: 1, Limits: sendLimits, At: start}}, start)
			return err
		}},
		{"key longer", func(s *memstore.Store) error {
			_, err := s.Take(ctx, long, 1, sendLimits, start)
			return err
		}},
		{"key longer", func(s *memstore.Store) error { return s.Give(ctx, long, 1, sendLimits, start) }},
		{"key longer", func(s *memstore.Store) error {
			return s.GiveAll(ctx, []otp.Charge{{Key: long, Cost: 1, Limits: sendLimits, At: start}})
		}},
		{"key longer", func(s *memstore.Store) error {
			_, err := s.Advance(ctx, long, 1)
			return err
		}},
		{"digest not", func(s *memstore.Store) error {
			_, _, err := s.Reissue(ctx, name(1), []byte("short"), 2, start)
			return err
		}},
		{"live negative", func(s *memstore.Store) error {
			_, _, err := s.Reissue(ctx, name(1), right(1), -1, start)
			return err
		}},
	} {
		s := memstore.New()
		require.ErrorContains(t, tt.call(s), "memstore: "+tt.want)
		require.Zero(t, s.Used())
	}
}

// Reissue keeps as many codes as there can be, however many are asked for.
func TestReissueWithAbsurdLive(t *testing.T) {
	t.Parallel()
	s, r := memstore.New(), record(1, start)
	r.MaxSends = 1000
	put(t, s, r, start)
	for i := range 200 {
		got, ok, err := s.Reissue(t.Context(), r.ID, right(i), math.MaxInt, start)
		require.NoError(t, err)
		require.True(t, ok)
		require.Len(t, got.Digests, min(i+2, otp.MaxDigests)*otp.DigestSize)
		require.Equal(t, right(i), got.Digests[len(got.Digests)-otp.DigestSize:])
	}
}

// The caller's slices stay the caller's, and what is returned becomes the caller's.
func TestSharesNoMemory(t *testing.T) {
	t.Parallel()
	s, want := memstore.New(), record(1, start)
	want.MaxAttempts, want.MaxSends = 100, 100
	scribble := func(r otp.Record) {
		for _, b := range [][]byte{r.Digests, r.Sealed} {
			for i := range b[:cap(b)] {
				b[:cap(b)][i] ^= 0xff
			}
		}
	}
	r := record(1, start)
	r.MaxAttempts, r.MaxSends = 100, 100
	put(t, s, r, start)
	scribble(r)
	digest := right(2)
	for name, call := range map[string]func() (otp.Record, error){
		"Put":   func() (otp.Record, error) { r, _, err := s.Put(t.Context(), record(1, start), start); return r, err },
		"Get":   func() (otp.Record, error) { return s.Get(t.Context(), want.ID) },
		"Spend": func() (otp.Record, error) { r, _, err := s.Spend(t.Context(), want.ID, right(9), start); return r, err },
		"Reissue": func() (otp.Record, error) {
			r, _, err := s.Reissue(t.Context(), want.ID, digest, 2, start)
			clear(digest)
			copy(digest, right(2))
			return r, err
		},
	} {
		before, err := s.Get(t.Context(), want.ID)
		require.NoError(t, err, name)
		got, err := call()
		require.NoError(t, err, name)
		after, err := s.Get(t.Context(), want.ID)
		require.NoError(t, err, name)
		require.Equal(t, after, got, name)
		require.Equal(t, before.Sealed, after.Sealed, name)
		scribble(got)
		again, err := s.Get(t.Context(), want.ID)
		require.NoError(t, err, name)
		require.Equal(t, after, again, name)
	}
}

func TestCanceledContext(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	put(t, s, record(1, start), start)
	_, err := s.Take(t.Context(), "key", 1, sendLimits, start)
	require.NoError(t, err)
	_, err = s.Advance(t.Context(), "counter", 1)
	require.NoError(t, err)
	used := s.Used()
	want, err := s.Get(t.Context(), name(1))
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := charges(1, start)
	for name, call := range map[string]func() error{
		"Put":            func() error { _, _, err := s.Put(ctx, record(2, start), start); return err },
		"Get":            func() error { _, err := s.Get(ctx, want.ID); return err },
		"Spend":          func() error { _, _, err := s.Spend(ctx, want.ID, right(1), start); return err },
		"Reissue":        func() error { _, _, err := s.Reissue(ctx, want.ID, right(2), 2, start); return err },
		"Cancel":         func() error { _, _, err := s.Cancel(ctx, want.ID, start); return err },
		"PutCharged":     func() error { _, err := s.PutCharged(ctx, record(2, start), c, start); return err },
		"ReissueCharged": func() error { _, err := s.ReissueCharged(ctx, want.ID, right(2), 2, c, start); return err },
		"Take":           func() error { _, err := s.Take(ctx, "key", 1, sendLimits, start); return err },
		"Give":           func() error { return s.Give(ctx, "key", 1, sendLimits, start) },
		"GiveAll": func() error {
			return s.GiveAll(ctx, []otp.Charge{{Key: "key", Cost: 1, Limits: sendLimits, At: start}})
		},
		"Advance": func() error { _, err := s.Advance(ctx, "counter", 2); return err },
		"Prune":   func() error { _, err := s.Prune(ctx, start.Add(1e6*time.Hour), 100); return err },
	} {
		require.ErrorIs(t, call(), context.Canceled, name)
		require.Equal(t, used, s.Used(), name)
		got, err := s.Get(t.Context(), want.ID)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	d, err := s.Take(t.Context(), "key", 1, []otp.Limit{{N: 1, Per: time.Hour}}, start)
	require.NoError(t, err)
	require.False(t, d.OK, "Give gave")
	ok, err := s.Advance(t.Context(), "counter", 2)
	require.NoError(t, err)
	require.True(t, ok, "Advance advanced")
}

func TestAdvance(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	for _, tt := range []struct {
		key     string
		counter uint64
		want    bool
	}{
		{"a", 0, true},
		{"a", 0, false},
		{"a", 7, true},
		{"a", 7, false},
		{"a", 6, false},
		{"b", 3, true},
		{"a", 8, true},
		{"a", math.MaxUint64, true},
		{"a", 9, false},
	} {
		got, err := s.Advance(t.Context(), tt.key, tt.counter)
		require.NoError(t, err)
		require.Equal(t, tt.want, got, tt)
	}
	// Counters are never forgotten.
	n, err := s.Prune(t.Context(), start.Add(1e6*time.Hour), 100)
	require.NoError(t, err)
	require.Zero(t, n)
	require.EqualValues(t, 2, s.Used().Entries)
}

// A model of the store, as simple as can be.
type model struct {
	records  map[string]otp.Record
	meters   map[string]otp.Meter
	counters map[string]uint64
	taken    map[string]time.Time // when the last Take was
}

// Random calls, with keys of all lengths that hash tables and cells have to deal
// with, do what they do to plain maps.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		s, m := memstore.New(), model{map[string]otp.Record{}, map[string]otp.Meter{}, map[string]uint64{}, map[string]time.Time{}}
		ctx, now := t.Context(), start
		key := func() string {
			k := name(rnd.IntN(300))
			return strings.Repeat(k, 3)[:1+(int(k[0])*7+int(k[1]))%128]
		}
		limits := []otp.Limit{{N: 4, Per: time.Minute}, {N: 9, Per: time.Hour}, {N: 30}}
		for range 10_000 {
			now = now.Add(time.Duration(rnd.IntN(5)) * time.Second)
			id, n := key(), rnd.IntN(300)
			old, had := m.records[id]
			want, wantErr := old, error(nil)
			if !had {
				wantErr = otp.ErrNotFound
			}
			var got otp.Record
			var ok, wantOK bool
			var err error
			switch rnd.IntN(10) {
			case 0, 1:
				r := record(n, now)
				r.ID, r.Sealed = id, r.Sealed[:rnd.IntN(len(r.Sealed))+1]
				wantErr = nil
				if wantOK = !old.Live(now); wantOK {
					want = r
				}
				got, ok, err = s.Put(ctx, r, now)
			case 2:
				if had {
					wantOK = want.Spend(right(n), now)
				}
				got, ok, err = s.Spend(ctx, id, right(n), now)
			case 3:
				if had {
					wantOK = want.Reissue(right(n), 3, now)
				}
				got, ok, err = s.Reissue(ctx, id, right(n), 3, now)
			case 4:
				if had {
					wantOK = want.Cancel(now)
				}
				got, ok, err = s.Cancel(ctx, id, now)
			case 5, 6:
				charged, d := m.meters[id].Take(2, limits, now)
				if d.OK {
					m.meters[id], m.taken[id] = charged, now
				}
				gotD, err := s.Take(ctx, id, 2, limits, now)
				require.NoError(t, err)
				require.Equal(t, d, gotD)
				continue
			case 7:
				cost, at := int64(2+rnd.IntN(2)*28), m.taken[id] // or all of it
				m.meters[id] = m.meters[id].Give(cost, limits, at)
				require.NoError(t, s.Give(ctx, id, cost, limits, at))
				continue
			case 8:
				c := uint64(rnd.IntN(100))
				last, had := m.counters[id]
				want := !had || c > last
				if want {
					m.counters[id] = c
				}
				ok, err := s.Advance(ctx, id, c)
				require.NoError(t, err)
				require.Equal(t, want, ok)
				continue
			default:
				gone, before := 0, now.Add(-time.Minute)
				for id, r := range m.records {
					if !r.ExpiresAt.After(before) {
						delete(m.records, id)
						gone++
					}
				}
				for key, meter := range m.meters {
					if at := meter.Expires(); at.IsZero() {
						delete(m.meters, key) // the store has forgotten it when it became empty
					} else if !at.After(before) {
						delete(m.meters, key)
						gone++
					}
				}
				n, err := s.Prune(ctx, before, 1000)
				require.NoError(t, err)
				require.Equal(t, gone, n)
				require.EqualValues(t, len(m.records)+len(m.meters)+len(m.counters), s.Used().Entries)
				continue
			}
			require.ErrorIs(t, err, wantErr)
			require.Equal(t, want, got)
			require.Equal(t, wantOK, ok)
			if err == nil {
				m.records[id] = want
			}
		}
	}
}
