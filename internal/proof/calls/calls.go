// Package calls holds what tests of several stores have in common: random calls that are
// compared with those of a memstore, and what must not be in a dump.
package calls

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// A Store is what is compared.
type Store interface {
	otp.ChargingStore
	otp.CounterStore
	otp.CredentialStore
}

// Options are what [Same] is told.
type Options struct {
	Steps int // how many calls

	// Giving is set for a store that charges and gives back where others do neither. That leaves
	// a meter remembering for longer what other limits were charged on the same key, so each key
	// has limits of its own, and clocks differ by less.
	Giving bool

	// After, if it is set, is called after each call, with what must still be kept.
	After func(Kept)
}

// Kept is until when the records and meters of a store must be kept, by ID and key. Calls
// have the time Now, charges are up to a minute away from it.
type Kept struct {
	Now             time.Time
	Records, Meters map[string]time.Time
}

// Same makes the same random calls to a store and to a memstore, whose methods are those of
// otp.Record and otp.Meter, and requires that every answer is the same. OTP_SEED repeats
// them.
func Same(t *testing.T, s Store, o Options) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if given := os.Getenv("OTP_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("OTP_SEED=%d", seed)
	m := &model{Store: memstore.New(), meters: map[string]otp.Meter{}}
	c := &calls{giving: o.Giving, r: random{seed}, now: time.Date(2026, 5, 4, 3, 2, 1, 1000, time.UTC)}
	applied := 0
	for i := range o.Steps {
		call := c.next()
		want, got := call.on(t.Context(), m), call.on(t.Context(), s)
		require.Equal(t, want, got, "OTP_SEED=%d, call %d: %s", seed, i, call.what)
		if strings.Contains(want, "true") {
			applied++
		}
		if o.After != nil {
			k := m.kept(t.Context(), c.now)
			if o.Giving {
				// A charge that is ahead forgets what has expired by its time, even if it is given back.
				maps.DeleteFunc(k.Meters, func(_ string, until time.Time) bool { return !until.After(c.now.Add(time.Minute)) })
			}
			o.After(k)
		}
	}
	require.Greater(t, applied, o.Steps/10, "nearly everything was refused: this compares nothing")
}

// A model is a memstore, and the meters that it must have.
type model struct {
	*memstore.Store
	meters map[string]otp.Meter
}

func (m *model) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	d, err := m.Store.Take(ctx, key, cost, limits, now)
	m.charge([]otp.Charge{{Key: key, Cost: cost, Limits: limits, At: now}}, otp.Outcome{Applied: d.OK})
	return d, err
}

func (m *model) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	out, err := m.Store.PutCharged(ctx, r, c, now)
	m.charge(c, out)
	return out, err
}

func (m *model) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	out, err := m.Store.ReissueCharged(ctx, id, digest, live, c, now)
	m.charge(c, out)
	return out, err
}

func (m *model) GiveAll(ctx context.Context, c []otp.Charge) error {
	for _, charge := range c {
		m.meters[charge.Key] = m.meters[charge.Key].Give(charge.Cost, charge.Limits, charge.At)
	}
	return m.Store.GiveAll(ctx, c)
}

func (m *model) charge(c []otp.Charge, out otp.Outcome) {
	for _, charge := range c {
		if out.Applied && (!charge.Silent || out.Refused == nil) {
			m.meters[charge.Key], _ = m.meters[charge.Key].Take(charge.Cost, charge.Limits, charge.At)
		}
	}
}

func (m *model) kept(ctx context.Context, now time.Time) Kept {
	k := Kept{Now: now, Records: map[string]time.Time{}, Meters: map[string]time.Time{}}
	for _, id := range ids {
		if r, err := m.Get(ctx, id); err == nil && r.ExpiresAt.After(now) {
			k.Records[id] = r.ExpiresAt
		}
	}
	for key, meter := range m.meters {
		if until := meter.Expires(); until.After(now) {
			k.Meters[key] = until
		}
	}
	return k
}

// A random is a source that a seed repeats. Nothing secret is made of it. (splitmix64)
type random struct{ state uint64 }

