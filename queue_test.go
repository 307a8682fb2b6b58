package otp_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

func inQueue(t *testing.T, q *otp.Queue) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- q.Run(ctx) }()
	return func() {
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
	}
}

func message(key string) otp.Message {
	return otp.Message{Key: key, Channel: otp.SMS, To: "+4930123456", Code: otp.NewSecret("493817"), TTL: 5 * time.Minute}
}

// S-76: a message that was refused is tried again with the same key, at most four times in all. One that may
// be on its way is not: the person would get it twice.
func TestQueueRetries(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fail []error // of each try
		want int
		took time.Duration
	}{
		{"at once", nil, 1, 0},
		{"second try", []error{otp.ErrNotAccepted}, 2, time.Second},
		{"refused, then taken", []error{otp.ErrNotAccepted, otp.ErrNotAccepted}, 3, 3 * time.Second},
		{"never", []error{otp.ErrNotAccepted, otp.ErrNotAccepted, otp.ErrNotAccepted, otp.ErrNotAccepted, otp.ErrNotAccepted}, 4, 7 * time.Second},
		{"unknown outcome", []error{errProvider}, 1, 0},
		{"refused, then unknown", []error{otp.ErrNotAccepted, errProvider}, 2, time.Second},
		{"undeliverable", []error{otp.ErrUndeliverable}, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begin, keys := time.Now(), []string{}
				var last time.Duration
				q := otp.NewQueue(otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
					keys, last = append(keys, m.Key), time.Since(begin)
					if n := len(keys); n <= len(tt.fail) {
						return otp.Receipt{}, tt.fail[n-1]
					}
					return otp.Receipt{}, nil
				}), 10)
				stop := inQueue(t, q)
				_, err := q.Send(t.Context(), message("k"))
				require.NoError(t, err)
				time.Sleep(time.Minute) // in the bubble
				stop()
				require.Len(t, keys, tt.want)
				require.Equal(t, tt.took, last)
				for _, k := range keys {
					require.Equal(t, "k", k)
				}
			})
		})
	}
}

// A message that waited too long is a failed delivery, and what it was charged comes back.
func TestQueueTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		box := &outbox{}
		q := otp.NewQueue(box, 10)
		w := newWorld(t, func(c *otp.Config) {
			c.Senders, c.Now = map[otp.Channel]otp.Sender{otp.SMS: q}, time.Now
		})
		w.request(login(number()))
		time.Sleep(10 * time.Minute)
		w.store.take()
		stop := inQueue(t, q)
		synctest.Wait()
		stop()
		failed := w.events.of(otp.EventSendFailed)
		require.Len(t, failed, 1)
		require.Equal(t, "delivery_failed", failed[0].Reason)
		require.ErrorIs(t, failed[0].Err, otp.ErrDelivery)
		require.Equal(t, []string{"GiveAll"}, w.store.take())
		require.Zero(t, box.count())
	})
}

// S-76: nothing is sent, nor tried again, after its challenge has expired.
func TestQueueDropsExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		q := otp.NewQueue(otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
			sent++
			return otp.Receipt{}, otp.ErrNotAccepted
		}), 10)
		m := message("k")
		m.TTL = 2 * time.Second
		_, err := q.Send(t.Context(), m)
		require.NoError(t, err)
		time.Sleep(time.Second)
		stop := inQueue(t, q)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, 1, sent, "one second was left, and the pause took it")
		_, err = q.Send(t.Context(), otp.Message{})
		require.NoError(t, err)
		synctest.Wait()
		stop()
		require.Equal(t, 1, sent)
	})
}

func TestQueueBoundAndShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		sent := map[string]bool{}
		q := otp.NewQueue(otp.SenderFunc(func(ctx context.Context, m otp.Message) (otp.Receipt, error) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done(): // the end of Run must not cut off what has begun
				return otp.Receipt{}, ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			sent[m.Key] = true
			return otp.Receipt{}, nil
		}), 100)
		for i := range 100 {
			_, err := q.Send(t.Context(), message(fmt.Sprint(i)))
			require.NoError(t, err)
		}
		_, err := q.Send(t.Context(), message("too many"))
		require.ErrorIs(t, err, otp.ErrNotAccepted)
		stop := inQueue(t, q)
		time.Sleep(time.Second / 2)
		stop()
		require.Len(t, sent, 100, "what was taken is sent before Run returns")
		_, err = q.Send(t.Context(), message("too late"))
		require.ErrorIs(t, err, otp.ErrNotAccepted)
	})
}

