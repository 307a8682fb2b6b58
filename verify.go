package otp

import (
	"context"
	"crypto/subtle"
	"time"
)

// settleTimeout bounds what is tidied up for a caller that may have gone.
const settleTimeout = 5 * time.Second

// chargeTimeout bounds what is charged for a caller without a deadline.
const chargeTimeout = 30 * time.Second

// tidying returns a context for what follows an answer that is decided, whatever became of
// the caller, and however long a store hangs.
func tidying(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
}

// undisturbed returns a context for charges, of which those that all share come first: who
// hangs up in between would have been charged nothing of his own. It ends with the deadline
// of ctx; without one it is bounded, too.
func undisturbed(ctx context.Context) (context.Context, context.CancelFunc) {
	whole := context.WithoutCancel(ctx)
	if end, ok := ctx.Deadline(); ok {
		return context.WithDeadline(whole, end)
	}
	return context.WithTimeout(whole, chargeTimeout)
}

// Verify checks an answer. The error is nil if and only if the code was right,
// had not been used, and has now been used by this call. Every other error must
// be treated as "no": errors.Is(err, ErrRejected) if the answer was wrong in any
// way, anything else if the service could not tell.
//
// A wrong code that was counted is a [*MismatchError]. What cannot be a code of the
// challenge, by its length or symbols, and an ID that is forged, foreign or expired are
// rejected without a store call, and count nothing.
func (s *Service) Verify(ctx context.Context, a Answer) (Proof, error) {
	p, e, err := s.verify(ctx, &a)
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

func (s *Service) verify(ctx context.Context, a *Answer) (Proof, Event, error) {
	at, err := s.locate(a.ID)
	if err != nil {
		return Proof{}, Event{}, err
	}
	if at.reference {
		rec, _, h, err := s.load(ctx, at)
		if err != nil {
			return Proof{}, s.event(&at), err
		}
		at.handle = h
		if now := s.now(); !rec.Live(now) {
			return Proof{}, s.event(&at), whyDead(&rec, now)
		}
	}
	h, e := &at.handle, s.event(&at)

	code, ok := h.format.canonical(a.Code)
	if !ok || !isLabel(string(a.Usage)) || len(a.Binding) > maxBinding || !s.isSubject(h, a.Subject) {
		return Proof{}, e, ErrMismatch
	}
	candidates := make([]byte, 0, h.routes*DigestSize)
	for route := range h.routes {
		candidates = h.digest(candidates, s.tenant, a.Usage, a.Binding, route, code)
	}
	now := s.now()
	rec, applied, err := s.store.Spend(ctx, at.record, candidates, now)
	if err != nil {
		return Proof{}, e, storeFault(err) // it may have been counted, so the attempt is spent
	}
	if !applied {
		return Proof{}, e, whyDead(&rec, now)
	}
	// The store's word is not enough: it may show a wrong guess somebody else's success.
	route := rec.Matches(candidates)
	if rec.State != StateVerified || route < 0 {
		return Proof{}, e, &MismatchError{AttemptsLeft: rec.MaxAttempts - rec.Attempts}
	}
	p, _, err := s.keys().unseal(&rec)
	if err != nil {
		return Proof{}, e, err
	}
	if p.has(flagDecoy) || p.usage != a.Usage || p.binding != a.Binding || route >= len(p.routes) {
		return Proof{}, e, errTampered // unreachable without a forged digest
	}
	e.Channel, e.MaskedTo = p.routes[route].Channel, mask(p.routes[route].Channel, p.routes[route].To)
	s.settle(ctx, h, &p, &rec, route, e)
	return s.proved(h, &p, p.routes[route], now), e, nil
}

// proved makes the proof of a challenge whose code came back from a route.
func (s *Service) proved(h *handle, p *payload, route Route, now time.Time) Proof {
	return Proof{p: &proof{
		id: proofID(s.tenant, h.nonce[:], p.created), tenant: s.tenant, usage: p.usage, factor: FactorDelivered,
		channel: route.Channel, recipient: route.To, subject: p.subject,
		binding: p.binding, extra: p.extra, at: now,
	}}
}

// isSubject reports whether subject is the one of the handle, if it is given.
func (s *Service) isSubject(h *handle, subject string) bool {
	if subject == "" {
		return true
	}
	if len(subject) > maxSubject {
		return false
	}
	p := s.keys().pseudonym(scopeSubject, s.tenant, subject)
	return subtle.ConstantTimeCompare(p[:], h.subject[:]) == 1
}

// settle gives back the guesses that a success by a route proves to have been its owner's,
// and ends the streak. The code is used up by now, so this does not fail the call: what is not
// given back makes later codes longer, never weaker.
func (s *Service) settle(ctx context.Context, h *handle, p *payload, rec *Record, route int, e Event) {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = tidying(ctx)
		defer cancel()
	}
	r := s.keys().reservation(s.tenant, h, p)
	proved := h.recipient
	if route > 0 {
		proved = s.keys().recipient(s.tenant, p.routes[route])
	}
	if back := r.give(s.guessWindows, s.guessStreak, min(len(rec.Digests)/DigestSize, p.liveCodes), h.subject, proved); len(back) > 0 {
		s.settled(ctx, e, s.store.GiveAll(ctx, back))
	}
	s.giveTenantGuesses(ctx, e, p)
}
