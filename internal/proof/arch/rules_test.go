package arch_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/token"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	module = "otp.example/otp"
	crypto = "golang.org/x/crypto"
)

// A rule holds for every file that it is about. Its examples, a file each, prove
// that it sees what it must and nothing else.
type rule struct {
	name  string
	about func(source) bool
	check func(source) []string // findings
	bad   []example
	good  []example
}

type example struct{ path, text string }

var rules = []rule{
	{
		// S-89: a service that imports the library gets one other module.
		name:  "the library imports the standard library, x/crypto and itself",
		about: source.isLibrary,
		check: func(s source) []string {
			return badImports(s, func(p string) bool {
				return isStandard(p) || within(p, module) || within(p, crypto)
			})
		},
		bad: []example{
			{"otp.go", `package otp; import _ "github.com/stretchr/testify/assert"`},
			{"storetest/case.go", `package storetest; import _ "github.com/stretchr/testify/require"`},
			{"hotp/hotp.go", `package hotp; import _ "golang.org/x/text/unicode/norm"`},
			{"sender/twilio/x.go", `package twilio; import _ "github.com/aws/aws-sdk-go-v2/aws"`},
		},
		good: []example{
			{"otp.go", `package otp; import (_ "crypto/hkdf"; _ "golang.org/x/crypto/argon2"; _ "otp.example/otp/hotp")`},
			{"otp_test.go", `package otp; import _ "github.com/stretchr/testify/assert"`},
			{"internal/proof/x/x.go", `package x; import _ "golang.org/x/mod/zip"`},
			{"sender/aws/x.go", `package aws; import _ "github.com/aws/aws-sdk-go-v2/aws"`}, // another module
		},
	},
	{
		// S-01: no guessable numbers, in examples neither: they are copied.
		name:  "no math/rand outside tests",
		about: func(s source) bool { return !s.isTest() },
		check: func(s source) []string {
			return badImports(s, func(p string) bool { return !within(p, "math/rand") })
		},
		bad: []example{
			{"otp.go", `package otp; import _ "math/rand"`},
			{"examples/login/main.go", `package main; import _ "math/rand/v2"`},
		},
		good: []example{
			{"otp.go", `package otp; import (_ "crypto/rand"; _ "math/bits")`},
			{"otp_test.go", `package otp; import _ "math/rand/v2"`},
		},
	},
	{
		// S-89: what the library cannot reach, a bug in it cannot reach.
		name:  "no unsafe code, processes or sockets in the library",
		about: source.isLibrary,
		check: func(s source) []string {
			return badImports(s, func(p string) bool {
				switch {
				case slices.Contains([]string{"C", "unsafe", "os/exec", "plugin", "syscall"}, p):
					return false
				case p == "net/netip", p == "net/url": // only parse
					return true
				case within(p, "net"):
					return slices.Contains(networked[s.dir()], p) || within(s.dir(), "sender")
				}
				return true
			})
		},
		bad: []example{
			{"otp.go", `package otp; import _ "unsafe"`},
			{"otp.go", `package otp; import "C"`},
			{"memstore/memstore.go", `package memstore; import _ "os/exec"`},
			{"otp.go", `package otp; import _ "net/http"`},
			{"otphttp/addr.go", `package otphttp; import _ "net"`},
		},
		good: []example{
			{"otp.go", `package otp; import (_ "net/netip"; _ "os")`},
			{"otphttp/addr.go", `package otphttp; import _ "net/http"`},
			{"sender/twilio/twilio.go", `package twilio; import _ "net/http"`},
			{"otp_test.go", `package otp; import _ "unsafe"`},
		},
	},
	{
		// S-25: a second writer would be a second way to accept a code.
		name:  "only the record's own methods write attempts and state",
		about: source.isLibrary,
		check: func(s source) []string {
			var findings []string
			for _, n := range writes(s.file, "Attempts", "State") {
				if !stateWriters[s.path+": "+s.function(n)] {
					findings = append(findings, s.at(n, "writes attempts or state"))
				}
			}
			return findings
		},
		bad: []example{
			{"otp.go", `package otp; func f(r *Record) { r.Attempts++ }`},
			{"memstore/memstore.go", `package memstore; func f(m map[string]*Record) { m[""].State = 1 }`},
			{"store.go", `package otp; func (r *Record) Revive() { r.Attempts, r.Sends = 0, 0 }`},
			{"otp.go", `package otp; func f(r *Record) { r.Attempts -= 1 }`},
			{"otp.go", `package otp; func f(r *Record) { p := &r.State; *p = 0 }`},
			{"other.go", `package otp; func (r *Record) Spend() { r.Attempts++ }`},
			{"store.go", `package otp; func (m mine) Spend() { m.r.Attempts++ }`},
		},
		good: []example{
			{"store.go", `package otp; func (r *Record) Spend() { r.Attempts++; if true { r.State = 2 } }`},
			{"otp.go", `package otp; func f(r *Record) bool { r.Sends++; return r.Attempts == 0 }`},
			{"otp.go", `package otp; var r = Record{Attempts: 1, State: 1}`},
			{"otp_test.go", `package otp; func f(r *Record) { r.State = 0 }`},
		},
	},
	{
		// What decides about time takes the time as an argument.
		name:  "only the default of a configuration and the queue read the clock",
		about: source.isLibrary,
		check: func(s source) []string {
			var findings []string
			for _, sel := range selected(s.file, []string{"time"}, []string{"Now", "Since", "Until"}) {
				if !clockReaders[s.path+": "+s.function(sel)] {
					findings = append(findings, s.at(sel, "reads the clock"))
				}
			}
			return findings
		},
		bad: []example{
			{"memstore/memstore.go", `package memstore; import "time"; func f() time.Time { return time.Now() }`},
			{"otp.go", `package otp; import "time"; var clock = time.Now`},
			{"config.go", `package otp; import "time"; func f(t time.Time) bool { return time.Since(t) > 0 }`},
		},
		good: []example{
			{"config.go", `package otp; import "time"; func (c Config) withDefaults() { c.Now = time.Now }`},
			{"otp.go", `package otp; import "time"; func f(now time.Time) time.Time { return now.Add(time.Hour) }`},
		},
	},
	{
		name:  "constructors start no goroutine",
		about: source.isLibrary,
		check: func(s source) []string {
			var findings []string
			ast.Inspect(s.file, func(n ast.Node) bool {
				if n != nil && startsGoroutine(n) && strings.HasPrefix(s.function(n), "New") {
					findings = append(findings, s.at(n, "starts a goroutine"))
				}
				return true
			})
			return findings
		},
		bad: []example{
			{"queue.go", `package otp; func NewQueue() { go func() {}() }`},
			{"queue.go", `package otp; func NewQueue() { var w sync.WaitGroup; w.Go(func() {}) }`},
			{"queue.go", `package otp; func NewQueue() *Queue { q := &Queue{}; q.workers.Go(q.run); return q }`},
			{"queue.go", `package otp; func New() { time.AfterFunc(time.Minute, prune) }`},
			{"queue.go", `package otp; func New(ctx context.Context) { context.AfterFunc(ctx, prune) }`},
		},
		good: []example{
			{"queue.go", `package otp; func (q *Queue) Run() { go func() {}() }`},
			{"queue.go", `package otp; func (q *Queue) Run() { q.workers.Go(q.run); time.AfterFunc(time.Minute, prune) }`},
			{"queue.go", `package otp; func NewQueue() { q.Gone() }`},
		},
	},
	{
		// A key label or a name in a database that contained the path would change
		// with it.
		name:  "the module path stands in imports only",
		about: source.isLibrary,
		check: func(s source) []string {
			var findings []string
			ast.Inspect(s.file, func(n ast.Node) bool {
				if _, ok := n.(*ast.ImportSpec); ok {
					return false
				}
				if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(l.Value, module) {
					findings = append(findings, s.at(l, "a string holds the module path"))
				}
				return true
			})
			return findings
		},
		bad: []example{
			{"keyring.go", `package otp; const label = "otp.example/otp/code"`},
		},
		good: []example{
			{"keyring.go", `package otp; import _ "otp.example/otp/hotp"; const label = "otp code"`},
		},
	},
	{
		name:  "no test sleeps",
		about: source.isTest,
		check: func(s source) []string {
			// In a bubble sleeping costs nothing and never flickers.
			if slices.Contains(s.imports(), "testing/synctest") {
				return nil
			}
			var findings []string
			for _, sel := range selected(s.file, []string{"time"}, []string{"Sleep"}) {
				findings = append(findings, s.at(sel, "sleeps; use testing/synctest or wait for a condition"))
			}
			return findings
		},
		bad: []example{
			{"otp_test.go", `package otp; import "time"; func f() { time.Sleep(1) }`},
		},
		good: []example{
			{"otp_test.go", `package otp; import ("testing/synctest"; "time"); func f() { synctest.Test(nil, nil); time.Sleep(1) }`},
		},
	},
	{
		// What a test needs may be missing on somebody's machine, never on the one
		// that decides.
		name:  "no test is skipped under CI",
		about: func(s source) bool { return s.isTest() || s.isLibrary() },
		check: func(s source) []string {
			var findings []string
			for _, d := range s.file.Decls {
				if asksForCI(d) || isAction(d) {
					continue
				}
				for _, sel := range selected(d, []string{"t", "b", "f", "tb"}, []string{"Skip", "Skipf", "SkipNow"}) {
					findings = append(findings, s.at(sel, "skips without asking for CI"))
				}
			}
			return findings
		},
		bad: []example{
			{"otp_test.go", `package otp; func f(t *testing.T) { t.Skip("later") }`},
			{"otp_test.go", `package otp; func f(t *testing.T) { os.Getenv("CI") }; func g(t *testing.T) { t.Skip("later") }`},
			{"storetest/storetest.go", `package storetest; func Run(t *testing.T) { t.SkipNow() }`},
		},
		good: []example{
			{"otp_test.go", `package otp; func f(s *scanner) { s.Skip() }`},
			{"otp_test.go", `package otp; func f(t *rapid.T) { t.Skip("nothing to cancel yet") }`},
			{"otp_test.go", `package otp; func f(t *testing.T) { if os.Getenv("CI") == "" { t.Skip("no server") } }`},
		},
	},
}

