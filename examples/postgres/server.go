package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// startPostgres starts a server in a temporary directory, so that -demo needs no set-up. A
// service does nothing of the kind.
func startPostgres() (dsn string, stop func(), err error) {
	bin, err := postgresBin()
	if err != nil {
		return "", nil, err
	}
	dir, err := os.MkdirTemp("", "otp-example-")
	if err != nil {
		return "", nil, err
	}
	remove := func() { _ = os.RemoveAll(dir) } // it is temporary
	defer func() {
		if err != nil {
			remove()
		}
	}()
	attr, err := owner(dir)
	if err != nil {
		return "", nil, err
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attr
	if text, err := initdb.CombinedOutput(); err != nil {
		return "", nil, fmt.Errorf("initdb: %w\n%s", err, text)
	}
	// A socket in the directory cannot be somebody else's, as a port could.
	server := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", "5432",
		"-c", "listen_addresses=", "-c", "unix_socket_directories="+dir)
	server.Dir, server.SysProcAttr = dir, attr
	log, err := server.StderrPipe()
	if err != nil {
		return "", nil, err
	}
	if err := server.Start(); err != nil {
		return "", nil, err
	}
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "ready to accept connections") {
			go func() {
				for lines.Scan() { // or it would block one day
				}
			}()
			return "postgres:///postgres?user=postgres&port=5432&host=" + url.QueryEscape(dir), func() {
				_ = server.Process.Signal(os.Interrupt) // which is a fast shutdown
				_ = server.Wait()
				remove()
			}, nil
		}
	}
	_ = server.Wait()
	return "", nil, errors.New("PostgreSQL did not start")
}

// postgresBin finds the directory of PostgreSQL's commands, which on Debian are on nobody's
// path.
func postgresBin() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err == nil && len(dirs) > 0 {
		return dirs[len(dirs)-1], nil
	}
	path, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL is not installed: set DATABASE_URL, or apt-get install postgresql")
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

// owner gives the directory to the user who may run PostgreSQL: root may not.
func owner(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return attr, os.Chown(dir, uid, gid)
}
