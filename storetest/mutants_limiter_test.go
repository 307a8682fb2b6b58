package storetest

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"otp.example/otp"
)

// A brokenLimiter does some calls in its own way.
type brokenLimiter struct {
	*reference
	takes   func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error)
	gives   func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error
	reopens func(*reference) *reference
}

func (b brokenLimiter) make() otp.Limiter {
	b.reference = newReference()
	if b.takes == nil {
		b.takes = (*reference).Take
	}
	if b.gives == nil {
		b.gives = (*reference).Give
	}
	return b
}

func (b brokenLimiter) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	return b.takes(b.reference, ctx, key, cost, limits, now)
}

func (b brokenLimiter) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return b.gives(b.reference, ctx, key, cost, limits, at)
}

func (b brokenLimiter) Reopen() (any, error) {
	b.reference = b.reopened()
	if b.reopens != nil {
		b.reference = b.reopens(b.reference)
	}
	return b, nil
}

// keyed is a limiter that does something to its keys.
type keyed struct {
	otp.Limiter
	name func(string) string
}

func (k keyed) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	return k.Limiter.Take(ctx, k.name(key), cost, limits, now)
}

func (k keyed) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return k.Limiter.Give(ctx, k.name(key), cost, limits, at)
}

// A log is a limiter that does without otp.Meter, so that its arithmetic can be wrong in
// one place. As newLog makes it, it is right: it adds up all that it was ever charged.
type log struct {
	mu     sync.Mutex
	logs   map[string][]charge
	totals map[string]int64

	counts  func(e charge, now time.Time, per time.Duration) bool // whether e is in the window
	stamp   func(cost int64, l otp.Limit, now time.Time) time.Time
	retry   func(waits []time.Duration) time.Duration // one wait for each limit that refuses; negative is never
	trim    func(log []charge, limits []otp.Limit, now time.Time) []charge
	missing func(log []charge) int // which entry to take from when there is none at the time of a Give
	emptied bool                   // a Give removes the whole entry
	floor   int64                  // of totals
	idle    time.Duration          // after which a total is forgotten
	charged map[string]time.Time
}

func newLog() *log {
	return &log{
		logs: map[string][]charge{}, totals: map[string]int64{}, charged: map[string]time.Time{},
		counts: func(e charge, now time.Time, per time.Duration) bool { return e.at.After(now.Add(-per)) },
		stamp:  func(_ int64, _ otp.Limit, now time.Time) time.Time { return now },
		retry: func(waits []time.Duration) time.Duration {
			if slices.Min(waits) < 0 {
				return 0
			}
			return slices.Max(waits)
		},
		trim:    func(log []charge, _ []otp.Limit, _ time.Time) []charge { return log },
		missing: func([]charge) int { return -1 },
	}
}

func (l *log) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	if err := ctx.Err(); err != nil {
		return otp.Decision{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, ok := l.charged[key]; ok && l.idle > 0 && now.Sub(last) > l.idle {
		l.totals[key] = 0
	}
	var waits []time.Duration
	for _, limit := range limits {
		if wait := l.wait(key, cost, limit, now); wait != 0 {
			waits = append(waits, wait)
		}
	}
	if len(waits) > 0 {
		return otp.Decision{RetryAfter: l.retry(waits)}, nil
	}
	windows := slices.DeleteFunc(slices.Clone(limits), func(l otp.Limit) bool { return l.Per == 0 })
	if len(windows) < len(limits) {
		l.totals[key] += cost
	}
	if len(windows) > 0 {
		entries := l.trim(l.logs[key], limits, now)
		l.logs[key] = append(entries, charge{at: l.stamp(cost, windows[0], now), cost: cost})
	}
	l.charged[key] = now
	return otp.Decision{OK: true}, nil
}

// wait returns zero if limit has room, else how long until it has; negative if never.
func (l *log) wait(key string, cost int64, limit otp.Limit, now time.Time) time.Duration {
	if cost > limit.N {
		return -1
	}
	if limit.Per == 0 {
		if l.totals[key]+cost > limit.N {
			return -1
		}
		return 0
	}
	fits := func(now time.Time) bool {
		used := cost
		for _, e := range l.logs[key] {
			if l.counts(e, now, limit.Per) {
				used += e.cost
			}
		}
		return used <= limit.N
	}
	if fits(now) {
		return 0
	}
	entries := slices.Clone(l.logs[key])
	slices.SortFunc(entries, func(a, b charge) int { return a.at.Compare(b.at) })
	for _, e := range entries {
		for _, then := range []time.Time{e.at.Add(limit.Per), e.at.Add(limit.Per + tick)} {
			if then.After(now) && fits(then) {
				return then.Sub(now)
			}
		}
	}
	return -1
}

func (l *log) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	windows := slices.DeleteFunc(slices.Clone(limits), func(l otp.Limit) bool { return l.Per == 0 })
	if len(windows) < len(limits) {
		l.totals[key] = max(l.floor, l.totals[key]-cost)
	}
	if len(windows) == 0 {
		return nil
	}
	at = l.stamp(cost, windows[0], at)
	entries := l.logs[key]
	then := func(e charge) bool { return e.at.Equal(at) }
	i := slices.IndexFunc(entries, then)
	if i < 0 {
		i = l.missing(entries)
	}
	if i < 0 {
		return nil
	}
	if entries[i].cost -= cost; entries[i].cost <= 0 {
		entries = slices.Delete(entries, i, i+1)
	}
	if l.emptied {
		entries = slices.DeleteFunc(entries, then)
	}
	l.logs[key] = entries
	return nil
}

