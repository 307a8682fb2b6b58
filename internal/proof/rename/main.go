// Rename moves the repository to another module path. It finds the old path in the
// root's go.mod and replaces it in every text file that git knows or would add.
//
// Usage, in the root of the repository: go run ./internal/proof/rename NEWPATH
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: rename NEWPATH")
		os.Exit(2)
	}
	if err := rename(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "rename:", err)
		os.Exit(1)
	}
}

func rename(newPath string) error {
	if err := module.CheckPath(newPath); err != nil {
		return err
	}
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	oldPath := modfile.ModulePath(gomod)
	if oldPath == "" {
		return errors.New("go.mod names no module")
	}
	// Inside each other, the old path could not be told from the new one.
	if strings.Contains(newPath, oldPath) || strings.Contains(oldPath, newPath) {
		return fmt.Errorf("%s and %s overlap", oldPath, newPath)
	}

	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	// Not a part of a longer name; a full stop may end a sentence.
	path := regexp.MustCompile(`(^|[^\w.-])` + regexp.QuoteMeta(oldPath) + `($|[^\w-])`)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if err := replace(name, path, "${1}"+newPath+"${2}"); err != nil {
			return err
		}
	}
	return nil
}

// replace replaces the path in one file.
func replace(name string, path *regexp.Regexp, by string) error {
	info, err := os.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil // deleted, but not yet from git's index
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	before, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if bytes.IndexByte(before, 0) >= 0 {
		return nil // not text
	}
	after := path.ReplaceAll(before, []byte(by))
	// Two neighbors can share the one character between them.
	after = path.ReplaceAll(after, []byte(by))
	if bytes.Equal(before, after) {
		return nil
	}
	// Imports are sorted by path, so a new path can have another place.
	if filepath.Ext(name) == ".go" {
		if after, err = format.Source(after); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return os.WriteFile(name, after, info.Mode().Perm())
}
