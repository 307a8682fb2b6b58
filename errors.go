package otp

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// rejection is the type of every answer that a person did not prove it. All print
// alike, so that an error that reaches a client does not tell which it was.
type rejection struct{ reason string }

func (*rejection) Error() string { return "otp: rejected" }

func (*rejection) Is(target error) bool { return target == ErrRejected }

// All rejections wrap ErrRejected and print alike. Which one it was is for the
// program and its logs; do not tell the client.
var (
	ErrRejected         error = &rejection{"rejected"}
	ErrMismatch         error = &rejection{"mismatch"} // with data if it was counted at a challenge: *MismatchError
	ErrExpired          error = &rejection{"expired"}
	ErrNotFound         error = &rejection{"not_found"} // never existed, another tenant's, forgotten, or key retired
	ErrAttemptsExceeded error = &rejection{"attempts_exceeded"}
	ErrAlreadyVerified  error = &rejection{"already_verified"}
	ErrCanceled         error = &rejection{"canceled"}
)

// The families of errors beside ErrRejected. Anything that is none of them is a
// fault: the service could not tell, and the caller must deny.
var (
	ErrRateLimited    = errors.New("otp: rate limited")                      // with data: *RateLimitError
	ErrDelivery       = errors.New("otp: delivery failed")                   // with data: *DeliveryError
	ErrUndeliverable  = errors.New("otp: recipient cannot be reached")       // for senders: no provider can reach this recipient
	ErrNotAccepted    = errors.New("otp: message not accepted")              // for senders: certainly not taken; any other error is unknown and keeps the limit
	ErrRefused        = errors.New("otp: refused")                           // a Guard or a preset said no
	ErrInvalidRequest = errors.New("otp: invalid request")                   // the text names the field
	ErrProofRequired  = errors.New("otp: a fresh proof is required")         // of the same subject, at most 10 minutes old
	errTampered       = errors.New("otp: record does not match its payload") // a fault, so it denies
	errNoKey          = errors.New("otp: the key of the credentials is retired")
)

// A MismatchError is a wrong code that was counted. It wraps [ErrMismatch].
type MismatchError struct{ AttemptsLeft int }

func (*MismatchError) Error() string { return ErrRejected.Error() }

// Unwrap returns [ErrMismatch].
func (*MismatchError) Unwrap() error { return ErrMismatch }

// A RateLimitError says which limit refused and when to come back. It wraps
// [ErrRateLimited].
type RateLimitError struct {
	Scope      string        // "recipient", "subject", "client", "prefix", "tenant", "guesses", "sends"
	RetryAfter time.Duration // zero if waiting does not help
}

func (e *RateLimitError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("otp: rate limited by %s for %s", e.Scope, e.RetryAfter)
	}
	return "otp: rate limited by " + e.Scope
}

// Unwrap returns [ErrRateLimited].
func (*RateLimitError) Unwrap() error { return ErrRateLimited }

// A DeliveryError holds one error for each sender tried, in order. It wraps
// [ErrDelivery]. Its text, and those of Errs when the service made it, hold neither
// the code nor the recipient.
type DeliveryError struct{ Errs []error }

func (e *DeliveryError) Error() string {
	var s strings.Builder
	s.WriteString(ErrDelivery.Error())
	for _, err := range e.Errs {
		s.WriteString(": " + err.Error())
	}
	return s.String()
}

// Unwrap returns [ErrDelivery] and Errs.
func (e *DeliveryError) Unwrap() []error { return append([]error{ErrDelivery}, e.Errs...) }

// invalid names the field of a Request, Answer or Config and what is wrong with it,
// never its value.
func invalid(field, problem string) error {
	return fmt.Errorf("%w: %s %s", ErrInvalidRequest, field, problem)
}

// reason is the word for err in an Event.
func reason(err error) string {
	var r *rejection
	var limited *RateLimitError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &r):
		return r.reason
	case errors.As(err, &limited):
		return "limited_by_" + limited.Scope
	case errors.Is(err, ErrDelivery):
		return "delivery_failed"
	case errors.Is(err, ErrRefused):
		return "refused"
	case errors.Is(err, ErrInvalidRequest):
		return "invalid_request"
	case errors.Is(err, ErrProofRequired):
		return "proof_required"
	default:
		return "fault"
	}
}
