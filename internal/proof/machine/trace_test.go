package machine_test

import (
	"errors"
	"slices"
	"time"

	"pgregory.net/rapid"

	"otp.example/otp"
)

// answered puts into the trace what an answer told: that a code of c was compared, and
// whether it was right.
func (w *world) answered(c *challenge, err error) {
	if _, wrong := errors.AsType[*otp.MismatchError](err); !wrong && err != nil {
		return
	}
	if err == nil {
		c.verified++
	}
	c.compared++
	g := &guess{at: w.now, mass: float64(c.digests) * 1e9 / codes(c.format), c: c}
	c.late = c.late || !w.now.Before(c.expires)
	for _, l := range append(w.ledgers(&c.spec), w.meter("tenant|"+c.spec.tenant, []otp.Limit{w.rules.tenant})) {
		l.guesses = append(l.guesses, g)
	}
}

// fail reports what the model did not expect. An invariant that is broken by then says
// more.
func (w *world) fail(t *rapid.T, format string, args ...any) {
	t.Helper()
	w.invariants(t)
	t.Fatalf(format, args...)
}

// invariants are recomputed from the answers that were given, whatever the model thought
// of them.
func (w *world) invariants(t *rapid.T) {
	for _, c := range w.challenges {
		switch {
		case c.verified > 1: // S-22
			t.Fatalf("a code was accepted %d times", c.verified)
		case c.verified > 0 && c.mute:
			t.Fatalf("a decoy was verified")
		case c.late: // S-33
			t.Fatalf("a code was compared at its expiry or later")
		case c.compared > c.maxAttempts: // S-23
			t.Fatalf("%d guesses were compared at a challenge of %d", c.compared, c.maxAttempts)
		}
	}
	for _, p := range w.proofs {
		if p.redeemed > 1 { // S-72
			t.Fatalf("a proof was redeemed %d times", p.redeemed)
		}
	}
	for key, m := range w.meters {
		for _, l := range m.limits {
			m.bounded(t, key, l)
		}
	}
}

// bounded looks at every window of a limit that there is in the trace. (S-06, S-43)
func (m *meter) bounded(t *rapid.T, key string, l otp.Limit) {
	var charged, compared []point
	for i, c := range m.charges {
		if !c.gone && !c.unsure && (l.Per > 0 || i >= m.sureFrom) {
			charged = append(charged, point{c.at, float64(c.cost)})
		}
	}
	most := float64(l.N)
	if l.Per == 0 {
		most += float64(m.forgiven)
	}
	if worst := worstWindow(charged, l.Per); worst > most {
		t.Fatalf("%s: %v within %v is more than %d", key, worst, l.Per, l.N)
	}
	var since time.Time // the last success
	for _, g := range m.guesses {
		if g.c.verified > 0 && g.at.After(since) && slices.Contains(g.c.proved, m) {
			since = g.at
		}
	}
	for _, g := range m.guesses {
		// What a success gives back was guessed by somebody who had the code. A streak
		// is of challenges made since the last one.
		if g.c.verified == 0 && (l.Per > 0 || g.c.created.After(since)) {
			compared = append(compared, point{g.at, g.mass})
		}
	}
	// A challenge counts as of its creation and is guessed at until it ends: the service's
	// windows are longer for it, so these are exact.
	if worst := worstWindow(compared, l.Per); worst > most+1e-3 {
		t.Fatalf("%s: guesses of %v within %v is more than %d", key, worst, l.Per, l.N)
	}
}

type point struct {
	at   time.Time
	mass float64
}

// worstWindow is the most that lies in any window, or all if per is zero.
func worstWindow(points []point, per time.Duration) (worst float64) {
	slices.SortStableFunc(points, func(a, b point) int { return a.at.Compare(b.at) })
	sum, first := 0.0, 0
	for _, p := range points {
		sum += p.mass
		for per > 0 && !points[first].at.After(p.at.Add(-per)) {
			sum -= points[first].mass
			first++
		}
		worst = max(worst, sum)
	}
	return worst
}
