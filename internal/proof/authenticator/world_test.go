package authenticator_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/recovery"
	"otp.example/otp/totp"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// The bugs of a store that a machine has to find.
const (
	losesSwaps = "tells that a swap was applied, and has forgotten it, now and then"
	rollsBack  = "has an older value after a restart"
	forgets    = "forgets a value that has to be kept, now and then"
	mixesUp    = "takes one person's key for another's"
)

// A store has one of the bugs, or none, and remembers what is held.
type store struct {
	*memstore.Store
	bug   string
	calls int
	held  map[string][]byte
	older map[string][]byte
}

func (s *store) key(key string) string {
	if s.bug == mixesUp {
		return key[:1] // one value for all
	}
	return key
}

func (s *store) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	key = s.key(key)
	if s.calls++; s.bug == losesSwaps && s.calls%7 == 0 {
		return true, nil
	}
	applied, err := s.Store.SwapCredentials(ctx, key, old, value, until)
	if applied {
		if s.calls%3 == 0 {
			s.older[key] = s.held[key]
		}
		if s.held[key] = value; len(value) == 0 {
			delete(s.held, key)
		}
	}
	return applied, err
}

func (s *store) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	key = s.key(key)
	if s.calls++; s.bug == forgets && s.calls%11 == 0 {
		s.put(key, nil)
	}
	return s.Store.LoadCredentials(ctx, key)
}

// put changes a value as no caller may.
func (s *store) put(key string, value []byte) {
	_, _ = s.Store.SwapCredentials(context.Background(), key, s.held[key], value, time.Time{})
	s.held[key] = value
}

// A manager is what the verifiers of authenticators have in common.
type manager interface {
	otp.Verifier
	Confirm(ctx context.Context, subject, id, code string) error
	Resync(ctx context.Context, subject, id string, proof otp.Proof, first, second string) error
	List(ctx context.Context, subject string) ([]otp.Credential, error)
	Revoke(ctx context.Context, subject, id string, proof otp.Proof) error
	RevokeAll(ctx context.Context, subject string) error
}

// A world is the verifiers under test, the model of them, and what has been answered.
type world struct {
	store   *store
	keys    *otp.Keyring
	made    int
	limits  []otp.Limit
	now     time.Time
	latest  time.Time
	totp    map[string]*totp.Verifier // by tenant
	hotp    map[string]*hotp.Verifier
	paper   map[string]*recovery.Verifier
	svc     *otp.Service
	events  []otp.EventType
	books   []*book
	picked  *book
	typed   []string        // codes that were tried, right or wrong
	burnt   map[string]bool // secret and counter, or a code on paper, that was accepted
	highest map[string]uint64
	guesses map[*book][]charge // that were compared and not given back, from the answers alone
	since   map[*book]int      // the first guess of the streak
	judged  map[*book]int      // how many guesses are known to be within the limits
	seen    map[string]int

	// suffered has the guesses since a credential has been active, whatever came and went beside it.
	suffered map[*credential][]charge
}

func newWorld(t *rapid.T, bug string, seen map[string]int) *world {
	w := &world{
		store: &store{Store: memstore.New(), bug: bug, held: map[string][]byte{}, older: map[string][]byte{}},
		now:   begin, latest: begin, burnt: map[string]bool{}, highest: map[string]uint64{}, guesses: map[*book][]charge{}, since: map[*book]int{}, judged: map[*book]int{},
		suffered: map[*credential][]charge{},
		seen:     seen,
		limits: rapid.SampledFrom([][]otp.Limit{
			{{N: 20_000, Per: 24 * time.Hour}, {N: 60_000, Per: 30 * 24 * time.Hour}},
			{{N: 60_000, Per: time.Hour}},
			{{N: 9_000, Per: 10 * time.Minute}, {N: 9_500, Per: time.Hour}, {N: 40_000, Per: 48 * time.Hour}},
		}).Draw(t, "limits"),
	}
	var err error
	first := w.newKey()
	w.keys, err = otp.NewKeyring(first, otp.Key{ID: otp.IndexKeyID, Secret: first.Secret})
	must(t, err)
	for _, tenant := range []string{"", "other"} {
		for _, subject := range []string{"ada", "bob"} {
			for _, f := range []otp.Factor{otp.FactorTOTP, otp.FactorHOTP, otp.FactorRecovery} {
				w.books = append(w.books, &book{tenant: tenant, subject: subject, factor: f})
			}
		}
	}
	w.start(t)
	return w
}

func (w *world) newKey() otp.Key {
	w.made++
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	return otp.Key{ID: fmt.Sprint("k", w.made), Secret: secret}
}

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start makes new verifiers over the store and keyring that are there, as a process does.
func (w *world) start(t *rapid.T) {
	var err error
	w.svc, err = otp.New(otp.Config{
		Store: w.store, Keyring: w.keys, Now: func() time.Time { return w.now }, GuessLimits: w.limits,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: &otptest.Outbox{}},
		OnEvent: func(_ context.Context, e otp.Event) { w.events = append(w.events, e.Type) },
	})
	must(t, err)
	w.totp, w.hotp, w.paper = map[string]*totp.Verifier{}, map[string]*hotp.Verifier{}, map[string]*recovery.Verifier{}
	for _, tenant := range []string{"", "other"} {
		svc := w.svc.Tenant(tenant)
		w.totp[tenant], err = totp.NewVerifier(svc, totp.Config{Issuer: "Example"})
		must(t, err)
		w.hotp[tenant], err = hotp.NewVerifier(svc, hotp.Config{Issuer: "Example"})
		must(t, err)
		w.paper[tenant], err = recovery.NewVerifier(svc, recovery.Config{})
		must(t, err)
	}
}

