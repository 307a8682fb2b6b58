package twilioverify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
	"otp.example/otp/sender/twilioverify"
)

const (
	phone       = "+15005550006"
	maxAttempts = 5
)

// twilio behaves like Twilio Verify: one verification for a service and a recipient, which
// keeps its code for ten minutes, through five sends and five checks, or until it is
// answered.
type twilio struct {
	t      *testing.T
	now    func() time.Time
	server *httptest.Server

	mu      sync.Mutex
	pending map[string]*verification // by service and recipient
	made    int
	asked   int
	down    bool
	answer  []byte // given instead of its own if it is set
	before  func() // a check is answered
}

type verification struct {
	code          string
	until         time.Time
	sends, checks int
}

func newTwilio(t *testing.T) *twilio {
	tw := &twilio{t: t, pending: map[string]*verification{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/Services/{service}/Verifications", tw.start)
	mux.HandleFunc("POST /v2/Services/{service}/VerificationCheck", tw.check)
	tw.server = httptest.NewServer(mux)
	t.Cleanup(tw.server.Close)
	return tw
}

func (tw *twilio) find(r *http.Request) (key string, v *verification) {
	key = r.PathValue("service") + " " + r.FormValue("To")
	v = tw.pending[key]
	if v != nil && !tw.now().Before(v.until) {
		v = nil
	}
	return key, v
}

func (tw *twilio) start(w http.ResponseWriter, r *http.Request) {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	key, v := tw.find(r)
	if v == nil {
		tw.made++
		v = &verification{code: fmt.Sprintf("%06d", 271828*tw.made%1_000_000), until: tw.now().Add(10 * time.Minute)}
		tw.pending[key] = v
	}
	switch {
	case tw.down:
		w.WriteHeader(http.StatusBadGateway)
	case v.sends == 5:
		fail(tw.t, w, http.StatusTooManyRequests, 60203)
	default:
		v.sends++
		reply(tw.t, w, http.StatusCreated, map[string]any{"sid": fmt.Sprint("VE", tw.made), "status": "pending", "valid": false})
	}
}

func (tw *twilio) check(w http.ResponseWriter, r *http.Request) {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	tw.asked++
	if f := tw.before; f != nil {
		tw.mu.Unlock()
		f()
		tw.mu.Lock()
	}
	key, v := tw.find(r)
	switch {
	case tw.down:
		w.WriteHeader(http.StatusBadGateway)
	case tw.answer != nil:
		_, _ = w.Write(tw.answer)
	case v == nil:
		fail(tw.t, w, http.StatusNotFound, 20404)
	case v.checks == 5:
		fail(tw.t, w, http.StatusTooManyRequests, 60202)
	case v.code != r.FormValue("Code"):
		v.checks++
		reply(tw.t, w, http.StatusOK, map[string]any{"status": "pending", "valid": false})
	default:
		delete(tw.pending, key)
		reply(tw.t, w, http.StatusOK, map[string]any{"status": "approved", "valid": true})
	}
}

func fail(t *testing.T, w http.ResponseWriter, status, code int) {
	reply(t, w, status, map[string]any{"code": code, "message": "x", "status": status})
}

func reply(t *testing.T, w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	assert.NoError(t, json.NewEncoder(w).Encode(body))
}

// code is what the person reads.
func (tw *twilio) code(service string) string {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	v := tw.pending[service+" "+phone]
	require.NotNil(tw.t, v, "nothing was sent")
	return v.code
}

func (tw *twilio) checks() int {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	return tw.asked
}

func (tw *twilio) set(change func()) {
	tw.mu.Lock()
	defer tw.mu.Unlock()
	change()
}

// A world is a service whose codes are Twilio's.
type world struct {
	*otp.Service
	otp.Verifier
	t        *testing.T
	twilio   *twilio
	provider *twilioverify.Provider
	clock    *otptest.Clock

	mu     sync.Mutex
	events []string
	faults []error
}

// Verify is the verifier's and not the service's.
func (w *world) Verify(ctx context.Context, a otp.Answer) (otp.Proof, error) {
	return w.Verifier.Verify(ctx, a)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, twilio: newTwilio(t)}
	var err error
	w.provider, err = twilioverify.New(config(w.twilio.server.URL))
	require.NoError(t, err)
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{
		{}: {Formats: []otp.Format{{Length: 6}}, LiveCodes: 1, MaxAttempts: maxAttempts},
	})
	require.NoError(t, err)
	w.Service, _, w.clock = otptest.NewService(t, func(c *otp.Config) {
		c.Senders = map[otp.Channel]otp.Sender{otp.SMS: w.provider, otp.Voice: w.provider}
		c.Policies = policies
		c.Generator = &serial{}
		c.OnEvent = func(_ context.Context, e otp.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, strings.TrimSpace(string(e.Type)+" "+e.Reason))
			if e.Type == otp.EventFault {
				w.faults = append(w.faults, e.Err)
			}
		}
	})
	w.twilio.now = w.clock.Now
	w.Verifier = w.provider.Verifier(w.Service)
	return w
}

