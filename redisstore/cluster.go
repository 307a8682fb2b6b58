package redisstore

import (
	"context"
	"errors"
	"time"

	"otp.example/otp"
)

// backTimeout bounds what is given back for a caller that may have gone.
const backTimeout = 5 * time.Second

// slotBySlot is a change with charges on a cluster, where a step is about one key: it
// charges first, then makes the change, and gives back what was not to be charged. What
// it loses when a call fails in between is charged too much, never too little. Of a record
// for which wins is true a refused charge says nothing. The service does the same with a
// store that charges nothing itself (package otp, charge.go), but there a charge has one time.
func (s *Store) slotBySlot(ctx context.Context, id string, c []otp.Charge, now time.Time, isPut bool, change func(silenced bool) (otp.Outcome, error), wins func(*otp.Record) bool) (otp.Outcome, error) {
	var taken []otp.Charge
	refused, err := s.takeAll(ctx, c, false, now, &taken)
	if err != nil {
		return otp.Outcome{}, err
	}
	if refused != nil {
		if err := s.back(ctx, taken); err != nil {
			return otp.Outcome{}, err
		}
		rec, err := s.Get(ctx, id)
		switch {
		case errors.Is(err, otp.ErrNotFound) && isPut:
		case err != nil:
			return otp.Outcome{}, err
		case wins(&rec):
			refused = nil
		}
		return otp.Outcome{Record: rec, Refused: refused}, nil
	}
	loud := len(taken)
	silenced, err := s.takeAll(ctx, c, true, now, &taken)
	if err != nil {
		return otp.Outcome{}, err
	}
	if silenced != nil {
		if err := s.back(ctx, taken[loud:]); err != nil {
			return otp.Outcome{}, err
		}
		taken = taken[:loud]
	}
	out, err := change(silenced != nil)
	if err != nil {
		if errors.Is(err, otp.ErrNotFound) { // of all errors the one after which nothing was done
			err = errors.Join(err, s.back(ctx, taken))
		}
		return otp.Outcome{}, err
	}
	if !out.Applied {
		return out, s.back(ctx, taken)
	}
	out.Refused = silenced
	return out, nil
}

// takeAll takes those of c that are silent or not, until one is refused.
func (s *Store) takeAll(ctx context.Context, c []otp.Charge, silent bool, now time.Time, taken *[]otp.Charge) (*otp.Refusal, error) {
	for i := range c {
		if c[i].Silent != silent {
			continue
		}
		refused, err := s.take(ctx, c[i:i+1], now)
		if err != nil || refused != nil {
			return refused, err
		}
		*taken = append(*taken, c[i])
	}
	return nil, nil
}

// back gives back what was not to be charged, whatever became of the caller, and however
// long a node hangs.
func (s *Store) back(ctx context.Context, c []otp.Charge) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), backTimeout)
	defer cancel()
	return s.GiveAll(ctx, c)
}
