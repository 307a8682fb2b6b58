package memstore_test

import (
	"testing"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/storetest"
)

func TestConformance(t *testing.T) {
	t.Run("Store", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, func(testing.TB) otp.Store { return memstore.New() })
	})
	t.Run("Limiter", func(t *testing.T) {
		t.Parallel()
		storetest.RunLimiter(t, func(testing.TB) otp.Limiter { return memstore.New() })
	})
	t.Run("Counter", func(t *testing.T) {
		t.Parallel()
		storetest.RunCounter(t, func(testing.TB) otp.CounterStore { return memstore.New() })
	})
	t.Run("Credential", func(t *testing.T) {
		t.Parallel()
		storetest.RunCredential(t, func(testing.TB) otp.CredentialStore { return memstore.New() })
	})
	t.Run("Charging", func(t *testing.T) {
		t.Parallel()
		storetest.RunCharging(t, func(testing.TB) otp.ChargingStore { return memstore.New() })
	})
	t.Run("Pruner", func(t *testing.T) {
		t.Parallel()
		storetest.RunPruner(t, func(testing.TB) storetest.PruningStore { return memstore.New() })
	})
}
