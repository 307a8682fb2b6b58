package otphttp

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"otp.example/otp"
)

// Error answers a request with the error of a service, as plain text:
//
//	400 invalid request    otp.ErrInvalidRequest, otp.ErrRefused
//	401 rejected           otp.ErrRejected
//	403 proof required     otp.ErrProofRequired
//	429 too many requests  otp.ErrRateLimited, with Retry-After if waiting helps
//	500 internal error     everything else, delivery that failed included
//
// All errors of one line get the same body and headers, but for Retry-After: neither
// why an answer was rejected, nor which limit or rule refused, is for the client. The
// text of err is never shown; Config.OnEvent is told it.
//
// An error of several kinds is answered as one of them. A nil error is answered as 500:
// no call of Error ever says yes. Error writes the whole response, so return after it.
func Error(w http.ResponseWriter, err error) {
	h := w.Header()
	status, body := http.StatusInternalServerError, "internal error"
	switch {
	case errors.Is(err, otp.ErrDelivery):
		// First, because what it wraps is a sender's and may match anything.
	case errors.Is(err, otp.ErrRejected):
		status, body = http.StatusUnauthorized, "rejected"
		// RFC 9110 section 11.6.1 asks for a challenge, and some clients report a 401
		// without one as a broken connection. Browsers do nothing about this scheme.
		h.Set("WWW-Authenticate", "OTP")
	case errors.Is(err, otp.ErrProofRequired):
		status, body = http.StatusForbidden, "proof required"
	case errors.Is(err, otp.ErrRateLimited):
		status, body = http.StatusTooManyRequests, "too many requests"
		var limited *otp.RateLimitError
		if errors.As(err, &limited) && limited != nil && limited.RetryAfter > 0 {
			h.Set("Retry-After", strconv.FormatInt(seconds(limited.RetryAfter), 10))
		}
	case errors.Is(err, otp.ErrInvalidRequest), errors.Is(err, otp.ErrRefused):
		status, body = http.StatusBadRequest, "invalid request"
	}
	h.Set("Cache-Control", "no-store")
	http.Error(w, body, status)
}

// seconds rounds up: who comes back a moment too early is refused again.
func seconds(d time.Duration) int64 {
	n := int64(d / time.Second)
	if d%time.Second > 0 {
		n++
	}
	return n
}
