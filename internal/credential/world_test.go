package credential_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/recovery"
	"otp.example/otp/totp"
)

// factors are those of credentials. What is proved here is proved of each: they share one
// path, and a test of one alone would not see a second.
var factors = []otp.Factor{otp.FactorTOTP, otp.FactorHOTP, otp.FactorRecovery}

// budgets is how many wrong codes each factor takes with the defaults: in 24 hours, and in
// a row until it is disabled.
var budgets = map[otp.Factor]struct{ day, streak int }{
	otp.FactorTOTP:     {10, 50},  // 2 of 1e6 each
	otp.FactorHOTP:     {6, 33},   // 3 of 1e6
	otp.FactorRecovery: {20, 100}, // 1 of 1e6, as if they could be guessed
}

// A world is a service with a verifier of each factor, and everything that a test looks at.
type world struct {
	t     testing.TB
	svc   *otp.Service
	keys  *otp.Keyring
	store *store
	box   *otptest.Outbox
	clock *otptest.Clock
	totp  *totp.Verifier
	hotp  *hotp.Verifier
	paper *recovery.Verifier
	wrong []string // recovery codes of nobody

	mu      sync.Mutex
	secrets int // that newSecret has made
	events  []otp.Event
	log     bytes.Buffer
	hide    []string // what no log may hold
}

func newWorld(t testing.TB, edit ...func(*otp.Config)) *world {
	t.Helper()
	w := &world{t: t, store: &store{Store: memstore.New()}, clock: &otptest.Clock{}}
	w.open(edit...)
	other, _, _ := otptest.NewService(t)
	paper, err := recovery.NewVerifier(other, recovery.Config{})
	require.NoError(t, err)
	for i := range 2 {
		codes, err := paper.Generate(t.Context(), fmt.Sprint(i), otp.Proof{})
		require.NoError(t, err)
		for _, c := range codes {
			w.wrong = append(w.wrong, c.Reveal())
		}
	}
	t.Cleanup(w.scan)
	return w
}

// open makes the service over the store that is there, as a process does that starts.
func (w *world) open(edit ...func(*otp.Config)) {
	w.t.Helper()
	logger := slog.New(slog.NewJSONHandler(&w.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{} // its fractions would look like codes
		}
		return a
	}}))
	tell := otp.LogEvents(logger)
	edit = slices.Concat([]func(*otp.Config){func(c *otp.Config) {
		if w.keys != nil {
			c.Keyring = w.keys
		}
		w.keys, c.Store, c.Now = c.Keyring, w.store, w.clock.Now
		c.OnEvent = func(ctx context.Context, e otp.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, e)
			tell(ctx, e)
			fmt.Fprintf(&w.log, "%v %+v %#v\n", e, e, e)
		}
	}}, edit)
	w.svc, w.box, _ = otptest.NewService(w.t, edit...)
	var err error
	w.totp, err = totp.NewVerifier(w.svc, totp.Config{Issuer: "Example"})
	require.NoError(w.t, err)
	w.hotp, err = hotp.NewVerifier(w.svc, hotp.Config{Issuer: "Example"})
	require.NoError(w.t, err)
	w.paper, err = recovery.NewVerifier(w.svc, recovery.Config{})
	require.NoError(w.t, err)
}

// wide lets the windows of the guess limits admit what the streak does.
func wide(c *otp.Config) { c.GuessLimits = []otp.Limit{{N: 1_000_000, Per: time.Hour}} }

// scan ends every test: no secret of it was logged. Codes are compared with whole words, since six
// digits stand by chance in the addresses and durations that %#v prints. (S-83 FM-41)
func (w *world) scan() {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, words := w.log.String(), map[string]bool{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		words[word] = true
	}
	for _, s := range w.hide {
		if words[s] || len(s) > 8 && strings.Contains(text, s) {
			w.t.Errorf("a log shows %q", s)
		}
	}
}

func (w *world) secret(s ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hide = append(w.hide, s...)
}

// say puts an error where scan looks.
func (w *world) say(err error) error {
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprintf(&w.log, "%v %+v %#v\n", err, err, err)
	}
	return err
}

