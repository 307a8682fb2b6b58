// Package consumer proves that a program outside this repository can use the
// released modules: packed as they would be released, fetched into an empty module
// cache, built and run, with nothing drawn in that was not meant to be.
package consumer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"otp.example/otp/internal/proof/readme"
)

const (
	root    = "../../.."
	library = "otp.example/otp"
	version = "v0.1.0" // all modules are released together
)

// linked are the modules that may be part of a program which uses the library.
var linked = []string{
	"golang.org/x/crypto",
	"golang.org/x/sys",
}

// listed are the modules that a consumer's module graph may name in addition,
// because the library's own tests or the modules above require them. Each takes
// part in the consumer's choice of versions and in what its scanners report, so a
// new one needs a reason.
var listed = []string{
	"github.com/boombuler/barcode", // pquerna/otp
	"github.com/pquerna/otp",       // the tests' independent oracle
	"github.com/stretchr/testify",  // tests
	"go.yaml.in/yaml/v3",           // testify
	"golang.org/x/net",             // x/crypto
	"golang.org/x/term",            // x/crypto
	"golang.org/x/text",            // x/crypto
}

func TestConsumer(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	programs := readme.Programs(string(text))
	require.NotEmpty(t, programs, "README.md shows no whole program")
	program := programs[0].Text
	want := readme.Output(program)
	require.NotEmpty(t, want, "README's first program has no // Output: comment")

	proxy := t.TempDir()
	released := pack(t, proxy)

	// The modules that the library needs come from where this repository's own build has
	// them, and from the network only if that has chosen later versions.
	usual := strings.Fields(command(t, root, os.Environ(), "go", "env", "GOMODCACHE", "GOPROXY"))
	env := append(
		os.Environ(),
		"GOPROXY=file://"+proxy+",file://"+filepath.ToSlash(filepath.Join(usual[0], "cache", "download"))+","+usual[1],
		"GOMODCACHE="+t.TempDir(),
		"GOFLAGS=-modcacherw", // so that the directory can be removed
		"GOSUMDB=off",         // knows nothing of what has not been released
		"GONOSUMDB=", "GONOPROXY=", "GOPRIVATE=",
		"GOWORK=off",
		"GOTOOLCHAIN=local",
	)

	app := t.TempDir()
	const self = "consumer.example/app"
	write(t, filepath.Join(app, "go.mod"), "module "+self+"\n\ngo 1.26.0\n")
	write(t, filepath.Join(app, "main.go"), program)
	command(t, app, env, "go", "get", library+"@"+version)
	command(t, app, env, "go", "mod", "tidy")
	binary := filepath.Join(app, "app")
	command(t, app, env, "go", "build", "-o", binary, ".")
	out := command(t, app, readme.Environment(), binary)
	assert.True(t, readme.Prints(out, want), "want lines %q in\n%s", want, out)

	allowed := slices.Concat([]string{self, library}, linked)
	for path := range linkedModules(t, app, env, ".") {
		assert.Contains(t, allowed, path, "is linked into the consumer")
	}
	allowed = append(allowed, listed...)
	graph := modules(t, app, env, "list", "-m", "-f", "{{.Path}}", "all")
	for path := range graph {
		assert.Contains(t, allowed, path, "is in the consumer's module graph")
	}
	assert.Contains(t, graph, library, "the consumer does not use the library")

	// A second program takes everything of all modules. The SDK under one of them takes
	// minutes to compile, which make tidy has done once.
	if os.Getenv("OTP_PROVE") != "long" {
		released = slices.DeleteFunc(released, func(m string) bool { return m == library+"/sender/aws" })
	}
	for _, m := range released {
		command(t, app, env, "go", "get", m+"@"+version)
	}
	imports := "package main\n\nimport (\n"
	for _, path := range importable(t, app, env, released) {
		imports += "\t_ \"" + path + "\"\n"
	}
	require.NoError(t, os.Mkdir(filepath.Join(app, "all"), 0o755))
	write(t, filepath.Join(app, "all", "main.go"), imports+")\n\nfunc main() {}\n")
	command(t, app, env, "go", "mod", "tidy")
	command(t, app, env, "go", "build", "-trimpath", "-o", os.DevNull, "./all")
	all := linkedModules(t, app, env, "./all")
	for _, m := range released {
		assert.Contains(t, all, m, "nothing of it is built")
	}
	for _, path := range []string{"github.com/pquerna/otp", "github.com/stretchr/testify"} {
		assert.NotContains(t, all, path, "is for tests")
	}
}