// serial makes the codes that the service knows and nobody is sent.
type serial struct{ made atomic.Int32 }

const ownCode = "135791" // the first one

func (s *serial) Generate(f otp.Format) (otp.Secret, error) {
	return otp.NewSecret(fmt.Sprintf("%0*d", f.Length, 135790+s.made.Add(1))), nil
}

func (w *world) request(edit ...func(*otp.Request)) otp.Challenge {
	w.t.Helper()
	r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: phone}
	for _, f := range edit {
		f(&r)
	}
	ch, err := w.Request(w.t.Context(), r)
	require.NoError(w.t, err)
	return ch
}

func (w *world) told() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func answer(ch otp.Challenge, code string) otp.Answer {
	return otp.Answer{ID: ch.ID, Code: code, Usage: "login"}
}

// S-22 S-84: a right code verifies once. Whoever repeats it is told so by the record, and
// Twilio is not asked again.
func TestRightOnce(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	assert.Equal(t, otp.Receipt{Provider: "twilioverify", MessageID: "VE1"}, ch.Receipt)
	code := w.twilio.code(loginService)
	a := answer(ch, code[:3]+" "+code[3:])
	a.Subject = "ann"
	proof, err := w.Verify(t.Context(), a)
	require.NoError(t, err)
	assert.True(t, proof.Valid())
	assert.Equal(t, "ann", proof.Subject())
	assert.Equal(t, phone, proof.Recipient())
	assert.Equal(t, otp.SMS, proof.Channel())
	assert.Equal(t, otp.Usage("login"), proof.Usage())
	assert.Equal(t, otp.FactorDelivered, proof.Factor())

	for range 3 {
		_, err = w.Verify(t.Context(), a)
		require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	}
	_, err = w.Service.Verify(t.Context(), answer(ch, ownCode))
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	assert.Equal(t, 1, w.twilio.checks())
	status, err := w.Status(t.Context(), ch.ID)
	require.NoError(t, err)
	assert.Equal(t, otp.StatusVerified, status.Status)
	again := "rejected already_verified"
	assert.Equal(t, []string{"requested", "sent", "verified", again, again, again, again}, w.told())
	assert.Zero(t, twilioverify.Turns(w.provider))
}

// The ledger gets back what a success proves to have been its owner's: more challenges
// than a day's guesses would pay for.
func TestSuccessGivesGuessesBack(t *testing.T) {
	w := newWorld(t)
	for range 5 {
		_, err := w.Verify(t.Context(), answer(w.request(), w.twilio.code(loginService)))
		require.NoError(t, err)
		w.clock.Advance(time.Hour)
	}
	for range 4 {
		w.request()
		w.clock.Advance(time.Hour)
	}
	_, err := w.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: phone})
	var limited *otp.RateLimitError
	require.ErrorAs(t, err, &limited, "there is no longer format to go on to")
	assert.Equal(t, "guesses", limited.Scope)
}

// S-24: a wrong code is counted, and AttemptsLeft is what a right one still has.
func TestWrong(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	right := w.twilio.code(loginService)
	assert.Equal(t, maxAttempts-1, twilioverify.AttemptsLeft(ch))
	for left := maxAttempts - 2; left >= 0; left-- {
		_, err := w.Verify(t.Context(), answer(ch, ownCode)) // which Twilio does not know
		var wrong *otp.MismatchError
		require.ErrorAs(t, err, &wrong)
		assert.Equal(t, left, wrong.AttemptsLeft)
		status, err := w.Status(t.Context(), ch.ID)
		require.NoError(t, err)
		assert.Equal(t, left, twilioverify.AttemptsLeft(status))
	}
	assert.Zero(t, twilioverify.AttemptsLeft(otp.Challenge{}))
	asked := w.twilio.checks()
	assert.Equal(t, maxAttempts-1, asked)
	_, err := w.Verify(t.Context(), answer(ch, right))
	require.ErrorIs(t, err, otp.ErrMismatch, "no attempt is left that could use it up")
	_, err = w.Verify(t.Context(), answer(ch, right))
	require.ErrorIs(t, err, otp.ErrAttemptsExceeded)
	assert.Equal(t, asked, w.twilio.checks())
	no := "rejected mismatch"
	assert.Equal(t, []string{"requested", "sent", no, no, no, no, no, "rejected attempts_exceeded"}, w.told())
}

