package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"otp.example/otp"
)

var limiterCases = []clause[otp.Limiter]{
	{"WindowBound", "at most N is admitted in any window of length Per, under any concurrency, and as much as that is", windowBound},
	{"AllOrNone", "a refused Take charges none of its limits", allOrNone},
	{"GiveNeverOverfills", "Give never makes room for more than N", giveNeverOverfills},
	{"RetryAfterIsEarliest", "a Take is admitted after RetryAfter and not before, and RetryAfter is zero if waiting does not help", retryAfterIsEarliest},
	{"CanceledContext", "a call whose context is done changes nothing and returns an error", limiterCanceledContext},
	{"BytewiseKeys", "keys that differ in any byte, case and trailing spaces included, name different meters, up to 128 bytes", bytewiseKeys},
	{"Durable", "a charge survives whatever the limiter survives, and no meter is forgotten before Meter.Expires", limiterDurable},
}

// A meter is one key of a limiter.
type meter struct {
	limiter otp.Limiter
	key     string
	errs    []error
}

func newMeter(l otp.Limiter) *meter { return &meter{limiter: l, key: newName()} }

func (m *meter) err() error { return some(m.errs) }

func (m *meter) failf(format string, args ...any) {
	m.errs = append(m.errs, fmt.Errorf(format, args...))
}

// take is a Take that must be admitted or not.
func (m *meter) take(ctx context.Context, what string, want bool, cost int64, limits []otp.Limit, at time.Time) otp.Decision {
	d, err := m.limiter.Take(ctx, m.key, cost, limits, at)
	switch {
	case err != nil:
		m.failf("Take of %d %s: the error is %w and should be nil", cost, what, err)
	case d.OK != want:
		m.failf("Take of %d %s, with limits %v: was %s and should be %s", cost, what, limits, admitted(d.OK), admitted(want))
	}
	return d
}

func (m *meter) give(ctx context.Context, what string, cost int64, limits []otp.Limit, at time.Time) {
	if err := m.limiter.Give(ctx, m.key, cost, limits, at); err != nil {
		m.failf("Give of %d %s: the error is %w and should be nil", cost, what, err)
	}
}

// holds checks that exactly used of l is used up at at. It uses up the rest.
func (m *meter) holds(ctx context.Context, what string, l otp.Limit, used int64, at time.Time) {
	limits := []otp.Limit{l}
	if rest := l.N - used; rest > 0 {
		m.take(ctx, fmt.Sprintf("%s, with %d used", what, used), true, rest, limits, at)
	}
	m.take(ctx, what+", with all used", false, 1, limits, at)
}

func admitted(ok bool) string {
	if ok {
		return "admitted"
	}
	return "refused"
}

