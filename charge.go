package otp

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// charging returns what makes a change and its charges together: the store itself if
// it can, else one that makes them one after the other.
func charging(s Store, l Limiter) ChargingStore {
	if c, ok := s.(ChargingStore); ok && same(s, l) {
		return c
	}
	return &separate{Store: s, Limiter: l}
}

// same reports whether a store is its own limiter. Values that cannot be compared are not.
func same(s Store, l Limiter) bool {
	return reflect.ValueOf(s).Comparable() && reflect.ValueOf(l).Comparable() && any(s) == any(l)
}

// separate is a ChargingStore out of a Store and a Limiter. It charges first and gives
// back when the change was refused. What it loses when a call fails in between is
// charged too much, never too little.
type separate struct {
	Store
	Limiter
}

func (s *separate) PutCharged(ctx context.Context, r Record, c []Charge, now time.Time) (Outcome, error) {
	return s.change(ctx, r.ID, c, true, func(silenced bool) (Record, bool, error) {
		if silenced {
			r.Digests = nil
		}
		return s.Put(ctx, r, now)
	}, func(rec *Record) bool { return rec.Live(now) })
}

func (s *separate) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []Charge, now time.Time) (Outcome, error) {
	return s.change(ctx, id, c, false, func(silenced bool) (Record, bool, error) {
		if silenced {
			digest = nil
		}
		return s.Reissue(ctx, id, digest, live, now)
	}, func(rec *Record) bool { return !rec.Live(now) || rec.Sends >= rec.MaxSends })
}

// change takes c, makes the change, and gives back what was not to be charged. Of a
// record for which wins is true a refused charge says nothing.
func (s *separate) change(ctx context.Context, id string, c []Charge, isPut bool, do func(silenced bool) (Record, bool, error), wins func(*Record) bool) (Outcome, error) {
	var taken []Charge
	refused, err := s.takeAll(ctx, c, false, &taken)
	if err != nil {
		return Outcome{}, err
	}
	if refused != nil {
		if err := s.back(ctx, taken); err != nil {
			return Outcome{}, err
		}
		rec, err := s.Get(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound) && isPut:
		case err != nil:
			return Outcome{}, err
		case wins(&rec):
			refused = nil
		}
		return Outcome{Record: rec, Refused: refused}, nil
	}
	loud := len(taken)
	silenced, err := s.takeAll(ctx, c, true, &taken)
	if err != nil {
		return Outcome{}, err
	}
	if silenced != nil {
		if err := s.back(ctx, taken[loud:]); err != nil {
			return Outcome{}, err
		}
		taken = taken[:loud]
	}
	rec, applied, err := do(silenced != nil)
	if err != nil {
		if errors.Is(err, ErrNotFound) { // of all errors the one after which nothing was done
			err = errors.Join(err, s.back(ctx, taken))
		}
		return Outcome{}, err
	}
	if !applied {
		silenced = nil
		if err := s.back(ctx, taken); err != nil {
			return Outcome{}, err
		}
	}
	return Outcome{Record: rec, Applied: applied, Refused: silenced}, nil
}

// takeAll takes those of c that are silent or not, until one is refused.
func (s *separate) takeAll(ctx context.Context, c []Charge, silent bool, taken *[]Charge) (*Refusal, error) {
	for _, charge := range c {
		if charge.Silent != silent {
			continue
		}
		d, err := s.Take(ctx, charge.Key, charge.Cost, charge.Limits, charge.At)
		if err != nil {
			return nil, fmt.Errorf("charge %s: %w", charge.Scope, err)
		}
		if !d.OK {
			return &Refusal{Scope: charge.Scope, RetryAfter: d.RetryAfter}, nil
		}
		*taken = append(*taken, charge)
	}
	return nil, nil
}

// back gives back what was not to be charged, whatever became of the caller.
func (s *separate) back(ctx context.Context, c []Charge) error {
	ctx, cancel := tidying(ctx)
	defer cancel()
	return s.GiveAll(ctx, c)
}

func (s *separate) GiveAll(ctx context.Context, c []Charge) error {
	for _, charge := range c {
		if err := s.Give(ctx, charge.Key, charge.Cost, charge.Limits, charge.At); err != nil {
			return fmt.Errorf("give %s: %w", charge.Scope, err)
		}
	}
	return nil
}
