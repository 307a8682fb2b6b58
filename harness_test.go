package otp_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// A world is a service on a memstore with everything that a test looks at.
type world struct {
	*otp.Service
	t      testing.TB
	store  *recorder
	box    *outbox
	clock  *clock
	events *events
}

func newKeyring(t testing.TB) *otp.Keyring {
	secret := make([]byte, 32)
	_, err := rand.Read(secret)
	require.NoError(t, err)
	kr, err := otp.NewKeyring(otp.Key{ID: "k1", Secret: secret}, otp.Key{ID: otp.IndexKeyID, Secret: secret})
	require.NoError(t, err)
	return kr
}

func newWorld(t testing.TB, edit ...func(*otp.Config)) *world {
	t.Helper()
	w := &world{t: t, store: &recorder{ChargingStore: memstore.New()}, box: &outbox{}, clock: newClock(), events: &events{}}
	log := otp.LogEvents(slog.New(slog.NewJSONHandler(seen.log(), nil)))
	cfg := otp.Config{
		Store: w.store, Keyring: newKeyring(t), Now: w.clock.Now, Generator: &distinct{drawn: map[string]bool{"000000": true}},
		Senders: map[otp.Channel]otp.Sender{otp.SMS: w.box, otp.Email: w.box, otp.Voice: w.box, otp.WhatsApp: w.box},
		OnEvent: func(ctx context.Context, e otp.Event) {
			log(ctx, e)
			w.events.add(e)
		},
	}
	for _, f := range edit {
		f(&cfg)
	}
	w.Service = w.new(cfg)
	return w
}

func (w *world) new(cfg otp.Config) *otp.Service {
	svc, err := otp.New(cfg)
	require.NoError(w.t, err)
	return svc
}

// request asks for a challenge that must be made.
func (w *world) request(r otp.Request) otp.Challenge {
	w.t.Helper()
	ch, err := w.Request(w.t.Context(), r)
	require.NoError(w.t, seen.err(err))
	seen.add(ch.ID, r.To)
	return ch
}

// answer verifies and remembers what the error says.
func (w *world) answer(a otp.Answer) (otp.Proof, error) {
	p, err := w.Verify(w.t.Context(), a)
	return p, seen.err(err)
}

func login(to string) otp.Request {
	channel := otp.SMS
	if strings.Contains(to, "@") {
		channel = otp.Email
	}
	return otp.Request{Channel: channel, Usage: "login", Subject: "user of " + mailboxOf(to), To: to}
}

func mailboxOf(to string) string { return strings.NewReplacer("+", "p", "@", " at ").Replace(to) }

// number returns a phone number that no other call returns.
var number = func() func() string {
	var mu sync.Mutex
	n := 0
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return fmt.Sprintf("+4930%03d%04d", n, n)
	}
}()

// wrong returns a code of the same format that is not code.
func wrong(code string) string {
	last := byte('0')
	if code[len(code)-1] == '0' {
		last = '1'
	}
	return code[:len(code)-1] + string(last)
}

// A distinct is the usual generator, but makes no code twice, nor the one that tests take for a
// wrong one: of a million codes two are equal now and then.
type distinct struct {
	mu    sync.Mutex
	drawn map[string]bool
}

func (d *distinct) Generate(f otp.Format) (otp.Secret, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		code, err := otp.Uniform.Generate(f)
		if err != nil || !d.drawn[code.Reveal()] {
			d.drawn[code.Reveal()] = true
			return code, err
		}
	}
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type outbox struct {
	mu   sync.Mutex
	sent []otp.Message
	err  error
	hook func(context.Context, otp.Message) (otp.Receipt, error)
}

func (o *outbox) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	seen.add(m.Code.Reveal(), m.To)
	o.mu.Lock()
	hook, err := o.hook, o.err
	if err == nil && hook == nil {
		o.sent = append(o.sent, m)
	}
	n := len(o.sent)
	o.mu.Unlock()
	if hook != nil {
		return hook(ctx, m)
	}
	return otp.Receipt{Provider: "test", MessageID: fmt.Sprint("m", n)}, err
}

