package linear_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/linear"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

func TestMain(m *testing.M) {
	forgetful := sqlstore.Options{InsecureAcceptLoss: true}
	os.Exit(linear.Main(m, map[string]linear.Opener{
		"pgx":    opener("pgx", sqlstore.Options{}),
		"mysql":  opener("mysql", sqlstore.Options{}),
		"sqlite": opener("sqlite", sqlstore.Options{}),

		"forgetful pgx":   opener("pgx", forgetful),
		"forgetful mysql": opener("mysql", forgetful),
		"racy pgx":        bug("pgx", func(d *database) linear.Store { return &racy{d} }),
		"racy sqlite":     bug("sqlite", func(d *database) linear.Store { return &racy{d} }),
		"retrying pgx":    bug("pgx", func(d *database) linear.Store { return &retrying{d} }),
		"guessing pgx":    bug("pgx", func(d *database) linear.Store { return &guessing{d} }),
		"own clock pgx":   bug("pgx", func(d *database) linear.Store { return &ownClock{d} }),
		"generous pgx":    bug("pgx", func(d *database) linear.Store { return &generous{d} }),
		"careless pgx":    bug("pgx", func(d *database) linear.Store { return &careless{d} }),
		"stubborn pgx":    bug("pgx", func(d *database) linear.Store { return &stubborn{d} }),
		"counting pgx":    bug("pgx", func(d *database) linear.Store { return &counting{database: d, highest: map[string]uint64{}} }),
	}))
}

func bug(driver string, in func(*database) linear.Store) linear.Opener {
	return func(ctx context.Context, address string) (linear.Store, error) {
		d, err := open(ctx, driver, address, sqlstore.Options{})
		if err != nil {
			return nil, err
		}
		return in(d), nil
	}
}

// Whatever finds nothing proves nothing: it has to find each of these.
func TestBugsAreFound(t *testing.T) {
	t.Parallel()
	pg := postgres(t, "")
	for _, test := range []struct{ opener, fault, says string }{
		{"racy pgx", "none", "are not linearizable (Illegal)"},
		{"racy pgx", "none", "accepted twice"}, // FM-06
		{"retrying pgx", "replies dropped", "are not linearizable (Illegal)"},
		{"guessing pgx", "replies dropped", "are not linearizable (Illegal)"}, // S-26
		{"own clock pgx", "none", "are not linearizable (Illegal)"},           // S-35,
		{"generous pgx", "none", " admitted "},
		{"careless pgx", "none", " refused "},
		{"counting pgx", "none", "are not linearizable (Illegal)"}, // FM-05
		{"stubborn pgx", "none", "are not linearizable (Illegal)"},
	} {
		t.Run(test.opener+"/"+test.says, func(t *testing.T) {
			pg.Opener = test.opener
			linear.Find(t, pg, test.fault, test.says)
		})
	}
	t.Run("racy sqlite", func(t *testing.T) {
		linear.Find(t, sqlite(t, "racy sqlite"), "none", "are not linearizable (Illegal)")
	})

	// S-27: servers that the store refuses, since they forget what they have acknowledged.
	t.Run("forgetful pgx", func(t *testing.T) {
		s := postgres(t, "forgetful pgx", "-c", "synchronous_commit=off", "-c", "wal_writer_delay=10s")
		restart(t, s)
		linear.Find(t, s, "server killed", "are not linearizable (Illegal)")
	})
	t.Run("forgetful mysql", func(t *testing.T) {
		s := mariaDB(t, "forgetful mysql", "--innodb-flush-log-at-trx-commit=0")
		restart(t, s)
		linear.Find(t, s, "server killed", "are not linearizable (Illegal)")
	})
}

// restart lets a server end in an orderly way, so that it does not forget its tables.
func restart(t *testing.T, target linear.Target) {
	t.Helper()
	s := target.Server.(*servers.Server)
	s.Stop()
	require.NoError(t, s.Start())
}

// racy reads, decides and writes back.
type racy struct{ d *database }