// S-78: a sender that panics takes no worker with it.
func TestQueueContainsPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		q := otp.NewQueue(otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
			tries++
			panic("sender")
		}), 100)
		stop := inQueue(t, q)
		_, err := q.Send(t.Context(), message("k"))
		require.NoError(t, err)
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, 1, tries, "the message may be on its way")
	})
}

// Messages that are to be tried again hold no worker: the others do not wait for them.
func TestQueueGoesOnWhileSomeWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var tries, sent atomic.Int64
		q := otp.NewQueue(otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			if m.Key == "bad" {
				tries.Add(1)
				return otp.Receipt{}, otp.ErrNotAccepted
			}
			require.Zero(t, time.Since(begin))
			sent.Add(1)
			return otp.Receipt{}, nil
		}), 100)
		for range 80 {
			_, err := q.Send(t.Context(), message("bad"))
			require.NoError(t, err)
		}
		_, err := q.Send(t.Context(), message("good"))
		require.NoError(t, err)
		stop := inQueue(t, q)
		time.Sleep(time.Minute) // in the bubble
		stop()
		require.EqualValues(t, 80*4, tries.Load())
		require.EqualValues(t, 1, sent.Load())
	})
}

// Providers are told what is left of the challenge when it is their turn, and not what was when the message
// began to wait.
func TestQueueTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left []time.Duration
		q := otp.NewQueue(otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			left = append(left, m.TTL)
			return otp.Receipt{}, otp.ErrNotAccepted
		}), 10)
		_, err := q.Send(t.Context(), message("k"))
		require.NoError(t, err)
		time.Sleep(time.Minute + 100*time.Millisecond) // in the bubble
		stop := inQueue(t, q)
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, []time.Duration{240 * time.Second, 239 * time.Second, 237 * time.Second, 233 * time.Second}, left)
	})
}

func TestBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		calls, err := 0, error(nil)
		b := otp.Breaker(otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
			calls++
			return otp.Receipt{}, err
		}))
		try := func() error {
			_, err := b.Send(t.Context(), message("k"))
			return err
		}
		err = otp.ErrUndeliverable
		for range 10 {
			require.ErrorIs(t, try(), otp.ErrUndeliverable)
		}
		require.Equal(t, 10, calls, "a number that does not exist is no failure of the provider")

		err = errProvider
		gone, leave := context.WithCancel(t.Context())
		leave()
		for range 10 {
			_, err := b.Send(gone, message("k"))
			require.ErrorIs(t, err, errProvider)
		}
		require.Equal(t, 20, calls, "nor is somebody who hung up")

		for range 5 {
			require.ErrorIs(t, try(), errProvider)
		}
		calls = 0
		require.ErrorIs(t, try(), otp.ErrNotAccepted)
		require.Zero(t, calls)

		time.Sleep(30 * time.Second)
		_, left := b.Send(gone, message("k"))
		require.ErrorIs(t, left, errProvider)
		require.ErrorIs(t, try(), errProvider, "one looks, since the one before saw nothing")
		require.ErrorIs(t, try(), otp.ErrNotAccepted)
		require.Equal(t, 2, calls)

		time.Sleep(30 * time.Second)
		err = nil
		require.NoError(t, try())
		require.NoError(t, try())
		require.Equal(t, 4, calls)
	})
}

// While one message looks whether a provider is back, the others do not wait for it.
func TestBreakerLetsOneLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		calls, err := 0, errProvider
		b := otp.Breaker(otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
			if calls++; calls > 5 {
				<-hang
			}
			return otp.Receipt{}, err
		}))
		for range 5 {
			_, err := b.Send(t.Context(), message("k"))
			require.Error(t, err)
		}
		time.Sleep(30 * time.Second)
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() { _, _ = b.Send(context.Background(), message("k")) })
		}
		synctest.Wait()
		require.Equal(t, 6, calls)
		close(hang)
		wg.Wait()
	})
}
