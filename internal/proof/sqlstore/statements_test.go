package sqlstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func pending(id string) otp.Record {
	return otp.Record{
		ID: id, Digests: bytes.Repeat([]byte{1}, otp.DigestSize), Sealed: []byte("sealed"), State: otp.StatePending,
		MaxAttempts: 5, Sends: 1, MaxSends: 3, CreatedAt: noon, SentAt: noon, ExpiresAt: noon.Add(5 * time.Minute),
	}
}

func chargesOf(keys ...string) []otp.Charge {
	var c []otp.Charge
	for _, k := range keys {
		c = append(c, otp.Charge{Scope: k, Key: k, Cost: 1, Limits: []otp.Limit{{N: 10, Per: time.Hour}}, At: noon})
	}
	return c
}

// S-22 S-23 S-25 S-29: what is said to the server for each operation. Whatever decides
// on acceptance is one conditional UPDATE, and nothing is read before it.
func TestStatements(t *testing.T) {
	digest := bytes.Repeat([]byte{1}, otp.DigestSize)
	// Each statement is a beginning; BEGIN and COMMIT are round trips too.
	tests := []struct {
		name                      string
		do                        func(t *testing.T, s *sqlstore.Store, n string)
		postgres, mariadb, sqlite string
	}{
		{
			name:     "Put",
			do:       func(t *testing.T, s *sqlstore.Store, n string) { put(t, s, n) },
			postgres: "INSERT INTO challenge",
			mariadb:  "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO challenge; COMMIT",
			sqlite:   "INSERT INTO challenge",
		},
		{
			name: "Get",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				_, err := s.Get(t.Context(), n)
				require.NoError(t, err)
			},
			postgres: "SELECT id", mariadb: "SELECT id", sqlite: "SELECT id",
		},
		{
			name: "Reissue",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				_, applied, err := s.Reissue(t.Context(), n, digest, 2, noon)
				require.NoError(t, err)
				require.True(t, applied)
			},
			postgres: "UPDATE challenge SET sends",
			mariadb:  "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; UPDATE challenge SET sends; COMMIT",
			sqlite:   "UPDATE challenge SET sends",
		},
		{
			name: "ReissueCharged",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				out, err := s.ReissueCharged(t.Context(), n, digest, 2, chargesOf("a"+n, "b"+n), noon)
				require.NoError(t, err)
				require.True(t, out.Applied)
			},
			postgres: "WITH meters",
			mariadb: "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; " +
				"UPDATE challenge SET sends; COMMIT",
			sqlite: "BEGIN IMMEDIATE; SELECT id; SELECT name, meter; INSERT INTO meter; UPDATE challenge SET sends; COMMIT",
		},
		{
			name: "Spend, wrong and right",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				for i := range byte(2) {
					r, applied, err := s.Spend(t.Context(), n, bytes.Repeat([]byte{i}, otp.DigestSize), noon)
					require.NoError(t, err)
					require.True(t, applied)
					require.Equal(t, otp.StatePending+otp.State(i), r.State)
				}
			},
			postgres: "UPDATE challenge SET attempts; UPDATE challenge SET attempts",
			mariadb:  "UPDATE challenge SET state; SELECT id; UPDATE challenge SET state; SELECT id",
			sqlite:   "UPDATE challenge SET attempts; UPDATE challenge SET attempts",
		},
		{
			name: "Spend of a dead record",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				_, applied, err := s.Spend(t.Context(), n, digest, noon)
				require.NoError(t, err)
				require.False(t, applied)
			},
			postgres: "UPDATE challenge SET attempts; SELECT id",
			mariadb:  "UPDATE challenge SET state; SELECT id",
			sqlite:   "UPDATE challenge SET attempts; SELECT id",
		},
		{
			name: "Cancel of another",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				_, applied, err := s.Cancel(t.Context(), "other"+n, noon)
				require.NoError(t, err)
				require.True(t, applied)
			},
			postgres: "UPDATE challenge SET state",
			mariadb:  "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; UPDATE challenge SET state; COMMIT",
			sqlite:   "UPDATE challenge SET state",
		},
		{
			name: "PutCharged on new keys",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				putCharged(t, s, "charged"+n, "c"+n, "d"+n)
			},
			postgres: "WITH meters",
			mariadb: "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; " +
				"INSERT INTO challenge; COMMIT",
			sqlite: "BEGIN IMMEDIATE; SELECT id; SELECT name, meter; INSERT INTO meter; INSERT INTO challenge; COMMIT",
		},
		{
			name: "PutCharged on known keys",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				putCharged(t, s, "charged again"+n, "c"+n, "d"+n)
			},
			postgres: "WITH meters",
			mariadb: "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; " +
				"INSERT INTO challenge; COMMIT",
			sqlite: "BEGIN IMMEDIATE; SELECT id; SELECT name, meter; INSERT INTO meter; INSERT INTO challenge; COMMIT",
		},
		{
			name: "GiveAll",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				require.NoError(t, s.GiveAll(t.Context(), chargesOf("c"+n, "d"+n)))
			},
			postgres: "WITH meters",
			mariadb:  "BEGIN READ COMMITTED; SELECT name, meter; INSERT INTO meter; COMMIT",
			sqlite:   "BEGIN IMMEDIATE; SELECT name, meter; INSERT INTO meter; COMMIT",
		},
		{
			name: "Take of a known key",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				c := chargesOf("c" + n)[0]
				d, err := s.Take(t.Context(), c.Key, c.Cost, c.Limits, c.At)
				require.NoError(t, err)
				require.True(t, d.OK)
			},
			postgres: "WITH meters",
			mariadb:  "BEGIN READ COMMITTED; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; COMMIT",
			sqlite:   "BEGIN IMMEDIATE; SELECT name, meter; INSERT INTO meter; COMMIT",
		},
		{
			name: "Advance of a known key",
			do: func(t *testing.T, s *sqlstore.Store, n string) {
				applied, err := s.Advance(t.Context(), "counter", uint64(noon.Unix())+uint64(len(n)))
				require.NoError(t, err)
				require.True(t, applied)
			},
			postgres: "INSERT INTO counter",
			mariadb:  "UPDATE counter",
			sqlite:   "INSERT INTO counter",
		},
	}
	everyServer(t, func(t *testing.T, k server) {
		r, db := record(t, k.driver, k.dsn(t))
		db.SetMaxOpenConns(2)
		s := openStore(t, db, sqlstore.Options{})
		// The first round is for statements to be prepared.
		for _, n := range []string{"n", "nn", "nnn"} {
			put(t, s, "other"+n)
			if n == "n" {
				_, err := s.Advance(t.Context(), "counter", 1)
				require.NoError(t, err)
			}
			r.take()
			for _, test := range tests {
				test.do(t, s, n)
				said := r.take()
				if n == "nnn" {
					want := map[string]string{"pgx": test.postgres, "mysql": test.mariadb}[k.driver]
					if want == "" {
						want = test.sqlite
					}
					assert.True(t, begins(said, want), "%s: want %s, said\n%s", test.name, want, strings.Join(said, "\n"))
				}
			}
		}
	})
}

