package sqlstore_test

import (
	"slices"
	"testing"
	"time"

	"otp.example/otp/internal/proof/calls"
	"otp.example/otp/sqlstore"
)

// TestSameAsMemory makes the same random calls to a store and to a memstore, whose
// methods are those of otp.Record and otp.Meter, and compares every answer.
func TestSameAsMemory(t *testing.T) {
	each(t, slices.Concat(serverKinds, otherDrivers, variants), func(t *testing.T, k server) {
		t.Run("plain", func(t *testing.T) { sameAsMemory(t, k, sqlstore.Options{}) })
		t.Run("audited", func(t *testing.T) { sameAsMemory(t, k, sqlstore.Options{AuditFor: time.Hour}) })
	})
}

func sameAsMemory(t *testing.T, k server, o sqlstore.Options) {
	t.Helper()
	s := openStore(t, openDB(t, k.driver, k.dsn(t)), o)
	calls.Same(t, s, calls.Options{Steps: 600})
}
