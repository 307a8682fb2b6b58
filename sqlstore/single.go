package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"otp.example/otp"
)

// A single makes each change with one statement that decides, changes and returns the
// record: PostgreSQL and SQLite can.
type single struct {
	text *statements
	run  runner
}

// explainTries is how often a refused change is tried again because the record that
// should explain the refusal would not have been refused: somebody replaced or forgot
// it in between.
const explainTries = 16

var errUnsettled = errors.New("the record changes faster than it can be read")

// change runs a statement. If it changes nothing, a read explains why: read in the same
// statement, the record could be older than what refused it. refuses reports
// whether the change is refused to such a record, or where there is none.
func (s *single) change(ctx context.Context, a act, id string, args []any, refuses func(*otp.Record) bool) (otp.Record, bool, error) {
	name := a.operation
	if s.text.inline {
		args = append(args, a.args(nil)...)
	}
	for range explainTries {
		r, applied, err := oneRecord(ctx, s.run, s.text.get(name), args...)
		if err != nil {
			return otp.Record{}, false, err
		}
		if !applied {
			r, err = s.get(ctx, id)
			switch {
			case errors.Is(err, otp.ErrNotFound) && !refuses(nil):
				continue
			case err != nil:
				return otp.Record{}, false, err
			case !refuses(&r):
				continue
			}
		}
		if !applied || !s.text.inline {
			if err := s.text.log(ctx, s.run, a, otp.Outcome{Record: r, Applied: applied}); err != nil {
				return otp.Record{}, false, err
			}
		}
		return r, applied, nil
	}
	return otp.Record{}, false, errUnsettled
}

func (s *single) get(ctx context.Context, id string) (otp.Record, error) {
	r, found, err := oneRecord(ctx, s.run, s.text.get("get"), id)
	switch {
	case err != nil:
		return otp.Record{}, err
	case !found:
		return otp.Record{}, otp.ErrNotFound
	}
	return r, nil
}

func (s *single) put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	args := append(recordArgs(&r), now.UnixMicro())
	return s.change(ctx, putAct(&r, now, nil), r.ID, args, func(old *otp.Record) bool { return old != nil && old.Live(now) })
}

func (s *single) spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	args := []any{id, now.UnixMicro(), notNil(candidates)}
	return s.change(ctx, newAct("spend", now, nil), id, args, func(r *otp.Record) bool { return r == nil || !r.Live(now) })
}

func (s *single) reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	args := []any{id, now.UnixMicro(), notNil(digest), live}
	return s.change(ctx, newAct("reissue", now, nil), id, args, func(r *otp.Record) bool {
		return r == nil || !r.Live(now) || r.Sends >= r.MaxSends
	})
}

func (s *single) cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	args := []any{id, now.UnixMicro()}
	return s.change(ctx, newAct("cancel", now, nil), id, args, func(r *otp.Record) bool { return r == nil || !r.Live(now) })
}

func (s *single) advance(ctx context.Context, key string, counter uint64) (bool, error) {
	n, err := changed(ctx, s.run, s.text.get("advance"), key, counterBytes(counter))
	return n > 0, err
}

// counterBytes orders bytes as numbers: no server has an integer for all counters.
func counterBytes(counter uint64) []byte { return binary.BigEndian.AppendUint64(nil, counter) }

// prune forgets challenges and then, if there is room, meters and what the audit need
// no longer keep.
func prune(ctx context.Context, run runner, text *statements, before time.Time, most int) (int, error) {
	total := 0
	for _, p := range []struct {
		name   string
		before time.Time
		skip   bool
	}{
		{name: "prune_challenges", before: before},
		{name: "prune_meters", before: before},
		{name: "prune_credentials", before: before},
		{name: "prune_audit", before: before.Add(-text.auditFor), skip: text.auditFor == 0},
	} {
		if p.skip || total >= most {
			continue
		}
		n, err := changed(ctx, run, text.get(p.name), p.before.UnixMicro(), most-total)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}