func (w *world) verifier(b *book) otp.Verifier {
	if b.factor == otp.FactorRecovery {
		return w.paper[b.tenant]
	}
	return w.manager(b)
}

func (w *world) manager(b *book) manager {
	if b.factor == otp.FactorTOTP {
		return w.totp[b.tenant]
	}
	return w.hotp[b.tenant]
}

// proof is one of a delivered code.
func (w *world) proof(t *rapid.T, b *book) otp.Proof {
	box := &otptest.Outbox{}
	svc, err := otp.New(otp.Config{
		Store: memstore.New(), Keyring: w.keys, Now: func() time.Time { return w.now }, Senders: map[otp.Channel]otp.Sender{otp.Email: box},
	})
	must(t, err)
	svc = svc.Tenant(b.tenant)
	ch, err := svc.Request(context.Background(), otp.Request{Channel: otp.Email, Usage: "change", Subject: b.subject, To: "a@example.com"})
	must(t, err)
	p, err := svc.Verify(context.Background(), otp.Answer{ID: ch.ID, Code: box.Code("a@example.com"), Usage: "change"})
	must(t, err)
	return p
}

// said is the outcome that an error tells.
func said(err error) outcome {
	for _, is := range []struct {
		err error
		o   outcome
	}{
		{nil, yes},
		{otp.ErrAlreadyVerified, used},
		{otp.ErrAttemptsExceeded, exceeded},
		{otp.ErrExpired, expired},
		{otp.ErrNotFound, notFound},
		{otp.ErrMismatch, mismatch},
		{otp.ErrRateLimited, limited},
		{otp.ErrProofRequired, proof},
		{otp.ErrInvalidRequest, invalid},
	} {
		if errors.Is(err, is.err) {
			return is.o
		}
	}
	return fault
}

// check runs an action on one book, and compares its answer with the model's. Nothing of other books may
// change, and nothing at all where the answer is about the request. (S-39, S-75)
func (w *world) check(t *rapid.T, what string, b *book, want outcome, act func() error) outcome {
	t.Helper()
	before := maps.Clone(w.store.held)
	w.events = nil
	err := act()
	got := said(err)
	if w.seen != nil {
		w.seen[what+": "+string(got)]++
	}
	if got != want {
		t.Fatalf("%s of %s/%s %s: %q (%v), and the model says %q", what, b.tenant, b.subject, b.factor, got, err, want)
	}
	changed := 0
	for key := range w.store.held {
		if !bytes.Equal(before[key], w.store.held[key]) {
			changed++
		}
	}
	for key := range before {
		if w.store.held[key] == nil {
			changed++
		}
	}
	if changed > 1 || changed > 0 && slices.Contains([]outcome{notFound, limited, exceeded, proof, invalid, expired}, got) {
		t.Fatalf("%s, which was %q, changed %d values", what, got, changed)
	}
	return got
}

// pick draws a book, and prefers the one before and those with credentials.
func (w *world) pick(t *rapid.T, f ...otp.Factor) *book {
	if b := w.picked; b == nil || len(f) > 0 && !slices.Contains(f, b.factor) || rapid.Bool().Draw(t, "another") {
		w.picked = w.pickAny(t, f)
	}
	return w.picked
}

func (w *world) pickAny(t *rapid.T, f []otp.Factor) *book {
	var all, full []*book
	for _, b := range w.books {
		if len(f) > 0 && !slices.Contains(f, b.factor) {
			continue
		}
		all = append(all, b)
		if len(b.credentials) > 0 {
			full = append(full, b)
		}
	}
	if len(full) > 0 && rapid.IntRange(0, 9).Draw(t, "any") > 0 {
		return rapid.SampledFrom(full).Draw(t, "book")
	}
	return rapid.SampledFrom(all).Draw(t, "book")
}

// shows is what a device shows: the next code of a token, or of an app whose clock is a bit off. It is
// right, unless the server's clock was set back or the device ran away.
func (w *world) shows(t *rapid.T, c *credential) string {
	switch c.factor {
	case otp.FactorTOTP:
		off := rapid.SampledFrom([]int64{0, 0, 0, 0, -1, -1, -1, -2, -3, 1}).Draw(t, "clock")
		return c.code(uint64(int64(c.step(w.now)) + c.drift + off))
	case otp.FactorHOTP:
		c.shown += 1 + uint64(rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 2, 3, 9}).Draw(t, "pressed in vain"))
		return c.code(c.shown - 1)
	default:
		if len(c.left) == 0 {
			return "0"
		}
		return rapid.SampledFrom(c.left).Draw(t, "code")
	}
}

