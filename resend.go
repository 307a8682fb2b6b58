package otp

import (
	"context"
	"errors"
	"slices"
	"time"
)

// Resend sends a new code for a live challenge, by the route it was first sent
// on or by another of its routes. It neither extends the challenge nor gives
// back attempts. How many codes stay valid is Policy.LiveCodes. A message that no provider
// takes counts as a send all the same, and with one live code the code before it is dead.
//
// Errors are those of Request, and a rejection if the challenge is not live. With the
// scope "sends" a [*RateLimitError] means that MaxSends is reached.
func (s *Service) Resend(ctx context.Context, r Resend) (Challenge, error) {
	ch, e, err := s.resend(ctx, &r)
	if err != nil {
		return Challenge{}, s.refuse(ctx, e, err)
	}
	return ch, nil
}

func (s *Service) resend(ctx context.Context, r *Resend) (Challenge, Event, error) {
	at, err := s.locate(r.ID)
	if err != nil {
		return Challenge{}, Event{}, err
	}
	rec, p, h, err := s.load(ctx, at)
	e := s.event(&at)
	if err != nil {
		return Challenge{}, e, err
	}
	now := s.now()
	if !rec.Live(now) {
		return Challenge{}, e, whyDead(&rec, now)
	}
	index := 0
	if r.Channel != "" {
		for index < len(p.routes) && p.routes[index].Channel != r.Channel {
			index++
		}
		if index == len(p.routes) {
			return Challenge{}, e, invalid("Channel", "is none of the challenge's")
		}
	}
	route := p.routes[index]
	if s.cfg.Senders[route.Channel] == nil { // as with Issue
		return Challenge{}, e, invalid("Channel", "has no sender")
	}
	e.Subject, e.Channel, e.Usage, e.MaskedTo = h.subject.String(), route.Channel, p.usage, mask(route.Channel, route.To)
	if rec.Sends >= rec.MaxSends {
		return Challenge{}, e, &RateLimitError{Scope: scopeSends}
	}
	policy, err := s.policy(ctx, route.Channel, p.usage)
	if err != nil {
		return Challenge{}, e, err
	}
	// Where a refused charge would be silent, whoever asks too early would lose a send for
	// nothing. The challenge's own times tell nothing about its recipient.
	if wait := rec.SentAt.Add(policy.ResendInterval).Sub(now); wait > 0 && p.has(flagConceal) {
		return Challenge{}, e, &RateLimitError{Scope: scopeRecipient, RetryAfter: wait}
	}
	mute := p.has(flagDecoy)
	again := p.request(route, r)
	if err := s.guard(ctx, &again); err != nil {
		if !p.has(flagConceal) || !errors.Is(err, ErrRefused) {
			return Challenge{}, e, err
		}
		_ = s.refuse(ctx, e, err)
		mute = true
	}
	next := &reissue{route: route, index: index, payload: &p, handle: &h, record: &rec, now: now, mute: mute}
	if !p.has(flagFree) {
		keys := s.keys()
		meters := keys.sendMeters(s.tenant, h.subject, keys.recipient(s.tenant, route), route.To, r.Client)
		next.sends = meters.charges(make([]Charge, 0, 8), &policy, now, p.has(flagConceal))
	}
	charging, done := undisturbed(ctx)
	defer done()
	lease := tenantSends(s.tenant, route.Channel, &policy)
	leased, err := s.takeTenantSend(charging, lease, p.has(flagFree), now)
	if err != nil {
		return Challenge{}, e, err
	}
	out, code, err := s.reissue(charging, next)
	if err != nil {
		if errors.Is(err, ErrRejected) || errors.Is(err, ErrRateLimited) { // nothing was changed
			s.settled(charging, e, s.leases.give(charging, lease, 1, leased))
		}
		return Challenge{}, e, err
	}
	if out.Refused != nil {
		_ = s.refuse(ctx, e, &RateLimitError{Scope: out.Refused.Scope, RetryAfter: out.Refused.RetryAfter})
	}
	e.Type = EventResent
	s.emit(ctx, e)
	ch := describe(r.ID, &out.Record, &p, &policy, now)
	ch.Channel = route.Channel
	ch.Receipt, err = s.deliver(ctx, &delivery{
		route: route, code: code, record: &out.Record, payload: &p, subject: h.subject,
		charges: next.sends, mute: mute || out.Refused != nil, release: next.release,
		lease: lease, leased: leased,
	})
	if err != nil && !p.has(flagConceal) {
		return Challenge{}, e, err
	}
	return ch, e, nil
}

// request is what a challenge was requested with, for the guard.
func (p *payload) request(route Route, r *Resend) Request {
	return Request{
		Channel: route.Channel, To: route.To, Usage: p.usage, Subject: p.subject, Binding: p.binding, Client: r.Client,
		Locale: p.locale, Extra: p.extra, Conceal: p.has(flagConceal), Decoy: p.has(flagDecoy),
	}
}

// A reissue is one more code of a live challenge.
type reissue struct {
	route   Route
	index   int
	payload *payload
	handle  *handle
	record  *Record
	sends   []Charge
	now     time.Time
	mute    bool

	release []Charge // reserved for a code that was silently refused
}

// reissue adds a code and charges the send. A code that stays valid beside it is one
// more chance for every guess, so it is reserved, too; when that does not fit, the new
// code takes the older one's place. A challenge without a code is one whose first was
// silently refused: it has nothing reserved yet, and is refused as silently.
func (s *Service) reissue(ctx context.Context, r *reissue) (Outcome, Secret, error) {
	p := r.payload
	code, err := s.resendCode(r)
	if err != nil {
		return Outcome{}, Secret{}, err
	}
	digest := r.handle.digest(nil, s.tenant, p.usage, p.binding, r.index, code.Reveal())
	switch {
	case p.has(flagDecoy):
		digest = random(DigestSize) // of no code
	case r.mute:
		digest = nil // what was sent before stays valid
	}
	codes := len(r.record.Digests) / DigestSize
	charges, live := r.sends, codes
	if codes < p.liveCodes && digest != nil {
		more := s.keys().reservation(s.tenant, r.handle, p)
		charges, live = more.take(slices.Clip(r.sends), s.cfg.GuessLimits, codes == 0), codes+1
	}
	out, err := s.store.ReissueCharged(ctx, r.record.ID, digest, live, charges, r.now)
	if err == nil && !out.Applied && out.Refused != nil && out.Refused.Scope == scopeGuesses {
		charges = r.sends
		out, err = s.store.ReissueCharged(ctx, r.record.ID, digest, codes, charges, r.now)
	}
	if out.Applied && out.Refused != nil && codes > 0 {
		r.release = charges[len(r.sends):]
	}
	switch {
	case err != nil:
		return Outcome{}, Secret{}, storeFault(err)
	case out.Applied:
		return out, code, nil
	case out.Refused != nil:
		return Outcome{}, Secret{}, &RateLimitError{Scope: out.Refused.Scope, RetryAfter: out.Refused.RetryAfter}
	case out.Record.Live(r.now):
		return Outcome{}, Secret{}, &RateLimitError{Scope: scopeSends}
	default:
		return Outcome{}, Secret{}, whyDead(&out.Record, r.now)
	}
}

func (s *Service) resendCode(r *reissue) (Secret, error) {
	d := draft{p: *r.payload, own: s.cfg.InsecureTestNumbers.Code(r.route.To)}
	return d.makeCode(s.cfg.Generator)
}
