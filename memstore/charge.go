package memstore

import (
	"context"
	"errors"
	"hash/maphash"
	"math/bits"
	"time"

	"otp.example/otp"
)

// fewCharges is how many charges a call makes without allocating a list of them.
const fewCharges = 16

// PutCharged is Put together with the charges c: all of it happens or none, but
// for what [otp.Charge.Silent] says.
func (s *Store) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := done(ctx); err != nil {
		return otp.Outcome{}, err
	}
	if err := errors.Join(checkRecord(&r), checkCharges(c)); err != nil {
		return otp.Outcome{}, err
	}
	out, err := s.putCharged(r, c, micro(now))
	if errors.Is(err, ErrFull) && s.reclaim(now) {
		out, err = s.putCharged(r, c, micro(now))
	}
	return out, err
}

func (s *Store) putCharged(r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	var few [fewCharges]metered
	held := s.hold(r.ID, c, few[:0])
	defer s.unlock(held.locks)
	sh, i := s.shard(held.hash), held.record

	var old otp.Record
	if i != 0 {
		old = sh.record(i, r.ID)
	}
	if old.Live(now) {
		return otp.Outcome{Record: old}, nil
	}
	refused, silent := s.charge(c, held.meters)
	switch {
	case silent:
		r.Digests = nil
	case refused != nil:
		return otp.Outcome{Record: old, Refused: refused}, nil
	}
	value := sh.encode(&r)
	var isNew, size int64
	if i == 0 {
		isNew, size = 1, entryCost(len(r.ID)+len(value))
	}
	if !s.keep(c, held.meters, isNew, size) {
		return otp.Outcome{}, ErrFull
	}
	if i == 0 {
		i = sh.insert(kindRecord, r.ID, held.hash, value)
		sh.schedule(i, r.ExpiresAt.UnixMicro())
	} else {
		sh.update(i, value)
		sh.hasten(i, r.ExpiresAt.UnixMicro())
	}
	return otp.Outcome{Record: sh.record(i, r.ID), Applied: true, Refused: refused}, nil
}

// ReissueCharged is Reissue together with the charges c: all of it happens or
// none, but for what [otp.Charge.Silent] says.
func (s *Store) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := done(ctx); err != nil {
		return otp.Outcome{}, err
	}
	if err := errors.Join(checkDigests("digest", digest), checkCharges(c)); err != nil {
		return otp.Outcome{}, err
	}
	if live < 0 {
		return otp.Outcome{}, errors.New("memstore: live negative")
	}
	if len(id) > maxKey {
		return otp.Outcome{}, otp.ErrNotFound
	}
	out, err := s.reissueCharged(id, digest, live, c, micro(now))
	if errors.Is(err, ErrFull) && s.reclaim(now) {
		out, err = s.reissueCharged(id, digest, live, c, micro(now))
	}
	return out, err
}

func (s *Store) reissueCharged(id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	var few [fewCharges]metered
	held := s.hold(id, c, few[:0])
	defer s.unlock(held.locks)
	sh, i := s.shard(held.hash), held.record

	if i == 0 {
		return otp.Outcome{}, otp.ErrNotFound
	}
	old := sh.record(i, id)
	r := old
	if !r.Reissue(digest, live, now) {
		return otp.Outcome{Record: old}, nil
	}
	refused, silent := s.charge(c, held.meters)
	switch {
	case silent:
		r = old
		r.Reissue(nil, live, now)
	case refused != nil:
		return otp.Outcome{Record: old, Refused: refused}, nil
	}
	if !s.keep(c, held.meters, 0, 0) {
		return otp.Outcome{}, ErrFull
	}
	sh.update(i, sh.encode(&r))
	return otp.Outcome{Record: r, Applied: true, Refused: refused}, nil
}

// GiveAll is Give for each of c, in one atomic step.
func (s *Store) GiveAll(ctx context.Context, c []otp.Charge) error {
	if err := done(ctx); err != nil {
		return err
	}
	if err := checkCharges(c); err != nil {
		return err
	}
	var few [fewCharges]metered
	held := s.hold("", c, few[:0])
	defer s.unlock(held.locks)
	for i, m := range held.meters {
		if m.first != i || m.cell == 0 {
			continue // given with the first of its key, or forgotten and so full again
		}
		sh := s.shard(m.hash)
		left := otp.Meter(sh.value(m.cell))
		for j := i; j < len(c); j++ {
			if held.meters[j].first == i {
				left = left.Give(c[j].Cost, c[j].Limits, c[j].At)
			}
		}
		sh.setMeter(m.cell, c[i].Key, m.hash, left)
		if len(left) > 0 {
			sh.hasten(m.cell, left.Expires().UnixMicro())
		}
	}
	return nil
}

