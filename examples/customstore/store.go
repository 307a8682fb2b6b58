package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"otp.example/otp"
)

// A Store is a store that somebody wrote for a database of their own; here the database
// is two maps, and the transaction is a lock. What has to happen to a record or a meter
// is done by package otp, so that what is left is to do it in one atomic step and to
// keep the result. It never forgets anything: see otp.Pruner for how one does.
type Store struct {
	mu      sync.Mutex
	records map[string]otp.Record
	meters  map[string]otp.Meter
}

// NewStore returns an empty Store.
func NewStore() *Store {
	return &Store{records: map[string]otp.Record{}, meters: map[string]otp.Meter{}}
}

var (
	_ otp.Store   = (*Store)(nil)
	_ otp.Limiter = (*Store)(nil)
)

// Put stores r unless a live record has its ID.
func (s *Store) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return otp.Record{}, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.records[r.ID]; old.Live(now) {
		return clone(old), false, nil
	}
	s.records[r.ID] = clone(r)
	return clone(r), true, nil
}

// Get returns a record.
func (s *Store) Get(ctx context.Context, id string) (otp.Record, error) {
	r, _, err := s.change(ctx, id, func(*otp.Record) bool { return false })
	return r, err
}

// Spend counts one attempt against a live record and compares.
func (s *Store) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Spend(candidates, now) })
}

// Reissue counts one send against a live record and adds digest.
func (s *Store) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Reissue(digest, live, now) })
}

// Cancel ends a live record.
func (s *Store) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Cancel(now) })
}

// change does f to one record. In a database this is a transaction that locks the row
// before it reads it: two calls that read the same row first and write it then would
// accept a code twice.
func (s *Store) change(ctx context.Context, id string, f func(*otp.Record) bool) (otp.Record, bool, error) {
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
	if applied {
		s.records[id] = r
	}
	return clone(r), applied, nil
}

// Take charges cost to every limit of key, or to none.
func (s *Store) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	if err := ctx.Err(); err != nil {
		return otp.Decision{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m, decision := s.meters[key].Take(cost, limits, now)
	s.meters[key] = m
	return decision, nil
}

// Give returns what a Take charged.
func (s *Store) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meters[key] = s.meters[key].Give(cost, limits, at)
	return nil
}

// clone keeps the store's slices apart from those of its callers.
func clone(r otp.Record) otp.Record {
	r.Digests, r.Sealed = slices.Clone(r.Digests), slices.Clone(r.Sealed)
	return r
}
