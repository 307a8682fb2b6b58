package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"otp.example/otp"
)

// A store is all that package otp asks of one, on a page: a map for challenges, a map for
// meters, and one lock around each decision. The record and the meter know how to decide;
// a store has to see to it that nobody else decides on the same one meanwhile.
type store struct {
	mu      sync.Mutex
	records map[string]otp.Record
	meters  map[string]otp.Meter
}

var (
	_ otp.Store   = (*store)(nil)
	_ otp.Limiter = (*store)(nil)
)

func newStore() *store {
	return &store{records: map[string]otp.Record{}, meters: map[string]otp.Meter{}}
}

// Put stores r unless a live record has its ID.
func (s *store) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return otp.Record{}, false, err
	}
	if old, ok := s.records[r.ID]; ok && old.Live(now) {
		return copied(old), false, nil
	}
	s.records[r.ID] = copied(r)
	return copied(r), true, nil
}

// Get returns a record.
func (s *store) Get(ctx context.Context, id string) (otp.Record, error) {
	r, _, err := s.change(ctx, id, func(*otp.Record) bool { return false })
	return r, err
}

// Spend counts one attempt and compares.
func (s *store) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Spend(candidates, now) })
}

// Reissue counts one send and adds a digest.
func (s *store) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Reissue(digest, live, now) })
}

// Cancel ends a live record.
func (s *store) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, id, func(r *otp.Record) bool { return r.Cancel(now) })
}

// change lets a record decide under the lock: what it reads is what it changes.
func (s *store) change(ctx context.Context, id string, decide func(*otp.Record) bool) (otp.Record, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return otp.Record{}, false, err
	}
	r, ok := s.records[id]
	if !ok {
		return otp.Record{}, false, otp.ErrNotFound
	}
	applied := decide(&r)
	s.records[id] = r
	return copied(r), applied, nil
}

// Take charges a meter.
func (s *store) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return otp.Decision{}, err
	}
	m, d := s.meters[key].Take(cost, limits, now)
	s.meters[key] = m
	return d, nil
}

// Give gives back what a Take charged.
func (s *store) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.meters[key] = s.meters[key].Give(cost, limits, at)
	return nil
}

// copied keeps callers from changing what is stored, and the other way round.
func copied(r otp.Record) otp.Record {
	r.Digests, r.Sealed = slices.Clone(r.Digests), slices.Clone(r.Sealed)
	return r
}
