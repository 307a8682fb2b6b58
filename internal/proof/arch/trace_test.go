package arch_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What docs/requirements.md numbers.
const (
	requirements = 90
	failures     = 48
)

// An entry is a row of docs/requirements.md: a requirement, or a failure of others. A test
// names in a comment what it proves.
type entry struct {
	id, text string
	note     string // why a requirement is left out, or which rule a failure out
}

func (e entry) isFailure() bool { return strings.HasPrefix(e.id, "FM-") }

var (
	entryRow = regexp.MustCompile(`(?m)^\| ((?:S|FM)-\d+) \| ([^|]+) \|(?: ([^|]+) \|)?$`)
	entryID  = regexp.MustCompile(`\b(?:S|FM)-\d+\b`)
)

func entries(text string) []entry {
	var all []entry
	for _, m := range entryRow.FindAllStringSubmatch(text, -1) {
		all = append(all, entry{m[1], m[2], m[3]})
	}
	return all
}

func listed(t *testing.T) []entry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "requirements.md"))
	require.NoError(t, err)
	return entries(string(text))
}

// named returns, for each number, the places of the comments that name it.
func named(sources []source) map[string][]string {
	places := map[string][]string{}
	for _, s := range sources {
		for _, group := range s.file.Comments {
			for _, id := range entryID.FindAllString(group.Text(), -1) {
				place := strings.TrimSpace(s.path + " " + s.function(group))
				if !slices.Contains(places[id], place) {
					places[id] = append(places[id], place)
				}
			}
		}
	}
	return places
}

// proofs are the sources whose comments say what is proved. The cases of the conformance
// suite are importable, but they are tests.
func proofs(sources []source) []source {
	return slices.DeleteFunc(slices.Clone(sources), func(s source) bool { return !s.isTest() && s.dir() != "storetest" })
}

// untraced says what is wrong with the numbers: requirements that no test names, some that
// are left out and named all the same, and numbers in comments that stand for nothing.
func untraced(all []entry, sources []source) []string {
	var problems []string
	places, known := named(proofs(sources)), map[string]bool{}
	for _, e := range all {
		known[e.id] = true
		switch tested := len(places[e.id]) > 0; {
		case e.isFailure():
		case e.note == "" && !tested:
			problems = append(problems, "no test names "+e.id+" "+e.text)
		case e.note != "" && tested:
			problems = append(problems, e.id+" is left out, and named in "+places[e.id][0])
		}
	}
	for id, where := range named(sources) {
		if !known[id] {
			problems = append(problems, id+" stands for nothing, in "+where[0])
		}
	}
	slices.Sort(problems)
	return problems
}

// TestEveryRequirementIsProved prints the table of requirements and their tests
// when it is run with -v.
func TestEveryRequirementIsProved(t *testing.T) {
	sources, all := repository(t), listed(t)
	places := named(proofs(sources))
	for _, e := range all {
		if testing.Verbose() {
			t.Log(strings.Join(append([]string{strings.TrimSpace(e.id + " " + e.text + "  " + e.note)}, places[e.id]...), "\n\t"))
		}
	}
	for _, problem := range untraced(all, sources) {
		t.Error(problem)
	}
}

// The list is whole: every number is there once, and every failure is ruled out by
// requirements that are in it.
func TestRequirementsAreListed(t *testing.T) {
	var got, want []string
	for _, e := range listed(t) {
		got = append(got, e.id)
	}
	for n := range requirements {
		want = append(want, fmt.Sprintf("S-%02d", n+1))
	}
	for n := range failures {
		want = append(want, fmt.Sprintf("FM-%02d", n+1))
	}
	assert.ElementsMatch(t, want, got)
	for _, e := range listed(t) {
		if !e.isFailure() {
			continue
		}
		ids := strings.Fields(e.note)
		assert.NotEmpty(t, ids, "%s is ruled out by nothing", e.id)
		for _, id := range ids {
			assert.Contains(t, want[:requirements], id, e.id)
		}
	}
}

func TestUntraced(t *testing.T) {
	all := entries("| S-01 | one |\n| S-02 | two | not kept |\n\n| FM-01 | three | S-01 |\n")
	require.Equal(t, []entry{{"S-01", "one", ""}, {"S-02", "two", "not kept"}, {"FM-01", "three", "S-01"}}, all)
	tests := []struct{ name, path, comment, want string }{
		{"proved", "a_test.go", "S-01 FM-01", ""},
		{"named by no test", "a.go", "S-01", "no test names S-01 one"},
		{"left out", "a_test.go", "S-01 S-02", "S-02 is left out, and named in a_test.go"},
		{"unknown requirement", "a_test.go", "S-01 S-03", "S-03 stands for nothing, in a_test.go"},
		{"unknown failure", "a_test.go", "S-01 FM-02", "FM-02 stands for nothing, in a_test.go"},
		{"misspelled", "a_test.go", "S-01 S-001", "S-001 stands for nothing, in a_test.go"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.path, "package a // "+test.comment)
			require.NoError(t, err)
			assert.Equal(t, test.want, strings.Join(untraced(all, []source{s}), "; "))
		})
	}
}

func TestNamedFindsComments(t *testing.T) {
	tests := []struct{ name, path, text, want string }{
		{"doc comment", "a_test.go", "package a\n\n// TestA: S-99.\nfunc TestA() {}", "a_test.go TestA"},
		{"inside", "a_test.go", "package a\n\nfunc TestA() {\n\t// S-99 FM-06\n}", "a_test.go TestA"},
		{"file", "a_test.go", "// S-99\npackage a", "a_test.go"},
		{"conformance case", "storetest/a.go", "package a // S-99", "storetest/a.go"},
		{"string", "a_test.go", "package a\n\nconst a = `S-99`", ""},
		{"library", "a.go", "package a // S-99", ""},
		{"longer number", "a_test.go", "package a // S-999", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := parse(test.path, test.text)
			require.NoError(t, err)
			assert.Equal(t, test.want, strings.Join(named(proofs([]source{s}))["S-99"], " "))
		})
	}
}
