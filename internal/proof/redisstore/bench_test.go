package redisstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
	"otp.example/otp/storetest"
)

// BenchmarkStore times the calls of a store, to be compared with those of other stores.
func BenchmarkStore(b *testing.B) {
	client := connect(b, servers.Redis(b, servers.RedisServer))
	storetest.Benchmark(b, func(t testing.TB) otp.ChargingStore { return open(t, client, redisstore.Options{}) })
}

// floorScript is what no verification by one script can do without: it reads one hash and
// counts in it.
var floorScript = redis.NewScript(`
local r = redis.call('HMGET', KEYS[1], 'state', 'attempts', 'max', 'expires', 'digests', 'sealed')
if r[1] == '1' and tonumber(r[2]) < tonumber(r[3]) and tonumber(ARGV[1]) < tonumber(r[4]) then
  redis.call('HINCRBY', KEYS[1], 'attempts', 1)
end
return r`)

// BenchmarkOperations times what a service does, in turn with as many runs of the floor, on
// as many connections, and reports how much of the floor's throughput is left.
func BenchmarkOperations(b *testing.B) {
	// Where the disk decides, as with appendfsync always, everything takes as long.
	url := servers.StartRedis(b, servers.RedisServer, "--appendonly", "yes", "--appendfsync", "everysec").DSN
	for _, op := range []struct {
		name string
		make func(w *world) (prepare func(n int), do func(i int) error)
	}{
		{"PutWithFourMeters", (*world).puts},
		{"Request", (*world).requests},
		{"VerifyWrong", (*world).wrongAnswers},
		{"VerifyRight", (*world).rightAnswers},
	} {
		for _, clients := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/clients=%d", op.name, clients), func(b *testing.B) {
				w := newWorld(b, url, clients)
				prepare, do := op.make(w)
				const each = 16 // calls of a client in one iteration
				n := clients * each
				var took, least time.Duration
				var ratios []float64 // the median is what other programs disturb least
				var allocs uint64
				total := 0
				for b.Loop() {
					b.StopTimer()
					prepare(n)
					bare := w.together(n, w.floor)
					var before, after runtime.MemStats
					runtime.ReadMemStats(&before)
					b.StartTimer()
					full := w.together(n, do)
					b.StopTimer()
					runtime.ReadMemStats(&after)
					allocs += after.Mallocs - before.Mallocs
					total, least, took = total+n, least+bare, took+full
					ratios = append(ratios, float64(bare)/float64(full))
					b.StartTimer()
				}
				b.ReportMetric(float64(total)/took.Seconds(), "op/s")
				b.ReportMetric(float64(total)/least.Seconds(), "floor/s")
				slices.Sort(ratios)
				b.ReportMetric(ratios[len(ratios)/2], "of-floor")
				b.ReportMetric(float64(allocs)/float64(total), "allocs/call")
			})
		}
	}
}

// A world is a service on a store, and people who use it.
type world struct {
	b       *testing.B
	clients int
	redis   *redis.Client
	store   *redisstore.Store
	svc     *otp.Service
	now     time.Time
	people  atomic.Int64
	codes   sync.Map // by recipient
	made    []challenge
}

type challenge struct{ id, code string }