func allOrNone(ctx context.Context, l otp.Limiter) error {
	minute, hour := otp.Limit{N: 2, Per: time.Minute}, otp.Limit{N: 5, Per: time.Hour}
	total := otp.Limit{N: 5}
	var errs []error

	// The shorter limit refuses; the longer one must not know.
	for _, limits := range [][]otp.Limit{{minute, hour}, {hour, minute}} {
		m := newMeter(l)
		at := now
		for range 2 {
			m.take(ctx, "while there is room", true, 1, limits, at)
			m.take(ctx, "while there is room", true, 1, limits, at)
			for range 4 {
				m.take(ctx, "when the minute is full", false, 1, limits, at)
			}
			at = at.Add(time.Minute)
		}
		m.holds(ctx, "of the hour, after 4 were admitted and 8 refused", hour, 4, at)
		errs = append(errs, m.err())
	}

	// Beside a running total, which never forgets what it was charged wrongly.
	for _, limits := range [][]otp.Limit{{minute, total}, {total, minute}} {
		m := newMeter(l)
		m.take(ctx, "while there is room", true, 2, limits, now)
		m.take(ctx, "when the minute is full", false, 1, limits, now)
		m.take(ctx, "of more than N", false, 3, limits, now.Add(time.Hour))
		m.holds(ctx, "of the total, after 2 were admitted", total, 2, now.Add(time.Hour))
		errs = append(errs, m.err())
	}

	// The last of as many limits as there may be.
	var limits []otp.Limit
	for i := range otp.MaxLimits {
		limits = append(limits, otp.Limit{N: 3, Per: time.Duration(i+1) * time.Hour})
	}
	limits[otp.MaxLimits-1].N = 1
	m := newMeter(l)
	m.take(ctx, "from 8 limits", true, 1, limits, now)
	m.take(ctx, "when the last of 8 limits is full", false, 1, limits, now)
	m.take(ctx, "when the last of 8 limits is full", false, 2, limits, now)
	m.holds(ctx, "of the first of 8 limits", limits[0], 1, now)
	errs = append(errs, m.err())

	if err := errors.Join(errs...); err != nil {
		return err
	}
	return repeat(func() error {
		m := newMeter(l)
		window, total := otp.Limit{N: 10, Per: time.Hour}, otp.Limit{N: crowd}
		if err := m.crowd(ctx, 10, 0, []otp.Limit{window, total}); err != nil {
			return err
		}
		m.holds(ctx, fmt.Sprintf("of the total, after 10 were admitted and %d refused", crowd-10), total, 10, now)
		return m.err()
	})
}

