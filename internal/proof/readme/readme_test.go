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
	"slices"
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

			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
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

// TestFragmentsCompile builds every Go block that is no whole program, together with what
// testdata/assumed.go says that it assumes: a reader who has that can use it as it stands.
func TestFragmentsCompile(t *testing.T) {
	var files []string
	for _, name := range documents(t) {
		text := read(t, name)
		programs := readme.Programs(text)
		for _, b := range readme.Blocks(text) {
			if b.Language == "go" && !slices.Contains(programs, b) {
				files = append(files, fragment(t, name, b))
			}
		}
	}
	require.NotEmpty(t, files, "no document shows Go")
	out, err := build(t, files)
	require.NoError(t, err, "%s\nWhat a fragment may assume stands in internal/proof/readme/testdata/assumed.go.", out)
}

// What would mislead a reader is found, on the line of the document; what would not is built.
func TestFragmentsCompileFindsMistakes(t *testing.T) {
	wrong := []struct{ name, text string }{
		{"a misspelled method", "ch, err := svc.Requst(ctx, otp.Request{})\n"},
		{"a field that is gone", "ch, err := svc.Request(ctx, otp.Request{Phone: \"+4930123456\"})\n"},
		{"a result that is gone", "proof := svc.Verify(ctx, otp.Answer{})\n"},
		{"something undeclared", "fmt.Println(somebody)\n"},
		{"unused in an inner block", "if x := 1; err == nil {\n}\n"},
		{"in a declaration", "func f(h *Handlers) { h.OTP.Nothing() }\n"},
		{"a package of no one", "nothing.Do()\n"},
	}
	var files []string
	for i, tt := range wrong {
		files = append(files, fragment(t, "README.md", readme.Block{Line: 100 * (i + 1), Language: "go", Text: tt.text}))
	}
	out, err := build(t, files)
	require.Error(t, err)
	for i, tt := range wrong {
		assert.Contains(t, out, fmt.Sprintf("README.md:%d:", 100*(i+1)+1), tt.name)
	}

	files = nil
	for _, text := range []string{
		"x := 1\nvar y, _ = 1, 2\n", // unused
		"type Handlers struct{ OTP otp.Service }\n\nfunc (h *Handlers) f() { h.OTP.Tenant(\"\") }\n",
		"func (*App) Login(code int) error { return NewApp(svc).Login(code) }\n",
		"import \"strings\"\n\nvar x = strings.ToLower(fmt.Sprint(1))\n",
		"package other\n\nvar x = 1\n",
		"png, err := qr.PNG(\"otpauth:\", 8)\nnormalize, err := phone.New(\"DE\")\nsms, err := aws.NewSMS(aws.SMSConfig{})\n",
		"message := otp.Message{}\n_ = message.To\n", // named as a package
	} {
		files = append(files, fragment(t, "README.md", readme.Block{Line: 1, Language: "go", Text: text}))
	}
	out, err = build(t, files)
	require.NoError(t, err, out)
}

// fragment makes a Go file of a block.
func fragment(t *testing.T, document string, b readme.Block) string {
	t.Helper()
	assumed, err := os.ReadFile("testdata/assumed.go")
	require.NoError(t, err)
	name, err := filepath.Abs(filepath.Join(root, document))
	require.NoError(t, err)
	file, err := readme.File(name, b, string(assumed), packages(t))
	require.NoError(t, err, "%s:%d", document, b.Line)
	return file
}

// packages returns what the modules of this repository have to import, by name.
var packages = func() func(t *testing.T) map[string]string {
	var found map[string]string
	return func(t *testing.T) map[string]string {
		t.Helper()
		if found != nil {
			return found
		}
		found = map[string]string{}
		cmd := exec.CommandContext(t.Context(), "go", "list", "-find", "-f", "{{.Name}} {{.ImportPath}}", modulePath(t)+"/...")
		cmd.Dir = root
		out, err := cmd.Output()
		require.NoError(t, err)
		for line := range strings.Lines(string(out)) {
			name, path, _ := strings.Cut(strings.TrimSpace(line), " ")
			if name != "main" && !slices.Contains(strings.Split(path, "/"), "internal") {
				assert.Empty(t, found[name], "two packages are called %s: name one in testdata/assumed.go", name)
				found[name] = path
			}
		}
		return found
	}
}()

func modulePath(t *testing.T) string {
	t.Helper()
	return regexp.MustCompile(`(?m)^module (\S+)$`).FindStringSubmatch(read(t, "go.mod"))[1]
}

// build compiles files as packages of the examples' module that exist in an overlay only.
func build(t *testing.T, files []string) (out string, err error) {
	t.Helper()
	dir, err := filepath.Abs(root)
	require.NoError(t, err)
	tmp := t.TempDir()
	replace := map[string]string{}
	args := []string{"build", "-overlay", filepath.Join(tmp, "overlay.json")}
	for i, file := range files {
		name := fmt.Sprintf("readme-fragment-%d", i)
		at := filepath.Join(tmp, name+".go")
		require.NoError(t, os.WriteFile(at, []byte(file), 0o600))
		replace[filepath.Join(dir, "examples", name, "fragment.go")] = at
		args = append(args, "./examples/"+name)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(tmp, "overlay.json"), overlay, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	b, err := cmd.CombinedOutput()
	return string(b), err
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
	module := modulePath(t)
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
