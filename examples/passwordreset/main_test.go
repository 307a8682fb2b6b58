package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))

	got := regexp.MustCompile(`\b\d{8}\b`).ReplaceAllString(out.String(), "########")
	require.Equal(t, `Asked for ann@example.com:    if there is an account, you have mail
Asked for nobody@example.com: if there is an account, you have mail
Mail to ann@example.com: ######## is your code for recovering your account. It is valid for 10 minutes. Do not share it.

Ann's code for nobody's handle? Refused.
Ann's code? Right: here is a token for the next form.
A new password with the token? Set.
Another one with the same token? Refused: it was used.
Login with "mallory was here": false.
Login with "battery staple": true.
`, got)
}

// start runs the first two requests of a reset and returns the app and the token.
func start(t *testing.T) (*app, string) {
	t.Helper()
	return startFor(t, "ann@example.com")
}

func startFor(t *testing.T, typed string) (*app, string) {
	t.Helper()
	mail := mailbox(make(chan otp.Message, 1))
	queue := otp.NewQueue(mail, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = queue.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	a, err := newApp(queue)
	require.NoError(t, err)
	hidden := rand.Text()
	_, err = a.forgot(t.Context(), hidden, typed)
	require.NoError(t, err)
	sent, err := a.forgot(t.Context(), hidden, typed) // a double click, whose second answer the browser keeps
	require.NoError(t, err)
	waiting, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	m, err := mail.next(waiting)
	require.NoError(t, err, "no mail was sent")
	require.Equal(t, "ann@example.com", m.To)
	token, err := a.code(t.Context(), sent.handle, m.Code.Reveal())
	require.NoError(t, err)
	return a, token
}

// S-86: an address is found as people type it.
func TestTypedAddress(t *testing.T) {
	a, token := startFor(t, " Ann@Example.COM")
	require.NoError(t, a.reset(t.Context(), token, "long enough"))

	_, err := a.forgot(t.Context(), rand.Text(), "ann@example.com,eve@example.com")
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
}

// A password that will not do costs no token.
func TestShortPassword(t *testing.T) {
	a, token := start(t)
	require.ErrorIs(t, a.reset(t.Context(), token, "short"), errShortPassword)
	require.NoError(t, a.reset(t.Context(), token, "long enough"))
}

func TestAddressChanged(t *testing.T) {
	a, token := start(t)
	a.accounts["ann"].address = "ann@example.net"
	require.ErrorIs(t, a.reset(t.Context(), token, "long enough"), errAddressChanged)
}

func TestForgedToken(t *testing.T) {
	a, token := start(t)
	require.ErrorIs(t, a.reset(t.Context(), token+"A", "long enough"), otp.ErrRejected)
	require.ErrorIs(t, a.reset(t.Context(), "", "long enough"), otp.ErrRejected)
}
