package storetest_test

import (
	"fmt"
	"testing"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/storetest"
)

// Certify a store that can do everything.
func Example() {
	// In a test file this is func TestStore(t *testing.T).
	testStore := func(t *testing.T) {
		storetest.Run(t, func(testing.TB) otp.Store { return memstore.New() })
		storetest.RunLimiter(t, func(testing.TB) otp.Limiter { return memstore.New() })
		storetest.RunCounter(t, func(testing.TB) otp.CounterStore { return memstore.New() })
		storetest.RunCharging(t, func(testing.TB) otp.ChargingStore { return memstore.New() })
		storetest.RunPruner(t, func(testing.TB) storetest.PruningStore { return memstore.New() })
		storetest.RunCredential(t, func(testing.TB) otp.CredentialStore { return memstore.New() })
	}
	fmt.Println("certified:", passes(testStore))
	// Output: certified: true
}

// kept is a store in a test that can be reopened. One on a disk closes its file and opens
// it once more.
type kept struct{ *memstore.Store }

func (k kept) Reopen() (any, error) { return kept{k.Store}, nil }

// Look for what a store holds after it was closed and opened again.
func ExampleReopener() {
	testStore := func(t *testing.T) {
		storetest.Run(t, func(testing.TB) otp.Store { return kept{memstore.New()} })
		storetest.RunLimiter(t, func(testing.TB) otp.Limiter { return kept{memstore.New()} })
	}
	fmt.Println("certified:", passes(testStore))
	// Output: certified: true
}
