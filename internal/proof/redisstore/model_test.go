package redisstore_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/calls"
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
	sameCalls(t, client, redisstore.Options{Prefix: rand.Text()[:8] + ":"}, steps, giving)
}

func sameCalls(t *testing.T, client redis.UniversalClient, o redisstore.Options, steps int, giving bool) {
	t.Helper()
	if long() {
		steps *= 50
	}
	calls.Same(t, open(t, client, o), calls.Options{Steps: steps, Giving: giving, After: func(k calls.Kept) {
		requireKept(t, client, o.Prefix, k)
	}})
}

// requireKept requires that the server keeps what it must, and for an hour longer: clocks
// differ. Here they do so by a minute; nine are for what this test takes.
func requireKept(t *testing.T, client redis.UniversalClient, prefix string, k calls.Kept) {
	t.Helper()
	const longer = 50 * time.Minute
	left := map[string]*redis.DurationCmd{}
	until := map[string]time.Time{}
	_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
		for id, at := range k.Records {
			until[prefix+"r:"+id] = at
		}
		for key, at := range k.Meters {
			until[prefix+"m:"+key] = at
		}
		for key := range until {
			left[key] = p.PTTL(t.Context(), key)
		}
		return nil
	})
	require.NoError(t, err)
	for key, at := range until {
		require.GreaterOrEqual(t, left[key].Val(), at.Sub(k.Now)+longer, "%s is forgotten early", key)
	}
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

// What has left its window by one clock is still seen by one that is up to a minute behind,
// and then forgotten, at the same moment as in memory.
func TestClocksApart(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		limits := []otp.Limit{{N: 2, Per: time.Hour}}
		for _, s := range []otp.Limiter{memstore.New(), open(t, connect(t, servers.Redis(t, k)), redisstore.Options{})} {
			for ahead, forgotten := range map[time.Duration]bool{time.Minute - time.Microsecond: false, time.Minute: true} {
				take := func(cost int64, at time.Time, want bool) {
					t.Helper()
					d, err := s.Take(t.Context(), ahead.String(), cost, limits, at)
					require.NoError(t, err)
					require.Equal(t, want, d.OK, "%T, %s", s, ahead)
				}
				take(2, now, true)
				take(1, now.Add(time.Hour+ahead), true)
				take(1, now.Add(time.Hour-time.Microsecond), forgotten)
			}
		}
	})
}
