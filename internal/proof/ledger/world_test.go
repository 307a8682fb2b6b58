// Package ledger simulates attackers and victims for months and years on the real
// service and adds up what they could have guessed.
package ledger_test

import (
	"context"
	"crypto/rand"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

const (
	day   = 24 * time.Hour
	month = 30 * day
	year  = 365 * day
)

// What the documentation of otp.DefaultGuessLimits promises, as probabilities.
const (
	perDay    = 2e-5
	perMonth  = 8e-5
	perYear   = 1e-3
	perStreak = 1e-4
)

// windows are the default guess limits without the one on a streak, which would stop an
// attack for good before it has used up a month or two: these are what a year depends on.
var windows = []otp.Limit{{N: 20_000, Per: day}, {N: 80_000, Per: month}}

// limits that are in nobody's way, so that the ledger alone acts.
var open = func() otp.Limits {
	many := []otp.Limit{{N: 1e6, Per: time.Second}}
	return otp.Limits{Recipient: many, Subject: many, Client: many, Prefix: many}
}()

func long() bool { return os.Getenv("OTP_PROVE") == "long" }

// A world is a service with a clock that the test moves, and what it sent last.
type world struct {
	*otp.Service
	t      testing.TB
	cfg    otp.Config
	now    time.Time
	mu     sync.Mutex
	sent   string
	told   map[otp.EventType]int
	keys   *otp.Keyring
	before string // the key that a rotation replaced
}

func newWorld(t testing.TB, p otp.Policy, edit ...func(*otp.Config)) *world {
	t.Helper()
	p.Limits = open
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{{}: p})
	require.NoError(t, err)
	w := &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), told: map[otp.EventType]int{}, before: "k0"}
	first := newKey(w.before)
	w.keys, err = otp.NewKeyring(first, otp.Key{ID: otp.IndexKeyID, Secret: first.Secret})
	require.NoError(t, err)
	send := otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.sent = m.Code.Reveal()
		return otp.Receipt{}, nil
	})
	w.cfg = otp.Config{
		Store: memstore.New(), Keyring: w.keys, Policies: policies, Now: func() time.Time { return w.now },
		TenantGuessLimit: otp.Limit{N: 1e9, Per: day}, // in nobody's way, either
		Senders:          map[otp.Channel]otp.Sender{otp.SMS: send, otp.Email: send, otp.Voice: send, otp.WhatsApp: send},
		OnEvent: func(_ context.Context, e otp.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told[e.Type]++
		},
	}
	for _, f := range edit {
		f(&w.cfg)
	}
	w.restart()
	return w
}

func newKey(id string) otp.Key {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	return otp.Key{ID: id, Secret: secret}
}

// restart makes a new service over the same store: what the old one had leased is lost.
func (w *world) restart() {
	var err error
	w.Service, err = otp.New(w.cfg)
	require.NoError(w.t, err)
}

var ann = otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+4930123456"}

// request returns a challenge and its code.
func (w *world) request(s *otp.Service, r otp.Request) (id, code string) {
	w.t.Helper()
	ch, err := s.Request(w.t.Context(), r)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Len(w.t, w.sent, ch.CodeFormat.Length)
	return ch.ID, w.sent
}

// length is how long the next code is that ann gets.
func (w *world) length(r otp.Request) int {
	w.t.Helper()
	_, code := w.request(w.Service, r)
	return len(code)
}

// wrong is a code of the same format.
func wrong(code string) string {
	if strings.HasPrefix(code, "0") {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}

// miss guesses wrong n times, or until no more is compared, and puts down what was.
func (w *world) miss(s *otp.Service, r otp.Request, id, code string, n int, out *tally) {
	w.t.Helper()
	for range n {
		_, err := s.Verify(w.t.Context(), otp.Answer{ID: id, Code: wrong(code), Usage: r.Usage})
		if _, compared := errors.AsType[*otp.MismatchError](err); !compared {
			require.ErrorIs(w.t, err, otp.ErrAttemptsExceeded)
			return
		}
		out.guessed(w.now, len(code))
	}
}

func (w *world) hit(r otp.Request, id, code string) {
	w.t.Helper()
	_, err := w.Verify(w.t.Context(), otp.Answer{ID: id, Code: code, Usage: r.Usage})
	require.NoError(w.t, err)
}

// A tally is every guess that was compared, with the chance that it was right.
type tally struct {
	points   []point
	byLength map[int]int // guesses
	requests int
	refused  int
}

type point struct {
	at   time.Time
	mass float64
}

func chance(length int) float64 {
	if length >= 10 { // Crockford
		return math.Pow(32, -float64(length))
	}
	return math.Pow(10, -float64(length))
}

func (t *tally) guessed(at time.Time, length int) {
	if t.byLength == nil {
		t.byLength = map[int]int{}
	}
	t.byLength[length]++
	t.points = append(t.points, point{at, chance(length)})
}

// sum is the chance of all guesses together, at most.
func (t *tally) sum() float64 { return t.worst(100 * year) }

// worst is the most that was guessed in any window of a length.
func (t *tally) worst(per time.Duration) (worst float64) {
	sum, first := 0.0, 0
	for _, p := range t.points {
		sum += p.mass
		for !t.points[first].at.After(p.at.Add(-per)) {
			sum -= t.points[first].mass
			first++
		}
		worst = max(worst, sum)
	}
	return worst
}

// atMost allows for what sums of floating-point numbers are off.
func atMost(t testing.TB, bound, got float64, what string) {
	t.Helper()
	require.LessOrEqual(t, got, bound*(1+1e-9), what)
}

func sorted(m map[int]int) (lengths []int) {
	for l := range m {
		lengths = append(lengths, l)
	}
	slices.Sort(lengths)
	return lengths
}