func TestRightAtLast(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	for range maxAttempts - 2 {
		_, err := w.Verify(t.Context(), answer(ch, "000000"))
		require.ErrorIs(t, err, otp.ErrMismatch)
	}
	code := w.twilio.code(loginService)
	_, err := w.Verify(t.Context(), answer(ch, code[:3]+" "+code[3:])) // as people type it, and Twilio does not
	require.NoError(t, err)
}

// S-22: of 64 right answers at the same time, exactly one verifies.
func TestConcurrentRight(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	verified, errs := together(t, 64, func(int) (otp.Verifier, otp.Answer) {
		return w, answer(ch, w.twilio.code(loginService))
	})
	assert.Equal(t, 1, verified)
	for _, err := range errs {
		require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	}
	assert.Equal(t, 1, w.twilio.checks())
	assert.Zero(t, twilioverify.Turns(w.provider))
}

// S-22 S-23: processes take no turns among each other. Even if Twilio approved each of
// them, which it does not, one would verify at most; and it is never asked more often than
// there are attempts.
func TestConcurrentProcesses(t *testing.T) {
	for _, processes := range []int{2, 4, 64} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			w := newWorld(t)
			w.twilio.set(func() { w.twilio.answer = []byte(`{"status":"approved","valid":true}`) })
			ch := w.request()
			verifiers := make([]otp.Verifier, processes)
			for i := range verifiers {
				p, err := twilioverify.New(config(w.twilio.server.URL))
				require.NoError(t, err)
				verifiers[i] = p.Verifier(w.Service)
			}
			verified, errs := together(t, processes, func(i int) (otp.Verifier, otp.Answer) {
				return verifiers[i], answer(ch, "123456")
			})
			assert.LessOrEqual(t, verified, 1)
			if processes < maxAttempts {
				assert.Equal(t, 1, verified)
			}
			for _, err := range errs {
				require.ErrorIs(t, err, otp.ErrRejected)
			}
			assert.Less(t, w.twilio.checks(), maxAttempts)
		})
	}
}

// S-23: however many guess at once, Twilio is asked no more often than there are attempts.
func TestConcurrentGuesses(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	verified, errs := together(t, 200, func(i int) (otp.Verifier, otp.Answer) {
		return w, answer(ch, fmt.Sprintf("9%05d", i))
	})
	assert.Zero(t, verified)
	assert.Len(t, errs, 200)
	assert.Equal(t, maxAttempts-1, w.twilio.checks())
	_, err := w.Verify(t.Context(), answer(ch, w.twilio.code(loginService)))
	require.ErrorIs(t, err, otp.ErrAttemptsExceeded)
}

// together gives n answers at once.
func together(t *testing.T, n int, f func(i int) (otp.Verifier, otp.Answer)) (verified int, errs []error) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		v, a := f(i)
		wg.Go(func() {
			<-begin
			proof, err := v.Verify(t.Context(), a)
			mu.Lock()
			defer mu.Unlock()
			if err == nil && proof.Valid() {
				verified++
				return
			}
			errs = append(errs, err)
		})
	}
	close(begin)
	wg.Wait()
	return verified, errs
}

// That Twilio cannot tell is no yes, and costs an attempt.
func TestDown(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	code := w.twilio.code(loginService)
	w.twilio.set(func() { w.twilio.down = true })
	_, err := w.Verify(t.Context(), answer(ch, code))
	require.Error(t, err)
	require.NotErrorIs(t, err, otp.ErrRejected)
	require.NotErrorIs(t, err, otp.ErrNotAccepted)
	status, statusErr := w.Status(t.Context(), ch.ID)
	require.NoError(t, statusErr)
	assert.Equal(t, maxAttempts-1, status.AttemptsLeft)
	require.Len(t, w.faults, 1)
	for _, secret := range []string{code, phone, phone[1:], token, ch.ID} {
		assert.NotContains(t, w.faults[0].Error(), secret)
	}
	assert.Equal(t, []string{"requested", "sent", string(otp.EventFault) + " fault"}, w.told())

	w.twilio.set(func() { w.twilio.down = false })
	_, err = w.Verify(t.Context(), answer(ch, code))
	require.NoError(t, err, "the code was not used")
}

