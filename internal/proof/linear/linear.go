// Package linear looks for a moment at which a store was wrong, while many clients in
// several processes use it at once, its server and its clients are killed, and
// connections break. Every call is noted with its times. Then a checker searches for one
// order of all calls on a record that explains every answer. If there is none, the store
// is not the atomic object that [otp.Store] asks for.
//
// Half of the calls are made by an [otp.Service] in front of the store, so the answers
// that a person would get are checked, too.
//
// A test binary hands its stores to [Main], by name, since the client processes are the
// same binary, started again:
//
//	func TestMain(m *testing.M) {
//		os.Exit(linear.Main(m, map[string]linear.Opener{"mine": open}))
//	}
//
//	func TestMine(t *testing.T) {
//		linear.Run(t, linear.Target{Name: "Mine", Opener: "mine", Address: server.DSN, Server: server})
//	}
//
// Run makes a history of each kind of fault; with OTP_PROVE=long, 200 in all. With OTP_SEED
// it repeats the plan of one: which calls are made, and what goes wrong when. How the
// calls meet is up to the machine.
package linear

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
)

// A Store is what is put to the test. If it is an [otp.ChargingStore] or an
// [otp.CounterStore], that is, too. If it is an io.Closer, it is closed after use. It must
// not forget what has expired within the seconds that a history takes.
type Store interface {
	otp.Store
	otp.Limiter
}

// An Opener opens a store at an address. The tables, or whatever else it needs, are there.
type Opener func(ctx context.Context, address string) (Store, error)

// A Server is the one server of a store. It keeps its address over a restart.
// *servers.Server is one.
type Server interface {
	Addr() string // host and port, as they stand in the address of the store
	Kill()
	Start() error
	Pause()
	Resume()
}

// A Target is a store and where it is.
type Target struct {
	Name    string
	Opener  string // one of those of Main
	Address string

	// Server is what is killed and started again. Nil means that the store has none and
	// lives in the processes of its clients.
	Server Server

	// ReadsBack says that Spend changes a record and then reads it, as it must where no
	// statement returns what it changed. What a Reissue adds in between may then show in
	// the record that it returns. Attempts and State must be of the change itself.
	ReadsBack bool

	// ShowsEarly says that the server shows a change to others before it would survive the
	// end of the server. What was only seen, by calls that changed nothing, and not
	// answered to whoever changed it, may then be gone after the server was killed.
	ShowsEarly bool

	// ChargesApart says that one meter is charged after the other, and given back when a
	// later one refuses. Until then it may refuse others, as a limit that is exact may.
	ChargesApart bool
}

var _ Server = (*servers.Server)(nil)

var openers map[string]Opener

// Main runs the tests, or the clients that one of them has started. It ends what package
// servers started.
func Main(m *testing.M, all map[string]Opener) int {
	openers = all
	text, ok := os.LookupEnv(taskEnv)
	if !ok {
		return servers.Main(m)
	}
	if err := runTask(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Run makes histories and requires that each can be explained. It goes on for a while if
// a fault has done nothing to any of them, or if something was never answered that could
// have been.
func Run(t *testing.T, target Target) {
	t.Helper()
	kinds := faultsOf(&target)
	histories := len(kinds)
	if os.Getenv("OTP_PROVE") == "long" {
		histories = 200
	}
	seed, given := seeded(t)
	if given {
		histories = 1
	}
	const enough = 50 // times as many, for what one in ten shows
	total := newTally(target.Name)
	for i := 0; i < histories || !given && i < enough*histories && len(total.missing(kinds)) > 0; i++ {
		f := kinds[seed%uint64(len(kinds))]
		h := record(t, target, f, seed)
		if wrong := h.check(); len(wrong) > 0 {
			t.Fatalf("OTP_SEED=%d %s: %d violations, the first being that %s", seed, f.name, len(wrong), wrong[0])
		}
		total.add(f, h)
		seed++
	}
	t.Log("\n" + total.table())
	if !given {
		require.Empty(t, total.missing(kinds), "before OTP_SEED=%d", seed)
	}
}

// Find makes histories with a fault until one shows that the target is wrong, in words
// that contain says.
func Find(t *testing.T, target Target, faultName, says string) {
	t.Helper()
	const enough = 200 // for what shows in one of ten
	kinds := faultsOf(&target)
	i := slices.IndexFunc(kinds, func(f *fault) bool { return f.name == faultName })
	require.GreaterOrEqual(t, i, 0, "there is no fault %q", faultName)
	seed, _ := seeded(t)
	for n := range uint64(enough) {
		for _, wrong := range record(t, target, kinds[i], seed+n).check() {
			if strings.Contains(wrong, says) {
				t.Logf("history %d shows that %s", n+1, wrong)
				return
			}
		}
	}
	t.Fatalf("nothing found in %d histories from OTP_SEED=%d on", enough, seed)
}

func seeded(t *testing.T) (seed uint64, given bool) {
	t.Helper()
	text := os.Getenv("OTP_SEED")
	if text == "" {
		return uint64(time.Now().UnixNano()), false
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err)
	return seed, true
}
