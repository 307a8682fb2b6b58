package otp_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// rejections has every error that says that a person did not prove it.
var rejections = map[string]error{
	"rejected":          otp.ErrRejected,
	"mismatch":          otp.ErrMismatch,
	"counted mismatch":  &otp.MismatchError{AttemptsLeft: 3},
	"expired":           otp.ErrExpired,
	"not found":         otp.ErrNotFound,
	"attempts exceeded": otp.ErrAttemptsExceeded,
	"already verified":  otp.ErrAlreadyVerified,
	"canceled":          otp.ErrCanceled,
}

// others are the families beside the rejections.
var others = map[string]error{
	"rate limited":    otp.ErrRateLimited,
	"delivery":        otp.ErrDelivery,
	"undeliverable":   otp.ErrUndeliverable,
	"not accepted":    otp.ErrNotAccepted,
	"refused":         otp.ErrRefused,
	"invalid request": otp.ErrInvalidRequest,
}

// S-40 S-51: what a client may see of a rejection is the same for all of them.
func TestRejectionsPrintAlike(t *testing.T) {
	t.Parallel()
	for name, err := range rejections {
		for _, verb := range []string{"%v", "%s", "%+v", "%q", "%x"} {
			require.Equal(t, fmt.Sprintf(verb, otp.ErrRejected), fmt.Sprintf(verb, err), name)
		}
		require.Equal(t, "otp: rejected", err.Error(), name)
		require.Equal(t, "login: otp: rejected", fmt.Errorf("login: %w", err).Error(), name)
	}
}

func TestRejectionsAreOneFamily(t *testing.T) {
	t.Parallel()
	for name, err := range rejections {
		require.ErrorIs(t, err, otp.ErrRejected, name)
		require.ErrorIs(t, fmt.Errorf("login: %w", err), otp.ErrRejected, name)
		for other, target := range rejections {
			related := name == other || other == "rejected" || name == "counted mismatch" && other == "mismatch"
			require.Equal(t, related, errors.Is(err, target), "%s is %s", name, other)
		}
		for other, target := range others {
			require.NotErrorIs(t, err, target, "%s is %s", name, other)
			require.NotErrorIs(t, target, err, "%s is %s", other, name)
		}
	}
	for name, err := range others {
		require.NotErrorIs(t, err, otp.ErrRejected, name)
		for other, target := range others {
			require.Equal(t, name == other, errors.Is(err, target), "%s is %s", name, other)
		}
	}
}

func TestErrorsWithData(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return fmt.Errorf("handler: %w", err) }

	mismatch, ok := errors.AsType[*otp.MismatchError](wrap(&otp.MismatchError{AttemptsLeft: 2}))
	require.True(t, ok)
	require.Equal(t, 2, mismatch.AttemptsLeft)
	require.ErrorIs(t, mismatch, otp.ErrMismatch)
	_, ok = errors.AsType[*otp.MismatchError](otp.ErrMismatch)
	require.False(t, ok, "one that was not counted has no number")

	limited, ok := errors.AsType[*otp.RateLimitError](wrap(&otp.RateLimitError{Scope: "recipient", RetryAfter: 90 * time.Second}))
	require.True(t, ok)
	require.ErrorIs(t, limited, otp.ErrRateLimited)
	require.NotErrorIs(t, limited, otp.ErrRejected)
	require.Equal(t, "otp: rate limited by recipient for 1m30s", limited.Error())
	require.Equal(t, "otp: rate limited by sends", (&otp.RateLimitError{Scope: "sends"}).Error())

	cause := errors.New("connection refused")
	delivery, ok := errors.AsType[*otp.DeliveryError](wrap(&otp.DeliveryError{Errs: []error{cause, fmt.Errorf("%w: 550", otp.ErrNotAccepted)}}))
	require.True(t, ok)
	require.ErrorIs(t, delivery, otp.ErrDelivery)
	require.ErrorIs(t, delivery, cause)
	require.ErrorIs(t, delivery, otp.ErrNotAccepted)
	require.NotErrorIs(t, delivery, otp.ErrUndeliverable)
	require.NotErrorIs(t, delivery, otp.ErrRejected)
	require.Equal(t, "otp: delivery failed: connection refused: otp: message not accepted: 550", delivery.Error())
	require.Equal(t, "otp: delivery failed", (&otp.DeliveryError{}).Error())

	// Unwrap hands out no slice of the error's own.
	delivery.Unwrap()[1] = otp.ErrRejected
	require.NotErrorIs(t, delivery, otp.ErrRejected)
}

// The switch of a handler has three arms, and each error has one.
func TestThreeArms(t *testing.T) {
	t.Parallel()
	status := func(err error) int {
		switch {
		case err == nil:
			return 200
		case errors.Is(err, otp.ErrRejected):
			return 401
		case errors.Is(err, otp.ErrRateLimited):
			return 429
		default:
			return 500
		}
	}
	require.Equal(t, 200, status(nil))
	for name, err := range rejections {
		require.Equal(t, 401, status(err), name)
	}
	require.Equal(t, 429, status(otp.ErrRateLimited))
	require.Equal(t, 429, status(&otp.RateLimitError{Scope: "client"}))
	for _, err := range []error{
		otp.ErrDelivery, otp.ErrUndeliverable, otp.ErrNotAccepted, otp.ErrRefused, otp.ErrInvalidRequest, &otp.DeliveryError{},
		context.DeadlineExceeded, errors.New("otp: store: disk on fire"),
	} {
		require.Equal(t, 500, status(err), "%v", err)
	}
}

// S-84: the word for an error in an event.
func TestReason(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want string
	}{
		{nil, ""},
		{otp.ErrRejected, "rejected"},
		{otp.ErrMismatch, "mismatch"},
		{&otp.MismatchError{AttemptsLeft: 1}, "mismatch"},
		{otp.ErrExpired, "expired"},
		{otp.ErrNotFound, "not_found"},
		{otp.ErrAttemptsExceeded, "attempts_exceeded"},
		{otp.ErrAlreadyVerified, "already_verified"},
		{otp.ErrCanceled, "canceled"},
		{&otp.RateLimitError{Scope: "prefix"}, "limited_by_prefix"},
		{&otp.DeliveryError{Errs: []error{errors.New("x")}}, "delivery_failed"},
		{fmt.Errorf("%w: +979", otp.ErrRefused), "refused"},
		{fmt.Errorf("%w: To", otp.ErrInvalidRequest), "invalid_request"},
		{fmt.Errorf("otp: store: %w", context.Canceled), "fault"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, otp.Reason(tt.err), "%v", tt.err)
		if tt.err != nil {
			require.Equal(t, tt.want, otp.Reason(fmt.Errorf("wrapped: %w", tt.err)), "%v", tt.err)
			require.Regexp(t, `^[a-z_]+$`, otp.Reason(tt.err), "one word")
		}
	}
}

// Errors that end in a response by mistake tell the number at most.
func TestErrorsAsJSON(t *testing.T) {
	t.Parallel()
	for _, err := range []error{otp.ErrMismatch, otp.ErrNotFound, otp.ErrExpired} {
		require.JSONEq(t, `{}`, encoded(json.Marshal(err)))
	}
	require.JSONEq(t, `{"AttemptsLeft":3}`, encoded(json.Marshal(&otp.MismatchError{AttemptsLeft: 3})))
}
