package otp_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// S-43: callers that hang up spend nothing of what all share: not before the charge, which
// would then be nobody's, and not behind its refusal.
func TestCallersThatLeaveCostTheTenantNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		leaves func(w *world, leave func() error)
	}{
		{"before the charge", func(w *world, leave func() error) { w.store.faults(at("PutCharged", leave), nil) }},
		{"behind it", func(w *world, leave func() error) { w.store.faults(nil, at("PutCharged", leave)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, policy(otp.Policy{Limits: otp.Limits{Tenant: []otp.Limit{{N: 10, Per: time.Hour}}}}))
			one := login(number())
			w.request(one)
			for range 40 {
				ctx, cancel := context.WithCancel(t.Context())
				test.leaves(w, func() error {
					cancel()
					return nil
				})
				_, err := w.Request(ctx, one)
				require.ErrorIs(t, seen.err(err), otp.ErrRateLimited)
			}
			w.store.faults(nil, nil)
			for range 9 {
				w.request(login(number()))
			}
		})
	}
}

// at does something when a call is made.
func at(call string, do func() error) func(string) error {
	return func(c string) error {
		if c != call {
			return nil
		}
		return do()
	}
}

// S-43: nor does who hangs up behind a right answer keep what all share charged.
func TestCallersThatLeaveAfterSuccess(t *testing.T) {
	t.Parallel()
	for range 10 {
		w := newWorld(t, policy(otp.Policy{Formats: []otp.Format{{Length: 6}}}), func(c *otp.Config) {
			c.TenantGuessLimit = otp.Limit{N: 100_000, Per: 24 * time.Hour} // ten challenges
		})
		for range 10 {
			ch := w.request(login(number()))
			ctx, cancel := context.WithCancel(t.Context())
			w.store.faults(at("GiveAll", func() error {
				cancel()
				return nil
			}), nil)
			_, err := w.Verify(ctx, otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
			require.NoError(t, err)
			w.store.faults(nil, nil)
		}
		for range 10 {
			w.request(login(number()))
		}
	}
}

// S-43: the tenant's ceiling is on messages, whoever asks for them and by whatever route.
func TestTenantCeilingOnResend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(otp.Policy{Limits: otp.Limits{Tenant: []otp.Limit{{N: 10, Per: time.Hour}}}}))
	sent := map[otp.Channel]int{}
	w.box.hook = func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		sent[m.Channel]++
		return otp.Receipt{}, nil
	}
	both := func(first, second otp.Channel) error {
		to := number()
		ch := w.request(otp.Request{Channel: first, Usage: "login", To: to, Fallback: []otp.Route{{Channel: second, To: to}}})
		w.clock.advance(31 * time.Second)
		_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID, Channel: second})
		return seen.err(err)
	}
	for range 10 {
		require.NoError(t, both(otp.SMS, otp.Voice))
	}
	w.clock.advance(time.Hour)
	for range 10 {
		require.NoError(t, both(otp.Voice, otp.SMS))
	}
	w.clock.advance(30 * time.Minute)
	_, err := w.Request(t.Context(), login(number()))
	var limited *otp.RateLimitError
	require.ErrorAs(t, seen.err(err), &limited)
	require.Equal(t, "tenant", limited.Scope)
	require.Equal(t, map[otp.Channel]int{otp.SMS: 20, otp.Voice: 20}, sent)
}

// I6: messages that were certainly not sent leave the tenant's ceiling as it was.
func TestTenantSendIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(otp.Policy{Limits: otp.Limits{Tenant: []otp.Limit{{N: 10, Per: time.Hour}}}}))
	w.box.fail(otp.ErrNotAccepted)
	for range 30 {
		_, err := w.Request(t.Context(), login(number()))
		require.ErrorIs(t, seen.err(err), otp.ErrDelivery)
	}
	w.box.fail(nil)
	for range 10 {
		w.request(login(number()))
	}
	_, err := w.Request(t.Context(), login(number()))
	require.ErrorIs(t, err, otp.ErrRateLimited)
}

// A caller's deadline holds for its charges, too, and without one they are bounded.
func TestChargesHaveADeadline(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		timeout time.Duration // zero means none
		most    time.Duration
	}{
		{"the caller's", time.Second, time.Second},
		{"none", 0, 30 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			store := &deadlines{}
			w := newWorld(t, func(c *otp.Config) {
				store.ChargingStore = c.Store.(otp.ChargingStore)
				c.Store, c.Limiter = store, store
			})
			ctx := t.Context()
			if test.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, test.timeout)
				defer cancel()
			}
			_, err := w.Request(ctx, login(number()))
			require.NoError(t, err)
			require.Positive(t, store.left)
			require.LessOrEqual(t, store.left, test.most)
		})
	}
}

// deadlines notes how long the last PutCharged had.
type deadlines struct {
	otp.ChargingStore
	left time.Duration
}

func (d *deadlines) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if end, ok := ctx.Deadline(); ok {
		d.left = time.Until(end)
	}
	return d.ChargingStore.PutCharged(ctx, r, c, now)
}
