package storetest_test

import (
	"testing"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/storetest"
)

// All cases on one store, as in a database that is never emptied.
func TestMemstoreShared(t *testing.T) {
	t.Parallel()
	s := memstore.New()
	for range 2 {
		storetest.Run(t, func(testing.TB) otp.Store { return s })
		storetest.RunLimiter(t, func(testing.TB) otp.Limiter { return s })
		storetest.RunCounter(t, func(testing.TB) otp.CounterStore { return s })
		storetest.RunCredential(t, func(testing.TB) otp.CredentialStore { return s })
		storetest.RunCharging(t, func(testing.TB) otp.ChargingStore { return s })
		storetest.RunPruner(t, func(testing.TB) storetest.PruningStore { return s })
	}
}

func BenchmarkMemstore(b *testing.B) {
	storetest.Benchmark(b, func(testing.TB) otp.ChargingStore { return memstore.New() })
}