// logging returns a log that edit breaks.
func logging(edit func(*log)) func() otp.Limiter {
	return func() otp.Limiter {
		l := newLog()
		edit(l)
		return l
	}
}

// retrying changes what a refused Take says.
func retrying(f func(time.Duration) time.Duration) func() otp.Limiter {
	return brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
		d, err := s.Take(ctx, key, cost, limits, now)
		if d.RetryAfter > 0 {
			d.RetryAfter = f(d.RetryAfter)
		}
		return d, err
	}}.make
}

var limiterMeeting = newMeeting()

var limiterMutants = []mutant[otp.Limiter]{
	{
		rejectedBy: "WindowBound", mistake: "counts in fixed windows",
		also: "GiveNeverOverfills RetryAfterIsEarliest AllOrNone Durable",
		make: logging(func(l *log) {
			l.counts = func(e charge, now time.Time, per time.Duration) bool { return !e.at.Before(now.Truncate(per)) }
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "counts what is exactly Per old",
		also: "AllOrNone GiveNeverOverfills",
		make: logging(func(l *log) {
			l.counts = func(e charge, now time.Time, per time.Duration) bool { return !e.at.Before(now.Add(-per)) }
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "does not count what is later than now",
		make: logging(func(l *log) {
			l.counts = func(e charge, now time.Time, per time.Duration) bool {
				return e.at.After(now.Add(-per)) && !e.at.After(now)
			}
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "drops what is older than the windows of this call",
		make: logging(func(l *log) {
			l.trim = func(log []charge, limits []otp.Limit, now time.Time) []charge {
				longest := slices.MaxFunc(limits, func(a, b otp.Limit) int { return cmp.Compare(a.Per, b.Per) }).Per
				return slices.DeleteFunc(log, func(e charge) bool { return !e.at.After(now.Add(-longest)) })
			}
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "drops what its own clock says is over",
		make: logging(func(l *log) {
			l.trim = func(log []charge, limits []otp.Limit, _ time.Time) []charge {
				return slices.DeleteFunc(log, func(e charge) bool { return e.at.Before(wall.AddDate(-1, 0, 0)) })
			}
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "rounds times down beyond 64",
		make: logging(func(l *log) {
			l.stamp = func(cost int64, l otp.Limit, now time.Time) time.Time {
				if l.N <= cost*exact {
					return now
				}
				return now.Truncate(l.Per / exact)
			}
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "rounds times up too much beyond 64",
		make: logging(func(l *log) {
			l.stamp = func(cost int64, l otp.Limit, now time.Time) time.Time {
				if l.N <= cost*exact {
					return now
				}
				return now.Truncate(l.Per / 8).Add(l.Per / 8)
			}
		}),
	},
	{
		rejectedBy: "WindowBound", mistake: "forgets a running total after a day",
		also: "Durable",
		make: logging(func(l *log) { l.idle = day }),
	},
	{
		rejectedBy: "WindowBound", mistake: "reads a meter and writes it later",
		also: "AllOrNone",
		make: brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
			if err := ctx.Err(); err != nil {
				return otp.Decision{}, err
			}
			s.mu.Lock()
			m := s.meters[key]
			s.mu.Unlock()
			limiterMeeting.meet(key)
			m, d := m.Take(cost, limits, now)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.meters[key] = m
			return d, nil
		}}.make,
	},
	{
		rejectedBy: "WindowBound", mistake: "loses a concurrent Give",
		make: brokenLimiter{gives: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			s.mu.Lock()
			m := s.meters[key]
			s.mu.Unlock()
			limiterMeeting.meet(key)
			s.mu.Lock()
			defer s.mu.Unlock()
			// It does not try again. A write of m would lose Takes, too, and they make up for Gives.
			if bytes.Equal(m, s.meters[key]) {
				s.meters[key] = m.Give(cost, limits, at)
			}
			return nil
		}}.make,
	},
	{
		rejectedBy: "WindowBound", mistake: "counts calls and not their cost",
		also: "AllOrNone GiveNeverOverfills CanceledContext Durable RetryAfterIsEarliest",
		make: brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
			return s.Take(ctx, key, min(cost, 1), limits, now)
		}}.make,
	},
	{
		rejectedBy: "AllOrNone", mistake: "takes from four limits at a time",
		make: brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
			for part := range slices.Chunk(limits, 4) {
				if d, err := s.Take(ctx, key, cost, part, now); err != nil || !d.OK {
					return d, err
				}
				key += " and more"
			}
			return otp.Decision{OK: true}, nil
		}}.make,
	},
	{
		rejectedBy: "AllOrNone", mistake: "charges the total although a window refuses",
		also: "WindowBound GiveNeverOverfills RetryAfterIsEarliest",
		make: brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
			d, err := s.Take(ctx, key, cost, limits, now)
			if err == nil && !d.OK {
				for _, l := range limits {
					if l.Per == 0 {
						_, err = s.Take(ctx, key, cost, []otp.Limit{l}, now)
					}
				}
			}
			return d, err
		}}.make,
	},
	{
		rejectedBy: "GiveNeverOverfills", mistake: "lets a total fall below zero",
		make: logging(func(l *log) { l.floor = -1000 }),
	},
	{
		rejectedBy: "GiveNeverOverfills", mistake: "gives back another Take when there is none at that time",
		also: "WindowBound",
		make: logging(func(l *log) { l.missing = func(log []charge) int { return len(log) - 1 } }),
	},
	{
		rejectedBy: "GiveNeverOverfills", mistake: "gives back all that was taken at that time",
		make: logging(func(l *log) { l.emptied = true }),
	},
	{
		rejectedBy: "RetryAfterIsEarliest", mistake: "says 1 microsecond too late",
		make: retrying(func(d time.Duration) time.Duration { return d + tick }),
	},
	{
		rejectedBy: "RetryAfterIsEarliest", mistake: "says 1 microsecond too early",
		make: retrying(func(d time.Duration) time.Duration { return d - tick }),
	},
	{
		rejectedBy: "RetryAfterIsEarliest", mistake: "says whole seconds",
		make: retrying(func(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }),
	},
	{
		rejectedBy: "RetryAfterIsEarliest", mistake: "does not say",
		make: retrying(func(time.Duration) time.Duration { return 0 }),
	},
	{
		rejectedBy: "RetryAfterIsEarliest", mistake: "names the limit that has room first",
		make: logging(func(l *log) {
			l.retry = func(waits []time.Duration) time.Duration { return max(0, slices.Min(waits)) }
		}),
	},
	{
		rejectedBy: "RetryAfterIsEarliest", mistake: "says a time although waiting does not help",
		make: logging(func(l *log) {
			l.retry = func(waits []time.Duration) time.Duration { return max(time.Second, slices.Max(waits)) }
		}),
	},
	{
		rejectedBy: "CanceledContext", mistake: "takes",
		make: brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
			return s.Take(context.WithoutCancel(ctx), key, cost, limits, now)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "gives",
		make: brokenLimiter{gives: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
			_ = s.Give(context.WithoutCancel(ctx), key, cost, limits, at)
			return ctx.Err()
		}}.make,
	},
	{rejectedBy: "BytewiseKeys", mistake: "takes no notice of case", make: func() otp.Limiter { return keyed{newReference(), folded} }},
	{rejectedBy: "BytewiseKeys", mistake: "trims spaces", make: func() otp.Limiter { return keyed{newReference(), trimmed} }},
	{rejectedBy: "BytewiseKeys", mistake: "cuts keys", make: func() otp.Limiter { return keyed{newReference(), cut} }},
	{
		rejectedBy: "Durable", mistake: "keeps nothing",
		make: brokenLimiter{reopens: func(*reference) *reference { return newReference() }}.make,
	},
	{
		rejectedBy: "Durable", mistake: "forgets the meter that was not used for longest",
		make: func() otp.Limiter {
			used := &latest{}
			return struct{ otp.Limiter }{brokenLimiter{takes: func(s *reference, ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
				forget := used.use(key)
				s.mu.Lock()
				delete(s.meters, forget)
				s.mu.Unlock()
				return s.Take(ctx, key, cost, limits, now)
			}}.make()}
		},
	},
}
