package sqlstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"otp.example/otp"
)

// An sqlite does everything on one connection of its own, one call after the other.
// SQLite admits one writer at a time, and many that wait for it in the pool are
// slower, and less fair, than a queue. So no setting of the pool matters, and the
// settings of this connection stay as they were checked.
type sqlite struct {
	locked
	db    *sql.DB
	check func(ctx context.Context, run runner) error // of a new connection

	turn    chan struct{} // held by whoever uses the rest
	conn    *sql.Conn
	kept    map[string]*sql.Stmt
	timeout int // the connection's busy_timeout, to be put back
	closed  bool
}

// busyWait is how many milliseconds SQLite waits for another process before the
// context is asked whether to go on, and busyTries how often it may.
const (
	busyWait  = 100
	busyTries = 100
)

var errClosed = errors.New("store is closed")

func newSQLite(db *sql.DB, text *statements, check func(context.Context, runner) error) *sqlite {
	s := &sqlite{db: db, check: check, turn: make(chan struct{}, 1)}
	s.locked = locked{text: text, transact: s.transaction}
	return s
}

// use calls do with the connection. What finds the file locked has changed nothing and
// is tried again.
func (s *sqlite) use(ctx context.Context, do func(run runner) error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return done(ctx)
	}
	var err error
	for range busyTries {
		if err = s.open(ctx); err != nil {
			return err
		}
		err = do(s)
		if err == nil || kind(err) != faultBusy || ctx.Err() != nil {
			break
		}
	}
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		s.drop()
	}
	return err
}

func (s *sqlite) open(ctx context.Context) error {
	if s.closed {
		return errClosed
	}
	if s.conn != nil {
		return nil
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	s.conn, s.kept = conn, map[string]*sql.Stmt{}
	_, err = one(ctx, conn, "PRAGMA busy_timeout", nil, &s.timeout)
	if err == nil {
		err = s.setBusyTimeout(ctx, busyWait)
	}
	if err == nil {
		err = s.check(ctx, conn)
	}
	if err != nil {
		s.release(ctx)
	}
	return err
}

func (s *sqlite) setBusyTimeout(ctx context.Context, ms int) error {
	_, err := s.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", ms))
	return err
}

// release puts the connection back into the pool, as it came.
func (s *sqlite) release(ctx context.Context) {
	for _, st := range s.kept {
		st.Close() // an error is an earlier one
	}
	if s.setBusyTimeout(context.WithoutCancel(ctx), s.timeout) != nil {
		s.drop()
		return
	}
	s.conn.Close() // it only goes back
	s.conn = nil
}

// drop ends the connection: nobody knows what state it is in.
func (s *sqlite) drop() {
	if s.conn == nil {
		return
	}
	s.conn.Raw(func(any) error { return driver.ErrBadConn }) //nolint:errcheck // it is how a connection is ended
	s.conn.Close()                                           // it is gone
	s.conn = nil
}

func (s *sqlite) close() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	s.closed = true
	if s.conn != nil {
		s.release(context.Background())
	}
	return nil
}

// transaction takes the lock for writing at once: a transaction that reads first cannot
// always get it.
func (s *sqlite) transaction(ctx context.Context, do func(run runner) error) error {
	return s.use(ctx, func(run runner) error {
		// A driver may tell of a transaction that has begun as an error if ctx ends meanwhile, and
		// nobody would end it. busyWait bounds the wait.
		if _, err := run.ExecContext(context.WithoutCancel(ctx), "BEGIN IMMEDIATE"); err != nil {
			return err
		}
		err := do(run)
		if err == nil {
			_, err = run.ExecContext(ctx, "COMMIT")
		}
		if err != nil {
			_, e := run.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			if e != nil && kind(e) != faultDone {
				s.drop()
			}
		}
		return err
	})
}

func (s *sqlite) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := s.kept[text]; st != nil {
		return st, nil
	}
	st, err := s.conn.PrepareContext(ctx, text)
	if err == nil {
		s.kept[text] = st
	}
	return st, err
}

// ExecContext and QueryContext are for whoever has the turn.

func (s *sqlite) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	st, err := s.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

func (s *sqlite) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := s.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

// change makes a change with one statement, or in a transaction with the audit of it.
func (s *sqlite) change(ctx context.Context, do func(*single) error) error {
	on := s.use
	if s.text.auditFor > 0 {
		on = s.transaction
	}
	return on(ctx, func(run runner) error { return do(&single{text: s.text, run: run}) })
}

func (s *sqlite) get(ctx context.Context, id string) (r otp.Record, err error) {
	err = s.use(ctx, func(run runner) error { r, err = (&single{text: s.text, run: run}).get(ctx, id); return err })
	return r, err
}

func (s *sqlite) put(ctx context.Context, r otp.Record, now time.Time) (rec otp.Record, applied bool, err error) {
	err = s.change(ctx, func(one *single) error { rec, applied, err = one.put(ctx, r, now); return err })
	return rec, applied, err
}

func (s *sqlite) spend(ctx context.Context, id string, candidates []byte, now time.Time) (r otp.Record, applied bool, err error) {
	err = s.change(ctx, func(one *single) error { r, applied, err = one.spend(ctx, id, candidates, now); return err })
	return r, applied, err
}

func (s *sqlite) reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (r otp.Record, applied bool, err error) {
	err = s.change(ctx, func(one *single) error { r, applied, err = one.reissue(ctx, id, digest, live, now); return err })
	return r, applied, err
}

func (s *sqlite) cancel(ctx context.Context, id string, now time.Time) (r otp.Record, applied bool, err error) {
	err = s.change(ctx, func(one *single) error { r, applied, err = one.cancel(ctx, id, now); return err })
	return r, applied, err
}

func (s *sqlite) advance(ctx context.Context, key string, counter uint64) (applied bool, err error) {
	err = s.use(ctx, func(run runner) error {
		applied, err = (&single{text: s.text, run: run}).advance(ctx, key, counter)
		return err
	})
	return applied, err
}

func (s *sqlite) prune(ctx context.Context, before time.Time, most int) (n int, err error) {
	err = s.use(ctx, func(run runner) error {
		k, err := prune(ctx, run, s.text, before, most-n) // what was pruned before the file was locked counts
		n += k
		return err
	})
	return n, err
}
