package servers

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Kill is the crash: no process of the server gets another instruction.
func (s *Server) Kill() {
	if !s.running() {
		return
	}
	// Each child of PostgreSQL has a process group of its own and would answer once
	// more. The first process must not start others meanwhile.
	s.signal(syscall.SIGSTOP)
	children := s.children()
	for _, pid := range children {
		syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it has gone
	}
	s.signal(syscall.SIGKILL)
	<-s.exited
	// They share memory that must be free before the next start.
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, pid := range children {
		for alive(pid) {
			<-tick.C
		}
	}
}

// Stop lets the server end in an orderly way.
func (s *Server) Stop() {
	if s.running() {
		s.signal(s.stop)
		<-s.exited
	}
}

// Pause makes the server hang, as a machine does that swaps or a network that drops
// everything. Resume ends that.
func (s *Server) Pause() {
	s.signal(syscall.SIGSTOP)
	for _, pid := range s.children() {
		syscall.Kill(pid, syscall.SIGSTOP) //nolint:errcheck // it has gone
	}
}

// Resume is the opposite of Pause.
func (s *Server) Resume() {
	for _, pid := range s.children() {
		syscall.Kill(pid, syscall.SIGCONT) //nolint:errcheck // it has gone
	}
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(sig syscall.Signal) {
	syscall.Kill(s.cmd.Process.Pid, sig) //nolint:errcheck // it has gone
}

func (s *Server) running() bool {
	if s.cmd == nil || s.exited == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// children returns the processes that the server's first process started.
func (s *Server) children() []int {
	var pids []int
	parent := []byte(strconv.Itoa(s.cmd.Process.Pid))
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, stat := range stats {
		if fields := status(stat); len(fields) > 1 && bytes.Equal(fields[1], parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(stat))); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// alive tells a process from one that has ended and waits for its parent.
func alive(pid int) bool {
	fields := status("/proc/" + strconv.Itoa(pid) + "/stat")
	return len(fields) > 0 && string(fields[0]) != "Z"
}

// status returns what follows the name of the process: its state, its parent.
func status(stat string) [][]byte {
	text, err := os.ReadFile(stat)
	if err != nil {
		return nil
	}
	i := bytes.LastIndexByte(text, ')') // a name may hold anything
	return bytes.Fields(text[i+1:])
}
