package storetest

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"otp.example/otp"
)

// A reference is a store that keeps every clause: maps and a mutex around what package
// otp does to a record and a meter. The mutants embed it and break one thing.
type reference struct {
	mu       sync.Mutex
	records  map[string]otp.Record
	meters   map[string]otp.Meter
	counters map[string]uint64
	books    map[string]book
}

// A book is a value of credentials.
type book struct {
	value []byte
	until time.Time
}

func newReference() *reference {
	return &reference{records: map[string]otp.Record{}, meters: map[string]otp.Meter{}, counters: map[string]uint64{}, books: map[string]book{}}
}

var (
	_ otp.ChargingStore   = (*reference)(nil)
	_ otp.CounterStore    = (*reference)(nil)
	_ otp.CredentialStore = (*reference)(nil)
	_ PruningStore        = (*reference)(nil)
	_ Reopener            = (*reference)(nil)
)

func (s *reference) Reopen() (any, error) { return s.reopened(), nil }

func (s *reference) reopened() *reference {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &reference{records: maps.Clone(s.records), meters: maps.Clone(s.meters), counters: maps.Clone(s.counters), books: maps.Clone(s.books)}
}

func (s *reference) Get(ctx context.Context, id string) (otp.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return otp.Record{}, otp.ErrNotFound
	}
	return clone(r), ctx.Err()
}

// change does f to a record in one atomic step.
func (s *reference) change(ctx context.Context, id string, f func(*otp.Record) bool) (otp.Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return otp.Record{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.records[id]
	if !ok {
		return otp.Record{}, false, otp.ErrNotFound
	}
	applied := f(&r)
	s.records[id] = r
	return clone(r), applied, nil
}

func (s *reference) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	out, err := s.PutCharged(ctx, r, nil, now)
	return out.Record, out.Applied, err
}

func (s *reference) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Spend(candidates, now) })
}

func (s *reference) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Reissue(digest, live, now) })
}

func (s *reference) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Cancel(now) })
}

func (s *reference) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	if err := ctx.Err(); err != nil {
		return otp.Decision{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, d := s.meters[key].Take(cost, limits, now)
	s.meters[key] = m
	return d, nil
}

func (s *reference) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meters[key] = s.meters[key].Give(cost, limits, at)
	return nil
}

func (s *reference) GiveAll(ctx context.Context, c []otp.Charge) error {
	for _, charge := range c {
		if err := s.Give(ctx, charge.Key, charge.Cost, charge.Limits, charge.At); err != nil {
			return err
		}
	}
	return nil
}

func (s *reference) Advance(ctx context.Context, key string, counter uint64) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.counters[key]
	if ok && counter <= old {
		return false, nil
	}
	s.counters[key] = counter
	return true, nil
}

func (s *reference) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for id, r := range s.records {
		if n < limit && r.ExpiresAt.Before(before) {
			delete(s.records, id)
			n++
		}
	}
	for key, m := range s.meters {
		if n < limit && m.Expires().Before(before) {
			delete(s.meters, key)
			n++
		}
	}
	for key, b := range s.books {
		if n < limit && !b.until.IsZero() && b.until.Before(before) {
			delete(s.books, key)
			n++
		}
	}
	return n, ctx.Err()
}

func (s *reference) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.books[key].value), ctx.Err()
}

func (s *reference) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(s.books[key].value, old) {
		return false, nil
	}
	s.books[key] = book{bytes.Clone(value), until}
	if len(value) == 0 {
		delete(s.books, key)
	}
	return true, nil
}

// ListCredentials goes on after the cursor, which is a key.
func (s *reference) ListCredentials(ctx context.Context, cursor string, limit int) (keys []string, next string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(s.books)) {
		if key > cursor {
			keys = append(keys, key)
		}
	}
	if len(keys) > limit {
		keys = keys[:limit]
		next = keys[limit-1]
	}
	return keys, next, ctx.Err()
}

func (s *reference) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return otp.Outcome{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.records[r.ID]
	if ok && old.Live(now) {
		return otp.Outcome{Record: clone(old)}, nil
	}
	changed, quiet, refused := s.charge(c)
	switch {
	case quiet:
		r.Digests = nil
	case refused != nil:
		return otp.Outcome{Record: clone(old), Refused: refused}, nil
	}
	maps.Copy(s.meters, changed)
	s.records[r.ID] = clone(r)
	return otp.Outcome{Record: clone(r), Applied: true, Refused: refused}, nil
}

func (s *reference) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	out.Record, out.Applied, err = s.change(ctx, id, func(r *otp.Record) bool {
		if trial := *r; !trial.Reissue(digest, live, now) {
			return false
		}
		changed, quiet, refused := s.charge(c)
		out.Refused = refused
		switch {
		case quiet:
			digest = nil
		case refused != nil:
			return false
		}
		maps.Copy(s.meters, changed)
		return r.Reissue(digest, live, now)
	})
	return out, err
}

// charged works out what the charges that are Silent, or those that are not, make of
// meters, on top of what is changed already.
func charged(meters map[string]otp.Meter, changed map[string]otp.Meter, c []otp.Charge, silent bool) (map[string]otp.Meter, *otp.Refusal) {
	changed = maps.Clone(changed)
	for _, charge := range c {
		if charge.Silent != silent {
			continue
		}
		m, ok := changed[charge.Key]
		if !ok {
			m = meters[charge.Key]
		}
		m, d := m.Take(charge.Cost, charge.Limits, charge.At)
		if !d.OK {
			return nil, &otp.Refusal{Scope: charge.Scope, RetryAfter: d.RetryAfter}
		}
		changed[charge.Key] = m
	}
	return changed, nil
}

// charge works out what c makes of the meters. If none but Silent charges refuse, quiet
// is true and the others are made.
func (s *reference) charge(c []otp.Charge) (changed map[string]otp.Meter, quiet bool, refused *otp.Refusal) {
	loud, refused := charged(s.meters, map[string]otp.Meter{}, c, false)
	if refused != nil {
		return nil, false, refused
	}
	all, refused := charged(s.meters, loud, c, true)
	if refused != nil {
		return loud, true, refused
	}
	return all, false, nil
}
