package redisstore_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/otptest"
	"otp.example/otp/redisstore"
)

// S-13: what a thief of the server's files gets holds no code, handle, recipient, subject
// or extra data, in any usual encoding: neither the append-only file, with every command
// there was, nor a snapshot, nor the audit stream in either.
func TestDump(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		server := servers.StartRedis(t, k, "--appendonly", "yes", "--rdbcompression", "no", "--aof-use-rdb-preamble", "no")
		client := connect(t, server.DSN)
		s := open(t, client, redisstore.Options{Prefix: "dump:"})
		audit := redisstore.NewAudit(client, redisstore.AuditOptions{})
		svc, outbox, clock := otptest.NewService(t, func(c *otp.Config) {
			c.Store, c.Limiter, c.OnEvent = s, s, audit.OnEvent
		})
		secrets := useAll(t, svc, outbox, clock)
		require.NoError(t, client.Save(t.Context()).Err())
		server.Stop()

		digests, files := digestsOf(t, server), filesOf(t, server.Dir)
		for _, kind := range []string{".aof", ".rdb"} {
			dump := files[kind]
			require.Contains(t, string(dump), "dump:r:", "this is no dump of the keys")
			require.Contains(t, string(dump), "otp:audit", "this is no dump of the events")
			assert.True(t, holds(dump, digests), "what is kept is not found in %s: the search is broken", kind)
			for what, secret := range secrets {
				assert.False(t, holds(dump, []byte(secret)), "%s holds %s", kind, what)
			}
		}
	})
}

// filesOf returns what is below a directory, by the endings of the names.
func filesOf(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		files[filepath.Ext(name)] = append(files[filepath.Ext(name)], b...)
		return err
	}))
	return files
}

// digestsOf starts the server again and returns what it keeps of a record.
func digestsOf(t *testing.T, server *servers.Server) []byte {
	t.Helper()
	require.NoError(t, server.Start())
	client := connect(t, server.DSN)
	keys, err := client.Keys(t.Context(), "dump:r:*").Result()
	require.NoError(t, err)
	require.NotEmpty(t, keys)
	r, err := open(t, client, redisstore.Options{Prefix: "dump:"}).Get(t.Context(), strings.TrimPrefix(keys[0], "dump:r:"))
	require.NoError(t, err)
	return r.Digests
}

// useAll makes a service do all it does to a store, and returns what must not be there.
func useAll(t *testing.T, svc *otp.Service, outbox *otptest.Outbox, clock *otptest.Clock) map[string]string {
	t.Helper()
	secrets := map[string]string{"extra data": "extra-data-kept", "the binding": "binding-of-it"}
	for i := range 4 {
		to, subject := fmt.Sprintf("+1555010123%d", i), fmt.Sprintf("subject-of-person-%d", i)
		ch, err := svc.Request(t.Context(), otp.Request{
			Channel: otp.SMS, Usage: "login", Subject: subject, To: to, Extra: []byte("extra-data-kept"), Binding: "binding-of-it",
			Policy: &otp.Policy{Formats: []otp.Format{{Length: 12}}},
		})
		require.NoError(t, err)
		code := outbox.Code(to)
		answer := otp.Answer{ID: ch.ID, Usage: "login", Binding: "binding-of-it", Code: strings.Repeat("0", len(code))}
		_, err = svc.Verify(t.Context(), answer)
		require.ErrorIs(t, err, otp.ErrRejected)
		clock.Advance(time.Minute)
		_, err = svc.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		secrets["a code of "+to], secrets["a second code of "+to] = code, outbox.Code(to)
		secrets["the handle of "+to], secrets["the recipient "+to], secrets["the subject of "+to] = ch.ID, strings.TrimPrefix(to, "+"), subject
		switch i {
		case 0:
			answer.Code = outbox.Code(to)
			proof, err := svc.Verify(t.Context(), answer)
			require.NoError(t, err)
			token, err := svc.Token(proof, time.Minute)
			require.NoError(t, err)
			_, err = svc.Redeem(t.Context(), token.Reveal(), "login")
			require.NoError(t, err)
			secrets["a token"] = token.Reveal()
		case 1:
			require.NoError(t, svc.Cancel(t.Context(), ch.ID))
		}
	}
	return secrets
}

// holds looks for the encodings in which a secret may be written.
func holds(dump, secret []byte) bool {
	reversed := slices.Clone(secret)
	slices.Reverse(reversed)
	var wide []byte
	for _, u := range utf16.Encode([]rune(string(secret))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	lower := bytes.ToLower(dump)
	for _, form := range [][]byte{
		secret, reversed, wide,
		[]byte(hex.EncodeToString(secret)),
		[]byte(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)),
		[]byte(base64.RawStdEncoding.EncodeToString(secret)),
		[]byte(base64.RawURLEncoding.EncodeToString(secret)),
	} {
		if bytes.Contains(dump, form) || bytes.Contains(lower, bytes.ToLower(form)) {
			return true
		}
	}
	return false
}
