package linear

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"

	"otp.example/otp/internal/proof/servers"
)

// A process is one client process, as its parent sees it.
type process struct {
	number int
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	killed atomic.Bool

	ready chan struct{} // closed when it is ready, or has ended before
	ended chan struct{}
	ops   []*op // this and err are known when it has ended
	err   error
}

// start starts a client process, which waits for begin. progress is told of each call that
// its clients made and that was answered.
func start(t task, progress func()) (*process, error) {
	text, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{number: t.Process, cmd: exec.Command(self), ready: make(chan struct{}), ended: make(chan struct{})}
	// The race detector waits for a second at the end otherwise.
	race := strings.TrimSpace("atexit_sleep_ms=0 " + os.Getenv("GORACE"))
	p.cmd.Env = append(os.Environ(), taskEnv+"="+string(text), "GORACE="+race)
	p.cmd.Stderr = &p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := servers.StartChild(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		err := p.read(bufio.NewReader(stdout), progress)
		if e := p.cmd.Wait(); !p.killed.Load() {
			err = errors.Join(err, e)
		}
		if err != nil {
			p.err = fmt.Errorf("client process %d: %w\n%s", p.number, err, p.stderr.String())
		}
	}()
	return p, nil
}

// read reads what the process tells. If it was killed the last line may be torn: then
// what that tells of was not made, or was not answered.
func (p *process) read(r *bufio.Reader, progress func()) error {
	greeting, err := r.ReadString('\n')
	close(p.ready)
	if err != nil || greeting != ready {
		return fmt.Errorf("it is not ready: %q", greeting)
	}
	calls := map[int]*op{}
	for {
		text, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		var l line
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err != nil {
			return err
		}
		if l.Call != nil {
			calls[l.Seq] = &op{call: *l.Call, process: p.number, seq: l.Seq, from: l.At}
			p.ops = append(p.ops, calls[l.Seq])
			continue
		}
		o := calls[l.Seq]
		o.to, o.answer = l.At, l.Answer
		if o.Parent == 0 && !o.ambiguous() {
			progress()
		}
	}
}

func (p *process) begin() error {
	_, err := p.stdin.Write([]byte("\n"))
	return err
}

// kill is the crash. The process has gone when it returns.
func (p *process) kill() {
	p.killed.Store(true)
	p.cmd.Process.Kill() //nolint:errcheck // it may have ended
	<-p.ended
}

func (p *process) pause()  { p.cmd.Process.Signal(syscall.SIGSTOP) } //nolint:errcheck // it may have ended
func (p *process) resume() { p.cmd.Process.Signal(syscall.SIGCONT) } //nolint:errcheck // it may have ended
