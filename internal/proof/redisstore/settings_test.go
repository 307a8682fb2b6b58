package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// S-27: a server that may forget is refused by the name of its setting, unless the loss is
// accepted.
func TestSettings(t *testing.T) {
	tests := []struct {
		name string
		args []string
		want string // a part of the error; empty means that it is accepted
	}{
		{"durable", []string{"--appendonly", "yes", "--appendfsync", "always"}, ""},
		{"every second", []string{"--appendonly", "yes"}, ""},
		{"snapshots only", []string{"--save", "60 1"}, "appendonly is no"},
		{"left to the system", []string{"--appendonly", "yes", "--appendfsync", "no"}, "appendfsync is no"},
		{"not synced while it is rewritten", []string{"--appendonly", "yes", "--no-appendfsync-on-rewrite", "yes"}, "no-appendfsync-on-rewrite is yes"},
		{"evicting", []string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"}, "maxmemory-policy is allkeys-lru"},
		{"evicting what expires", []string{"--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"}, "maxmemory-policy is volatile-ttl"},
		{"CONFIG forbidden", []string{"--appendonly", "yes", "--rename-command", "CONFIG", ""}, ""},
		{"CONFIG forbidden, snapshots only", []string{"--rename-command", "CONFIG", ""}, "appendonly is 0"},
		{"CONFIG forbidden, evicting", []string{"--appendonly", "yes", "--maxmemory-policy", "allkeys-lfu", "--rename-command", "CONFIG", ""}, "maxmemory-policy is allkeys-lfu"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, servers.StartRedis(t, servers.RedisServer, test.args...).DSN)
			_, err := redisstore.New(t.Context(), client, redisstore.Options{})
			if test.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, "Options.InsecureAcceptLoss")
			_, err = redisstore.New(t.Context(), client, redisstore.Options{InsecureAcceptLoss: true})
			require.NoError(t, err)
		})
	}
}

// What no option accepts: these would not lose something, but not work.
func TestRefused(t *testing.T) {
	url := servers.Redis(t, servers.RedisServer)
	replica := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--replicaof", "127.0.0.1 1")
	node := servers.StartRedisCluster(t, servers.RedisServer, 3, 0).Nodes[0]
	deaf, err := redis.ParseURL(url)
	require.NoError(t, err)
	tests := []struct {
		name   string
		client redis.UniversalClient
		o      redisstore.Options
		want   string
	}{
		{"no client", nil, redisstore.Options{}, "client is nil"},
		{"deadlines ignored", redis.NewClient(deaf), redisstore.Options{}, "ContextTimeoutEnabled"},
		{"deadlines ignored on a cluster", redis.NewClusterClient(&redis.ClusterOptions{}), redisstore.Options{}, "ContextTimeoutEnabled"},
		{"no deadline to read", redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, ReadTimeout: -2}), redisstore.Options{}, "ReadTimeout"},
		{"no deadline to write", redis.NewClient(&redis.Options{ContextTimeoutEnabled: true, WriteTimeout: -2}), redisstore.Options{}, "WriteTimeout"},
		{"no deadline on a cluster", redis.NewClusterClient(&redis.ClusterOptions{ContextTimeoutEnabled: true, ReadTimeout: -2}), redisstore.Options{}, "ReadTimeout"},
		{"ring", redis.NewRing(&redis.RingOptions{ContextTimeoutEnabled: true}), redisstore.Options{}, "*redis.Ring"},
		{"replica", connect(t, replica.DSN), redisstore.Options{}, "is a replica"},
		{"plain client of a cluster", connect(t, node.DSN), redisstore.Options{}, "use a *redis.ClusterClient"},
		{"prefix", connect(t, url), redisstore.Options{Prefix: "a{b}"}, "Options.Prefix"},
		{"negative", connect(t, url), redisstore.Options{WaitReplicas: -1}, "Options.WaitReplicas"},
		{"no server", connect(t, "redis://127.0.0.1:1"), redisstore.Options{}, "redisstore: INFO:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.InsecureAcceptLoss = true
			s, err := redisstore.New(t.Context(), test.client, test.o)
			require.ErrorContains(t, err, test.want)
			assert.Nil(t, s)
		})
	}
}

// A node of a cluster is asked like a single server.
func TestSettingsOfCluster(t *testing.T) {
	c := servers.StartRedisCluster(t, servers.RedisServer, 3, 0)
	client := connectCluster(t, c.Addrs...)
	open(t, client, redisstore.Options{})
	require.NoError(t, connect(t, c.Nodes[1].DSN).ConfigSet(t.Context(), "maxmemory-policy", "allkeys-lru").Err())
	_, err := redisstore.New(t.Context(), client, redisstore.Options{})
	require.ErrorContains(t, err, "maxmemory-policy is allkeys-lru")
}

// A call ends with its context, also while the server hangs.
func TestDeadline(t *testing.T) {
	server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes")
	for name, timeout := range map[string]time.Duration{"set": busy, "none": -1} { // when it would end otherwise
		t.Run(name, func(t *testing.T) {
			o, err := redis.ParseURL(server.DSN)
			require.NoError(t, err)
			o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout = true, timeout, timeout
			client := redis.NewClient(o)
			defer client.Close()
			s := open(t, client, redisstore.Options{})
			server.Pause()
			defer server.Resume()
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begin := time.Now()
			_, _, err = s.Spend(ctx, "id", nil, begin)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Less(t, time.Since(begin), busy/2)
		})
	}
}

// The package comment says what a client must be allowed.
func TestPermissions(t *testing.T) {
	permissions := []any{"+@read", "+@write", "+@scripting", "+@connection", "+info", "+config|get", "+wait"}
	allow := func(t *testing.T, server *servers.Server, permissions ...any) *redis.Options {
		t.Helper()
		admin := connect(t, server.DSN)
		require.NoError(t, admin.Do(t.Context(), append([]any{"ACL", "SETUSER", "app", "on", ">secret", "~otp:*"}, permissions...)...).Err())
		o := *admin.Options()
		o.Username, o.Password = "app", "secret"
		return &o
	}
	use := func(t *testing.T, client redis.UniversalClient, replicas int, giving bool) {
		t.Helper()
		sameCalls(t, client, redisstore.Options{Prefix: "otp:", WaitReplicas: replicas}, 500, giving)
		s := open(t, client, redisstore.Options{Prefix: "otp:"})
		for cursor, last := "", false; !last; last = cursor == "" {
			var err error
			_, cursor, err = s.ListCredentials(t.Context(), cursor, 10)
			require.NoError(t, err)
		}
		onTime(t, func(o redisstore.AuditOptions) {
			o.Stream = "otp:" + o.Stream
			tell(t, client, o, otp.Event{Type: otp.EventSent})
		})
	}
	t.Run("server", func(t *testing.T) {
		server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes")
		client := redis.NewClient(allow(t, server, permissions...))
		defer client.Close()
		use(t, client, 0, false)
	})
	t.Run("cluster", func(t *testing.T) {
		c := servers.StartRedisCluster(t, servers.RedisServer, 3, 1)
		o := &redis.ClusterOptions{Addrs: c.Addrs, ContextTimeoutEnabled: true, ReadTimeout: busy, NewClient: newPatient}
		for _, node := range c.Nodes {
			one := allow(t, node, append(permissions, "+cluster|slots")...)
			o.Username, o.Password = one.Username, one.Password
		}
		client := redis.NewClusterClient(o)
		defer client.Close()
		use(t, client, 1, true)
	})
}
