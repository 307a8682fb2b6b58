package sender_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender"
)

var (
	errTimeout = errors.New("i/o timeout")
	errBusy    = fmt.Errorf("%w: 429", sender.ErrTryLater)
)

// A provider answers its calls with errs in turn, then accepts.
type provider struct {
	name string
	errs []error

	mu    sync.Mutex
	keys  []string
	ttls  []time.Duration
	times []time.Duration // since newProvider
	begin time.Time
}

func newProvider(name string, errs ...error) *provider {
	return &provider{name: name, errs: errs, begin: time.Now()}
}

func (p *provider) Send(_ context.Context, m otp.Message) (otp.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys, p.ttls, p.times = append(p.keys, m.Key), append(p.ttls, m.TTL), append(p.times, time.Since(p.begin))
	if n := len(p.keys); n <= len(p.errs) && p.errs[n-1] != nil {
		return otp.Receipt{}, p.errs[n-1]
	}
	return otp.Receipt{Provider: p.name}, nil
}

// message returns one whose ExpiresAt is long past: it is by the service's clock, which need not be that of
// the process.
func message(to string) otp.Message {
	return otp.Message{Key: "k", Channel: otp.SMS, To: to, Code: otp.NewSecret("493817"), ExpiresAt: time.Unix(1, 0)}
}

// A message that was not taken gives its limits back, and a failover goes on.
func TestErrTryLaterIsARefusal(t *testing.T) {
	t.Parallel()
	require.ErrorIs(t, sender.ErrTryLater, otp.ErrNotAccepted)
	require.NotErrorIs(t, sender.ErrTryLater, otp.ErrUndeliverable)
}

func TestRouteBy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		keys   func(otp.Message) []string
		routes []string
		m      otp.Message
		want   string // empty means refused
	}{
		{"channel", sender.Channel, []string{"sms", "voice"}, otp.Message{Channel: otp.Voice}, "voice"},
		{"channel without a route", sender.Channel, []string{"sms"}, otp.Message{Channel: otp.Voice}, ""},
		{"tenant", sender.Tenant, []string{"", "acme"}, otp.Message{Tenant: "acme"}, "acme"},
		{"other tenant", sender.Tenant, []string{"", "acme"}, otp.Message{Tenant: "acme2"}, "other"},
		{"no tenant", sender.Tenant, []string{"", "acme"}, otp.Message{}, "other"},
		{"country", sender.Country, []string{"+1", "+49", ""}, message("+4930123456"), "+49"},
		{"longest prefix", sender.Country, []string{"+1", "+1787", ""}, message("+17875550100"), "+1787"},
		{"shorter prefix", sender.Country, []string{"+1", "+1787", ""}, message("+12015550100"), "+1"},
		{"other country", sender.Country, []string{"+1", "+49", ""}, message("+4412345678"), "other"},
		{"no number", sender.Country, []string{"+", "a", ""}, message("a@example.com"), "other"},
		{"plus alone is no country", sender.Country, []string{"+"}, message("+4412345678"), ""},
		{"locale", sender.Locale, []string{"de", "zh-hant", "zh", ""}, otp.Message{Locale: "zh-Hant-TW"}, "zh-hant"},
		{"language", sender.Locale, []string{"de", "zh-hant", "zh", ""}, otp.Message{Locale: "de-AT"}, "de"},
		{"language with an underscore", sender.Locale, []string{"pt", ""}, otp.Message{Locale: "pt_BR"}, "pt"},
		{"region with an underscore", sender.Locale, []string{"pt-br", "pt", ""}, otp.Message{Locale: "pt_BR"}, "pt-br"},
		{"no part of a language", sender.Locale, []string{"de", ""}, otp.Message{Locale: "den"}, "other"},
		{"no locale", sender.Locale, []string{"de", ""}, otp.Message{}, "other"},
		{"empty", sender.Tenant, nil, otp.Message{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			routes := map[string]otp.Sender{}
			for _, r := range tt.routes {
				routes[r] = newProvider(r)
				if r == "" {
					routes[r] = newProvider("other")
				}
			}
			s := sender.RouteBy(tt.keys, routes)
			clear(routes) // it has its own copy
			receipt, err := s.Send(t.Context(), tt.m)
			if tt.want == "" {
				require.ErrorIs(t, err, otp.ErrNotAccepted)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.want, receipt.Provider)
		})
	}
}

