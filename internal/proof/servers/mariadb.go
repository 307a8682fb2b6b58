package servers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

var sharedMariaDB struct {
	once   sync.Once
	server *Server
	err    error
}

// MariaDB returns the address of a MariaDB or MySQL server for all tests of the
// binary, as go-sql-driver/mysql writes it: that in OTP_TEST_MYSQL_DSN, or one that it
// starts.
func MariaDB(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("OTP_TEST_MYSQL_DSN"); dsn != "" {
		return dsn
	}
	bin := mariaDBBin(t)
	sharedMariaDB.once.Do(func() {
		sharedMariaDB.server, sharedMariaDB.err = startMariaDB(bin, "--max-connections=300")
	})
	if sharedMariaDB.err != nil {
		t.Fatal(sharedMariaDB.err)
	}
	return sharedMariaDB.server.DSN
}

// StartMariaDB starts a server for one test, with further arguments for it.
func StartMariaDB(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := startMariaDB(mariaDBBin(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

type mariaDBCommands struct{ install, server string }

func mariaDBBin(t testing.TB) (c mariaDBCommands) {
	t.Helper()
	var err error
	if c.install, err = exec.LookPath("mariadb-install-db"); err != nil {
		need(t, "MariaDB", "mariadb-server")
	}
	if c.server, err = exec.LookPath("mariadbd"); err != nil {
		c.server = "/usr/sbin/mariadbd" // not on everybody's path
		if _, err := os.Stat(c.server); err != nil {
			need(t, "MariaDB", "mariadb-server")
		}
	}
	return c
}

// setUp is run at each start.
const setUp = `CREATE DATABASE IF NOT EXISTS otp;
CREATE USER IF NOT EXISTS 'otp'@'127.0.0.1';
GRANT ALL ON otp.* TO 'otp'@'127.0.0.1';
`

func startMariaDB(bin mariaDBCommands, args ...string) (*Server, error) {
	s, cred, err := newServer("mariadb", "mysql")
	if err != nil {
		if s != nil {
			s.remove()
		}
		return nil, err
	}
	data, script := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "init.sql")
	install := exec.Command(bin.install, "--no-defaults", "--datadir="+data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve")
	install.Dir, install.SysProcAttr = s.Dir, childOf(cred)
	err = os.WriteFile(script, []byte(setUp), 0o644) //nolint:gosec // the server's user reads it
	if err == nil {
		s.port, err = s.freePort()
	}
	if err == nil {
		err = run(install)
	}
	if err == nil {
		s.DSN, s.ready = fmt.Sprintf("otp@tcp(127.0.0.1:%d)/otp", s.port), "ready for connections"
		s.stop = syscall.SIGTERM
		s.command = func() *exec.Cmd {
			cmd := exec.Command(bin.server, append([]string{
				"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(s.port),
				"--bind-address=127.0.0.1", "--socket=" + filepath.Join(s.Dir, "m.sock"),
				"--pid-file=" + filepath.Join(s.Dir, "m.pid"), "--skip-name-resolve", "--tmpdir=" + s.Dir,
				"--character-set-server=utf8mb4", "--init-file=" + script,
			}, args...)...)
			cmd.Dir, cmd.SysProcAttr = s.Dir, childOf(cred)
			return cmd
		}
		err = s.Start()
	}
	if err != nil {
		s.remove()
		return nil, err
	}
	return s, nil
}
