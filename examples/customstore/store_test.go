package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(testing.TB) otp.Store { return newStore() })
	storetest.RunLimiter(t, func(testing.TB) otp.Limiter { return newStore() })
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, "Verified: ann\nThe same code again? Rejected.\nAnother code right away? Not yet.\n", out.String())
}
