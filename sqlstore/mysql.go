package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"otp.example/otp"
)

// A mysql spends with one update and a read of what it spent. Everything else, and all
// that is audited, is a short transaction that locks rows, because no statement returns
// what it changed.
type mysql struct {
	locked
	db   *sql.DB
	pool *keptStatements
}

var errReplaced = errors.New("the record was replaced right after the change")

func newMySQL(db *sql.DB, text *statements) *mysql {
	m := &mysql{db: db, pool: &keptStatements{db: db, kept: map[string]*sql.Stmt{}}}
	m.locked = locked{text: text, transact: m.transaction}
	return m
}

func (m *mysql) close() error { return m.pool.close() }

func (m *mysql) use(_ context.Context, do func(runner) error) error { return do(m.pool) }

func (m *mysql) get(ctx context.Context, id string) (otp.Record, error) {
	row, _, err := m.read(ctx, m.pool, id)
	if err != nil {
		return otp.Record{}, err
	}
	return row.record(), nil
}

// read returns the row so that Spend can put its own outcome in the place of a later
// one.
func (m *mysql) read(ctx context.Context, run runner, id string) (row recordRow, epoch int64, err error) {
	found, err := one(ctx, run, m.text.get("get"), []any{id}, append(row.dest(), &epoch)...)
	switch {
	case err != nil:
		return row, 0, err
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

func (m *mysql) spend(ctx context.Context, id string, candidates []byte, now time.Time) (r otp.Record, applied bool, err error) {
	do := func(run runner) error {
		r, applied, err = m.spendBy(ctx, run, id, candidates, now)
		return err
	}
	if m.text.auditFor == 0 {
		err = do(m.pool)
		return r, applied, err
	}
	err = m.transaction(ctx, func(run runner) error {
		if err := do(run); err != nil {
			return err
		}
		return m.text.log(ctx, run, newAct("spend", now, nil), otp.Outcome{Record: r, Applied: applied})
	})
	return r, applied, err
}

// spendBy spends with one update and a read of what it spent.
func (m *mysql) spendBy(ctx context.Context, run runner, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	list := padded(split(candidates))
	text := m.text.list("spend", len(list))
	args := append(anys(list), id, now.UnixMicro())
	for range explainTries {
		var res sql.Result
		exec := func() (err error) { res, err = run.ExecContext(ctx, text, args...); return err }
		var err error
		if run == runner(m.pool) {
			err = retried(exec) // the update alone: a second one would count again
		} else {
			err = exec() // a deadlock has rolled back the transaction, which is repeated as a whole
		}
		if err != nil {
			return otp.Record{}, false, err
		}
		n, err := res.RowsAffected()
		if err != nil {
			return otp.Record{}, false, err
		}
		row, epoch, err := m.read(ctx, run, id)
		if err != nil {
			return otp.Record{}, false, err
		}
		if n > 0 {
			outcome, err := res.LastInsertId()
			if err != nil {
				return otp.Record{}, false, err
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
		if applied = r.Cancel(now); applied {
			if _, err := run.ExecContext(ctx, m.text.get("cancel"), id); err != nil {
				return err
			}
		}
		return m.text.log(ctx, run, newAct("cancel", now, nil), otp.Outcome{Record: r, Applied: applied})
	})
	return r, applied, err
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
	return n > 0, err
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
