package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"otp.example/otp"
)

var prunerCases = []clause[PruningStore]{
	{"PruneKeepsLive", "Prune forgets no record before ExpiresAt, no meter before Meter.Expires and no counter", pruneKeepsLive},
	{"PruneIsBounded", "Prune forgets what has expired, at most max at a call, and reports how many, until nothing is left", pruneIsBounded},
}

// prune is a call that reports at most max.
func prune(ctx context.Context, s PruningStore, before time.Time, max int) (int, error) {
	n, err := s.Prune(ctx, before, max)
	switch {
	case err != nil:
		return 0, fmt.Errorf("Prune: the error is %w and should be nil", err)
	case n < 0 || n > max:
		return 0, fmt.Errorf("Prune with max %d: reports %d and should report 0 to max", max, n)
	}
	return n, nil
}

// pruneAll calls Prune as Service.Prune does.
func pruneAll(ctx context.Context, s PruningStore, before time.Time, max int, after func(n int) error) error {
	const enough = 20_000 // in a shared database others may have left something
	for range enough {
		n, err := prune(ctx, s, before, max)
		if err != nil || n == 0 {
			return err
		}
		if err := after(n); err != nil {
			return err
		}
	}
	return fmt.Errorf("Prune with max %d: still finds something after %d calls, and should report 0 when nothing is left", max, enough)
}

func pruneKeepsLive(ctx context.Context, s PruningStore) error {
	start := pruneEpoch
	everyone := func(int) error { return nil }

	// Records that still accept a code, and others that still say why they do not.
	var kept []*challenge
	for i := range 3 {
		c, err := begin(ctx, s, newRecord(start), changing)
		if err != nil {
			return err
		}
		kept = append(kept, c)
		if i > 0 {
			c.spend(ctx, "with the right code", c.want.Digests, start)
		}
		if i > 1 {
			c.cancel(ctx, "of a verified record", start)
		}
	}
	// And one in the place of another, whose time has come.
	again, err := begin(ctx, s, newRecord(start.Add(-2*lifetime)), changing)
	if err != nil {
		return err
	}
	again.put(ctx, "over an expired record", sameID(again, newRecord(start)), start)
	kept = append(kept, again)
	hour, month, total := otp.Limit{N: 2, Per: time.Hour}, otp.Limit{N: 2, Per: 30 * day}, otp.Limit{N: 2}
	window, long, streak, late := newMeter(s), newMeter(s), newMeter(s), newMeter(s)
	window.take(ctx, "while there is room", true, 2, []otp.Limit{hour}, start)
	long.take(ctx, "while there is room", true, 2, []otp.Limit{hour, month}, start)
	long.take(ctx, "with the shorter window only", true, 1, []otp.Limit{hour}, start.Add(2*time.Hour))
	streak.take(ctx, "while there is room", true, 2, []otp.Limit{hour, total}, start)
	// Charged again, and so there for longer.
	late.take(ctx, "while there is room", true, 1, []otp.Limit{hour}, start)
	late.take(ctx, "while there is room", true, 1, []otp.Limit{hour}, start.Add(50*time.Minute))
	counters, counts := s.(otp.CounterStore)
	var c *counter
	if counts {
		c = newCounter(counters)
		c.advance(ctx, "of a new key", 5, true)
	}

	// Each is looked at a moment before it may go, after Prune with that moment.
	var errs []error
	for _, step := range []struct {
		at    time.Time
		check func(at time.Time, after string)
	}{
		{start.Add(lifetime - tick), func(at time.Time, after string) {
			for _, c := range kept {
				c.get(ctx, after)
				c.spend(ctx, "with the right code, "+after, c.want.Digests, at)
				errs = append(errs, c.err())
			}
		}},
		{start.Add(time.Hour - tick), func(at time.Time, after string) {
			window.take(ctx, after, false, 1, []otp.Limit{hour}, at)
			late.take(ctx, after, false, 1, []otp.Limit{hour}, at)
		}},
		{start.Add(time.Hour + 50*time.Minute - tick), func(at time.Time, after string) {
			late.take(ctx, after, false, 2, []otp.Limit{hour}, at)
		}},
		{start.Add(30*day - tick), func(at time.Time, after string) {
			long.take(ctx, after, false, 1, []otp.Limit{month}, at)
		}},
		{start.Add(365 * day), func(at time.Time, after string) {
			streak.take(ctx, after, false, 1, []otp.Limit{total}, at)
		}},
	} {
		if err := pruneAll(ctx, s, step.at, 100, everyone); err != nil {
			return err
		}
		step.check(step.at, fmt.Sprintf("after Prune %v later", step.at.Sub(start)))
	}
	if counts {
		c.advance(ctx, "after Prune", 5, false)
		errs = append(errs, c.err())
	}
	errs = append(errs, window.err(), long.err(), streak.err(), late.err())
	return some(errs)
}

func pruneIsBounded(ctx context.Context, s PruningStore) error {
	const many, few = 20, 3
	hour := otp.Limit{N: 1, Per: time.Hour}
	var ids, keys []string
	for range many {
		c, err := begin(ctx, s, newRecord(pruneEpoch), state)
		if err != nil {
			return err
		}
		m := newMeter(s)
		m.take(ctx, "while there is room", true, 1, []otp.Limit{hour}, pruneEpoch)
		if err := m.err(); err != nil {
			return err
		}
		ids, keys = append(ids, c.want.ID), append(keys, m.key)
	}
	// held counts the records that are left. Meters cannot be counted: to ask for one
	// is to charge it.
	held := func() (int, error) {
		left := ids[:0]
		for _, id := range ids {
			switch _, err := s.Get(ctx, id); {
			case err == nil:
				left = append(left, id)
			case !errors.Is(err, otp.ErrNotFound):
				return 0, fmt.Errorf("Get after Prune: the error is %w and should be nil or otp.ErrNotFound", err)
			}
		}
		ids = left
		return len(left), nil
	}
	before := pruneEpoch.Add(300 * day)
	if _, err := prune(ctx, s, before, 0); err != nil {
		return err
	}
	was := many
	err := pruneAll(ctx, s, before, few, func(n int) error {
		is, err := held()
		if gone := was - is; err == nil && gone > n {
			err = fmt.Errorf("Prune with max %d: %d records are gone and it reports %d", few, gone, n)
		}
		was = is
		return err
	})
	if err != nil {
		return err
	}
	if was, err = held(); err != nil {
		return err
	}
	if was > 0 {
		return fmt.Errorf("Prune until nothing is left: %d of %d records that expired %v before are still there, and none should be", was, many, 300*day)
	}
	for _, key := range keys {
		m := &meter{limiter: s, key: key}
		m.take(ctx, "from a meter that was pruned, at its old time", true, 1, []otp.Limit{hour}, pruneEpoch)
		if err := m.err(); err != nil {
			return err
		}
	}
	return nil
}
