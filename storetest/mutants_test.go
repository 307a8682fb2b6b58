package storetest

import (
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// A mutant is a store with one mistake, which the case of that name must reject.
type mutant[S any] struct {
	rejectedBy string
	mistake    string
	make       func() S

	// Further cases that may reject it, too. Each case has a mutant without any, which
	// shows that the case is needed.
	also string
}

// TestMutants tests the suite: correct stores pass all of it, and each mutant is rejected
// by its case.
func TestMutants(t *testing.T) {
	t.Parallel()
	t.Run("Run", func(t *testing.T) {
		t.Parallel()
		testMutants(t, storeCases, storeMutants, newStore[otp.Store], func() otp.Store { return struct{ otp.Store }{newReference()} })
	})
	t.Run("RunLimiter", func(t *testing.T) {
		t.Parallel()
		testMutants(t, limiterCases, limiterMutants, newStore[otp.Limiter],
			func() otp.Limiter { return struct{ otp.Limiter }{newReference()} },
			func() otp.Limiter { return newLog() })
	})
	t.Run("RunCounter", func(t *testing.T) {
		t.Parallel()
		testMutants(t, counterCases, counterMutants, newStore[otp.CounterStore], func() otp.CounterStore { return struct{ otp.CounterStore }{newReference()} })
	})
	t.Run("RunCredential", func(t *testing.T) {
		t.Parallel()
		testMutants(t, credentialCases, credentialMutants, newStore[otp.CredentialStore], func() otp.CredentialStore { return struct{ otp.CredentialStore }{newReference()} })
	})
	t.Run("RunCharging", func(t *testing.T) {
		t.Parallel()
		testMutants(t, chargingCases, chargingMutants, newStore[otp.ChargingStore], func() otp.ChargingStore { return struct{ otp.ChargingStore }{newReference()} })
	})
	t.Run("RunPruner", func(t *testing.T) {
		t.Parallel()
		testMutants(t, prunerCases, prunerMutants, newStore[PruningStore], func() PruningStore { return struct{ PruningStore }{newReference()} })
	})
}

func newStore[S any]() S { return any(newReference()).(S) }

func testMutants[S any](t *testing.T, clauses []clause[S], mutants []mutant[S], correct ...func() S) {
	for _, c := range correct {
		shared := c()
		for _, clause := range clauses {
			assert.NoError(t, clause.check(t.Context(), c()), "%s on a correct store", clause.name)
			assert.NoError(t, clause.check(t.Context(), shared), "%s on a correct store that is not empty", clause.name)
		}
	}
	needed := map[string]bool{}
	for _, m := range mutants {
		t.Run(m.rejectedBy+"/"+strings.ReplaceAll(m.mistake, " ", "_"), func(t *testing.T) {
			t.Parallel()
			var by []string
			for _, clause := range clauses {
				tries := 1
				if clause.name == m.rejectedBy {
					tries = 10 // on a busy machine the goroutines of a race may miss each other
				}
				for range tries {
					if err := clause.check(t.Context(), m.make()); err != nil {
						by = append(by, clause.name)
						t.Logf("%s: %v", clause.name, err)
						break
					}
				}
			}
			require.Contains(t, by, m.rejectedBy)
			assert.Subset(t, append(strings.Fields(m.also), m.rejectedBy), by)
		})
		needed[m.rejectedBy] = needed[m.rejectedBy] || m.also == ""
	}
	for _, clause := range clauses {
		assert.True(t, needed[clause.name], "no mutant shows that %s is needed", clause.name)
		delete(needed, clause.name)
	}
	assert.Empty(t, needed, "mutants of cases that do not exist")
}

// A meeting makes two calls about the same key wait for each other, so that a race that
// is possible happens. A call that is alone goes on after a while.
type meeting struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func newMeeting() *meeting { return &meeting{waiting: map[string]chan struct{}{}} }

func (m *meeting) meet(key string) {
	m.mu.Lock()
	if other, ok := m.waiting[key]; ok {
		delete(m.waiting, key)
		close(other)
		m.mu.Unlock()
		return
	}
	came := make(chan struct{})
	m.waiting[key] = came
	m.mu.Unlock()
	for range 300 {
		select {
		case <-came:
			return
		default:
			runtime.Gosched()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.waiting[key] == came {
		delete(m.waiting, key)
	}
}

// What stores do to names that they should leave alone.
func folded(id string) string  { return strings.ToLower(id) }
func trimmed(id string) string { return strings.TrimRight(id, " ") }
func cut(id string) string     { return id[:min(len(id), 64)] }

// latest keeps the names that were used last, and returns the one to forget.
type latest struct {
	mu    sync.Mutex
	names []string
}

func (l *latest) use(name string) (forget string) {
	const kept = 150
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(slices.DeleteFunc(l.names, func(n string) bool { return n == name }), name)
	if len(l.names) > kept {
		forget, l.names = l.names[0], l.names[1:]
	}
	return forget
}
