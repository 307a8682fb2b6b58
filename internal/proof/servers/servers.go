// Package servers starts real database servers for tests, as child processes on free
// ports of the loopback address. Nothing outlives the test binary: a server dies with
// it, and what a killed binary left on disk is removed by the next one.
//
// A test binary has
//
//	func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }
//
// and its tests share [Postgres] and [MariaDB], each with schemas or prefixes of its
// own. A test that kills a server or wants other settings starts one with
// [StartPostgres] or [StartMariaDB].
package servers

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A Server is a child process. Its methods are for one goroutine at a time.
type Server struct {
	DSN string // for the driver that the tests use
	Dir string // its files; for the commands that read them

	name    string
	command func() *exec.Cmd
	ready   string         // what its log says when it takes connections
	stop    syscall.Signal // what ends it in an orderly way
	port    int
	held    []io.Closer // its ports
	cmd     *exec.Cmd
	exited  chan struct{}
	lock    *os.File
}

// startTimeout is how long a server may take; it usually takes a second.
const startTimeout = 5 * time.Minute

// Main runs the tests and then ends what is still running.
func Main(m *testing.M) int {
	code := m.Run()
	running.Lock()
	all := running.servers
	running.Unlock()
	for s := range all {
		s.remove()
	}
	return code
}

var running struct {
	sync.Mutex
	servers map[*Server]bool
}

// newServer makes the directory of a server, owned by the user that must run it.
func newServer(name, account string) (*Server, *syscall.Credential, error) {
	sweep()
	dir, err := os.MkdirTemp("", prefix+name+"-")
	if err != nil {
		return nil, nil, err
	}
	s := &Server{Dir: dir, name: name}
	running.Lock()
	if running.servers == nil {
		running.servers = map[*Server]bool{}
	}
	running.servers[s] = true
	running.Unlock()

	if s.lock, err = lockDir(dir); err != nil {
		return s, nil, err
	}
	// The server's own user must come in.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return s, nil, err
	}
	if os.Geteuid() != 0 {
		return s, nil, nil
	}
	u, err := user.Lookup(account)
	if err != nil {
		return s, nil, err
	}
	uid, _ := strconv.Atoi(u.Uid) // numbers on every system that has them
	gid, _ := strconv.Atoi(u.Gid)
	cred := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return s, cred, os.Chown(dir, uid, gid)
}

// Start starts a server that was killed or stopped, on the same port and files.
func (s *Server) Start() error {
	s.cmd = s.command()
	stderr, w, err := os.Pipe()
	if err != nil {
		return err
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	err = onThread(s.cmd.Start)
	w.Close() // the child has its own
	if err != nil {
		stderr.Close() // nothing was written
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	ready, log := make(chan struct{}), &tail{}
	go follow(stderr, s.ready, ready, log)
	exited := make(chan struct{})
	s.exited = exited
	go func() {
		s.cmd.Wait() //nolint:errcheck // it is killed more often than not
		close(exited)
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-ready:
		return nil
	case <-exited:
		return fmt.Errorf("%s ended:\n%s", s.name, log)
	case <-timeout.C:
		s.Kill()
		return fmt.Errorf("%s is not ready after %s:\n%s", s.name, startTimeout, log)
	}
}

// remove ends the server and forgets its files.
func (s *Server) remove() {
	s.Kill()
	os.RemoveAll(s.Dir) // the next run tries again
	if s.lock != nil {
		s.lock.Close() // it was for other processes
	}
	for _, h := range s.held {
		h.Close() // so were these
	}
	running.Lock()
	delete(running.servers, s)
	running.Unlock()
}

// StartChild starts a command that dies with this process.
func StartChild(cmd *exec.Cmd) error {
	cmd.SysProcAttr = childOf(nil)
	return onThread(cmd.Start)
}

// childOf is how a child process is tied to this one.
func childOf(cred *syscall.Credential) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: cred}
}

var starter struct {
	once sync.Once
	work chan func()
}

// onThread calls f on a thread that lives as long as the process: children with a
// Pdeathsig die with the thread that started them.
func onThread(f func() error) error {
	starter.once.Do(func() {
		starter.work = make(chan func())
		go func() {
			runtime.LockOSThread()
			for w := range starter.work {
				w()
			}
		}()
	})
	result := make(chan error)
	starter.work <- func() { result <- f() }
	return <-result
}

// run runs a command to its end.
func run(cmd *exec.Cmd) error {
	return onThread(func() error {
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
		}
		return nil
	})
}

// A tail is the end of a log.
type tail struct {
	sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.Lock()
	defer t.Unlock()
	t.lines = append(t.lines, line)
	if len(t.lines) > 50 {
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string {
	t.Lock()
	defer t.Unlock()
	return strings.Join(t.lines, "\n")
}

// follow reads a log to its end, so that the server never blocks on it.
func follow(r io.ReadCloser, mark string, ready chan<- struct{}, log *tail) {
	defer r.Close() // only read
	lines := bufio.NewReader(r)
	for found := false; ; {
		line, err := lines.ReadString('\n')
		log.add(strings.TrimSpace(line))
		if !found && strings.Contains(line, mark) {
			found = true
			close(ready)
		}
		if err != nil {
			return
		}
	}
}

// Ports that a system as it comes gives to nobody who asks for any, be it a listener or a
// client: one of those could be taken before the server listens, or while it is away.
const firstPort, ports = 20_000, 12_000

// freePort returns a port that is the server's until it is removed: no other does the same
// with the name that goes with it, in this process or another.
func (s *Server) freePort() (int, error) {
	for i, begin := 0, os.Getpid()*ports/64; i < ports; i++ {
		port := firstPort + (begin+i)%ports
		hold, err := net.Listen("unix", fmt.Sprintf("@%s%d", prefix, port)) // abstract: no file, and gone with the process
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			hold.Close() // somebody else has the port
			continue
		}
		l.Close() // for the server
		s.held = append(s.held, hold)
		return port, nil
	}
	return 0, errors.New("no port is free")
}

// prefix is what the names of all our directories begin with.
const prefix = "otp-proof-"

var swept sync.Once

// sweep removes what binaries left that were killed: directories whose lock nobody
// holds. The process that made it holds the lock, but for a moment at the start.
func sweep() {
	swept.Do(func() {
		dirs, err := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
		if err != nil {
			return
		}
		for _, dir := range dirs {
			info, err := os.Stat(dir)
			if err != nil || time.Since(info.ModTime()) < time.Minute {
				continue // it may have no lock yet
			}
			lock, err := lockDir(dir)
			if err != nil {
				continue
			}
			os.RemoveAll(dir) // the next run tries again
			lock.Close()      // it is gone
		}
	})
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// need ends a test whose server is not installed: under CI it fails, elsewhere it says
// loudly what to install.
func need(t testing.TB, what, pkg string) {
	t.Helper()
	text := fmt.Sprintf("%s is not installed: apt-get install %s", what, pkg)
	if os.Getenv("CI") != "" {
		t.Fatal(text)
	}
	fmt.Fprintf(os.Stderr, "\n*** NOT TESTED: %s: %s\n\n", t.Name(), text)
	t.Skip(text)
}
