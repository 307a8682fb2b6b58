package memstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

var perHour = []otp.Limit{{N: 2, Per: time.Hour}}

func charge(key string, cost int64) otp.Charge {
	return otp.Charge{Scope: "scope of " + key, Key: key, Cost: cost, Limits: perHour, At: start}
}

func silent(key string, cost int64) otp.Charge {
	c := charge(key, cost)
	c.Silent = true
	return c
}

// left is how much of perHour a key has left.
func left(t *testing.T, s *memstore.Store, key string) int64 {
	t.Helper()
	n := int64(0)
	for {
		d, err := s.Take(t.Context(), key, 1, perHour, start)
		require.NoError(t, err)
		if !d.OK {
			break
		}
		n++
	}
	for range n {
		require.NoError(t, s.Give(t.Context(), key, 1, perHour, start))
	}
	return n
}

// The table that [otp.Charge.Silent] and [otp.Outcome] make together, for both
// calls: "full" is a key with nothing left, "half" has one left, others two.
func TestCharged(t *testing.T) {
	for _, tt := range []struct {
		name    string
		charges []otp.Charge
		live    bool // what Put must find, or Reissue must not
		applied bool
		digests bool
		refused string
		left    map[string]int64
	}{
		{name: "no charges", applied: true, digests: true},
		{
			name: "room for all", charges: []otp.Charge{charge("a", 1), charge("half", 1), silent("b", 2)},
			applied: true, digests: true, left: map[string]int64{"a": 1, "half": 0, "b": 0},
		},
		{
			name: "one refuses", charges: []otp.Charge{charge("a", 1), charge("full", 1), charge("b", 1), silent("c", 1)},
			refused: "full", left: map[string]int64{"a": 2, "b": 2, "c": 2},
		},
		{
			name: "two refuse", charges: []otp.Charge{charge("a", 3), charge("full", 1)},
			refused: "a", left: map[string]int64{"a": 2},
		},
		{
			name: "a silent one refuses", charges: []otp.Charge{silent("a", 1), silent("full", 1), charge("b", 1), silent("c", 1)},
			applied: true, refused: "full", left: map[string]int64{"a": 2, "b": 1, "c": 2},
		},
		{
			name: "the other wins over the silent one", charges: []otp.Charge{silent("full", 1), charge("a", 3), charge("b", 1)},
			refused: "a", left: map[string]int64{"a": 2, "b": 2},
		},
		{
			name: "one key twice", charges: []otp.Charge{charge("a", 1), charge("a", 1)},
			applied: true, digests: true, left: map[string]int64{"a": 0},
		},
		{
			name: "one key too often", charges: []otp.Charge{charge("b", 1), charge("half", 1), charge("half", 1)},
			refused: "half", left: map[string]int64{"half": 1, "b": 2},
		},
		{
			name: "one key, then silently too often", charges: []otp.Charge{silent("half", 1), charge("half", 1), silent("b", 1)},
			applied: true, refused: "half", left: map[string]int64{"half": 0, "b": 2},
		},
		{
			name: "a cost of nothing", charges: []otp.Charge{charge("a", 0), charge("full", 0)},
			applied: true, digests: true, left: map[string]int64{"a": 2, "full": 0},
		},
		{
			name: "the record wins over a refusal", charges: []otp.Charge{charge("a", 1), charge("full", 1)},
			live: true, left: map[string]int64{"a": 2},
		},
		{
			name: "the record wins over room", charges: []otp.Charge{charge("a", 1), silent("b", 1)},
			live: true, left: map[string]int64{"a": 2, "b": 2},
		},
	} {
		prepare := func(t *testing.T) *memstore.Store {
			s := memstore.New()
			for _, c := range []otp.Charge{charge("full", 2), charge("half", 1)} {
				d, err := s.Take(t.Context(), c.Key, c.Cost, c.Limits, start)
				require.NoError(t, err)
				require.True(t, d.OK)
			}
			return s
		}
		check := func(t *testing.T, s *memstore.Store, out otp.Outcome, want otp.Record) {
			require.Equal(t, tt.applied, out.Applied)
			if tt.refused == "" {
				require.Nil(t, out.Refused)
			} else {
				require.NotNil(t, out.Refused)
				require.Equal(t, "scope of "+tt.refused, out.Refused.Scope)
				if tt.refused == "full" {
					require.Equal(t, time.Hour, out.Refused.RetryAfter)
				}
			}
			require.Equal(t, want, out.Record)
			if want.ID != "" {
				got, err := s.Get(t.Context(), want.ID)
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			for key, n := range tt.left {
				require.Equal(t, n, left(t, s, key), key)
			}
		}
		t.Run("put/"+tt.name, func(t *testing.T) {
			t.Parallel()
			s, r := prepare(t), record(1, start)
			want := otp.Record{}
			if tt.live {
				put(t, s, r, start)
				want, r.Sealed = r, []byte("another")
			}
			if tt.applied {
				want = r
			}
			if !tt.live && !tt.digests {
				want.Digests = nil
			}
			out, err := s.PutCharged(t.Context(), r, tt.charges, start)
			require.NoError(t, err)
			check(t, s, out, want)
		})
		t.Run("reissue/"+tt.name, func(t *testing.T) {
			t.Parallel()
			s, r := prepare(t), record(1, start)
			if tt.live { // for Reissue what wins is a record that has ended
				r.Sends = r.MaxSends
			}
			put(t, s, r, start)
			now := start.Add(time.Second)
			want := r
			if tt.applied {
				want.Sends, want.SentAt = 2, now
			}
			if tt.digests {
				want.Digests = append(right(1), right(2)...)
			}
			out, err := s.ReissueCharged(t.Context(), r.ID, right(2), 2, tt.charges, now)
			require.NoError(t, err)
			check(t, s, out, want)
		})
	}
}

// A dead record is put over; when that is refused, it is what there is.
func TestPutOverDeadRecord(t *testing.T) {
	t.Parallel()
	s, dead := memstore.New(), record(1, start)
	put(t, s, dead, start)
	now := dead.ExpiresAt
	r := record(1, now)
	r.Sealed = []byte("new")
	out, err := s.PutCharged(t.Context(), r, []otp.Charge{charge("a", 3)}, now)
	require.NoError(t, err)
	require.False(t, out.Applied)
	require.Equal(t, dead, out.Record)
	require.NotNil(t, out.Refused)

	out, err = s.PutCharged(t.Context(), r, []otp.Charge{charge("a", 1)}, now)
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.Equal(t, r, out.Record)
	require.EqualValues(t, 2, s.Used().Entries)
}

func TestReissueChargedNotFound(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	_, err := s.ReissueCharged(t.Context(), name(1), right(1), 2, []otp.Charge{charge("a", 1)}, start)
	require.ErrorIs(t, err, otp.ErrNotFound)
	require.Zero(t, s.Used())
}

// More charges than a call has room for without allocating, with keys in all shards.
func TestManyCharges(t *testing.T) {
	t.Parallel()
	s, n := memstore.New(), 1000
	var c []otp.Charge
	for i := range n {
		c = append(c, charge(fmt.Sprint("key ", i%(n/2)), 1))
	}
	out, err := s.PutCharged(t.Context(), record(1, start), c, start)
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.EqualValues(t, 1+n/2, s.Used().Entries)
	out, err = s.PutCharged(t.Context(), record(2, start), append(c[:n/2:n/2], charge("new", 1)), start)
	require.NoError(t, err)
	require.Equal(t, "scope of key 0", out.Refused.Scope)
	require.EqualValues(t, 1+n/2, s.Used().Entries)

	require.NoError(t, s.GiveAll(t.Context(), c))
	require.EqualValues(t, 1, s.Used().Entries, "empty meters are forgotten")
}

// Each charge is made at its own time, and given back at it.
func TestChargesAtTheirOwnTime(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	early, late := charge("a", 1), charge("a", 1)
	late.At = start.Add(30 * time.Minute)
	out, err := s.PutCharged(t.Context(), record(1, start), []otp.Charge{early, late}, late.At)
	require.NoError(t, err)
	require.True(t, out.Applied)
	d, err := s.Take(t.Context(), "a", 1, perHour, late.At)
	require.NoError(t, err)
	require.Equal(t, otp.Decision{RetryAfter: 30 * time.Minute}, d)
	require.NoError(t, s.GiveAll(t.Context(), []otp.Charge{early}))
	d, err = s.Take(t.Context(), "a", 1, perHour, late.At)
	require.NoError(t, err)
	require.True(t, d.OK)
	d, err = s.Take(t.Context(), "a", 1, perHour, late.At)
	require.NoError(t, err)
	require.Equal(t, otp.Decision{RetryAfter: time.Hour}, d, "what was given back was the early one")
}

// What gives nothing back leaves meters as they are, also those that share a shard's
// memory while they are read.
func TestGiveAllOfNothing(t *testing.T) {
	t.Parallel()
	ctx, s := t.Context(), memstore.New()
	limits := []otp.Limit{{N: 16, Per: time.Hour}}
	none := make([]otp.Charge, 1000)
	for i := range none {
		none[i] = otp.Charge{Key: name(i), Limits: limits, At: start}
		for j := range 8 + i%8 { // of more than one cell
			d, err := s.Take(ctx, name(i), 1, limits, start.Add(time.Duration(j)*time.Second))
			require.NoError(t, err)
			require.True(t, d.OK)
		}
	}
	require.NoError(t, s.GiveAll(ctx, none))
	for i := range none {
		has := int64(16 - 8 - i%8)
		d, err := s.Take(ctx, name(i), has+1, limits, start.Add(time.Minute))
		require.NoError(t, err)
		require.False(t, d.OK, i)
		d, err = s.Take(ctx, name(i), has, limits, start.Add(time.Minute))
		require.NoError(t, err)
		require.True(t, d.OK, i)
	}
}