// networked lists the packages, beside the senders, that may use a network package, and which.
var networked = map[string][]string{
	"otphttp": {"net/http"},
}

// stateWriters lists the functions that may write Attempts and State.
var stateWriters = map[string]bool{
	"store.go: Record.Spend":   true,
	"store.go: Record.Reissue": true,
	"store.go: Record.Cancel":  true,

	// It makes a record of the highest numbers to see them come back.
	"storetest/keep.go: roundTrip": true,
	// It reads entries of the audit, which have fields of these names.
	"sqlstore/audit.go: Store.Audit": true,
}

// clockReaders lists the functions that may name the clock.
var clockReaders = map[string]bool{
	"config.go: Config.withDefaults": true,
	// How long a provider is tried and left alone is real time. No code's validity
	// hangs on it.
	"queue.go: Queue.put":      true,
	"queue.go: Queue.deliver":  true,
	"queue.go: Breaker":        true,
	"sender/retry.go: Retry":   true,
	"sender/smooth.go: Smooth": true,
	// A webhook is signed with the time; a call's URL is good until the challenge ends.
	"sender/twilio/voice.go: NewVoice": true,
	"sender/webhook/webhook.go: New":   true,
	// A policy in a database that is changed must be seen in real time, too.
	"sqlstore/policies.go: Policies.current": true,
}