func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

func (o *outbox) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.sent)
}

func (o *outbox) last(t testing.TB) otp.Message {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	require.NotEmpty(t, o.sent)
	return o.sent[len(o.sent)-1]
}

func (o *outbox) code(t testing.TB) string { return o.last(t).Code.Reveal() }

type events struct {
	mu   sync.Mutex
	list []otp.Event
}

func (e *events) add(v otp.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, v)
}

func (e *events) types() []otp.EventType {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []otp.EventType
	for _, v := range e.list {
		out = append(out, v.Type)
	}
	return out
}

func (e *events) of(t otp.EventType) []otp.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(e.list), func(v otp.Event) bool { return v.Type != t })
}

// A recorder passes calls on, counts them, and fails those it is told to.
type recorder struct {
	otp.ChargingStore
	mu     sync.Mutex
	calls  []string
	before func(call string) error // its error is returned instead of calling
	after  func(call string) error // its error is returned although it was called
}

func (r *recorder) do(call string, f func() error) error {
	r.mu.Lock()
	r.calls = append(r.calls, call)
	before, after := r.before, r.after
	r.mu.Unlock()
	if before != nil {
		if err := before(call); err != nil {
			return err
		}
	}
	err := f()
	if after != nil {
		if lost := after(call); lost != nil {
			return lost
		}
	}
	return err
}

// take returns the calls since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls
	r.calls = nil
	return c
}

func (r *recorder) faults(before, after func(call string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.before, r.after = before, after
}

func (r *recorder) Put(ctx context.Context, rec otp.Record, now time.Time) (out otp.Record, applied bool, err error) {
	err = r.do("Put", func() error { out, applied, err = r.ChargingStore.Put(ctx, rec, now); return err })
	return out, applied, err
}

func (r *recorder) Get(ctx context.Context, id string) (out otp.Record, err error) {
	err = r.do("Get", func() error { out, err = r.ChargingStore.Get(ctx, id); return err })
	return out, err
}

func (r *recorder) Spend(ctx context.Context, id string, c []byte, now time.Time) (out otp.Record, applied bool, err error) {
	err = r.do("Spend", func() error { out, applied, err = r.ChargingStore.Spend(ctx, id, c, now); return err })
	return out, applied, err
}

func (r *recorder) Reissue(ctx context.Context, id string, d []byte, live int, now time.Time) (out otp.Record, applied bool, err error) {
	err = r.do("Reissue", func() error { out, applied, err = r.ChargingStore.Reissue(ctx, id, d, live, now); return err })
	return out, applied, err
}

func (r *recorder) Cancel(ctx context.Context, id string, now time.Time) (out otp.Record, applied bool, err error) {
	err = r.do("Cancel", func() error { out, applied, err = r.ChargingStore.Cancel(ctx, id, now); return err })
	return out, applied, err
}

func (r *recorder) PutCharged(ctx context.Context, rec otp.Record, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	err = r.do("PutCharged", func() error { out, err = r.ChargingStore.PutCharged(ctx, rec, c, now); return err })
	return out, err
}

func (r *recorder) ReissueCharged(ctx context.Context, id string, d []byte, live int, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	err = r.do("ReissueCharged", func() error { out, err = r.ChargingStore.ReissueCharged(ctx, id, d, live, c, now); return err })
	return out, err
}

func (r *recorder) GiveAll(ctx context.Context, c []otp.Charge) error {
	return r.do("GiveAll", func() error { return r.ChargingStore.GiveAll(ctx, c) })
}

func (r *recorder) Take(ctx context.Context, key string, cost int64, l []otp.Limit, now time.Time) (d otp.Decision, err error) {
	err = r.do("Take", func() error { d, err = r.ChargingStore.Take(ctx, key, cost, l, now); return err })
	return d, err
}

func (r *recorder) Give(ctx context.Context, key string, cost int64, l []otp.Limit, at time.Time) error {
	return r.do("Give", func() error { return r.ChargingStore.Give(ctx, key, cost, l, at) })
}

func (r *recorder) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.ChargingStore.(otp.Pruner).Prune(ctx, before, limit)
}

