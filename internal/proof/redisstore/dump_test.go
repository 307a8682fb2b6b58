package redisstore_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/calls"
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
		secrets := calls.UseAll(t, svc, outbox, clock)
		finish(t, audit)
		require.NoError(t, client.Save(t.Context()).Err())
		server.Stop()

		digests, files := digestsOf(t, server), filesOf(t, server.Dir)
		for _, kind := range []string{".aof", ".rdb"} {
			dump := files[kind]
			require.Contains(t, string(dump), "dump:r:", "this is no dump of the keys")
			require.Contains(t, string(dump), "otp:audit", "this is no dump of the events")
			assert.True(t, calls.Holds(dump, digests), "what is kept is not found in %s: the search is broken", kind)
			for what, secret := range secrets {
				assert.False(t, calls.Holds(dump, []byte(secret)), "%s holds %s", kind, what)
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
