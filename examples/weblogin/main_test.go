package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
)

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "", true))

	got := regexp.MustCompile(`\b\d{8}\b`).ReplaceAllString(out.String(), "########")
	got = regexp.MustCompile(` +\n`).ReplaceAllString(got, "\n")
	require.Equal(t, `Nobody is logged in.                           GET  /       200
An unknown address is asked for a code.        POST /login  303 /code
Ann asks for a code.                           POST /login  303 /code
She clicks twice.                              POST /login  303 /code
  Mail to ann@example.com: ######## is your code for login. It is valid for 10 minutes. Do not share it.
She has a page to type it into.                GET  /code   200
She wants another one at once.                 POST /resend 429
She mistypes it.                               POST /code   422
She types it right.                            POST /code   303 /
She is logged in.                              GET  /       200
The same code once more.                       POST /code   422
She logs out.                                  POST /logout 303 /
Nobody is logged in.                           GET  /       200
`, got)
}

func TestRunServesUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started := &lines{found: make(chan struct{}, 1)}
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, started, "localhost:0", false) }()
	<-started.found
	cancel()
	require.NoError(t, <-ended)
}

// lines tells that something was printed.
type lines struct{ found chan struct{} }

func (l *lines) Write(b []byte) (int, error) {
	select {
	case l.found <- struct{}{}:
	default:
	}
	return len(b), nil
}

// A site is the app behind TLS, with a clock that the test moves.
type site struct {
	*httptest.Server
	app    *app
	outbox *otptest.Outbox
	clock  *otptest.Clock
}

func newSite(t *testing.T) *site {
	t.Helper()
	policies, err := newPolicies()
	require.NoError(t, err)
	svc, outbox, clock := otptest.NewService(t, otptest.Queued(t), func(c *otp.Config) { c.Policies = policies })
	a := newApp(svc, clock.Now)
	srv := httptest.NewTLSServer(a.routes())
	t.Cleanup(srv.Close)
	return &site{srv, a, outbox, clock}
}

// A visitor is a browser whose requests must succeed.
type visitor struct {
	*browser
	t *testing.T
}

func (s *site) visitor(t *testing.T) visitor {
	t.Helper()
	b, err := newBrowser(s.URL, s.Certificate())
	require.NoError(t, err)
	t.Cleanup(b.client.CloseIdleConnections)
	return visitor{b, t}
}

func (v visitor) get(path string) response {
	v.t.Helper()
	r, err := v.do(v.t.Context(), http.MethodGet, path, nil)
	require.NoError(v.t, err)
	return r
}

func (v visitor) post(path string, form ...string) response {
	v.t.Helper()
	values := url.Values{}
	for i := 0; i < len(form); i += 2 {
		values.Set(form[i], form[i+1])
	}
	r, err := v.do(v.t.Context(), http.MethodPost, path, values)
	require.NoError(v.t, err)
	return r
}

func (v visitor) cookie(name string) string {
	v.t.Helper()
	u, err := url.Parse(v.site)
	require.NoError(v.t, err)
	for _, c := range v.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func TestLogin(t *testing.T) {
	for _, to := range []struct{ name, typed, canonical string }{
		{"e-mail", " Ann@Example.com ", "ann@example.com"},
		{"phone", "+1 (202) 555-0100", "+12025550100"},
	} {
		t.Run(to.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			v := s.visitor(t)
			require.Contains(t, v.get("/").body, "Send me a code")

			sent := v.post("/login", "to", to.typed)
			require.Equal(t, 303, sent.status)
			require.Equal(t, "/code", sent.location)
			require.Contains(t, sent.header.Get("Set-Cookie"), "HttpOnly; Secure; SameSite=Lax")
			form := v.get("/code").body
			require.Contains(t, form, `autocomplete="one-time-code"`)
			require.Contains(t, form, `inputmode="numeric"`)

			s.outbox.Wait(t, 1)
			in := v.post("/code", "code", s.outbox.Code(to.canonical))
			require.Equal(t, 303, in.status)
			require.Equal(t, "/", in.location)
			require.Contains(t, v.get("/").body, "You are logged in as Ann.")
			require.Empty(t, v.cookie("__Host-otp"), "the handle is of no more use")

			session := v.cookie("__Host-session")
			require.Equal(t, "/", v.post("/logout").location)
			require.Contains(t, v.get("/").body, "Send me a code")

			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.AddCookie(&http.Cookie{Name: "__Host-session", Value: session})
			_, ok := s.app.user(r)
			require.False(t, ok, "a session that was ended")
		})
	}
}

