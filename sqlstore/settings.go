package sqlstore

import (
	"context"
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
	if d == PostgreSQL {
		level, err := ask(ctx, run, "SHOW default_transaction_isolation")
		if err != nil {
			return err
		}
		if level != "read committed" {
			return fmt.Errorf("sqlstore: the setting default_transaction_isolation is %s, in which calls that meet fail; set it to read committed for the store's connections", level)
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

func ask(ctx context.Context, run runner, query string) (string, error) {
	var value string
	if _, err := one(ctx, run, query, nil, &value); err != nil {
		return "", fmt.Errorf("sqlstore: %s: %w", query, err)
	}
	return strings.ToLower(value), nil
}
