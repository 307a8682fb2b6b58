package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

const story = `A code for Ann is on its way, and the program stops.
It starts again. Another code right away? Refused by the limit on the recipient.
Ann's code? Right.
The same code again? Refused.

What the file tells of Ann, without her name or address:
  put    applied
  put    limited          recipient
  spend  verified
  spend  already_verified
`

func TestRun(t *testing.T) {
	t.Setenv("OTP_KEY", "") // put back what it was
	kept := filepath.Join(t.TempDir(), "otp.db")
	for _, file := range []string{"", kept, kept} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), &out, file))
		require.Equal(t, story, regexp.MustCompile(` +\n`).ReplaceAllString(out.String(), "\n"))
	}
	require.Error(t, run(t.Context(), &bytes.Buffer{}, filepath.Join(kept, "no", "such")))
}