// A second click sends nothing, and the code that the first one sent is still the right one.
func TestDoubleClick(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	form := hidden(v.get("/").body)
	require.Len(t, form, 26)
	require.NotEqual(t, form, hidden(v.get("/").body), "every form has a name of its own")
	for range 2 {
		require.Equal(t, "/code", v.post("/login", "to", "ann@example.com", "form", form).location)
	}
	s.outbox.Wait(t, 1)
	require.Equal(t, "/", v.post("/code", "code", s.outbox.Code("ann@example.com")).location)
	require.Contains(t, v.get("/").body, "You are logged in as Ann.")
	require.Len(t, s.outbox.Messages(), 1)

	// Another address in the same form is another login.
	require.Equal(t, "/code", v.post("/login", "to", "+12025550100", "form", form).location)
	s.outbox.Wait(t, 2)
	require.Equal(t, "/", v.post("/code", "code", s.outbox.Code("+12025550100")).location)
}

// No form of ours has such a name.
func TestForgedForm(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	for _, form := range []string{strings.Repeat("A", 257), "a\x00b", "\xff"} {
		r := v.post("/login", "to", "ann@example.com", "form", form)
		require.Equal(t, 400, r.status, "%q", form)
		require.Empty(t, r.header.Get("Set-Cookie"))
	}
	require.Empty(t, s.outbox.Messages())
}

func TestSessionEnds(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	v.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 1)
	v.post("/code", "code", s.outbox.Code("ann@example.com"))
	s.clock.Advance(12*time.Hour - 1)
	require.Contains(t, v.get("/").body, "logged in as Ann")
	s.clock.Advance(1)
	require.Contains(t, v.get("/").body, "Send me a code")
}

func TestLoginMakesANewSession(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	v.client.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-session", Value: "planted", Path: "/", Secure: true}})
	v.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 1)
	v.post("/code", "code", s.outbox.Code("ann@example.com"))
	require.NotEqual(t, "planted", v.cookie("__Host-session"))
	require.Contains(t, v.get("/").body, "logged in as Ann")
}

// Every rejection is the same page.
func TestRejections(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	none := v.post("/code", "code", "12345678")
	require.Equal(t, 422, none.status)

	v.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 1)
	code := s.outbox.Code("ann@example.com")
	for _, c := range []string{"", "1", "not a code", strings.Repeat("1", 1000), another(code), another(code), another(code), another(code), another(code)} {
		same(t, none, v.post("/code", "code", c))
	}
	same(t, none, v.post("/code", "code", code)) // the attempts are used up
	require.Contains(t, v.get("/").body, "Send me a code")

	s.clock.Advance(30 * time.Second)
	v.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 2)
	s.clock.Advance(10 * time.Minute)
	same(t, none, v.post("/code", "code", s.outbox.Code("ann@example.com"))) // expired
	require.Contains(t, v.get("/").body, "Send me a code")
}

func TestReplay(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	v.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 1)
	code, handle := s.outbox.Code("ann@example.com"), v.cookie("__Host-otp")
	require.Equal(t, 303, v.post("/code", "code", code).status)

	// A thief who has seen all of it, cookie and code, comes second.
	thief := s.visitor(t)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: "__Host-otp", Value: handle, Path: "/", Secure: true}})
	require.Equal(t, 422, thief.post("/code", "code", code).status)
	require.Contains(t, thief.get("/").body, "Send me a code")
}

func TestResend(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	v.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 1)
	first := s.outbox.Code("ann@example.com")

	s.clock.Advance(12*time.Second + time.Millisecond)
	page := v.get("/resend")
	require.Contains(t, page.body, `<meta http-equiv="refresh" content="18">`)
	require.Contains(t, page.body, "in 18 seconds")
	require.NotContains(t, page.body, "<form")

	// Whoever posts all the same is refused, and it costs none of the messages.
	for range 5 {
		early := v.post("/resend")
		require.Equal(t, 429, early.status)
		require.Equal(t, "18", early.header.Get("Retry-After"))
		require.Equal(t, page.body, early.body)
	}
	require.Len(t, s.outbox.Messages(), 1)

	for sends := 2; sends <= 3; sends++ {
		s.clock.Advance(30 * time.Second)
		page = v.get("/resend")
		require.NotContains(t, page.body, "http-equiv")
		require.Contains(t, page.body, `<form method="post" action="/resend">`)
		require.Equal(t, "/code", v.post("/resend").location)
		s.outbox.Wait(t, sends)
	}
	require.NotEqual(t, first, s.outbox.Code("ann@example.com"))

	s.clock.Advance(30 * time.Second)
	require.Contains(t, v.get("/resend").body, "There are no more codes")
	last := v.post("/resend")
	require.Equal(t, 429, last.status)
	require.Empty(t, last.header.Get("Retry-After"))

	require.Equal(t, 303, v.post("/code", "code", s.outbox.Code("ann@example.com")).status)
	require.Equal(t, "/", v.get("/resend").location, "nothing is pending")
	require.Equal(t, "/", v.post("/resend").location)
}

