package sqlstore_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

// refused expects New to refuse for a reason, and to accept loss by name.
func refused(t *testing.T, db *sql.DB, prefix, reason string) {
	t.Helper()
	_, err := sqlstore.New(t.Context(), db, sqlstore.Options{Prefix: prefix})
	require.ErrorContains(t, err, reason)
	require.ErrorContains(t, err, "Options.InsecureAcceptLoss")
	s, err := sqlstore.New(t.Context(), db, sqlstore.Options{Prefix: prefix, InsecureAcceptLoss: true})
	require.NoError(t, err)
	require.NoError(t, s.Close())
}

// refusedAnyway expects New to refuse for a reason that no option accepts.
func refusedAnyway(t *testing.T, db *sql.DB, prefix, reason string) {
	t.Helper()
	_, err := sqlstore.New(t.Context(), db, sqlstore.Options{Prefix: prefix, InsecureAcceptLoss: true})
	require.ErrorContains(t, err, reason)
}

func migrated(t *testing.T, db *sql.DB) (prefix string) {
	t.Helper()
	prefix = fresh(t, db)
	require.NoError(t, sqlstore.Migrate(t.Context(), db, sqlstore.Options{Prefix: prefix}))
	return prefix
}

// S-27: a server that may forget is refused, and the error names the setting.
func TestForgetfulServers(t *testing.T) {
	t.Run("PostgreSQL/synchronous_commit", func(t *testing.T) {
		t.Parallel()
		dsn := servers.Postgres(t)
		prefix := migrated(t, openDB(t, "pgx", dsn))
		refused(t, openDB(t, "pgx", with(dsn, "synchronous_commit=off")), prefix, "synchronous_commit is off")
	})
	t.Run("PostgreSQL/isolation", func(t *testing.T) {
		t.Parallel()
		dsn := servers.Postgres(t)
		prefix := migrated(t, openDB(t, "pgx", dsn))
		serializable := openDB(t, "pgx", with(dsn, "default_transaction_isolation=serializable"))
		refusedAnyway(t, serializable, prefix, "default_transaction_isolation is serializable")
	})
	t.Run("PostgreSQL/fsync", func(t *testing.T) {
		t.Parallel()
		db := openDB(t, "pgx", servers.StartPostgres(t, "-c", "fsync=off").DSN)
		refused(t, db, migrated(t, db), "fsync is off")
	})
	t.Run("PostgreSQL/read-only", func(t *testing.T) {
		t.Parallel()
		dsn := servers.Postgres(t)
		prefix := migrated(t, openDB(t, "pgx", dsn))
		readOnly := openDB(t, "pgx", with(dsn, "default_transaction_read_only=on"))
		refusedAnyway(t, readOnly, prefix, "read-only")
	})
	t.Run("PostgreSQL/no right", func(t *testing.T) {
		t.Parallel()
		dsn := servers.StartPostgres(t).DSN
		db := openDB(t, "pgx", dsn)
		prefix := migrated(t, db)
		for _, text := range []string{"CREATE ROLE reader", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"} {
			_, err := db.Exec(text)
			require.NoError(t, err)
		}
		refusedAnyway(t, openDB(t, "pgx", with(dsn, "role=reader")), prefix, prefix+"challenge cannot be written")
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		server := servers.StartMariaDB(t, "--innodb-flush-log-at-trx-commit=2", "--log-bin")
		db := openDB(t, "mysql", server.DSN)
		prefix := migrated(t, db)
		refused(t, db, prefix, "innodb_flush_log_at_trx_commit is 2")

		root := openDB(t, "mysql", "root@unix("+filepath.Join(server.Dir, "m.sock")+")/")
		set := func(setting string) {
			t.Helper()
			_, err := root.Exec("SET GLOBAL " + setting)
			require.NoError(t, err)
		}
		accepted := func() {
			t.Helper()
			s, err := sqlstore.New(t.Context(), db, sqlstore.Options{Prefix: prefix})
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}
		set("innodb_flush_log_at_trx_commit = 1")
		for _, lost := range []string{"0", "100"} { // the first is what MariaDB has
			set("sync_binlog = " + lost)
			refused(t, db, prefix, "sync_binlog is not 1")
		}
		set("innodb_flush_log_at_trx_commit = 3")
		accepted()
		set("innodb_flush_log_at_trx_commit = 1")
		set("sync_binlog = 1")
		accepted()

		set("read_only = 1")
		refusedAnyway(t, db, prefix, "read-only")
		set("read_only = 0") // for the tables to be dropped

		set("binlog_format = STATEMENT")
		refusedAnyway(t, openDB(t, "mysql", server.DSN), prefix, "BINLOG_FORMAT = STATEMENT")

		// What is never committed is undone when the connection ends: a used code works again.
		refusedAnyway(t, openDB(t, "mysql", with(server.DSN, "autocommit=0")), prefix, "autocommit is 0")
		refusedAnyway(t, openDB(t, "mysql", with(server.DSN, "completion_type=CHAIN")), prefix, "completion_type is chain")
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		file, _, _ := strings.Cut(sqliteFile(t), "?")
		prefix := migrated(t, openDB(t, "sqlite", file))
		for parameter, want := range map[string]string{
			"_pragma=synchronous(NORMAL)":  "synchronous is 1",
			"_pragma=synchronous(OFF)":     "synchronous is 0",
			"_pragma=journal_mode(MEMORY)": "journal_mode is memory",
			"_pragma=journal_mode(OFF)":    "journal_mode is off",
			"_pragma=synchronous(FULL)":    "synchronous is 2 with journal_mode delete",
		} {
			refused(t, openDB(t, "sqlite", with(file, parameter)), prefix, want)
		}
		refused(t, openDB(t, "sqlite3", with(file, "_synchronous=FULL")), prefix, "synchronous is 2 with journal_mode delete")
		for _, parameters := range []string{
			"_pragma=journal_mode(TRUNCATE)&_pragma=synchronous(FULL)",
			"_pragma=journal_mode(PERSIST)&_pragma=synchronous(FULL)",
			"_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)", // stays, so it is the last
		} {
			s, err := sqlstore.New(t.Context(), openDB(t, "sqlite", with(file, parameters)), sqlstore.Options{Prefix: prefix})
			require.NoError(t, err, parameters)
			require.NoError(t, s.Close())
		}
		refusedAnyway(t, openDB(t, "sqlite", with(file, "_pragma=query_only(1)")), prefix, "read-only")
		for _, driver := range []string{"sqlite", "sqlite3"} {
			refusedAnyway(t, openDB(t, driver, with(file, "mode=ro")), prefix, prefix+"challenge cannot be written")
		}
	})
}

