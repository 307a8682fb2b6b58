package authenticator_test

import (
	"fmt"
	"runtime"
)

// A judge is a rapid.TB that only remembers that a property failed, and why.
type judge struct {
	name   string
	said   string
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
	if j.said == "" {
		j.said = fmt.Sprintf(format, args...)
	}
}

func (j *judge) Error(args ...any)                 { j.Errorf("%s", fmt.Sprint(args...)) }
func (j *judge) Fatal(args ...any)                 { j.Error(args...); j.FailNow() }
func (j *judge) Fatalf(format string, args ...any) { j.Errorf(format, args...); j.FailNow() }
