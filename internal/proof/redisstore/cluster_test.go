package redisstore_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// A guesser tries wrong codes on one record, charges one meter and raises one counter for
// as long as it is told to, and knows how often it was told yes.
type guesser struct {
	s                      *redisstore.Store
	id                     string
	guesses, takes, raises atomic.Int64
	faults                 atomic.Int64 // calls of which nobody knows
}

const guessers = 8

var meterLimit = []otp.Limit{{N: 1 << 40, Per: time.Hour}}

func newGuesser(t *testing.T, s *redisstore.Store, id string) *guesser {
	t.Helper()
	r := record(id, now)
	r.MaxAttempts = 1 << 30
	_, applied, err := s.Put(t.Context(), r, now)
	require.NoError(t, err)
	require.True(t, applied)
	return &guesser{s: s, id: id}
}

// run ends when the context does.
func (g *guesser) run(ctx context.Context) {
	var wg sync.WaitGroup
	var counter atomic.Uint64
	for range guessers {
		wg.Go(func() {
			wrong := make([]byte, otp.DigestSize)
			for ctx.Err() == nil {
				_, applied, err := g.s.Spend(context.WithoutCancel(ctx), g.id, wrong, now)
				g.count(&g.guesses, applied, err)
				d, err := g.s.Take(context.WithoutCancel(ctx), g.id, 1, meterLimit, now)
				g.count(&g.takes, d.OK, err)
				applied, err = g.s.Advance(context.WithoutCancel(ctx), g.id, counter.Add(1))
				g.count(&g.raises, applied, err)
			}
		})
	}
	wg.Wait()
}

func (g *guesser) count(n *atomic.Int64, yes bool, err error) {
	switch {
	case err != nil:
		g.faults.Add(1)
	case yes:
		n.Add(1)
	}
}

// goesOn waits until so many more calls have been answered with yes.
func (g *guesser) goesOn(t *testing.T, calls int64) {
	t.Helper()
	from := g.guesses.Load()
	eventually(t, func() bool { return g.guesses.Load() >= from+calls })
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	require.Eventually(t, is, busy, 2*time.Millisecond)
}

// check compares what is stored with what was told.
func (g *guesser) check(t *testing.T) {
	t.Helper()
	rec, err := g.s.Get(t.Context(), g.id)
	require.NoError(t, err)
	faults := g.faults.Load()
	assert.GreaterOrEqual(t, int64(rec.Attempts), g.guesses.Load(), "an attempt that was told of is lost")
	assert.LessOrEqual(t, int64(rec.Attempts), g.guesses.Load()+faults, "an attempt was counted twice")
	// What is left of the limit tells what was charged.
	limit := []otp.Limit{{N: g.takes.Load(), Per: time.Hour}}
	d, err := g.s.Take(t.Context(), g.id, 1, limit, now)
	require.NoError(t, err)
	assert.False(t, d.OK, "a charge that was told of is lost")
	limit[0].N += faults + 1
	d, err = g.s.Take(t.Context(), g.id, 1, limit, now)
	require.NoError(t, err)
	assert.True(t, d.OK, "a charge was made twice")
	assert.Positive(t, g.guesses.Load())
	assert.Positive(t, g.takes.Load())
	assert.Positive(t, g.raises.Load())
	t.Logf("%d attempts, %d charges, %d counters, %d calls without an answer", g.guesses.Load(), g.takes.Load(), g.raises.Load(), faults)
}

// What a service gives back when a code was right, windows and totals of two meters, is one
// round trip for each meter.
func TestGiveAllOnCluster(t *testing.T) {
	client := connectCluster(t, servers.StartRedisCluster(t, servers.RedisServer, 3, 0).Addrs...)
	var sent trips
	client.AddHook(&sent)
	s := open(t, client, redisstore.Options{})
	window, total := otp.Limit{N: 5, Per: time.Hour}, otp.Limit{N: 9}
	var taken, given []otp.Charge
	for _, key := range []string{"subject", "recipient"} {
		taken = append(taken, otp.Charge{Key: key, Cost: 5, Limits: []otp.Limit{window, total}, At: now})
	}
	for _, cost := range []int64{3, 2} {
		for _, key := range []string{"subject", "recipient"} {
			given = append(given, otp.Charge{Key: key, Cost: cost, Limits: []otp.Limit{window}, At: now})
		}
	}
	for _, key := range []string{"recipient", "subject"} {
		given = append(given, otp.Charge{Key: key, Cost: total.N, Limits: []otp.Limit{total}, At: now})
	}
	for i := range 2 {
		out, err := s.PutCharged(t.Context(), record(fmt.Sprint(i), now), taken, now)
		require.NoError(t, err)
		require.True(t, out.Applied, "what was given back is missing")
		sent.Store(0)
		require.NoError(t, s.GiveAll(t.Context(), given))
	}
	require.EqualValues(t, 2, sent.Load()) // the second time: the scripts are loaded
}

