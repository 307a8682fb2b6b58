package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"sync"
)

// keptStatements keep what is prepared. Without that the driver prepares, executes and
// closes for each call, unless interpolateParams is set.
type keptStatements struct {
	db   *sql.DB
	mu   sync.Mutex
	kept map[string]*sql.Stmt
}

func (k *keptStatements) lookup(text string) *sql.Stmt {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.kept[text]
}

func (k *keptStatements) statement(ctx context.Context, text string) (*sql.Stmt, error) {
	if st := k.lookup(text); st != nil {
		return st, nil
	}
	st, err := k.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if other := k.kept[text]; other != nil {
		return other, st.Close()
	}
	k.kept[text] = st
	return st, nil
}

// prepare is for the next time, so an error is left to be met then.
func (k *keptStatements) prepare(ctx context.Context, texts []string) {
	for _, text := range texts {
		if _, err := k.statement(ctx, text); err != nil {
			return
		}
	}
}

func (k *keptStatements) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	st, err := k.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(ctx, args...)
}

func (k *keptStatements) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	st, err := k.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	return st.QueryContext(ctx, args...)
}

func (k *keptStatements) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var err error
	for _, st := range k.kept {
		err = errors.Join(err, st.Close())
	}
	clear(k.kept)
	return err
}

// A keptTx uses kept statements in a transaction. It prepares none: that takes a second
// connection, for which a full pool would wait forever.
type keptTx struct {
	tx      *sql.Tx
	pool    *keptStatements
	missing []string
}

func (k *keptTx) ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error) {
	if st := k.pool.lookup(text); st != nil {
		return k.tx.StmtContext(ctx, st).ExecContext(ctx, args...)
	}
	k.missing = append(k.missing, text)
	return k.tx.ExecContext(ctx, text, args...)
}

func (k *keptTx) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if st := k.pool.lookup(text); st != nil {
		return k.tx.StmtContext(ctx, st).QueryContext(ctx, args...)
	}
	k.missing = append(k.missing, text)
	return k.tx.QueryContext(ctx, text, args...)
}
