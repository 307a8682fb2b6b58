package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/otptest"
	"otp.example/otp/sqlstore"
)

// within returns a context that ends what hangs, long after everything that works.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// S-26: what is wrong with an address is an error that says so, in time.
func TestWrongAddress(t *testing.T) {
	postgres, mariadb := servers.Postgres(t), servers.MariaDB(t)
	nobody := func(dsn string) string {
		u, err := url.Parse(dsn)
		require.NoError(t, err)
		u.Host = "127.0.0.1:1"
		return u.String()
	}
	tests := []struct{ name, driver, dsn, want string }{
		{"PostgreSQL/nobody listens", "pgx", nobody(postgres), "connection refused"},
		{"PostgreSQL/no such database", "pgx", strings.Replace(postgres, "/postgres?", "/nothing?", 1), `database "nothing" does not exist`},
		{"PostgreSQL/malformed", "pgx", "postgres://%zz", "parse"},
		{"MariaDB/nobody listens", "mysql", "otp@tcp(127.0.0.1:1)/otp", "connection refused"},
		{"MariaDB/no such database", "mysql", strings.Replace(mariadb, "/otp", "/nothing", 1), "nothing"},
		{"SQLite-modernc/no such directory", "sqlite", "file:/no/such/otp.db", "unable to open database file"},
		{"SQLite-mattn/no such directory", "sqlite3", "file:/no/such/otp.db", "unable to open database file"},
		{"SQLite-modernc/no database", "sqlite", "file:/etc/passwd?mode=ro", "file is not a database"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db, err := sql.Open(test.driver, test.dsn)
			if err == nil {
				defer db.Close()
				err = sqlstore.Migrate(within(t), db, sqlstore.Options{})
				require.ErrorContains(t, err, test.want)
				_, err = sqlstore.New(within(t), db, sqlstore.Options{})
			}
			require.ErrorContains(t, err, test.want)
		})
	}
}

// Tables of an older version, here made by somebody's own tool out of Schema, are refused
// until Migrate has brought them up to date, and it keeps what is in them.
func TestOlderSchema(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db)}
		dir := map[string]string{"pgx": "postgres", "mysql": "mysql"}[k.driver]
		if dir == "" {
			dir = "sqlite"
		}
		text, err := fs.ReadFile(sqlstore.Schema(), dir+"/0001.sql")
		require.NoError(t, err)
		create := string(text) + ";\nCREATE TABLE otp_schema (version INTEGER PRIMARY KEY);\nINSERT INTO otp_schema (version) VALUES (1);\n" +
			"INSERT INTO otp_counter (name, counter) VALUES ('kept', " + map[bool]string{true: "'12345678'", false: "X'3132333435363738'"}[k.driver == "pgx"] + ");\n"
		for statement := range strings.SplitSeq(create, ";\n") {
			if lines := strings.TrimSpace(statement); lines != "" {
				_, err := db.Exec(strings.ReplaceAll(lines, "otp_", o.Prefix))
				require.NoError(t, err, lines)
			}
		}
		_, err = sqlstore.New(t.Context(), db, o)
		require.ErrorContains(t, err, "have version 1")
		require.ErrorContains(t, err, "run Migrate")
		s := openStore(t, db, o)
		applied, err := s.Advance(t.Context(), "kept", 1)
		require.NoError(t, err)
		require.False(t, applied, "the counter is gone")
		putCharged(t, s, "a", "k")
	})
}

// S-26: a table that goes missing while the service runs is an error that names it, nothing is
// half done, and the service denies.
func TestMissingTable(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db)}
		s := openStore(t, db, o)
		svc, outbox, _ := otptest.NewService(t, func(c *otp.Config) { c.Store, c.Limiter = s, s })
		ask := func(to string) (otp.Challenge, error) {
			return svc.Request(within(t), otp.Request{Channel: otp.SMS, Usage: "login", To: to})
		}
		ch, err := ask("+15550101")
		require.NoError(t, err)
		answer := otp.Answer{ID: ch.ID, Usage: "login", Code: outbox.Code("+15550101")}
		rename := func(from, to string) {
			_, err := db.Exec("ALTER TABLE " + o.Prefix + from + " RENAME TO " + o.Prefix + to)
			require.NoError(t, err)
		}

		rename("meter", "away")
		_, err = ask("+15550102")
		require.ErrorContains(t, err, o.Prefix+"meter")
		require.Len(t, outbox.Messages(), 1, "sent, though it is not stored")
		var n int
		require.NoError(t, db.QueryRow("SELECT count(*) FROM "+o.Prefix+"challenge").Scan(&n))
		require.Equal(t, 1, n, "a challenge without its charges")
		rename("away", "meter")

		rename("challenge", "away")
		proof, err := svc.Verify(within(t), answer)
		require.ErrorContains(t, err, o.Prefix+"challenge")
		require.NotErrorIs(t, err, otp.ErrRejected)
		require.Zero(t, proof)
		rename("away", "challenge")
		proof, err = svc.Verify(within(t), answer)
		require.NoError(t, err)
		require.Equal(t, "+15550101", proof.Recipient())
	})
}

