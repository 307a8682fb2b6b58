package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// spray asks for a code for each of n accounts and guesses once at each, all within an
// hour. After every restartEach the process dies and another takes over.
func spray(t *testing.T, w *world, n, restartEach int) *tally {
	t.Helper()
	out := &tally{requests: n}
	step := time.Hour / time.Duration(n)
	for i := range n {
		r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("account ", i), To: fmt.Sprintf("+49%09d", i)}
		id, code := w.request(w.Service, r)
		w.miss(w.Service, r, id, code, 5, out)
		if restartEach > 0 && i%restartEach == restartEach-1 {
			w.restart()
		}
		w.now = w.now.Add(step)
	}
	return out
}

// S-11: many accounts with few guesses at each have no more of a chance than the tenant's
// limit, whatever their number: from half of it on codes are longer, and then longer
// still. A process that dies takes the rest of its lease along, so codes get longer
// earlier, never later.
func TestSpray(t *testing.T) {
	t.Parallel()
	limit, accounts := otp.Limit{N: 200_000, Per: day}, 3_000
	if long() {
		limit.N, accounts = 1e7, 1_000_000 // the default
	}
	try := func(restartEach int) *tally {
		w := newWorld(t, otp.Policy{}, func(c *otp.Config) {
			c.TenantGuessLimit = limit
			c.Store = memstore.NewBounded(memstore.Bounds{Entries: 8 << 20, Bytes: 4 << 30})
		})
		got := spray(t, w, accounts, restartEach)
		t.Logf("%d accounts, limit %.0e, restart after each %d: %.2e by length %v", accounts, float64(limit.N)/1e9, restartEach, got.sum(), got.byLength)
		return got
	}
	whole := try(0)
	// A challenge is charged for all codes that it may have live, two here, and for all
	// attempts; half of the limit is for six digits, a quarter for eight.
	six := int(limit.N / 2 / 10_000)
	eight := int(limit.N / 4 / 100)
	require.InDelta(t, 5*six, whole.byLength[6], float64(5*six)/10+5)
	require.InDelta(t, 5*eight, whole.byLength[8], float64(5*eight)/5)
	for _, restartEach := range []int{0, 100, 7} {
		got := whole
		if restartEach > 0 {
			got = try(restartEach)
		}
		require.LessOrEqual(t, got.byLength[6], whole.byLength[6])
		require.LessOrEqual(t, got.byLength[6]+got.byLength[8], whole.byLength[6]+whole.byLength[8])
		atMost(t, float64(limit.N)/1e9, got.sum(), "the tenant's limit")
	}
}

// S-11: the limit holds in every window of a day while the attack goes on for a week, from
// four processes that come and go.
func TestSprayOverDays(t *testing.T) {
	t.Parallel()
	limit := otp.Limit{N: 200_000, Per: day}
	w := newWorld(t, otp.Policy{}, func(c *otp.Config) { c.TenantGuessLimit = limit })
	services := make([]*otp.Service, 4)
	out := &tally{}
	n := 0
	for d := range 7 {
		for i := range services {
			if (d+i)%2 == 0 || services[i] == nil {
				s, err := otp.New(w.cfg)
				require.NoError(t, err)
				services[i] = s
			}
		}
		for i := range 400 {
			s := services[i%4]
			n++
			r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("account ", n), To: fmt.Sprintf("+49%09d", n)}
			id, code := w.request(s, r)
			w.miss(s, r, id, code, 5, out)
			w.now = w.now.Add(day / 400)
		}
	}
	t.Logf("in 24 hours at most %.2e of %.0e, by length %v", out.worst(day), float64(limit.N)/1e9, out.byLength)
	atMost(t, float64(limit.N)/1e9, out.worst(day), "24 hours")
}

// S-11 S-75: the ledger is one tenant's.
func TestSprayIsOneTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t, otp.Policy{}, func(c *otp.Config) { c.TenantGuessLimit = otp.Limit{N: 200_000, Per: day} })
	spray(t, w, 100, 0)
	require.Greater(t, w.length(ann), 6)
	_, code := w.request(w.Tenant("b"), ann)
	require.Len(t, code, 6)
}