// What is refused before Twilio could be of help does not reach it.
func TestNeverAsks(t *testing.T) {
	w := newWorld(t)
	other := newWorld(t)
	live := w.request()
	code := w.twilio.code(loginService)
	decoy := w.request(func(r *otp.Request) { r.Decoy, r.Subject, r.To = true, "nobody", "+15005550007" })
	w.twilio.set(func() { w.twilio.answer = []byte(`{"status":"approved","valid":true}`) })
	tests := []struct {
		name string
		want error
		by   otp.Verifier
		a    otp.Answer
	}{
		{"decoy", otp.ErrMismatch, w, answer(decoy, code)},
		{"another usage", otp.ErrMismatch, w, otp.Answer{ID: live.ID, Code: code, Usage: "reset"}},
		{"a usage without a service", otp.ErrMismatch, w, otp.Answer{ID: live.ID, Code: code, Usage: "payment"}},
		{"a binding", otp.ErrMismatch, w, otp.Answer{ID: live.ID, Code: code, Usage: "login", Binding: "x"}},
		{"another subject", otp.ErrMismatch, w, otp.Answer{ID: live.ID, Code: code, Usage: "login", Subject: "bob"}},
		{"short code", otp.ErrMismatch, w, answer(live, code[1:])},
		{"letters", otp.ErrMismatch, w, answer(live, "12345A")},
		{"no code", otp.ErrMismatch, w, answer(live, "")},
		{"no handle", otp.ErrNotFound, w, otp.Answer{ID: "x", Code: code, Usage: "login"}},
		{"a stranger's handle", otp.ErrNotFound, other, answer(live, code)},
		{"another tenant", otp.ErrNotFound, w.provider.Verifier(w.Tenant("b")), answer(live, code)},
		{"a reference", otp.ErrNotFound, w, otp.Answer{ID: w.Reference("login", "order 1"), Code: code, Usage: "login"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.by.Verify(t.Context(), tt.a)
			require.ErrorIs(t, err, tt.want)
		})
	}
	require.NoError(t, w.Cancel(t.Context(), live.ID))
	_, err := w.Verify(t.Context(), answer(live, code))
	require.ErrorIs(t, err, otp.ErrCanceled)
	w.clock.Advance(5 * time.Minute)
	_, err = w.Verify(t.Context(), answer(decoy, code))
	require.ErrorIs(t, err, otp.ErrExpired)
	assert.Zero(t, w.twilio.checks()+other.twilio.checks())
}

// A code of one usage never verifies for another, although Twilio's codes belong to the
// number alone.
func TestUsagesApart(t *testing.T) {
	w := newWorld(t)
	login := w.request()
	w.clock.Advance(time.Minute)
	reset := w.request(func(r *otp.Request) { r.Usage = "reset" })
	code := w.twilio.code(loginService)
	require.NotEqual(t, code, w.twilio.code(resetService))
	_, err := w.Verify(t.Context(), otp.Answer{ID: reset.ID, Code: code, Usage: "reset"})
	require.ErrorIs(t, err, otp.ErrMismatch)
	_, err = w.Verify(t.Context(), answer(login, code))
	require.NoError(t, err)
}

// A live challenge that Send refuses, as it stays behind a queue, is not verified with a
// code that came for something else.
func TestNotForTwilio(t *testing.T) {
	tests := map[string]struct {
		r otp.Request
		a otp.Answer
	}{
		"format":     {otp.Request{Usage: "login", Policy: &otp.Policy{Formats: []otp.Format{{Length: 8}}}}, otp.Answer{Usage: "login", Code: "12345678"}},
		"binding":    {otp.Request{Usage: "login", Binding: "100 EUR to Eve"}, otp.Answer{Usage: "login", Code: "123456", Binding: "100 EUR to Eve"}},
		"no binding": {otp.Request{Usage: "login", Binding: "100 EUR to Eve"}, otp.Answer{Usage: "login", Code: "123456"}},
		"usage":      {otp.Request{Usage: "payment"}, otp.Answer{Usage: "payment", Code: "123456"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.twilio.set(func() { w.twilio.answer = []byte(`{"status":"approved","valid":true}`) })
			tt.r.Channel, tt.r.To = otp.SMS, phone
			_, err := w.Request(t.Context(), tt.r)
			require.ErrorIs(t, err, otp.ErrNotAccepted)
			ch, _, err := w.Issue(t.Context(), tt.r)
			require.NoError(t, err)
			tt.a.ID = ch.ID
			_, err = w.Verify(t.Context(), tt.a)
			require.ErrorIs(t, err, otp.ErrMismatch)
			assert.Zero(t, w.twilio.checks())
		})
	}
}

