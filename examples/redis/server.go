package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// startRedis starts a server in a temporary directory, so that -demo needs no set-up. A
// service does nothing of the kind.
func startRedis() (url string, stop func(), err error) {
	bin, err := exec.LookPath("redis-server")
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "otp-example-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // it is temporary
	// A socket in the directory cannot be somebody else's, as a port could.
	socket := filepath.Join(dir, "redis.sock")
	server := exec.Command(bin, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always")
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt is not for it
	out, err := server.StdoutPipe()
	if err == nil {
		err = server.Start()
	}
	if err != nil {
		remove()
		return "", nil, err
	}
	stop = func() {
		_ = server.Process.Kill() // it may have ended
		_ = server.Wait()         // as it does when it is killed
		remove()
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if strings.Contains(strings.ToLower(lines.Text()), "ready to accept connections") {
			go func() {
				for lines.Scan() { // so that it can go on writing
				}
			}()
			return "unix://" + socket, stop, nil
		}
	}
	stop()
	return "", nil, errors.New("redis-server did not start")
}
