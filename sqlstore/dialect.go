package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// A Dialect is a kind of server. The zero Dialect means that the server is asked.
type Dialect int

// The dialects.
const (
	PostgreSQL Dialect = iota + 1
	MySQL              // MariaDB too
	SQLite
)

// String returns the name of the dialect's directory in [Schema].
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "postgres"
	case MySQL:
		return "mysql"
	case SQLite:
		return "sqlite"
	default:
		return fmt.Sprintf("Dialect(%d)", int(d))
	}
}

// detect asks a server what it is.
func detect(ctx context.Context, db *sql.DB) (Dialect, error) {
	var version string
	err := db.QueryRowContext(ctx, "SELECT version()").Scan(&version)
	switch {
	case err == nil && strings.HasPrefix(version, "PostgreSQL "):
		return PostgreSQL, nil
	case err == nil && strings.HasPrefix(version, "CockroachDB "):
		return 0, errors.New("sqlstore: CockroachDB is not supported")
	case err == nil:
		return MySQL, nil // it gives a number only
	case ctx.Err() != nil:
		return 0, fmt.Errorf("sqlstore: ask for the version: %w", err)
	}
	// SQLite has no version(). Any other server's error is told as it was.
	if e := db.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); e != nil {
		return 0, fmt.Errorf("sqlstore: ask for the version: %w", err)
	}
	return SQLite, nil
}
