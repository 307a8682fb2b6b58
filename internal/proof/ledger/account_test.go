package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// rates are how many codes an attacker asks for in a day.
func rates() []int {
	if long() {
		return []int{5, 10, 48}
	}
	return []int{10}
}

// A month of the fastest attack, for runs that are too short for a year of it.
func TestMonthOfAttack(t *testing.T) { // S-06 S-10
	t.Parallel()
	w := newWorld(t, otp.Policy{}, func(c *otp.Config) { c.GuessLimits = windows })
	got := w.attack(ann, 48, 40*day, false)
	t.Log(got.row("48 codes a day, 40 days"))
	got.inWindows(t)
	require.Zero(t, got.refused)
}

// attack asks for so many codes a day for so long, and uses up the guesses at each:
// at once, or in the last moment before the next.
func (w *world) attack(r otp.Request, perDay int, during time.Duration, late bool) *tally {
	w.t.Helper()
	out := &tally{}
	for end := w.now.Add(during); w.now.Before(end); {
		begin := w.now
		ch, err := w.Request(w.t.Context(), r)
		out.requests++
		if errors.Is(err, otp.ErrRateLimited) {
			out.refused++
		} else {
			require.NoError(w.t, err)
			if late {
				w.now = ch.ExpiresAt.Add(-time.Microsecond)
			}
			w.miss(w.Service, r, ch.ID, w.sent, 5, out)
		}
		w.now = begin.Add(day / time.Duration(perDay))
	}
	return out
}

func (t *tally) row(name string) string {
	s := fmt.Sprintf("%-34s P/24h %.2e  P/30d %.2e  P/year %.2e  refused %d of %d ", name, t.worst(day), t.worst(month), t.worst(year), t.refused, t.requests)
	for _, l := range sorted(t.byLength) {
		s += fmt.Sprintf(" %d:%d", l, t.byLength[l])
	}
	return s
}

// S-06 S-10: somebody who uses up every guess at every code for a year has less than one
// chance in a thousand, and no request is refused for it. wantShort is what the simulation
// had by which the limits were chosen. It let a challenge in by the chance of its guesses;
// the ledger counts whole parts of 1e9, so ten symbols cost more than their chance and
// sixteen are reached sooner.
func TestYearOfAttack(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		perDay, wantShort int
		late              bool
	}{
		{perDay: 5, wantShort: 830},
		{perDay: 10, wantShort: 780},
		{perDay: 10, wantShort: 780, late: true},
		{perDay: 48, wantShort: 390},
	} {
		if tt.perDay > 10 && !long() {
			continue
		}
		t.Run(fmt.Sprintf("%d late %v", tt.perDay, tt.late), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, otp.Policy{}, func(c *otp.Config) { c.GuessLimits = windows })
			got := w.attack(ann, tt.perDay, year, tt.late)
			t.Log(got.row(fmt.Sprintf("%d codes a day, late %v", tt.perDay, tt.late)))
			got.inWindows(t)
			atMost(t, 9.8e-4, got.sum(), "a year")
			require.Zero(t, got.refused)
			require.Equal(t, 365*tt.perDay, got.requests)
			require.InDelta(t, tt.wantShort, got.byLength[6], 60, "guesses at 6 digits")
		})
	}
}

// inWindows wants the bounds of a day and a month, however late the guesses at a challenge
// come.
func (t *tally) inWindows(tb testing.TB) {
	tb.Helper()
	atMost(tb, perDay, t.worst(day), "24 hours")
	atMost(tb, perMonth, t.worst(month), "30 days")
}

// S-06: the windows of a day as close together as they come: guesses in the last moment of
// one day's challenges, and at once at those of the next.
func TestGuessesAtTheSeam(t *testing.T) {
	t.Parallel()
	w := newWorld(t, otp.Policy{})
	out := &tally{}
	begin := w.now
	ids := map[string]string{}
	for range 3 {
		id, code := w.request(w.Service, ann)
		ids[id] = code
		w.now = w.now.Add(30 * time.Second)
	}
	w.now = begin.Add(5*time.Minute - time.Microsecond) // the first of them ends
	for id, code := range ids {
		w.miss(w.Service, ann, id, code, 5, out)
	}
	w.now = begin.Add(day)
	for range 3 {
		id, code := w.request(w.Service, ann)
		w.miss(w.Service, ann, id, code, 5, out)
		w.now = w.now.Add(30 * time.Second)
	}
	t.Logf("%.1e within %v, %.1e within 24h", out.worst(day-5*time.Minute), day-5*time.Minute, out.worst(day))
	out.inWindows(t)
}