// A policy of another format is found at the first message, which costs no limits.
func TestWrongPolicy(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		_, err := w.Request(t.Context(), otp.Request{
			Channel: otp.SMS, Usage: "login", Subject: "ann", To: phone, Policy: &otp.Policy{Formats: []otp.Format{{Length: 8}}},
		})
		require.ErrorIs(t, err, otp.ErrDelivery)
		require.ErrorIs(t, err, otp.ErrNotAccepted)
		require.ErrorContains(t, err, "CodeLength")
		w.clock.Advance(time.Hour)
	}
}

// A resend brings the same code, also by a call.
func TestResend(t *testing.T) {
	w := newWorld(t)
	ch := w.request(func(r *otp.Request) { r.Fallback = []otp.Route{{Channel: otp.Voice, To: phone}} })
	code := w.twilio.code(loginService)
	for _, channel := range []otp.Channel{otp.SMS, otp.Voice} {
		w.clock.Advance(time.Minute)
		_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID, Channel: channel})
		require.NoError(t, err)
		require.Equal(t, code, w.twilio.code(loginService))
	}
	_, err := w.Verify(t.Context(), answer(ch, code))
	require.NoError(t, err)
	assert.Equal(t, []string{"requested", "sent", "resent", "sent", "resent", "sent", "verified"}, w.told())
}

// What became of the challenge while Twilio was asked decides: it may have been canceled,
// and a resend has made what the record held the past.
func TestChangedMeanwhile(t *testing.T) {
	tests := []struct {
		name   string
		want   error
		change func(w *world, id string) error
	}{
		{"canceled", otp.ErrCanceled, func(w *world, id string) error { return w.Cancel(t.Context(), id) }},
		{"resent", otp.ErrMismatch, func(w *world, id string) error {
			w.clock.Advance(time.Minute)
			_, err := w.Resend(t.Context(), otp.Resend{ID: id})
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ch := w.request()
			w.twilio.before = func() { assert.NoError(t, tt.change(w, ch.ID)) }
			_, err := w.Verify(t.Context(), answer(ch, w.twilio.code(loginService)))
			require.ErrorIs(t, err, tt.want)
			assert.Equal(t, 1, w.twilio.checks())
		})
	}
}

// A verification that is over at Twilio is a wrong code here.
func TestOverAtTwilio(t *testing.T) {
	w := newWorld(t)
	w.request()
	w.clock.Advance(7 * time.Minute)
	ch := w.request()
	code := w.twilio.code(loginService)
	w.clock.Advance(3 * time.Minute)
	_, err := w.Verify(t.Context(), answer(ch, code))
	require.ErrorIs(t, err, otp.ErrMismatch)
	assert.Equal(t, 1, w.twilio.checks())
}

// What is too long for a handle is refused at once: it is not hashed, and waits for nobody.
func TestLongHandle(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("x", 4097)
	leave := twilioverify.Take(t.Context(), w.provider, long)
	defer leave()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := w.Verify(ctx, otp.Answer{ID: long, Code: "000000", Usage: "login"})
	require.ErrorIs(t, err, otp.ErrNotFound)
	require.NoError(t, ctx.Err(), "it has waited for its turn")
}

// Who waits for a turn waits no longer than his context lasts, and then fails.
func TestTurnEndsWithContext(t *testing.T) {
	w := newWorld(t)
	ch := w.request()
	leave := twilioverify.Take(t.Context(), w.provider, ch.ID)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("gone"))
	_, err := w.Verify(ctx, answer(ch, w.twilio.code(loginService)))
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, otp.ErrRejected)
	assert.Equal(t, 1, twilioverify.Turns(w.provider))
	leave()
	assert.Zero(t, twilioverify.Turns(w.provider))
	assert.Zero(t, w.twilio.checks())
	_, err = w.Verify(t.Context(), answer(ch, w.twilio.code(loginService)))
	require.NoError(t, err, "nothing was counted")
}
