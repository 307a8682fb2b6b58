package storetest

import (
	"context"

	"otp.example/otp"
)

// A brokenCounter does some things to its calls.
type brokenCounter struct {
	*reference
	advances func(s *reference, ctx context.Context, key string, counter uint64) (bool, error)
	reopens  func(*reference) *reference
}

func (b brokenCounter) make() otp.CounterStore {
	b.reference = newReference()
	return b
}

func (b brokenCounter) Advance(ctx context.Context, key string, counter uint64) (bool, error) {
	if b.advances == nil {
		return b.reference.Advance(ctx, key, counter)
	}
	return b.advances(b.reference, ctx, key, counter)
}

func (b brokenCounter) Reopen() (any, error) {
	b.reference = b.reopened()
	if b.reopens != nil {
		b.reference = b.reopens(b.reference)
	}
	return b, nil
}

// advanceIf sets the counter if greater says so.
func advanceIf(greater func(counter, old uint64) bool) func(*reference, context.Context, string, uint64) (bool, error) {
	return func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		old, ok := s.counters[key]
		if ok && !greater(counter, old) {
			return false, nil
		}
		s.counters[key] = counter
		return true, nil
	}
}

var counterMeeting = newMeeting()

var counterMutants = []mutant[otp.CounterStore]{
	{
		rejectedBy: "AdvanceIsMonotone", mistake: "accepts an equal counter",
		also: "BytewiseKeys Durable",
		make: brokenCounter{advances: advanceIf(func(counter, old uint64) bool { return counter >= old })}.make,
	},
	{
		rejectedBy: "AdvanceIsMonotone", mistake: "accepts any other counter",
		make: brokenCounter{advances: advanceIf(func(counter, old uint64) bool { return counter != old })}.make,
	},
	{
		rejectedBy: "AdvanceIsMonotone", mistake: "compares as signed numbers",
		make: brokenCounter{advances: advanceIf(func(counter, old uint64) bool { return int64(counter) > int64(old) })}.make,
	},
	{
		rejectedBy: "AdvanceIsMonotone", mistake: "compares as floats",
		make: brokenCounter{advances: advanceIf(func(counter, old uint64) bool { return float64(counter) > float64(old) })}.make,
	},
	{
		rejectedBy: "AdvanceIsMonotone", mistake: "refuses a new key with counter zero",
		make: brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
			ok, err := s.Advance(ctx, key, counter)
			return ok && counter > 0, err
		}}.make,
	},
	{
		rejectedBy: "AdvanceIsMonotone", mistake: "reads the counter and writes it later",
		make: brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
			s.mu.Lock()
			old, ok := s.counters[key]
			s.mu.Unlock()
			if err := ctx.Err(); err != nil || ok && counter <= old {
				return false, err
			}
			counterMeeting.meet(key)
			return advanceIf(func(uint64, uint64) bool { return true })(s, ctx, key, counter)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "advances",
		make: brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
			return s.Advance(context.WithoutCancel(ctx), key, counter)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "calls it a refusal",
		make: brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
			ok, _ := s.Advance(ctx, key, counter)
			return ok, nil
		}}.make,
	},
	{
		rejectedBy: "BytewiseKeys", mistake: "takes no notice of case",
		make: brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
			return s.Advance(ctx, folded(key), counter)
		}}.make,
	},
	{
		rejectedBy: "BytewiseKeys", mistake: "trims spaces",
		make: brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
			return s.Advance(ctx, trimmed(key), counter)
		}}.make,
	},
	{
		rejectedBy: "Durable", mistake: "keeps nothing",
		make: brokenCounter{reopens: func(*reference) *reference { return newReference() }}.make,
	},
	{
		rejectedBy: "Durable", mistake: "forgets the counter that was not used for longest",
		make: func() otp.CounterStore {
			used := &latest{}
			return struct{ otp.CounterStore }{brokenCounter{advances: func(s *reference, ctx context.Context, key string, counter uint64) (bool, error) {
				forget := used.use(key)
				s.mu.Lock()
				delete(s.counters, forget)
				s.mu.Unlock()
				return s.Advance(ctx, key, counter)
			}}.make()}
		},
	},
}