func TestRules(t *testing.T) {
	sources := repository(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			for _, e := range r.bad {
				assert.NotEmpty(t, r.findings(t, e), "not found: %s: %s", e.path, e.text)
			}
			for _, e := range r.good {
				assert.Empty(t, r.findings(t, e), "found wrongly: %s: %s", e.path, e.text)
			}
			concerned := 0
			for _, s := range sources {
				if r.about(s) {
					concerned++
					assert.Empty(t, r.check(s))
				}
			}
			assert.NotZero(t, concerned, "the rule is about no file")
		})
	}
}

func (r rule) findings(t *testing.T, e example) []string {
	t.Helper()
	s, err := parse(e.path, e.text)
	require.NoError(t, err)
	if !r.about(s) {
		return nil
	}
	return r.check(s)
}

// TestExceptionsExist keeps the lists of exceptions short: an entry goes with what
// it stood for.
func TestExceptionsExist(t *testing.T) {
	functions, dirs := map[string]bool{}, map[string]bool{}
	for _, s := range repository(t) {
		dirs[s.dir()] = true
		for _, d := range s.file.Decls {
			functions[s.path+": "+s.function(d)] = true
		}
	}
	for _, list := range []map[string]bool{stateWriters, clockReaders} {
		for f := range list {
			assert.True(t, functions[f], "no function %s", f)
		}
	}
	for dir := range networked {
		assert.True(t, dirs[dir], "no package %s", dir)
	}
}

// startsGoroutine reports whether n is what starts one: by the word, by the method of a wait
// group or what is like it, or later by a timer or a context.
func startsGoroutine(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.SelectorExpr:
		return n.Sel.Name == "Go" || len(selected(n, []string{"time", "context"}, []string{"AfterFunc"})) > 0
	}
	return false
}

// within reports whether a package path is parent or below it.
func within(p, parent string) bool {
	return p == parent || strings.HasPrefix(p, parent+"/")
}

// asksForCI reports whether n looks at the variable CI.
func asksForCI(n ast.Node) bool {
	found := false
	ast.Inspect(n, func(n ast.Node) bool {
		l, ok := n.(*ast.BasicLit)
		found = found || ok && l.Value == `"CI"`
		return true
	})
	return found
}

func isStandard(p string) bool {
	if p == "C" { // another rule's finding
		return true
	}
	pkg, err := build.Default.Import(p, "", build.FindOnly)
	return err == nil && pkg.Goroot
}

func badImports(s source, good func(path string) bool) []string {
	var findings []string
	for i, p := range s.imports() {
		if !good(p) {
			findings = append(findings, s.at(s.file.Imports[i], "imports %s", p))
		}
	}
	return findings
}

// writes returns the expressions that change, or give away the address of, a field
// with one of the names.
func writes(n ast.Node, names ...string) []ast.Node {
	var found []ast.Node
	add := func(e ast.Expr) {
		for {
			paren, ok := e.(*ast.ParenExpr)
			if !ok {
				break
			}
			e = paren.X
		}
		if sel, ok := e.(*ast.SelectorExpr); ok && slices.Contains(names, sel.Sel.Name) {
			found = append(found, sel)
		}
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				add(e)
			}
		case *ast.IncDecStmt:
			add(n.X)
		case *ast.RangeStmt:
			add(n.Key)
			add(n.Value)
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				add(n.X)
			}
		}
		return true
	})
	return found
}

// isAction reports whether d is a step of a property test, which another step takes the
// place of when it is skipped.
func isAction(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	return ok && slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool {
		star, ok := p.Type.(*ast.StarExpr)
		if !ok {
			return false
		}
		sel, ok := star.X.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "T" && fmt.Sprint(sel.X) == "rapid"
	})
}
