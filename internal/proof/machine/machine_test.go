// Package machine runs the whole service against a model of it, in random order and with
// a clock that it moves itself.
package machine_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"otp.example/otp/internal/proof/judge"
	"otp.example/otp/memstore"
)

// property is a sequence of actions on a new world.
func property(store func() backend, seen map[string]int, lenient bool) func(*rapid.T) {
	return func(t *rapid.T) {
		w := newWorld(t, store(), seen)
		w.lenient = lenient
		t.Repeat(map[string]func(*rapid.T){
			// The more often an action is listed the more often it is taken.
			"request": w.request, "request 2": w.request,
			"again": w.again, "again 2": w.again, "again 3": w.again,
			"issue":  w.issue,
			"resend": w.resend, "resend 2": w.resend, "resend 3": w.resend,
			"verify": w.verify, "verify 2": w.verify, "verify 3": w.verify,
			"guess": w.guess, "guess 2": w.guess,
			"advance": w.advance, "cancel": w.cancel, "status": w.status, "redeem": w.redeem,
			"prune": w.prune, "rotate": w.rotate, "retire": w.retire, "restart": w.restart,
			"provider": w.provider, "malformed": w.malformed,
			"": w.invariants,
		})
	}
}

// set sets flags of rapid for one test. They belong to the process, so no test here is
// parallel to another.
func set(t *testing.T, flags map[string]string) {
	t.Helper()
	for name, value := range flags {
		f := flag.Lookup("rapid." + name)
		old := f.Value.String()
		require.NoError(t, f.Value.Set(value))
		t.Cleanup(func() { require.NoError(t, f.Value.Set(old)) })
	}
}

// sequences is how many sequences one test runs, unless a flag says so.
func sequences(t *testing.T, normal, long int) {
	t.Helper()
	if given("rapid.checks") {
		return
	}
	n := normal
	if os.Getenv("OTP_PROVE") == "long" {
		n = long
	}
	set(t, map[string]string{"checks": fmt.Sprint(n)})
}

func given(name string) (found bool) {
	flag.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}

// S-06 S-08 S-09 S-10 S-12 S-19 S-22 S-23 S-32 S-33 S-43 S-51 S-70 S-71 S-72 S-75: whatever is
// done in whatever order, the service answers as the model does, and what was answered
// stays within every bound.
func TestService(t *testing.T) {
	sequences(t, 1_000, 25_000)
	set(t, map[string]string{"steps": "40", "nofailfile": "true"})
	seen := map[string]int{}
	rapid.Check(t, property(func() backend { return memstore.New() }, seen, false))
	for _, what := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%8d %s", seen[what], what)
	}
}

// The store that the bugs are seeded into has none of its own.
func TestPlainStore(t *testing.T) {
	sequences(t, 200, 5_000)
	set(t, map[string]string{"steps": "40", "nofailfile": "true"})
	rapid.Check(t, property(func() backend { return newPlain("") }, nil, false))
}

// A machine that finds nothing proves nothing: it has to find each of these.
func TestMachineFindsBugs(t *testing.T) {
	for _, bug := range []string{
		acceptsTwice, forgetsAttempts, oneMoreAttempt, attemptsOnResend, endsEarly, windowsAligned,
		ledgerOnExpiry, ledgerOnSuccess, ledgerOnRestart, streakGoesOn, keepsAllCodes, newestOnly,
		overwritesLive, lateSubject, speaksUp, silentCode, prolongs, matchesAny,
	} {
		t.Run(bug, func(t *testing.T) { find(t, bug, "", false) })
	}
}

// The bounds are proved by what was answered alone: where the model's word on what is
// admitted is not asked for, they are what finds these.
func TestBoundsFindBugs(t *testing.T) {
	for _, bug := range []string{windowsAligned, ledgerOnExpiry, ledgerOnSuccess, ledgerOnRestart, streakGoesOn, lateSubject, keepsAllCodes} {
		t.Run(bug, func(t *testing.T) { find(t, bug, "is more than", true) })
	}
}

func find(t *testing.T, bug, says string, lenient bool) {
	const enough = 20_000 // for what shows in one of five hundred
	sequences(t, enough, enough)
	set(t, map[string]string{"steps": "40", "shrinktime": "0s", "nofailfile": "true"})
	begin, n := time.Now(), 0
	wrong, found := judge.Check(t.Name(), property(func() backend { n++; return newPlain(bug) }, nil, lenient))
	require.True(t, found, "not in %d sequences", n)
	require.Contains(t, wrong, says)
	first, _, _ := strings.Cut(wrong, "\n")
	t.Logf("found after %d sequences, %v: %s", n, time.Since(begin).Round(time.Millisecond), first)
}
