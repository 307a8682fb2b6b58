package storetest

import (
	"context"
	"testing"

	"otp.example/otp"
)

// A Reopener is a store in a test that keeps its data, so that the Durable cases can
// look for it. Wrap the store in the test:
//
//	type onDisk struct {
//		*mystore.Store
//		path string
//	}
//
//	func (s onDisk) Reopen() (any, error) {
//		if err := s.Close(); err != nil {
//			return nil, err
//		}
//		store, err := mystore.Open(s.path)
//		return onDisk{store, s.path}, err
//	}
//
// Of a store that is not one, the Durable cases ask that nothing is lost while it is in
// use. That is all that a store in memory can promise.
type Reopener interface {
	// Reopen ends the store as a process does that ends, and opens what it kept as
	// the next one would. What it returns must implement the interface that the
	// suite is about.
	Reopen() (any, error)
}

// A PruningStore is what RunPruner is about.
type PruningStore interface {
	otp.Store
	otp.Limiter
	otp.Pruner
}

// Run tests the clauses of [otp.Store].
func Run(t *testing.T, newStore func(t testing.TB) otp.Store) {
	t.Helper()
	run(t, "Store", storeCases, newStore)
}

// RunLimiter tests the clauses of [otp.Limiter] and [otp.Limit].
func RunLimiter(t *testing.T, newLimiter func(t testing.TB) otp.Limiter) {
	t.Helper()
	run(t, "Limiter", limiterCases, newLimiter)
}

// RunCounter tests the clauses of [otp.CounterStore].
func RunCounter(t *testing.T, newStore func(t testing.TB) otp.CounterStore) {
	t.Helper()
	run(t, "Counter", counterCases, newStore)
}

// RunCharging tests the clauses of [otp.ChargingStore] and [otp.Charge]. It does not
// replace Run and RunLimiter.
func RunCharging(t *testing.T, newStore func(t testing.TB) otp.ChargingStore) {
	t.Helper()
	run(t, "Charging", chargingCases, newStore)
}

// RunPruner tests that [otp.Pruner] forgets what has expired and nothing else. In a
// shared database it prunes everything that expired before 2007.
func RunPruner(t *testing.T, newStore func(t testing.TB) PruningStore) {
	t.Helper()
	run(t, "Pruner", prunerCases, newStore)
}

// RunCredential tests the clauses of [otp.CredentialStore]. In a shared database it walks
// over all credentials.
func RunCredential(t *testing.T, newStore func(t testing.TB) otp.CredentialStore) {
	t.Helper()
	run(t, "Credential", credentialCases, newStore)
}

// A clause is one sentence of a contract, and what finds a store S that breaks it.
type clause[S any] struct {
	name  string
	text  string // as a sentence about the store
	check func(ctx context.Context, store S) error
}

func run[S any](t *testing.T, suite string, clauses []clause[S], newStore func(testing.TB) S) {
	t.Helper()
	t.Run(suite, func(t *testing.T) {
		t.Helper()
		for _, c := range clauses {
			t.Run(c.name, func(t *testing.T) {
				t.Helper()
				if err := c.check(t.Context(), newStore(t)); err != nil {
					t.Errorf("the store breaks %s: %s.\n%v", c.name, c.text, err)
				}
			})
		}
	})
}