// S-26 S-29: a standby is refused at the start. A primary that is made read-only is an error for
// every change, and counts nothing.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	primary := servers.StartPostgres(t)
	db := openDB(t, "pgx", primary.DSN)
	s := openStore(t, db, sqlstore.Options{Prefix: "ro_"})
	put(t, s, "a")

	standby := openDB(t, "pgx", startStandby(t, primary))
	_, err := sqlstore.New(within(t), standby, sqlstore.Options{Prefix: "ro_"})
	require.ErrorContains(t, err, "read-only")
	require.ErrorContains(t, err, "needs the primary")
	require.ErrorContains(t, sqlstore.Migrate(within(t), standby, sqlstore.Options{Prefix: "ro_"}), "read-only")

	for _, set := range []string{"on", "off"} {
		_, err := db.Exec("ALTER SYSTEM SET default_transaction_read_only = " + set)
		if err != nil { // off can only be set by who may write
			_, err = openDB(t, "pgx", with(primary.DSN, "default_transaction_read_only=off")).Exec("ALTER SYSTEM SET default_transaction_read_only = " + set)
		}
		require.NoError(t, err)
		_, err = db.Exec("SELECT pg_reload_conf()")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			var now string
			return db.QueryRow("SHOW default_transaction_read_only").Scan(&now) == nil && now == set
		}, time.Minute, 10*time.Millisecond)
		if set == "off" {
			break
		}
		db.SetMaxIdleConns(0) // connections that have not seen it yet
		_, _, err = s.Spend(within(t), "a", right, noon)
		require.ErrorContains(t, err, "read-only")
		_, err = s.PutCharged(within(t), pending("b"), chargesOf("k"), noon)
		require.ErrorContains(t, err, "read-only")
	}
	r, err := s.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Zero(t, r.Attempts)
	_, err = s.Get(t.Context(), "b")
	require.ErrorIs(t, err, otp.ErrNotFound)
}

// startStandby starts a server that follows another.
func startStandby(t *testing.T, primary *servers.Server) (dsn string) {
	t.Helper()
	bin, data := servers.PostgresBin(t), filepath.Join(primary.Dir, "standby")
	as := func(name string, args ...string) *exec.Cmd {
		args = append([]string{filepath.Join(bin, name)}, args...)
		if os.Geteuid() == 0 { // which PostgreSQL refuses to be
			args = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=KILL"}, args...)
		}
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = primary.Dir
		return cmd
	}
	out, err := as("pg_basebackup", "--dbname="+primary.DSN, "--pgdata="+data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync").CombinedOutput()
	require.NoError(t, err, string(out))
	sockets := filepath.Join(primary.Dir, "standby") // is there, and is the server's own
	var log bytes.Buffer
	cmd := as("postgres", "-D", data, "-p", "5432", "-c", "listen_addresses=", "-c", "unix_socket_directories="+sockets)
	cmd.Stderr = &log
	require.NoError(t, servers.StartChild(cmd))
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		cmd.Wait()         //nolint:errcheck // it was killed
	})
	dsn = "host=" + sockets + " port=5432 user=postgres dbname=postgres"
	db := openDB(t, "pgx", dsn)
	require.Eventually(t, func() bool { return db.Ping() == nil }, 60*time.Second, 20*time.Millisecond)
	var standby bool
	require.NoError(t, db.QueryRow("SELECT pg_is_in_recovery()").Scan(&standby))
	require.True(t, standby)
	return dsn
}

// S-26: a disk that is full, here a bound on the size of files, is an error that says so. What
// needs no room goes on, nothing is half done, and with room again everything works.
func TestFullDisk(t *testing.T) {
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		server := servers.StartPostgres(t)
		db := openDB(t, "pgx", server.DSN)
		o := sqlstore.Options{Prefix: "full_", AuditFor: time.Hour}
		s := openStore(t, db, o)
		put(t, s, "a")
		// A segment of the log has 16 MB and must fit.
		_, err := db.Exec("INSERT INTO full_audit (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope) " +
			"SELECT i, 'spend', repeat('x', 1000), '', 0, 0, 0, 0, '', '', '', '' FROM generate_series(1, 17000) i")
		require.NoError(t, err)
		_, err = db.Exec("ALTER TABLE full_audit SET (fillfactor = 10)") // so that there is no room in old pages
		require.NoError(t, err)
		limit(t, server, "16777216")
		db.SetMaxIdleConns(0) // for processes with the bound
		_, err = s.PutCharged(within(t), pending("b"), chargesOf("k"), noon)
		require.ErrorContains(t, err, "could not extend file")
		r, applied, err := s.Spend(within(t), "a", right, noon)
		require.ErrorContains(t, err, "could not extend file")
		require.False(t, applied)
		require.Zero(t, r)
		limit(t, server, "unlimited")
		_, err = s.Get(t.Context(), "b")
		require.ErrorIs(t, err, otp.ErrNotFound)
		r, applied, err = s.Spend(t.Context(), "a", right, noon)
		require.NoError(t, err)
		require.True(t, applied)
		require.Equal(t, 1, r.Attempts)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		file := sqliteFile(t)
		o := sqlstore.Options{Prefix: fresh(t, openDB(t, "sqlite", file))}
		put(t, openStore(t, openDB(t, "sqlite", file), o), "a")
		s := openStore(t, openDB(t, "sqlite", with(file, "_pragma=max_page_count(40)")), o)
		var err error
		last := 0
		for ; err == nil && last < 1000; last++ {
			r := pending(fmt.Sprint("b", last))
			r.Sealed = bytes.Repeat([]byte{1}, 4000)
			_, err = s.PutCharged(within(t), r, chargesOf(fmt.Sprint("k", last)), noon)
		}
		require.ErrorContains(t, err, "full")
		_, err = s.Get(t.Context(), fmt.Sprint("b", last-1))
		require.ErrorIs(t, err, otp.ErrNotFound)
		r, applied, err := s.Spend(t.Context(), "a", right, noon) // needs no room
		require.NoError(t, err)
		require.True(t, applied)
		require.Equal(t, otp.StateVerified, r.State)
	})
}

