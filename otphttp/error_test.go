package otphttp_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otphttp"
)

func respond(err error) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	otphttp.Error(w, err)
	return w
}

func TestError(t *testing.T) {
	plain := func(more ...string) http.Header {
		h := http.Header{
			"Cache-Control":          {"no-store"},
			"Content-Type":           {"text/plain; charset=utf-8"},
			"X-Content-Type-Options": {"nosniff"},
		}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	rejected := plain("WWW-Authenticate", "OTP")
	limited := func(d time.Duration) error { return &otp.RateLimitError{Scope: "recipient", RetryAfter: d} }
	foreign := errors.New("dial tcp 10.1.2.3:5432: password hunter2")

	tests := []struct {
		name       string
		err        error
		wantStatus int
		wantBody   string
		wantHeader http.Header
	}{
		{"rejected", otp.ErrRejected, 401, "rejected\n", rejected},
		{"mismatch", otp.ErrMismatch, 401, "rejected\n", rejected},
		{"counted mismatch", &otp.MismatchError{AttemptsLeft: 3}, 401, "rejected\n", rejected},
		{"expired", otp.ErrExpired, 401, "rejected\n", rejected},
		{"not found", otp.ErrNotFound, 401, "rejected\n", rejected},
		{"attempts exceeded", otp.ErrAttemptsExceeded, 401, "rejected\n", rejected},
		{"already verified", otp.ErrAlreadyVerified, 401, "rejected\n", rejected},
		{"canceled", otp.ErrCanceled, 401, "rejected\n", rejected},
		{"wrapped rejection", fmt.Errorf("login: %w", otp.ErrExpired), 401, "rejected\n", rejected},

		{"limited", otp.ErrRateLimited, 429, "too many requests\n", plain()},
		{"limited for good", limited(0), 429, "too many requests\n", plain()},
		{"limited in the past", limited(-time.Second), 429, "too many requests\n", plain()},
		{"limited for a moment", limited(1), 429, "too many requests\n", plain("Retry-After", "1")},
		{"limited for a second", limited(time.Second), 429, "too many requests\n", plain("Retry-After", "1")},
		{"limited for more than a second", limited(time.Second + 1), 429, "too many requests\n", plain("Retry-After", "2")},
		{"limited for a day", limited(24 * time.Hour), 429, "too many requests\n", plain("Retry-After", "86400")},
		{"wrapped limit", fmt.Errorf("login: %w", limited(time.Minute)), 429, "too many requests\n", plain("Retry-After", "60")},
		{"no limit at all", (*otp.RateLimitError)(nil), 429, "too many requests\n", plain()},

		{"invalid", fmt.Errorf("%w: To is empty", otp.ErrInvalidRequest), 400, "invalid request\n", plain()},
		{"refused", fmt.Errorf("%w: numbers of +882 belong to no country", otp.ErrRefused), 400, "invalid request\n", plain()},
		{"proof", otp.ErrProofRequired, 403, "proof required\n", plain()},

		{"delivery", &otp.DeliveryError{Errs: []error{foreign}}, 500, "internal error\n", plain()},
		{"unreachable", &otp.DeliveryError{Errs: []error{otp.ErrUndeliverable}}, 500, "internal error\n", plain()},
		{"fault", foreign, 500, "internal error\n", plain()},
		{"nil", nil, 500, "internal error\n", plain()},

		// Errors of several kinds. Whichever it is, the answer is no.
		{"limited and rejected", errors.Join(limited(time.Hour), otp.ErrMismatch), 401, "rejected\n", rejected},
		{"rejected and a fault", errors.Join(foreign, otp.ErrMismatch), 401, "rejected\n", rejected},
		{"sender's error that looks like a limit", &otp.DeliveryError{Errs: []error{limited(time.Hour)}}, 500, "internal error\n", plain()},
		{"sender's error that looks like a rejection", &otp.DeliveryError{Errs: []error{otp.ErrRejected}}, 500, "internal error\n", plain()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := respond(tt.err)
			assert.Equal(t, tt.wantStatus, w.Code)
			assert.Equal(t, tt.wantBody, w.Body.String())
			assert.Equal(t, canonical(tt.wantHeader), w.Header())
		})
	}
}

// canonical spells the names as a Header's methods do.
func canonical(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// The length that a handler announced was that of the page it meant to send.
func TestErrorReplacesWhatWasAnnounced(t *testing.T) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Length", "4096")
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	otphttp.Error(w, otp.ErrRejected)
	require.Equal(t, respond(otp.ErrRejected).Header(), w.Header())
}