// told returns the types of the events since the last call.
func (w *world) told() []otp.EventType {
	w.mu.Lock()
	defer w.mu.Unlock()
	var types []otp.EventType
	for _, e := range w.events {
		types = append(types, e.Type)
	}
	w.events = nil
	return types
}

// count returns how often an event was told since the last call of told.
func (w *world) count(t otp.EventType) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Type == t {
			n++
		}
	}
	return n
}

// proof is one of a delivered code, just now.
func (w *world) proof(subject string) otp.Proof {
	w.t.Helper()
	svc, box, _ := otptest.NewService(w.t, func(c *otp.Config) { c.Keyring, c.Now = w.keys, w.clock.Now })
	ch, err := svc.Request(w.t.Context(), otp.Request{Channel: otp.Email, Usage: "change", Subject: subject, To: "somebody@example.com"})
	require.NoError(w.t, err)
	p, err := svc.Verify(w.t.Context(), otp.Answer{ID: ch.ID, Code: box.Code("somebody@example.com"), Usage: "change"})
	require.NoError(w.t, err)
	return p
}

// A device is what a subject has in the hand.
type device struct {
	w        *world
	factor   otp.Factor
	verifier otp.Verifier
	subject  string
	id       string
	secret   []byte
	next     uint64       // of a token
	codes    []otp.Secret // on paper
	misses   int
}

// enroll gives a subject a credential.
func (w *world) enroll(f otp.Factor, subject string) *device {
	w.t.Helper()
	return w.enrollAt(w.svc, f, subject)
}

func (w *world) enrollAt(svc *otp.Service, f otp.Factor, subject string) *device {
	w.t.Helper()
	d := &device{w: w, factor: f, subject: subject, secret: w.newSecret()}
	var err error
	switch f {
	case otp.FactorTOTP:
		v := w.totp
		if svc != w.svc {
			v, err = totp.NewVerifier(svc, totp.Config{})
			require.NoError(w.t, err)
		}
		d.verifier = v
		d.id, err = v.Import(w.t.Context(), subject, "device", d.secret, totp.Options{})
	case otp.FactorHOTP:
		v := w.hotp
		if svc != w.svc {
			v, err = hotp.NewVerifier(svc, hotp.Config{})
			require.NoError(w.t, err)
		}
		d.verifier = v
		d.id, err = v.Import(w.t.Context(), subject, "device", d.secret, 0, hotp.Options{})
	default:
		v := w.paper
		if svc != w.svc {
			v, err = recovery.NewVerifier(svc, recovery.Config{})
			require.NoError(w.t, err)
		}
		d.verifier = v
		d.codes, err = v.Generate(w.t.Context(), subject, otp.Proof{})
		for _, c := range d.codes {
			w.secret(c.Reveal(), strings.ReplaceAll(c.Reveal(), "-", ""))
		}
	}
	require.NoError(w.t, err)
	w.secret(string(d.secret))
	return d
}

// newSecret returns the next secret of this test. They are the same in every run, and so are all codes
// of them: of random ones, a code is one of another device now and then.
func (w *world) newSecret() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.secrets++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", w.t.Name(), w.secrets))
	return sum[:20]
}

// right returns a code that was never returned before. The clock of an app moves for it.
func (d *device) right() string {
	d.w.t.Helper()
	var code string
	var err error
	switch d.factor {
	case otp.FactorTOTP:
		d.w.clock.Advance(30 * time.Second)
		code, err = totp.Code(d.secret, d.w.clock.Now(), totp.Options{})
	case otp.FactorHOTP:
		code, err = hotp.Code(d.secret, d.next, hotp.Options{})
		d.next++
	default:
		require.NotEmpty(d.w.t, d.codes, "all paper codes are used")
		code, d.codes = d.codes[0].Reveal(), d.codes[1:]
	}
	require.NoError(d.w.t, err)
	d.w.secret(code)
	return code
}