// S-06: the worst year is one of bursts. Of the windows of 30 days thirteen begin within
// it, so what holds for a month holds thirteen times.
func TestYearOfBursts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, otp.Policy{}, func(c *otp.Config) { c.GuessLimits = windows })
	all := &tally{}
	for end := w.now.Add(year); w.now.Before(end); {
		begin := w.now
		for range 5 { // an hour of attack each, and then 26 until all of it is forgotten
			one := w.attack(ann, 2400, time.Hour, false)
			require.Zero(t, one.refused)
			all.points = append(all.points, one.points...)
			w.now = w.now.Add(26 * time.Hour)
		}
		w.now = begin.Add(month + time.Hour)
	}
	t.Logf("100 codes in an hour on 5 of 30 days: P/24h %.2e P/30d %.2e P/year %.2e", all.worst(day), all.worst(month), all.sum())
	all.inWindows(t)
	atMost(t, 13*perMonth, all.sum(), "a year")
}

// Why codes get longer instead: with six digits for ever the same budget bounds the
// guesses as well, and turns 95 of 100 requests away, the owner's like the attacker's.
func TestYearOfLockout(t *testing.T) {
	t.Parallel()
	w := newWorld(t, otp.Policy{Formats: []otp.Format{{Length: 6}}}, func(c *otp.Config) { c.GuessLimits = windows })
	got := w.attack(ann, 10, year, false)
	t.Log(got.row("10 codes a day, six digits"))
	got.inWindows(t)
	atMost(t, 13*perMonth, got.sum(), "13 windows of 30 days begin within a year")
	require.InDelta(t, 3455, got.refused, 60)
}

// S-06: without a success of the owner an attack ends for good at the limit of a streak:
// what it still gets are codes of 80 bits.
func TestYearOfAttackWithoutSuccess(t *testing.T) {
	t.Parallel()
	for _, perDay := range rates() {
		w := newWorld(t, otp.Policy{})
		got := w.attack(ann, perDay, year, false)
		t.Log(got.row(fmt.Sprintf("%d codes a day, with the streak", perDay)))
		got.inWindows(t)
		atMost(t, perStreak, got.sum(), "since the last success")
		require.Zero(t, got.refused)
	}
}

// S-09 S-38: an owner who gets in once a day while somebody attacks is never refused, and
// the attacker has no more for it.
func TestYearOfVictim(t *testing.T) {
	t.Parallel()
	for _, perDay := range rates() {
		t.Run(fmt.Sprint(perDay), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, otp.Policy{})
			all, own := &tally{}, map[int]int{}
			for range 365 {
				one := w.attack(ann, perDay, day, false)
				all.points = append(all.points, one.points...)
				require.Zero(t, one.refused)
				id, code := w.request(w.Service, ann)
				own[len(code)]++
				w.miss(w.Service, ann, id, code, 2, &tally{}) // given back, as the next one is right
				w.hit(ann, id, code)
				w.now = w.now.Add(30 * time.Second) // between two messages
			}
			t.Logf("%2d codes a day: P/year %.2e; the owner's codes by length %v", perDay, all.sum(), own)
			all.inWindows(t)
			atMost(t, perYear, all.sum(), "a year")
		})
	}
}

