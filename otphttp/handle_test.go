package otphttp_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otphttp"
	"otp.example/otp/otptest"
)

func challenge(id string, lives time.Duration) otp.Challenge {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return otp.Challenge{ID: id, CreatedAt: created, ExpiresAt: created.Add(lives)}
}

func TestSetHandle(t *testing.T) {
	const attributes = "; Secure; SameSite=Lax"
	tests := []struct {
		name string
		ch   otp.Challenge
		want string
	}{
		{"minutes", challenge("1.abc-_", 5*time.Minute), "__Host-otp=1.abc-_; Path=/; Max-Age=300; HttpOnly" + attributes},
		{"part of a second", challenge("1.abc", 1500*time.Millisecond), "__Host-otp=1.abc; Path=/; Max-Age=2; HttpOnly" + attributes},
		{"no time", challenge("1.abc", 0), "__Host-otp=1.abc; Path=/; Max-Age=1; HttpOnly" + attributes},
		{"reference", challenge("ref:abc", time.Minute), "__Host-otp=ref:abc; Path=/; Max-Age=60; HttpOnly" + attributes},
		{"no challenge", otp.Challenge{}, "__Host-otp=; Path=/; Max-Age=0; HttpOnly" + attributes},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			otphttp.SetHandle(w, tt.ch)
			assert.Equal(t, []string{tt.want}, w.Header().Values("Set-Cookie"))
		})
	}
}

func TestClearHandle(t *testing.T) {
	w := httptest.NewRecorder()
	otphttp.ClearHandle(w)
	require.Equal(t, "__Host-otp=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax", w.Header().Get("Set-Cookie"))
}

func TestHandle(t *testing.T) {
	tests := []struct {
		name    string
		cookies []string
		want    string
	}{
		{"none", nil, ""},
		{"one", []string{"__Host-otp=1.abc"}, "1.abc"},
		{"among others", []string{"a=b; __Host-otp=1.abc; c=d"}, "1.abc"},
		{"empty", []string{"__Host-otp="}, ""},
		{"twice in a line", []string{"__Host-otp=1.abc; __Host-otp=1.abc"}, ""},
		{"twice in two lines", []string{"__Host-otp=1.abc", "__Host-otp=1.def"}, ""},
		{"without prefix", []string{"otp=1.abc"}, ""},
		{"other prefix", []string{"__Secure-otp=1.abc"}, ""},
		{"other case", []string{"__host-otp=1.abc"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header["Cookie"] = tt.cookies
			assert.Equal(t, tt.want, otphttp.Handle(r))
		})
	}
}

// Every handle that the service makes gets through a cookie as it is.
func TestHandleRoundTrip(t *testing.T) {
	svc, outbox, _ := otptest.NewService(t)
	ch, err := svc.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: "+12025550100"})
	require.NoError(t, err)

	w := httptest.NewRecorder()
	otphttp.SetHandle(w, ch)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	require.Equal(t, ch.ID, otphttp.Handle(r))

	_, err = svc.Verify(t.Context(), otp.Answer{ID: otphttp.Handle(r), Code: outbox.Code("+12025550100"), Usage: "login"})
	require.NoError(t, err)
}
