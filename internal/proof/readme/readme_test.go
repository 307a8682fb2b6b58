package readme_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/readme"
)

const root = "../../.."

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(b)
}

// TestPrograms runs the README's programs as files of this module that exist only
// in an overlay, and compares what they print with their Output comments.
func TestPrograms(t *testing.T) {
	programs := readme.Programs(read(t, "README.md"))
	require.NotEmpty(t, programs, "README.md shows no whole program")
	dir, err := filepath.Abs(root)
	require.NoError(t, err)

	for i, p := range programs {
		t.Run(fmt.Sprintf("line %d", p.Line), func(t *testing.T) {
			tmp := t.TempDir()
			file := filepath.Join(tmp, "main.go")
			require.NoError(t, os.WriteFile(file, []byte(p.Text), 0o600))
			name := fmt.Sprintf("readme-program-%d", i)
			overlay, err := json.Marshal(map[string]any{
				"Replace": map[string]string{filepath.Join(dir, "examples", name, "main.go"): file},
			})
			require.NoError(t, err)
			overlayFile := filepath.Join(tmp, "overlay.json")
			require.NoError(t, os.WriteFile(overlayFile, overlay, 0o600))

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, "go", "run", "-overlay", overlayFile, "./examples/"+name)
			cmd.Dir, cmd.Env = dir, readme.Environment()
			var stderr strings.Builder
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			require.NoError(t, err, "%s%s", out, &stderr)

			want := readme.Output(p.Text)
			require.NotEmpty(t, want, "the program has no // Output: comment")
			assert.True(t, readme.Prints(string(out), want), "want lines %q in\n%s", want, out)
		})
	}
}

// documents returns the repository's Markdown files, relative to its root.
func documents(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(name, ".") || name == "bin" || name == "testdata" || name == "node_modules"):
			return fs.SkipDir
		case filepath.Ext(name) == ".md":
			rel, err := filepath.Rel(root, path)
			files = append(files, rel)
			return err
		}
		return nil
	})
	require.NoError(t, err)
	return files
}

// TestFragments checks that shown code is Go and formatted: a reader pastes it.
func TestFragments(t *testing.T) {
	for _, name := range documents(t) {
		for _, b := range readme.Blocks(read(t, name)) {
			if b.Language != "go" {
				continue
			}
			formatted, err := format.Source([]byte(b.Text))
			if assert.NoErrorf(t, err, "%s:%d", name, b.Line) {
				assert.Equalf(t, string(formatted), b.Text, "%s:%d is not formatted", name, b.Line)
			}
		}
	}
}

// TestLinks checks that relative links lead somewhere.
func TestLinks(t *testing.T) {
	for _, name := range documents(t) {
		for _, target := range readme.Links(read(t, name)) {
			_, err := os.Stat(filepath.Join(root, filepath.Dir(name), target))
			assert.NoError(t, err, name)
		}
	}
}

// TestCommands checks that the commands which the documents show name things that
// exist. It does not run them.
func TestCommands(t *testing.T) {
	module := regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(read(t, "go.mod"))[1]
	makefile := read(t, "Makefile")
	for _, name := range documents(t) {
		for _, command := range readme.Commands(read(t, name)) {
			for _, problem := range missing(command, module, makefile) {
				t.Errorf("%s: %s: %s", name, command, problem)
			}
		}
	}
}

// missing says which of the things that a command names do not exist.
func missing(command, module, makefile string) []string {
	var problems []string
	words := strings.Fields(command)
	for i, word := range words {
		path := ""
		switch {
		case strings.HasPrefix(word, "./"), strings.HasPrefix(word, "scripts/"):
			path = strings.TrimSuffix(word, "...")
		case word == module, strings.HasPrefix(word, module+"/"), strings.HasPrefix(word, module+"@"):
			path, _, _ = strings.Cut(strings.TrimPrefix(word, module), "@")
			path = "." + path
		case i > 0 && words[0] == "make" && !strings.Contains(word, "="):
			if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(word) + `:`).MatchString(makefile) {
				problems = append(problems, "no target "+word)
			}
		}
		if path == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			problems = append(problems, "no "+word)
		}
	}
	return problems
}

func TestMissing(t *testing.T) {
	const module, makefile = "code.example/m", "test: a b\nlint:\n"
	for _, command := range []string{
		"make test", "make FUZZTIME=1s lint", "go test ./...", "go run ./internal/proof/readme",
		"go get code.example/m", "go get code.example/m/hotp@latest", "scripts/rename-module code.example/other",
	} {
		assert.Empty(t, missing(command, module, makefile), command)
	}
	for _, command := range []string{
		"make tests", "go run ./nowhere", "go get code.example/m/nowhere", "scripts/nothing",
	} {
		assert.NotEmpty(t, missing(command, module, makefile), command)
	}
}

func TestParsing(t *testing.T) {
	text := strings.ReplaceAll(`
See [the test](internal/x_test.go#L1), [this](#here) and [that](https://example.com/). Run 'make check'.

'''go
x := 1
'''

'''go
package main

func main() {
	println(1) // Output: 1
	// Output:
	// two
	// three
}
'''

'''sh
make test # everything
'''

'''console
$ go run ./cmd
123
'''
`, "'", "`")

	assert.Equal(t, []string{"internal/x_test.go"}, readme.Links(text))
	assert.Equal(t, []string{"make test", "go run ./cmd", "make check"}, readme.Commands(text))
	programs := readme.Programs(text)
	require.Len(t, programs, 1)
	assert.Equal(t, 8, programs[0].Line)
	want := readme.Output(programs[0].Text)
	assert.Equal(t, []string{"1", "two", "three"}, want)
	assert.True(t, readme.Prints("0\n1\ntwo\n\nthree\n", want))
	assert.False(t, readme.Prints("1\nthree\ntwo\n", want))
}
