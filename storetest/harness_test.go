package storetest_test

import (
	"os"
	"testing"
)

// passes runs a test from within an example and reports whether it passes. What the test
// prints, with -v or because it fails, is no output of the example.
func passes(test func(t *testing.T)) bool {
	stdout := os.Stdout
	os.Stdout = os.Stderr
	defer func() { os.Stdout = stdout }()
	all := func(string, string) (bool, error) { return true, nil }
	return testing.RunTests(all, []testing.InternalTest{{Name: "TestStore", F: test}})
}
