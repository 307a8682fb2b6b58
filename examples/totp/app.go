package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"html/template"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"otp.example/otp"
	"otp.example/otp/otphttp"
	"otp.example/otp/qr"
	"otp.example/otp/recovery"
	"otp.example/otp/totp"
)

// The one user of this site. Passwords are another library's business.
const (
	subject  = "42"
	account  = "ann@example.com"
	password = "correct horse"
)

// login keeps the proofs of this form apart from those of every other.
const login otp.Usage = "login"

// An app is the site.
type app struct {
	totp     *totp.Verifier
	recovery *recovery.Verifier
	sessions sessions

	// secondFactor is a column of the account, in the database that has the password. It is
	// set with the first app, and unset by whoever takes the last one away. See enrolled.
	secondFactor atomic.Bool
}

func (a *app) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("POST /login", a.login)
	mux.HandleFunc("POST /code", a.code)
	mux.HandleFunc("POST /setup", a.setup)
	mux.HandleFunc("POST /confirm", a.confirm)
	mux.HandleFunc("POST /recovery", a.makeRecovery)
	mux.HandleFunc("POST /logout", a.logout)
	return secured(http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, 4096)))
}

// home shows the page that a session has got to.
func (a *app) home(w http.ResponseWriter, r *http.Request) {
	s := a.sessions.get(r)
	switch {
	case s == nil:
		render(w, http.StatusOK, loginPage, page{Title: "Log in"})
	case !s.in:
		render(w, http.StatusOK, codePage, page{Title: "Your code"})
	default:
		a.account(w, r, http.StatusOK, page{})
	}
}

// account shows what there is of a second factor.
func (a *app) account(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Title, p.Name = "Hello", account
	var err error
	if p.Active, err = a.enrolled(r.Context()); err != nil {
		otphttp.Error(w, err)
		return
	}
	if p.Remaining, err = a.recovery.Remaining(r.Context(), subject); err != nil {
		otphttp.Error(w, err)
		return
	}
	render(w, status, homePage, p)
}

