package otphttp

import (
	"net/http"

	"otp.example/otp"
)

// The prefix makes browsers accept the cookie from this very host only, over TLS, for
// all paths: no other host of the domain, and nobody on a plain-text connection, can
// plant a handle (RFC 6265bis section 4.1.3.2).
const cookieName = "__Host-otp"

// SetHandle gives the client the handle of a challenge, in a cookie named __Host-otp
// that scripts cannot read and that lasts as long as the challenge. A browser keeps one:
// a second challenge takes the place of the first. Where several must be open at once,
// a login in one tab and a payment in another, keep the handles in the session instead.
//
// For the second challenge nothing may have been sent: with Request.Conceal that is so for
// whoever asks again within 30 seconds, by a double click for example. Then the code that
// did arrive is rejected, since its handle is gone. A Request.IdempotencyKey that comes
// with the form makes a second click the same challenge.
//
// Browsers take the cookie over HTTPS only. A challenge without a handle clears it.
func SetHandle(w http.ResponseWriter, ch otp.Challenge) {
	if ch.ID == "" {
		ClearHandle(w)
		return
	}
	// Relative, since the clocks of clients are wrong; and from the challenge's own
	// times, since those are the service's clock.
	http.SetCookie(w, cookie(ch.ID, max(1, int(seconds(ch.ExpiresAt.Sub(ch.CreatedAt))))))
}

// Handle returns the handle that SetHandle gave, or "", which no challenge has. If the
// cookie comes twice one of them was planted, and none is taken.
func Handle(r *http.Request) string {
	cookies := r.CookiesNamed(cookieName)
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}

// ClearHandle makes the client forget the handle. It does not end the challenge; see
// Service.Cancel.
func ClearHandle(w http.ResponseWriter) {
	http.SetCookie(w, cookie("", -1))
}

func cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: value, Path: "/", MaxAge: maxAge, Secure: true, HttpOnly: true,
		// Neither mode sends the cookie with a foreign page's POST, so neither lets that
		// page spend an attempt. Strict would also hold it back when somebody follows a
		// link in the message that brought the code, and the page would have forgotten
		// what the code is for.
		SameSite: http.SameSiteLaxMode,
	}
}