// S-51: who has no account, who has one, and who has one and was sent too much already
// see the same bytes everywhere.
func TestUnknownUserLooksTheSame(t *testing.T) {
	s := newSite(t)
	known, unknown, limited := s.visitor(t), s.visitor(t), s.visitor(t)
	compare := func(do func(visitor, string) response) {
		t.Helper()
		want := do(known, "ann@example.com")
		same(t, want, do(unknown, "bob@example.com"))
		same(t, want, do(limited, "ann@example.com")) // ann's limit is used up by the first
	}
	wrong := func(v visitor, _ string) response { return v.post("/code", "code", "00000000") }
	resend := func(v visitor, _ string) response { return v.post("/resend") }

	compare(func(v visitor, to string) response { return v.post("/login", "to", to) })
	compare(func(v visitor, _ string) response { return v.get("/code") })
	compare(func(v visitor, _ string) response { return v.get("/resend") })
	compare(resend) // too early
	compare(wrong)
	s.clock.Advance(30 * time.Second)
	compare(func(v visitor, _ string) response { return v.get("/resend") })
	compare(resend)
	s.clock.Advance(30 * time.Second)
	compare(resend)
	s.clock.Advance(30 * time.Second)
	compare(resend) // too many
	for range 6 {
		compare(wrong)
	}
	compare(resend) // nothing is pending
	compare(func(v visitor, _ string) response { return v.get("/code") })

	for _, m := range s.outbox.Messages() {
		assert.Equal(t, "ann@example.com", m.To)
	}
}

// same compares all that a client can see. Handles are random, so for them it is the
// length.
func same(t *testing.T, want, got response) {
	t.Helper()
	for _, r := range []*response{&want, &got} {
		r.header = r.header.Clone()
		r.header.Del("Date")
		for i, c := range r.header.Values("Set-Cookie") {
			r.header["Set-Cookie"][i] = regexp.MustCompile(`=test\.[\w-]*`).ReplaceAllStringFunc(c, func(handle string) string {
				return "=" + strings.Repeat("#", len(handle)-1)
			})
		}
	}
	require.Equal(t, want, got)
}

func TestNotAnAddress(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	for _, to := range []string{"", "ann", "ann@", "0555 0100", "ann@example.com,bob@example.com", strings.Repeat("a", 5000)} {
		r := v.post("/login", "to", to)
		require.Equal(t, 400, r.status, to)
		require.Contains(t, r.body, "That is neither an e-mail address nor a phone number")
		require.Empty(t, r.header.Get("Set-Cookie"))
	}
}

func TestOneClientCannotAskForever(t *testing.T) {
	s := newSite(t)
	for i := range 10 {
		require.Equal(t, 303, s.visitor(t).post("/login", "to", fmt.Sprintf("person%d@example.com", i)).status)
	}
	r := s.visitor(t).post("/login", "to", "one.more@example.com")
	require.Equal(t, 429, r.status)
	require.Equal(t, "3600", r.header.Get("Retry-After"))
	require.Equal(t, "too many requests\n", r.body)
}

func TestForeignPagesCannotPost(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	for _, path := range []string{"/login", "/code", "/resend", "/logout"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader("to=ann@example.com"))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		got, err := v.client.Do(r)
		require.NoError(t, err)
		require.NoError(t, got.Body.Close())
		require.Equal(t, 403, got.StatusCode, path)
	}
	require.Empty(t, s.outbox.Messages())
}

func TestHeaders(t *testing.T) {
	s := newSite(t)
	v := s.visitor(t)
	page := v.get("/")
	_, css, _ := strings.Cut(page.body, "<style>")
	css, _, _ = strings.Cut(css, "</style>")
	sum := sha256.Sum256([]byte(css))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

	for _, r := range []response{
		page, v.get("/code"), v.get("/nowhere"), v.post("/code"), v.post("/login"), v.post("/login", "to", "ann@example.com"), v.get("/resend"),
	} {
		assert.Equal(t, policy, r.header.Get("Content-Security-Policy"))
		assert.Equal(t, "nosniff", r.header.Get("X-Content-Type-Options"))
		assert.Equal(t, "no-store", r.header.Get("Cache-Control"))
		assert.Equal(t, "same-origin", r.header.Get("Referrer-Policy"))
		assert.NotContains(t, r.body, "<script")
	}
}

// A challenge that was sent to somebody else does not exist for this one.
func TestHandleIsTheOnlyWayToAChallenge(t *testing.T) {
	s := newSite(t)
	ann, stranger := s.visitor(t), s.visitor(t)
	ann.post("/login", "to", "ann@example.com")
	s.outbox.Wait(t, 1)
	require.Equal(t, 422, stranger.post("/code", "code", s.outbox.Code("ann@example.com")).status)
	require.Equal(t, "/", stranger.get("/code").location)
	require.Equal(t, 303, ann.post("/code", "code", s.outbox.Code("ann@example.com")).status)
}
