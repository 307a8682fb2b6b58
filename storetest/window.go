package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"otp.example/otp"
)

// exact is the most N/cost for which a limiter may not round times.
const exact = 64

func windowBound(ctx context.Context, l otp.Limiter) error {
	minute := func(n int64, minutes int) otp.Limit {
		return otp.Limit{N: n, Per: time.Duration(minutes) * time.Minute}
	}
	var errs []error
	for i, w := range []walk{
		{name: "one window", limits: []otp.Limit{minute(5, 60)}, costs: []int64{1}},
		{name: "one window, several costs", limits: []otp.Limit{minute(7, 10)}, costs: []int64{1, 2, 3}},
		{name: "three windows", limits: []otp.Limit{minute(3, 10), minute(5, 60), minute(10, 24*60)}, costs: []int64{1}},
		{name: "a window and a running total", limits: []otp.Limit{minute(4, 1), {N: 13}}, costs: []int64{1, 2}},
		{name: "a running total", limits: []otp.Limit{{N: 9}}, costs: []int64{1, 4}, pace: time.Hour},
		{name: "N/cost beyond 64", limits: []otp.Limit{minute(130, 60)}, costs: []int64{1, 2, 2, 5, 40}},
		{name: "two windows, N/cost beyond 64", limits: []otp.Limit{minute(100, 10), minute(1000, 60)}, costs: []int64{1, 3, 30}},
		{name: "a clock that goes back", limits: []otp.Limit{minute(4, 1), minute(9, 10)}, costs: []int64{1, 2}, back: 20 * time.Second},
	} {
		start := []time.Time{now, longAgo, farAhead}[i%3]
		w.numbers = numbers(i)
		errs = append(errs, w.run(ctx, newMeter(l), start))
	}
	errs = append(errs, edges(ctx, l))
	if err := some(errs); err != nil {
		return err
	}
	return repeat(func() error {
		return errors.Join(
			newMeter(l).crowd(ctx, 10, tick, []otp.Limit{minute(10, 60)}),
			newMeter(l).crowd(ctx, 7, 0, []otp.Limit{minute(20, 60), {N: 7}}),
			giveRace(ctx, l),
		)
	})
}