// What another process has charged takes PostgreSQL a second statement: the first, which took
// the keys to be new or as they were, reads them.
func TestStatementsOfOtherProcesses(t *testing.T) {
	r, db := record(t, "pgx", servers.Postgres(t))
	o := sqlstore.Options{Prefix: fresh(t, db)}
	here, there := openStore(t, db, o), openStore(t, db, o)
	putCharged(t, here, "1", "a", "b")
	for i, test := range []struct {
		s    *sqlstore.Store
		want string
	}{
		{there, "WITH meters; WITH meters"}, // it does not know them
		{there, "WITH meters"},
		{here, "WITH meters; WITH meters"}, // it knows what they were
		{here, "WITH meters"},
	} {
		r.take()
		putCharged(t, test.s, fmt.Sprintf("next-%d", i), "a", "b")
		said := r.take()
		require.True(t, begins(said, test.want), "%d: %s", i, strings.Join(said, "\n"))
	}
	// Nothing is refused for what is no longer so.
	full := chargesOf("a")
	full[0].Cost = 6
	require.NoError(t, there.GiveAll(t.Context(), append(chargesOf("a"), chargesOf("a")...)))
	r.take()
	out, err := here.PutCharged(t.Context(), pending("last"), full, noon)
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.True(t, begins(r.take(), "SELECT false; WITH meters"))
}