// spell writes a code as people do, or attackers.
func spell(t *rapid.T, code string) string {
	n := min(len(code), 3)
	return rapid.SampledFrom([]string{
		code, code, code, code, code, code[:n] + " " + code[n:], code[:n] + "-" + code[n:], " " + code + " ", strings.ToLower(code),
		code + "\n", "+" + code, "\u00a0" + code, "0" + code, code[:len(code)-min(1, len(code))], strings.ReplaceAll(code, "1", "１"), strings.ReplaceAll(code, "0", "o"),
	}).Draw(t, "spelling")
}

// verify tries a code on a book, and keeps what the answer says.
func (w *world) verify(t *rapid.T, what string, b *book, id, typed string) {
	t.Helper()
	w.typed = append(w.typed, typed)
	before := len(b.charges)
	was := map[*credential]uint64{}
	left := map[*credential][]string{}
	for _, c := range b.active() {
		was[c], left[c] = c.next, c.left
	}
	want := b.verify(id, typed, w.limits, w.now)
	got := w.check(t, what, b, want, func() error {
		p, err := w.verifier(b).Verify(context.Background(), otp.Answer{ID: id, Subject: b.subject, Usage: "login", Code: typed})
		if p.Valid() != (err == nil) || err == nil && (p.Subject() != b.subject || p.Factor() != b.factor || p.Tenant() != b.tenant || !p.Time().Equal(w.now)) {
			t.Fatalf("the proof does not fit: %v", err)
		}
		return err
	})
	w.answered(t, b, got, len(b.charges) > before)
	if got != yes {
		return
	}
	// Whatever the model thought: what was accepted is a code of an active credential of this book that
	// was not accepted before. (S-22, S-55, FM-10)
	code, _ := canonical(b.factor, typed)
	for _, c := range b.active() {
		switch {
		case b.factor == otp.FactorRecovery && len(left[c]) != len(c.left):
			w.accept(t, code)
		case c.next != was[c]:
			if c.code(c.next-1) != code {
				t.Fatalf("a code was accepted that is not the one of counter %d", c.next-1)
			}
			w.accept(t, fmt.Sprintf("%x %d", c.secret, c.next-1))
			if high, ok := w.highest[c.counts()]; ok && c.next-1 <= high {
				t.Fatalf("counter %d was accepted after %d", c.next-1, high)
			}
			w.highest[c.counts()] = c.next - 1
		}
	}
}

func (w *world) accept(t *rapid.T, what string) {
	t.Helper()
	if w.burnt[what] {
		t.Fatalf("%s was accepted twice", what)
	}
	w.burnt[what] = true
}

// answered adds what was compared to the trace.
func (w *world) answered(t *rapid.T, b *book, got outcome, charged bool) {
	t.Helper()
	switch {
	case got == yes:
		w.since[b] = len(w.guesses[b])
	case charged:
		g := b.charges[len(b.charges)-1]
		w.guesses[b] = append(w.guesses[b], g)
		for _, c := range b.active() {
			w.suffered[c] = append(w.suffered[c], g)
		}
	}
	if got == used && charged && w.seen != nil {
		w.seen["used at one of several"]++
	}
	if got == used && !slices.Contains(w.events, otp.EventReplayed) {
		t.Fatalf("a used code was told as %v", w.events)
	}
}

// note counts what becomes of the guesses at a book, if there are any.
func (w *world) note(b *book, what string, forgotten bool) {
	if len(w.guesses[b]) > 0 && w.seen != nil {
		w.seen[what+": guesses "+map[bool]string{true: "forgotten", false: "stay"}[forgotten]]++
	}
}

// beginAnew forgets the guesses at a book whose credentials are new.
func (w *world) beginAnew(b *book) {
	b.beginAnew()
	delete(w.guesses, b)
	delete(w.since, b)
	delete(w.judged, b)
}

// invariants are recomputed from the answers. (S-06, S-66)
func (w *world) invariants(t *rapid.T) {
	for b, guesses := range w.guesses {
		streak := int64(0)
		for _, g := range guesses[w.since[b]:] {
			streak += g.cost
		}
		if streak > streakLimit {
			t.Fatalf("%s %s: guesses of %d in a row", b.subject, b.factor, streak)
		}
		if w.judged[b] == len(guesses) {
			continue // nothing was added
		}
		w.judged[b] = len(guesses)
		w.within(t, b, guesses)
		for _, c := range b.active() {
			w.within(t, b, w.suffered[c])
		}
	}
}

// within fails if there are more guesses in any window than its limit admits.
func (w *world) within(t *rapid.T, b *book, guesses []charge) {
	t.Helper()
	for _, l := range w.limits {
		for i := range guesses {
			sum := int64(0)
			for _, g := range guesses {
				if !g.at.Before(guesses[i].at) && g.at.Before(guesses[i].at.Add(l.Per)) {
					sum += g.cost
				}
			}
			if sum > l.N {
				t.Fatalf("%s %s: guesses of %d within %v", b.subject, b.factor, sum, l.Per)
			}
		}
	}
}
