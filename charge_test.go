package otp_test

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/storetest"
)

// simple is all that a store has to be: its charges are made one by one.
type simple struct {
	otp.Store
	otp.Limiter
}

func newSimple(w *world) func(*otp.Config) {
	return func(c *otp.Config) { c.Store = simple{Store: w.store, Limiter: w.store} }
}

// Without a ChargingStore the service charges first, puts then, and gives back what was
// refused: what a caller sees is the same.
func TestSimpleStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var cfg otp.Config
	w = newWorld(t, newSimple(w), func(c *otp.Config) { cfg = *c })
	store := cfg.Store.(simple).Store.(*recorder)

	r := login(number())
	ch := w.request(r)
	calls := store.take()
	require.Equal(t, "Put", calls[len(calls)-1])
	for _, call := range calls[:len(calls)-1] {
		require.Equal(t, "Take", call)
	}
	_, err := w.Request(t.Context(), r)
	var limited *otp.RateLimitError
	require.ErrorAs(t, err, &limited)
	require.Equal(t, "recipient", limited.Scope)
	require.Equal(t, 30*time.Second, limited.RetryAfter)
	require.Equal(t, []string{"Take", "Get"}, store.take()[:2], "refused at the first charge; nothing to give back")

	_, err = w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(t)), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrMismatch)
	w.clock.advance(30 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)

	// An idempotent repeat and a reference that is live win over limits, here too.
	r = login(number())
	r.IdempotencyKey = "k"
	first := w.request(r)
	again := w.request(r)
	require.Equal(t, first.CreatedAt, again.CreatedAt)
	require.Equal(t, 3, w.box.count())
	r = login(number())
	r.Reference = "order"
	w.request(r)
	_, err = w.Request(t.Context(), r)
	require.ErrorContains(t, err, "Reference")
}

// What the service makes of a simple store keeps the clauses of a charging one.
func TestSimpleStoreConforms(t *testing.T) {
	t.Parallel()
	storetest.RunCharging(t, func(testing.TB) otp.ChargingStore {
		store := memstore.New()
		var s otp.Store = simple{Store: store, Limiter: store}
		return otp.Charging(s, s.(otp.Limiter))
	})
}

// What a refused charge had taken from others before it comes back.
func TestSimpleStoreGivesBack(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"a refused charge", "a live record"} {
		store := memstore.New()
		var s otp.Store = simple{Store: store, Limiter: store}
		cs := otp.Charging(s, s.(otp.Limiter))
		now := newClock().Now()
		rec := otp.Record{
			ID: "r", State: otp.StatePending, MaxAttempts: 1, MaxSends: 1, Sends: 1, CreatedAt: now, SentAt: now, ExpiresAt: now.Add(time.Minute),
		}
		charge := func(key string, n int64) otp.Charge {
			return otp.Charge{Scope: key, Key: key, Cost: 1, Limits: []otp.Limit{{N: n, Per: time.Hour}}, At: now}
		}
		charges := []otp.Charge{charge("a", 1), charge("b", 0)}
		if last == "a live record" {
			charges = []otp.Charge{charge("a", 1), charge("b", 1)}
			_, _, err := cs.Put(t.Context(), rec, now)
			require.NoError(t, err)
		}
		out, err := cs.PutCharged(t.Context(), rec, charges, now)
		require.NoError(t, err)
		require.False(t, out.Applied)
		d, err := cs.Take(t.Context(), "a", 1, charges[0].Limits, now)
		require.NoError(t, err)
		require.True(t, d.OK, last)
	}
}

// A limiter that fails half-way denies, and what it had taken stays taken: too much, never
// too little.
func TestSimpleStoreFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	store := w.store
	w = newWorld(t, newSimple(w))
	n := 0
	store.faults(func(call string) error {
		if n++; call == "Take" && n == 3 {
			return errDisk
		}
		return nil
	}, nil)
	_, err := w.Request(t.Context(), login(number()))
	requireFault(t, err)
	require.NotContains(t, store.take(), "Put")
	require.Zero(t, w.box.count())
}

// Whether there is something to change is asked even if a charge is refused, and who
// cannot tell does not refuse.
func TestSimpleStoreFailsToLook(t *testing.T) {
	t.Parallel()
	store := &blind{Store: memstore.New()}
	var s otp.Store = simple{Store: store, Limiter: store}
	cs := otp.Charging(s, s.(otp.Limiter))
	now := newClock().Now()
	full := []otp.Charge{{Scope: "full", Key: "full", Cost: 1, Limits: []otp.Limit{{N: 0, Per: time.Hour}}, At: now}}
	_, err := cs.PutCharged(t.Context(), otp.Record{ID: "r", State: otp.StatePending, MaxAttempts: 1, MaxSends: 1, ExpiresAt: now.Add(time.Minute)}, full, now)
	require.ErrorIs(t, err, errDisk)
	_, err = cs.ReissueCharged(t.Context(), "r", nil, 1, full, now)
	require.ErrorIs(t, err, errDisk)
}

// blind is a store that cannot be read.
type blind struct{ *memstore.Store }

func (*blind) Get(context.Context, string) (otp.Record, error) { return otp.Record{}, errDisk }

// A limiter that hangs while something is given back holds a request up for seconds, not for good.
func TestSimpleStoreHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := memstore.New()
		w := newWorld(t, func(c *otp.Config) { c.Store = simple{Store: m, Limiter: hangingGive{m}} })
		r := login(number())
		r.Client = netip.MustParseAddr("192.0.2.1")
		w.request(r)
		begin := time.Now()
		_, err := w.Request(t.Context(), r) // charged to the client, and refused by the recipient
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(begin))
	})
}

type hangingGive struct{ otp.Limiter }

func (hangingGive) Give(ctx context.Context, _ string, _ int64, _ []otp.Limit, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

// A Limiter of its own is used even if the store is one.
func TestOwnLimiter(t *testing.T) {
	t.Parallel()
	l := &counting{Limiter: memstore.New()}
	w := newWorld(t, func(c *otp.Config) { c.Limiter = l })
	w.request(login(number()))
	require.Positive(t, l.n)
	require.Equal(t, []string{"Put"}, w.store.take())
}

type counting struct {
	otp.Limiter
	n int
}

func (c *counting) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	c.n++
	return c.Limiter.Take(ctx, key, cost, limits, now)
}