// S-22 S-24: slots move from node to node while their keys are in use, and nothing is lost,
// done twice or refused.
func TestSlotsMove(t *testing.T) {
	for _, replicas := range []int{0, 1} {
		t.Run(fmt.Sprintf("WaitReplicas=%d", replicas), func(t *testing.T) { slotsMove(t, replicas) })
	}
}

func slotsMove(t *testing.T, replicas int) {
	t.Helper()
	c := servers.StartRedisCluster(t, servers.RedisServer, 3, replicas)
	client := connectCluster(t, c.Addrs...)
	s := open(t, client, redisstore.Options{Prefix: "move:", WaitReplicas: replicas})
	g := newGuesser(t, s, "moving")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { g.run(ctx) })
	for range 3 {
		for _, key := range []string{"move:r:moving", "move:m:moving", "move:c:moving"} {
			assert.Equal(t, 1, moveSlot(t, client, c, key, func() { g.goesOn(t, 2*guessers) }))
		}
	}
	cancel()
	wg.Wait()
	assert.Zero(t, g.faults.Load())
	g.check(t)
}

// moveSlot moves the slot of a key to the next node, as redis-cli does, and returns how
// many keys were in it. In between, with the slot at neither node, it calls use.
func moveSlot(t *testing.T, client *redis.ClusterClient, c *servers.Cluster, key string, use func()) int {
	t.Helper()
	ctx := t.Context()
	slot := client.ClusterKeySlot(ctx, key).Val()
	const primaries = 3
	nodes, ids := make([]*redis.Client, primaries), make([]string, primaries)
	from := -1
	for i, addr := range c.Addrs[:primaries] {
		nodes[i] = redis.NewClient(&redis.Options{Addr: addr})
		defer nodes[i].Close()
		id, err := nodes[i].Do(ctx, "cluster", "myid").Text()
		require.NoError(t, err)
		ids[i] = id
		n, err := nodes[i].ClusterCountKeysInSlot(ctx, int(slot)).Result()
		require.NoError(t, err)
		if n > 0 {
			from = i
		}
	}
	require.GreaterOrEqual(t, from, 0, "nobody has the slot")
	to := (from + 1) % len(nodes)
	require.NoError(t, nodes[to].Do(ctx, "cluster", "setslot", slot, "importing", ids[from]).Err())
	require.NoError(t, nodes[from].Do(ctx, "cluster", "setslot", slot, "migrating", ids[to]).Err())
	use()
	host, port, err := net.SplitHostPort(c.Addrs[to])
	require.NoError(t, err)
	keys, err := nodes[from].ClusterGetKeysInSlot(ctx, int(slot), 100).Result()
	require.NoError(t, err)
	for _, k := range keys {
		require.NoError(t, nodes[from].Do(ctx, "migrate", host, port, k, 0, busy.Milliseconds()).Err())
	}
	use()
	for _, i := range []int{to, from, (from + 2) % len(nodes)} {
		require.NoError(t, nodes[i].Do(ctx, "cluster", "setslot", slot, "node", ids[to]).Err())
	}
	return len(keys)
}

// S-22 S-24 S-26: a node is killed and comes back with all it acknowledged; or it does not,
// and a replica takes its place.
func TestNodeOfClusterKilled(t *testing.T) {
	t.Run("restarted", func(t *testing.T) {
		c := servers.StartRedisCluster(t, servers.RedisServer, 3, 0)
		nodeKilled(t, c, 0, func() {
			for _, node := range c.Nodes {
				node.Kill()
				require.NoError(t, node.Start())
				require.NoError(t, c.WaitUntilWhole(t.Context()))
			}
		})
	})
	t.Run("replaced", func(t *testing.T) {
		c := servers.StartRedisCluster(t, servers.RedisServer, 3, 1)
		nodeKilled(t, c, 1, func() {
			require.NoError(t, c.SetNodeTimeout(t.Context(), 2*time.Second))
			c.Nodes[0].Kill()
			heir := connect(t, c.Nodes[3].DSN)
			eventually(t, func() bool { return strings.Contains(heir.Info(t.Context(), "replication").Val(), "role:master") })
			// It has no replica of its own to wait for.
			require.NoError(t, c.Nodes[0].Start())
			require.NoError(t, c.WaitUntilWhole(t.Context()))
		})
	})
}

func nodeKilled(t *testing.T, c *servers.Cluster, replicas int, kill func()) {
	t.Helper()
	client := connectCluster(t, c.Addrs...)
	s := open(t, client, redisstore.Options{Prefix: "kill:", WaitReplicas: replicas})
	// One on each node, whichever that is.
	var all []*guesser
	for i := range 6 {
		all = append(all, newGuesser(t, s, fmt.Sprintf("victim%d", i)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for _, g := range all {
		wg.Go(func() { g.run(ctx) })
	}
	for _, g := range all {
		g.goesOn(t, 50)
	}
	kill()
	for _, g := range all {
		g.goesOn(t, 50)
	}
	cancel()
	wg.Wait()
	faults := int64(0)
	for _, g := range all {
		g.check(t)
		faults += g.faults.Load()
	}
	assert.Positive(t, faults, "nobody noticed that a node was killed")
}
