// Package timing proves that a concealed answer tells neither by what it says, nor by what
// it costs, nor by when it comes whether there is an account.
package timing_test

import (
	"context"
	"crypto/rand"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func long() bool { return os.Getenv("OTP_PROVE") == "long" }

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A world is a service whose SMS channel is a queue in front of a provider.
type world struct {
	*otp.Service
	t     testing.TB
	now   time.Time
	store *recorder
	queue *otp.Queue
	codes []string // of all messages that were rendered, sent or not
}

func newWorld(t testing.TB, provider otp.Sender, size int, edit ...func(*otp.Config)) *world {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	keyring, err := otp.NewKeyring(otp.Key{ID: "k1", Secret: secret})
	require.NoError(t, err)
	w := &world{t: t, now: begin, store: &recorder{Store: memstore.New()}, queue: otp.NewQueue(provider, size)}
	cfg := otp.Config{
		Store: w.store, Keyring: keyring, Policies: recipientOnly(t, otp.Policy{}), Now: func() time.Time { return w.now },
		Senders: map[otp.Channel]otp.Sender{otp.SMS: w.queue, otp.WhatsApp: w.queue},
		// So that a hundred thousand accounts get codes of six digits.
		TenantGuessLimit: otp.Limit{N: 1e9, Per: time.Hour},
		Render: func(ctx context.Context, m otp.Message) (otp.Content, error) {
			w.codes = append(w.codes, m.Code.Reveal())
			return otp.DefaultRender(ctx, m)
		},
	}
	for _, f := range edit {
		f(&cfg)
	}
	w.Service, err = otp.New(cfg)
	require.NoError(t, err)
	return w
}

// recipientOnly is a policy whose other send limits are in nobody's way.
func recipientOnly(t testing.TB, p otp.Policy) otp.PolicySource {
	t.Helper()
	many := []otp.Limit{{N: 1e9, Per: time.Second}}
	p.Limits = otp.Limits{Client: many, Prefix: many, Subject: many}
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{{}: p})
	require.NoError(t, err)
	return policies
}

// run starts the queue. stop ends it when all is sent.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.queue.Run(context.WithValue(ctx, inQueue{}, true)) }()
	return func() {
		cancel()
		require.ErrorIs(w.t, <-done, context.Canceled)
	}
}

func (w *world) request(r otp.Request) otp.Challenge {
	w.t.Helper()
	ch, err := w.Request(w.t.Context(), r)
	require.NoError(w.t, err)
	return ch
}

var client = netip.MustParseAddr("192.0.2.7")

func concealed(subject, to string) otp.Request {
	return otp.Request{Channel: otp.SMS, Usage: "login", Subject: subject, To: to, Client: client, Conceal: true}
}

// wrong is a code of the same format.
func wrong(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

// A recorder counts the calls of a store.
type recorder struct {
	*memstore.Store
	mu    sync.Mutex
	calls []string
}

func (r *recorder) note(call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, call)
}

// take returns the calls since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.calls
	r.calls = nil
	return c
}

func (r *recorder) Put(ctx context.Context, rec otp.Record, now time.Time) (otp.Record, bool, error) {
	r.note("Put")
	return r.Store.Put(ctx, rec, now)
}

func (r *recorder) Get(ctx context.Context, id string) (otp.Record, error) {
	r.note("Get")
	return r.Store.Get(ctx, id)
}

func (r *recorder) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	r.note("Spend")
	return r.Store.Spend(ctx, id, candidates, now)
}

func (r *recorder) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	r.note("Cancel")
	return r.Store.Cancel(ctx, id, now)
}

func (r *recorder) Take(ctx context.Context, key string, cost int64, l []otp.Limit, now time.Time) (otp.Decision, error) {
	r.note("Take")
	return r.Store.Take(ctx, key, cost, l, now)
}

func (r *recorder) Give(ctx context.Context, key string, cost int64, l []otp.Limit, at time.Time) error {
	r.note("Give")
	return r.Store.Give(ctx, key, cost, l, at)
}

func (r *recorder) PutCharged(ctx context.Context, rec otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	r.note("PutCharged")
	return r.Store.PutCharged(ctx, rec, c, now)
}

func (r *recorder) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	r.note("ReissueCharged")
	return r.Store.ReissueCharged(ctx, id, digest, live, c, now)
}

func (r *recorder) GiveAll(ctx context.Context, c []otp.Charge) error {
	if ctx.Value(inQueue{}) == nil { // what the queue does is on nobody's path
		r.note("GiveAll")
	}
	return r.Store.GiveAll(ctx, c)
}

// inQueue marks the context of a queue's workers.
type inQueue struct{}
