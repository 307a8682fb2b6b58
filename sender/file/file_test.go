package file_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/file"
	"otp.example/otp/sender/internal/sendertest"
)

func TestLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "codes")
	s, err := file.New(path)
	require.NoError(t, err)
	m := sendertest.Message(otp.SMS)
	m.ExpiresAt = time.Date(2026, 11, 21, 14, 35, 0, 0, time.UTC)
	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, otp.Receipt{Provider: "file", MessageID: sendertest.Key}, receipt)
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.JSONEq(t, `{"channel":"sms","usage":"login","to":"+15005550006","code":"482913","key":"ch_01J8ZK3V5Q-1",
		"expires_at":"2026-11-21T14:35:00Z","subject":"Your code","text":"`+sendertest.Text+`"}`, string(b))
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode(), "codes are for the owner only")
}

// Two senders are two processes: neither may write into the other's line.
func TestLinesDoNotMix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "codes")
	var wg sync.WaitGroup
	for range 2 {
		s, err := file.New(path)
		require.NoError(t, err)
		for range 50 {
			wg.Go(func() {
				m := sendertest.Message(otp.Email)
				m.Content.Text = strings.Repeat("x\n", 2000)
				_, err := s.Send(t.Context(), m)
				assert.NoError(t, err)
			})
		}
	}
	wg.Wait()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var v map[string]any
		require.NoError(t, json.Unmarshal(lines.Bytes(), &v))
	}
	require.NoError(t, lines.Err())
	assert.Equal(t, 100, n)
}

func TestFailures(t *testing.T) {
	_, err := file.New("")
	require.ErrorContains(t, err, "path is missing")

	s, err := file.New(filepath.Join(t.TempDir(), "none", "codes"))
	require.NoError(t, err)
	_, err = s.Send(t.Context(), sendertest.Message(otp.SMS))
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	require.ErrorIs(t, err, os.ErrNotExist)

	path := filepath.Join(t.TempDir(), "codes")
	s, err = file.New(path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Send(ctx, sendertest.Message(otp.SMS))
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	m := sendertest.Message(otp.SMS)
	m.ExpiresAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // has no form in JSON
	_, err = s.Send(t.Context(), m)
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	assert.NoFileExists(t, path)
}

func ExampleNew() {
	path := filepath.Join(os.TempDir(), fmt.Sprint("otp-example-", os.Getpid()))
	defer os.Remove(path)
	sender, err := file.New(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = sender.Send(context.Background(), otp.Message{Channel: otp.SMS, To: "+15005550006", Code: otp.NewSecret("482913")})
	if err != nil {
		fmt.Println(err)
		return
	}
	line, err := os.ReadFile(path)
	fmt.Println(strings.Contains(string(line), `"code":"482913"`), err)
	// Output: true <nil>
}