// S-07 S-50: over however many usages, channels and handles guesses are spread, they are
// the same guesses.
func TestSplitGuesses(t *testing.T) {
	t.Parallel()
	formats := []otp.Format{{Length: 6}, {Length: 8}, {Length: 10, Alphabet: otp.Crockford}, {Length: 16, Alphabet: otp.Crockford}}
	try := func(usages []otp.Usage, routes []otp.Route) *tally {
		w := newWorld(t, otp.Policy{Formats: formats})
		out := &tally{}
		type held struct {
			r        otp.Request
			id, code string
		}
		var handles []held
		for i := range 100 {
			r := otp.Request{Usage: usages[i/4%len(usages)], Subject: "ann", Channel: routes[i].Channel, To: routes[i].To}
			id, code := w.request(w.Service, r)
			handles = append(handles, held{r, id, code})
			w.now = w.now.Add(time.Second)
		}
		for i := range 5 * len(handles) { // all handles in turn
			h := handles[i%len(handles)]
			w.miss(w.Service, h.r, h.id, h.code, 1, out)
		}
		return out
	}
	var routes []otp.Route
	for i := range 100 { // as nothing here waits between two messages to one number
		routes = append(routes, otp.Route{Channel: otp.SMS, To: fmt.Sprintf("+49301230%02d", i)})
	}
	var mixed []otp.Route
	for i := range 25 {
		mixed = append(
			mixed,
			otp.Route{Channel: otp.SMS, To: fmt.Sprintf("+49301231%02d", i)}, otp.Route{Channel: otp.Voice, To: fmt.Sprintf("+49301232%02d", i)},
			otp.Route{Channel: otp.WhatsApp, To: fmt.Sprintf("+49301233%02d", i)}, otp.Route{Channel: otp.Email, To: fmt.Sprintf("a%d@example.com", i)},
		)
	}
	one := try([]otp.Usage{"login"}, routes)
	split := try([]otp.Usage{"login", "signup", "payment", "recovery", "delete"}, mixed)
	require.Equal(t, one.byLength, split.byLength)
	atMost(t, perDay, split.sum(), "a day")
	t.Logf("guesses by length in one place %v, over 5 usages and 4 channels %v: %.2e", one.byLength, split.byLength, split.sum())
}

// S-08 FM-21: whatever is done but to get in, in any order, what is charged stays charged:
// after each step the store has no more room than a meter beside it that nothing is ever
// given back to.
func TestNothingReducesTheLedger(t *testing.T) {
	t.Parallel()
	runs := 20
	if long() {
		runs = 500
	}
	for seed := range uint64(runs) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		store := &recorder{ChargingStore: memstore.New(), ledgers: map[string]otp.Meter{}}
		w := newWorld(t, otp.Policy{MaxSends: 10, LiveCodes: 3}, func(c *otp.Config) { c.Store = store })
		var ids []string
		for step := range 100 {
			var id string
			if len(ids) > 0 {
				id = ids[rnd.IntN(len(ids))]
			}
			switch rnd.IntN(8) {
			case 0, 1:
				id, _ = w.request(w.Service, ann)
				ids = append(ids, id)
				w.now = w.now.Add(30 * time.Second)
			case 2, 3:
				_, _ = w.Resend(t.Context(), otp.Resend{ID: id})
				w.now = w.now.Add(30 * time.Second)
			case 4:
				w.now = w.now.Add(time.Duration(rnd.IntN(10)) * time.Minute)
			case 5:
				w.restart()
			case 6:
				_ = w.Cancel(t.Context(), id)
			case 7:
				_, err := w.Prune(t.Context(), w.now)
				require.NoError(t, err)
				next := fmt.Sprint("k", step+1)
				require.NoError(t, w.keys.Rotate(newKey(next)))
				require.NoError(t, w.keys.Retire(w.before))
				w.before = next
			}
			store.keeps(t, w.now)
		}
		require.Len(t, store.ledgers, 2, "the account's and the number's, under all keys")
		require.Zero(t, store.given)
	}
}

// What the recorder sees is what codes are chosen by: after three abandoned challenges the
// next code is longer, whatever is done in between.
func TestNothingShortensCodes(t *testing.T) {
	t.Parallel()
	for name, between := range map[string]func(w *world, id string){
		"nothing": func(*world, string) {},
		"expiry": func(w *world, _ string) {
			w.now = w.now.Add(time.Hour)
			_, err := w.Prune(w.t.Context(), w.now)
			require.NoError(w.t, err)
		},
		"resend": func(w *world, id string) { _, _ = w.Resend(w.t.Context(), otp.Resend{ID: id}) },
		"cancel": func(w *world, id string) { require.NoError(w.t, w.Cancel(w.t.Context(), id)) },
		"restart": func(w *world, _ string) {
			w.restart()
		},
		"new keys": func(w *world, _ string) {
			require.NoError(w.t, w.keys.Rotate(newKey(fmt.Sprint("r", w.now.Unix()))))
		},
		"other usage": func(w *world, _ string) {
			r := ann
			r.Usage = "signup"
			w.length(r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, otp.Policy{})
			for range 3 {
				id, _ := w.request(w.Service, ann)
				w.now = w.now.Add(30 * time.Second)
				between(w, id)
				w.now = w.now.Add(30 * time.Second)
			}
			require.Equal(t, 8, w.length(ann))
		})
	}
}

