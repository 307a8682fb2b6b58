package otp_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// newConcealing returns a world whose SMS channel is a queue in front of the box. It
// must be called within a synctest bubble; run waits until the queue is idle.
func newConcealing(t *testing.T, edit ...func(*otp.Config)) (w *world, run func()) {
	var queue *otp.Queue
	w = newWorld(t, append([]func(*otp.Config){func(c *otp.Config) {
		queue = otp.NewQueue(c.Senders[otp.SMS], 100)
		c.Senders[otp.SMS] = queue
	}}, edit...)...)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error)
	go func() { done <- queue.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.ErrorIs(t, <-done, context.Canceled)
	})
	return w, synctest.Wait
}

// A desk is a store at which the workers of a queue wait while a client is served: what they give
// back is on nobody's path, but they can be quicker than the answer.
type desk struct {
	*recorder
	free chan struct{} // holds one thing while nobody is served
}

func (d desk) GiveAll(ctx context.Context, c []otp.Charge) error {
	select {
	case <-d.free:
	case <-ctx.Done(): // it was on a client's path after all, and took its time
		return ctx.Err()
	}
	defer func() { d.free <- struct{}{} }()
	return d.recorder.GiveAll(ctx, c)
}

// serve does what is on a client's path, and returns the calls of that alone.
func (d desk) serve(f func()) []string {
	<-d.free
	defer func() { d.free <- struct{}{} }()
	d.take()
	f()
	return d.take()
}

// S-51 S-52 S-53: for a known, an unknown and a limited recipient, and for one that no provider
// reaches or a guard refuses, every answer is the same and costs the same store calls.
func TestConceal(t *testing.T) {
	t.Parallel()
	type seenByClient struct {
		requested, status, resent, resentStatus otp.Challenge
		wrong                                   string
		calls                                   []string
	}
	use := func(t *testing.T, prepare func(*world, *otp.Request)) (got seenByClient, sent int, events []otp.EventType) {
		synctest.Test(t, func(t *testing.T) {
			free := make(chan struct{}, 1)
			free <- struct{}{}
			w, run := newConcealing(t, func(c *otp.Config) { c.Store = desk{c.Store.(*recorder), free} })
			served := desk{w.store, free}.serve
			w.request(login(number())) // takes the tenant's lease
			run()
			r := otp.Request{
				Channel: otp.SMS, Usage: "login", Subject: "alice", To: number(), Conceal: true,
				Client: netip.MustParseAddr("192.0.2.7"),
			}
			prepare(w, &r)
			before, told := w.box.count(), len(w.events.types())
			start := time.Now()
			got.calls = served(func() { got.requested = w.request(r) })
			run()
			var err error
			got.calls = append(got.calls, served(func() {
				got.status, err = w.Status(t.Context(), got.requested.ID)
				require.NoError(t, err)
				_, err = w.answer(otp.Answer{ID: got.requested.ID, Code: "000000", Usage: "login"})
			})...)
			got.wrong = err.Error()
			var mismatch *otp.MismatchError
			require.ErrorAs(t, err, &mismatch)
			w.clock.advance(31 * time.Second)
			got.calls = append(got.calls, served(func() {
				got.resent, err = w.Resend(t.Context(), otp.Resend{ID: got.requested.ID, Client: r.Client})
			})...)
			require.NoError(t, err)
			got.resentStatus, err = w.Status(t.Context(), got.requested.ID)
			require.NoError(t, err)
			require.Equal(t, start, time.Now(), "S-52: nothing waits for a provider")
			run()
			sent, events = w.box.count()-before, w.events.types()[told:]
			for _, c := range []*otp.Challenge{&got.requested, &got.status, &got.resent, &got.resentStatus} {
				require.NotEmpty(t, c.ID)
				c.ID = ""
			}
		})
		return got, sent, events
	}

	known, sent, events := use(t, func(*world, *otp.Request) {})
	require.Equal(t, 2, sent)
	require.NotContains(t, events, otp.EventLimited)
	for name, prepare := range map[string]func(*world, *otp.Request){
		"decoy":              func(_ *world, r *otp.Request) { r.Decoy = true },
		"decoy, no subject":  func(_ *world, r *otp.Request) { r.Decoy, r.Subject = true, "" },
		"refused by a guard": func(_ *world, r *otp.Request) { r.To = "+8811234567" },
		"limited": func(w *world, r *otp.Request) {
			for range 3 { // all messages of ten minutes, from elsewhere, and the guesses given back
				other := *r
				other.Client = netip.Addr{}
				ch := w.request(other)
				synctest.Wait()
				_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
				require.NoError(t, err)
				w.clock.advance(time.Minute)
			}
		},
		"undeliverable": func(w *world, _ *otp.Request) { w.box.fail(otp.ErrUndeliverable) },
	} {
		got, sent, events := use(t, prepare)
		// Times differ where the clock was moved to prepare; what is left is relative to it.
		for _, c := range []*otp.Challenge{&got.requested, &got.status, &got.resent, &got.resentStatus} {
			shift := got.requested.CreatedAt.Sub(known.requested.CreatedAt)
			if c != &got.requested {
				shift = c.CreatedAt.Sub(known.requested.CreatedAt)
			}
			c.CreatedAt, c.ExpiresAt, c.ResendAt = c.CreatedAt.Add(-shift), c.ExpiresAt.Add(-shift), c.ResendAt.Add(-shift)
		}
		require.Equal(t, known, got, name)
		switch name {
		case "undeliverable":
			require.Contains(t, events, otp.EventSendFailed, name)
		case "limited":
			require.Zero(t, sent, name)
			require.Contains(t, events, otp.EventLimited, name)
		default:
			require.Zero(t, sent, name)
		}
	}
}

