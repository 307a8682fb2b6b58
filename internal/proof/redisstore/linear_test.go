package redisstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"

	"otp.example/otp/internal/proof/linear"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// openers are what the clients of package linear open.
var openers = map[string]linear.Opener{
	"once":    opener(-1),
	"again":   opener(0), // as often as go-redis does by itself
	"cluster": openCluster,
}

type closing struct {
	*redisstore.Store
	client redis.UniversalClient
}

func (c *closing) Close() error { return c.client.Close() }

// opener opens stores whose clients ask again, or do not.
func opener(retries int) linear.Opener {
	return func(ctx context.Context, address string) (linear.Store, error) {
		o, err := redis.ParseURL(address)
		if err != nil {
			return nil, err
		}
		o.ContextTimeoutEnabled, o.MaxRetries = true, retries
		client := redis.NewClient(o)
		s, err := redisstore.New(ctx, client, redisstore.Options{})
		if err != nil {
			return nil, errors.Join(err, client.Close())
		}
		return &closing{s, client}, nil
	}
}

// S-22 S-23 S-24 S-26: whatever is killed and whatever is lost on the way, there is an
// order of all calls that explains every answer. With appendfsync everysec that holds as
// long as the server lives; see TestEverysecLosesWithTheProcess.
func TestLinear(t *testing.T) {
	t.Run("always", func(t *testing.T) {
		s := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--appendfsync", "always")
		target := linear.Target{Name: "Redis, asking once", Opener: "once", Address: s.DSN, Server: s}
		linear.Run(t, target)
		target.Name, target.Opener = "Redis, asking again", "again"
		againAndAgain(t, target)
	})
	t.Run("everysec", func(t *testing.T) {
		s := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--appendfsync", "everysec")
		linear.Run(t, linear.Target{Name: "Redis with everysec", Opener: "again", Address: s.DSN})
	})
}

// againAndAgain makes histories one by one: together they would have to show calls that
// are never answered, and a client that asks again leaves few.
func againAndAgain(t *testing.T, target linear.Target) {
	t.Helper()
	const seedEnv = "OTP_SEED"
	if _, ok := os.LookupEnv(seedEnv); ok {
		linear.Run(t, target)
		return
	}
	histories := 16 // two of each kind of fault
	if long() {
		histories = 200
	}
	first := rand.Uint64() >> 1
	for i := range histories {
		t.Setenv(seedEnv, strconv.FormatUint(first+uint64(i), 10))
		linear.Run(t, target)
	}
}
