package otp_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// open is a policy whose send limits are in nobody's way.
func open(p otp.Policy) func(*otp.Config) {
	many := []otp.Limit{{N: 1e6, Per: time.Second}}
	p.Limits = otp.Limits{Recipient: many, Subject: many, Client: many, Prefix: many}
	return policy(p)
}

// lengths requests n challenges for one account and returns the length of each code.
func (w *world) lengths(r otp.Request, n int) (out []int) {
	w.t.Helper()
	for range n {
		w.clock.advance(31 * time.Second)
		w.request(r)
		out = append(out, len(w.box.code(w.t)))
	}
	return out
}

// S-10 S-38 S-41: as guesses run low the codes get longer, and no request is refused. With the
// defaults the fourth abandoned challenge within a day gets 8 digits.
func TestAdaptiveFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{}))
	r := login(number())
	require.Equal(t, []int{6, 6, 6, 8, 8, 8}, w.lengths(r, 6))
	require.Len(t, w.events.of(otp.EventEscalated), 3)
	require.Len(t, w.events.of(otp.EventThreshold), 1, "S-41: the owner is told once")
	w.clock.advance(25 * time.Hour)
	require.Equal(t, []int{6, 6, 6, 8}, w.lengths(r, 4))
	require.Len(t, w.events.of(otp.EventThreshold), 2, "and again on another day")
}

// S-09: a success gives back the reservation of its own handle, and no other.
func TestSuccessGivesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{}))
	r := login(number())
	for range 20 {
		w.clock.advance(31 * time.Second)
		ch := w.request(r)
		require.Len(t, w.box.code(t), 6)
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(t)), Usage: "login"})
		require.Error(t, err)
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
	}
	require.Equal(t, []int{6, 6, 6}, w.lengths(r, 3))
	w.clock.advance(31 * time.Second)
	ch := w.request(r)
	require.Len(t, w.box.code(t), 8)
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	require.Equal(t, []int{8}, w.lengths(r, 1), "the three that nobody answered stay charged")
}

// S-08 FM-21: nothing but success gives back: not cancel, expiry, a refused send, a resend.
func TestNothingElseGivesBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*world, otp.Request){
		"cancel": func(w *world, r otp.Request) { require.NoError(w.t, w.Cancel(w.t.Context(), w.request(r).ID)) },
		"expiry": func(w *world, r otp.Request) {
			w.request(r)
			w.clock.advance(time.Hour)
			_, err := w.Prune(w.t.Context(), w.clock.Now())
			require.NoError(w.t, err)
		},
		"refused send": func(w *world, r otp.Request) {
			w.box.fail(otp.ErrNotAccepted)
			_, err := w.Request(w.t.Context(), r)
			require.ErrorIs(w.t, err, otp.ErrDelivery)
			w.box.fail(nil)
		},
		"exhaustion": func(w *world, r otp.Request) {
			ch := w.request(r)
			for range 6 {
				_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(w.t)), Usage: "login"})
				require.Error(w.t, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open(otp.Policy{}))
			r := login(number())
			for range 3 {
				end(w, r)
				w.clock.advance(31 * time.Second)
			}
			require.Equal(t, []int{8}, w.lengths(r, 1))
		})
	}
}

