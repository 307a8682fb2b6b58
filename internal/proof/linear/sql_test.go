package linear_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"otp.example/otp/internal/proof/linear"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

// S-22 S-23 S-24 S-26 S-29 S-35 S-64 FM-05 FM-06 FM-07 FM-09 FM-11: whatever breaks while
// 64 clients in four processes meet at few challenges, all that they are told can be
// explained by calls that were made one after the other, each once or not at all.
func TestPostgres(t *testing.T) {
	t.Parallel()
	linear.Run(t, postgres(t, "pgx"))
}

// S-22 S-23 S-24 S-26 S-29 S-35 S-64: the same.
func TestMariaDB(t *testing.T) {
	t.Parallel()
	linear.Run(t, mariaDB(t, "mysql"))
}

// S-22 S-23 S-24 S-29 S-35 S-64: the same, but it has no server that could be killed.
func TestSQLite(t *testing.T) {
	t.Parallel()
	linear.Run(t, sqlite(t, "sqlite"))
}

func postgres(t *testing.T, opener string, args ...string) linear.Target {
	t.Helper()
	s := servers.StartPostgres(t, append([]string{"-c", "max_connections=300"}, args...)...)
	migrate(t, "pgx", s.DSN)
	return linear.Target{Name: "PostgreSQL", Opener: opener, Address: s.DSN, Server: s}
}

// mariaDB has no binary log, as it comes. With one, changes are not shown early.
func mariaDB(t *testing.T, opener string, args ...string) linear.Target {
	t.Helper()
	s := servers.StartMariaDB(t, append([]string{"--max-connections=300"}, args...)...)
	migrate(t, "mysql", s.DSN)
	return linear.Target{Name: "MariaDB", Opener: opener, Address: s.DSN, Server: s, ReadsBack: true, ShowsEarly: true}
}

// sqlite is one file for all processes.
func sqlite(t *testing.T, opener string) linear.Target {
	t.Helper()
	address := "file:" + filepath.Join(t.TempDir(), "otp.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)"
	migrate(t, "sqlite", address)
	return linear.Target{Name: "SQLite", Opener: opener, Address: address}
}

func migrate(t *testing.T, driver, address string) {
	t.Helper()
	db, err := sql.Open(driver, address)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, sqlstore.Migrate(t.Context(), db, sqlstore.Options{InsecureAcceptLoss: true}))
	if driver != "mysql" { // for the store of a bug
		_, err = db.ExecContext(t.Context(), "CREATE TABLE racy (id TEXT PRIMARY KEY, body TEXT NOT NULL)")
		require.NoError(t, err)
	}
}

// A database is a store with the pool that it is on.
type database struct {
	*sqlstore.Store
	db *sql.DB
}

func (d *database) Close() error { return errors.Join(d.Store.Close(), d.db.Close()) }

func opener(driver string, o sqlstore.Options) linear.Opener {
	return func(ctx context.Context, address string) (linear.Store, error) {
		return open(ctx, driver, address, o)
	}
}

func open(ctx context.Context, driver, address string, o sqlstore.Options) (*database, error) {
	db, err := sql.Open(driver, address)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	s, err := sqlstore.New(ctx, db, o)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &database{s, db}, nil
}