// S-52 S-53: a change that conceals whom it is about takes the same statements whoever that is.
func TestConcealedStatements(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		r, db := record(t, k.driver, k.dsn(t))
		db.SetMaxOpenConns(2)
		o := sqlstore.Options{Prefix: fresh(t, db)}
		here, there := openStore(t, db, o), openStore(t, db, o)
		want := map[string][2]string{
			"pgx": {"SELECT false; WITH meters", "SELECT false; WITH meters"},
			"mysql": {
				"BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; INSERT INTO challenge; COMMIT",
				"BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; UPDATE challenge; COMMIT",
			},
			"sqlite": {
				"BEGIN IMMEDIATE; SELECT id; SELECT name, meter; INSERT INTO meter; INSERT INTO challenge; COMMIT",
				"BEGIN IMMEDIATE; SELECT id; SELECT name, meter; INSERT INTO meter; UPDATE challenge; COMMIT",
			},
		}
		want["sqlite3"] = want["sqlite"]
		silent := func(who string, cost int64) []otp.Charge {
			c := chargesOf("r"+who, "s"+who)
			for i := range c {
				c[i].Cost, c[i].Silent = cost, true
			}
			return c
		}
		request := func(s *sqlstore.Store, id, who string, cost int64) (otp.Outcome, error) {
			return s.PutCharged(t.Context(), pending(id), silent(who, cost), noon)
		}
		resend := func(s *sqlstore.Store, id, who string, cost int64) (otp.Outcome, error) {
			return s.ReissueCharged(t.Context(), id, right, 2, silent(who, cost), noon)
		}
		for i, class := range []struct {
			name    string
			before  []*sqlstore.Store // that charged them
			cost    int64
			refused bool
		}{
			{"never seen", nil, 1, false},
			{"known here", []*sqlstore.Store{here}, 1, false},
			{"known to another process", []*sqlstore.Store{there}, 1, false},
			{"known here, then to another process", []*sqlstore.Store{here, there}, 1, false},
			{"never seen, refused", nil, 11, true},
			{"known here, refused", []*sqlstore.Store{here}, 10, true},
			{"known to another process, refused", []*sqlstore.Store{there}, 10, true},
		} {
			for j, do := range []func(s *sqlstore.Store, id, who string, cost int64) (otp.Outcome, error){request, resend} {
				id := fmt.Sprint("id-", i, j)
				if j == 1 {
					put(t, there, id)
				}
				for _, s := range class.before {
					putCharged(t, s, id+"before"+fmt.Sprint(s == here), "r"+id, "s"+id)
				}
				r.take()
				out, err := do(here, id, id, class.cost)
				require.NoError(t, err, class.name)
				require.True(t, out.Applied, class.name)
				require.Equal(t, class.refused, out.Refused != nil, class.name)
				said := slices.DeleteFunc(r.take(), func(text string) bool { return strings.HasPrefix(text, "PREPARE ") })
				assert.True(t, begins(said, want[k.driver][j]), "%s: want %s, said\n%s", class.name, want[k.driver][j], strings.Join(said, "\n"))
			}
		}
	})
}