// S-07 FM-19: guesses are charged to the account over all usages, channels and handles,
// and to the recipient over all accounts.
func TestLedgerIsPerAccountAndRecipient(t *testing.T) {
	t.Parallel()
	t.Run("subject", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, open(otp.Policy{}))
		var got []int
		for i, channel := range []otp.Channel{otp.SMS, otp.Voice, otp.WhatsApp, otp.SMS, otp.Voice} {
			w.request(otp.Request{Channel: channel, Usage: otp.Usage(fmt.Sprint("u", i)), Subject: "alice", To: number()})
			got = append(got, len(w.box.code(t)))
		}
		require.Equal(t, []int{6, 6, 6, 8, 8}, got)
	})
	t.Run("recipient", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, open(otp.Policy{}))
		var got []int
		to := number()
		for i := range 5 {
			w.clock.advance(31 * time.Second)
			w.request(otp.Request{Channel: otp.SMS, Usage: "signup", Subject: fmt.Sprint("fresh", i), To: to})
			got = append(got, len(w.box.code(t)))
		}
		require.Equal(t, []int{6, 6, 6, 8, 8}, got)
	})
	t.Run("fallback recipient", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, open(otp.Policy{}))
		to := number()
		for i := range 3 {
			w.request(otp.Request{
				Channel: otp.SMS, Usage: "signup", Subject: fmt.Sprint("fresh", i), To: number(),
				Fallback: []otp.Route{{Channel: otp.WhatsApp, To: to}},
			})
		}
		w.request(otp.Request{Channel: otp.SMS, Usage: "signup", To: to})
		require.Len(t, w.box.code(t), 8)
	})
	t.Run("tenant", func(t *testing.T) { // S-75
		t.Parallel()
		w := newWorld(t, open(otp.Policy{}))
		r := login(number())
		w.lengths(r, 4)
		_, err := w.Tenant("b").Request(t.Context(), r)
		require.NoError(t, err)
		require.Len(t, w.box.code(t), 6)
	})
}

// S-12: a code that stays valid beside a newer one is reserved like the first; where that
// does not fit, the newer one takes its place.
func TestLiveCodesAreCharged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{}))
	r := login(number())
	ch := w.request(r)
	w.clock.advance(31 * time.Second)
	_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	w.clock.advance(31 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err, "two live codes stay two: nothing more is reserved")
	require.Equal(t, []int{6, 8}, w.lengths(r, 2), "two of three reservations were used")

	w = newWorld(t, open(otp.Policy{}))
	w.lengths(r, 2)
	w.clock.advance(31 * time.Second)
	ch = w.request(r)
	first := w.box.code(t)
	require.Len(t, first, 6)
	w.clock.advance(31 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: first, Usage: "login"})
	require.ErrorIs(t, err, otp.ErrMismatch, "replaced")
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)

	// Both reservations come back with the success.
	w = newWorld(t, open(otp.Policy{}))
	for range 5 {
		w.clock.advance(31 * time.Second)
		ch := w.request(r)
		require.Len(t, w.box.code(t), 6)
		w.clock.advance(31 * time.Second)
		_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
	}
	require.Equal(t, []int{6, 6, 6}, w.lengths(r, 3))
}

// Without a longer format the budget is all there is, and then a request is refused.
func TestFixedFormatIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{Formats: []otp.Format{{Length: 6}}}))
	r := login(number())
	require.Equal(t, []int{6, 6, 6, 6}, w.lengths(r, 4))
	w.clock.advance(31 * time.Second)
	_, err := w.Request(t.Context(), r)
	var limited *otp.RateLimitError
	require.ErrorAs(t, seen.err(err), &limited)
	require.Equal(t, "guesses", limited.Scope)
	// A window is longer by the lifetime of a challenge, in which its guesses may come.
	first := 24*time.Hour + 10*time.Minute - 5*31*time.Second + 31*time.Second
	require.Equal(t, first, limited.RetryAfter, "when the first of them has left the window")
}

// S-11: from half of the tenant's guesses on, everybody's codes are longer.
func TestTenantGuesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{LiveCodes: 1}), func(c *otp.Config) {
		c.TenantGuessLimit = otp.Limit{N: 100 * 5000, Per: 24 * time.Hour}
	})
	short := 0
	for range 100 {
		w.request(login(number()))
		if len(w.box.code(t)) == 6 {
			short++
		}
	}
	require.Equal(t, 50, short)
	require.Len(t, w.events.of(otp.EventEscalated), 50)
	require.Empty(t, w.events.of(otp.EventThreshold), "nobody's own account is attacked")
	_, err := w.Tenant("b").Request(t.Context(), login(number()))
	require.NoError(t, err)
	require.Len(t, w.box.code(t), 6, "other tenants are not disturbed")
}

