package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program starts itself as the processes of the service, and here it is the tests.
func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		if err := serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

const story = `Ann asks the first process for a code, and gives it to the second.
  first:  sent 6 digits
  first:  a wrong code. Refused, 4 attempts left.
  first:  a wrong code. Refused, 3 attempts left.
  second: a wrong code. Refused, 2 attempts left.
  both:   the right code, twenty times at once. Accepted 1 time(s).

Ann wants the next code at once, from the second process.
  second: not yet, in ## seconds.

What the audit stream tells of Ann, without her name or number:
   1 limited (limited_by_recipient)
  19 rejected (already_verified)
   3 rejected (mismatch)
   1 requested
   1 sent
   1 verified
`

func TestDemo(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Setenv("OTP_KEY", "") // put back what it was
	// An event that takes the server longer than a second, on a disk that is busy, is not in the
	// stream. What comes before is the same each time.
	for tries := 1; ; tries++ {
		t.Setenv("REDIS_URL", "")
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, true))
		got := regexp.MustCompile(`in \d+ seconds`).ReplaceAllString(out.String(), "in ## seconds")
		if got == story || tries == 5 {
			require.Equal(t, story, got)
			return
		}
		require.Equal(t, untilStream(story), untilStream(got))
	}
}

func untilStream(text string) string {
	before, _, _ := strings.Cut(text, "What the audit stream tells")
	return before
}

func TestNoServer(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, false), "REDIS_URL is empty")
}