// A metered is what a charge is made on.
type metered struct {
	hash  uint64
	first int       // the first charge with the same key; it has the fields below
	cell  uint32    // where the meter is, zero if it is new
	meter otp.Meter // what the charges made of it, if dirty
	dirty bool
}

// A held is what a call that charges has locked and found.
type held struct {
	locks  shardSet
	hash   uint64    // of the record
	record uint32    // where it is, zero if it is new
	meters []metered // beside the charges
}

// hold finds a record, unless id is empty, and the meters of c.
func (s *Store) hold(id string, c []otp.Charge, few []metered) held {
	h := held{meters: few}
	if id != "" {
		h.hash = maphash.String(s.seed, id)
		h.locks.add(h.hash)
	}
	for i := range c {
		hash, first := maphash.String(s.seed, c[i].Key), 0
		for first < i && (h.meters[first].hash != hash || c[first].Key != c[i].Key) {
			first++
		}
		h.meters = append(h.meters, metered{hash: hash, first: first})
		h.locks.add(hash)
	}
	s.lock(h.locks)
	// One pass over the indexes and another over the entries: memory is far away,
	// and like this the processor waits for all of a pass at once.
	if id != "" {
		h.record = s.shard(h.hash).candidate(h.hash)
	}
	for i := range h.meters {
		m := &h.meters[i]
		m.cell = s.shard(m.hash).candidate(m.hash)
	}
	h.record = s.shard(h.hash).confirm(h.record, kindRecord, id, h.hash)
	for i := range h.meters {
		m := &h.meters[i]
		m.cell = s.shard(m.hash).confirm(m.cell, kindMeter, c[i].Key, m.hash)
	}
	return h
}

// charge works out what the meters will be and changes nothing yet. If a charge
// refuses it says which. If that was a silent one, the others are made.
func (s *Store) charge(c []otp.Charge, ms []metered) (refused *otp.Refusal, silent bool) {
	if r := s.takeAll(c, ms, false); r != nil {
		return r, false
	}
	r := s.takeAll(c, ms, true)
	if r == nil {
		return nil, false
	}
	for i := range ms {
		ms[i].dirty = false
	}
	s.takeAll(c, ms, false)
	return r, true
}

// takeAll makes the charges that are silent, or those that are not, until one
// refuses.
func (s *Store) takeAll(c []otp.Charge, ms []metered, silent bool) *otp.Refusal {
	for i := range c {
		if c[i].Silent != silent {
			continue
		}
		m := &ms[ms[i].first]
		old := m.meter
		if !m.dirty {
			old = s.shard(m.hash).value(m.cell)
		}
		charged, d := old.Take(c[i].Cost, c[i].Limits, c[i].At)
		if !d.OK {
			return &otp.Refusal{Scope: c[i].Scope, RetryAfter: d.RetryAfter}
		}
		if c[i].Cost > 0 {
			m.meter, m.dirty = charged, true
		}
	}
	return nil
}

// keep stores the meters, if there is room for those that are new and for further
// entries of that size.
func (s *Store) keep(c []otp.Charge, ms []metered, entries, size int64) bool {
	for i := range ms {
		if m := &ms[i]; m.dirty && m.cell == 0 {
			entries++
			size += entryCost(len(c[i].Key) + len(m.meter))
		}
	}
	if !s.room.take(entries, size) {
		return false
	}
	for i := range ms {
		if m := &ms[i]; m.dirty {
			s.shard(m.hash).setMeter(m.cell, c[i].Key, m.hash, m.meter)
		}
	}
	return true
}

// A shardSet is locked in ascending order by everybody, so nobody waits in a circle.
type shardSet [shardCount / 64]uint64

func (l *shardSet) add(h uint64) { l[h%shardCount/64] |= 1 << (h % 64) }

func (s *Store) lock(l shardSet) {
	for i, w := range l {
		for ; w != 0; w &= w - 1 {
			s.shards[i*64+bits.TrailingZeros64(w)].mu.Lock()
		}
	}
}

func (s *Store) unlock(l shardSet) {
	for i, w := range l {
		for ; w != 0; w &= w - 1 {
			s.shards[i*64+bits.TrailingZeros64(w)].mu.Unlock()
		}
	}
}

func checkCharges(c []otp.Charge) error {
	for i := range c {
		if err := checkKey(c[i].Key); err != nil {
			return err
		}
	}
	return nil
}