// A request that the tenant's guesses refuse says when there are some again, and costs the
// tenant no send.
func TestTenantGuessesRefuse(t *testing.T) {
	t.Parallel()
	p := otp.Policy{LiveCodes: 1, Formats: []otp.Format{{Length: 6}}}
	p.Limits.Tenant = []otp.Limit{{N: 100, Per: 24 * time.Hour}}
	w := newWorld(t, policy(p), func(c *otp.Config) {
		c.TenantGuessLimit = otp.Limit{N: 100 * 5000, Per: 24 * time.Hour}
	})
	for range 99 { // what is left of the last lease is less than a challenge needs
		w.request(login(number()))
	}
	for range 10 {
		_, err := w.Request(t.Context(), login(number()))
		var limited *otp.RateLimitError
		require.ErrorAs(t, seen.err(err), &limited)
		require.Equal(t, "tenant", limited.Scope)
		require.InDelta(t, 24*time.Hour, limited.RetryAfter, float64(2*time.Hour))
	}
	long := login(number())
	long.Policy = &otp.Policy{Formats: []otp.Format{{Length: 12}}} // which nobody guesses
	w.request(long)
}

// A repeat sends nothing, so what its tenant may still send or have guessed is no matter.
func TestRepeatAtTheCeiling(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*otp.Config, *otp.Policy){
		"sends": func(_ *otp.Config, p *otp.Policy) { p.Limits.Tenant = []otp.Limit{{N: 1, Per: time.Hour}} },
		"guesses": func(c *otp.Config, p *otp.Policy) {
			p.LiveCodes, p.Formats = 1, []otp.Format{{Length: 6}}
			c.TenantGuessLimit = otp.Limit{N: 20 * 5000, Per: 24 * time.Hour}
		},
	} {
		w := newWorld(t, func(c *otp.Config) {
			p := otp.Policy{}
			edit(c, &p)
			policy(p)(c)
		})
		r := login(number())
		r.IdempotencyKey = rand.Text()
		first := w.request(r)
		var err error
		for err == nil {
			_, err = w.Request(t.Context(), login(number()))
		}
		require.ErrorIs(t, err, otp.ErrRateLimited, name)
		sent := w.box.count()
		again, err := w.Request(t.Context(), r)
		require.NoError(t, err, name)
		require.Equal(t, first.CreatedAt, again.CreatedAt, name)
		require.Equal(t, sent, w.box.count(), name)

		gone := errors.New("the store is gone")
		w.store.faults(func(call string) error {
			if call == "Get" {
				return gone
			}
			return nil
		}, nil)
		_, err = w.Request(t.Context(), r)
		require.ErrorIs(t, err, gone, name)
		w.store.faults(nil, nil)
		require.NoError(t, w.Cancel(t.Context(), first.ID))
		_, err = w.Request(t.Context(), r)
		require.ErrorIs(t, err, otp.ErrRateLimited, "%s: of a dead challenge it would be a new one", name)
	}
}

// S-09: a success says nothing of the recipients of other routes: their streaks go on, until
// somebody answers there.
func TestStreakOfOtherRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{LiveCodes: 1}), func(c *otp.Config) {
		c.GuessLimits = []otp.Limit{{N: 1e6, Per: 24 * time.Hour}, {N: 60_000}}
	})
	victim := number()
	abandoned := func() int {
		w.clock.advance(25 * time.Hour) // so that nothing is left in the window
		w.request(otp.Request{Channel: otp.SMS, Usage: "signup", To: victim})
		return len(w.box.code(t))
	}
	n := 0
	for abandoned() == 6 {
		n++
		require.Less(t, n, 20, "the codes of the victim never get longer")
		w.clock.advance(31 * time.Second)
		ch := w.request(otp.Request{Channel: otp.SMS, Usage: "signup", To: number(), Fallback: []otp.Route{{Channel: otp.Voice, To: victim}}})
		_, err := w.answer(otp.Answer{ID: ch.ID, Usage: "signup", Code: w.box.code(t)})
		require.NoError(t, err)
	}
	require.Equal(t, 11, n, "its own part comes back with each success")
	w.clock.advance(31 * time.Second)
	ch := w.request(otp.Request{Channel: otp.SMS, Usage: "signup", To: victim})
	_, err := w.answer(otp.Answer{ID: ch.ID, Usage: "signup", Code: w.box.code(t)})
	require.NoError(t, err)
	require.Equal(t, 6, abandoned())
}