// What a sender says goes through RouteBy unchanged.
func TestRouteByKeepsErrors(t *testing.T) {
	t.Parallel()
	s := sender.RouteBy(sender.Channel, map[string]otp.Sender{"": newProvider("p", errTimeout)})
	_, err := s.Send(t.Context(), message("+4930123456"))
	require.ErrorIs(t, err, errTimeout)
	require.NotErrorIs(t, err, otp.ErrNotAccepted)
}

// S-76: a message is tried again with the same key, only after a refusal that says that
// it helps, and never when it would be too late.
func TestRetry(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, tt := range []struct {
		name    string
		errs    []error
		tries   int
		ttl     time.Duration // zero means that the message does not say
		timeout time.Duration // of the context
		want    error
		times   []time.Duration // of the tries
	}{
		{"at once", nil, 3, 0, 0, nil, []time.Duration{0}},
		{"third try", []error{errBusy, errBusy}, 3, 0, 0, nil, []time.Duration{0, second / 2, 3 * second / 2}},
		{"never", []error{errBusy, errBusy, errBusy}, 3, 0, 0, errBusy, []time.Duration{0, second / 2, 3 * second / 2}},
		{"one try", []error{errBusy}, 1, 0, 0, errBusy, []time.Duration{0}},
		{"no tries are one", []error{errBusy}, 0, 0, 0, errBusy, []time.Duration{0}},
		{"plain refusal", []error{otp.ErrNotAccepted}, 3, 0, 0, otp.ErrNotAccepted, []time.Duration{0}},
		{"unknown outcome", []error{errTimeout}, 3, 0, 0, errTimeout, []time.Duration{0}},
		{"busy, then unknown", []error{errBusy, errTimeout}, 3, 0, 0, errTimeout, []time.Duration{0, second / 2}},
		{"undeliverable", []error{fmt.Errorf("%w: %w", errBusy, otp.ErrUndeliverable)}, 3, 0, 0, otp.ErrUndeliverable, []time.Duration{0}},
		{"expires before the third", []error{errBusy, errBusy}, 3, second, 0, errBusy, []time.Duration{0, second / 2}},
		{"expires at the second", []error{errBusy}, 3, second / 2, 0, errBusy, []time.Duration{0}},
		{"context ends at the second", []error{errBusy}, 3, 0, second / 2, errBusy, []time.Duration{0}},
		{"context ends after the second", []error{errBusy, errBusy}, 3, 0, second, errBusy, []time.Duration{0, second / 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, m, ctx := newProvider("p", tt.errs...), message("+4930123456"), t.Context()
				m.TTL = tt.ttl
				if tt.timeout > 0 {
					c, cancel := context.WithTimeout(ctx, tt.timeout)
					defer cancel()
					ctx = c
				}
				_, err := sender.Retry(p, tt.tries).Send(ctx, m)
				require.ErrorIs(t, err, tt.want)
				assert.Equal(t, tt.times, p.times)
				for _, k := range p.keys {
					assert.Equal(t, m.Key, k)
				}
				// A try that is too late is not waited for.
				assert.Equal(t, p.times[len(p.times)-1], time.Since(p.begin))
			})
		})
	}
}

