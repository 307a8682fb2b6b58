package otp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

var errDisk = errors.New("disk on fire")

func failing(name string) func(string) error {
	return func(call string) error {
		if call == name {
			return errDisk
		}
		return nil
	}
}

// The calls of each operation are those of the table in docs/design.md. S-29 S-30
func TestStoreCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	is := func(want ...string) {
		t.Helper()
		require.Equal(t, want, w.store.take())
	}
	w.request(login(number()))
	is("Take", "PutCharged") // the lease of the tenant's guesses, taken ahead for several requests

	r := login(number())
	r.Client = netip.MustParseAddr("2001:db8::1")
	ch := w.request(r)
	is("PutCharged")
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(t)), Usage: "login"})
	require.Error(t, err)
	is("Spend")
	w.clock.advance(30 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	is("Get", "ReissueCharged")
	_, err = w.Status(t.Context(), ch.ID)
	require.NoError(t, err)
	is("Get")
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	is("Spend", "GiveAll")
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.Error(t, err)
	is("Spend")
	require.Error(t, w.Cancel(t.Context(), ch.ID))
	is("Cancel")

	r = login(number())
	r.Reference = "order"
	ch = w.request(r)
	is("PutCharged")
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(t)), Usage: "login"})
	require.Error(t, err)
	is("Get", "Spend")
}

// S-26: a fault of the store denies, and what may have happened counts as happened.
func TestStoreFaultDenies(t *testing.T) {
	t.Parallel()
	t.Run("put fails", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.faults(failing("PutCharged"), nil)
		_, err := w.Request(t.Context(), login(number()))
		requireFault(t, err)
		require.Zero(t, w.box.count())
		require.Equal(t, []otp.EventType{otp.EventFault}, w.events.types())
	})
	t.Run("answer of put is lost", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.store.faults(nil, failing("PutCharged"))
		_, err := w.Request(t.Context(), login(number()))
		requireFault(t, err)
		require.Zero(t, w.box.count(), "no code without a handle")
	})
	t.Run("spend fails", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ch := w.request(login(number()))
		w.store.faults(failing("Spend"), nil)
		p, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		requireFault(t, err)
		require.False(t, p.Valid())
		w.store.faults(nil, nil)
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err, "nothing was counted, so the code still works")
	})
	t.Run("answer of spend is lost", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ch := w.request(login(number()))
		w.store.faults(nil, failing("Spend"))
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		requireFault(t, err)
		w.store.faults(nil, nil)
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.ErrorIs(t, err, otp.ErrAlreadyVerified, "it was used up, and never twice")
	})
	// S-24: the attempt is counted before the caller learns the outcome.
	t.Run("lost answers spend attempts", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ch := w.request(login(number()))
		w.store.faults(nil, failing("Spend"))
		for range 5 {
			_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(t)), Usage: "login"})
			requireFault(t, err)
		}
		w.store.faults(nil, nil)
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.ErrorIs(t, err, otp.ErrAttemptsExceeded)
	})
	t.Run("give fails after a success", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ch := w.request(login(number()))
		w.store.faults(failing("GiveAll"), nil)
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err, "the code was right and is used up")
		require.Len(t, w.events.of(otp.EventFault), 1)
		require.Len(t, w.events.of(otp.EventVerified), 1)
	})
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		ch := w.request(login(number()))
		w.clock.advance(time.Minute)
		for _, call := range []string{"Get", "ReissueCharged"} {
			w.store.faults(failing(call), nil)
			_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
			requireFault(t, err)
		}
		w.store.faults(failing("Cancel"), nil)
		requireFault(t, w.Cancel(t.Context(), ch.ID))
		w.store.faults(failing("Get"), nil)
		_, err := w.Status(t.Context(), ch.ID)
		requireFault(t, err)
		require.Equal(t, 1, w.box.count())
	})
}

func requireFault(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, seen.err(err), errDisk)
	require.NotErrorIs(t, err, otp.ErrRejected)
	require.NotErrorIs(t, err, otp.ErrRateLimited)
}

// A ledger that cannot be read denies.
func TestLedgerFaultDenies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *otp.Config) { c.Limiter = brokenLimiter{} })
	_, err := w.Request(t.Context(), login(number()))
	requireFault(t, err)
	require.Zero(t, w.box.count())
}

type brokenLimiter struct{}

func (brokenLimiter) Take(context.Context, string, int64, []otp.Limit, time.Time) (otp.Decision, error) {
	return otp.Decision{OK: true}, errDisk
}

