package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"otp.example/otp"
)

// A mysql spends with one update and a read of what it spent. Everything else is a
// short transaction that locks rows, because no statement returns what it changed.
type mysql struct {
	locked
	db   *sql.DB
	pool *keptStatements
}

var errReplaced = errors.New("sqlstore: the record was replaced right after the change")

func newMySQL(db *sql.DB, text *statements) *mysql {
	m := &mysql{db: db, pool: &keptStatements{db: db, kept: map[string]*sql.Stmt{}}}
	m.locked = locked{text: text, transact: m.transaction, dialect: m}
	return m
}

func (m *mysql) close() error { return m.pool.close() }

func (m *mysql) get(ctx context.Context, id string) (otp.Record, error) {
	row, _, err := m.read(ctx, id)
	if err != nil {
		return otp.Record{}, err
	}
	return row.record(), nil
}

// read returns the row so that Spend can put its own outcome in the place of a later
// one.
func (m *mysql) read(ctx context.Context, id string) (row recordRow, epoch int64, err error) {
	found, err := one(ctx, m.pool, m.text.get("get"), []any{id}, append(row.dest(), &epoch)...)
	switch {
	case err != nil:
		return row, 0, fmt.Errorf("sqlstore: get: %w", err)
	case !found:
		return row, 0, otp.ErrNotFound
	}
	return row, epoch, nil
}

func (m *mysql) put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	out, err := m.putCharged(ctx, r, nil, now)
	return out.Record, out.Applied, err
}

func (m *mysql) reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	out, err := m.reissueCharged(ctx, id, digest, live, nil, now)
	return out.Record, out.Applied, err
}

func (m *mysql) spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	list := padded(split(candidates))
	text := m.text.list("spend", len(list))
	args := append(anys(list), id, now.UnixMicro())
	for range explainTries {
		var res sql.Result
		err := retried(func() (err error) { res, err = m.pool.ExecContext(ctx, text, args...); return err })
		if err != nil {
			return otp.Record{}, false, fmt.Errorf("sqlstore: spend: %w", err)
		}
		n, err := res.RowsAffected()
		if err != nil {
			return otp.Record{}, false, fmt.Errorf("sqlstore: spend: %w", err)
		}
		row, epoch, err := m.read(ctx, id)
		if err != nil {
			return otp.Record{}, false, err
		}
		if n > 0 {
			outcome, err := res.LastInsertId()
			if err != nil {
				return otp.Record{}, false, fmt.Errorf("sqlstore: spend: %w", err)
			}
			const attemptsBits = 32
			if outcome>>(attemptsBits+1) != epoch {
				return otp.Record{}, false, errReplaced
			}
			row.state.Int64 = int64(otp.StatePending) + outcome&1
			row.attempts.Int64 = outcome>>1&(1<<attemptsBits-1) + 1
			return row.record(), true, nil
		}
		if r := row.record(); !r.Live(now) {
			return r, false, nil
		}
	}
	return otp.Record{}, false, errUnsettled
}

// split returns the candidates, or one that is equal to no digest.
func split(candidates []byte) [][]byte {
	var list [][]byte
	for i := 0; i+otp.DigestSize <= len(candidates); i += otp.DigestSize {
		list = append(list, candidates[i:i+otp.DigestSize])
	}
	if len(list) == 0 {
		list = [][]byte{{0}}
	}
	return list
}

func (m *mysql) cancel(ctx context.Context, id string, now time.Time) (r otp.Record, applied bool, err error) {
	err = m.transaction(ctx, func(run runner) error {
		if r, err = m.hold(ctx, run, id); err != nil {
			return err
		}
		if applied = r.Cancel(now); !applied {
			return nil
		}
		_, err = run.ExecContext(ctx, m.text.get("cancel"), id)
		return err
	})
	if errors.Is(err, otp.ErrNotFound) {
		return otp.Record{}, false, otp.ErrNotFound
	}
	if err != nil {
		return otp.Record{}, false, fmt.Errorf("sqlstore: cancel: %w", err)
	}
	return r, applied, nil
}

// advance raises a counter that exists. To a new one somebody else may be first, with
// a lower counter.
func (m *mysql) advance(ctx context.Context, key string, counter uint64) (bool, error) {
	b := counterBytes(counter)
	n := 0
	run := func(name string, args ...any) func() error {
		return func() (err error) { n, err = changed(ctx, m.pool, m.text.get(name), args...); return err }
	}
	raise := run("raise_counter", b, key, b)
	err := retried(raise)
	if n == 0 && err == nil {
		err = retried(run("new_counter", key, b))
	}
	if n == 0 && err == nil {
		err = retried(raise)
	}
	if err != nil {
		return false, fmt.Errorf("sqlstore: advance: %w", err)
	}
	return n > 0, nil
}

func (m *mysql) prune(ctx context.Context, before time.Time, most int) (int, error) {
	total := 0
	err := retried(func() error {
		n, err := prune(ctx, m.pool, m.text, before, most-total)
		total += n
		return err
	})
	return total, err
}

func (m *mysql) hold(ctx context.Context, run runner, id string) (otp.Record, error) {
	r, found, err := oneRecord(ctx, run, m.text.get("lock"), id)
	if err == nil && !found {
		err = otp.ErrNotFound
	}
	return r, err
}

// create inserts before it locks. "Insert if absent" takes a weaker lock on what is
// present, and two that hold it and want more wait for each other.
func (m *mysql) create(ctx context.Context, run runner, names []any) error {
	_, err := run.ExecContext(ctx, m.text.list("new_meters", len(names)), names...)
	return err
}

func (m *mysql) write(ctx context.Context, run runner, old, r *otp.Record, _ time.Time) error {
	args := recordArgs(r)
	text := m.text.get("insert")
	if old.ID != "" {
		text = m.text.get("replace")
		args = append(args[1:], r.ID)
	}
	_, err := run.ExecContext(ctx, text, args...)
	return err
}

func (m *mysql) rewrite(ctx context.Context, run runner, _, r *otp.Record, _ []byte, _ int, _ time.Time) error {
	_, err := run.ExecContext(ctx, m.text.get("reissue"), r.Sends, r.SentAt.UnixMicro(), notNil(r.Digests), r.ID)
	return err
}

func (m *mysql) transaction(ctx context.Context, do func(run runner) error) error {
	return retried(func() error { return m.once(ctx, do) })
}

// retried repeats what the server rolled back because of others.
func retried(do func() error) error {
	var err error
	for range deadlockTries {
		if err = do(); err == nil || kind(err) != faultRetry {
			break
		}
	}
	return err
}

// once locks no gaps between rows, which READ COMMITTED is for: two that put new
// records would wait for each other.
func (m *mysql) once(ctx context.Context, do func(run runner) error) error {
	tx, err := m.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing to roll back
	run := &keptTx{tx: tx, pool: m.pool}
	if err := do(run); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	m.pool.prepare(ctx, run.missing)
	return nil
}
