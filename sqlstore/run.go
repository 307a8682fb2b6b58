package sqlstore

import (
	"context"
	"database/sql"
	"errors"

	"otp.example/otp"
)

// A runner runs statements: on a pool, on one connection or in a transaction.
type runner interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

// each calls scanned for every row. A statement with RETURNING has happened only when
// its rows have been read to the end, and a failure to commit may be told as late as
// on Close, so an error of either counts.
func each(rows *sql.Rows, scanned func() error, dest ...any) (err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := scanned(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// one scans the only row, if there is one.
func one(ctx context.Context, run runner, text string, args []any, dest ...any) (bool, error) {
	rows, err := run.QueryContext(ctx, text, args...)
	if err != nil {
		return false, err
	}
	found := false
	err = each(rows, func() error { found = true; return nil }, dest...)
	return found, err
}

// oneRecord reads the only record, if there is one.
func oneRecord(ctx context.Context, run runner, text string, args ...any) (otp.Record, bool, error) {
	var row recordRow
	found, err := one(ctx, run, text, args, row.dest()...)
	return row.record(), found && err == nil, err
}

// changed returns how many rows a statement changed.
func changed(ctx context.Context, run runner, text string, args ...any) (int, error) {
	res, err := run.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// anys is for arguments.
func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out
}