// limit bounds the size of the files that the server's processes write.
func limit(t *testing.T, server *servers.Server, size string) {
	t.Helper()
	pid, err := os.ReadFile(filepath.Join(server.Dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(pid), "\n")
	args := []string{"prlimit", "--pid=" + first, "--fsize=" + size + ":"}
	if os.Geteuid() == 0 { // whom the kernel may not let, where the server's own user may
		args = append([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"}, args...)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// S-26: with no connection to be had, in the pool or at the server, a call ends with its
// context and says so.
func TestExhaustedPool(t *testing.T) {
	for _, k := range serverKinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			db := openDB(t, k.driver, k.dsn(t))
			s := openStore(t, db, sqlstore.Options{})
			put(t, s, "a")
			db.SetMaxOpenConns(1)
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			hangs(t, s)
			require.NoError(t, conn.Close())
			r, err := s.Get(t.Context(), "a")
			require.NoError(t, err)
			require.Zero(t, r.Attempts)
			putCharged(t, s, "b", "k", "l") // one connection is enough for everything
		})
	}
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		server := servers.StartPostgres(t, "-c", "max_connections=4", "-c", "superuser_reserved_connections=0")
		db := openDB(t, "pgx", server.DSN)
		s := openStore(t, db, sqlstore.Options{})
		db.SetMaxIdleConns(0)
		other := openDB(t, "pgx", server.DSN)
		var held []*sql.Conn
		// Connections that were closed count until their processes have ended, so that it takes
		// more than one round until there are none to be had.
		require.Eventually(t, func() bool {
			if c, err := other.Conn(within(t)); err == nil {
				held = append(held, c)
			}
			_, err := s.Get(within(t), "a")
			return err != nil && strings.Contains(err.Error(), "too many clients")
		}, time.Minute, 10*time.Millisecond)
		for _, c := range held {
			require.NoError(t, c.Close())
		}
		require.NoError(t, other.Close())
		require.Eventually(t, func() bool {
			_, err := s.Get(t.Context(), "a")
			return err != nil && strings.HasSuffix(err.Error(), otp.ErrNotFound.Error())
		}, time.Minute, 10*time.Millisecond)
	})
}

// S-24 S-26: an answer that comes too late is a no. If the attempt was counted all the same, it is
// spent, and no code is accepted twice.
func TestSlowAnswer(t *testing.T) {
	for _, k := range serverKinds[:2] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			db := openDB(t, k.driver, k.dsn(t))
			o := sqlstore.Options{Prefix: fresh(t, db)}
			s := openStore(t, db, o)
			svc, outbox, _ := otptest.NewService(t, func(c *otp.Config) { c.Store, c.Limiter = s, s })
			ch, err := svc.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: "+15550101"})
			require.NoError(t, err)
			answer := otp.Answer{ID: ch.ID, Usage: "login", Code: outbox.Code("+15550101")}
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.Exec("UPDATE " + o.Prefix + "challenge SET sends = sends + 1") // somebody is busy with it
			require.NoError(t, err)

			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			start := time.Now()
			proof, err := svc.Verify(ctx, answer)
			require.Error(t, err)
			require.NotErrorIs(t, err, otp.ErrRejected)
			require.Zero(t, proof)
			assert.Less(t, time.Since(start), 30*time.Second) // MariaDB itself waits for 50
			require.NoError(t, tx.Rollback())

			// Whether it was counted is known when the server has done with it.
			accepted := 0
			for range 10 {
				if _, err := svc.Verify(t.Context(), answer); err == nil {
					accepted++
				} else {
					require.ErrorIs(t, err, otp.ErrRejected)
				}
			}
			require.LessOrEqual(t, accepted, 1)
			status, err := svc.Status(t.Context(), ch.ID)
			require.NoError(t, err)
			require.Equal(t, otp.StatusVerified, status.Status)
		})
	}
}