// crowd lets many goroutines take 1 each, some time apart, of which so many must be
// admitted.
func (m *meter) crowd(ctx context.Context, want int64, apart time.Duration, limits []otp.Limit) error {
	var admitted atomic.Int64
	err := together(crowd, func(i int) error {
		d, err := m.limiter.Take(ctx, m.key, 1, limits, now.Add(time.Duration(i)*apart))
		if d.OK {
			admitted.Add(1)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines Take 1 each, with limits %v", crowd, limits)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n := admitted.Load(); n != want {
		return fmt.Errorf("%s: %d were admitted and %d should be", what, n, want)
	}
	return nil
}

func giveNeverOverfills(ctx context.Context, l otp.Limiter) error {
	window, total := otp.Limit{N: 5, Per: time.Hour}, otp.Limit{N: 5}
	var errs []error
	for _, limit := range []otp.Limit{window, total} {
		limits := []otp.Limit{limit}
		m := newMeter(l)
		m.give(ctx, "of what was never taken", 3, limits, now)
		m.holds(ctx, "after a Give without a Take", limit, 0, now)
		errs = append(errs, m.err())

		m = newMeter(l)
		m.take(ctx, "while there is room", true, 2, limits, now)
		for range 4 {
			m.give(ctx, "of the same Take, again and again", 2, limits, now)
		}
		m.holds(ctx, "after a Take was given back four times", limit, 0, now.Add(tick))
		errs = append(errs, m.err())

		// One of two Takes at the same time.
		m = newMeter(l)
		m.take(ctx, "while there is room", true, 2, limits, now)
		m.take(ctx, "at the same time", true, 1, limits, now)
		m.give(ctx, "of one of two Takes", 2, limits, now)
		m.holds(ctx, "after one of two Takes was given back", limit, 1, now)
		errs = append(errs, m.err())
	}

	// What has left its window makes no room in the next.
	m := newMeter(l)
	limits := []otp.Limit{window}
	m.take(ctx, "that fills the window", true, 5, limits, now)
	later := now.Add(time.Hour)
	m.take(ctx, "that fills the next window", true, 5, limits, later)
	m.give(ctx, "of what has left its window", 5, limits, now)
	m.take(ctx, "when the window is full", false, 1, limits, later)
	m.take(ctx, "when the window is full", false, 1, limits, later.Add(time.Hour-tick))
	m.take(ctx, "that fills the window after that", true, 5, limits, later.Add(time.Hour))
	errs = append(errs, m.err())

	// More than was taken clears a total and no more.
	m = newMeter(l)
	limits = []otp.Limit{total}
	m.take(ctx, "while there is room", true, 2, limits, now)
	m.give(ctx, "to a total of 5", 50, limits, now)
	m.holds(ctx, "after a Give of more than was taken", total, 0, now)
	m.give(ctx, "to a full total of 5", 5, limits, now)
	m.holds(ctx, "after a Give of N", total, 0, now)
	errs = append(errs, m.err())

	if err := errors.Join(errs...); err != nil {
		return err
	}
	return repeat(func() error {
		m := newMeter(l)
		limits := []otp.Limit{window, total}
		m.take(ctx, "that is to stay", true, 1, limits, now)
		m.take(ctx, "that is to be given back", true, 3, limits, now.Add(tick))
		err := together(crowd, func(int) error { return l.Give(ctx, m.key, 3, []otp.Limit{window}, now.Add(tick)) })
		if err != nil {
			return fmt.Errorf("%d goroutines Give the same Take back: %w", crowd, err)
		}
		m.holds(ctx, fmt.Sprintf("after %d goroutines gave the same Take back", crowd), window, 1, now.Add(2*tick))
		return m.err()
	})
}

func limiterCanceledContext(ctx context.Context, l otp.Limiter) error {
	contexts, release := dead(ctx)
	defer release()
	limit := otp.Limit{N: 5, Per: time.Hour}
	limits := []otp.Limit{limit}
	for _, done := range contexts {
		m := newMeter(l)
		m.take(ctx, "while there is room", true, 2, limits, now)
		_, err := l.Take(done, m.key, 1, limits, now)
		m.errs = append(m.errs, mustFail("Take", err))
		err = l.Give(done, m.key, 2, limits, now)
		m.errs = append(m.errs, mustFail("Give", err))
		m.holds(ctx, "after a Take and a Give with a context that was done", limit, 2, now)
		if err := m.err(); err != nil {
			return err
		}
	}
	return nil
}

func bytewiseKeys(ctx context.Context, l otp.Limiter) error {
	limits := []otp.Limit{{N: 1, Per: time.Hour}}
	var errs []error
	keys := variants()
	for pass, want := range []bool{true, false} {
		for _, key := range keys {
			m := &meter{limiter: l, key: key}
			m.take(ctx, fmt.Sprintf("from key %q, after others like it were charged (pass %d)", key, pass+1), want, 1, limits, now)
			errs = append(errs, m.err())
		}
	}
	return some(errs)
}

func limiterDurable(ctx context.Context, l otp.Limiter) error {
	window, long, total := otp.Limit{N: 5, Per: time.Hour}, otp.Limit{N: 3, Per: 30 * day}, otp.Limit{N: 7}
	limits := []otp.Limit{window, long, total}
	m, given := newMeter(l), newMeter(l)
	m.take(ctx, "while there is room", true, 3, limits, now)
	given.take(ctx, "while there is room", true, 3, limits, now)
	given.give(ctx, "of that", 3, limits, now)
	if err := errors.Join(m.err(), given.err()); err != nil {
		return err
	}
	err := together(crowd, func(int) error {
		for range 3 {
			if _, err := l.Take(ctx, newName(), 1, limits, now); err != nil {
				return fmt.Errorf("Take from another key: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	l, after, err := reopen(l)
	if err != nil {
		return err
	}
	m.limiter, given.limiter = l, l
	// What was charged within one limit counts until the longest of them lets it go.
	m.take(ctx, after+", of what is left of the hour", false, 3, []otp.Limit{window}, now.Add(time.Hour-tick))
	m.take(ctx, after+", just before the month is over", false, 1, []otp.Limit{long}, now.Add(30*day-tick))
	m.holds(ctx, after+", of the total, most of a year later", total, 3, now.Add(365*day))
	given.holds(ctx, after+", of what was given back", long, 0, now)
	return errors.Join(m.err(), given.err())
}