// giveRace takes and gives back at once: what is given back must all be there again.
func giveRace(ctx context.Context, l otp.Limiter) error {
	m := newMeter(l)
	limits := []otp.Limit{{N: 2 * crowd, Per: time.Hour}, {N: 2 * crowd}}
	err := together(crowd, func(i int) error {
		at := now.Add(time.Duration(i) * tick)
		d, err := l.Take(ctx, m.key, 2, limits, at)
		switch {
		case err != nil:
			return err
		case !d.OK:
			return errors.New("a Take was refused although there was room for all")
		case i%2 == 0:
			return l.Give(ctx, m.key, 2, limits, at)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%d goroutines Take 2 each and half of them Give it back: %w", crowd, err)
	}
	for _, limit := range limits {
		m.holds(ctx, "after half of the goroutines gave back what they took", limit, crowd, now.Add(time.Second))
	}
	return m.err()
}

// edges are the sequences that chance seldom finds.
func edges(ctx context.Context, l otp.Limiter) error {
	var errs []error

	// A window that starts with any Take, not at fixed times.
	hour := otp.Limit{N: 4, Per: time.Hour}
	limits := []otp.Limit{hour}
	m := newMeter(l)
	m.take(ctx, "late in a clock hour", true, 4, limits, now.Truncate(time.Hour).Add(time.Hour-tick))
	m.take(ctx, "early in the next clock hour", false, 1, limits, now.Truncate(time.Hour).Add(time.Hour))
	m.take(ctx, "just before the window ends", false, 1, limits, now.Truncate(time.Hour).Add(2*time.Hour-2*tick))
	m.take(ctx, "when the window ends", true, 4, limits, now.Truncate(time.Hour).Add(2*time.Hour-tick))
	errs = append(errs, m.err())

	// A call with a shorter window must not drop what a longer one needs.
	long, short := []otp.Limit{{N: 3, Per: day}}, []otp.Limit{{N: 5, Per: time.Minute}}
	m = newMeter(l)
	m.take(ctx, "that fills the day", true, 3, long, now)
	m.take(ctx, "with a shorter window", true, 1, short, now.Add(time.Hour))
	m.take(ctx, "with a shorter window", true, 1, short, now.Add(2*time.Hour))
	m.take(ctx, "of the day, after Takes with a shorter window", false, 1, long, now.Add(day-tick))
	errs = append(errs, m.err())

	// Beyond 64 a limiter may round, to the later only. The first of these Takes may
	// stay up to Per/64 too long and no moment too short.
	many := []otp.Limit{{N: 130, Per: time.Hour}}
	m = newMeter(l)
	m.take(ctx, "while there is room", true, 2, many, now)
	m.take(ctx, "that fills the window", true, 128, many, now.Add(time.Minute))
	m.take(ctx, "just before the window ends", false, 1, many, now.Add(time.Hour-tick))
	m.take(ctx, "a 64th after the window ends", true, 2, many, now.Add(time.Hour+time.Hour/exact+tick))
	errs = append(errs, m.err())

	// Nothing but Give returns to a running total.
	total := otp.Limit{N: 6}
	limits = []otp.Limit{total}
	m = newMeter(l)
	m.take(ctx, "that fills the total", true, 6, limits, now)
	m.take(ctx, "from a full total, a year later", false, 1, limits, now.Add(365*day))
	m.give(ctx, "of N", 6, limits, now)
	m.holds(ctx, "of the total, after a Give of N", total, 0, now.Add(365*day))
	errs = append(errs, m.err())

	// More than ever fits.
	m = newMeter(l)
	m.take(ctx, "of more than N", false, 5, []otp.Limit{hour}, now)
	m.take(ctx, "with a limit of nothing", false, 1, []otp.Limit{{N: 0, Per: time.Hour}}, now)
	m.holds(ctx, "after a Take of more than N", hour, 0, now)
	errs = append(errs, m.err())
	return errors.Join(errs...)
}

// A walk is a sequence of Takes and Gives on one key.
type walk struct {
	name    string
	limits  []otp.Limit
	costs   []int64
	pace    time.Duration // between calls, about; zero means what keeps the limits full
	back    time.Duration // how far the clock goes back at times
	numbers numbers
}

func (w walk) run(ctx context.Context, m *meter, at time.Time) error {
	const steps = 60
	var sum brute
	if w.pace == 0 {
		w.pace = w.limits[0].Per / 4
	}
	for step := range steps {
		at = w.move(at, &sum)
		cost := w.costs[w.numbers.below(int64(len(w.costs)))]
		if len(sum.log) > 0 && w.numbers.below(6) == 0 {
			i := w.numbers.below(int64(len(sum.log)))
			e := sum.log[i]
			m.give(ctx, "of an earlier Take", e.cost, w.limits, e.at)
			sum.give(int(i))
		} else {
			must, mustNot := sum.decide(cost, w.limits, at)
			d, err := m.limiter.Take(ctx, m.key, cost, w.limits, at)
			switch {
			case err != nil:
				m.failf("Take of %d: the error is %w and should be nil", cost, err)
			case d.OK && mustNot, !d.OK && must:
				m.failf("call %d, Take of %d with limits %v at %s: was %s and should be %s; admitted so far and not given back: %v",
					step+1, cost, w.limits, stamp(at), admitted(d.OK), admitted(must), sum.log)
			}
			if d.OK {
				sum.take(cost, w.limits, at)
			}
			sum.newest = later(sum.newest, at)
		}
		if err := m.err(); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// move goes on in time: often to where something leaves a window, or just before, since
// that is where limiters are wrong.
func (w *walk) move(at time.Time, sum *brute) time.Time {
	switch w.numbers.below(8) {
	case 0, 1, 2:
		limit := w.limits[w.numbers.below(int64(len(w.limits)))]
		for _, e := range sum.log {
			if end := e.at.Add(limit.Per); limit.Per > 0 && end.After(at) {
				return end.Add(-tick * time.Duration(w.numbers.below(2)))
			}
		}
	case 3:
		if w.back > 0 {
			return at.Add(-time.Duration(w.numbers.below(int64(w.back/tick))) * tick)
		}
	}
	return at.Add(time.Duration(w.numbers.below(int64(w.pace/tick))) * tick)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// brute says by adding up what a limiter must do.
type brute struct {
	log    []charge
	newest time.Time     // of all Takes, those refused too
	keep   time.Duration // the longest window
}

type charge struct {
	at    time.Time
	cost  int64
	slack time.Duration // how much longer it may count
}

func (c charge) String() string { return fmt.Sprintf("%d at %s", c.cost, stamp(c.at)) }

func (s *brute) take(cost int64, limits []otp.Limit, at time.Time) {
	c := charge{at: at, cost: cost}
	var shortest time.Duration
	rounds := false
	for _, l := range limits {
		if l.Per == 0 {
			continue
		}
		s.keep = max(s.keep, l.Per)
		if shortest == 0 || l.Per < shortest {
			shortest = l.Per
		}
		rounds = rounds || l.N > cost*exact
	}
	if rounds {
		c.slack = shortest/exact + tick
	}
	s.log = append(s.log, c)
}

func (s *brute) give(i int) { s.log = slices.Delete(s.log, i, i+1) }

// decide reports whether a Take must be admitted and whether it must not be. Where times
// are rounded, and where the clock went back, neither may be true.
func (s *brute) decide(cost int64, limits []otp.Limit, at time.Time) (must, mustNot bool) {
	must = true
	for _, l := range limits {
		if l.Per == 0 {
			if s.sum(func(charge) bool { return true })+cost > l.N {
				return false, true
			}
			continue
		}
		// What has left the longest window once may be gone, also if the clock goes
		// back then.
		gone := later(s.newest, at).Add(-s.keep)
		// A limiter that goes by what is later than at-Per, whatever is later than at
		// included, admits no more than one that looks at every window around at.
		counted := s.sum(func(c charge) bool { return c.at.Add(c.slack).After(at.Add(-l.Per)) })
		must = must && counted+cost <= l.N
		for _, first := range slices.Concat(s.log, []charge{{at: at}}) {
			end := first.at.Add(l.Per)
			if first.at.After(at) || !end.After(at) {
				continue
			}
			inWindow := s.sum(func(c charge) bool { return !c.at.Before(first.at) && c.at.Before(end) && c.at.After(gone) })
			mustNot = mustNot || inWindow+cost > l.N
		}
	}
	return must, mustNot
}

func (s *brute) sum(counts func(charge) bool) (sum int64) {
	for _, c := range s.log {
		if counts(c) {
			sum += c.cost
		}
	}
	return sum
}

func retryAfterIsEarliest(ctx context.Context, l otp.Limiter) error {
	var errs []error
	for i, w := range []walk{
		{name: "one window", limits: []otp.Limit{{N: 5, Per: time.Hour}}, costs: []int64{1}},
		{name: "several costs", limits: []otp.Limit{{N: 7, Per: 10 * time.Minute}}, costs: []int64{1, 2, 5}},
		{name: "three windows", limits: []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: day}}, costs: []int64{1, 2}},
		{name: "the longest window first", limits: []otp.Limit{{N: 6, Per: day}, {N: 2, Per: time.Minute}}, costs: []int64{1}},
	} {
		w.numbers = numbers(i)
		errs = append(errs, w.wait(ctx, newMeter(l)))
	}

	// Waiting does not help.
	window, total := otp.Limit{N: 2, Per: time.Hour}, otp.Limit{N: 2}
	m := newMeter(l)
	if d := m.take(ctx, "of more than N", false, 3, []otp.Limit{window}, now); d.RetryAfter != 0 {
		m.failf("Take of 3 with limit %v: RetryAfter is %v and should be zero, since waiting does not help", window, d.RetryAfter)
	}
	for _, limits := range [][]otp.Limit{{total}, {window, total}, {total, window}} {
		m.key = newName()
		m.take(ctx, "while there is room", true, 2, limits, now)
		if d := m.take(ctx, "when the total is full", false, 1, limits, now); d.RetryAfter != 0 {
			m.failf("Take of 1 with limits %v, after one of 2: RetryAfter is %v and should be zero, since waiting does not help", limits, d.RetryAfter)
		}
	}
	return some(append(errs, m.err()))
}

// wait goes from one refusal to when it says to come back.
func (w walk) wait(ctx context.Context, m *meter) error {
	const steps = 30
	at := now
	type taken struct {
		cost int64
		at   time.Time
	}
	var last []taken
	for range steps {
		at = at.Add(time.Duration(w.numbers.below(int64(time.Minute/tick))) * tick)
		cost := w.costs[w.numbers.below(int64(len(w.costs)))]
		d, err := m.limiter.Take(ctx, m.key, cost, w.limits, at)
		if err == nil && !d.OK && d.RetryAfter > 0 && len(last) > 0 && w.numbers.below(4) == 0 {
			// What is given back makes the wait shorter.
			g := last[len(last)-1]
			last = last[:len(last)-1]
			m.give(ctx, "of the latest Take", g.cost, w.limits, g.at)
			d, err = m.limiter.Take(ctx, m.key, cost, w.limits, at)
		}
		switch {
		case err != nil:
			m.failf("Take of %d: the error is %w and should be nil", cost, err)
		case d.OK:
		case d.RetryAfter <= 0:
			m.failf("Take of %d with limits %v: was refused with RetryAfter %v, which should be more than zero, since waiting helps", cost, w.limits, d.RetryAfter)
		default:
			wait := d.RetryAfter
			m.take(ctx, fmt.Sprintf("1 µs earlier than its RetryAfter of %v", wait), false, cost, w.limits, at.Add(wait-tick))
			at = at.Add(wait)
			m.take(ctx, fmt.Sprintf("after its RetryAfter of %v", wait), true, cost, w.limits, at)
		}
		if err := m.err(); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		last = append(last, taken{cost, at})
	}
	return nil
}
