package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

const root = "../../.."

// run runs a command with the modules that are already there: a renamed tree must
// need nothing new.
func run(t *testing.T, dir string, command ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOFLAGS=-buildvcs=false", "GOWORK=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func must(t *testing.T, dir string, command ...string) string {
	t.Helper()
	out, err := run(t, dir, command...)
	require.NoError(t, err, "%s\n%s", strings.Join(command, " "), out)
	return out
}

// copyTree copies what git knows or would add into a repository of its own.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	list := must(t, root, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		from, to := filepath.Join(root, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		b, err := os.ReadFile(from)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		require.NoError(t, os.WriteFile(to, b, info.Mode().Perm()))
	}
	must(t, dir, "git", "init", "-q")
	must(t, dir, "git", "add", "-A")
	return dir
}

func TestRename(t *testing.T) {
	const newPath = "code.example.org/acme/otp"
	dir := copyTree(t)
	gomod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	require.NoError(t, err)
	oldPath := modfile.ModulePath(gomod)

	must(t, dir, "scripts/rename-module", newPath)

	left, _ := run(t, dir, "git", "grep", "-n", "-I", "-F", oldPath)
	assert.Empty(t, left, "the old path is left")
	assert.Equal(t, must(t, root, "gofmt", "-l", "."), must(t, dir, "gofmt", "-l", "."), "imports are not sorted")
	modules := must(t, dir, "go", "list", "-m")
	assert.Equal(t, newPath, strings.Fields(modules)[0])
	for m := range strings.FieldsSeq(must(t, dir, "go", "list", "-m", "-f", "{{.Dir}}")) {
		must(t, m, "go", "build", "./...")
		must(t, m, "go", "vet", "./...")
	}
}

func TestReplace(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(name, text string) { require.NoError(t, os.WriteFile(name, []byte(text), 0o600)) }
	read := func(name string) string {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		return string(b)
	}
	must(t, ".", "git", "init", "-q")
	write("go.mod", "module a.example/m\n")
	write("doc.md", "a.example/m a.example/m: https://docs.example/a.example/m. Not a.example/more or aa.example/m, but a.example/m/sub@v1.\n")
	write("x.go", "package x\n\nimport (\n\t_ \"a.example/m/y\"\n\t_ \"b.example/z\"\n)\n")
	write("binary", "\x00 a.example/m ")

	for _, invalid := range []string{"", "example", "c.example/M N", "c.example/m/v1", "../c.example", "a.example/m/v2", "a.example"} {
		require.Error(t, rename(invalid), invalid)
	}
	assert.Contains(t, read("go.mod"), "a.example/m", "a refusal changed something")

	require.NoError(t, rename("c.example/n"))
	assert.Equal(t, "module c.example/n\n", read("go.mod"))
	assert.Equal(t, "c.example/n c.example/n: https://docs.example/c.example/n. Not a.example/more or aa.example/m, but c.example/n/sub@v1.\n", read("doc.md"))
	assert.Equal(t, "package x\n\nimport (\n\t_ \"b.example/z\"\n\t_ \"c.example/n/y\"\n)\n", read("x.go"))
	assert.Equal(t, "\x00 a.example/m ", read("binary"))
}
