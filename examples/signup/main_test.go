package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))

	got := regexp.MustCompile(`\b\d{8}\b`).ReplaceAllString(out.String(), "########")
	require.Equal(t, `Mail to ann@example.com: ######## is your code for confirming this address. It is valid for 10 minutes. Do not share it.
Welcome, Ann. Your address is ann@example.com.

Another address in the second form? It is not read.
Welcome, President. Your address is mallory@example.org.

A code for a login? Refused.

An address that has an account? A code as for any other.
Who returns it is told: you have an account, log in instead.
`, got)
}

func TestFinish(t *testing.T) {
	var box otptest.Outbox
	a, err := newApp(&box)
	require.NoError(t, err)
	handle, err := a.start(t.Context(), "ann@example.com", "Ann")
	require.NoError(t, err)

	_, err = a.finish(t.Context(), handle, form{code: "nonsense"})
	require.ErrorIs(t, err, otp.ErrRejected)
	_, err = a.finish(t.Context(), "", form{code: box.Code("ann@example.com")})
	require.ErrorIs(t, err, otp.ErrRejected)
	require.Len(t, a.accounts, 1, "nothing but Bob's")

	_, err = a.finish(t.Context(), handle, form{code: box.Code("ann@example.com"), address: "bob@example.com"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"ann@example.com": "Ann", "bob@example.com": "Bob"}, a.accounts)

	// One code opens one account.
	_, err = a.finish(t.Context(), handle, form{code: box.Code("ann@example.com")})
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)
}
