package servers_test

import (
	"database/sql"
	"os"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/servers"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// TestRestart shows that a server keeps its files and address over a crash, so that
// tests of crashes test what they say.
func TestRestart(t *testing.T) {
	tests := []struct {
		name, driver string
		start        func(testing.TB, ...string) *servers.Server
	}{
		{"PostgreSQL", "pgx", servers.StartPostgres},
		{"MariaDB", "mysql", servers.StartMariaDB},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := test.start(t)
			db, err := sql.Open(test.driver, s.DSN)
			require.NoError(t, err)
			defer db.Close()
			for _, q := range []string{"CREATE TABLE a (i INT)", "INSERT INTO a VALUES (7)"} {
				_, err = db.Exec(q)
				require.NoError(t, err)
			}

			s.Kill()
			require.Error(t, db.Ping())
			require.NoError(t, s.Start())
			var i int
			require.NoError(t, db.QueryRow("SELECT i FROM a").Scan(&i))
			require.Equal(t, 7, i)

			s.Stop()
			require.Error(t, db.Ping())
			require.NoError(t, s.Start())
			require.NoError(t, db.Ping())
			require.DirExists(t, s.Dir)
		})
	}
}