// importable returns the packages of modules that a program can import.
func importable(t *testing.T, dir string, env, released []string) []string {
	t.Helper()
	var all []string
	for _, m := range released {
		list := command(t, dir, env, "go", "list", "-find", "-f", `{{if ne .Name "main"}}{{.Module.Path}} {{.ImportPath}}{{end}}`, m+"/...")
		packages := 0
		for line := range strings.Lines(list) {
			// The pattern also matches what is of a module inside this one.
			of, path, _ := strings.Cut(strings.TrimSpace(line), " ")
			if of == m && !slices.Contains(strings.Split(path, "/"), "internal") {
				all = append(all, path)
				packages++
			}
		}
		require.NotZero(t, packages, "%s has nothing to import", m)
	}
	return all
}

// linkedModules returns the modules of a package and of all that it imports.
func linkedModules(t *testing.T, dir string, env []string, pkg string) map[string]bool {
	t.Helper()
	return modules(t, dir, env, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", pkg)
}

// pack writes every released module of the repository into a module proxy made of
// files, and returns their paths, the library's first.
func pack(t *testing.T, proxy string) []string {
	t.Helper()
	var paths []string
	for _, dir := range releasedModules(t) {
		gomod, err := os.ReadFile(filepath.Join(root, dir, "go.mod"))
		require.NoError(t, err)
		f, err := modfile.Parse("go.mod", gomod, nil)
		require.NoError(t, err)
		path := f.Module.Mod.Path
		for _, r := range f.Replace { // which a consumer does not see
			assert.Equal(t, library, r.Old.Path, "%s: replaces what is not released with it", path)
		}
		for _, r := range f.Require {
			if r.Mod.Path == library {
				assert.Equal(t, version, r.Mod.Version, "%s: all modules are released together", path)
			}
		}
		assert.Empty(t, f.Tool, "%s: a consumer would get the tools' requirements", path)
		paths = append(paths, path)

		escaped, err := module.EscapePath(path)
		require.NoError(t, err)
		at := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
		require.NoError(t, os.MkdirAll(at, 0o755))
		info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Unix(0, 0).UTC()})
		require.NoError(t, err)
		write(t, filepath.Join(at, "list"), version+"\n")
		write(t, filepath.Join(at, version+".info"), string(info))
		write(t, filepath.Join(at, version+".mod"), string(gomod))
		var packed bytes.Buffer
		require.NoError(t, zip.Create(&packed, module.Version{Path: path, Version: version}, files(t, dir)))
		write(t, filepath.Join(at, version+".zip"), packed.String())
	}
	return paths
}

// releasedModules returns the directories of the modules that are released, the
// root's first. What is for this repository alone is not.
func releasedModules(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, f := range gitFiles(t, ".") {
		dir := filepath.Dir(f)
		first, _, _ := strings.Cut(f, "/")
		if filepath.Base(f) == "go.mod" && !slices.Contains([]string{"internal", "tools", "examples"}, first) && !strings.Contains(f, "testdata/") {
			dirs = append(dirs, dir)
		}
	}
	slices.SortFunc(dirs, func(a, b string) int { return len(a) - len(b) })
	require.NotEmpty(t, dirs)
	require.Equal(t, ".", dirs[0])
	return dirs
}

// gitFiles lists what git knows or would add in a directory of the repository.
func gitFiles(t *testing.T, dir string) []string {
	t.Helper()
	list := command(t, filepath.Join(root, dir), os.Environ(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	return strings.Split(strings.TrimSuffix(list, "\x00"), "\x00")
}

// A file is one file of a module, for package zip, which leaves nested modules out.
type file struct {
	dir, name string
}

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (fs.FileInfo, error)  { return os.Lstat(filepath.Join(f.dir, f.name)) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.dir, f.name)) }

func files(t *testing.T, dir string) []zip.File {
	t.Helper()
	var all []zip.File
	for _, name := range gitFiles(t, dir) {
		f := file{filepath.Join(root, dir), name}
		if _, err := f.Lstat(); err == nil { // else deleted, but not yet from git's index
			all = append(all, f)
		}
	}
	return all
}

func write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
}

// command returns what a command prints.
func command(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %s\n%s%s", name, strings.Join(args, " "), out, &stderr)
	return string(out)
}

// modules returns the set of module paths that a go command lists.
func modules(t *testing.T, dir string, env []string, args ...string) map[string]bool {
	t.Helper()
	set := map[string]bool{}
	for path := range strings.FieldsSeq(command(t, dir, env, "go", args...)) {
		set[path] = true
	}
	return set
}
