package redisstore_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// S-27: what appendfsync everysec may lose when the machine dies. The last second of the append-only file is in the system's memory only; here it is cut off.
// Then a code that was used is good again: that is what the package comment warns of.
func TestEverysecLosesWithTheMachine(t *testing.T) {
	server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--appendfsync", "everysec")
	client := connect(t, server.DSN)
	s := open(t, client, redisstore.Options{Prefix: "loss:"})
	file := appended(t, server)
	var r, rec otp.Record
	var synced int64
	written := false
	for i := 0; i < 100 && !written; i++ {
		before := sizeOf(t, file)
		r = record(fmt.Sprint("used", i), now)
		_, _, err := s.Put(t.Context(), r, now)
		require.NoError(t, err)
		eventually(t, func() bool { return sizeOf(t, file) > before })
		synced = sizeOf(t, file)
		var applied bool
		rec, applied, err = s.Spend(t.Context(), r.ID, r.Digests, now)
		require.NoError(t, err)
		require.True(t, applied)
		// While the disk syncs, the write is put off: see TestEverysecLosesWithTheProcess.
		if written = sizeOf(t, file) > synced; !written {
			eventually(t, func() bool { return sizeOf(t, file) > synced })
		}
	}
	require.True(t, written, "the disk never keeps up")

	// A process that is killed loses nothing, if the disk keeps up.
	server.Kill()
	require.NoError(t, server.Start())
	got, err := s.Get(t.Context(), r.ID)
	require.NoError(t, err)
	assert.Equal(t, rec, got)

	server.Kill()
	file = appended(t, server)
	require.Greater(t, sizeOf(t, file), synced)
	require.NoError(t, os.Truncate(file, synced))
	require.NoError(t, server.Start())
	_, applied, err := s.Spend(t.Context(), r.ID, r.Digests, now)
	require.NoError(t, err)
	assert.True(t, applied, "nothing is lost: mend the package comment")
}

// S-27: while the disk is slow to sync, a server with everysec puts off the write itself, for
// up to two seconds, and answers. Then what was answered is lost with the process alone.
func TestEverysecLosesWithTheProcess(t *testing.T) {
	slow := filepath.Join(t.TempDir(), "slow.so")
	out, err := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-o", slow, "testdata/slowsync.c").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Setenv("LD_PRELOAD", slow)
	server := servers.StartRedis(t, servers.RedisServer, "--appendonly", "yes", "--appendfsync", "everysec")
	require.NoError(t, os.Unsetenv("LD_PRELOAD")) // for what is started from here on
	client := connect(t, server.DSN)
	s := open(t, client, redisstore.Options{Prefix: "loss:"})
	file := appended(t, server)
	for range 100 {
		r := record(rand.Text(), now)
		_, _, err := s.Put(t.Context(), r, now)
		require.NoError(t, err)
		for i := 0; !strings.Contains(client.Info(t.Context(), "persistence").Val(), "aof_pending_bio_fsync:1"); i++ {
			_, err := client.Set(t.Context(), "something", i, 0).Result() // to be synced
			require.NoError(t, err)
		}
		written := sizeOf(t, file)
		_, applied, err := s.Spend(t.Context(), r.ID, r.Digests, now)
		require.NoError(t, err)
		require.True(t, applied)
		if sizeOf(t, file) > written {
			continue // it was put off for two seconds by then
		}
		server.Kill()
		require.NoError(t, server.Start())
		_, applied, err = s.Spend(t.Context(), r.ID, r.Digests, now)
		require.NoError(t, err)
		assert.True(t, applied, "nothing is lost: mend the package comment")
		return
	}
	t.Fatal("the server never put off a write: mend the package comment")
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
