package otp_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// S-06 S-09 S-10: a year of somebody who burns every challenge, against the real service,
// at 5, 10 and 48 sends a day. The bounds hold and no challenge is refused. Beside it the
// same budget with codes of one length: it locks the victim out most of the time.
// docs/ledger.md shows the table.
func TestLedgerSimulation(t *testing.T) {
	t.Parallel()
	windows := otp.DefaultGuessLimits()[:2]
	for _, tt := range []struct {
		name    string
		sends   int
		limits  []otp.Limit // nil means the default, which has a streak as well
		fixed   bool        // codes of 6 digits only
		visits  bool        // the owner logs in once a day, in between
		lockout bool
	}{
		{name: "5 a day", sends: 5},
		{name: "10 a day", sends: 10},
		{name: "48 a day", sends: 48},
		{name: "5 a day, no streak", sends: 5, limits: windows},
		{name: "10 a day, no streak", sends: 10, limits: windows},
		{name: "48 a day, no streak", sends: 48, limits: windows},
		{name: "10 a day, owner logs in daily", sends: 10, visits: true},
		{name: "10 a day, 6 digits only, no streak", sends: 10, limits: windows, fixed: true, lockout: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			y := simulate(t, tt.sends, tt.limits, tt.fixed, tt.visits)
			t.Log(y)
			const rounding = 1 + 1e-12 // of sums of floats
			require.LessOrEqual(t, y.day, 2e-5*rounding)
			require.LessOrEqual(t, y.month, 8e-5*rounding)
			require.LessOrEqual(t, y.year, 13*8e-5*rounding, "a year touches 13 windows of 30 days")
			if tt.lockout {
				require.Greater(t, float64(y.refused)/float64(y.asked), 0.9, "the victim is locked out")
			} else {
				require.Zero(t, y.refused, "nobody is locked out")
			}
			if tt.limits == nil && !tt.visits {
				require.LessOrEqual(t, y.year, 1e-4*rounding, "no success ended the streak")
			}
		})
	}
}

type year struct {
	asked, refused   int
	guesses          map[int]int // by length of the code
	day, month, year float64     // chance of a hit: the most in any 24 hours, in any 30 days, and in all
}

func (y year) String() string {
	var at []string
	for _, n := range []int{6, 8, 10, 16} {
		at = append(at, fmt.Sprintf("%d: %d", n, y.guesses[n]))
	}
	return fmt.Sprintf("24 h %.1e, 30 d %.1e, year %.1e, refused %d of %d, guesses by length {%s}",
		y.day, y.month, y.year, y.refused, y.asked, strings.Join(at, ", "))
}

type guess struct {
	at   time.Time
	mass float64
}

func simulate(t *testing.T, sends int, limits []otp.Limit, fixed, visits bool) year {
	p := otp.Policy{LiveCodes: 1}
	if fixed {
		p.Formats = []otp.Format{{Length: 6}}
	}
	w := newWorld(t, open(p), func(c *otp.Config) {
		c.OnEvent, c.GuessLimits = nil, limits
		c.TenantGuessLimit = otp.Limit{N: 1e9, Per: 24 * time.Hour} // one account is no tenant
	})
	y := year{guesses: map[int]int{}}
	r := login(number())
	var guesses []guess
	step := (24 * time.Hour / time.Duration(sends+1)).Truncate(time.Microsecond) // the resolution of the service's clock
	days := 365
	if otp.RaceEnabled {
		days = 60 // the race detector has seen it all by then; `make plain` runs the year
	}
	for range days {
		for range sends {
			w.clock.advance(step)
			y.asked++
			ch, err := w.Request(t.Context(), r)
			if err != nil {
				require.ErrorIs(t, err, otp.ErrRateLimited)
				y.refused++
				continue
			}
			code := w.box.code(t)
			for {
				_, err := w.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: wrong(code), Usage: "login"})
				if !errors.Is(err, otp.ErrMismatch) {
					break
				}
				y.guesses[len(code)]++
				guesses = append(guesses, guess{w.clock.Now(), chance(ch.CodeFormat)})
			}
		}
		w.clock.advance(step)
		if visits {
			ch, err := w.Request(t.Context(), r)
			require.NoError(t, err, "the owner is never locked out")
			_, err = w.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
			require.NoError(t, err)
		}
	}
	y.day, y.month, y.year = most(guesses, 24*time.Hour), most(guesses, 30*24*time.Hour), most(guesses, 366*24*time.Hour)
	return y
}

func chance(f otp.Format) float64 {
	n := 10.0
	if f.Alphabet == otp.Crockford {
		n = 32
	}
	return math.Pow(n, -float64(f.Length))
}

// most is the largest sum in any window, recomputed from the trace.
func most(guesses []guess, window time.Duration) (largest float64) {
	sum, first := 0.0, 0
	for _, g := range guesses {
		sum += g.mass
		for !guesses[first].at.After(g.at.Add(-window)) {
			sum -= guesses[first].mass
			first++
		}
		largest = max(largest, sum)
	}
	return largest
}

// S-11: many accounts, one challenge each: what the tenant can lose in a day stays
// within its limit, and nobody is refused.
func TestSprayingSimulation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, open(otp.Policy{LiveCodes: 1}), func(c *otp.Config) { c.OnEvent = nil })
	total, lengths := 0.0, map[int]int{}
	for range 20_000 {
		w.clock.advance(4 * time.Second) // within a day
		ch, err := w.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: number()})
		require.NoError(t, err)
		lengths[ch.CodeFormat.Length]++
		total += 5 * chance(ch.CodeFormat)
	}
	t.Logf("expected takeovers in a day: %.4f, challenges by length: %v", total, lengths)
	require.LessOrEqual(t, total, 0.01)
	require.InDelta(t, 1000, lengths[6], 40, "half of the limit, less what leases round")
}