func (r *random) Uint64() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) Int64N(n int64) int64 { return int64(r.Uint64() % uint64(n)) }

func (r *random) IntN(n int) int { return int(r.Int64N(int64(n))) }

// calls make up calls on few records and keys, so that they meet.
type calls struct {
	r      random
	now    time.Time
	giving bool
}

type call struct {
	what string
	on   func(context.Context, Store) string
}

func (c *calls) digest() []byte { return bytes.Repeat([]byte{byte(c.r.IntN(3))}, otp.DigestSize) }

func (c *calls) digests(most int) []byte {
	var d []byte
	for range c.r.IntN(most + 1) {
		d = append(d, c.digest()...)
	}
	return d
}

func (c *calls) credentials() []byte { return bytes.Repeat([]byte{0, 7}, c.r.IntN(3)) }

var ids = []string{"id0", "id1", "id2", "id3", "id4", "id5"}

func (c *calls) id() string { return ids[c.r.IntN(len(ids))] }

// at is a time near now: processes have clocks of their own, and what is given back was
// taken before.
func (c *calls) at() time.Time {
	switch c.r.IntN(4) {
	case 0:
		apart := time.Minute
		if c.giving {
			apart /= 2
		}
		return c.now.Add(time.Duration(c.r.Int64N(int64(2*apart))) - apart)
	case 1:
		return c.now.Add(-time.Duration(c.r.IntN(30)) * time.Second)
	}
	return c.now
}

// limits are of every kind: exact, rounded, without a window, mixed, and such as can
// never be charged.
var limits = [][]otp.Limit{
	{{N: 4, Per: time.Minute}},
	{{N: 3, Per: time.Minute}, {N: 6, Per: time.Hour}},
	{{N: 9}},
	{{N: 100, Per: time.Minute}},
	{{N: 200, Per: time.Hour}, {N: 70, Per: 90 * time.Second}},
	{{N: 5, Per: 100*time.Millisecond + 1}, {N: 40}, {N: 30}},
	{{N: 300, Per: 24 * time.Hour}, {N: 1000, Per: 30 * 24 * time.Hour}, {N: 500}},
	{{N: 1 << 50, Per: time.Hour}},
	{{N: 1<<50 + 1, Per: time.Hour}},
	{{N: 3, Per: -time.Hour}},
	{{N: -3, Per: time.Hour}},
	{},
}

func (c *calls) charge() otp.Charge {
	key := c.r.IntN(12)
	charge := otp.Charge{
		Key: fmt.Sprintf("k%d", key), Cost: c.r.Int64N(4), Silent: c.r.IntN(3) == 0, At: c.at(),
	}
	const usual = 7
	n := usual
	if c.r.IntN(10) == 0 {
		n = len(limits)
		charge.Cost = []int64{-1, 40, 1 << 49, 1 << 50, 1<<50 + 1}[c.r.IntN(5)]
	}
	charge.Limits = limits[c.r.IntN(n)]
	if c.giving {
		charge.Limits = slices.Clone(limits[key%usual])
		for i, l := range charge.Limits {
			if l.Per > 0 && l.Per < time.Minute { // what is ahead by more forgets, even if it is given back
				charge.Limits[i].Per += time.Minute
			}
		}
	}
	return charge
}

func (c *calls) charges() []otp.Charge {
	var list []otp.Charge
	for i := range c.r.IntN(5) {
		charge := c.charge()
		charge.Scope = fmt.Sprint("scope", i)
		list = append(list, charge)
	}
	return list
}

func (c *calls) record() otp.Record {
	return otp.Record{
		ID: c.id(), Digests: c.digests(3), Sealed: bytes.Repeat([]byte{0, 1, byte(c.r.IntN(256))}, c.r.IntN(200)),
		State: otp.StatePending, MaxAttempts: 1 + c.r.IntN(4), Sends: c.r.IntN(2), MaxSends: 1 + c.r.IntN(3),
		CreatedAt: c.now, SentAt: c.now, ExpiresAt: c.now.Add(time.Duration(c.r.IntN(300)) * time.Second),
	}
}

