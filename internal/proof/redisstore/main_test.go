package redisstore_test

import (
	"context"
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/linear"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{}) // servers are killed here, and the client tells of each try
	os.Exit(linear.Main(m, openers))
}

func long() bool { return os.Getenv("OTP_PROVE") == "long" }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// everyServer runs a test on Redis and on Valkey.
func everyServer(t *testing.T, test func(t *testing.T, k servers.RedisKind)) {
	t.Helper()
	for _, k := range []servers.RedisKind{servers.RedisServer, servers.Valkey} {
		t.Run(k.String(), func(t *testing.T) { test(t, k) })
	}
}

// connect returns a client as a program should make it.
func connect(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	o.ContextTimeoutEnabled = true
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func connectCluster(t testing.TB, addrs ...string) *redis.ClusterClient {
	t.Helper()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, ContextTimeoutEnabled: true, ReadTimeout: busy, NewClient: newPatient})
	t.Cleanup(func() { c.Close() })
	return c
}

// busy is more than a machine that does much else may take for anything.
const busy = 2 * time.Minute

// patient lets replicas take as long as the machine does, not the second that the store
// gives them, where it is not the question what becomes of a call that they do not confirm.
type patient struct{}

func (patient) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (patient) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (patient) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if cmd.Name() == "wait" {
				cmd.Args()[2] = (busy / 2).Milliseconds()
			}
		}
		return next(ctx, cmds)
	}
}

// newPatient returns a client that is patient.
func newPatient(o *redis.Options) *redis.Client {
	c := redis.NewClient(o)
	c.AddHook(patient{})
	return c
}

// open returns a store with keys of its own.
func open(t testing.TB, client redis.UniversalClient, o redisstore.Options) *redisstore.Store {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = rand.Text()[:8] + ":"
	}
	s, err := redisstore.New(t.Context(), client, o)
	require.NoError(t, err)
	return s
}
