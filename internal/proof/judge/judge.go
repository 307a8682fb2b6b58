// Package judge checks properties that have to fail: a machine that finds nothing proves
// nothing.
package judge

import (
	"fmt"
	"runtime"

	"pgregory.net/rapid"
)

// Check is rapid.Check for a property that is expected to fail. It reports whether it did,
// and what was wrong first.
func Check(name string, property func(*rapid.T)) (wrong string, failed bool) {
	j := &judge{name: name}
	done := make(chan struct{})
	go func() { // since a judge ends its goroutine
		defer close(done)
		rapid.Check(j, property)
	}()
	<-done
	return j.wrong, j.failed
}

// A judge is a rapid.TB that only remembers that a property failed, and why.
type judge struct {
	name   string
	wrong  string
	failed bool
}

func (j *judge) Helper()              {}
func (j *judge) Name() string         { return j.name }
func (j *judge) Log(...any)           {}
func (j *judge) Logf(string, ...any)  {}
func (j *judge) Skip(...any)          { j.SkipNow() }
func (j *judge) Skipf(string, ...any) { j.SkipNow() }
func (j *judge) SkipNow()             { runtime.Goexit() }
func (j *judge) Failed() bool         { return j.failed }
func (j *judge) Fail()                { j.failed = true }

func (j *judge) FailNow() {
	j.Fail()
	runtime.Goexit()
}

func (j *judge) Errorf(format string, args ...any) {
	j.Fail()
	if j.wrong == "" {
		j.wrong = fmt.Sprintf(format, args...)
	}
}

func (j *judge) Error(args ...any)                 { j.Errorf("%s", fmt.Sprint(args...)) }
func (j *judge) Fatal(args ...any)                 { j.Error(args...); j.FailNow() }
func (j *judge) Fatalf(format string, args ...any) { j.Errorf(format, args...); j.FailNow() }
