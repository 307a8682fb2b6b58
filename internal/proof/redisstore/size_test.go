package redisstore_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
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

// TestSize shows what a challenge of a service takes, and that a verification costs the
// same among many: with OTP_PROVE=long, among ten million.
func TestSize(t *testing.T) {
	many := 20_000
	if long() {
		many = 10_000_000
	}
	server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0")
	client := connect(t, server.DSN)
	s := open(t, client, redisstore.Options{Prefix: "otp:"})
	fill(t, s, 0, 1_000)
	among1k := timeOfSpend(t, s, 1_000)
	empty := usedMemory(t, client)
	fill(t, s, 1_000, many)
	each := float64(usedMemory(t, client)-empty) / float64(many-1_000)
	t.Logf("a challenge with four meters takes %.0f bytes; a wrong code takes %s among 1000 and %s among %d", each, among1k, timeOfSpend(t, s, many), many)
	assert.Less(t, each, 1600.0)
}

// name is as long as those of a service.
func name(kind string, i int) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(kind, i)))
	return kind + base64.RawURLEncoding.EncodeToString(sum[:16])
}

func sizeRecord(i int) otp.Record {
	r := record(name("", i), now)
	_, _ = rand.Read(r.Digests)
	r.Sealed = make([]byte, 250)
	return r
}

func fill(t *testing.T, s *redisstore.Store, from, to int) {
	t.Helper()
	sends := []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: 24 * time.Hour}}
	guesses := []otp.Limit{{N: 20_000, Per: 24 * time.Hour}}
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < to; i = int(next.Add(1) - 1) {
				charge := func(kind string, cost int64, limits []otp.Limit) otp.Charge {
					return otp.Charge{Scope: kind, Key: name(kind, i), Cost: cost, Limits: limits, At: now}
				}
				out, err := s.PutCharged(t.Context(), sizeRecord(i), []otp.Charge{
					charge("r", 1, sends), charge("s", 1, sends), charge("g", 5_000, guesses), charge("h", 5_000, guesses),
				}, now)
				if !assert.True(t, out.Applied, err) {
					return
				}
			}
		})
	}
	wg.Wait()
}

func timeOfSpend(t *testing.T, s *redisstore.Store, among int) time.Duration {
	t.Helper()
	const calls = 2_000
	begin := time.Now()
	for i := range calls {
		_, _, err := s.Spend(t.Context(), name("", i*7919%among), make([]byte, otp.DigestSize), now)
		require.NoError(t, err)
	}
	return time.Since(begin) / calls
}

func usedMemory(t *testing.T, client *redis.Client) int {
	t.Helper()
	for line := range strings.Lines(client.Info(t.Context(), "memory").Val()) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
			n, err := strconv.Atoi(v)
			require.NoError(t, err)
			return n
		}
	}
	t.Fatal("INFO does not tell used_memory")
	return 0
}