// S-84: with an audit, what PostgreSQL is told to change it writes down in the same statement,
// and a refusal costs one more. The others write it in the transaction of the change.
func TestAuditedStatements(t *testing.T) {
	spend := func(id string) func(*testing.T, *sqlstore.Store) {
		return func(t *testing.T, s *sqlstore.Store) {
			_, _, err := s.Spend(t.Context(), id, right, noon)
			require.NoError(t, err)
		}
	}
	const log = "INSERT INTO audit"
	tests := []struct {
		name                      string
		do                        func(t *testing.T, s *sqlstore.Store)
		postgres, mariadb, sqlite string
	}{
		{
			name:     "Put",
			do:       func(t *testing.T, s *sqlstore.Store) { put(t, s, "a") },
			postgres: "WITH changed AS ( INSERT INTO challenge … SELECT * FROM changed",
			mariadb:  "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO challenge; " + log + "; COMMIT",
			sqlite:   "BEGIN IMMEDIATE; INSERT INTO challenge; " + log + "; COMMIT",
		},
		{
			name:     "Spend",
			do:       spend("a"),
			postgres: "WITH changed AS ( UPDATE challenge SET attempts … SELECT * FROM changed",
			mariadb:  "BEGIN READ COMMITTED; UPDATE challenge SET state; SELECT id; " + log + "; COMMIT",
			sqlite:   "BEGIN IMMEDIATE; UPDATE challenge SET attempts; " + log + "; COMMIT",
		},
		{
			name:     "Spend, refused",
			do:       spend("a"),
			postgres: "WITH changed AS ( UPDATE challenge SET attempts … SELECT * FROM changed; SELECT id; " + log,
			mariadb:  "BEGIN READ COMMITTED; UPDATE challenge SET state; SELECT id; " + log + "; COMMIT",
			sqlite:   "BEGIN IMMEDIATE; UPDATE challenge SET attempts; SELECT id; " + log + "; COMMIT",
		},
		{
			name:     "PutCharged",
			do:       func(t *testing.T, s *sqlstore.Store) { putCharged(t, s, "b", "k") },
			postgres: "WITH meters",
			mariadb: "BEGIN READ COMMITTED; SELECT id … FOR UPDATE; INSERT INTO meter; SELECT name, meter; INSERT INTO meter; " +
				"INSERT INTO challenge; " + log + "; COMMIT",
			sqlite: "BEGIN IMMEDIATE; SELECT id; SELECT name, meter; INSERT INTO meter; INSERT INTO challenge; " + log + "; COMMIT",
		},
	}
	everyServer(t, func(t *testing.T, k server) {
		r, db := record(t, k.driver, k.dsn(t))
		db.SetMaxOpenConns(2)
		s := openStore(t, db, sqlstore.Options{AuditFor: time.Hour})
		for _, test := range tests {
			r.take()
			test.do(t, s)
			said := slices.DeleteFunc(r.take(), func(text string) bool { return strings.HasPrefix(text, "PREPARE ") })
			want := map[string]string{"pgx": test.postgres, "mysql": test.mariadb}[k.driver]
			if want == "" {
				want = test.sqlite
			}
			assert.True(t, begins(said, want), "%s: want %s, said\n%s", test.name, want, strings.Join(said, "\n"))
			if k.driver == "pgx" {
				assert.Contains(t, said[0], log)
			}
		}
	})
}

// begins reports whether each statement begins, and ends, as one of want.
func begins(said []string, want string) bool {
	list := strings.Split(want, "; ")
	if len(list) != len(said) {
		return false
	}
	for i, w := range list {
		head, tail, _ := strings.Cut(w, " … ")
		if !strings.HasPrefix(said[i], head) || !strings.HasSuffix(said[i], tail) {
			return false
		}
	}
	return true
}

func put(t *testing.T, s *sqlstore.Store, id string) {
	t.Helper()
	_, applied, err := s.Put(t.Context(), pending(id), noon)
	require.NoError(t, err)
	require.True(t, applied)
}

func putCharged(t *testing.T, s *sqlstore.Store, id string, keys ...string) {
	t.Helper()
	out, err := s.PutCharged(t.Context(), pending(id), chargesOf(keys...), noon)
	require.NoError(t, err)
	require.True(t, out.Applied)
	require.Nil(t, out.Refused)
}
