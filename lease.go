package otp

import (
	"context"
	"sync"
	"time"
)

// leaseParts is how many leases a limit is cut into. More of them waste less when a
// process ends, and cost more calls.
const leaseParts = 64

// leases charge meters that every request of a tenant would touch. One key that all
// requests charge would serialize them in the store, so a process takes a part of the
// limit ahead and spends it in memory. The part is charged at the end of its lease:
// whatever is spent before that leaves the window too late, never too early. What a
// crashed process had left over is charged until then, so it only refuses early.
type leases struct {
	limiter Limiter
	meter   func(tenant, what string) string
	mu      sync.Mutex
	m       map[leaseKey]*lease
}

// leaseKey names a lease: of what, and under which limits it was taken.
type leaseKey struct {
	tenant, what string
	limits       [MaxLimits]Limit
}

func newLeaseKey(tenant, what string, limits []Limit) leaseKey {
	k := leaseKey{tenant: tenant, what: what}
	copy(k.limits[:], limits)
	return k
}

type lease struct {
	turn   chan struct{} // held while the lease is looked at or renewed
	left   int64
	at     time.Time       // when it ends, and what it is charged as
	refund map[int64]int64 // for leases that have ended, by their end in microseconds
	owed   int64           // the sum of refund
}

// take spends cost of the limits of k. It returns the time that it counts as, for
// give.
func (l *leases) take(ctx context.Context, k leaseKey, cost int64, now time.Time) (Decision, time.Time, error) {
	if cost == 0 {
		return Decision{OK: true}, time.Time{}, nil
	}
	e := l.get(k)
	select {
	case <-e.turn:
	case <-ctx.Done():
		return Decision{}, time.Time{}, ctx.Err()
	}
	defer func() { e.turn <- struct{}{} }()

	if e.left >= cost && now.Before(e.at) {
		e.left -= cost
		return Decision{OK: true}, e.at, nil
	}
	term, unit := k.term()
	meter := l.meter(k.tenant, k.what)
	at := term.end(now)
	if e.left > 0 && !at.Equal(e.at) { // what the last lease did not need
		e.owe(e.at, e.left)
		e.left = 0
	}
	if err := l.flush(ctx, meter, e, term); err != nil {
		return Decision{}, time.Time{}, err
	}
	for _, part := range []int64{max(unit, cost), cost} { // the rest, when a whole part is not left
		d, err := l.limiter.Take(ctx, meter, part, term.limits, at)
		if err != nil {
			return Decision{}, time.Time{}, err
		}
		if d.OK {
			e.left, e.at = e.left+part-cost, at
			return d, at, nil
		}
		if part == cost {
			return d, time.Time{}, nil
		}
	}
	return Decision{}, time.Time{}, nil // unreachable
}

// give returns what a take of the same cost and limits spent, here or in another process.
// What is not of the current lease reaches the meter with the next one, or when as much
// as a lease has come together; until then it only refuses too early.
func (l *leases) give(ctx context.Context, k leaseKey, cost int64, at time.Time) error {
	if cost == 0 || at.IsZero() {
		return nil
	}
	e := l.get(k)
	select {
	case <-e.turn:
	default: // as long as the caller may wait, though he hangs up
		wait, done := undisturbed(ctx)
		defer done()
		select {
		case <-e.turn:
		case <-wait.Done():
			return wait.Err()
		}
	}
	defer func() { e.turn <- struct{}{} }()
	if at.Equal(e.at) {
		e.left += cost
		return nil
	}
	e.owe(at, cost)
	if term, unit := k.term(); e.owed >= unit {
		ctx, done := tidying(ctx) // it is others', too
		defer done()
		return l.flush(ctx, l.meter(k.tenant, k.what), e, term)
	}
	return nil
}

func (e *lease) owe(at time.Time, cost int64) {
	if e.refund == nil {
		e.refund = map[int64]int64{}
	}
	e.refund[at.UnixMicro()] += cost
	e.owed += cost
}

func (l *leases) flush(ctx context.Context, meter string, e *lease, term leaseLimits) error {
	for at, cost := range e.refund {
		delete(e.refund, at) // even if it fails: given back twice would be worse than not at all
		e.owed -= cost
		if err := l.limiter.Give(ctx, meter, cost, term.limits, time.UnixMicro(at)); err != nil {
			return err
		}
	}
	return nil
}

func (l *leases) get(k leaseKey) *lease {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.m[k]
	if e == nil {
		e = &lease{turn: make(chan struct{}, 1)}
		e.turn <- struct{}{}
		l.m[k] = e
	}
	return e
}

// leaseLimits are limits whose windows are long enough for charges that are made ahead.
type leaseLimits struct {
	limits []Limit
	length time.Duration
	grid   int64 // microseconds
}

// term stretches each window by a sixteenth of the shortest, which is more than a
// lease may lie ahead, and puts the ends of leases on the grid that the meter may round
// to, so that a part of a lease can be given back.
func (k *leaseKey) term() (term leaseLimits, unit int64) {
	shortest, n := k.limits[0].Per, k.limits[0].N
	for _, l := range k.limits {
		if l.N > 0 {
			shortest, n = min(shortest, l.Per), min(n, l.N)
		}
	}
	for _, l := range k.limits {
		if l.N > 0 {
			term.limits = append(term.limits, Limit{N: l.N, Per: l.Per + shortest/16})
		}
	}
	term.length = shortest / leaseParts
	term.grid = max(1, micros(shortest+shortest/16)/exactCharges)
	return term, n / leaseParts
}

func (t *leaseLimits) end(now time.Time) time.Time {
	return time.UnixMicro(roundUp(now.Add(t.length), t.grid)).UTC()
}
