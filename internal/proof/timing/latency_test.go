package timing_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

type requestKey struct{}

// S-52: how long a concealed request and a wrong answer take, for somebody known, nobody,
// and somebody whose limit is used up, in turn; with a provider that is fast and one that
// does not come back at all. The machine is shared and its times are for the reader. What is asserted is
// why they are alike: the same store calls, and a provider that is never on the path.
func TestLatency(t *testing.T) {
	samples := 2_000
	if long() {
		samples = 10_000
	}
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("provider hangs %v", hangs), func(t *testing.T) {
			release := make(chan struct{})
			var entered, onPath atomic.Int64
			w := newWorld(t, otp.SenderFunc(func(ctx context.Context, _ otp.Message) (otp.Receipt, error) {
				entered.Add(1)
				if ctx.Value(requestKey{}) != nil {
					onPath.Add(1) // a queue has a context of its own
				}
				if hangs {
					<-release
				}
				return otp.Receipt{}, nil
			}), 8*samples+1000, func(c *otp.Config) {
				c.Policies = recipientOnly(t, otp.Policy{
					MaxAttempts: 1, LiveCodes: 1, // so the tenant's guesses last
					TTL: 10 * time.Minute, // of this machine, for what waits in the queue
				})
			})
			stop := w.run()
			ctx := context.WithValue(t.Context(), requestKey{}, true)
			w.request(concealed("", "+4930999999")) // takes the tenant's lease

			names := []string{"known", "unknown", "limited"}
			took := map[string][]float64{}
			n := 0
			one := func(name string, keep bool) {
				n++
				r := concealed(fmt.Sprint("user ", n), fmt.Sprintf("+49%09d", n))
				// Everybody has somebody who asked just before: the limited the same one.
				other := concealed("", fmt.Sprintf("+48%09d", n))
				if name == "limited" {
					other.To = r.To
				}
				w.request(other)
				if r.Decoy = name == "unknown"; r.Decoy {
					r.Subject = ""
				}
				w.store.take()
				start := time.Now()
				ch, err := w.Request(ctx, r)
				requested := time.Since(start)
				require.NoError(t, err)
				calls := slices.DeleteFunc(w.store.take(), func(c string) bool { return c == "Take" }) // a lease ended, for whoever came
				require.Equal(t, []string{"PutCharged"}, calls, name)
				code := wrong(w.codes[len(w.codes)-1])
				w.codes = w.codes[:0]
				start = time.Now()
				_, err = w.Verify(ctx, otp.Answer{ID: ch.ID, Code: code, Usage: "login"})
				verified := time.Since(start)
				require.ErrorIs(t, err, otp.ErrMismatch)
				require.Equal(t, []string{"Spend"}, w.store.take(), name)
				if keep {
					took["request "+name] = append(took["request "+name], float64(requested.Nanoseconds()))
					took["wrong code "+name] = append(took["wrong code "+name], float64(verified.Nanoseconds()))
				}
			}
			// Interleaved in an order that nothing else on the machine knows.
			rnd := rand.New(rand.NewPCG(1, 2))
			for i := range samples + samples/10 {
				rnd.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				for _, name := range names {
					one(name, i >= samples/10) // what is before warms up
				}
			}
			if hangs {
				require.LessOrEqual(t, entered.Load(), int64(16), "the workers of the queue")
			}
			close(release)
			stop()
			require.Zero(t, onPath.Load())
			// The messages to the known and to those who asked just before, and no other.
			require.Equal(t, int64(4*(samples+samples/10)+1), entered.Load())
			for _, what := range []string{"request ", "wrong code "} {
				for _, name := range []string{"known", "unknown", "limited"} {
					s := took[what+name]
					slices.Sort(s)
					t.Logf("%-20s %d samples: minimum %6.1f µs, median %6.1f µs, Welch t against known %6.2f, without the slowest tenth %6.2f",
						what+name, len(s), s[0]/1e3, s[len(s)/2]/1e3, welch(took[what+"known"], s), welch(crop(took[what+"known"]), crop(s)))
				}
			}
		})
	}
}

// crop drops the slowest tenth of what is sorted: what else the machine did.
func crop(s []float64) []float64 { return s[:len(s)*9/10] }

// welch is Welch's t of two samples.
func welch(a, b []float64) float64 {
	ma, va := moments(a)
	mb, vb := moments(b)
	if va+vb == 0 {
		return 0
	}
	return (mb - ma) / math.Sqrt(va/float64(len(a))+vb/float64(len(b)))
}

func moments(s []float64) (mean, variance float64) {
	for _, v := range s {
		mean += v / float64(len(s))
	}
	for _, v := range s {
		variance += (v - mean) * (v - mean) / float64(len(s)-1)
	}
	return mean, variance
}

// The statistics find a difference where there is one and none where there is none.
func TestWelch(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	draw := func(mean float64) (s []float64) {
		for range 2000 {
			s = append(s, mean+rnd.NormFloat64())
		}
		return s
	}
	require.Less(t, math.Abs(welch(draw(10), draw(10))), 4.5)
	require.Greater(t, welch(draw(10), draw(10.5)), 10.0)
}
