package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, "", true))
	require.Equal(t, `Ann logs in with her password.               /login    200
She begins to set up her app.                /setup    200
She types what it shows.                     /confirm  200
She makes recovery codes.                    /recovery 200
She logs out.                                /logout   200
She logs in with her password.               /login    200
The code of the setup again.                 /code     422
The next code.                               /code     200
She logs out.                                /logout   200
A thief has her password,                    /login    200
and has seen her code.                       /code     422
He guesses.                                  /code     422
Ann has lost her phone, but not her paper.   /code     200
It lets her make a new set.                  /recovery 200
`, out.String())
}

func TestRunServesUntilItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	require.NoError(t, run(ctx, writerFunc(func(b []byte) (int, error) {
		cancel() // it says where it serves
		return len(b), nil
	}), "localhost:0", false))
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
