package sqlstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
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

var errUnsettled = errors.New("sqlstore: the record changes faster than it can be read")

// change runs a statement. If it changes nothing, a read explains why: read in the same
// statement, the record could be older than what refused it. refuses reports
// whether the change is refused to such a record, or where there is none.
func (s *single) change(ctx context.Context, name, id string, args []any, refuses func(*otp.Record) bool) (otp.Record, bool, error) {
	for range explainTries {
		r, applied, err := oneRecord(ctx, s.run, s.text.get(name), args...)
		if err != nil {
			return otp.Record{}, false, fmt.Errorf("sqlstore: %s: %w", name, err)
		}
		if applied {
			return r, true, nil
		}
		r, err = s.get(ctx, id)
		switch {
		case errors.Is(err, otp.ErrNotFound) && !refuses(nil):
		case err != nil:
			return otp.Record{}, false, err
		case refuses(&r):
			return r, false, nil
		}
	}
	return otp.Record{}, false, errUnsettled
}

func (s *single) get(ctx context.Context, id string) (otp.Record, error) {
	r, found, err := oneRecord(ctx, s.run, s.text.get("get"), id)
	switch {
	case err != nil:
		return otp.Record{}, fmt.Errorf("sqlstore: get: %w", err)
	case !found:
		return otp.Record{}, otp.ErrNotFound
	}
	return r, nil
}

func (s *single) put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	args := append(recordArgs(&r), now.UnixMicro())
	return s.change(ctx, "put", r.ID, args, func(old *otp.Record) bool { return old != nil && old.Live(now) })
}

func (s *single) spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	args := []any{id, now.UnixMicro(), notNil(candidates)}
	return s.change(ctx, "spend", id, args, func(r *otp.Record) bool { return r == nil || !r.Live(now) })
}

func (s *single) reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	args := []any{id, now.UnixMicro(), notNil(digest), live}
	return s.change(ctx, "reissue", id, args, func(r *otp.Record) bool {
		return r == nil || !r.Live(now) || r.Sends >= r.MaxSends
	})
}

func (s *single) cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	args := []any{id, now.UnixMicro()}
	return s.change(ctx, "cancel", id, args, func(r *otp.Record) bool { return r == nil || !r.Live(now) })
}

func (s *single) advance(ctx context.Context, key string, counter uint64) (bool, error) {
	n, err := changed(ctx, s.run, s.text.get("advance"), key, counterBytes(counter))
	if err != nil {
		return false, fmt.Errorf("sqlstore: advance: %w", err)
	}
	return n > 0, nil
}

// counterBytes orders bytes as numbers: no server has an integer for all counters.
func counterBytes(counter uint64) []byte { return binary.BigEndian.AppendUint64(nil, counter) }

// prune forgets challenges and then, if there is room, meters.
func prune(ctx context.Context, run runner, text *statements, before time.Time, most int) (int, error) {
	total := 0
	for _, name := range []string{"prune_challenges", "prune_meters"} {
		if total >= most {
			break
		}
		n, err := changed(ctx, run, text.get(name), before.UnixMicro(), most-total)
		total += n
		if err != nil {
			return total, fmt.Errorf("sqlstore: prune: %w", err)
		}
	}
	return total, nil
}
