// Package memstore keeps challenges, limits, counters and credentials in the memory of
// one process. It needs no server and no set-up:
//
//	svc, err := otp.New(otp.Config{Store: memstore.New(), …})
//
// # What is guaranteed
//
// A [Store] implements every store contract of package otp, and each call that
// decides is one atomic step. It is bounded: when it is full it refuses what is
// new with [ErrFull] and goes on serving what it holds. To make room it never forgets
// a live record, a used code before its time, a limit that can still refuse, a counter,
// or credentials that somebody has, so filling it up gains an attacker no fresh
// attempts. It takes the time from its callers alone and starts no goroutine.
//
// # What is not
//
// Nothing survives the process, and nothing is shared with another one. After a
// restart
//
//   - codes that were sent no longer work, and people must ask for new ones;
//   - every limit and every guess ledger is empty: who can make the process
//     restart, or waits for the next deployment, gets all guesses and all
//     messages anew;
//   - authenticator apps, hardware tokens and recovery codes are gone: nobody can
//     use theirs, and who has somebody's session can enroll a new one without the
//     proof of an old one;
//   - a program that keeps seeds of its own and their counters here accepts the
//     code of an app that was used just before once more while its time step
//     lasts, and every HOTP code from the starting counter on again.
//
// And two replicas behind a load balancer admit everything twice, or find
// nothing. So a memstore suits tests, and services that run as one process and
// need delivered codes only. For anything else take sqlstore or redisstore.
//
// # Sizing
//
// A challenge of a service is one record and about four meters: five entries that
// take about 720 bytes. Records live as long as their codes, minutes; meters as
// long as the longest window of their limits, days, and after a wrong guess up
// to a year. Count, for [Bounds], the people who ask for a code in that time, not
// the challenges that are open at once. [Store.Used] says how full the store is;
// watch it, because a full store turns new people away.
//
// # Pruning
//
// Expired entries make room when the store is full. To have them go earlier, call
// [Store.Prune], or Prune of the service, every minute or so. The memory of what
// was forgotten is kept for new entries and is not returned to the system.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync/atomic"
	"time"

	"otp.example/otp"
)

// ErrFull is returned where a new record, meter, counter or key of credentials would
// exceed the [Bounds]. Nothing has changed then. It is a fault, so a service that gets
// it denies.
var ErrFull = errors.New("memstore: full")

// The bounds of [otp.Record] and [otp.Charge].
const (
	maxKey     = 128
	maxSealed  = 4 << 10
	maxDigests = otp.MaxDigests * otp.DigestSize
)

// pruneBatch is for how many entries Prune keeps a shard locked, so that no other
// call waits for long.
const pruneBatch = 256

// reclaimBatch is how much a call forgets that found the store full. It is room
// for the largest record and its meters.
const reclaimBatch = 128

// A Store keeps records, meters, counters and credentials in memory. It is safe for concurrent
// use. Make one with [New] or [NewBounded].
type Store struct {
	seed    maphash.Seed
	room    room
	shards  [shardCount]shard
	soonest [shardCount]atomic.Int64 // of the shards, side by side to be looked through quickly
}

var (
	_ otp.ChargingStore   = (*Store)(nil)
	_ otp.CounterStore    = (*Store)(nil)
	_ otp.CredentialStore = (*Store)(nil)
	_ otp.Pruner          = (*Store)(nil)
)

// New returns an empty Store with the default [Bounds].
func New() *Store { return NewBounded(Bounds{}) }

// NewBounded returns an empty Store that holds at most b.
func NewBounded(b Bounds) *Store {
	s := &Store{seed: maphash.MakeSeed(), room: room{max: b.withDefaults()}}
	for i := range s.shards {
		s.shards[i].init(s.seed, &s.room, &s.soonest[i])
	}
	return s
}

// Used returns what s holds now, in the units of [Bounds].
func (s *Store) Used() Bounds {
	return Bounds{Entries: s.room.entries.Load(), Bytes: s.room.bytes.Load()}
}

// Put stores r unless a live record has its ID. A record that is new to a full
// store is refused with [ErrFull].
func (s *Store) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	out, err := s.PutCharged(ctx, r, nil, now)
	return out.Record, out.Applied, err
}

// Get returns the record with the given ID.
func (s *Store) Get(ctx context.Context, id string) (otp.Record, error) {
	sh, i, err := s.locked(ctx, id)
	if err != nil {
		return otp.Record{}, err
	}
	defer sh.mu.Unlock()
	return sh.record(i, id), nil
}

// Spend counts one attempt against a live record and verifies it if one of the
// candidates is right. It works in a full store as in any other.
func (s *Store) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	sh, i, err := s.locked(ctx, id)
	if err != nil {
		return otp.Record{}, false, err
	}
	defer sh.mu.Unlock()
	r := sh.record(i, id)
	applied := r.Spend(candidates, now)
	if applied {
		sh.update(i, sh.encode(&r))
	}
	return r, applied, nil
}

// Cancel ends a live record. It works in a full store as in any other.
func (s *Store) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	sh, i, err := s.locked(ctx, id)
	if err != nil {
		return otp.Record{}, false, err
	}
	defer sh.mu.Unlock()
	r := sh.record(i, id)
	applied := r.Cancel(now)
	if applied {
		sh.update(i, sh.encode(&r))
	}
	return r, applied, nil
}

// Reissue counts one send against a live record and adds digest. It works in a
// full store as in any other.
func (s *Store) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	out, err := s.ReissueCharged(ctx, id, digest, live, nil, now)
	return out.Record, out.Applied, err
}

