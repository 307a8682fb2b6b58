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

// A caller's deadline holds for its charges, too, and without one they are bounded.
func TestChargesHaveADeadline(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		timeout time.Duration // zero means none
		most    time.Duration
	}{
		{"the caller's", time.Second, time.Second},
		{"none", 0, 5 * time.Second},
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