// S-41: the owner is told once a day, however many requests see it at once and wherever.
func TestThresholdIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, otp.Policy{})
	services := []*otp.Service{w.Service}
	for range 3 {
		s, err := otp.New(w.cfg)
		require.NoError(t, err)
		services = append(services, s)
	}
	for n := range 3 {
		for range 3 {
			w.length(ann)
			w.now = w.now.Add(30 * time.Second)
		}
		var all sync.WaitGroup
		for i := range 64 {
			all.Go(func() {
				r := ann
				r.To = fmt.Sprintf("+493012%05d", 100*n+i)
				_, err := services[i%4].Request(context.Background(), r)
				assert.NoError(t, err)
			})
		}
		all.Wait()
		require.Equal(t, n+1, w.told[otp.EventThreshold])
		require.GreaterOrEqual(t, w.told[otp.EventEscalated], 64*(n+1))
		w.now = w.now.Add(day + time.Hour)
	}
}

// S-39 S-75: what is guessed at one account, address or tenant makes nobody else's code
// longer.
func TestLedgersAreIndependent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, otp.Policy{})
	w.attack(ann, 480, time.Hour, false)
	require.Greater(t, w.length(ann), 6)
	bob := otp.Request{Channel: otp.SMS, Usage: "login", Subject: "bob", To: "+4930123457"}
	require.Equal(t, 6, w.length(bob), "another account")
	_, code := w.request(w.Tenant("b"), ann)
	require.Len(t, code, 6, "another tenant")
	w.now = w.now.Add(30 * time.Second) // between two messages
	again := ann
	again.Subject = "bob"
	require.Greater(t, w.length(again), 6, "the same address")
	again = ann
	again.To = "+4930123458"
	require.Greater(t, w.length(again), 6, "the same account")
}

// A recorder keeps a meter of its own for each ledger that a store charges, and counts what
// is given back to one, by whichever call.
type recorder struct {
	otp.ChargingStore
	ledgers map[string]otp.Meter // by key
	given   int
}

func (r *recorder) add(c []otp.Charge) {
	for _, one := range c {
		if one.Scope != "guesses" {
			continue
		}
		m, d := r.ledgers[one.Key].Take(one.Cost, one.Limits, one.At)
		if !d.OK {
			panic("the store admitted what there was no room for")
		}
		r.ledgers[one.Key] = m
	}
}

// keeps wants the store to refuse, at each limit, one part more than the ledgers have room
// for. A Take that is refused changes nothing, so the store can be asked itself.
func (r *recorder) keeps(t *testing.T, now time.Time) {
	t.Helper()
	for _, l := range otp.DefaultGuessLimits() {
		limits := []otp.Limit{l}
		for key, m := range r.ledgers {
			tooMuch := sort.Search(int(l.N), func(cost int) bool {
				_, d := m.Take(int64(cost), limits, now)
				return !d.OK
			})
			require.Less(t, int64(tooMuch), l.N, "nothing was charged")
			d, err := r.Take(t.Context(), key, int64(tooMuch), limits, now)
			require.NoError(t, err)
			require.False(t, d.OK, "the store has room for %d parts of %v", tooMuch, l)
		}
	}
}

func (r *recorder) PutCharged(ctx context.Context, rec otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	out, err := r.ChargingStore.PutCharged(ctx, rec, c, now)
	if out.Applied {
		r.add(c)
	}
	return out, err
}

func (r *recorder) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	out, err := r.ChargingStore.ReissueCharged(ctx, id, digest, live, c, now)
	if out.Applied {
		r.add(c)
	}
	return out, err
}

func (r *recorder) GiveAll(ctx context.Context, c []otp.Charge) error {
	for _, one := range c {
		r.givenTo(one.Key)
	}
	return r.ChargingStore.GiveAll(ctx, c)
}

func (r *recorder) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	r.givenTo(key)
	return r.ChargingStore.Give(ctx, key, cost, limits, at)
}

func (r *recorder) givenTo(key string) {
	if _, ledger := r.ledgers[key]; ledger {
		r.given++
	}
}

func (r *recorder) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.ChargingStore.(otp.Pruner).Prune(ctx, before, limit)
}
