package storetest

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"time"

	"otp.example/otp"
)

// wall is what the clocks of mutants say.
var wall = now.AddDate(-1, 0, 0)

// A call is the arguments of any method of a store.
type call struct {
	ctx    context.Context
	record otp.Record
	id     string
	bytes  []byte // candidates or digest
	live   int
	now    time.Time
}

// on makes the call as it should be made.
func (c call) put(s *reference) (otp.Record, bool, error) { return s.Put(c.ctx, c.record, c.now) }

func (c call) spend(s *reference) (otp.Record, bool, error) {
	return s.Spend(c.ctx, c.id, c.bytes, c.now)
}

func (c call) reissue(s *reference) (otp.Record, bool, error) {
	return s.Reissue(c.ctx, c.id, c.bytes, c.live, c.now)
}
func (c call) cancel(s *reference) (otp.Record, bool, error) { return s.Cancel(c.ctx, c.id, c.now) }

type method func(s *reference, c call) (otp.Record, bool, error)

// A broken is a store that does some calls in its own way.
type broken struct {
	*reference
	puts, gets, spends, reissues, cancels method
	reopens                               func(*reference) *reference
}

func (b broken) make() otp.Store {
	b.reference = newReference()
	for m, correct := range map[*method]method{
		&b.puts: func(s *reference, c call) (otp.Record, bool, error) { return c.put(s) },
		&b.gets: func(s *reference, c call) (otp.Record, bool, error) {
			r, err := s.Get(c.ctx, c.id)
			return r, false, err
		},
		&b.spends:   func(s *reference, c call) (otp.Record, bool, error) { return c.spend(s) },
		&b.reissues: func(s *reference, c call) (otp.Record, bool, error) { return c.reissue(s) },
		&b.cancels:  func(s *reference, c call) (otp.Record, bool, error) { return c.cancel(s) },
	} {
		if *m == nil {
			*m = correct
		}
	}
	return b
}

func (b broken) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	return b.puts(b.reference, call{ctx: ctx, record: r, id: r.ID, now: now})
}

func (b broken) Get(ctx context.Context, id string) (otp.Record, error) {
	r, _, err := b.gets(b.reference, call{ctx: ctx, id: id})
	return r, err
}

func (b broken) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return b.spends(b.reference, call{ctx: ctx, id: id, bytes: candidates, now: now})
}

func (b broken) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	return b.reissues(b.reference, call{ctx: ctx, id: id, bytes: digest, live: live, now: now})
}

func (b broken) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return b.cancels(b.reference, call{ctx: ctx, id: id, now: now})
}

func (b broken) Reopen() (any, error) {
	b.reference = b.reopened()
	if b.reopens != nil {
		b.reference = b.reopens(b.reference)
	}
	return b, nil
}

// everywhere is a store that does the same to every call, and to every record returned.
type everywhere struct {
	otp.Store
	id    func(string) string
	now   func(time.Time) time.Time
	shown func(otp.Record) otp.Record
}

func (e everywhere) make() otp.Store {
	e.Store = newReference()
	if e.id == nil {
		e.id = func(id string) string { return id }
	}
	if e.now == nil {
		e.now = func(now time.Time) time.Time { return now }
	}
	if e.shown == nil {
		e.shown = func(r otp.Record) otp.Record { return r }
	}
	return e
}

func (e everywhere) show(r otp.Record, id string) otp.Record {
	if r.ID != "" {
		r.ID = id
	}
	return e.shown(r)
}

func (e everywhere) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	id := r.ID
	r.ID = e.id(id)
	r, applied, err := e.Store.Put(ctx, r, e.now(now))
	return e.show(r, id), applied, err
}

func (e everywhere) Get(ctx context.Context, id string) (otp.Record, error) {
	r, err := e.Store.Get(ctx, e.id(id))
	return e.show(r, id), err
}

func (e everywhere) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	r, applied, err := e.Store.Spend(ctx, e.id(id), candidates, e.now(now))
	return e.show(r, id), applied, err
}

func (e everywhere) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	r, applied, err := e.Store.Reissue(ctx, e.id(id), digest, live, e.now(now))
	return e.show(r, id), applied, err
}

