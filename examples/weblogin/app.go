package main

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"otp.example/otp"
	"otp.example/otp/otphttp"
)

// login keeps the codes of this form apart from those of every other.
const login otp.Usage = "login"

// An app is the site.
type app struct {
	otp      *otp.Service
	users    []user
	sessions sessions
	now      func() time.Time

	// proxies lists the load balancers in front of the site. Empty means that there
	// are none, and that whoever connects is the client.
	proxies []netip.Prefix
}

type user struct{ id, name, email, phone string }

func newApp(svc *otp.Service, now func() time.Time) *app {
	return &app{
		otp:      svc,
		users:    []user{{id: "42", name: "Ann", email: "ann@example.com", phone: "+12025550100"}},
		sessions: sessions{now: now, m: map[string]session{}},
		now:      now,
	}
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.send)
	mux.HandleFunc("GET /code", a.askCode)
	mux.HandleFunc("POST /code", a.verify)
	mux.HandleFunc("GET /resend", a.askResend)
	mux.HandleFunc("POST /resend", a.resend)
	mux.HandleFunc("POST /logout", a.logout)
	// A foreign page that could post here would log its visitors in as somebody else,
	// or use up their attempts.
	return secured(http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, 4096)))
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	if u, ok := a.user(r); ok {
		render(w, http.StatusOK, homePage, page{Title: "Hello", Name: u.name})
		return
	}
	renderLogin(w, http.StatusOK, "")
}

// renderLogin shows the form that asks for a code, each time with a new name, by which send
// knows it again.
func renderLogin(w http.ResponseWriter, status int, problem string) {
	render(w, status, loginPage, page{Title: "Log in", Problem: problem, Form: rand.Text()})
}

// send takes an address and says the same to everybody: that a code is on its way, if
// there is such an account.
func (a *app) send(w http.ResponseWriter, r *http.Request) {
	channel, to := parseAddress(r.FormValue("to"))
	u, found := a.find(to)
	ch, err := a.otp.Request(r.Context(), otp.Request{
		Channel: channel,
		Usage:   login,
		To:      to,
		Subject: u.id,
		Client:  otphttp.ClientAddr(r, a.proxies),
		// Conceal: limits and failures of the recipient become events and not answers.
		// Decoy: for somebody who does not exist every step is done but the sending.
		Conceal: true,
		Decoy:   !found,
		// Who clicks twice gets one challenge and one message. Without this the second
		// click would make a challenge of its own, to which the limits send nothing, and
		// its handle would take the place of the one that the code belongs to.
		IdempotencyKey: r.FormValue("form"),
	})
	if errors.Is(err, otp.ErrInvalidRequest) {
		renderLogin(w, http.StatusBadRequest, "That is neither an e-mail address nor a phone number such as +1 202 555 0100.")
		return
	}
	if err != nil {
		otphttp.Error(w, err)
		return
	}
	otphttp.SetHandle(w, ch)
	http.Redirect(w, r, "/code", http.StatusSeeOther)
}

func (a *app) askCode(w http.ResponseWriter, r *http.Request) {
	if otphttp.Handle(r) == "" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	render(w, http.StatusOK, codePage, page{Title: "Your code"})
}