// locked returns the shard of a record, locked, and where it is in it.
func (s *Store) locked(ctx context.Context, id string) (*shard, uint32, error) {
	if err := done(ctx); err != nil {
		return nil, 0, err
	}
	if len(id) > maxKey {
		return nil, 0, otp.ErrNotFound // before it is hashed
	}
	h := maphash.String(s.seed, id)
	sh := s.shard(h)
	sh.mu.Lock()
	i := sh.find(kindRecord, id, h)
	if i == 0 {
		sh.mu.Unlock()
		return nil, 0, otp.ErrNotFound
	}
	return sh, i, nil
}

// Take charges cost to every limit of key, or to none. A key that is new to a
// full store is refused with [ErrFull].
func (s *Store) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	if err := done(ctx); err != nil {
		return otp.Decision{}, err
	}
	if err := checkKey(key); err != nil {
		return otp.Decision{}, err
	}
	d, err := s.take(key, cost, limits, now)
	if errors.Is(err, ErrFull) && s.reclaim(now.Add(-ahead(limits))) {
		d, err = s.take(key, cost, limits, now)
	}
	return d, err
}

// ahead is how far the now of a Take may lie ahead of the time: a service charges leases at their
// ends. What expires in between is still live.
func ahead(limits []otp.Limit) (d time.Duration) {
	for _, l := range limits {
		if l.Per > 0 && (d == 0 || l.Per < d) {
			d = l.Per
		}
	}
	return d / 16
}

func (s *Store) take(key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	h := maphash.String(s.seed, key)
	sh := s.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(kindMeter, key, h)
	m, d := otp.Meter(sh.value(i)).Take(cost, limits, now)
	if !d.OK || cost == 0 {
		return d, nil
	}
	if i == 0 && !s.room.take(1, entryCost(len(key)+len(m))) {
		return otp.Decision{}, ErrFull
	}
	sh.setMeter(i, key, h, m)
	return d, nil
}

// Give returns what a Take charged.
func (s *Store) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return s.GiveAll(ctx, []otp.Charge{{Key: key, Cost: cost, Limits: limits, At: at}})
}

// Advance sets key to counter and reports true if counter is greater than the
// stored one or key is new. A key that is new to a full store is refused with
// [ErrFull]. Nothing is forgotten first, because Advance is not told the time.
func (s *Store) Advance(ctx context.Context, key string, counter uint64) (bool, error) {
	if err := done(ctx); err != nil {
		return false, err
	}
	if err := checkKey(key); err != nil {
		return false, err
	}
	h := maphash.String(s.seed, key)
	sh := s.shard(h)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	i := sh.find(kindCounter, key, h)
	var buf [counterSize]byte
	switch {
	case i != 0 && counter <= decodeCounter(sh.value(i)):
		return false, nil
	case i == 0 && !s.room.take(1, entryCost(len(key)+counterSize)):
		return false, ErrFull
	case i == 0:
		sh.insert(kindCounter, key, h, appendCounter(buf[:0], counter))
	default:
		sh.update(i, appendCounter(buf[:0], counter))
	}
	return true, nil
}

// Prune forgets at most max records, meters and credentials that expired at or before
// the given time and reports how many. Its cost depends on how many there are, not on
// how many entries the store holds. It locks a small part of the store at a time,
// so other calls go on. If ctx ends it reports what it has forgotten until then
// and the error.
func (s *Store) Prune(ctx context.Context, before time.Time, max int) (int, error) {
	if err := done(ctx); err != nil {
		return 0, err
	}
	total, at := 0, before.UnixMicro()
	for i := range s.shards {
		for sh := &s.shards[i]; total < max && s.soonest[i].Load() <= at; {
			seen, forgotten := sh.forget(at, min(max-total, pruneBatch))
			total += forgotten
			if err := done(ctx); err != nil {
				return total, err
			}
			if seen == 0 {
				break // another Prune was here
			}
		}
	}
	return total, nil
}

// reclaim forgets some of what has expired, if anything has, for a call that found
// the store full. Its work is bounded, since that call is waiting.
func (s *Store) reclaim(now time.Time) bool {
	seen, forgotten, at := 0, 0, now.UnixMicro()
	for i := range s.shards {
		if s.soonest[i].Load() <= at {
			n, m := s.shards[i].forget(at, reclaimBatch)
			seen, forgotten = seen+n, forgotten+m
		}
		if forgotten >= reclaimBatch || seen >= 8*reclaimBatch {
			break
		}
	}
	return forgotten > 0
}

func (s *Store) shard(h uint64) *shard { return &s.shards[h%shardCount] }

func done(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	return nil
}

func checkKey(key string) error { return checkLen("key", len(key), maxKey) }

func checkRecord(r *otp.Record) error {
	if r.ID == "" {
		return errors.New("memstore: record ID empty")
	}
	return errors.Join(
		checkLen("record ID", len(r.ID), maxKey),
		checkLen("record Sealed", len(r.Sealed), maxSealed),
		checkDigests("record Digests", r.Digests),
	)
}

func checkDigests(name string, d []byte) error {
	if len(d)%otp.DigestSize != 0 {
		return fmt.Errorf("memstore: %s not a multiple of %d bytes", name, otp.DigestSize)
	}
	return checkLen(name, len(d), maxDigests)
}

func checkLen(name string, n, limit int) error {
	if n > limit {
		return fmt.Errorf("memstore: %s longer than %d bytes", name, limit)
	}
	return nil
}
