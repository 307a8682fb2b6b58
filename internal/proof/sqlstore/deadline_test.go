package sqlstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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
		// A machine that is busy takes that long now and then; what does not heed its context
		// does so each time.
		took := patience
		for tries := 0; took >= patience && tries < 5; tries++ {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			start := time.Now()
			err := do(ctx, s)
			took = time.Since(start)
			cancel()
			require.Error(t, err, name)
		}
		require.Less(t, took, patience, name)
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
			// A server's threads stop when one of them has got to run and has seen the signal.
			require.Eventually(t, func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := s.Get(ctx, "before")
				return err != nil
			}, time.Minute, 10*time.Millisecond)
			hangs(t, s)
			server.Resume()
			// Connections that hung are replaced, at the latest after as many tries
			// as there are.
			require.Eventually(t, func() bool {
				_, err := s.Get(t.Context(), "before")
				return err == nil
			}, time.Minute, 10*time.Millisecond)
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
			file := sqliteFile(t)
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

// S-24 S-26: whoever waits for the file until its context ends, and gets it at that moment, leaves
// no transaction open: others may write, and what the store is told next is kept.
func TestEndedWait(t *testing.T) {
	for _, k := range serverKinds[2:] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			file := k.dsn(t)
			db := openDB(t, k.driver, file)
			o := sqlstore.Options{Prefix: fresh(t, db)}
			s := openStore(t, db, o)
			// Through a recorder, the next who takes the only connection gets it as it was left.
			_, pool := record(t, k.driver, with(file, "_pragma=busy_timeout(5000)"))
			pool.SetMaxOpenConns(1)
			other, err := openDB(t, k.driver, file).Conn(t.Context())
			require.NoError(t, err)
			defer other.Close()
			say := func(text string) {
				t.Helper()
				_, err := other.ExecContext(t.Context(), text)
				require.NoError(t, err)
			}
			late := func(do func(ctx context.Context) error) {
				t.Helper()
				say("BEGIN IMMEDIATE")
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
				defer cancel()
				result := make(chan error)
				go func() { result <- do(ctx) }()
				<-ctx.Done()
				say("ROLLBACK")
				require.Error(t, <-result)
				say("BEGIN IMMEDIATE") // it is free
				say("ROLLBACK")
			}
			for n := range 10 {
				late(func(ctx context.Context) error { return sqlstore.Migrate(ctx, pool, o) })
				require.NoError(t, sqlstore.Migrate(t.Context(), pool, o))
				late(func(ctx context.Context) error {
					_, err := s.PutCharged(ctx, pending("late"), chargesOf("late"), noon)
					return err
				})
				late(func(ctx context.Context) error { return s.GiveAll(ctx, chargesOf("late")) })
				putCharged(t, s, fmt.Sprint(n), "k")
				var kept int
				require.NoError(t, other.QueryRowContext(t.Context(), "SELECT count(*) FROM "+o.Prefix+"challenge").Scan(&kept))
				require.Equal(t, n+1, kept)
			}
		})
	}
}

// What one call prunes is what it says and never more than it may, also when somebody locks the file
// in between and it is tried again.
func TestPruneOfLockedFile(t *testing.T) {
	for _, k := range serverKinds[2:] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			file := k.dsn(t)
			r, db := record(t, k.driver, file)
			o := sqlstore.Options{Prefix: fresh(t, db)}
			s := openStore(t, db, o)
			for _, n := range []string{"1", "2", "3"} {
				putCharged(t, s, "challenge "+n, "meter "+n)
			}
			other, err := openDB(t, k.driver, file).Conn(t.Context())
			require.NoError(t, err)
			defer other.Close()
			tries := 0
			r.before = func(text string) {
				say := ""
				switch {
				case strings.HasPrefix(text, "DELETE FROM challenge"):
					if tries++; tries == 2 {
						say = "ROLLBACK"
					}
				case strings.HasPrefix(text, "DELETE FROM meter") && tries == 1:
					say = "BEGIN IMMEDIATE"
				}
				if say != "" {
					_, err := other.ExecContext(t.Context(), say)
					require.NoError(t, err, say)
				}
			}
			n, err := s.Prune(t.Context(), noon.Add(2*time.Hour), 4)
			require.NoError(t, err)
			require.Equal(t, 2, tries)
			require.Equal(t, 4, n)
			var left int
			require.NoError(t, other.QueryRowContext(t.Context(), "SELECT count(*) FROM "+o.Prefix+"meter").Scan(&left))
			require.Equal(t, 2, left)
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