func TestMigrate(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		dsn := k.dsn(t)
		db := openDB(t, k.driver, dsn)
		o := sqlstore.Options{Prefix: fresh(t, db)}
		_, err := sqlstore.New(t.Context(), db, o)
		require.ErrorContains(t, err, "run Migrate")

		// Many processes start at once.
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { assert.NoError(t, sqlstore.Migrate(t.Context(), openDB(t, k.driver, dsn), o)) })
		}
		wg.Wait()
		s, err := sqlstore.New(t.Context(), db, o)
		require.NoError(t, err)
		put(t, s, "kept")
		require.NoError(t, sqlstore.Migrate(t.Context(), db, o))
		_, err = s.Get(t.Context(), "kept")
		require.NoError(t, err)
		require.NoError(t, s.Close())

		_, err = db.Exec("INSERT INTO " + o.Prefix + "schema (version) VALUES (999)")
		require.NoError(t, err)
		_, err = sqlstore.New(t.Context(), db, o)
		require.ErrorContains(t, err, "use a newer release")
		require.ErrorContains(t, sqlstore.Migrate(t.Context(), db, o), "use a newer release")

		_, err = db.Exec("DELETE FROM " + o.Prefix + "schema")
		require.NoError(t, err)
		_, err = sqlstore.New(t.Context(), db, o)
		require.ErrorContains(t, err, "have version 0")
	})
}

func TestPrefixesAreApart(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		a, b := openStore(t, db, sqlstore.Options{}), openStore(t, db, sqlstore.Options{})
		put(t, a, "here")
		_, err := b.Get(t.Context(), "here")
		require.Error(t, err)
	})
}
