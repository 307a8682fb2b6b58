package sqlstore_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

const (
	crashRecords = 40
	crashCrowd   = 16
	crashKey     = "crash"
)

var (
	right = bytes.Repeat([]byte{1}, otp.DigestSize)
	wrong = bytes.Repeat([]byte{2}, otp.DigestSize)

	crashLimits = []otp.Limit{{N: 1 << 30, Per: time.Hour}}
)

func crashID(round, i int) string { return fmt.Sprintf("crash-%d-%d", round, i) }

// crowd uses a store until it fails. Of everything that the store says it has done, it
// tells a line, after the fact: the kind and the id.
func crowd(ctx context.Context, s *sqlstore.Store, round int, tell func(line string)) {
	var wg sync.WaitGroup
	for g := range crashCrowd {
		wg.Go(func() {
			for i := range crashRecords {
				id := crashID(round, (i+g*7)%crashRecords)
				candidate := wrong
				if (g+i)%4 == 0 {
					candidate = right
				}
				r, applied, err := s.Spend(ctx, id, candidate, noon)
				if err != nil {
					return
				}
				if applied {
					tell("spent " + id)
				}
				if applied && r.State == otp.StateVerified {
					tell("accepted " + id)
				}
				d, err := s.Take(ctx, crashKey, 1, crashLimits, noon)
				if err != nil {
					return
				}
				if d.OK {
					tell("taken " + crashKey)
				}
			}
		})
	}
	wg.Wait()
}

func putCrowd(t *testing.T, s *sqlstore.Store, round int) {
	t.Helper()
	for i := range crashRecords {
		put(t, s, crashID(round, i))
	}
}

// survived checks that what was told is so, and that nothing is accepted twice.
func survived(t *testing.T, s *sqlstore.Store, round int, told []string, taken *int) {
	t.Helper()
	count := map[string]int{}
	for _, line := range told {
		count[line]++
	}
	for i := range crashRecords {
		id := crashID(round, i)
		r, err := s.Get(t.Context(), id)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, r.Attempts, count["spent "+id], "%s: attempts forgotten", id)
		_, applied, err := s.Spend(t.Context(), id, right, noon)
		require.NoError(t, err)
		accepted := count["accepted "+id]
		if applied {
			accepted++
		}
		assert.LessOrEqual(t, accepted, 1, "%s: accepted twice", id)
		assert.LessOrEqual(t, r.Attempts, r.MaxAttempts, "%s: too many attempts", id)
	}
	// What was taken leaves no room for as much as it was.
	*taken += count["taken "+crashKey]
	d, err := s.Take(t.Context(), crashKey, 1, []otp.Limit{{N: int64(*taken), Per: time.Hour}}, noon)
	require.NoError(t, err)
	assert.False(t, d.OK, "charges forgotten")
}

// S-22 S-24: the server is killed in the middle of spends. What it has acknowledged is
// there after the restart, and no code is accepted twice.
func TestServerCrash(t *testing.T) {
	tests := []struct {
		driver string
		start  func(testing.TB, ...string) *servers.Server
	}{
		{"pgx", servers.StartPostgres},
		{"mysql", servers.StartMariaDB},
	}
	for _, test := range tests {
		t.Run(test.driver, func(t *testing.T) {
			t.Parallel()
			server := test.start(t)
			db := openDB(t, test.driver, server.DSN)
			s := openStore(t, db, sqlstore.Options{})
			taken := 0
			for round := range 3 {
				putCrowd(t, s, round)
				var mu sync.Mutex
				var told []string
				begun, killed := make(chan struct{}), make(chan struct{})
				enough := sync.OnceFunc(func() { close(begun) })
				go func() {
					defer close(killed)
					<-begun
					server.Kill()
				}()
				crowd(t.Context(), s, round, func(line string) {
					mu.Lock()
					defer mu.Unlock()
					if told = append(told, line); len(told) == 60*(round+1) {
						enough()
					}
				})
				enough()
				<-killed
				require.NotEmpty(t, told)
				require.NoError(t, server.Start())
				waitFor(t, db)
				survived(t, s, round, told, &taken)
			}
		})
	}
}

func waitFor(t *testing.T, db *sql.DB) {
	t.Helper()
	require.Eventually(t, func() bool { return db.PingContext(t.Context()) == nil }, time.Minute, 10*time.Millisecond)
}

// S-22 S-24: SQLite lives in the process, so that is what is killed.
func TestProcessCrash(t *testing.T) {
	for _, k := range serverKinds[2:] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			dsn := k.dsn(t)
			db := openDB(t, k.driver, dsn)
			o := sqlstore.Options{Prefix: fresh(t, db)}
			s := openStore(t, db, o)
			taken := 0
			for round := range 3 {
				putCrowd(t, s, round)
				cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCrashingProcess$")
				cmd.Env = append(os.Environ(), "OTP_CRASH="+strings.Join([]string{k.driver, dsn, o.Prefix, fmt.Sprint(round)}, "\n"))
				cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
				cmd.Stderr = os.Stderr
				out, err := cmd.StdoutPipe()
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				var told []string
				lines := bufio.NewReader(out)
				for {
					line, err := lines.ReadString('\n')
					if err == io.EOF { // a reader returns it bare
						break
					}
					if line, ok := strings.CutPrefix(line, "told "); ok {
						told = append(told, strings.TrimSpace(line))
					}
					if len(told) == 60*(round+1) {
						cmd.Process.Kill() //nolint:errcheck // it may have ended
					}
				}
				cmd.Wait() //nolint:errcheck // it was killed
				require.NotEmpty(t, told)
				survived(t, s, round, told, &taken)
			}
		})
	}
}

// TestCrashingProcess is what TestProcessCrash kills.
func TestCrashingProcess(t *testing.T) {
	args := strings.Split(os.Getenv("OTP_CRASH"), "\n")
	if len(args) != 4 {
		return
	}
	db := openDB(t, args[0], args[1])
	s, err := sqlstore.New(t.Context(), db, sqlstore.Options{Prefix: args[2]})
	require.NoError(t, err)
	defer s.Close()
	round := slices.Index([]string{"0", "1", "2"}, args[3])
	var mu sync.Mutex
	crowd(t.Context(), s, round, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println("told " + line)
	})
}
