package storetest

import (
	"context"
	"time"

	"otp.example/otp"
)

// A brokenPruner prunes in its own way.
type brokenPruner struct {
	*reference
	prunes func(s *reference, ctx context.Context, before time.Time, limit int) (int, error)
}

func (b brokenPruner) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	return b.prunes(b.reference, ctx, before, limit)
}

func pruning(f func(s *reference, ctx context.Context, before time.Time, limit int) (int, error)) func() PruningStore {
	return func() PruningStore { return brokenPruner{newReference(), f} }
}

// forget forgets the records and meters that are said to be over, and then those that
// are.
func forget(record func(r otp.Record, before time.Time) bool, meter func(m otp.Meter, before time.Time) bool) func() PruningStore {
	return pruning(func(s *reference, ctx context.Context, before time.Time, limit int) (int, error) {
		s.mu.Lock()
		n := 0
		for id, r := range s.records {
			if n < limit && record != nil && record(r, before) {
				delete(s.records, id)
				n++
			}
		}
		for key, m := range s.meters {
			if n < limit && meter != nil && meter(m, before) {
				delete(s.meters, key)
				n++
			}
		}
		s.mu.Unlock()
		more, err := s.Prune(ctx, before, limit-n)
		return n + more, err
	})
}

// A firstExpiry has an index of records that a Put over a dead one does not change.
type firstExpiry struct {
	*reference
	expires map[string]time.Time
}

func (f firstExpiry) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	f.mu.Lock()
	if _, ok := f.expires[r.ID]; !ok {
		f.expires[r.ID] = r.ExpiresAt
	}
	f.mu.Unlock()
	return f.reference.Put(ctx, r, now)
}

func (f firstExpiry) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	f.mu.Lock()
	n := 0
	for id, at := range f.expires {
		if _, ok := f.records[id]; ok && n < limit && at.Before(before) {
			delete(f.records, id)
			n++
		}
	}
	f.mu.Unlock()
	more, err := f.reference.Prune(ctx, before, limit-n)
	return n + more, err
}

var prunerMutants = []mutant[PruningStore]{
	{
		rejectedBy: "PruneKeepsLive", mistake: "forgets verified records",
		make: forget(func(r otp.Record, _ time.Time) bool { return r.State == otp.StateVerified }, nil),
	},
	{
		rejectedBy: "PruneKeepsLive", mistake: "goes by when a record was made",
		make: forget(func(r otp.Record, before time.Time) bool { return r.CreatedAt.Before(before) }, nil),
	},
	{
		rejectedBy: "PruneKeepsLive", mistake: "goes by when the record expires that was there first",
		make: func() PruningStore {
			return firstExpiry{newReference(), map[string]time.Time{}}
		},
	},
	{
		rejectedBy: "PruneKeepsLive", mistake: "forgets meters after a day",
		make: forget(nil, func(m otp.Meter, before time.Time) bool { return before.Sub(pruneEpoch) > day }),
	},
	{
		rejectedBy: "PruneKeepsLive", mistake: "forgets running totals when their windows are over",
		make: forget(nil, func(m otp.Meter, before time.Time) bool {
			return before.Sub(pruneEpoch) > 31*day && m.Expires().After(before) // no window in the cases is longer
		}),
	},
	{
		rejectedBy: "PruneKeepsLive", mistake: "forgets counters",
		make: pruning(func(s *reference, ctx context.Context, before time.Time, limit int) (int, error) {
			s.mu.Lock()
			clear(s.counters)
			s.mu.Unlock()
			return s.Prune(ctx, before, limit)
		}),
	},
	{
		rejectedBy: "PruneIsBounded", mistake: "takes no notice of max",
		make: pruning(func(s *reference, ctx context.Context, before time.Time, _ int) (int, error) {
			return s.Prune(ctx, before, 1<<30)
		}),
	},
	{
		rejectedBy: "PruneIsBounded", mistake: "forgets more than it reports",
		make: pruning(func(s *reference, ctx context.Context, before time.Time, limit int) (int, error) {
			n, err := s.Prune(ctx, before, 2*limit)
			return min(n, limit), err
		}),
	},
	{
		rejectedBy: "PruneIsBounded", mistake: "forgets no records",
		make: pruning(func(s *reference, ctx context.Context, before time.Time, limit int) (int, error) {
			s.mu.Lock()
			records := s.records
			s.records = nil
			s.mu.Unlock()
			n, err := s.Prune(ctx, before, limit)
			s.mu.Lock()
			s.records = records
			s.mu.Unlock()
			return n, err
		}),
	},
	{
		rejectedBy: "PruneIsBounded", mistake: "forgets no meters",
		make: pruning(func(s *reference, ctx context.Context, before time.Time, limit int) (int, error) {
			s.mu.Lock()
			meters := s.meters
			s.meters = nil
			s.mu.Unlock()
			n, err := s.Prune(ctx, before, limit)
			s.mu.Lock()
			s.meters = meters
			s.mu.Unlock()
			return n, err
		}),
	},
	{
		rejectedBy: "PruneIsBounded", mistake: "always reports something",
		also: "PruneKeepsLive",
		make: pruning(func(s *reference, ctx context.Context, before time.Time, limit int) (int, error) {
			n, err := s.Prune(ctx, before, limit)
			return max(n, min(1, limit)), err
		}),
	},
}
