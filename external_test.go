package otp_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/bridge"
)

// A policy under which a provider's codes could not work is found with the first answer, and
// the provider is not asked.
func TestExternalPolicy(t *testing.T) {
	t.Parallel()
	core := bridge.Root[interface {
		VerifyExternal(ctx context.Context, s *otp.Service, a otp.Answer, check func(ctx context.Context, to, code string) (bool, error)) (otp.Proof, error)
	}]()
	for _, tt := range []struct {
		name   string
		policy otp.Policy
		works  bool
	}{
		{"two live codes", otp.Policy{LiveCodes: 2}, false},
		{"the default", otp.Policy{}, false},
		{"one attempt", otp.Policy{LiveCodes: 1, MaxAttempts: 1}, false},
		{"two attempts", otp.Policy{LiveCodes: 1, MaxAttempts: 2}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, policy(tt.policy))
			ch := w.request(login(number()))
			asked := false
			p, err := core.VerifyExternal(t.Context(), w.Service, otp.Answer{ID: ch.ID, Code: "123456", Usage: "login"},
				func(context.Context, string, string) (bool, error) {
					asked = true
					return true, nil
				})
			require.Equal(t, tt.works, asked)
			require.Equal(t, tt.works, p.Valid())
			if tt.works {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "LiveCodes 1 and MaxAttempts of 2 or more")
			require.NotErrorIs(t, err, otp.ErrRejected, "a fault, so that somebody looks")
			require.Len(t, w.events.of(otp.EventFault), 1)
		})
	}
}
