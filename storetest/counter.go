package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"

	"otp.example/otp"
)

var counterCases = []clause[otp.CounterStore]{
	{"AdvanceIsMonotone", "of concurrent calls with the same counter exactly one is applied, and none with a lower one after it", advanceIsMonotone},
	{"CanceledContext", "a call whose context is done changes nothing and returns an error", counterCanceledContext},
	{"BytewiseKeys", "keys that differ in any byte, case and trailing spaces included, name different counters, up to 128 bytes", counterBytewiseKeys},
	{"Durable", "counters are never forgotten while the store lasts", counterDurable},
}

// A counter is one key of a counter store.
type counter struct {
	store otp.CounterStore
	key   string
	errs  []error
}

func newCounter(s otp.CounterStore) *counter { return &counter{store: s, key: newName()} }

func (c *counter) err() error { return some(c.errs) }

func (c *counter) advance(ctx context.Context, what string, to uint64, want bool) {
	applied, err := c.store.Advance(ctx, c.key, to)
	switch {
	case err != nil:
		c.errs = append(c.errs, fmt.Errorf("Advance to %d %s: the error is %w and should be nil", to, what, err))
	case applied != want:
		c.errs = append(c.errs, fmt.Errorf("Advance to %d %s: was %s and should be %s", to, what, doneName(applied), doneName(want)))
	}
}

func advanceIsMonotone(ctx context.Context, s otp.CounterStore) error {
	c := newCounter(s)
	c.advance(ctx, "of a new key", 0, true)
	c.advance(ctx, "again", 0, false)
	// A number that a store keeps as a float or as a signed one goes wrong here.
	for _, n := range []uint64{1, 7, 1 << 31, 1 << 32, 1 << 53, 1<<53 + 1, math.MaxInt64, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		c.advance(ctx, "from a lower one", n, true)
		c.advance(ctx, "again", n, false)
		c.advance(ctx, "from the next one", n-1, false)
		c.advance(ctx, "from a far higher one", n/2, false)
	}
	if err := c.err(); err != nil {
		return err
	}
	return repeat(func() error { return errors.Join(sameCounter(ctx, s), manyCounters(ctx, s)) })
}

func sameCounter(ctx context.Context, s otp.CounterStore) error {
	for _, start := range []bool{false, true} {
		c := newCounter(s)
		if start {
			c.advance(ctx, "of a new key", 41, true)
		}
		var applied atomic.Int64
		err := together(crowd, func(int) error {
			ok, err := s.Advance(ctx, c.key, 42)
			if ok {
				applied.Add(1)
			}
			return err
		})
		what := fmt.Sprintf("%d goroutines Advance to the same counter", crowd)
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if n := applied.Load(); n != 1 {
			return fmt.Errorf("%s: %d were applied and 1 should be", what, n)
		}
		if err := c.err(); err != nil {
			return err
		}
	}
	return nil
}

func manyCounters(ctx context.Context, s otp.CounterStore) error {
	c := newCounter(s)
	var highest atomic.Bool
	err := together(crowd, func(i int) error {
		ok, err := s.Advance(ctx, c.key, uint64(i))
		if ok && i == crowd-1 {
			highest.Store(true)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines Advance to different counters", crowd)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if !highest.Load() {
		return fmt.Errorf("%s: the highest was refused and should be applied", what)
	}
	c.advance(ctx, "after goroutines advanced to it and to lower ones", crowd-1, false)
	c.advance(ctx, "after goroutines advanced to the one before", crowd, true)
	return c.err()
}

func counterCanceledContext(ctx context.Context, s otp.CounterStore) error {
	contexts, release := dead(ctx)
	defer release()
	c := newCounter(s)
	for i, done := range contexts {
		n := uint64(10 * i)
		_, err := s.Advance(done, c.key, n+5)
		c.errs = append(c.errs, mustFail("Advance", err))
		c.advance(ctx, fmt.Sprintf("after one to %d with a context that was done", n+5), n+1, true)
	}
	return c.err()
}

func counterBytewiseKeys(ctx context.Context, s otp.CounterStore) error {
	var errs []error
	for _, key := range variants() {
		c := &counter{store: s, key: key}
		c.advance(ctx, fmt.Sprintf("of new key %q, while others like it are held", key), 1, true)
		c.advance(ctx, fmt.Sprintf("of key %q again", key), 1, false)
		errs = append(errs, c.err())
	}
	return some(errs)
}

func counterDurable(ctx context.Context, s otp.CounterStore) error {
	c := newCounter(s)
	c.advance(ctx, "of a new key", 5, true)
	err := together(crowd, func(int) error {
		for range 3 {
			if _, err := s.Advance(ctx, newName(), 9); err != nil {
				return fmt.Errorf("Advance of another key: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, after, err := reopen(s)
	if err != nil {
		return err
	}
	c.store = s
	c.advance(ctx, after, 5, false)
	c.advance(ctx, after, 6, true)
	return c.err()
}
