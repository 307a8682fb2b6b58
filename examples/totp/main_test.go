package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
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

// A store that has forgotten the app does not let the password in alone.
func TestLostCredentials(t *testing.T) {
	clock := &clock{}
	a, err := newApp(clock.now)
	require.NoError(t, err)
	login := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/login", strings.NewReader(url.Values{"password": {password}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		a.routes().ServeHTTP(w, r)
		return w
	}
	inside := func() (in []bool) {
		for _, s := range a.sessions.m {
			in = append(in, s.in)
		}
		return in
	}
	require.Equal(t, http.StatusSeeOther, login().Code)
	require.Equal(t, []bool{true}, inside(), "without an app the password is enough")
	clear(a.sessions.m)

	site := httptest.NewServer(a.routes())
	defer site.Close()
	require.NoError(t, visit(t.Context(), io.Discard, site.URL, clock))
	clear(a.sessions.m)
	require.Equal(t, http.StatusSeeOther, login().Code)
	require.Equal(t, []bool{false}, inside())
	clear(a.sessions.m)

	empty, err := newApp(clock.now) // another store, and another index key
	require.NoError(t, err)
	a.totp, a.recovery = empty.totp, empty.recovery
	require.Equal(t, http.StatusInternalServerError, login().Code)
	require.Empty(t, inside())
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
