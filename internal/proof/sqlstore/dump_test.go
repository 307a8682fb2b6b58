package sqlstore_test

import (
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/calls"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/otptest"
	"otp.example/otp/sqlstore"
)

// S-13: what a thief of the database gets holds no code, handle, recipient, subject or
// extra data, in any usual encoding.
func TestDump(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		dsn := k.dsn(t)
		db := openDB(t, k.driver, dsn)
		o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
		s := openStore(t, db, o)
		svc, outbox, clock := otptest.NewService(t, func(c *otp.Config) { c.Store, c.Limiter = s, s })
		secrets := calls.UseAll(t, svc, outbox, clock)
		dump := dumpOf(t, k, dsn, o.Prefix)

		require.Contains(t, string(dump), o.Prefix+"challenge", "this is no dump of the tables")
		r, err := s.Get(t.Context(), someID(t, db, o.Prefix))
		require.NoError(t, err)
		assert.True(t, calls.Holds(dump, r.Digests), "what is kept is not found: the search is broken")
		for what, secret := range secrets {
			assert.False(t, calls.Holds(dump, []byte(secret)), "the dump holds %s", what)
		}
	})
}

func someID(t *testing.T, db *sql.DB, prefix string) (id string) {
	t.Helper()
	require.NoError(t, db.QueryRow("SELECT id FROM "+prefix+"challenge WHERE state = 1 AND attempts > 0 LIMIT 1").Scan(&id))
	return id
}

// dumpOf returns what the server's own tool writes, or the file and its journal.
func dumpOf(t *testing.T, k server, dsn, prefix string) []byte {
	t.Helper()
	switch k.driver {
	case "pgx":
		return output(t, filepath.Join(servers.PostgresBin(t), "pg_dump"), "--dbname="+dsn, "--inserts", "--table="+prefix+"*")
	case "mysql":
		c, err := mysql.ParseDSN(dsn)
		require.NoError(t, err)
		host := url.URL{Host: c.Addr}
		return output(t, "mariadb-dump", "--no-defaults", "--host="+host.Hostname(), "--port="+host.Port(), "--user="+c.User,
			"--password="+c.Passwd, "--hex-blob", "--skip-lock-tables", c.DBName,
			prefix+"challenge", prefix+"meter", prefix+"counter", prefix+"policy", prefix+"audit", prefix+"credential", prefix+"schema")
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(dsn, "file:"), "?")
	files, err := filepath.Glob(name + "*")
	require.NoError(t, err)
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		all = append(all, b...)
	}
	return all
}

func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	require.NoError(t, err)
	return out
}
