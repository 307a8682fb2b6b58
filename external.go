package otp

import (
	"context"
	"errors"
)

// errExternal tells whoever configures a service, with the first answer. A sender that is
// called sees no policy, and Request does not know who will check the answer.
var errExternal = errors.New("otp: a code that a provider checks needs a policy with LiveCodes 1 and MaxAttempts of 2 or more")

// VerifyExternal checks an answer to a code that a provider made and keeps, for senders of
// this module whose provider does. check asks the provider whether a code, in its one form,
// came to a recipient. The challenge's own code was never sent, so nothing else verifies it.
//
// The attempt is counted before check is called. A right answer counts as two: the second
// is the one that uses the challenge up, if nobody else has. So of MaxAttempts the last is
// never checked, and a MismatchError does not count it among those left. A Challenge does.
//
// A policy under which no answer could succeed, or that reserves guesses for several codes
// where the provider has one, is a fault.
func (inner) VerifyExternal(ctx context.Context, s *Service, a Answer, check func(ctx context.Context, to, code string) (bool, error)) (Proof, error) {
	p, e, err := s.verifyExternal(ctx, &a, check)
	if isLabel(string(a.Usage)) {
		e.Usage = a.Usage
	}
	if err != nil {
		return Proof{}, s.refuse(ctx, e, err)
	}
	e.Type = EventVerified
	s.emit(ctx, e)
	return p, nil
}

func (s *Service) verifyExternal(ctx context.Context, a *Answer, check func(ctx context.Context, to, code string) (bool, error)) (Proof, Event, error) {
	at, err := s.locate(a.ID)
	if err != nil {
		return Proof{}, Event{}, err
	}
	e := s.event(&at)
	if at.reference {
		return Proof{}, e, ErrNotFound
	}
	h := &at.handle
	code, ok := h.format.canonical(a.Code)
	if !ok || !isLabel(string(a.Usage)) || len(a.Binding) > maxBinding || !s.isSubject(h, a.Subject) {
		return Proof{}, e, ErrMismatch
	}
	now := s.now()
	rec, applied, err := s.store.Spend(ctx, at.record, nil, now)
	if err != nil {
		return Proof{}, e, storeFault(err)
	}
	if !applied {
		return Proof{}, e, whyDead(&rec, now)
	}
	left := rec.MaxAttempts - rec.Attempts - 1
	wrong := &MismatchError{AttemptsLeft: max(0, left)}
	p, _, err := s.keys().unseal(&rec)
	switch {
	case err != nil:
		return Proof{}, e, err
	case rec.MaxAttempts < 2 || p.liveCodes > 1:
		return Proof{}, e, errExternal
	case left < 0 || p.has(flagDecoy) || len(rec.Digests) == 0 || p.usage != a.Usage || p.binding != a.Binding:
		return Proof{}, e, wrong
	}
	route := p.routes[0]
	e.Channel, e.MaskedTo = route.Channel, mask(route.Channel, route.To)
	ok, err = check(ctx, route.To, code)
	switch {
	case err != nil:
		return Proof{}, e, err
	case !ok:
		return Proof{}, e, wrong
	}
	// What the record holds is right by definition.
	rec, applied, err = s.store.Spend(ctx, at.record, rec.Digests, now)
	switch {
	case err != nil:
		return Proof{}, e, storeFault(err)
	case !applied:
		return Proof{}, e, whyDead(&rec, now)
	case rec.State != StateVerified:
		return Proof{}, e, wrong
	}
	s.settle(ctx, h, &p, &rec, 0, e)
	return s.proved(h, &p, route, now), e, nil
}
