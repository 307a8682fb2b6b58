package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

// A server is one way to reach one kind of database.
type server struct {
	name   string
	driver string
	dsn    func(t testing.TB) string
}

var serverKinds = []server{
	{"PostgreSQL", "pgx", servers.Postgres},
	{"MariaDB", "mysql", servers.MariaDB},
	{"SQLite-modernc", "sqlite", func(t testing.TB) string {
		return with(sqliteFile(t), "_pragma=journal_mode(WAL)")
	}},
	{"SQLite-mattn", "sqlite3", func(t testing.TB) string {
		return with(sqliteFile(t), "_journal_mode=WAL")
	}},
}

// otherDrivers reach the same servers.
var otherDrivers = []server{{"PostgreSQL-pq", "postgres", servers.Postgres}}

// variants are other ways to reach the same servers, which say other things on the
// wire: behind a pooler, with placeholders filled in by the driver, with matched rows
// counted for changed ones.
var variants = []server{
	{"PostgreSQL-exec", "pgx", func(t testing.TB) string {
		return with(servers.Postgres(t), "default_query_exec_mode=exec")
	}},
	{"PostgreSQL-simple", "pgx", func(t testing.TB) string {
		return with(servers.Postgres(t), "default_query_exec_mode=simple_protocol")
	}},
	{"MariaDB-interpolated", "mysql", func(t testing.TB) string {
		return with(servers.MariaDB(t), "interpolateParams=true&clientFoundRows=true&parseTime=true")
	}},
	{"MariaDB-simultaneous", "mysql", func(t testing.TB) string {
		return with(servers.MariaDB(t), "sql_mode=%27SIMULTANEOUS_ASSIGNMENT%27")
	}},
	{"SQLite-journal", "sqlite", sqliteFile},
}

// sqliteFile forgets nothing, whatever the journal: each driver takes the parameter it knows.
func sqliteFile(t testing.TB) string {
	t.Helper()
	return "file:" + filepath.Join(t.TempDir(), "otp.db") + "?_pragma=synchronous(EXTRA)&_synchronous=EXTRA"
}

// with adds a parameter to an address.
func with(dsn, parameter string) string {
	if strings.Contains(dsn, "?") {
		return dsn + "&" + parameter
	}
	return dsn + "?" + parameter
}

var prefixes atomic.Int64

// fresh returns a prefix that no other store of this run has. Its tables go with the
// test.
func fresh(t testing.TB, db *sql.DB) string {
	t.Helper()
	prefix := fmt.Sprintf("t%d_", prefixes.Add(1))
	drop(t, db, prefix) // of a run before, on a server that is not ours
	t.Cleanup(func() { drop(t, db, prefix) })
	return prefix
}

func drop(t testing.TB, db *sql.DB, prefix string) {
	t.Helper()
	for _, table := range []string{"challenge", "meter", "counter", "policy", "audit", "credential", "schema"} {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP TABLE IF EXISTS "+prefix+table)
		require.NoError(t, err)
	}
}

func openDB(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	if !strings.HasPrefix(driver, "sqlite") {
		db.SetMaxOpenConns(16)
		db.SetMaxIdleConns(16)
	}
	return db
}

// openStore returns a store on fresh tables.
func openStore(t testing.TB, db *sql.DB, o sqlstore.Options) *sqlstore.Store {
	t.Helper()
	if o.Prefix == "" {
		o.Prefix = fresh(t, db)
	}
	require.NoError(t, sqlstore.Migrate(t.Context(), db, o))
	s, err := sqlstore.New(t.Context(), db, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// everyServer runs a test for each server, on fresh tables.
func everyServer(t *testing.T, test func(t *testing.T, k server)) {
	t.Helper()
	each(t, serverKinds, test)
}

func each(t *testing.T, kinds []server, test func(t *testing.T, k server)) {
	t.Helper()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			test(t, k)
		})
	}
}