func (brokenLimiter) Give(context.Context, string, int64, []otp.Limit, time.Time) error {
	return errDisk
}

func TestCanceledContext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := w.Request(ctx, login(number()))
	require.ErrorIs(t, err, context.Canceled)
	_, err = w.Verify(ctx, otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, w.box.count())
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
}

// I6: limits are charged before the send, given back on a definite refusal, and kept
// when the message may be on its way.
func TestLimitsFollowTheSender(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		err       error
		givenBack bool
	}{
		{"not accepted", fmt.Errorf("%w: quota", otp.ErrNotAccepted), true},
		{"undeliverable", fmt.Errorf("%w: no such number", otp.ErrUndeliverable), true},
		{"unknown", errors.New("connection reset"), false},
		{"time-out", context.DeadlineExceeded, false},
		{"all refused", &otp.DeliveryError{Errs: []error{otp.ErrNotAccepted, otp.ErrUndeliverable}}, true},
		{"refused and unknown", &otp.DeliveryError{Errs: []error{otp.ErrNotAccepted, errors.New("eof")}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := login(number())
			w.box.fail(tt.err)
			ch, err := w.Request(t.Context(), r)
			require.ErrorIs(t, seen.err(err), otp.ErrDelivery)
			require.Equal(t, errors.Is(tt.err, otp.ErrNotAccepted), errors.Is(err, otp.ErrNotAccepted))
			require.Empty(t, ch.ID, "nobody gets a handle of a canceled challenge")
			require.Equal(t, []otp.EventType{otp.EventRequested, otp.EventSendFailed}, w.events.types())
			w.box.fail(nil)
			_, err = w.Request(t.Context(), r)
			if tt.givenBack {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, otp.ErrRateLimited)
			}
		})
	}
}

// Who names recipients that cannot be reached pays for it: those requests keep guesses that
// all accounts share.
func TestUnreachableRecipientsAreChargedToTheirClient(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		limits bool
	}{{otp.ErrUndeliverable, true}, {otp.ErrNotAccepted, false}} {
		w := newWorld(t)
		w.box.fail(tt.err)
		r := login("")
		r.Client, r.Subject = netip.MustParseAddr("203.0.113.66"), ""
		limited := false
		for range 50 {
			r.To = number()
			_, err := w.Request(t.Context(), r)
			limited = limited || errors.Is(err, otp.ErrRateLimited)
		}
		require.Equal(t, tt.limits, limited, "%v", tt.err)
	}
}

// A failure that is late cancels no challenge that has taken the reference meanwhile.
func TestLateFailureCancelsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := login(number())
	r.Reference = "order"
	first := true
	w.box.hook = func(context.Context, otp.Message) (otp.Receipt, error) {
		if !first {
			return otp.Receipt{}, nil
		}
		first = false
		require.NoError(t, w.Cancel(t.Context(), w.Reference("login", "order")))
		other := login(number())
		other.Reference = "order"
		w.request(other)
		return otp.Receipt{}, context.DeadlineExceeded
	}
	_, err := w.Request(t.Context(), r)
	require.ErrorIs(t, seen.err(err), otp.ErrDelivery)
	st, err := w.Status(t.Context(), w.Reference("login", "order"))
	require.NoError(t, err)
	require.Equal(t, otp.StatusPending, st.Status)
}

func TestFailedChallengeIsCanceled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := login(number())
	r.Reference = "order"
	w.box.hook = func(context.Context, otp.Message) (otp.Receipt, error) {
		return otp.Receipt{}, otp.ErrNotAccepted
	}
	_, err := w.Request(t.Context(), r)
	require.ErrorIs(t, err, otp.ErrDelivery)
	st, err := w.Status(t.Context(), w.Reference("login", "order"))
	require.NoError(t, err)
	require.Equal(t, otp.StatusCanceled, st.Status)
}

// A store that hangs after a failed send does not hold the caller for ever.
func TestTidyingUpHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *otp.Config) { c.Store = hanging{memstore.New()} })
		w.box.fail(otp.ErrNotAccepted)
		begin := time.Now()
		_, err := w.Request(t.Context(), login(number()))
		require.ErrorIs(t, seen.err(err), otp.ErrDelivery)
		require.Equal(t, 10*time.Second, time.Since(begin), "five for giving back, five for the cancellation")
	})
}

// hanging answers nothing that follows a failed send.
type hanging struct{ *memstore.Store }

func (hanging) GiveAll(ctx context.Context, _ []otp.Charge) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hanging) Cancel(ctx context.Context, _ string, _ time.Time) (otp.Record, bool, error) {
	<-ctx.Done()
	return otp.Record{}, false, ctx.Err()
}

func TestResendFailureKeepsTheChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	first := w.box.code(t)
	w.clock.advance(30 * time.Second)
	w.box.fail(otp.ErrNotAccepted)
	_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.ErrorIs(t, err, otp.ErrDelivery)
	w.box.fail(nil)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err, "the limit was given back")
	_ = first
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
}

// S-78: senders that panic and that hang are no danger to the caller.
func TestHostileSenders(t *testing.T) {
	t.Parallel()
	t.Run("panic", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.box.hook = func(_ context.Context, m otp.Message) (otp.Receipt, error) { panic(m.Code.Reveal() + m.To) }
		r := login(number())
		_, err := w.Request(t.Context(), r)
		require.ErrorIs(t, seen.err(err), otp.ErrDelivery)
		_, err = w.Request(t.Context(), r)
		require.ErrorIs(t, err, otp.ErrRateLimited, "it may have been sent before the panic")
	})
	t.Run("hang", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.box.hook = func(ctx context.Context, _ otp.Message) (otp.Receipt, error) {
				<-ctx.Done()
				return otp.Receipt{}, ctx.Err()
			}
			begin := time.Now()
			_, err := w.Request(t.Context(), login(number()))
			require.ErrorIs(t, err, otp.ErrDelivery)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 10*time.Second, time.Since(begin))
		})
	})
	t.Run("talkative", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.box.hook = func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			return otp.Receipt{}, fmt.Errorf("%w: 400 for %s with %q", otp.ErrNotAccepted, m.To, m.Content.Text)
		}
		_, err := w.Request(t.Context(), login(number()))
		require.ErrorContains(t, seen.err(err), "400 for +[redacted] with")
	})
	t.Run("render", func(t *testing.T) {
		t.Parallel()
		for _, render := range []func(context.Context, otp.Message) (otp.Content, error){
			func(_ context.Context, m otp.Message) (otp.Content, error) {
				return otp.Content{}, errors.New("no template for " + m.To)
			},
			func(_ context.Context, m otp.Message) (otp.Content, error) { panic(m.Code.Reveal()) },
		} {
			w := newWorld(t, func(c *otp.Config) { c.Render = render })
			_, err := w.Request(t.Context(), login(number()))
			require.ErrorIs(t, seen.err(err), otp.ErrDelivery)
			require.Zero(t, w.box.count())
		}
	})
}

// S-31: a hook that panics does not turn a no into a yes, nor unburn a code.
func TestPanickingHook(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	w := newWorld(t, func(c *otp.Config) {
		c.OnEvent = func(context.Context, otp.Event) {
			if on.Load() {
				panic("hook")
			}
		}
	})
	ch := w.request(login(number()))
	code := w.box.code(t)
	on.Store(true)
	for _, typed := range []string{wrong(code), code, code} {
		func() {
			defer func() { require.Equal(t, "hook", recover()) }()
			p, err := w.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: typed, Usage: "login"})
			t.Error("the hook did not panic", p.Valid(), err)
		}()
	}
	on.Store(false)
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: code, Usage: "login"})
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)
}

// S-01: a generator that fails, or makes codes of another format, makes no challenge.
func TestBadGenerators(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"", "12345", "1234567", "12345a", " 12345", "１２３４５６"} {
		w := newWorld(t, func(c *otp.Config) { c.Generator = generator(code) })
		_, err := w.Request(t.Context(), login(number()))
		require.ErrorContains(t, err, "generator")
		require.NotContains(t, w.store.take(), "PutCharged")
		require.Zero(t, w.box.count())
	}
}

type generator string

func (g generator) Generate(otp.Format) (otp.Secret, error) {
	if g == "" {
		return otp.Secret{}, errors.New("no entropy")
	}
	return otp.NewSecret(string(g)), nil
}

func TestPolicySourceFails(t *testing.T) {
	t.Parallel()
	for _, source := range []policySource{{err: errDisk}, {p: otp.Policy{MaxAttempts: 1000}}, {p: otp.Policy{TTL: time.Hour}}} {
		w := newWorld(t, func(c *otp.Config) { c.Policies = source })
		_, err := w.Request(t.Context(), login(number()))
		require.ErrorContains(t, err, "otp: policy: ")
		require.Empty(t, w.store.take())
	}
}

type policySource struct {
	p   otp.Policy
	err error
}

func (s policySource) Policy(context.Context, otp.PolicyKey) (otp.Policy, error) { return s.p, s.err }