// S-76: a failover that is tried again sends nothing after an unknown outcome of any of its senders: the
// message may be on its way, and the last refusal would give the limits back for it.
func TestRetryOfFailover(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		first, second error
		tries         int
	}{
		{"both are busy", errBusy, errBusy, 2},
		{"one is busy, one refuses", errBusy, otp.ErrNotAccepted, 2},
		{"one refuses, one is busy", otp.ErrNotAccepted, errBusy, 2},
		{"both refuse", otp.ErrNotAccepted, otp.ErrNotAccepted, 1},
		{"one is busy, one unknown", errBusy, errTimeout, 1},
		{"one is busy, one undeliverable", errBusy, otp.ErrUndeliverable, 1},
		{"one is busy, a failover within is unknown", errBusy, &otp.DeliveryError{Errs: []error{errBusy, errTimeout}}, 1},
		{"one is busy, a failover within is busy", errBusy, &otp.DeliveryError{Errs: []error{otp.ErrNotAccepted, errBusy}}, 2},
		{"a failover within is unknown", &otp.DeliveryError{Errs: []error{errBusy, errTimeout}}, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first, second := newProvider("first", tt.first), newProvider("second", tt.second)
				receipt, err := sender.Retry(otp.Failover(first, second), 3).Send(t.Context(), message("+4930123456"))
				require.Len(t, first.keys, tt.tries)
				if tt.tries == 1 {
					require.Error(t, err)
					return
				}
				require.NoError(t, err)
				require.Equal(t, "first", receipt.Provider)
			})
		})
	}
}

// What a message is told of its time is what is left of it, however long it waited.
func TestTTLIsWhatIsLeft(t *testing.T) {
	t.Parallel()
	const second = time.Second
	for _, tt := range []struct {
		name string
		make func(otp.Sender) otp.Sender
		ttl  time.Duration
		want []time.Duration
	}{
		{"retry", func(s otp.Sender) otp.Sender { return sender.Retry(s, 4) }, 20 * second, []time.Duration{20 * second, 20 * second, 19 * second, 17 * second}},
		{"retry at the end", func(s otp.Sender) otp.Sender { return sender.Retry(s, 4) }, 1600 * time.Millisecond, []time.Duration{2 * second, second, second}},
		{"retry without", func(s otp.Sender) otp.Sender { return sender.Retry(s, 3) }, 0, []time.Duration{0, 0, 0}},
		{"smooth", smooth3, 20 * second, []time.Duration{20 * second, 18 * second, 16 * second}},
		{"smooth without", smooth3, 0, []time.Duration{0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p, m := newProvider("p", errBusy, errBusy, errBusy, errBusy), message("+4930123456")
				m.TTL = tt.ttl
				_, err := tt.make(p).Send(t.Context(), m)
				require.ErrorIs(t, err, errBusy)
				require.Equal(t, tt.want, p.ttls)
			})
		})
	}
}

// smooth3 sends a message three times at once, with a turn every two seconds.
func smooth3(s otp.Sender) otp.Sender {
	s = sender.Smooth(s, 2*time.Second)
	return otp.SenderFunc(func(ctx context.Context, m otp.Message) (receipt otp.Receipt, err error) {
		var all sync.WaitGroup
		for range 2 {
			all.Go(func() { _, _ = s.Send(ctx, m) })
		}
		receipt, err = s.Send(ctx, m)
		all.Wait()
		return receipt, err
	})
}

// The error of the last try stands when the wait is cut off.
func TestRetryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("p", errBusy)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err := sender.Retry(p, 3).Send(ctx, message("+4930123456"))
		require.ErrorIs(t, err, errBusy)
		require.Len(t, p.keys, 1)
		require.Equal(t, 100*time.Millisecond, time.Since(p.begin))
	})
}

