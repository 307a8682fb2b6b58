package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// A setting is what must hold for a server to keep what it has acknowledged. A store
// that forgets accepts used codes again.
type setting struct {
	name  string
	query string
	loses map[string]bool // the values, in lower case, with which it may forget
	want  string
}

func loses(values ...string) map[string]bool {
	m := map[string]bool{}
	for _, v := range values {
		m[v] = true
	}
	return m
}

var settings = map[Dialect][]setting{
	PostgreSQL: {
		{name: "synchronous_commit", query: "SHOW synchronous_commit", loses: loses("off"), want: "on"},
		{name: "fsync", query: "SHOW fsync", loses: loses("off"), want: "on"},
		{name: "full_page_writes", query: "SHOW full_page_writes", loses: loses("off"), want: "on"},
	},
	MySQL: {
		{
			name: "innodb_flush_log_at_trx_commit", query: "SELECT @@innodb_flush_log_at_trx_commit",
			loses: loses("0", "2"), want: "1",
		},
		{
			// With a binary log the commit is on disk when that is: InnoDB leaves its own for
			// later, and takes back after a crash what is not in the log. MariaDB's 3 does not.
			name:  "sync_binlog",
			query: "SELECT IF(@@log_bin AND @@sync_binlog <> 1 AND @@innodb_flush_log_at_trx_commit <> 3, 'not 1', '1')",
			loses: loses("not 1"), want: "1",
		},
	},
	SQLite: {
		{name: "synchronous", query: "PRAGMA synchronous", loses: loses("0", "1"), want: "2 (FULL)"},
		{name: "journal_mode", query: "PRAGMA journal_mode", loses: loses("off", "memory"), want: "WAL"},
		{
			// The commit is that the journal's file goes away, and with FULL the directory is not
			// synced: after a loss of power the file may be back, and with it what was before.
			name: "synchronous", query: "SELECT s.synchronous || ' with journal_mode ' || j.journal_mode FROM pragma_synchronous s, pragma_journal_mode j",
			loses: loses("2 with journal_mode delete"), want: "3 (EXTRA), or journal_mode to WAL",
		},
	},
}

// readOnly tells whether a server takes writes.
var readOnly = map[Dialect]struct{ query, yes string }{
	PostgreSQL: {"SHOW transaction_read_only", "on"},
	MySQL:      {"SELECT @@read_only", "1"},
	SQLite:     {"PRAGMA query_only", "1"},
}

// required is what a store cannot do without, whatever loss is accepted.
var required = map[Dialect][]struct{ name, query, want, otherwise string }{
	PostgreSQL: {
		{"default_transaction_isolation", "SHOW default_transaction_isolation", "read committed", "calls that meet fail"},
	},
	MySQL: {
		// A change that is never committed goes with its connection, and was told as made.
		{"autocommit", "SELECT @@autocommit", "1", "used codes come back with the end of a connection"},
		{"completion_type", "SELECT @@completion_type", "NO_CHAIN", "used codes come back with the end of a connection"},
	},
}

// checkServer refuses a server that cannot be written or that may forget.
func checkServer(ctx context.Context, run runner, d Dialect, acceptLoss bool) error {
	q := readOnly[d]
	value, err := ask(ctx, run, q.query)
	if err != nil {
		return err
	}
	if value == q.yes {
		return fmt.Errorf("sqlstore: the server is read-only (%s); a store decides and changes in one step, so it needs the primary", q.query)
	}
	for _, s := range required[d] {
		value, err := ask(ctx, run, s.query)
		if err != nil {
			return err
		}
		if value != strings.ToLower(s.want) {
			return fmt.Errorf("sqlstore: the setting %s is %s, so %s; set it to %s for the store's connections", s.name, value, s.otherwise, s.want)
		}
	}
	if acceptLoss {
		return nil
	}
	for _, s := range settings[d] {
		value, err := ask(ctx, run, s.query)
		if err != nil {
			return err
		}
		if s.loses[value] {
			return fmt.Errorf("sqlstore: the server's setting %s is %s, so a crash may bring used codes back: set it to %s, or accept that with Options.InsecureAcceptLoss", s.name, value, s.want)
		}
	}
	return nil
}

// checkWrites writes nothing, for which a server asks as much as for a change: the right to, a
// file that can be written, a binary log that takes it.
func checkWrites(ctx context.Context, run runner, prefix string) error {
	for _, t := range [...]struct{ name, column string }{
		{"challenge", "state"}, {"meter", "until"}, {"counter", "counter"}, {"credential", "until"},
	} {
		if _, err := run.ExecContext(ctx, "UPDATE "+prefix+t.name+" SET "+t.column+" = "+t.column+" WHERE 1 = 0"); err != nil {
			return fmt.Errorf("sqlstore: the table %s%s cannot be written: %w", prefix, t.name, err)
		}
	}
	return nil
}

// checkWritesIn does so as the store's transactions do: MySQL cannot log READ COMMITTED as
// statements.
func checkWritesIn(ctx context.Context, db *sql.DB, prefix string) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // it has changed nothing
	return checkWrites(ctx, tx, prefix)
}

func ask(ctx context.Context, run runner, query string) (string, error) {
	var value string
	if _, err := one(ctx, run, query, nil, &value); err != nil {
		return "", fmt.Errorf("sqlstore: %s: %w", query, err)
	}
	return strings.ToLower(value), nil
}