// The limits of the client's own address still answer.
func TestConcealAnswersTheClientsLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, _ := newConcealing(t)
		r := otp.Request{Channel: otp.SMS, Usage: "login", Conceal: true, Client: netip.MustParseAddr("192.0.2.7")}
		for i := range 11 {
			r.To, r.Decoy = number(), i%2 == 0
			_, err := w.Request(t.Context(), r)
			if i < 10 {
				require.NoError(t, err)
				continue
			}
			var limited *otp.RateLimitError
			require.ErrorAs(t, err, &limited)
			require.Equal(t, "client", limited.Scope)
		}
	})
}

// A concealed refusal stores no code: nothing verifies it until a resend is allowed.
func TestConcealedRefusalRecovers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, run := newConcealing(t)
		r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: number(), Conceal: true}
		w.request(r)
		ch := w.request(r) // within the interval: silently refused
		run()
		require.Equal(t, 1, w.box.count())
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.ErrorIs(t, err, otp.ErrMismatch)
		w.clock.advance(30 * time.Second)
		_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		run()
		require.Equal(t, 2, w.box.count())
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
	})
}

// What was silently refused has no code, so nobody can guess at it, and nothing stays
// reserved: whoever asks again and again makes no code of the owner longer.
func TestConcealedRefusalReservesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, run := newConcealing(t)
		r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: number(), Conceal: true}
		for range 20 {
			ch := w.request(r)
			run()
			require.Equal(t, 6, ch.CodeFormat.Length)
		}
		require.Equal(t, 1, w.box.count())
	})
}

// Who asks too early is told so, by the challenge's own times, and loses no send.
func TestConcealedResendTooEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, run := newConcealing(t)
		for _, decoy := range []bool{false, true} {
			ch := w.request(otp.Request{Channel: otp.SMS, Usage: "login", To: number(), Conceal: true, Decoy: decoy})
			w.clock.advance(10 * time.Second)
			_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
			var limited *otp.RateLimitError
			require.ErrorAs(t, err, &limited)
			require.Equal(t, 20*time.Second, limited.RetryAfter)
			w.clock.advance(limited.RetryAfter)
			again, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
			require.NoError(t, err)
			require.Equal(t, 1, again.SendsLeft)
		}
		run()
		require.Equal(t, 2, w.box.count())
	})
}

// No code verifies a decoy, not even the caller's own.
func TestDecoy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := login(number())
	r.Decoy, r.Code = true, otp.NewSecret("735194")
	ch := w.request(r)
	require.Zero(t, w.box.count())
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: "735194", Usage: "login"})
	require.ErrorIs(t, err, otp.ErrMismatch)
	w.clock.advance(30 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	require.Zero(t, w.box.count())
	_, err = w.Request(t.Context(), r)
	require.ErrorIs(t, err, otp.ErrRateLimited, "limits hold for decoys, too")
}

// A provider's refusal that arrives later gives the limits back, and the challenge lives
// on: its handle is out, and a resend may take another route.
func TestQueuedRefusal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, run := newConcealing(t)
		w.box.fail(otp.ErrUndeliverable)
		r := login(number())
		ch := w.request(r)
		run()
		require.Len(t, w.events.of(otp.EventSendFailed), 1)
		require.Equal(t, "delivery_failed", w.events.of(otp.EventSendFailed)[0].Reason)
		st, err := w.Status(t.Context(), ch.ID)
		require.NoError(t, err)
		require.Equal(t, otp.StatusPending, st.Status)
		w.box.fail(nil)
		_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err, "no interval to wait for")
		run()
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
	})
}

// A full queue refuses; concealed, it is an event.
func TestFullQueue(t *testing.T) {
	t.Parallel()
	queue := otp.NewQueue(&outbox{}, 1) // nobody runs it
	w := newWorld(t, func(c *otp.Config) { c.Senders[otp.SMS] = queue })
	w.request(login(number()))
	r := login(number())
	_, err := w.Request(t.Context(), r)
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	_, err = w.Request(t.Context(), r)
	require.ErrorIs(t, err, otp.ErrDelivery, "the limit was given back")
	r.Conceal = true
	w.request(r)
	require.Len(t, w.events.of(otp.EventSendFailed), 3)
}

var errProvider = errors.New("provider")

// S-51 S-52: a message that cannot be rendered costs a real account no call that a decoy does not make.
func TestConcealedRenderFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, run := newConcealing(t, func(c *otp.Config) {
			c.Render = func(context.Context, otp.Message) (otp.Content, error) { return otp.Content{}, errors.New("too long") }
		})
		calls := func(decoy bool) []string {
			r := login(number())
			r.Conceal, r.Decoy = true, decoy
			w.store.take()
			w.request(r)
			run()
			return w.store.take()
		}
		calls(false) // takes the lease
		require.Equal(t, calls(true), calls(false))
	})
}

// A concealed resend that a guard refuses leaves the code alone that the person has.
func TestConcealedResendThatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refuse := false
		w, run := newConcealing(t, policy(otp.Policy{LiveCodes: 1}), func(c *otp.Config) {
			c.Guard = guard(func(otp.Request) error {
				if refuse {
					return otp.ErrRefused
				}
				return nil
			})
		})
		r := login(number())
		r.Conceal = true
		ch := w.request(r)
		run()
		code := w.box.code(t)
		w.clock.advance(31 * time.Second)
		refuse = true
		_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		run()
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: code, Usage: "login"})
		require.NoError(t, err)
	})
}