func (c *calls) next() call {
	if c.r.IntN(3) == 0 {
		steps := []int64{1, 1000, 1e6, 1e9, 20e9, 600e9, 4e12}
		c.now = c.now.Add(time.Duration(c.r.Int64N(steps[c.r.IntN(len(steps))]))).Truncate(time.Duration(1 + c.r.IntN(2)*999))
	}
	now, id := c.now, c.id()
	switch c.r.IntN(15) {
	case 0, 1:
		r, charges := c.record(), c.charges()
		return call{fmt.Sprintf("PutCharged %v %v", r, charges), func(ctx context.Context, s Store) string {
			out, err := s.PutCharged(ctx, r, charges, now)
			return answer(out, err)
		}}
	case 2:
		r := c.record()
		return call{fmt.Sprintf("Put %v", r), func(ctx context.Context, s Store) string {
			rec, applied, err := s.Put(ctx, r, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 3:
		digest, live := c.digests(1), c.r.IntN(4)
		return call{fmt.Sprintf("Reissue %s %d %d", id, digest, live), func(ctx context.Context, s Store) string {
			rec, applied, err := s.Reissue(ctx, id, digest, live, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 4:
		digest, live, charges := c.digests(1), c.r.IntN(4), c.charges()
		return call{fmt.Sprintf("ReissueCharged %s %d %d %v", id, digest, live, charges), func(ctx context.Context, s Store) string {
			out, err := s.ReissueCharged(ctx, id, digest, live, charges, now)
			return answer(out, err)
		}}
	case 5, 6:
		candidates := c.digests(6)
		return call{fmt.Sprintf("Spend %s %d", id, candidates), func(ctx context.Context, s Store) string {
			rec, applied, err := s.Spend(ctx, id, candidates, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 7:
		if c.r.IntN(3) > 0 {
			return call{"Get " + id, func(ctx context.Context, s Store) string {
				rec, err := s.Get(ctx, id)
				return answer(otp.Outcome{Record: rec}, err)
			}}
		}
		return call{"Cancel " + id, func(ctx context.Context, s Store) string {
			rec, applied, err := s.Cancel(ctx, id, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 8, 9, 10, 11:
		charge := c.charge()
		return call{fmt.Sprintf("Take %v", charge), func(ctx context.Context, s Store) string {
			d, err := s.Take(ctx, charge.Key, charge.Cost, charge.Limits, charge.At)
			return fmt.Sprint(d, err)
		}}
	case 12:
		charges := c.charges()
		for i := range charges {
			charges[i].Cost += int64(c.r.IntN(2) * 10) // to clear it
		}
		return call{fmt.Sprintf("GiveAll %v", charges), func(ctx context.Context, s Store) string {
			return fmt.Sprint(s.GiveAll(ctx, charges))
		}}
	case 13:
		old, value := c.credentials(), c.credentials()
		return call{fmt.Sprintf("SwapCredentials %s %q %q", id, old, value), func(ctx context.Context, s Store) string {
			applied, err := s.SwapCredentials(ctx, id, old, value, time.Time{})
			held, err2 := s.LoadCredentials(ctx, id)
			return fmt.Sprintf("%t %q %v %v", applied, held, err, err2)
		}}
	default:
		n := c.r.Uint64() >> c.r.IntN(64)
		return call{fmt.Sprintf("Advance %s %d", id, n), func(ctx context.Context, s Store) string {
			applied, err := s.Advance(ctx, id, n)
			return fmt.Sprint(applied, err)
		}}
	}
}

// answer is the same for nil and empty slices.
func answer(out otp.Outcome, err error) string {
	r := out.Record
	return fmt.Sprintf("%q %x %x state=%d %d/%d %d/%d %d %d %d applied=%t refused=%v %v", r.ID, r.Digests, r.Sealed, r.State,
		r.Attempts, r.MaxAttempts, r.Sends, r.MaxSends, r.CreatedAt.UnixMicro(), r.SentAt.UnixMicro(), r.ExpiresAt.UnixMicro(),
		out.Applied, out.Refused, err)
}
