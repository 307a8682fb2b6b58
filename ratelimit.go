package otp

import (
	"context"
	"encoding/binary"
	"math"
	"time"
)

// MaxLimits is the most limits that one call may charge.
const MaxLimits = 8

// maxLimitN keeps every sum exact where a store computes in double precision.
const maxLimitN = 1 << 50

// exactCharges is how many charges of one window are remembered one by one. A
// meter that admits more rounds their times, so that its size stays bounded.
const exactCharges = 64

// maxSkew is how far the clocks of processes that share a store may be apart for limits to
// hold over all of them. Of windows that are shorter it is one window.
const maxSkew = time.Minute

// idleStreak is how long a meter remembers a Limit with Per zero after its last
// charge. The windows beside it bound what can be guessed in that time.
const idleStreak = 366 * 24 * time.Hour

// A Limit admits a total cost of at most N in any window of length Per, exactly
// while N/cost is at most 64; beyond that it may refuse up to Per/64 too early
// but never admits more. Limits that are charged together share a log: what the longest
// of them rounds to, a 64th of the shortest, holds for all. With Per zero nothing comes
// back by itself; only Give returns it.
type Limit struct {
	N   int64         `json:"n"`
	Per time.Duration `json:"per"`
}

// A Limiter meters sends, guesses and money alike.
//
// Clauses (storetest has a case of the same name for each):
//
//	WindowBound         at most N is admitted in any window of length Per, under any concurrency
//	AllOrNone           a refused Take charges none of its limits
//	GiveNeverOverfills  Give never makes room for more than N
//	RetryAfterIsEarliest a Take is admitted after RetryAfter and not before, while N/cost is at most 64
//	CanceledContext     with a done context a call changes nothing and returns an error
//	BytewiseKeys        keys that differ in any byte are different meters
//	Durable             a charge survives whatever the meter survives
//
// Keys are ASCII, at most 128 bytes. A Limiter must take the time from its arguments alone and must be safe for
// concurrent use by many processes. It must not forget a meter before
// [Meter.Expires]. [Meter] is the arithmetic.
type Limiter interface {
	// Take charges cost to every limit of key, or to none, in one atomic step. At
	// most [MaxLimits] limits. A refusal is not an error; the error is for faults,
	// after which the charge may or may not have been made.
	Take(ctx context.Context, key string, cost int64, limits []Limit, now time.Time) (Decision, error)

	// Give returns what a Take charged, never beyond full. The cost and limits
	// are those of the Take and at is its now. What is given to a Limit with Per
	// zero may be more than was taken: giving N clears it.
	Give(ctx context.Context, key string, cost int64, limits []Limit, at time.Time) error
}

// A Decision is a Limiter's answer. The zero Decision refuses.
type Decision struct {
	OK         bool
	RetryAfter time.Duration // zero if waiting does not help
}

// A Refusal names the limit that said no.
type Refusal struct {
	Scope      string
	RetryAfter time.Duration // zero if waiting does not help
}

// A Charge is one Take to be made together with a change of a record, or one Give.
type Charge struct {
	Scope  string // what is counted: "recipient", "guesses", …; for the refusal
	Key    string // ASCII, at most 128 bytes
	Cost   int64
	Limits []Limit
	At     time.Time // the now of the Take

	// Silent hides a refusal: if no other charge refuses, the change is made all
	// the same, but without its digest and without any Silent charge. So an answer
	// that must not tell about a recipient costs the same store call either way.
	Silent bool
}

// A Meter is the arithmetic of Limit over an opaque value, for implementers: read
// the value, Take or Give, write it back if it has not changed. The empty Meter
// has been charged nothing. A Meter that cannot be read refuses everything.
//
// It is a log of (time, cost), oldest first, for the windows, and one running
// total for limits with Per zero. Times are rounded up, so that entries that
// share one never leave their window too early. Its layout is kept: stores hold it, and
// redisstore reads it.
type Meter []byte

// Take charges cost at now if every limit has room for it. The result shares no
// memory with m. A refusal returns m itself. A negative cost, no limits or more
// than [MaxLimits], and a time before 1970 or after 9999 are refused.
func (m Meter) Take(cost int64, limits []Limit, now time.Time) (Meter, Decision) {
	var buf [16]charged
	l, ok := m.read(buf[:0])
	if !ok || cost < 0 || cost > maxLimitN || len(limits) == 0 || len(limits) > MaxLimits || !isMeterTime(now) {
		return m, Decision{}
	}
	if cost == 0 {
		return m, Decision{OK: true}
	}
	t := now.UnixMicro()
	var retry int64
	full, never := false, false
	for _, lim := range limits {
		at, fits := l.fits(cost, lim, t)
		if fits {
			continue
		}
		full = true
		never = never || at == 0
		retry = max(retry, at-t)
	}
	if full {
		if never {
			retry = 0
		}
		return m, Decision{RetryAfter: time.Duration(min(retry, math.MaxInt64/1000)) * time.Microsecond}
	}
	l = l.add(cost, limits, now)
	return l.append(nil), Decision{OK: true}
}

// Give returns what was taken at the time at with the same cost and limits. What
// has left its window already stays gone.
func (m Meter) Give(cost int64, limits []Limit, at time.Time) Meter {
	var buf [16]charged
	l, ok := m.read(buf[:0])
	if !ok || cost <= 0 || cost > maxLimitN || !isMeterTime(at) {
		return m
	}
	for _, lim := range limits {
		if lim.Per == 0 {
			l.total = max(0, l.total-cost)
		}
	}
	if q, windows := quantum(cost, limits); windows {
		t := roundUp(at, q)
		if i := l.after(t); i > 0 && l.log[i-1].at == t {
			l.log[i-1].cost -= cost
			if l.log[i-1].cost <= 0 {
				l.log = append(l.log[:i-1], l.log[i:]...)
			}
		}
	}
	return l.append(nil)
}

