package redisstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// S-27: what appendfsync everysec may lose when the machine dies, not the process. The
// last second of the append-only file is in the system's memory only; here it is cut off.
// Then a code that was used is good again: that is what the package comment warns of.
func TestEverysecLosesWithTheMachine(t *testing.T) {
	server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--appendfsync", "everysec")
	client := connect(t, server.DSN)
	s := open(t, client, redisstore.Options{Prefix: "loss:"})
	r := record("used", now)
	_, _, err := s.Put(t.Context(), r, now)
	require.NoError(t, err)
	synced := sizeOf(t, appended(t, server))
	rec, applied, err := s.Spend(t.Context(), r.ID, r.Digests, now)
	require.NoError(t, err)
	require.True(t, applied)

	// A process that is killed loses nothing.
	server.Kill()
	require.NoError(t, server.Start())
	got, err := s.Get(t.Context(), r.ID)
	require.NoError(t, err)
	assert.Equal(t, rec, got)

	server.Kill()
	file := appended(t, server)
	require.Greater(t, sizeOf(t, file), synced)
	require.NoError(t, os.Truncate(file, synced))
	require.NoError(t, server.Start())
	_, applied, err = s.Spend(t.Context(), r.ID, r.Digests, now)
	require.NoError(t, err)
	assert.True(t, applied, "nothing is lost: mend the package comment")
}

// appended returns the file to which changes are appended.
func appended(t *testing.T, server *servers.Server) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(server.Dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	return files[0]
}

func sizeOf(t *testing.T, file string) int64 {
	t.Helper()
	info, err := os.Stat(file)
	require.NoError(t, err)
	return info.Size()
}