func (s *racy) Close() error { return s.d.Close() }

func (s *racy) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	return s.d.Take(ctx, key, cost, limits, now)
}

func (s *racy) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return s.d.Give(ctx, key, cost, limits, at)
}

func (s *racy) Get(ctx context.Context, id string) (r otp.Record, err error) {
	var body []byte
	if err = s.d.db.QueryRowContext(ctx, "SELECT body FROM racy WHERE id = $1", id).Scan(&body); err == nil {
		err = json.Unmarshal(body, &r)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = otp.ErrNotFound
	}
	return r, err
}

func (s *racy) write(ctx context.Context, r otp.Record) error {
	body, err := json.Marshal(r)
	if err == nil {
		_, err = s.d.db.ExecContext(ctx, "INSERT INTO racy (id, body) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET body = excluded.body", r.ID, string(body))
	}
	return err
}

func (s *racy) change(ctx context.Context, id string, do func(*otp.Record) bool) (otp.Record, bool, error) {
	r, err := s.Get(ctx, id)
	if err != nil || !do(&r) {
		return r, false, err
	}
	return r, true, s.write(ctx, r)
}

func (s *racy) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	old, err := s.Get(ctx, r.ID)
	if err == nil && old.Live(now) {
		return old, false, nil
	}
	if err != nil && !errors.Is(err, otp.ErrNotFound) {
		return old, false, err
	}
	return r, true, s.write(ctx, r)
}

func (s *racy) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Spend(candidates, now) })
}

func (s *racy) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Reissue(digest, live, now) })
}

func (s *racy) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Cancel(now) })
}

// retrying takes an answer that was lost for a call that was not made.
type retrying struct{ *database }

func (s *retrying) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (r otp.Record, applied bool, err error) {
	for range 3 {
		if r, applied, err = s.database.Spend(ctx, id, candidates, now); err == nil || errors.Is(err, otp.ErrNotFound) {
			break
		}
	}
	return r, applied, err
}

// guessing reads what became of a call whose answer was lost, and takes it for its own.
type guessing struct{ *database }

func (s *guessing) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	r, applied, err := s.database.Spend(ctx, id, candidates, now)
	if err != nil && !errors.Is(err, otp.ErrNotFound) {
		r, err = s.Get(ctx, id)
		applied = err == nil
	}
	return r, applied, err
}

// ownClock looks at the clock instead of what it is given.
type ownClock struct{ *database }

func (s *ownClock) Spend(ctx context.Context, id string, candidates []byte, _ time.Time) (otp.Record, bool, error) {
	return s.database.Spend(ctx, id, candidates, time.Now())
}

// generous charges nothing.
type generous struct{ *database }

func (s *generous) PutCharged(ctx context.Context, r otp.Record, _ []otp.Charge, now time.Time) (otp.Outcome, error) {
	return s.database.PutCharged(ctx, r, nil, now)
}

// careless charges for what a record refuses.
type careless struct{ *database }

func (s *careless) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	out, err := s.database.PutCharged(ctx, r, c, now)
	if err == nil && !out.Applied && out.Refused == nil {
		for _, c := range c {
			if _, err := s.Take(ctx, c.Key, c.Cost, c.Limits, c.At); err != nil {
				return out, err
			}
		}
	}
	return out, err
}

// stubborn replaces a credential whatever has become of it.
type stubborn struct{ *database }

func (s *stubborn) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (applied bool, err error) {
	for !applied && err == nil {
		if applied, err = s.database.SwapCredentials(ctx, key, old, value, until); !applied && err == nil {
			old, err = s.LoadCredentials(ctx, key)
		}
	}
	return applied, err
}

// counting remembers in its own process which counters were used.
type counting struct {
	*database
	mu      sync.Mutex
	highest map[string]uint64
}

func (s *counting) Advance(_ context.Context, key string, counter uint64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if counter <= s.highest[key] {
		return false, nil
	}
	s.highest[key] = counter
	return true, nil
}
