package sqlstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

// patience is far more than a deadline of a tenth of a second, far less than any
// time-out of a driver or server.
const patience = 5 * time.Second

// operations are all there are, on what does not exist.
var operations = map[string]func(context.Context, *sqlstore.Store) error{
	"Put": func(ctx context.Context, s *sqlstore.Store) error {
		_, _, err := s.Put(ctx, pending("a"), noon)
		return err
	},
	"Get": func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Get(ctx, "a"); return err },
	"Spend": func(ctx context.Context, s *sqlstore.Store) error {
		_, _, err := s.Spend(ctx, "a", nil, noon)
		return err
	},
	"Reissue": func(ctx context.Context, s *sqlstore.Store) error {
		_, _, err := s.Reissue(ctx, "a", nil, 1, noon)
		return err
	},
	"Cancel": func(ctx context.Context, s *sqlstore.Store) error { _, _, err := s.Cancel(ctx, "a", noon); return err },
	"PutCharged": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.PutCharged(ctx, pending("b"), chargesOf("k"), noon)
		return err
	},
	"ReissueCharged": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.ReissueCharged(ctx, "a", nil, 1, chargesOf("k"), noon)
		return err
	},
	"Take": func(ctx context.Context, s *sqlstore.Store) error {
		c := chargesOf("k")[0]
		_, err := s.Take(ctx, c.Key, c.Cost, c.Limits, c.At)
		return err
	},
	"GiveAll": func(ctx context.Context, s *sqlstore.Store) error { return s.GiveAll(ctx, chargesOf("k")) },
	"Advance": func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Advance(ctx, "k", 1); return err },
	"Prune":   func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Prune(ctx, noon, 1); return err },
}

// hangs expects every operation to end with its context, and to be an error.
func hangs(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	for name, do := range operations {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		start := time.Now()
		err := do(ctx, s)
		cancel()
		require.Error(t, err, name)
		assert.Less(t, time.Since(start), patience, name)
	}
}

// S-26: a server that hangs is an error within the caller's deadline, and the store
// works again when the server does.
func TestHungServer(t *testing.T) {
	tests := []struct {
		driver string
		start  func(testing.TB, ...string) *servers.Server
	}{
		{"pgx", servers.StartPostgres},
		{"mysql", servers.StartMariaDB},
	}
	for _, test := range tests {
		t.Run(test.driver, func(t *testing.T) {
			t.Parallel()
			server := test.start(t)
			s := openStore(t, openDB(t, test.driver, server.DSN), sqlstore.Options{})
			put(t, s, "before")
			server.Pause()
			hangs(t, s)
			server.Resume()
			// Connections that hung are replaced, at the latest after as many tries
			// as there are.
			require.Eventually(t, func() bool {
				_, err := s.Get(t.Context(), "before")
				return err == nil
			}, 30*time.Second, 10*time.Millisecond)
			put(t, s, "after")
		})
	}
}

// S-26: the same for a file that another process keeps locked.
func TestLockedFile(t *testing.T) {
	for _, k := range serverKinds[2:] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			// Without WAL, so that reads wait as well.
			file := with(sqliteFile(t), "_synchronous=FULL") // mattn takes NORMAL otherwise
			db := openDB(t, k.driver, file)
			s := openStore(t, db, sqlstore.Options{})
			other, err := openDB(t, k.driver, file).Conn(t.Context())
			require.NoError(t, err)
			defer other.Close()
			_, err = other.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
			require.NoError(t, err)
			hangs(t, s)

			// Who waits without a deadline gets through.
			result := make(chan error)
			go func() {
				_, _, err := s.Put(t.Context(), pending("after"), noon)
				result <- err
			}()
			_, err = other.ExecContext(t.Context(), "ROLLBACK")
			require.NoError(t, err)
			require.NoError(t, <-result)
		})
	}
}

// What is closed says so, and closing leaves the database to its owner.
func TestClose(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		s := openStore(t, db, sqlstore.Options{})
		put(t, s, "a")
		require.NoError(t, s.Close())
		require.NoError(t, s.Close())
		require.NoError(t, db.Ping())
		require.Zero(t, db.Stats().InUse)
	})
}