// S-78: a provider sees its rate, and never a burst.
func TestSmooth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const interval = time.Second / 10
		p := newProvider("p")
		s := sender.Smooth(p, interval)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				_, err := s.Send(t.Context(), message("+4930123456"))
				assert.NoError(t, err)
			})
		}
		all.Wait()
		require.Len(t, p.times, 50)
		for i, at := range p.times {
			require.Equal(t, time.Duration(i)*interval, at)
		}

		// Idle time is not saved up for a burst later.
		time.Sleep(time.Minute)
		p.times = nil
		for range 3 {
			all.Go(func() {
				_, err := s.Send(t.Context(), message("+4930123456"))
				assert.NoError(t, err)
			})
		}
		all.Wait()
		require.Equal(t, 2*interval, p.times[2]-p.times[0])
	})
}

// Who cannot be served in time hears it at once and takes nobody's turn.
func TestSmoothRefusesWhatWouldBeLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("p")
		s := sender.Smooth(p, time.Second)
		m := message("+4930123456")
		m.TTL = time.Second
		_, err := s.Send(t.Context(), m)
		require.NoError(t, err)

		begin := time.Now()
		_, err = s.Send(t.Context(), m) // its turn is when it expires
		require.ErrorIs(t, err, sender.ErrTryLater)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Send(ctx, message("+4930123456"))
		require.ErrorIs(t, err, sender.ErrTryLater)
		require.Zero(t, time.Since(begin), "a refusal is told at once")

		_, err = s.Send(t.Context(), message("+4930123456"))
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, time.Second}, p.times, "refused messages took turns")
	})
}

func TestSmoothEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("p")
		s := sender.Smooth(p, time.Second)
		_, err := s.Send(t.Context(), message("+4930123456"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second/2, cancel)
		_, err = s.Send(ctx, message("+4930123456"))
		require.ErrorIs(t, err, otp.ErrNotAccepted)
		require.Equal(t, time.Second/2, time.Since(p.begin))
		require.Len(t, p.times, 1)
	})
}

// S-78: whoever goes away while waiting leaves no gap behind. Otherwise one client that keeps hanging up, and
// gets its limits back each time, would take all turns there are.
func TestSmoothWithoutWhoeverLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("p")
		s := sender.Smooth(p, time.Second)
		send := func(ctx context.Context, key string) error {
			m := message("+4930123456")
			m.Key = key
			_, err := s.Send(ctx, m)
			return err
		}
		require.NoError(t, send(t.Context(), "at once"))
		var all sync.WaitGroup
		leaving, leave := context.WithCancel(t.Context())
		for _, key := range []string{"first", "gone", "second", "gone", "gone", "third"} {
			all.Go(func() {
				ctx := t.Context()
				if key == "gone" {
					ctx = leaving
				}
				err := send(ctx, key)
				assert.Equal(t, key == "gone", errors.Is(err, sender.ErrTryLater), "%s: %v", key, err)
			})
			synctest.Wait()
		}
		time.AfterFunc(1500*time.Millisecond, leave)
		all.Wait()
		require.Equal(t, []string{"at once", "first", "second", "third"}, p.keys)
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second, 3 * time.Second}, p.times)
	})
	synctest.Test(t, func(t *testing.T) {
		p := newProvider("p")
		s := sender.Smooth(p, time.Second)
		_, err := s.Send(t.Context(), message("+4930123456"))
		require.NoError(t, err)
		for range 100 {
			ctx, hangUp := context.WithCancel(t.Context())
			time.AfterFunc(time.Millisecond, hangUp)
			_, err := s.Send(ctx, message("+4930123456"))
			require.ErrorIs(t, err, sender.ErrTryLater)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = s.Send(ctx, message("+4930123456"))
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0, time.Second}, p.times)
	})
}

// The parts nest: a provider that is full for now loses a message to the next one.
func TestFailoverFromSmooth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second := newProvider("first"), newProvider("second")
		s := otp.Failover(sender.Smooth(first, time.Minute), second)
		for _, want := range []string{"first", "second"} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			receipt, err := s.Send(ctx, message("+4930123456"))
			cancel()
			require.NoError(t, err)
			require.Equal(t, want, receipt.Provider)
		}
	})
}