// scan takes what an enrollment shows, and returns the first code.
func (d *device) scan(e otp.Enrollment) string {
	d.w.t.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Key.Reveal(), " ", ""))
	require.NoError(d.w.t, err)
	d.id, d.secret, d.next = e.ID, secret, 0
	d.w.secret(e.Key.Reveal(), strings.ReplaceAll(e.Key.Reveal(), " ", ""), e.URI.Reveal(), string(secret))
	return d.right()
}

// miss returns a code that is wrong, but could be right for somebody.
func (d *device) miss() string {
	d.misses++
	if d.factor == otp.FactorRecovery {
		return d.w.wrong[d.misses%len(d.w.wrong)]
	}
	for n := d.misses; ; n++ {
		code := fmt.Sprintf("%06d", n*7919%1_000_000)
		step, _ := totp.Step(d.w.clock.Now(), totp.Options{})
		near := d.next
		if d.factor == otp.FactorTOTP {
			near = step - 5
		}
		if _, err := hotp.Match(d.secret, code, near, hotp.Options{Window: 10}); errors.Is(err, hotp.ErrMismatch) {
			d.misses = n
			return code
		}
	}
}

func (d *device) verify(code string) error {
	p, err := d.answer(otp.Answer{Code: code})
	if (err == nil) != p.Valid() {
		d.w.t.Errorf("the proof is valid: %v, and the error %v", p.Valid(), err)
	}
	return err
}

func (d *device) answer(a otp.Answer) (otp.Proof, error) {
	a.Subject, a.Usage = d.subject, "login"
	p, err := d.verifier.Verify(d.w.t.Context(), a)
	return p, d.w.say(err)
}

// rejected reports the errors that say no: all but faults.
func rejected(err error) bool {
	return errors.Is(err, otp.ErrRejected) || errors.Is(err, otp.ErrRateLimited)
}

// each runs a test for every factor.
func each(t *testing.T, test func(*testing.T, otp.Factor)) {
	t.Helper()
	for _, f := range factors {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}

// together calls f from n goroutines at once.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			ready.Wait()
			f(i)
		})
	}
	done.Wait()
}

// A store counts what it is asked, and fails where a test wants it to.
type store struct {
	*memstore.Store
	mu      sync.Mutex
	loads   int
	swaps   int
	applied int
	before  func(call int) error                  // a call: an error means that nothing is done
	after   func(call int) error                  // the same, when it has been done
	lose    func(call int) bool                   // a swap: somebody else came first
	change  func(key string, value []byte) []byte // what a load returns
	values  map[string][]byte                     // what is held
}

func (s *store) begin(load bool) (call int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if load {
		s.loads++
	} else {
		s.swaps++
	}
	call = s.loads + s.swaps
	if s.before != nil {
		err = s.before(call)
	}
	return call, err
}

func (s *store) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	call, err := s.begin(true)
	if err != nil {
		return nil, err
	}
	value, err := s.Store.LoadCredentials(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && s.after != nil {
		err = s.after(call)
	}
	if s.change != nil {
		value = s.change(key, value)
	}
	return value, err
}

func (s *store) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	call, err := s.begin(false)
	if err != nil {
		return false, err
	}
	s.mu.Lock()
	lost := s.lose != nil && s.lose(call)
	s.mu.Unlock()
	if lost {
		return false, ctx.Err()
	}
	applied, err := s.Store.SwapCredentials(ctx, key, old, value, until)
	s.mu.Lock()
	defer s.mu.Unlock()
	if applied {
		s.applied++
		if s.values == nil {
			s.values = map[string][]byte{}
		}
		s.values[key] = bytes.Clone(value)
		if len(value) == 0 {
			delete(s.values, key)
		}
	}
	if err == nil && s.after != nil {
		if err = s.after(call); err != nil {
			return false, err
		}
	}
	return applied, err
}

// reset forgets the counts and the faults.
func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads, s.swaps, s.applied = 0, 0, 0
	s.before, s.after, s.lose, s.change = nil, nil, nil, nil
}

func (s *store) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loads + s.swaps
}

// held is a copy of all that is held.
func (s *store) held() map[string][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.values)
}
