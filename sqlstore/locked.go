package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"otp.example/otp"
)

// A locked makes charges in a transaction that holds what it has read: MySQL by rows,
// SQLite the whole file.
type locked struct {
	text     *statements
	transact func(ctx context.Context, do func(run runner) error) error
	dialect  lockedDialect
}

// A lockedDialect is what the two say differently.
type lockedDialect interface {
	// hold reads a record that nobody else changes until the transaction ends.
	hold(ctx context.Context, run runner, id string) (otp.Record, error)

	// create makes sure that the rows of meters exist where that is needed to hold
	// them.
	create(ctx context.Context, run runner, names []any) error

	// write stores a record in the place of old, which may be the zero Record, or
	// changes what Reissue changes.
	write(ctx context.Context, run runner, old, r *otp.Record, now time.Time) error
	rewrite(ctx context.Context, run runner, old, r *otp.Record, digest []byte, live int, now time.Time) error
}

func (s *locked) putCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	l := newLedger(c)
	err = s.transact(ctx, func(run runner) error {
		old, err := s.dialect.hold(ctx, run, r.ID)
		if err != nil && !errors.Is(err, otp.ErrNotFound) {
			return err
		}
		if old.Live(now) {
			out = otp.Outcome{Record: old}
			return nil
		}
		if err := s.loadMeters(ctx, run, l, true); err != nil {
			return err
		}
		if out = l.put(old, r, now); !out.Applied {
			return nil
		}
		if err := s.saveMeters(ctx, run, l); err != nil {
			return err
		}
		return s.dialect.write(ctx, run, &old, &out.Record, now)
	})
	if err != nil {
		return otp.Outcome{}, fmt.Errorf("sqlstore: put: %w", err)
	}
	if out.Applied {
		out.Record = detached(out.Record)
	}
	return out, nil
}

func (s *locked) reissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	l := newLedger(c)
	err = s.transact(ctx, func(run runner) error {
		old, err := s.dialect.hold(ctx, run, id)
		if err != nil {
			return err
		}
		if old.Live(now) && old.Sends < old.MaxSends {
			if err := s.loadMeters(ctx, run, l, true); err != nil {
				return err
			}
		}
		if out = l.reissue(old, digest, live, now); !out.Applied {
			return nil
		}
		if err := s.saveMeters(ctx, run, l); err != nil {
			return err
		}
		added := digest
		if out.Refused != nil {
			added = nil
		}
		return s.dialect.rewrite(ctx, run, &old, &out.Record, added, live, now)
	})
	if errors.Is(err, otp.ErrNotFound) {
		return otp.Outcome{}, otp.ErrNotFound
	}
	if err != nil {
		return otp.Outcome{}, fmt.Errorf("sqlstore: reissue: %w", err)
	}
	return out, nil
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
	if err != nil {
		return otp.Decision{}, fmt.Errorf("sqlstore: take: %w", err)
	}
	return d, nil
}

func (s *locked) giveAll(ctx context.Context, c []otp.Charge) error {
	l := newLedger(c)
	err := s.transact(ctx, func(run runner) error {
		if err := s.loadMeters(ctx, run, l, false); err != nil {
			return err
		}
		l.give()
		return s.saveMeters(ctx, run, l)
	})
	if err != nil {
		return fmt.Errorf("sqlstore: give: %w", err)
	}
	return nil
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
	if create {
		if err := s.dialect.create(ctx, run, names); err != nil {
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