// Successes give the tenant's guesses back, in whichever process they happen.
func TestTenantGuessesComeBack(t *testing.T) {
	t.Parallel()
	var cfg otp.Config
	w := newWorld(t, open(otp.Policy{LiveCodes: 1}), func(c *otp.Config) {
		c.TenantGuessLimit = otp.Limit{N: 100 * 5000, Per: 24 * time.Hour}
		cfg = *c
	})
	verifier := w.new(cfg) // a process that makes no requests, so never takes a lease
	for i := range 1000 {
		ch := w.request(login(number()))
		require.Len(t, w.box.code(t), 6)
		_, err := []*otp.Service{w.Service, verifier}[i%2].Verify(t.Context(), otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
	}
}

// A tenant's ceiling on sends holds over processes, though each takes its part ahead.
func TestTenantCeiling(t *testing.T) {
	t.Parallel()
	many := []otp.Limit{{N: 1e6, Per: time.Second}}
	var cfg otp.Config
	w := newWorld(t, policy(otp.Policy{Limits: otp.Limits{
		Recipient: many, Subject: many, Client: many, Prefix: many, Tenant: []otp.Limit{{N: 100, Per: time.Hour}},
	}}), func(c *otp.Config) { cfg = *c })
	services := []*otp.Service{w.Service, w.new(cfg), w.new(cfg), w.new(cfg)}
	var mu sync.Mutex
	sent := 0
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			_, err := services[i%4].Request(t.Context(), login(number()))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				sent++
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, sent, 100)
	require.GreaterOrEqual(t, sent, 96, "at most a part of each process is left over")
	_, err := w.Request(t.Context(), login(number()))
	var limited *otp.RateLimitError
	require.ErrorAs(t, err, &limited)
	require.Equal(t, "tenant", limited.Scope)
	require.InDelta(t, time.Hour, limited.RetryAfter, float64(5*time.Minute))
	w.clock.advance(limited.RetryAfter)
	_, err = w.Request(t.Context(), login(number()))
	require.NoError(t, err)
}

// S-43: a request that another limit refuses costs the tenant nothing. Otherwise whoever asks
// for one number again and again could stop the codes of everybody.
func TestRefusedRequestsCostTheTenantNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(otp.Policy{Limits: otp.Limits{Tenant: []otp.Limit{{N: 10, Per: time.Hour}}}}))
	refused := func(r otp.Request, scope string) {
		t.Helper()
		_, err := w.Request(t.Context(), r)
		var limited *otp.RateLimitError
		require.ErrorAs(t, seen.err(err), &limited)
		require.Equal(t, scope, limited.Scope)
	}
	one := login(number())
	w.request(one)
	for range 50 {
		refused(one, "recipient")
	}
	for range 9 {
		w.request(login(number()))
	}
	refused(login(number()), "tenant")
}

// A call that hangs over the tenant's limit holds up no other answer for longer than
// that has time: its code is used up, so its proof has to arrive.
func TestHangingLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where time passes only while everybody waits
		w := newWorld(t)
		hangs, free := make(chan struct{}), make(chan struct{})
		before := w.request(login(number()))
		w.store.faults(func(call string) error {
			if call == "Take" {
				close(hangs)
				<-free
			}
			return nil
		}, nil)
		var wg sync.WaitGroup
		for hanging := false; !hanging; {
			w.clock.advance(4 * time.Minute)
			made := make(chan otp.Challenge, 1)
			wg.Go(func() {
				ch, err := w.Request(context.Background(), login(number()))
				assert.NoError(t, err)
				made <- ch
			})
			select {
			case before = <-made:
			case <-hangs: // the lease has ended, and this call renews it
				hanging = true
			}
		}
		const patience = 50 * time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		begin := time.Now()
		_, err := w.Verify(ctx, otp.Answer{ID: before.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
		require.Equal(t, patience, time.Since(begin))
		close(free)
		wg.Wait()
	})
}

