package redisstore_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/memstore"
	"otp.example/otp/redisstore"
)

// TestSameAsMemory makes the same random calls to a store and to a memstore, whose
// methods are those of otp.Record and otp.Meter, and compares every answer: the scripts
// decide as Go does.
func TestSameAsMemory(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		sameAsMemory(t, connect(t, servers.Redis(t, k)), 8_000, false)
	})
	t.Run("Cluster", func(t *testing.T) {
		c := servers.StartRedisCluster(t, servers.RedisServer, 3, 0)
		sameAsMemory(t, connectCluster(t, c.Addrs...), 3_000, true)
	})
}

func sameAsMemory(t *testing.T, client redis.UniversalClient, steps int, giving bool) {
	t.Helper()
	sameCalls(t, open(t, client, redisstore.Options{}), steps, giving)
}

func sameCalls(t *testing.T, s store, steps int, giving bool) {
	t.Helper()
	if long() {
		steps *= 50
	}
	model := memstore.New()
	seed := rand.Uint64()
	if given := os.Getenv("OTP_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("OTP_SEED=%d", seed)
	c := &calls{giving: giving, r: rand.New(rand.NewPCG(seed, 0)), now: time.Date(2026, 5, 4, 3, 2, 1, 1000, time.UTC)}
	applied := 0
	for i := range steps {
		call := c.next()
		want, got := call.on(t.Context(), model), call.on(t.Context(), s)
		require.Equal(t, want, got, "call %d: %s", i, call.what)
		if bytes.Contains([]byte(want), []byte("true")) {
			applied++
		}
	}
	require.Greater(t, applied, steps/10, "nearly everything was refused: this compares nothing")
}

// A meter that everything was given back to is like a new one: it has forgotten the long
// window that was once charged, and with that what it had kept for it.
func TestEmptyMeterIsNew(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		hour, minute := []otp.Limit{{N: 2, Per: time.Hour}}, []otp.Limit{{N: 1, Per: time.Minute}}
		for _, s := range []otp.Limiter{memstore.New(), open(t, connect(t, servers.Redis(t, k)), redisstore.Options{})} {
			take := func(limits []otp.Limit, after time.Duration) {
				t.Helper()
				d, err := s.Take(t.Context(), "key", 1, limits, now.Add(after))
				require.NoError(t, err)
				require.True(t, d.OK, "%T refuses", s)
			}
			take(hour, 0)
			require.NoError(t, s.Give(t.Context(), "key", 1, hour, now))
			take(minute, time.Second)
			take(minute, 5*time.Minute) // forgets the one before
			take(hour, 5*time.Minute)
		}
	})
}

// calls make up calls on few records and keys, so that they meet.
type calls struct {
	r   *rand.Rand
	now time.Time

	// giving is set for a store that charges and gives back where others do neither. That leaves
	// a meter remembering for longer what other limits were charged on the same key, so each key
	// has limits of its own, and clocks differ by less.
	giving bool
}

type call struct {
	what string
	on   func(context.Context, store) string
}

type store interface {
	otp.ChargingStore
	otp.CounterStore
	otp.CredentialStore
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

func (c *calls) id() string { return fmt.Sprintf("id%d", c.r.IntN(6)) }

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
		charge.Limits = limits[key%usual]
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
		return call{fmt.Sprintf("PutCharged %v %v", r, charges), func(ctx context.Context, s store) string {
			out, err := s.PutCharged(ctx, r, charges, now)
			return answer(out, err)
		}}
	case 2:
		r := c.record()
		return call{fmt.Sprintf("Put %v", r), func(ctx context.Context, s store) string {
			rec, applied, err := s.Put(ctx, r, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 3:
		digest, live := c.digests(1), c.r.IntN(4)
		return call{fmt.Sprintf("Reissue %s %d %d", id, digest, live), func(ctx context.Context, s store) string {
			rec, applied, err := s.Reissue(ctx, id, digest, live, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 4:
		digest, live, charges := c.digests(1), c.r.IntN(4), c.charges()
		return call{fmt.Sprintf("ReissueCharged %s %d %d %v", id, digest, live, charges), func(ctx context.Context, s store) string {
			out, err := s.ReissueCharged(ctx, id, digest, live, charges, now)
			return answer(out, err)
		}}
	case 5, 6:
		candidates := c.digests(6)
		return call{fmt.Sprintf("Spend %s %d", id, candidates), func(ctx context.Context, s store) string {
			rec, applied, err := s.Spend(ctx, id, candidates, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 7:
		if c.r.IntN(3) > 0 {
			return call{"Get " + id, func(ctx context.Context, s store) string {
				rec, err := s.Get(ctx, id)
				return answer(otp.Outcome{Record: rec}, err)
			}}
		}
		return call{"Cancel " + id, func(ctx context.Context, s store) string {
			rec, applied, err := s.Cancel(ctx, id, now)
			return answer(otp.Outcome{Record: rec, Applied: applied}, err)
		}}
	case 8, 9, 10, 11:
		charge := c.charge()
		return call{fmt.Sprintf("Take %v", charge), func(ctx context.Context, s store) string {
			d, err := s.Take(ctx, charge.Key, charge.Cost, charge.Limits, charge.At)
			return fmt.Sprint(d, err)
		}}
	case 12:
		charges := c.charges()
		for i := range charges {
			charges[i].Cost += int64(c.r.IntN(2) * 10) // to clear it
		}
		return call{fmt.Sprintf("GiveAll %v", charges), func(ctx context.Context, s store) string {
			return fmt.Sprint(s.GiveAll(ctx, charges))
		}}
	case 13:
		old, value := c.credentials(), c.credentials()
		return call{fmt.Sprintf("SwapCredentials %s %q %q", id, old, value), func(ctx context.Context, s store) string {
			applied, err := s.SwapCredentials(ctx, id, old, value, time.Time{})
			held, err2 := s.LoadCredentials(ctx, id)
			return fmt.Sprintf("%t %q %v %v", applied, held, err, err2)
		}}
	default:
		n := c.r.Uint64() >> c.r.IntN(64)
		return call{fmt.Sprintf("Advance %s %d", id, n), func(ctx context.Context, s store) string {
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
