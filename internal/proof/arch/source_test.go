// Package arch proves rules about the source of the whole repository: what may be
// imported, who may write what, and that every requirement has a test.
//
// The tests read files outside their own module, which Go's cache of test results
// does not watch: run them with -count=1 or, as make does, with -shuffle=on.
package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

const root = "../../.."

// A source is one parsed Go file.
type source struct {
	path string // from the root of the repository, with slashes
	file *ast.File
	fset *token.FileSet
}

func parse(name, text string) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	return source{name, file, fset}, err
}

// repository parses every Go file of the repository.
func repository(t *testing.T) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && name != root
			if hidden || slices.Contains([]string{"bin", "testdata", "vendor", "node_modules"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), string(text))
		sources = append(sources, s)
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, sources)
	return sources
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// notCore are the directories that the core module does not contain: modules of their own.
var notCore = func() (dirs []string) {
	name := filepath.Join(root, "go.work")
	text, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	work, err := modfile.ParseWork(name, text, nil)
	if err != nil {
		panic(err)
	}
	for _, use := range work.Use {
		if dir := path.Clean(use.Path); dir != "." {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}()

// isLibrary reports whether s belongs to the core module, which a program can contain
// without asking for more.
func (s source) isLibrary() bool {
	return !s.isTest() && s.file.Name.Name != "main" &&
		!slices.ContainsFunc(notCore, func(dir string) bool { return within(s.path, dir) })
}

// dir is the directory of s, "." for the root package.
func (s source) dir() string { return path.Dir(s.path) }

// at describes a finding.
func (s source) at(n ast.Node, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: ", s.path, s.fset.Position(n.Pos()).Line) + fmt.Sprintf(format, args...)
}

// imports returns what s imports.
func (s source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, "\"`"))
	}
	return paths
}

// function names the declared function around n, with its receiver's type as in
// Record.Spend, or is empty.
func (s source) function(n ast.Node) string {
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		start := d.Pos()
		if ok && f.Doc != nil {
			start = f.Doc.Pos()
		}
		if !ok || n.Pos() < start || n.Pos() >= f.End() {
			continue
		}
		if f.Recv == nil {
			return f.Name.Name
		}
		receiver := f.Recv.List[0].Type
		if pointer, ok := receiver.(*ast.StarExpr); ok {
			receiver = pointer.X
		}
		if generic, ok := receiver.(*ast.IndexExpr); ok {
			receiver = generic.X
		}
		if name, ok := receiver.(*ast.Ident); ok {
			return name.Name + "." + f.Name.Name
		}
		return f.Name.Name
	}
	return ""
}

// selected returns the selector expressions below n that take one of the names
// from the identifier x.
func selected(n ast.Node, x []string, names []string) []*ast.SelectorExpr {
	var found []*ast.SelectorExpr
	ast.Inspect(n, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, sel.Sel.Name) {
			if id, ok := sel.X.(*ast.Ident); ok && slices.Contains(x, id.Name) {
				found = append(found, sel)
			}
		}
		return true
	})
	return found
}