func (e everywhere) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	r, applied, err := e.Store.Cancel(ctx, e.id(id), e.now(now))
	return e.show(r, id), applied, err
}

func (e everywhere) Reopen() (any, error) { return e, nil }

// peek returns a record as a store reads it that decides later.
func (s *reference) peek(id string) otp.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return clone(s.records[id])
}

var storeMeeting = newMeeting()

var storeMutants = []mutant[otp.Store]{
	{
		rejectedBy: "SpendOnce", mistake: "reads whether the code was used and locks then",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			read := s.peek(c.id)
			storeMeeting.meet(c.id)
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				if r.State == otp.StateVerified && read.State == otp.StatePending && r.Matches(c.bytes) >= 0 {
					r.State = read.State
				}
				return r.Spend(c.bytes, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "SpendOnce", mistake: "accepts a used code for one second more",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				if r.State == otp.StateVerified && r.Matches(c.bytes) >= 0 && c.now.Before(r.SentAt.Add(time.Second)) {
					r.State = otp.StatePending
				}
				return r.Spend(c.bytes, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "SpendOnce", mistake: "looks at the first candidate only",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			c.bytes = c.bytes[:min(len(c.bytes), otp.DigestSize)]
			return c.spend(s)
		}}.make,
	},
	{
		rejectedBy: "SpendOnce", mistake: "looks at the first three candidates only",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			c.bytes = c.bytes[:min(len(c.bytes), 3*otp.DigestSize)]
			return c.spend(s)
		}}.make,
	},
	{
		rejectedBy: "SpendOnce", mistake: "looks at the newest three codes only",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				all := r.Digests
				defer func() { r.Digests = all }()
				r.Digests = all[max(0, len(all)-3*otp.DigestSize):]
				return r.Spend(c.bytes, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "OwnOutcome", mistake: "changes the record and reads it then",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			r, applied, err := c.spend(s)
			storeMeeting.meet(c.id)
			if err == nil {
				r = s.peek(c.id)
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "OwnOutcome", mistake: "explains a refusal with what it read before",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			read := s.peek(c.id)
			storeMeeting.meet(c.id)
			r, applied, err := c.spend(s)
			if err == nil && !applied {
				r = read
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "OwnOutcome", mistake: "returns what another Reissue made of the record",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			r, applied, err := c.reissue(s)
			storeMeeting.meet(c.id)
			if err == nil {
				r = s.peek(c.id)
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "AttemptsBound", mistake: "looks at Attempts and counts later",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			read := s.peek(c.id)
			storeMeeting.meet(c.id)
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				bound := r.MaxAttempts
				defer func() { r.MaxAttempts = bound }()
				if read.Attempts < read.MaxAttempts {
					r.MaxAttempts = r.Attempts + 1
				}
				return r.Spend(c.bytes, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "AttemptsBound", mistake: "compares first and counts wrong codes only",
		also: "OwnOutcome PutKeepsLive ReissueBound CanceledContext RoundTrip Durable",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				applied := r.Spend(c.bytes, c.now)
				if applied && r.State == otp.StateVerified {
					r.Attempts--
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "AttemptsBound", mistake: "does not count an answer without candidates",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			if len(c.bytes) == 0 {
				return s.peek(c.id), false, nil
			}
			return c.spend(s)
		}}.make,
	},
	{
		rejectedBy: "ExpiryIsExclusive", mistake: "spends at ExpiresAt",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				if c.now.Equal(r.ExpiresAt) {
					c.now = c.now.Add(-tick)
				}
				return r.Spend(c.bytes, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "ExpiryIsExclusive", mistake: "cancels at ExpiresAt",
		make: broken{cancels: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				if c.now.Equal(r.ExpiresAt) {
					c.now = c.now.Add(-tick)
				}
				return r.Cancel(c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "ExpiryIsExclusive", mistake: "keeps a record at ExpiresAt from being replaced",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			if old := s.peek(c.id); c.now.Equal(old.ExpiresAt) && old.ID != "" {
				return old, false, nil
			}
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "ExpiryIsExclusive", mistake: "takes times in whole seconds",
		also: "NoClock ReissueBound CanceledContext RoundTrip Durable SpendOnce",
		make: everywhere{now: func(now time.Time) time.Time { return now.Truncate(time.Second) }}.make,
	},
	{
		rejectedBy: "PutKeepsLive", mistake: "looks for a live record and writes later",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			if err := c.ctx.Err(); err != nil {
				return otp.Record{}, false, err
			}
			if old := s.peek(c.id); old.Live(c.now) {
				return old, false, nil
			}
			storeMeeting.meet(c.id)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records[c.id] = clone(c.record)
			return c.record, true, nil
		}}.make,
	},
	{
		rejectedBy: "PutKeepsLive", mistake: "looks for a dead record and replaces it later",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			if old := s.peek(c.id); c.ctx.Err() != nil || old.ID == "" || old.Live(c.now) {
				return c.put(s)
			}
			storeMeeting.meet(c.id)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.records[c.id] = clone(c.record)
			return c.record, true, nil
		}}.make,
	},
	{
		rejectedBy: "PutKeepsLive", mistake: "overwrites any record",
		also: "ExpiryIsExclusive RoundTrip NoClock",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			if c.ctx.Err() == nil {
				s.mu.Lock()
				delete(s.records, c.id)
				s.mu.Unlock()
			}
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "PutKeepsLive", mistake: "keeps the attempts of a dead record",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			if old := s.peek(c.id); old.ID != "" {
				c.record.Attempts = old.Attempts
			}
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "PutKeepsLive", mistake: "does not replace a canceled record",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			if old := s.peek(c.id); old.State == otp.StateCanceled {
				return old, false, c.ctx.Err()
			}
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "PutKeepsLive", mistake: "returns the record that it refused",
		also: "RoundTrip",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			_, applied, err := c.put(s)
			return c.record, applied, err
		}}.make,
	},
	{
		rejectedBy: "ReissueBound", mistake: "looks at Sends and counts later",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			read := s.peek(c.id)
			storeMeeting.meet(c.id)
			for range 20 {
				runtime.Gosched() // others count first
			}
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				bound := r.MaxSends
				defer func() { r.MaxSends = bound }()
				if read.Sends < read.MaxSends {
					r.MaxSends = r.Sends + 1
				}
				return r.Reissue(c.bytes, c.live, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueBound", mistake: "writes the Attempts that it read before",
		make: broken{
			spends: func(s *reference, c call) (otp.Record, bool, error) {
				storeMeeting.meet(c.id)
				return c.spend(s)
			},
			reissues: func(s *reference, c call) (otp.Record, bool, error) {
				read := s.peek(c.id)
				storeMeeting.meet(c.id)
				for range 20 {
					runtime.Gosched() // a Spend comes first
				}
				return s.change(c.ctx, c.id, func(r *otp.Record) bool {
					applied := r.Reissue(c.bytes, c.live, c.now)
					if applied {
						r.Attempts = read.Attempts
					}
					return applied
				})
			},
		}.make,
	},
	{
		rejectedBy: "ReissueBound", mistake: "forgets Attempts",
		also: "RoundTrip",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				applied := r.Reissue(c.bytes, c.live, c.now)
				if applied {
					r.Attempts = 0
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueBound", mistake: "starts the lifetime anew",
		also: "RoundTrip Durable",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				applied := r.Reissue(c.bytes, c.live, c.now)
				if applied {
					r.ExpiresAt = c.now.Add(lifetime)
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueBound", mistake: "sets SentAt although it refuses",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				applied := r.Reissue(c.bytes, c.live, c.now)
				r.SentAt = c.now
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueKeeps", mistake: "keeps one code too many",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			if c.live > 1 {
				c.live++
			}
			return c.reissue(s)
		}}.make,
	},
	{
		rejectedBy: "ReissueKeeps", mistake: "keeps the oldest codes",
		also: "OwnOutcome RoundTrip Durable",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				all := slices.Concat(r.Digests, c.bytes)
				applied := r.Reissue(c.bytes, c.live, c.now)
				if applied {
					r.Digests = all[:min(len(all), c.live*otp.DigestSize)]
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueKeeps", mistake: "drops the codes when it adds none",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				applied := r.Reissue(c.bytes, c.live, c.now)
				if applied && len(c.bytes) == 0 {
					r.Digests = nil
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueKeeps", mistake: "keeps as many codes as it is told to",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				all := slices.Concat(r.Digests, c.bytes)
				applied := r.Reissue(c.bytes, c.live, c.now)
				if applied && len(c.bytes) > 0 {
					r.Digests = all[max(0, len(all)-c.live*otp.DigestSize):]
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "ReissueKeeps", mistake: "loses the code of a concurrent call",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			read := s.peek(c.id)
			storeMeeting.meet(c.id)
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				applied := r.Reissue(c.bytes, c.live, c.now)
				if applied && len(c.bytes) > 0 {
					all := slices.Concat(read.Digests, c.bytes)
					r.Digests = all[max(0, len(all)-c.live*otp.DigestSize):]
				}
				return applied
			})
		}}.make,
	},
	{
		rejectedBy: "CancelVsSpend", mistake: "looks whether the record is live and cancels later",
		make: broken{
			spends: func(s *reference, c call) (otp.Record, bool, error) {
				storeMeeting.meet(c.id)
				return c.spend(s)
			},
			cancels: func(s *reference, c call) (otp.Record, bool, error) {
				read := s.peek(c.id)
				storeMeeting.meet(c.id)
				for range 20 {
					runtime.Gosched() // the Spend comes first
				}
				return s.change(c.ctx, c.id, func(r *otp.Record) bool {
					if read.Live(c.now) {
						r.State = otp.StatePending
					}
					return r.Cancel(c.now)
				})
			},
		}.make,
	},
	{
		rejectedBy: "CancelVsSpend", mistake: "cancels a verified record",
		also: "RoundTrip",
		make: broken{cancels: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				if r.State == otp.StateVerified {
					r.State = otp.StatePending
				}
				return r.Cancel(c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "CancelVsSpend", mistake: "spends a canceled record",
		also: "BytewiseIDs Durable",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool {
				if r.State == otp.StateCanceled {
					r.State = otp.StatePending
				}
				return r.Spend(c.bytes, c.now)
			})
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "puts",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			c.ctx = context.WithoutCancel(c.ctx)
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "spends and returns the error then",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			err := c.ctx.Err()
			c.ctx = context.WithoutCancel(c.ctx)
			r, applied, otherErr := c.spend(s)
			return r, applied, errors.Join(err, otherErr)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "reissues",
		make: broken{reissues: func(s *reference, c call) (otp.Record, bool, error) {
			c.ctx = context.WithoutCancel(c.ctx)
			return c.reissue(s)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "cancels",
		make: broken{cancels: func(s *reference, c call) (otp.Record, bool, error) {
			c.ctx = context.WithoutCancel(c.ctx)
			return c.cancel(s)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "calls it a refusal",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			if c.ctx.Err() != nil {
				return s.peek(c.id), false, nil
			}
			return c.spend(s)
		}}.make,
	},
	{
		rejectedBy: "RoundTrip", mistake: "keeps CreatedAt in milliseconds",
		make: everywhere{shown: func(r otp.Record) otp.Record {
			r.CreatedAt = r.CreatedAt.Truncate(time.Millisecond)
			return r
		}}.make,
	},
	{
		rejectedBy: "RoundTrip", mistake: "returns local times",
		make: everywhere{shown: func(r otp.Record) otp.Record {
			r.ExpiresAt = r.ExpiresAt.In(time.FixedZone("here", 3600))
			return r
		}}.make,
	},
	{
		rejectedBy: "RoundTrip", mistake: "ends Sealed at a zero byte",
		make: everywhere{shown: func(r otp.Record) otp.Record {
			r.Sealed, _, _ = bytes.Cut(r.Sealed, []byte{0})
			return r
		}}.make,
	},
	{
		rejectedBy: "RoundTrip", mistake: "has no room for many codes",
		make: everywhere{shown: func(r otp.Record) otp.Record {
			r.Digests = r.Digests[:min(len(r.Digests), 15*otp.DigestSize)]
			return r
		}}.make,
		also: "ReissueKeeps",
	},
	{
		rejectedBy: "RoundTrip", mistake: "returns no Sealed after Spend",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			r, applied, err := c.spend(s)
			if applied && len(r.Sealed) > 1000 {
				r.Sealed = nil
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "RoundTrip", mistake: "puts every record with no attempts",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			c.record.Attempts = 0
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "NoClock", mistake: "looks at its own clock, too",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			return s.change(c.ctx, c.id, func(r *otp.Record) bool { return wall.Before(r.ExpiresAt) && r.Spend(c.bytes, c.now) })
		}}.make,
	},
	{
		rejectedBy: "NoClock", mistake: "forgets what its clock says has expired",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			defer func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.records[c.id].ExpiresAt.Before(wall) {
					delete(s.records, c.id)
				}
			}()
			return c.put(s)
		}}.make,
	},
	{
		rejectedBy: "NoClock", mistake: "looks at its own clock instead",
		also: "ExpiryIsExclusive ReissueBound CanceledContext RoundTrip Durable",
		make: everywhere{now: func(time.Time) time.Time { return wall }}.make,
	},
	{
		rejectedBy: "NoClock", mistake: "remembers the latest now",
		make: func() otp.Store {
			var mu sync.Mutex
			var newest time.Time
			return broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
				mu.Lock()
				defer mu.Unlock()
				newest = later(newest, c.now)
				c.now = newest
				return c.spend(s)
			}}.make()
		},
	},
	{
		rejectedBy: "Durable", mistake: "keeps nothing",
		make: broken{reopens: func(*reference) *reference { return newReference() }}.make,
	},
	{
		rejectedBy: "Durable", mistake: "keeps records as they were put",
		make: broken{reopens: func(s *reference) *reference {
			for id, r := range s.records {
				r.State, r.Attempts = otp.StatePending, 0
				s.records[id] = r
			}
			return s
		}}.make,
	},
	{
		rejectedBy: "Durable", mistake: "forgets the record that was not used for longest",
		make: func() otp.Store {
			used := &latest{}
			// Without Reopen, as a cache has none.
			return struct{ otp.Store }{broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
				forget := used.use(c.id)
				s.mu.Lock()
				delete(s.records, forget)
				s.mu.Unlock()
				return c.put(s)
			}}.make()}
		},
	},
	{
		rejectedBy: "UnknownID", mistake: "refuses to spend what it does not hold",
		make: broken{spends: func(s *reference, c call) (otp.Record, bool, error) {
			r, applied, err := c.spend(s)
			if errors.Is(err, otp.ErrNotFound) {
				err = nil
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "UnknownID", mistake: "has an error of its own",
		make: broken{cancels: func(s *reference, c call) (otp.Record, bool, error) {
			r, applied, err := c.cancel(s)
			if errors.Is(err, otp.ErrNotFound) {
				err = errors.New("no rows")
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "UnknownID", mistake: "gets an empty record",
		also: "CanceledContext",
		make: broken{gets: func(s *reference, c call) (otp.Record, bool, error) { return s.peek(c.id), false, nil }}.make,
	},
	{rejectedBy: "BytewiseIDs", mistake: "takes no notice of case", make: everywhere{id: folded}.make},
	{rejectedBy: "BytewiseIDs", mistake: "trims spaces", make: everywhere{id: trimmed}.make},
	{rejectedBy: "BytewiseIDs", mistake: "cuts IDs", make: everywhere{id: cut}.make},
	{
		rejectedBy: "NoAliasing", mistake: "keeps the slices given to Put",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			r, applied, err := c.put(s)
			if applied {
				s.mu.Lock()
				s.records[c.id] = c.record
				s.mu.Unlock()
			}
			return r, applied, err
		}}.make,
	},
	{
		rejectedBy: "NoAliasing", mistake: "returns its own slices",
		make: broken{gets: func(s *reference, c call) (otp.Record, bool, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			r, ok := s.records[c.id]
			if !ok {
				return r, false, otp.ErrNotFound
			}
			return r, false, nil
		}}.make,
	},
	{
		rejectedBy: "NoAliasing", mistake: "appends to what it is given",
		make: broken{puts: func(s *reference, c call) (otp.Record, bool, error) {
			_ = append(c.record.Sealed, "terminator"...)
			return c.put(s)
		}}.make,
	},
}