// A lease that was hardly used is given back: several quiet processes do not use up the
// tenant's guesses by themselves.
func TestQuietProcessesGiveLeasesBack(t *testing.T) {
	t.Parallel()
	var cfg otp.Config
	w := newWorld(t, open(otp.Policy{}), func(c *otp.Config) { cfg = *c })
	services := []*otp.Service{w.Service}
	for range 7 {
		services = append(services, w.new(cfg))
	}
	for i := range 24 * 12 * 2 { // one login in five minutes, for two days
		w.clock.advance(5 * time.Minute)
		s := services[i%len(services)]
		ch, err := s.Request(t.Context(), login(number()))
		require.NoError(t, err)
		require.Equal(t, 6, ch.CodeFormat.Length, i)
		_, err = s.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
	}
}

// A success with the longest format ends the streak as any other does.
func TestLongestFormatEndsTheStreak(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{}), func(c *otp.Config) { c.GuessLimits = []otp.Limit{{N: 10_000}} })
	r := login(number())
	for length := 0; length != 16; {
		w.clock.advance(31 * time.Second)
		length = w.request(r).CodeFormat.Length
	}
	w.clock.advance(31 * time.Second)
	ch := w.request(r)
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	require.Equal(t, []int{6}, w.lengths(r, 1))
}

// S-43 S-50 FM-12 FM-32: each limit trips alone, with no HTTP in front of it, and no client can use more than half of a recipient's day.
func TestEachSendLimit(t *testing.T) {
	t.Parallel()
	many := []otp.Limit{{N: 1e6, Per: time.Second}}
	two := []otp.Limit{{N: 2, Per: time.Hour}}
	client := netip.MustParseAddr("2001:db8:1:2::1")
	neighbor := netip.MustParseAddr("2001:db8:1:2::ffff")
	same := "+4930123456"
	for _, tt := range []struct {
		scope  string
		limits otp.Limits
		make   func(i int) otp.Request
	}{
		{"recipient", otp.Limits{Recipient: two, Subject: many, Client: many, Prefix: many}, func(i int) otp.Request {
			return otp.Request{Subject: fmt.Sprint(i), To: same}
		}},
		{"recipient", otp.Limits{Recipient: two, Subject: many, Client: many, Prefix: many}, func(i int) otp.Request {
			return otp.Request{Channel: otp.Email, To: []string{"a@example.com", "A+x@EXAMPLE.com", "a+y@example.com"}[i]}
		}},
		{"subject", otp.Limits{Recipient: many, Subject: two, Client: many, Prefix: many}, func(int) otp.Request {
			return otp.Request{Subject: "alice", To: number()}
		}},
		{"client", otp.Limits{Recipient: many, Subject: many, Client: two, Prefix: many}, func(i int) otp.Request {
			return otp.Request{To: number(), Client: []netip.Addr{client, neighbor, client}[i]}
		}},
		{"client", otp.Limits{Recipient: []otp.Limit{{N: 4, Per: time.Hour}}, Subject: many, Client: many, Prefix: many}, func(i int) otp.Request {
			return otp.Request{To: same, Client: client}
		}},
		{"prefix", otp.Limits{Recipient: many, Subject: many, Client: many, Prefix: two}, func(i int) otp.Request {
			return otp.Request{To: fmt.Sprintf("+4930999%04d", i)}
		}},
	} {
		w := newWorld(t, policy(otp.Policy{Limits: tt.limits}))
		for i := range 3 {
			r := tt.make(i)
			r.Usage = "login"
			if r.Channel == "" {
				r.Channel = otp.SMS
			}
			w.clock.advance(31 * time.Second)
			_, err := w.Request(t.Context(), r)
			if i < 2 {
				require.NoError(t, err, tt.scope)
				continue
			}
			var limited *otp.RateLimitError
			require.ErrorAs(t, seen.err(err), &limited, tt.scope)
			require.Equal(t, tt.scope, limited.Scope)
			require.Positive(t, limited.RetryAfter)
			require.Equal(t, 2, w.box.count())
		}
	}
}

// S-42: of a hundred parallel resends one reaches the provider.
func TestParallelResends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	w.clock.advance(30 * time.Second)
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { _, _ = w.Resend(t.Context(), otp.Resend{ID: ch.ID}) })
	}
	wg.Wait()
	require.Equal(t, 2, w.box.count())
}
