package servers

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

var sharedPostgres struct {
	once   sync.Once
	server *Server
	err    error
}

// Postgres returns the address of a PostgreSQL server for all tests of the binary, as
// a URL: that in OTP_TEST_POSTGRES_URL, or one that it starts.
func Postgres(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("OTP_TEST_POSTGRES_URL"); dsn != "" {
		return dsn
	}
	bin := PostgresBin(t)
	sharedPostgres.once.Do(func() {
		sharedPostgres.server, sharedPostgres.err = startPostgres(bin, "-c", "max_connections=300")
	})
	if sharedPostgres.err != nil {
		t.Fatal(sharedPostgres.err)
	}
	return sharedPostgres.server.DSN
}

// StartPostgres starts a server for one test, with further arguments for it.
func StartPostgres(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := startPostgres(PostgresBin(t), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// PostgresBin returns the directory of PostgreSQL's commands.
func PostgresBin(t testing.TB) string {
	t.Helper()
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(dirs) == 0 {
		// Elsewhere than on Debian. All commands lie where the real initdb does.
		path, err := exec.LookPath("initdb")
		if err == nil {
			path, err = filepath.EvalSymlinks(path)
		}
		if err != nil {
			need(t, "PostgreSQL", "postgresql")
		}
		return filepath.Dir(path)
	}
	slices.Sort(dirs)
	return filepath.Dir(dirs[len(dirs)-1])
}

func startPostgres(bin string, args ...string) (*Server, error) {
	s, cred, err := newServer("postgres", "postgres")
	if err != nil {
		if s != nil {
			s.remove()
		}
		return nil, err
	}
	data := filepath.Join(s.Dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres",
		"--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = s.Dir, childOf(cred)
	if s.port, err = s.freePort(); err == nil {
		err = run(initdb)
	}
	if err == nil {
		u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: fmt.Sprintf("127.0.0.1:%d", s.port), Path: "postgres"}
		s.DSN, s.ready = u.String()+"?sslmode=disable", "ready to accept connections"
		s.stop = syscall.SIGINT
		s.command = func() *exec.Cmd {
			cmd := exec.Command(filepath.Join(bin, "postgres"), append([]string{
				"-D", data, "-p", strconv.Itoa(s.port),
				"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=" + s.Dir,
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
