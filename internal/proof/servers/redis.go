package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A RedisKind is a server that speaks the protocol of Redis.
type RedisKind struct{ name, bin, env, pkg string }

// The kinds.
var (
	RedisServer = RedisKind{"Redis", "redis-server", "OTP_TEST_REDIS_URL", "redis-server"}
	Valkey      = RedisKind{"Valkey", "valkey-server", "OTP_TEST_VALKEY_URL", "valkey-server"}
)

func (k RedisKind) String() string { return k.name }

// durable is what redisstore asks for.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

var sharedRedis struct {
	sync.Mutex
	servers map[RedisKind]*Server
}

// Redis returns the address of a server for all tests of the binary, as a URL: that in
// OTP_TEST_REDIS_URL or OTP_TEST_VALKEY_URL, or one that it starts, durable.
func Redis(t testing.TB, k RedisKind) string {
	t.Helper()
	if dsn := os.Getenv(k.env); dsn != "" {
		return dsn
	}
	bin := redisBin(t, k)
	sharedRedis.Lock()
	defer sharedRedis.Unlock()
	s := sharedRedis.servers[k]
	if s == nil {
		var err error
		if s, err = startRedis(bin, durable...); err != nil {
			t.Fatal(err)
		}
		if sharedRedis.servers == nil {
			sharedRedis.servers = map[RedisKind]*Server{}
		}
		sharedRedis.servers[k] = s
	}
	return s.DSN
}

// StartRedis starts a server for one test, with further arguments for it. Without any it
// keeps nothing on disk.
func StartRedis(t testing.TB, k RedisKind, args ...string) *Server {
	t.Helper()
	s, err := startRedis(redisBin(t, k), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// A Cluster is primaries that share the slots, and then as many replicas of each.
type Cluster struct {
	Nodes []*Server
	Addrs []string // of the nodes

	primaries int
}

// StartRedisCluster starts a durable cluster for one test. Once it is whole its nodes are
// patient with each other: see SetNodeTimeout.
func StartRedisCluster(t testing.TB, k RedisKind, primaries, replicasOfEach int) *Cluster {
	t.Helper()
	bin := redisBin(t, k)
	c := &Cluster{primaries: primaries}
	for range primaries * (1 + replicasOfEach) {
		bus := 0
		s, err := startRedisWith(bin, func(s *Server) (args []string, err error) {
			// A port of its own: the usual one, 10000 higher, may not exist.
			bus, err = s.freePort()
			return append([]string{
				"--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--repl-diskless-sync-delay", "0",
				"--cluster-port", strconv.Itoa(bus),
			}, durable...), err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.remove)
		c.Nodes, c.Addrs = append(c.Nodes, s), append(c.Addrs, s.Addr())
		if err := c.join(t.Context(), len(c.Nodes)-1, bus); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.WaitUntilWhole(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.SetNodeTimeout(t.Context(), startTimeout); err != nil {
		t.Fatal(err)
	}
	return c
}

// SetNodeTimeout sets after how long a node that does not answer is replaced, or its slots
// are refused. A node may be silent for seconds because its disk or the machine is busy, so
// only a test of that wants it short.
func (c *Cluster) SetNodeTimeout(ctx context.Context, d time.Duration) error {
	for _, addr := range c.Addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer node.Close()
		if err := node.ConfigSet(ctx, "cluster-node-timeout", strconv.FormatInt(d.Milliseconds(), 10)).Err(); err != nil {
			return err
		}
	}
	return nil
}

// slots is how many every cluster has.
const slots = 16384

// join makes a node known to those before it, as a primary with its share of the slots or
// as a replica.
func (c *Cluster) join(ctx context.Context, i, bus int) error {
	node := redis.NewClient(&redis.Options{Addr: c.Addrs[i]})
	defer node.Close()
	for j := range i {
		other := redis.NewClient(&redis.Options{Addr: c.Addrs[j]})
		defer other.Close()
		if err := other.Do(ctx, "cluster", "meet", "127.0.0.1", c.Nodes[i].port, bus).Err(); err != nil {
			return err
		}
	}
	if i < c.primaries {
		return node.ClusterAddSlotsRange(ctx, slots*i/c.primaries, slots*(i+1)/c.primaries-1).Err()
	}
	primary := redis.NewClient(&redis.Options{Addr: c.Addrs[i%c.primaries]})
	defer primary.Close()
	id, err := primary.Do(ctx, "cluster", "myid").Text()
	if err != nil {
		return err
	}
	return until(ctx, func() error { return node.ClusterReplicate(ctx, id).Err() })
}

// WaitUntilWhole waits until every node knows every other and serves, and replicas follow.
func (c *Cluster) WaitUntilWhole(ctx context.Context) error {
	for _, addr := range c.Addrs {
		node := redis.NewClient(&redis.Options{Addr: addr})
		defer node.Close()
		err := until(ctx, func() error {
			info := node.ClusterInfo(ctx).Val() + node.Info(ctx, "replication").Val()
			for _, want := range []string{"cluster_state:ok", fmt.Sprintf("cluster_known_nodes:%d\r", len(c.Addrs))} {
				if !strings.Contains(info, want) {
					return fmt.Errorf("a node is not part of the cluster: %s", info)
				}
			}
			if strings.Contains(info, "role:slave") && !strings.Contains(info, "master_link_status:up") {
				return fmt.Errorf("a replica does not follow: %s", info)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// until calls f until it succeeds.
func until(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// Addr is the host and port of the server.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

func redisBin(t testing.TB, k RedisKind) string {
	t.Helper()
	bin, err := exec.LookPath(k.bin)
	if err != nil {
		need(t, k.name, k.pkg)
	}
	return bin
}

func startRedis(bin string, args ...string) (*Server, error) {
	return startRedisWith(bin, func(*Server) ([]string, error) { return args, nil })
}

// startRedisWith starts a server with arguments that hold something of its own.
func startRedisWith(bin string, argsOf func(*Server) ([]string, error)) (*Server, error) {
	// Packages make a user for it, but it runs as any.
	s, cred, err := newServer("redis", "nobody")
	if err != nil {
		if s != nil {
			s.remove()
		}
		return nil, err
	}
	var args []string
	if s.port, err = s.freePort(); err == nil {
		args, err = argsOf(s)
	}
	if err == nil {
		u := url.URL{Scheme: "redis", Host: s.Addr()}
		s.DSN, s.ready, s.stop = u.String(), "Ready to accept connections", syscall.SIGTERM
		s.command = func() *exec.Cmd {
			cmd := exec.Command(bin, append([]string{
				"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "",
			}, args...)...)
			cmd.Dir, cmd.SysProcAttr = s.Dir, childOf(cred)
			return cmd
		}
		err = s.Start()
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}