// seen collects every secret of the whole run, and everything that was logged or
// returned as an error. TestMain looks for the one in the other.
var seen = &secrets{set: map[string]bool{}}

type secrets struct {
	mu   sync.Mutex
	set  map[string]bool
	text bytes.Buffer
}

func (s *secrets) add(values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if len(v) >= 6 {
			s.set[v] = true
		}
	}
}

func (s *secrets) err(err error) error {
	if err != nil {
		_, _ = fmt.Fprintf(s.log(), "%v %+v %s\n", err, err, errors.Unwrap(err))
	}
	return err
}

func (s *secrets) log() io.Writer { return secretsLog{s} }

type secretsLog struct{ s *secrets }

func (l secretsLog) Write(p []byte) (int, error) {
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	return l.s.text.Write(p)
}

// TestMain runs the suite as a child process, passes its output on, and then looks in
// all of it for the secrets that the child saw. (S-83, S-13)
func TestMain(m *testing.M) {
	flag.Parse()
	if path := os.Getenv("OTP_TEST_SECRETS"); path != "" {
		code := m.Run()
		seen.mu.Lock()
		b, err := json.Marshal(map[string]any{"secrets": seen.set, "text": seen.text.String()})
		if err == nil {
			err = os.WriteFile(path, b, 0o600)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "secrets:", err)
			code = 1
		}
		os.Exit(code)
	}
	for _, name := range []string{"test.fuzz", "test.fuzzworker", "test.bench", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != f.DefValue {
			os.Exit(m.Run())
		}
	}
	os.Exit(runAndSearch())
}

func runAndSearch() int {
	dir, err := os.MkdirTemp("", "otp-secrets")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	path := dir + "/secrets.json"
	var stdout, stderr bytes.Buffer
	child := exec.Command(os.Args[0], os.Args[1:]...)
	child.Env = append(os.Environ(), "OTP_TEST_SECRETS="+path)
	child.Stdout = io.MultiWriter(os.Stdout, &stdout)
	child.Stderr = io.MultiWriter(os.Stderr, &stderr)
	if err := child.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests:", err)
		return 1
	}
	var got struct {
		Secrets map[string]bool
		Text    string
	}
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "secrets:", err)
		return 1
	}
	for _, text := range []string{stdout.String(), stderr.String(), got.Text} {
		if s := leak(text, got.Secrets); s != "" {
			fmt.Fprintf(os.Stderr, "the output of the tests holds a code, handle or recipient: %q\n", s)
			return 1
		}
	}
	return 0
}

var word = regexp.MustCompile(`[+]?[A-Za-z0-9_.\-]+(@[A-Za-z0-9.\-]+)?`)

// leak returns the first word of text that is a secret. Words are compared whole, since
// six digits stand by chance in longer numbers.
func leak(text string, secrets map[string]bool) string {
	for _, w := range word.FindAllString(text, -1) {
		if trimmed := strings.Trim(w, ".-"); secrets[w] || secrets[trimmed] {
			return trimmed
		}
	}
	return ""
}

func TestLeakFindsSecrets(t *testing.T) {
	set := map[string]bool{"482913": true, "+4930001": true, "a@example.com": true}
	for _, text := range []string{`{"code":"482913"}`, "sent to +4930001.", "a@example.com: no", "x 482913\n"} {
		require.NotEmpty(t, leak(text, set), text)
	}
	require.Empty(t, leak("12482913 0x482913ff +49***01 a***@example.com", set))
}
