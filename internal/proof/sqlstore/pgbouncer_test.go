package sqlstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
	"otp.example/otp/storetest"
)

// S-22 S-23: behind PgBouncer in transaction mode, where each statement may run on another
// connection of the server, and with default_query_exec_mode=exec, which is what the
// package's documentation asks for.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	dsn := with(servers.StartPgBouncer(t, servers.Postgres(t)).DSN, "default_query_exec_mode=exec")
	behindPooler(t, dsn)
}

// The same with the driver's prepared statements, which PgBouncer understands from version
// 1.21 on, with max_prepared_statements. Before an older one they are errors, not wrong
// answers.
func TestPgBouncerPrepared(t *testing.T) {
	t.Parallel()
	direct := servers.Postgres(t)
	if servers.PgBouncerPrepares(t) {
		behindPooler(t, servers.StartPgBouncer(t, direct, "max_prepared_statements = 100").DSN)
		return
	}
	t.Log("this PgBouncer is older than 1.21, so what is tested is that it fails")
	preparedIsAnError(t, direct, servers.StartPgBouncer(t, direct).DSN)
}

func behindPooler(t *testing.T, dsn string) {
	t.Helper()
	db := openDB(t, "pgx", dsn)
	o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
	open := func(t testing.TB) *sqlstore.Store { t.Helper(); return openStore(t, db, o) }
	storetest.RunCharging(t, func(t testing.TB) otp.ChargingStore { return open(t) })
	sameAsMemory(t, server{driver: "pgx", dsn: func(testing.TB) string { return dsn }}, sqlstore.Options{AuditFor: time.Hour})
	p := policies(t, open(t), otp.Default)
	key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
	require.NoError(t, p.Set(t.Context(), key, minutes(3), ann))
	require.Equal(t, 3*time.Minute, ttl(t, p, key))
}

// preparedIsAnError uses statements that other connections of the server do not know.
func preparedIsAnError(t *testing.T, directDSN, dsn string) {
	t.Helper()
	direct := openDB(t, "pgx", directDSN)
	o := sqlstore.Options{Prefix: fresh(t, direct)}
	s := openStore(t, direct, o)
	put(t, s, "a")
	db := openDB(t, "pgx", dsn)
	pooled, err := sqlstore.New(t.Context(), db, o)
	if err != nil {
		return // which is soon enough
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				r, applied, err := pooled.Spend(t.Context(), "a", right, noon)
				if err != nil {
					assert.Zero(t, r.State)
					assert.False(t, applied)
				}
			}
		})
	}
	wg.Wait()
	r, err := s.Get(t.Context(), "a")
	require.NoError(t, err)
	assert.LessOrEqual(t, r.Attempts, 1)
}
