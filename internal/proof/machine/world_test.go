package machine_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"pgregory.net/rapid"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A backend is what a world keeps its records and meters in.
type backend interface {
	otp.ChargingStore
	otp.Pruner
}

// A world is the service under test, all that surrounds it, and the model of what it
// should do. It belongs to one sequence of actions.
type world struct {
	*model
	svc     *otp.Service
	cfg     otp.Config
	store   *watch
	keyring *otp.Keyring
	queues  []*otp.Queue

	mu       sync.Mutex
	answer   error          // of the provider
	rendered string         // the code of the last message, whether or not it was sent
	told     string         // the record that the last event was about
	made     int            // keys
	last     func(*rapid.T) // what was asked last
	lenient  bool           // the model's word on what is admitted is not asked for
	seen     map[string]int
}

// note counts what happened, over all sequences: a machine that never gets somewhere
// proves nothing about it.
func (w *world) note(what string) { w.noteIf(true, what) }

func (w *world) noteIf(is bool, what string) {
	if is && w.seen != nil {
		w.seen[what]++
	}
}

// The channels of the first list have a Queue, so a request by them may be concealed.
var (
	queued = []otp.Channel{otp.Email, otp.WhatsApp}
	direct = []otp.Channel{otp.SMS, otp.Voice}
)

// newWorld draws a configuration. Each part is drawn for itself, so that every limit
// meets every other.
func newWorld(t *rapid.T, store backend, seen map[string]int) *world {
	w := &world{model: newModel(t), store: &watch{backend: store}, seen: seen}
	var err error
	first := w.newKey()
	w.keyring, err = otp.NewKeyring(first, otp.Key{ID: otp.IndexKeyID, Secret: first.Secret})
	must(t, err)
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{{}: {
		Formats: w.rules.formats, TTL: w.rules.ttl, MaxAttempts: w.rules.attempts, MaxSends: w.rules.sends,
		LiveCodes: w.rules.live, ResendInterval: w.rules.interval, Limits: w.rules.limits,
	}})
	must(t, err)
	w.cfg = otp.Config{
		Store: w.store, Keyring: w.keyring, Policies: policies,
		GuessLimits: w.rules.guesses, TenantGuessLimit: w.rules.tenant,
		Guard: guard{}, Now: func() time.Time { return w.now },
		OnEvent: func(_ context.Context, e otp.Event) {
			w.mu.Lock() // a queue tells from several goroutines
			defer w.mu.Unlock()
			w.told = cmp.Or(e.Challenge, w.told)
		},
		Render: func(_ context.Context, m otp.Message) (otp.Content, error) {
			w.rendered = m.Code.Reveal()
			return otp.Content{Text: "code"}, nil
		},
	}
	w.start(t)
	return w
}

func (w *world) newKey() otp.Key {
	w.made++
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	k := otp.Key{ID: fmt.Sprint("k", w.made), Secret: secret}
	w.keys = append(w.keys, k.ID)
	return k
}

// start makes a new service over the store and keyring that are there. The leases and
// the queues of the one before are lost.
func (w *world) start(t *rapid.T) {
	provider := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, w.answer })
	w.cfg.Senders, w.queues = map[otp.Channel]otp.Sender{}, nil
	for _, c := range direct {
		w.cfg.Senders[c] = provider
	}
	for _, c := range queued {
		q := otp.NewQueue(provider, 1000)
		w.cfg.Senders[c] = q
		w.queues = append(w.queues, q)
	}
	var err error
	w.svc, err = otp.New(w.cfg)
	must(t, err)
}

// drain sends what waits in the queues, as a process does that is told to stop. A queue
// that stops tries each message once, so this needs neither time nor luck.
func (w *world) drain() {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	for _, q := range w.queues {
		_ = q.Run(ctx)
	}
}

func (w *world) of(tenant string) *otp.Service {
	if tenant == "" {
		return w.svc
	}
	return w.svc.Tenant(tenant)
}

// digests is how many codes the record has. That is the only thing that the machine
// takes the store's word for, and it is checked against what the model allows.
func (w *world) digests(t *rapid.T, record string) int {
	rec, err := w.store.backend.Get(context.Background(), record)
	must(t, err)
	return len(rec.Digests) / otp.DigestSize
}

// Recipients that the guard refuses.
const blockedNumber, blockedAddress = "+8811234567", "blocked@example.com"

type guard struct{}

func (guard) Check(_ context.Context, r otp.Request) error {
	for _, route := range append(slices.Clone(r.Fallback), otp.Route{Channel: r.Channel, To: r.To}) {
		if blocked(route.To) {
			return fmt.Errorf("%w: recipient is blocked", otp.ErrRefused)
		}
	}
	return nil
}

func blocked(to string) bool { return to == blockedNumber || to == blockedAddress }

// watch counts calls: what is forged or malformed must cost none. It lets one call
// through at a time, since a queue that stops gives back from several goroutines.
type watch struct {
	backend
	mu    sync.Mutex
	calls int
}

func (s *watch) count() (unlock func()) {
	s.mu.Lock()
	s.calls++
	return s.mu.Unlock
}

func (s *watch) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	defer s.count()()
	return s.backend.Put(ctx, r, now)
}

func (s *watch) Get(ctx context.Context, id string) (otp.Record, error) {
	defer s.count()()
	return s.backend.Get(ctx, id)
}

func (s *watch) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	defer s.count()()
	return s.backend.Spend(ctx, id, candidates, now)
}

func (s *watch) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	defer s.count()()
	return s.backend.Cancel(ctx, id, now)
}

func (s *watch) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	defer s.count()()
	return s.backend.PutCharged(ctx, r, c, now)
}

func (s *watch) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	defer s.count()()
	return s.backend.ReissueCharged(ctx, id, digest, live, c, now)
}

func (s *watch) GiveAll(ctx context.Context, c []otp.Charge) error {
	defer s.count()()
	return s.backend.GiveAll(ctx, c)
}

func (s *watch) Take(ctx context.Context, key string, cost int64, l []otp.Limit, now time.Time) (otp.Decision, error) {
	defer s.count()()
	return s.backend.Take(ctx, key, cost, l, now)
}

func (s *watch) Give(ctx context.Context, key string, cost int64, l []otp.Limit, at time.Time) error {
	defer s.count()()
	return s.backend.Give(ctx, key, cost, l, at)
}

var _ backend = (*memstore.Store)(nil)

var errProvider = errors.New("provider hung up")

func must(t *rapid.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("must not fail: %v", err)
	}
}

func pick[T any](t *rapid.T, label string, from ...T) T {
	return rapid.SampledFrom(from).Draw(t, label)
}

// rarely is true once in n times.
func rarely(t *rapid.T, label string, n int) bool {
	return rapid.IntRange(0, n-1).Draw(t, label) == n-1
}
