package timing_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// S-52 S-78: a thousand requests at once, each for a message that takes the provider 200 ms:
// no request waits, at most as many messages are held as the queue has places, and when
// Run has returned nothing of it is left running. A bubble ends only then.
func TestRequestsDoNotWaitForTheProvider(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1000, 100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const requests, workers = 1000, 16
				var sending, most, sent atomic.Int64
				w := newWorld(t, otp.SenderFunc(func(ctx context.Context, _ otp.Message) (otp.Receipt, error) {
					n := sending.Add(1)
					defer sending.Add(-1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					select {
					case <-time.After(200 * time.Millisecond): // of the bubble
						sent.Add(1)
						return otp.Receipt{}, nil
					case <-ctx.Done():
						return otp.Receipt{}, ctx.Err()
					}
				}), size, func(c *otp.Config) { c.Render = otp.DefaultRender })
				stop := w.run()
				synctest.Wait()
				start := time.Now()
				var all sync.WaitGroup
				var accepted, refused atomic.Int64
				for i := range requests {
					all.Go(func() {
						_, err := w.Request(context.Background(), otp.Request{
							Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("user ", i), To: fmt.Sprintf("+49%09d", i),
						})
						if err == nil {
							accepted.Add(1)
						} else if refused.Add(1); !errors.Is(err, otp.ErrNotAccepted) {
							t.Error(err)
						}
						assert.Equal(t, start, time.Now(), "a request waited")
					})
				}
				all.Wait()
				require.Equal(t, start, time.Now())
				require.Zero(t, sent.Load())
				if size >= requests {
					require.Zero(t, refused.Load())
				} else {
					require.LessOrEqual(t, accepted.Load(), int64(size+workers), "what is in the queue and at the provider")
					require.GreaterOrEqual(t, accepted.Load(), int64(size))
				}
				stop()
				require.Equal(t, accepted.Load(), sent.Load(), "all that was accepted is sent before Run returns")
				require.LessOrEqual(t, most.Load(), int64(workers))
				rounds := (accepted.Load() + workers - 1) / workers
				require.Equal(t, time.Duration(rounds)*200*time.Millisecond, time.Since(start))
			})
		})
	}
}