// Expires returns when the meter may be forgotten, because nothing in it can
// refuse any more; the zero time if that is now.
func (m Meter) Expires() time.Time {
	var buf [16]charged
	l, ok := m.read(buf[:0])
	var t int64
	switch {
	case !ok:
		return time.Unix(1<<40, 0).UTC() // keep what cannot be read: it denies
	case len(l.log) > 0:
		t = l.log[len(l.log)-1].at + l.horizon()
	}
	if l.total > 0 {
		t = max(t, l.last+idleStreak.Microseconds())
	}
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMicro(t).UTC()
}

type charged struct{ at, cost int64 } // microseconds since 1970

type meterLog struct {
	keep  int64 // the longest window ever charged, so that a shorter call trims nothing that counts
	total int64 // for limits with Per zero
	last  int64 // when total was last charged
	log   []charged
}

// fits reports whether lim has room for cost at t, and if not when the newest entry
// that is in the way will have left; zero if that does not help.
func (l *meterLog) fits(cost int64, lim Limit, t int64) (at int64, ok bool) {
	used := cost
	if lim.Per == 0 {
		used += l.total
	}
	if used > lim.N || lim.N > maxLimitN || lim.Per < 0 {
		return 0, false
	}
	if lim.Per == 0 {
		return 0, true
	}
	per := micros(lim.Per)
	for i := len(l.log) - 1; i >= 0 && l.log[i].at > t-per; i-- {
		used += l.log[i].cost
		if used > lim.N {
			return l.log[i].at + per, false
		}
	}
	return 0, true
}

// add returns l with a charge. It takes and returns a value, so that short logs stay on
// the stack.
func (l meterLog) add(cost int64, limits []Limit, now time.Time) meterLog {
	q, windows := quantum(cost, limits)
	for _, lim := range limits {
		l.keep = max(l.keep, micros(lim.Per))
		if lim.Per == 0 {
			l.total += cost
			l.last = max(l.last, now.UnixMicro())
		}
	}
	trim := 0
	for trim < len(l.log) && l.log[trim].at <= now.UnixMicro()-l.horizon() {
		trim++
	}
	l.log = l.log[trim:]
	if !windows {
		return l
	}
	at := roundUp(now, q)
	i := l.after(at)
	if i > 0 && l.log[i-1].at == at {
		l.log[i-1].cost += cost
		return l
	}
	l.log = append(l.log, charged{})
	copy(l.log[i+1:], l.log[i:])
	l.log[i] = charged{at, cost}
	return l
}

// after returns the index of the first entry later than at: nearly always the end.
func (l *meterLog) after(at int64) int {
	i := len(l.log)
	for i > 0 && l.log[i-1].at > at {
		i--
	}
	return i
}

// horizon is how long an entry is remembered: beyond its window, since another process
// whose clock is behind still has to see it.
func (l *meterLog) horizon() int64 { return l.keep + min(l.keep, maxSkew.Microseconds()) }

// quantum is what times are rounded up to: so that a window holds few entries.
func quantum(cost int64, limits []Limit) (q int64, windows bool) {
	var longest, shortest Limit
	for _, lim := range limits {
		if lim.Per > longest.Per {
			longest = lim
		}
		if lim.Per > 0 && (shortest.Per == 0 || lim.Per < shortest.Per) {
			shortest = lim
		}
	}
	if longest.N <= cost*exactCharges {
		return 1, longest.Per > 0
	}
	return max(1, micros(shortest.Per)/exactCharges), longest.Per > 0
}

// isMeterTime keeps sums of times far from the ends of int64.
func isMeterTime(t time.Time) bool { return t.Unix() >= 0 && t.Year() <= 9999 }

func roundUp(t time.Time, q int64) int64 {
	us := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return (us + q - 1) / q * q
}

// micros rounds up: a window may be longer than asked for, never shorter.
func micros(d time.Duration) int64 {
	us := int64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		us++
	}
	return us
}

// read parses m: keep, total, last (if there is a total), then (at, cost) with each
// time as the distance from the one before. All are unsigned varints.
func (m Meter) read(log []charged) (meterLog, bool) {
	l := meterLog{log: log}
	if len(m) == 0 {
		return l, true
	}
	p, ok := []byte(m), true
	next := func() int64 {
		v, n := binary.Uvarint(p)
		if n <= 0 || v > 1<<60 {
			p, ok = nil, false
			return 0
		}
		p = p[n:]
		return int64(v)
	}
	l.keep, l.total = next(), next()
	if l.total > 0 {
		l.last = next()
	}
	for at := int64(0); ok && len(p) > 0; {
		d := next()
		e := charged{at: at + d, cost: next()}
		ok = ok && e.at < 1<<61 && e.cost > 0 && (at == 0 || d > 0)
		at = e.at
		l.log = append(l.log, e)
	}
	return l, ok
}

func (l *meterLog) append(b []byte) Meter {
	if l.total == 0 && len(l.log) == 0 {
		return nil
	}
	if b == nil {
		b = make([]byte, 0, 16+12*len(l.log))
	}
	put := func(v int64) { b = binary.AppendUvarint(b, uint64(v)) }
	put(l.keep)
	put(l.total)
	if l.total > 0 {
		put(l.last)
	}
	var at int64
	for _, e := range l.log {
		put(e.at - at)
		put(e.cost)
		at = e.at
	}
	return b
}
