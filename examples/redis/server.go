package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
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
	port, err := freePort()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "otp-example-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // it is temporary
	server := exec.Command(bin, "--port", port, "--bind", "127.0.0.1", "--dir", dir, "--save", "",
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
		if strings.Contains(lines.Text(), "Ready to accept connections") {
			go func() {
				for lines.Scan() { // so that it can go on writing
				}
			}()
			return "redis://127.0.0.1:" + port, stop, nil
		}
	}
	stop()
	return "", nil, errors.New("redis-server did not start")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("no free port: %w", err)
	}
	defer l.Close() // its port is all that is wanted
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
