package readme

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// File makes a Go file of a block that shows declarations, or statements, which may leave
// unused what they declare. It adds the imports that are needed and the declarations of the
// file assumed, without those that the block has itself. Packages are found by name among
// the imports of assumed and in packages. To the compiler, the block's lines are those of
// the document. A block with a package clause is a file as it is.
func File(document string, b Block, assumed string, packages map[string]string) (string, error) {
	text := fmt.Sprintf("//line %s:%d\n%s", document, b.Line+1, b.Text)
	if _, err := parser.ParseFile(token.NewFileSet(), "", text, parser.PackageClauseOnly); err == nil {
		return text, nil
	}
	const header = "package fragment\n"
	block, err := parse(header + text)
	if err != nil {
		text = "func _() {\n" + text + "//line statements.go:1\n"
		if block, err = parse(header + text + "}\n"); err != nil {
			return "", err
		}
		for _, name := range variables(block.Decls[0].(*ast.FuncDecl).Body.List) {
			text += "_ = " + name + "\n"
		}
		text += "}\n"
	}

	rest, err := parse(assumed)
	if err != nil {
		return "", err
	}
	var own []string
	for _, d := range block.Decls {
		names, _ := declares(d)
		own = append(own, names...)
	}
	text += "//line assumed.go:1\n"
	for _, d := range rest.Decls {
		names, receiver := declares(d)
		if len(names) > 0 && !slices.ContainsFunc(append(names, receiver), func(n string) bool { return slices.Contains(own, n) }) {
			text += assumed[d.Pos()-rest.FileStart:d.End()-rest.FileStart] + "\n"
		}
	}

	whole, err := parse(header + text)
	if err != nil {
		return "", err
	}
	found, there := imports(rest), imports(block)
	var needed strings.Builder
	for _, name := range qualifiers(whole) {
		p := found[name]
		if p == "" {
			p = packages[name]
		}
		if p != "" && there[name] == "" {
			fmt.Fprintf(&needed, "import %s %q\n", name, p)
		}
	}
	return header + needed.String() + text, nil
}

func parse(text string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), "", text, 0)
}

// variables returns what statements declare in their own block.
func variables(statements []ast.Stmt) (names []string) {
	add := func(e ast.Expr) {
		if id, ok := e.(*ast.Ident); ok && id.Name != "_" && !slices.Contains(names, id.Name) {
			names = append(names, id.Name)
		}
	}
	for _, s := range statements {
		switch s := s.(type) {
		case *ast.AssignStmt:
			for _, e := range s.Lhs {
				if s.Tok == token.DEFINE {
					add(e)
				}
			}
		case *ast.DeclStmt:
			for _, spec := range s.Decl.(*ast.GenDecl).Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					for _, id := range v.Names {
						add(id)
					}
				}
			}
		}
	}
	return names
}

// declares returns what a declaration adds to its package, a method as Type.Method, and of
// a method the type.
func declares(d ast.Decl) (names []string, receiver string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return []string{d.Name.Name}, ""
		}
		t := d.Recv.List[0].Type
		if pointer, ok := t.(*ast.StarExpr); ok {
			t = pointer.X
		}
		receiver = fmt.Sprint(t)
		return []string{receiver + "." + d.Name.Name}, receiver
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, id := range spec.Names {
					names = append(names, id.Name)
				}
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
			}
		}
	}
	return names, ""
}

// imports returns the paths of a file's imports by the names that they have, or seem to.
func imports(f *ast.File) map[string]string {
	paths := map[string]string{}
	for _, spec := range f.Imports {
		p := strings.Trim(spec.Path.Value, "`\"")
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		paths[name] = p
	}
	return paths
}

// qualifiers returns the identifiers in front of a dot that nothing in a file declares.
func qualifiers(f *ast.File) (names []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := sel.X.(*ast.Ident); ok && slices.Contains(f.Unresolved, id) {
				names = append(names, id.Name)
			}
		}
		return true
	})
	slices.Sort(names)
	return slices.Compact(names)
}