// verify lets in whoever has the code. All that can be wrong with an answer looks the
// same: a wrong code, an old one, none, one tried too often, and one of nobody.
func (a *app) verify(w http.ResponseWriter, r *http.Request) {
	proof, err := a.otp.Verify(r.Context(), otp.Answer{ID: otphttp.Handle(r), Code: r.FormValue("code"), Usage: login})
	if errors.Is(err, otp.ErrRejected) {
		render(w, http.StatusUnprocessableEntity, codePage, page{Title: "Your code", Problem: "That code is not valid."})
		return
	}
	if err != nil {
		otphttp.Error(w, err)
		return
	}
	otphttp.ClearHandle(w)
	a.sessions.start(w, proof.Subject())
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// askResend is a page of its own because it reloads itself: on the page of the code that
// would throw away what somebody is typing.
func (a *app) askResend(w http.ResponseWriter, r *http.Request) {
	ch, ok := a.pending(w, r)
	if !ok {
		return
	}
	render(w, http.StatusOK, resendPage, a.countdown(&ch))
}

// resend sends another code. Its wait is the challenge's own and the same for
// everybody, so unlike the recipient's limits it may be told.
func (a *app) resend(w http.ResponseWriter, r *http.Request) {
	ch, ok := a.pending(w, r)
	if !ok {
		return
	}
	if p := a.countdown(&ch); p.Wait > 0 || p.Final {
		if p.Wait > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(p.Wait))
		}
		render(w, http.StatusTooManyRequests, resendPage, p)
		return
	}
	if _, err := a.otp.Resend(r.Context(), otp.Resend{ID: otphttp.Handle(r), Client: otphttp.ClientAddr(r, a.proxies)}); err != nil {
		otphttp.Error(w, err)
		return
	}
	http.Redirect(w, r, "/code", http.StatusSeeOther)
}

// pending returns the client's challenge, or sends the client back to the start.
func (a *app) pending(w http.ResponseWriter, r *http.Request) (otp.Challenge, bool) {
	ch, err := a.otp.Status(r.Context(), otphttp.Handle(r))
	switch {
	case err == nil && ch.Status == otp.StatusPending:
		return ch, true
	case err == nil || errors.Is(err, otp.ErrRejected):
		http.Redirect(w, r, "/", http.StatusSeeOther)
	default:
		otphttp.Error(w, err)
	}
	return otp.Challenge{}, false
}

// countdown says how many seconds to wait. It rounds up: a button that comes a moment
// too early is one that does not work.
func (a *app) countdown(ch *otp.Challenge) page {
	p := page{Title: "Another code", Final: ch.SendsLeft == 0}
	if wait := ch.ResendAt.Sub(a.now()); !p.Final && wait > 0 {
		p.Wait = int((wait + time.Second - 1) / time.Second)
	}
	return p
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	a.sessions.end(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// parseAddress reads what people type. The rest is up to the service, whose reading is
// the one that counts.
func parseAddress(typed string) (otp.Channel, string) {
	typed = strings.ToLower(strings.TrimSpace(typed))
	if strings.Contains(typed, "@") {
		return otp.Email, typed
	}
	return otp.SMS, strings.NewReplacer(" ", "", "-", "", "(", "", ")", "").Replace(typed)
}

func (a *app) find(address string) (u user, found bool) {
	for _, u := range a.users {
		if address == u.email || address == u.phone {
			return u, true
		}
	}
	return user{}, false
}

// user returns who is logged in.
func (a *app) user(r *http.Request) (u user, ok bool) {
	id, ok := a.sessions.subject(r)
	if !ok {
		return user{}, false
	}
	for _, u := range a.users {
		if u.id == id {
			return u, true
		}
	}
	return user{}, false
}

// sessions remembers who is logged in, until the program ends.
type sessions struct {
	now func() time.Time

	mu sync.Mutex
	m  map[string]session
}

type session struct {
	subject string
	expires time.Time
}

const (
	sessionCookie = "__Host-session"
	sessionTTL    = 12 * time.Hour
)

// start gives the client a new session. It never takes up an ID that the client
// brought: somebody else may know it.
func (s *sessions) start(w http.ResponseWriter, subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, old := range s.m {
		if !s.now().Before(old.expires) {
			delete(s.m, id)
		}
	}
	id := rand.Text()
	s.m[id] = session{subject: subject, expires: s.now().Add(sessionTTL)}
	setSession(w, id, int(sessionTTL/time.Second))
}

func (s *sessions) subject(r *http.Request) (string, bool) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.m[c.Value]
	if !ok || !s.now().Before(found.expires) {
		return "", false
	}
	return found.subject, true
}

func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		delete(s.m, c.Value)
		s.mu.Unlock()
	}
	setSession(w, "", -1)
}

func setSession(w http.ResponseWriter, id string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: id, Path: "/", MaxAge: maxAge,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
