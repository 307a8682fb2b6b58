package redisstore_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
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

// TestSize shows that a challenge with four meters takes no more memory than the package
// comment says.
func TestSize(t *testing.T) {
	const many = 20_000
	p := populate(t, many)
	t.Logf("a challenge with four meters takes %.0f bytes", p.each)
	assert.Less(t, p.each, 1400.0)
}

// BenchmarkMillions compares attempts among many challenges with attempts among a thousand
// on a server of the same kind, in turns: with OTP_PROVE=long ten million challenges,
// otherwise some thousands, to see that it works.
//
//	of-1k        calls per second, divided by those among a thousand: the median of the turns
//	B/challenge  memory, with four meters
func BenchmarkMillions(b *testing.B) {
	size := 20_000
	if long() {
		size = 10_000_000
	}
	few, start := populate(b, 1_000), time.Now()
	many := populate(b, size)
	b.Logf("%d challenges made in %s", size, time.Since(start).Round(time.Second))
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			var ratios []float64
			var took time.Duration
			calls := 0
			for b.Loop() {
				for range 100 {
					few.renew(b) // lest its records grow longer than those of people
					base, full := few.spends(b, clients), many.spends(b, clients)
					ratios = append(ratios, float64(base)/float64(full))
					took, calls = took+full, calls+spendsOfTurn
				}
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "of-1k")
			b.ReportMetric(float64(calls)/took.Seconds(), "op/s")
			b.ReportMetric(many.each, "B/challenge")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// A population is a server of its own with n challenges, and the bytes that each takes.
type population struct {
	client *redis.Client
	store  *redisstore.Store
	n      int
	each   float64
}

func populate(t testing.TB, n int) population {
	t.Helper()
	server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--save", "")
	client := connect(t, server.DSN)
	s := open(t, client, redisstore.Options{Prefix: "otp:"})
	empty := usedMemory(t, client)
	fill(t, s, n)
	return population{client: client, store: s, n: n, each: float64(usedMemory(t, client)-empty) / float64(n)}
}

func (p population) renew(t testing.TB) {
	t.Helper()
	require.NoError(t, p.client.FlushAll(t.Context()).Err())
	fill(t, p.store, p.n)
}

const spendsOfTurn = 800

// spends is how long wrong codes take that so many clients try against any challenges.
func (p population) spends(t testing.TB, clients int) time.Duration {
	var wg sync.WaitGroup
	start := time.Now()
	for range clients {
		wg.Go(func() {
			for range spendsOfTurn / clients {
				_, applied, err := p.store.Spend(t.Context(), name("", mathrand.IntN(p.n)), make([]byte, otp.DigestSize), now)
				if err != nil || !applied {
					t.Errorf("an attempt was not counted: %v", err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
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
	r.MaxAttempts = 100 // whichever are met by chance
	return r
}

func fill(t testing.TB, s *redisstore.Store, n int) {
	t.Helper()
	sends := []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: 24 * time.Hour}}
	guesses := []otp.Limit{{N: 20_000, Per: 24 * time.Hour}}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := int(next.Add(1) - 1); i < n; i = int(next.Add(1) - 1) {
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

func usedMemory(t testing.TB, client *redis.Client) int {
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
