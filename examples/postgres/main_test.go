package main

import (
	"bytes"
	"context"
	"os"
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
  first:  sent 6 digits, valid for 5m0s
  second: right, it is Ann
  first:  the same code again? Refused.

The administrator wants 8 digits and 3 minutes for logins.
  second: sent 8 digits, valid for 3m0s
  The table says: carol set it, to 3m0s.

What the audit trail tells of Ann, without her name or number:
  put    applied          attempts 0
  spend  verified         attempts 1
  spend  already_verified attempts 1
`

func TestDemo(t *testing.T) {
	if _, err := postgresBin(); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	t.Setenv("DATABASE_URL", "")
	t.Setenv("OTP_KEY", "") // put back what it was
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, true))
	require.Equal(t, story, out.String())
}

func TestNoDatabase(t *testing.T) {
	t.Setenv("DATABASE_URL", "")
	require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, false), "DATABASE_URL is empty")
	t.Setenv("DATABASE_URL", "postgres://127.0.0.1:1/none?sslmode=disable")
	t.Setenv("OTP_KEY", "")
	require.ErrorContains(t, run(t.Context(), &bytes.Buffer{}, true), "sqlstore: ")
}
