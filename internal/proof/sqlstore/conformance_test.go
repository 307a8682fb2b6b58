package sqlstore_test

import (
	"database/sql"
	"slices"
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
	"otp.example/otp/storetest"
)

// reopening is a Store that can be closed and opened again, as a process that starts
// anew would.
type reopening struct {
	*sqlstore.Store
	t   testing.TB
	k   server
	dsn string
	db  *sql.DB
	o   sqlstore.Options
}

func (r *reopening) Reopen() (any, error) {
	if err := r.Close(); err != nil {
		return nil, err
	}
	db := openDB(r.t, r.k.driver, r.dsn)
	s, err := sqlstore.New(r.t.Context(), db, r.o)
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { s.Close() })
	return &reopening{Store: s, t: r.t, k: r.k, dsn: r.dsn, db: db, o: r.o}, nil
}

// S-22 S-23 S-29 S-33: every clause, on every server.
func TestConformance(t *testing.T) {
	conformance(t, slices.Concat(serverKinds, otherDrivers), sqlstore.Options{})
}

// S-22 S-23 S-84: the same with an audit, for which statements and transactions are
// others. Drivers make no difference to that.
func TestConformanceAudited(t *testing.T) {
	conformance(t, serverKinds, sqlstore.Options{AuditFor: time.Hour})
}

func conformance(t *testing.T, kinds []server, o sqlstore.Options) {
	t.Helper()
	each(t, kinds, func(t *testing.T, k server) {
		dsn := k.dsn(t)
		db := openDB(t, k.driver, dsn)
		o := o
		o.Prefix = fresh(t, db)
		open := func(t testing.TB) *reopening {
			t.Helper()
			return &reopening{Store: openStore(t, db, o), t: t, k: k, dsn: dsn, db: db, o: o}
		}
		t.Run("Store", func(t *testing.T) {
			storetest.Run(t, func(t testing.TB) otp.Store { return open(t) })
		})
		t.Run("Charging", func(t *testing.T) {
			storetest.RunCharging(t, func(t testing.TB) otp.ChargingStore { return open(t) })
		})
		t.Run("Pruner", func(t *testing.T) {
			storetest.RunPruner(t, func(t testing.TB) storetest.PruningStore { return open(t) })
		})
		if o.AuditFor > 0 { // the others have none
			return
		}
		t.Run("Limiter", func(t *testing.T) {
			storetest.RunLimiter(t, func(t testing.TB) otp.Limiter { return open(t) })
		})
		t.Run("Counter", func(t *testing.T) {
			storetest.RunCounter(t, func(t testing.TB) otp.CounterStore { return open(t) })
		})
		t.Run("Credential", func(t *testing.T) {
			storetest.RunCredential(t, func(t testing.TB) otp.CredentialStore { return open(t) })
		})
	})
}
