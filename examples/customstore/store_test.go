package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(testing.TB) otp.Store { return NewStore() })
	storetest.RunLimiter(t, func(testing.TB) otp.Limiter { return NewStore() })
}

func TestRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	require.Equal(t, `A code is on its way to alice@example.com. It is valid for 10 minutes.
The right code: this is alice.
The same code again: otp: rejected, since it was used.
`, out.String())
}