// login is the first factor. Who has enrolled an app is asked for a code after it.
func (a *app) login(w http.ResponseWriter, r *http.Request) {
	if subtle.ConstantTimeCompare([]byte(r.FormValue("password")), []byte(password)) != 1 {
		render(w, http.StatusUnprocessableEntity, loginPage, page{Title: "Log in", Problem: "That password is not valid."})
		return
	}
	enrolled, err := a.enrolled(r.Context())
	if err != nil {
		otphttp.Error(w, err)
		return
	}
	a.sessions.start(w, session{in: !enrolled})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// errLost is a matter for the operator: restore the store, or the index key.
var errLost = errors.New("the account has a second factor, and the store knows of none")

// enrolled reports whether an app has been confirmed. It does not believe an empty list: a
// store that lost its credentials has one, and so has a keyring whose index key was
// changed, for every account and without an error. Then the password alone would do.
func (a *app) enrolled(ctx context.Context) (bool, error) {
	list, err := a.totp.List(ctx, subject)
	if err != nil {
		return false, err
	}
	found := slices.ContainsFunc(list, func(c otp.Credential) bool { return !c.Pending })
	if !found && a.secondFactor.Load() {
		return false, errLost
	}
	return found, nil
}

// code is the second factor: a code of the app, or one from paper.
func (a *app) code(w http.ResponseWriter, r *http.Request) {
	if a.sessions.get(r) == nil { // nobody guesses codes without the password
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	answer := otp.Answer{Subject: subject, Code: r.FormValue("code"), Usage: login}
	var verifier otp.Verifier = a.totp
	if len(answer.Code) > 12 {
		verifier = a.recovery
	}
	proof, err := verifier.Verify(r.Context(), answer)
	switch {
	case err == nil:
		// The proof lets this session change the factor, for ten minutes.
		a.sessions.start(w, session{in: true, proof: proof})
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case errors.Is(err, otp.ErrAlreadyVerified):
		// Whoever submits a code that was used has seen it, so this may be told.
		render(w, http.StatusUnprocessableEntity, codePage, page{Title: "Your code", Problem: "That code was used. Wait for the next one."})
	case errors.Is(err, otp.ErrAttemptsExceeded):
		render(w, http.StatusForbidden, codePage, page{Title: "Your code", Problem: "Your app is disabled after too many wrong codes. Use a recovery code."})
	case errors.Is(err, otp.ErrRejected):
		render(w, http.StatusUnprocessableEntity, codePage, page{Title: "Your code", Problem: "That code is not valid."})
	default:
		otphttp.Error(w, err)
	}
}

// setup shows a new secret, this once.
func (a *app) setup(w http.ResponseWriter, r *http.Request) {
	s, ok := a.loggedIn(w, r)
	if !ok {
		return
	}
	e, err := a.totp.Begin(r.Context(), totp.Enroll{Subject: subject, Account: account, Name: "phone", Proof: s.proof})
	if errors.Is(err, otp.ErrProofRequired) {
		a.account(w, r, http.StatusForbidden, page{Problem: "Log in again to change your app."})
		return
	}
	if err != nil {
		otphttp.Error(w, err)
		return
	}
	svg, err := qr.SVG(e.URI.Reveal(), "QR code to scan with your authenticator app")
	if err != nil {
		otphttp.Error(w, err)
		return
	}
	a.sessions.update(r, func(s *session) { s.pending = e.ID })
	render(w, http.StatusOK, setupPage, page{Title: "Your app", QR: template.HTML(svg), Key: e.Key.Reveal()}) //nolint:gosec // our own SVG
}

// confirm ends the enrollment with a code that the app shows.
func (a *app) confirm(w http.ResponseWriter, r *http.Request) {
	s, ok := a.loggedIn(w, r)
	if !ok {
		return
	}
	err := a.totp.Confirm(r.Context(), subject, s.pending, r.FormValue("code"))
	switch {
	case err == nil:
		a.secondFactor.Store(true)
		http.Redirect(w, r, "/", http.StatusSeeOther)
	case errors.Is(err, otp.ErrMismatch): // the secret is not shown again, but the app has it
		render(w, http.StatusUnprocessableEntity, setupPage, page{Title: "Your app", Problem: "That code is not valid. Is the time of your phone right?"})
	case errors.Is(err, otp.ErrRejected):
		a.account(w, r, http.StatusUnprocessableEntity, page{Problem: "That took too long. Begin again."})
	default:
		otphttp.Error(w, err)
	}
}

// makeRecovery shows a new set of recovery codes, this once.
func (a *app) makeRecovery(w http.ResponseWriter, r *http.Request) {
	s, ok := a.loggedIn(w, r)
	if !ok {
		return
	}
	codes, err := a.recovery.Generate(r.Context(), subject, s.proof)
	switch {
	case err == nil:
		render(w, http.StatusOK, recoveryPage, page{Title: "Your recovery codes", Codes: recovery.Text(codes).Reveal()})
	case errors.Is(err, otp.ErrProofRequired):
		a.account(w, r, http.StatusForbidden, page{Problem: "Log in again to change your recovery codes."})
	default:
		otphttp.Error(w, err)
	}
}

func (a *app) logout(w http.ResponseWriter, r *http.Request) {
	a.sessions.end(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// loggedIn returns the session of who is logged in, or sends the client to the start.
func (a *app) loggedIn(w http.ResponseWriter, r *http.Request) (session, bool) {
	s := a.sessions.get(r)
	if s == nil || !s.in {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return session{}, false
	}
	return *s, true
}

// sessions remembers how far each client has got, until the program ends.
type sessions struct {
	mu sync.Mutex
	m  map[string]*session
}

type session struct {
	in      bool      // not just the password
	proof   otp.Proof // of the second factor
	pending string    // what is being enrolled
}

const sessionCookie = "session"

// start gives the client a new session. It never takes up an ID that the client brought:
// somebody else may know it.
func (s *sessions) start(w http.ResponseWriter, n session) {
	id := rand.Text()
	s.mu.Lock()
	s.m[id] = &n
	s.mu.Unlock()
	setSession(w, id, 0)
}

// get returns a copy of the client's session, or nil.
func (s *sessions) get(r *http.Request) *session {
	var found *session
	s.update(r, func(n *session) { c := *n; found = &c })
	return found
}

func (s *sessions) update(r *http.Request, f func(*session)) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.m[c.Value]; n != nil {
		f(n)
	}
}

func (s *sessions) end(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		delete(s.m, c.Value)
		s.mu.Unlock()
	}
	setSession(w, "", -1)
}

// In earnest the cookie is __Host-session and Secure; plain HTTP on localhost has neither.
func setSession(w http.ResponseWriter, id string, maxAge int) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: id, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
