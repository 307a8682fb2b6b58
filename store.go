package otp

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"
)

// DigestSize is the size in bytes of one digest in [Record.Digests].
const DigestSize = 32

// MaxDigests is the most digests that [Record.Digests] may hold.
const MaxDigests = 16

// A State is what a store keeps. That a record has expired or has no attempts
// left is derived from its other fields. The zero State is not valid.
type State uint8

// The states of a [Record].
const (
	StatePending  State = 1
	StateVerified State = 2
	StateCanceled State = 3
)

// A Record is one challenge as a store keeps it. A store never sees a code, a
// handle, a recipient or a subject: ID is a hash, Digests are keyed hashes and
// Sealed is encrypted.
type Record struct {
	ID          string // ASCII, at most 128 bytes, unguessable
	Digests     []byte // concatenated digests, DigestSize bytes each, of the codes accepted now; may be empty, at most MaxDigests
	Sealed      []byte // opaque, at most 4 KiB
	State       State
	Attempts    int
	MaxAttempts int
	Sends       int
	MaxSends    int
	CreatedAt   time.Time // times are in UTC, to the microsecond
	SentAt      time.Time
	ExpiresAt   time.Time
}

// Live reports whether r is pending, has attempts left and now is before
// ExpiresAt.
func (r *Record) Live(now time.Time) bool {
	return r.State == StatePending && r.Attempts < r.MaxAttempts && now.Before(r.ExpiresAt)
}

// Spend, Reissue and Cancel are what the [Store] methods of the same names do to
// one record, for stores that decide in Go. Nothing else in this module writes
// Attempts or State.

// Spend counts one attempt against a live record and then compares. It reports
// whether the attempt was counted; State says whether the code was right.
func (r *Record) Spend(candidates []byte, now time.Time) bool {
	if !r.Live(now) {
		return false
	}
	r.Attempts++
	if r.Matches(candidates) >= 0 {
		r.State = StateVerified
	}
	return true
}

// Reissue counts one send against a live record, adds digest and keeps the newest
// live digests, or MaxDigests if that is less. An empty digest adds none. It reports
// whether r was changed; its Digests share no memory with the old ones.
func (r *Record) Reissue(digest []byte, live int, now time.Time) bool {
	if !r.Live(now) || r.Sends >= r.MaxSends {
		return false
	}
	r.Sends++
	r.SentAt = now
	if len(digest) > 0 {
		d := slices.Concat(r.Digests, digest)
		keep := min(max(live, 0), MaxDigests, len(d)/DigestSize) * DigestSize
		r.Digests = slices.Clone(d[len(d)-keep:])
	}
	return true
}

// Cancel ends a live record. It reports whether r was changed.
func (r *Record) Cancel(now time.Time) bool {
	if !r.Live(now) {
		return false
	}
	r.State = StateCanceled
	return true
}

// Matches returns the index of the candidate that equals one of r's Digests, or
// -1. It compares all of them, in constant time, wherever one matched.
func (r *Record) Matches(candidates []byte) int {
	found := -1
	for i := 0; i+DigestSize <= len(candidates); i += DigestSize {
		for j := 0; j+DigestSize <= len(r.Digests); j += DigestSize {
			eq := subtle.ConstantTimeCompare(candidates[i:i+DigestSize], r.Digests[j:j+DigestSize])
			found = subtle.ConstantTimeSelect(eq, i/DigestSize, found)
		}
	}
	return found
}

