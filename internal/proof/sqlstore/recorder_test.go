package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A recorder is a driver around another one that remembers what was said to the
// server.
type recorder struct {
	inner  driver.Driver
	dsn    string
	before func(text string) // is called before a statement that was prepared, if set
	mu     sync.Mutex
	said   []string
}

// record opens a database through a recorder.
func record(t testing.TB, name, dsn string) (*recorder, *sql.DB) {
	t.Helper()
	unheard, err := sql.Open(name, dsn)
	require.NoError(t, err)
	r := &recorder{inner: unheard.Driver(), dsn: dsn}
	require.NoError(t, unheard.Close())
	db := sql.OpenDB(r)
	t.Cleanup(func() { db.Close() })
	return r, db
}

var (
	spaces = regexp.MustCompile(`\s+`)
	tables = regexp.MustCompile(`\bt\d+_`)
)

func (r *recorder) add(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, plain(text))
}

// prepared is about to be said.
func (r *recorder) prepared(text string) {
	r.add(text)
	if r.before != nil {
		r.before(plain(text))
	}
}

func plain(text string) string {
	return strings.TrimSpace(tables.ReplaceAllString(spaces.ReplaceAllString(text, " "), ""))
}

// take returns what was said since the last time.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	said := r.said
	r.said = nil
	return said
}

func (r *recorder) Driver() driver.Driver { return r.inner }

func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	c, err := r.inner.Open(r.dsn)
	if err != nil {
		return nil, err
	}
	return &recordedConn{Conn: c, r: r}, nil
}

type recordedConn struct {
	driver.Conn
	r *recorder
}

func (c *recordedConn) CheckNamedValue(v *driver.NamedValue) error { return checkValue(c.Conn, v) }

func checkValue(inner any, v *driver.NamedValue) error {
	if checker, ok := inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	value, err := driver.DefaultParameterConverter.ConvertValue(v.Value)
	v.Value = value
	return err
}

func (c *recordedConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, text, args)
	if err != driver.ErrSkip { //nolint:errorlint // the driver returns this value itself
		c.r.add(text)
	}
	return res, err
}

func (c *recordedConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, text, args)
	if err != driver.ErrSkip { //nolint:errorlint // the driver returns this value itself
		c.r.add(text)
	}
	return rows, err
}

func (c *recordedConn) PrepareContext(ctx context.Context, text string) (driver.Stmt, error) {
	c.r.add("PREPARE " + text)
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &recordedStmt{Stmt: st, r: c.r, text: text}, nil
}

func (c *recordedConn) BeginTx(ctx context.Context, o driver.TxOptions) (driver.Tx, error) {
	c.r.add("BEGIN " + strings.ToUpper(sql.IsolationLevel(o.Isolation).String()))
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
	return &recordedTx{Tx: tx, r: c.r}, err
}

type recordedTx struct {
	driver.Tx
	r *recorder
}

func (t *recordedTx) Commit() error {
	t.r.add("COMMIT")
	return t.Tx.Commit()
}

func (t *recordedTx) Rollback() error {
	t.r.add("ROLLBACK")
	return t.Tx.Rollback()
}

type recordedStmt struct {
	driver.Stmt
	r    *recorder
	text string
}

func (s *recordedStmt) CheckNamedValue(v *driver.NamedValue) error { return checkValue(s.Stmt, v) }

func (s *recordedStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.r.prepared(s.text)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *recordedStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.r.prepared(s.text)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
