package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"otp.example/otp"
)

// LoadCredentials returns the value of a key, empty if there is none.
func (s *Store) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	if err := errors.Join(done(ctx), checkKey(key)); err != nil {
		return nil, err
	}
	var value []byte
	err := s.b.use(ctx, func(run runner) error {
		_, err := one(ctx, run, s.text.get("credentials"), []any{key}, &value)
		return err
	})
	if err != nil {
		return nil, call("load credentials").fault(err)
	}
	return value, nil
}

// SwapCredentials replaces old by value if old is what is held, with one statement, and
// reports whether it did.
func (s *Store) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	if err := errors.Join(done(ctx), checkKey(key)); err != nil {
		return false, err
	}
	if len(value) > otp.MaxCredentials {
		return false, fmt.Errorf("sqlstore: credentials are longer than %d bytes", otp.MaxCredentials)
	}
	if len(old)+len(value) == 0 {
		held, err := s.LoadCredentials(ctx, key)
		return len(held) == 0 && err == nil, err
	}
	var end any // null, if there is none
	if !until.IsZero() {
		end = until.UnixMicro()
	}
	name, args := "swap_credentials", []any{value, end, key, old}
	switch {
	case len(value) == 0:
		name, args = "drop_credentials", []any{key, old}
	case len(old) == 0:
		name, args = "new_credentials", args[:3]
	}
	n := 0
	err := s.b.use(ctx, func(run runner) error {
		return retried(func() (err error) { n, err = changed(ctx, run, s.text.get(name), args...); return err })
	})
	return n > 0 && err == nil, call("swap credentials").fault(err)
}

// ListCredentials returns the next max keys in their order; the cursor is a key.
func (s *Store) ListCredentials(ctx context.Context, cursor string, max int) (keys []string, next string, err error) {
	if err := errors.Join(done(ctx), checkKey(cursor)); err != nil {
		return nil, "", err
	}
	err = s.b.use(ctx, func(run runner) error {
		keys = nil
		rows, err := run.QueryContext(ctx, s.text.get("list_credentials"), cursor, max)
		if err != nil {
			return err
		}
		var key []byte
		return each(rows, func() error { keys = append(keys, string(key)); return nil }, &key)
	})
	if err != nil {
		return nil, "", call("list credentials").fault(err)
	}
	if len(keys) == max && max > 0 {
		next = keys[len(keys)-1]
	}
	return keys, next, nil
}