// A Store keeps challenges.
//
// Put, Spend, Reissue and Cancel each decide and change one record in one
// atomic step, and return the record as it is after the call and whether this
// call changed it. A refusal is not an error: applied is false and the record
// says why. The error is for faults only; on a fault the change may or may not
// have happened. For an ID the store does not hold, the error is ErrNotFound.
//
// Clauses (storetest has a case of the same name for each):
//
//	SpendOnce         of any number of concurrent Spends with a right digest, exactly one verifies
//	OwnOutcome        the record returned shows this call's outcome, never a concurrent one's; the
//	                  Sends and Digests that a concurrent Reissue adds may show
//	AttemptsBound     at most MaxAttempts Spends are applied
//	ExpiryIsExclusive a record is not live at ExpiresAt itself
//	PutKeepsLive      a live record is never overwritten; a dead one is
//	ReissueBound      at most MaxSends sends; Reissue keeps Attempts and ExpiresAt
//	ReissueKeeps      the newest live codes work, older ones do not
//	CancelVsSpend     of Cancel and a right Spend, exactly one is applied
//	CanceledContext   with a done context a call changes nothing and returns an error
//	RoundTrip         every field survives, times to the microsecond
//	NoClock           the result depends on the now argument alone
//	Durable           an applied change survives whatever the record survives
//	UnknownID         an ID that is not held is ErrNotFound
//	BytewiseIDs       IDs that differ in any byte are different records
//	NoAliasing        slices given and returned are copies
//
// A Store must take the time from the now argument alone. It must be safe for
// concurrent use by many processes. It may forget a record at any time after
// ExpiresAt, and must not before. It must not keep or change the slices it is
// given, and the caller may change those that it returns. Run storetest.Run
// against every implementation.
type Store interface {
	// Put stores r unless a live record has its ID.
	Put(ctx context.Context, r Record, now time.Time) (rec Record, applied bool, err error)

	// Get returns a record for description. Nothing is ever decided on it.
	Get(ctx context.Context, id string) (Record, error)

	// Spend counts one attempt against a live record and, if any of the candidates
	// (DigestSize bytes each, one for each route) equals one of its Digests, sets
	// State to StateVerified. It must count before or in the same step as it
	// compares. Applied means that the attempt was counted.
	Spend(ctx context.Context, id string, candidates []byte, now time.Time) (rec Record, applied bool, err error)

	// Reissue counts one send against a live record with Sends < MaxSends, sets
	// SentAt to now, and appends digest, if it is not empty, to Digests, keeping at
	// most the live newest, and [MaxDigests].
	Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (rec Record, applied bool, err error)

	// Cancel sets State of a live record to StateCanceled.
	Cancel(ctx context.Context, id string, now time.Time) (rec Record, applied bool, err error)
}

// A CounterStore remembers the highest HOTP counter or TOTP time step used, for programs
// that keep seeds of their own. The verifiers of this module do not use it: they keep
// counters with the seeds, in a [CredentialStore].
//
// Clauses: AdvanceIsMonotone (of concurrent calls with the same counter exactly one
// is applied, and none with a lower one after it), BytewiseKeys, Durable,
// CanceledContext. Keys are ASCII, at most 128 bytes.
type CounterStore interface {
	// Advance sets key to counter and reports true if counter is greater than
	// the stored one or key is new; otherwise it changes nothing. Counters are
	// never forgotten.
	Advance(ctx context.Context, key string, counter uint64) (applied bool, err error)
}

// A Pruner forgets records and meters that expired at or before a time, at most max at a
// call, and reports how many. Optional; Service.Prune calls it until nothing is left.
//
// Clauses: PruneKeepsLive, PruneIsBounded.
type Pruner interface {
	Prune(ctx context.Context, before time.Time, max int) (int, error)
}

// An Outcome is the answer of a ChargingStore: the record as it is now, whether this
// call changed it, and the charge that refused, if one did. A live record (Put), or one
// that is dead or has no sends left (Reissue), wins over a refused charge: Refused is
// then nil. With Applied and Refused both set, a Silent charge refused. The Record of a
// refused Put is the dead one, if there is one.
type Outcome struct {
	Record  Record
	Applied bool
	Refused *Refusal
}

// A ChargingStore makes the charges and the change in one atomic step, and in one
// round trip where the server allows: all charges and the change, or nothing, but
// for what [Charge.Silent] says. Several charges of one call may have the same key.
// Optional; the service falls back to Take, then the Store method, then Give.
//
// Clauses: ChargeAllOrNone, LiveWinsOverRefusal, SilentRefusal, GiveAllReturns,
// ChargedWindowBound, CanceledContext, and those of Store and Limiter through these
// methods (KeepsStoreClauses, KeepsLimiterClauses).
type ChargingStore interface {
	Store
	Limiter

	// PutCharged is Put together with the Takes of c.
	PutCharged(ctx context.Context, r Record, c []Charge, now time.Time) (Outcome, error)

	// ReissueCharged is Reissue together with the Takes of c.
	ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []Charge, now time.Time) (Outcome, error)

	// GiveAll is Give for each of c, in one round trip where the server allows.
	GiveAll(ctx context.Context, c []Charge) error
}
