package servers

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// StartPgBouncer starts a pooler in transaction mode before a PostgreSQL server, whose URL is
// dsn, with further lines for its configuration. Its own URL is in DSN.
func StartPgBouncer(t testing.TB, dsn string, lines ...string) *Server {
	t.Helper()
	s, err := startPgBouncer(pgBouncerBin(t), dsn, lines)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.remove)
	return s
}

// PgBouncerPrepares reports whether PgBouncer has max_prepared_statements, so that
// connections that change between two statements of a client keep what it has prepared:
// it came with version 1.21.
func PgBouncerPrepares(t testing.TB) bool {
	t.Helper()
	out, err := exec.Command(pgBouncerBin(t), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "PgBouncer %d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 1 || minor >= 21
}

func pgBouncerBin(t testing.TB) string {
	t.Helper()
	bin, err := exec.LookPath("pgbouncer")
	if err != nil {
		bin = "/usr/sbin/pgbouncer" // not on everybody's path
		if _, err := os.Stat(bin); err != nil {
			need(t, "PgBouncer", "pgbouncer")
		}
	}
	return bin
}

func startPgBouncer(bin, dsn string, lines []string) (*Server, error) {
	server, err := url.Parse(dsn)
	if err != nil {
		return nil, err
	}
	s, cred, err := newServer("pgbouncer", "postgres")
	if err != nil {
		if s != nil {
			s.remove()
		}
		return nil, err
	}
	users, config := filepath.Join(s.Dir, "users.txt"), filepath.Join(s.Dir, "pgbouncer.ini")
	if s.port, err = s.freePort(); err == nil {
		err = os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", server.User.Username(), ""), 0o644) //nolint:gosec // the server's user reads it
	}
	if err == nil {
		name := server.Path[1:]
		text := fmt.Sprintf("[databases]\n%s = host=%s port=%s user=%s dbname=%s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\n"+
			"unix_socket_dir =\nauth_type = trust\nauth_file = %s\npool_mode = transaction\ndefault_pool_size = 8\n",
			name, server.Hostname(), server.Port(), server.User.Username(), name, s.port, users)
		text += strings.Join(lines, "\n") + "\n"
		err = os.WriteFile(config, []byte(text), 0o644) //nolint:gosec // the server's user reads it
	}
	if err == nil {
		u := url.URL{Scheme: "postgres", User: url.User(server.User.Username()), Host: fmt.Sprintf("127.0.0.1:%d", s.port), Path: server.Path}
		s.DSN, s.ready = u.String()+"?sslmode=disable", "process up"
		s.stop = syscall.SIGINT
		s.command = func() *exec.Cmd {
			cmd := exec.Command(bin, config)
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
