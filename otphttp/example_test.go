package otphttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"otp.example/otp"
	"otp.example/otp/otphttp"
)

func ExampleError() {
	for _, err := range []error{
		otp.ErrExpired, // all rejections look the same
		otp.ErrMismatch,
		&otp.RateLimitError{Scope: "recipient", RetryAfter: 29500 * time.Millisecond},
	} {
		w := httptest.NewRecorder()
		otphttp.Error(w, err)
		fmt.Printf("%d %q %q\n", w.Code, w.Body, w.Header().Get("Retry-After"))
	}
	// Output:
	// 401 "rejected\n" ""
	// 401 "rejected\n" ""
	// 429 "too many requests\n" "30"
}

func ExampleSetHandle() {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ch := otp.Challenge{ID: "1.dGhlIGhhbmRsZQ", CreatedAt: created, ExpiresAt: created.Add(5 * time.Minute)} // from Service.Request

	w := httptest.NewRecorder()
	otphttp.SetHandle(w, ch)
	fmt.Println(w.Header().Get("Set-Cookie"))
	// Output:
	// __Host-otp=1.dGhlIGhhbmRsZQ; Path=/; Max-Age=300; HttpOnly; Secure; SameSite=Lax
}

func ExampleHandle() {
	r := httptest.NewRequest(http.MethodPost, "/verify", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-otp", Value: "1.dGhlIGhhbmRsZQ"})

	answer := otp.Answer{ID: otphttp.Handle(r), Code: r.FormValue("code"), Usage: "login"}
	fmt.Println(answer.ID)
	// Output:
	// 1.dGhlIGhhbmRsZQ
}

func ExampleClearHandle() {
	w := httptest.NewRecorder()
	otphttp.ClearHandle(w)
	fmt.Println(w.Header().Get("Set-Cookie"))
	// Output:
	// __Host-otp=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax
}

// Two proxies stand before the service. The client itself wrote the first address.
func ExampleClientAddr() {
	r := httptest.NewRequest(http.MethodPost, "/send", nil)
	r.RemoteAddr = "10.0.0.1:41234"
	r.Header.Add("X-Forwarded-For", "8.8.8.8, 192.0.2.44, 10.0.0.2")

	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	fmt.Println(otphttp.ClientAddr(r, proxies))
	fmt.Println(otphttp.ClientAddr(r, nil)) // without a list nobody is believed
	// Output:
	// 192.0.2.44
	// 10.0.0.1
}
