package sqlstore_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/sqlstore"
)

// TestSameAsMemory makes the same random calls to a store and to a memstore, whose
// methods are those of otp.Record and otp.Meter, and compares every answer.
func TestSameAsMemory(t *testing.T) {
	each(t, slices.Concat(serverKinds, otherDrivers, variants), func(t *testing.T, k server) {
		t.Run("plain", func(t *testing.T) { sameAsMemory(t, k, sqlstore.Options{}) })
		t.Run("audited", func(t *testing.T) { sameAsMemory(t, k, sqlstore.Options{AuditFor: time.Hour}) })
	})
}

func sameAsMemory(t *testing.T, k server, o sqlstore.Options) {
	t.Helper()
	db := openDB(t, k.driver, k.dsn(t))
	s := openStore(t, db, o)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &calls{r: rand.New(rand.NewPCG(seed, 0)), now: time.Date(2026, 5, 4, 3, 2, 1, 1000, time.UTC)}
	model := memstore.New()
	for i := range 600 {
		call := c.next()
		want, got := call.on(t.Context(), model), call.on(t.Context(), s)
		require.Equal(t, want, got, "call %d: %s", i, call.what)
	}
}

// calls make up calls on few records and keys, so that they meet.
type calls struct {
	r   *rand.Rand
	now time.Time
}

type call struct {
	what string
	on   func(context.Context, allStore) string
}

type allStore interface {
	otp.ChargingStore
	otp.CounterStore
	otp.Pruner
}

func (c *calls) digest() []byte { return bytes.Repeat([]byte{byte(c.r.IntN(3))}, otp.DigestSize) }

func (c *calls) digests(most int) []byte {
	var d []byte
	for range c.r.IntN(most + 1) {
		d = append(d, c.digest()...)
	}
	return d
}

func (c *calls) id() string { return fmt.Sprintf("id%d", c.r.IntN(6)) }

func (c *calls) charges() []otp.Charge {
	var list []otp.Charge
	for range c.r.IntN(5) {
		list = append(list, otp.Charge{
			Scope: fmt.Sprint("scope", len(list)), Key: fmt.Sprintf("k%d", c.r.IntN(6)),
			Cost: c.r.Int64N(3), Silent: c.r.IntN(3) == 0, At: c.now,
			Limits: [][]otp.Limit{
				{{N: 4, Per: time.Minute}},
				{{N: 3, Per: time.Minute}, {N: 6, Per: time.Hour}},
				{{N: 9}},
			}[c.r.IntN(3)],
		})
	}
	return list
}

func (c *calls) record() otp.Record {
	return otp.Record{
		ID: c.id(), Digests: c.digests(3), Sealed: []byte{0, 1, byte(c.r.IntN(256))}, State: otp.StatePending,
		MaxAttempts: 1 + c.r.IntN(4), Sends: 1, MaxSends: 1 + c.r.IntN(3),
		CreatedAt: c.now, SentAt: c.now, ExpiresAt: c.now.Add(time.Duration(c.r.IntN(300)) * time.Second),
	}
}

func (c *calls) next() call {
	if c.r.IntN(3) == 0 {
		c.now = c.now.Add(time.Duration(c.r.IntN(20_000)) * time.Millisecond)
	}
	now, id, charges, digest, live := c.now, c.id(), c.charges(), c.digests(1), c.r.IntN(4)
	switch c.r.IntN(11) {
	case 0, 1:
		r := c.record()
		return call{fmt.Sprintf("PutCharged %v %v", r, charges), func(ctx context.Context, s allStore) string {
			out, err := s.PutCharged(ctx, r, charges, now)
			return answer(out, err)
		}}
	case 2:
		r := c.record()
		return call{fmt.Sprintf("Put %v", r), func(ctx context.Context, s allStore) string {
			rec, applied, err := s.Put(ctx, r, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 3:
		return call{fmt.Sprintf("Reissue %s %d %d", id, digest, live), func(ctx context.Context, s allStore) string {
			rec, applied, err := s.Reissue(ctx, id, digest, live, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 4:
		return call{fmt.Sprintf("ReissueCharged %s %d %d %v", id, digest, live, charges), func(ctx context.Context, s allStore) string {
			out, err := s.ReissueCharged(ctx, id, digest, live, charges, now)
			return answer(out, err)
		}}
	case 5, 6:
		candidates := c.digests(6)
		return call{fmt.Sprintf("Spend %s %d", id, candidates), func(ctx context.Context, s allStore) string {
			rec, applied, err := s.Spend(ctx, id, candidates, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 7:
		if c.r.IntN(3) > 0 {
			return call{"Get " + id, func(ctx context.Context, s allStore) string {
				rec, err := s.Get(ctx, id)
				return answer(otp.Outcome{Record: rec}, err)
			}}
		}
		return call{"Cancel " + id, func(ctx context.Context, s allStore) string {
			rec, applied, err := s.Cancel(ctx, id, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 8:
		key, limits, cost := fmt.Sprintf("k%d", c.r.IntN(6)), []otp.Limit{{N: 5, Per: time.Minute}}, c.r.Int64N(8)-1
		return call{fmt.Sprintf("Take %s %d", key, cost), func(ctx context.Context, s allStore) string {
			d, err := s.Take(ctx, key, cost, limits, now)
			return fmt.Sprint(d, err)
		}}
	case 9:
		return call{fmt.Sprintf("GiveAll %v", charges), func(ctx context.Context, s allStore) string {
			return fmt.Sprint(s.GiveAll(ctx, charges))
		}}
	default:
		n := c.r.Uint64() >> c.r.IntN(64)
		return call{fmt.Sprintf("Advance %d", n), func(ctx context.Context, s allStore) string {
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