func newWorld(b *testing.B, url string, clients int) *world {
	b.Helper()
	w := &world{b: b, clients: clients, now: time.Now()}
	o, err := redis.ParseURL(url)
	require.NoError(b, err)
	o.ContextTimeoutEnabled, o.PoolSize = true, clients
	w.redis = redis.NewClient(o)
	b.Cleanup(func() { w.redis.Close() })
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	keys, err := otp.NewKeyring(otp.Key{ID: "bench", Secret: secret})
	require.NoError(b, err)
	w.store = open(b, w.redis, redisstore.Options{})
	sender := otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		w.codes.Store(m.To, m.Code.Reveal())
		return otp.Receipt{}, nil
	})
	w.svc, err = otp.New(otp.Config{
		Store: w.store, Limiter: w.store, Keyring: keys, Senders: map[otp.Channel]otp.Sender{otp.SMS: sender},
		// Time goes by with the people who come, so that no limit of all of them is met.
		Now:              func() time.Time { return w.now.Add(time.Duration(w.people.Load()) * 10 * time.Millisecond) },
		TenantGuessLimit: otp.Limit{N: 1e9, Per: time.Minute},
	})
	require.NoError(b, err)
	for i := range 64 {
		require.NoError(b, w.redis.HSet(b.Context(), floorKey(i), "state", 1, "attempts", 0, "max", 1<<30, "expires", 1<<52,
			"digests", make([]byte, otp.DigestSize), "sealed", make([]byte, 300)).Err())
	}
	return w
}

func floorKey(i int) string { return fmt.Sprintf("floor:%d", i%64) }

func (w *world) floor(i int) error {
	return floorScript.Run(w.b.Context(), w.redis, []string{floorKey(i)}, w.now.UnixMicro()).Err()
}

// together makes n calls from all clients.
func (w *world) together(n int, do func(i int) error) time.Duration {
	w.b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	start := time.Now()
	for range w.clients {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(int(i)); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	if err := failed.Load(); err != nil {
		w.b.Fatal(*err)
	}
	return took
}

func (w *world) request() (challenge, error) {
	n := w.people.Add(1)
	to := fmt.Sprintf("+49%09d", n*100_003%1e9) // each in another range of numbers
	ch, err := w.svc.Request(w.b.Context(), otp.Request{Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("s", n), To: to})
	if err != nil {
		return challenge{}, err
	}
	code, _ := w.codes.LoadAndDelete(to)
	return challenge{ch.ID, code.(string)}, nil
}

// puts are requests as a store sees them.
func (w *world) puts() (func(int), func(int) error) {
	sends := []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: 24 * time.Hour}}
	guesses := []otp.Limit{{N: 20_000, Per: 24 * time.Hour}}
	return func(int) {}, func(int) error {
		n := w.people.Add(1)
		charge := func(key string, cost int64, limits []otp.Limit) otp.Charge {
			return otp.Charge{Scope: key, Key: fmt.Sprint(key, n), Cost: cost, Limits: limits, At: w.now}
		}
		out, err := w.store.PutCharged(w.b.Context(), record(fmt.Sprint("r", n), w.now), []otp.Charge{
			charge("recipient", 1, sends), charge("subject", 1, sends), charge("client", 1, sends), charge("guesses", 5_000, guesses),
		}, w.now)
		if err == nil && !out.Applied {
			return fmt.Errorf("refused: %v", out.Refused)
		}
		return err
	}
}

func (w *world) requests() (func(int), func(int) error) {
	return func(int) {}, func(int) error { _, err := w.request(); return err }
}

// ask requests n challenges.
func (w *world) ask(n int) {
	w.made = make([]challenge, n)
	w.together(n, func(i int) (err error) {
		w.made[i], err = w.request()
		return err
	})
}

func (w *world) wrongAnswers() (func(int), func(int) error) {
	const attempts = 4 // one less than a challenge has
	return func(n int) { w.ask(n/attempts + 1) }, func(i int) error {
		c := w.made[i/attempts]
		wrong := []byte(c.code)
		wrong[0] ^= 1
		if _, err := w.svc.Verify(w.b.Context(), otp.Answer{ID: c.id, Usage: "login", Code: string(wrong)}); err == nil {
			return fmt.Errorf("a wrong code is right")
		}
		return nil
	}
}

func (w *world) rightAnswers() (func(int), func(int) error) {
	return w.ask, func(i int) error {
		_, err := w.svc.Verify(w.b.Context(), otp.Answer{ID: w.made[i].id, Usage: "login", Code: w.made[i].code})
		return err
	}
}
