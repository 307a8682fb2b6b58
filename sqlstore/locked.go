package sqlstore

import (
	"context"
	"errors"
	"time"

	"otp.example/otp"
)

// A locked makes charges in a transaction that holds what it has read: MySQL by rows,
// SQLite the whole file.
type locked struct {
	text     *statements
	transact func(ctx context.Context, do func(run runner) error) error
}

func (s *locked) putCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	l := newLedger(c)
	err = s.transact(ctx, func(run runner) error {
		if out, err = s.putIn(ctx, run, l, r, now); err != nil {
			return err
		}
		return s.text.log(ctx, run, putAct(&r, now, c), out)
	})
	if out.Applied {
		out.Record = detached(out.Record)
	}
	return out, err
}

func (s *locked) putIn(ctx context.Context, run runner, l *ledger, r otp.Record, now time.Time) (otp.Outcome, error) {
	old, err := s.hold(ctx, run, r.ID)
	if err != nil && !errors.Is(err, otp.ErrNotFound) {
		return otp.Outcome{}, err
	}
	if old.Live(now) {
		return otp.Outcome{Record: old}, nil
	}
	if err := s.loadMeters(ctx, run, l, true); err != nil {
		return otp.Outcome{}, err
	}
	out := l.put(old, r, now)
	if !out.Applied {
		return out, nil
	}
	if err := s.saveMeters(ctx, run, l); err != nil {
		return otp.Outcome{}, err
	}
	return out, s.write(ctx, run, &old, &out.Record)
}

func (s *locked) reissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	l := newLedger(c)
	err = s.transact(ctx, func(run runner) error {
		if out, err = s.reissueIn(ctx, run, l, id, digest, live, now); err != nil {
			return err
		}
		return s.text.log(ctx, run, newAct("reissue", now, c), out)
	})
	return out, err
}

func (s *locked) reissueIn(ctx context.Context, run runner, l *ledger, id string, digest []byte, live int, now time.Time) (otp.Outcome, error) {
	old, err := s.hold(ctx, run, id)
	if err != nil {
		return otp.Outcome{}, err
	}
	if old.Live(now) && old.Sends < old.MaxSends {
		if err := s.loadMeters(ctx, run, l, true); err != nil {
			return otp.Outcome{}, err
		}
	}
	out := l.reissue(old, digest, live, now)
	if !out.Applied {
		return out, nil
	}
	if err := s.saveMeters(ctx, run, l); err != nil {
		return otp.Outcome{}, err
	}
	return out, s.rewrite(ctx, run, &out.Record)
}

func (s *locked) take(ctx context.Context, c otp.Charge) (d otp.Decision, err error) {
	l := newLedger([]otp.Charge{c})
	err = s.transact(ctx, func(run runner) error {
		if err := s.loadMeters(ctx, run, l, true); err != nil {
			return err
		}
		refused, _ := l.charge()
		d = decision(refused)
		return s.saveMeters(ctx, run, l)
	})
	return d, err
}

func (s *locked) giveAll(ctx context.Context, c []otp.Charge) error {
	l := newLedger(c)
	return s.transact(ctx, func(run runner) error {
		if err := s.loadMeters(ctx, run, l, false); err != nil {
			return err
		}
		l.give()
		return s.saveMeters(ctx, run, l)
	})
}

// loadMeters reads the meters of l and holds them. To hold one that is new it must be
// created.
func (s *locked) loadMeters(ctx context.Context, run runner, l *ledger, create bool) error {
	if len(l.meters) == 0 {
		return nil
	}
	for i := range l.meters {
		l.load(i, nil, false) // another try may have read something
	}
	names := anys(padded(l.names()))
	// MySQL must insert before it locks: "insert if absent" takes a weaker lock on what is
	// present, and two that hold it and want more wait for each other. SQLite holds
	// what does not exist as well.
	if create && s.text.get("new_meters") != "" {
		if _, err := run.ExecContext(ctx, s.text.list("new_meters", len(names)), names...); err != nil {
			return err
		}
	}
	rows, err := run.QueryContext(ctx, s.text.list("lock_meters", len(names)), names...)
	if err != nil {
		return err
	}
	return l.loadRows(rows)
}

func (s *locked) saveMeters(ctx context.Context, run runner, l *ledger) error {
	dirty := l.changes()
	if len(dirty) == 0 {
		return nil
	}
	dirty = padded(dirty)
	args := make([]any, 0, 3*len(dirty))
	for _, m := range dirty {
		args = append(args, m.name, notNil(m.now), expiry(m.now))
	}
	_, err := run.ExecContext(ctx, s.text.list("save_meters", len(dirty)), args...)
	return err
}

// hold reads a record that nobody else changes until the transaction ends.
func (s *locked) hold(ctx context.Context, run runner, id string) (otp.Record, error) {
	r, found, err := oneRecord(ctx, run, s.text.get("hold"), id)
	if err == nil && !found {
		err = otp.ErrNotFound
	}
	return r, err
}

// write stores a record in the place of old, which may be the zero Record.
func (s *locked) write(ctx context.Context, run runner, old, r *otp.Record) error {
	args := recordArgs(r)
	text := s.text.get("insert")
	if old.ID != "" {
		text = s.text.get("replace")
		args = append(args[1:], r.ID)
	}
	_, err := run.ExecContext(ctx, text, args...)
	return err
}

// rewrite stores what Reissue changes.
func (s *locked) rewrite(ctx context.Context, run runner, r *otp.Record) error {
	_, err := run.ExecContext(ctx, s.text.get("rewrite"), r.Sends, r.SentAt.UnixMicro(), notNil(r.Digests), r.ID)
	return err
}
