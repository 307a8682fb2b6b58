package credential

import (
	"context"
	"errors"
	"time"

	"otp.example/otp"
)

// A Code is one submitted code, as it is tried against credentials.
type Code struct {
	// Malformed is set if the code cannot be one of any credential. No store is asked.
	Malformed bool

	// Fits reports whether the code can be one of c's at all. What cannot is no guess.
	Fits func(c *Credential) bool

	// Match returns what uses the code up in c, or nil if it is not one of c's. That, in
	// turn, reports false if the code was used up before. An error is a fault.
	Match func(c *Credential, now time.Time) (burn func(*Credential) bool, err error)
}

// Verify accepts a code, and proves that its subject has the credential.
func (k *Keeper) Verify(ctx context.Context, a otp.Answer, code Code) (otp.Proof, error) {
	e := k.event(a.Subject)
	var err error
	switch {
	case !core.IsUsage(a.Usage):
		err = core.Invalid("Usage", "is not 1 to 32 lower-case letters, digits, '.', '-' and '_'")
	case a.Binding != "":
		err = core.Invalid("Binding", "cannot be confirmed by a credential")
	case k.second && !k.fresh(a.After, a.Subject):
		err = otp.ErrProofRequired
	}
	if err != nil {
		return otp.Proof{}, core.Refuse(ctx, k.svc, e, err)
	}
	e.Usage = a.Usage
	at, err := k.accept(ctx, a.Subject, a.ID, code, otp.EventVerified, e)
	if err != nil {
		return otp.Proof{}, err
	}
	return core.Proof(k.svc, k.factor, &a, at), nil
}

// fresh reports whether another factor of the subject has just been proved.
func (k *Keeper) fresh(p otp.Proof, subject string) bool {
	return core.Fresh(k.svc, p, subject) && p.Factor() != k.factor
}

// accept charges a guess, compares, uses the code up, and tells what became of it. It is the
// one path on which a code is accepted: the guess is stored before anything is compared,
// and the code is used up in the step that ends the streak, or it is not accepted.
func (k *Keeper) accept(ctx context.Context, subject, id string, code Code, t otp.EventType, e otp.Event) (at time.Time, err error) {
	var g guess
	if err = otp.ErrMismatch; !code.Malformed {
		g, err = k.charge(ctx, subject, id, code)
	}
	if err == nil {
		if err = k.compare(ctx, subject, code, &g, &e); err != nil {
			k.tell(ctx, g, e)
		}
	}
	switch {
	case err == nil:
		e.Type = t
	case e.Type == otp.EventReplayed:
		e.Err = err
	default:
		return at, core.Refuse(ctx, k.svc, e, err)
	}
	core.Emit(ctx, k.svc, e)
	return g.at, err
}

// A guess is one that has been charged.
type guess struct {
	book    *book
	tried   []string // credentials
	cost    int64
	charged otp.Meter // with the guess, or with what is left of it
	at      time.Time
}

// A hit is a credential that has the code, and what uses the code up in it.
type hit struct {
	id   string
	cost int64 // its part of the guess
	burn func(*Credential) bool
}

func (k *Keeper) charge(ctx context.Context, subject, id string, code Code) (g guess, err error) {
	for range maxSwaps {
		if g.book, err = k.load(ctx, subject); err != nil {
			return g, err
		}
		if g.at = core.Now(k.svc); g.at.Unix() < 0 {
			return g, errClock
		}
		var found bool
		if g.tried, g.cost, found = k.choose(g.book, id, code); len(g.tried) == 0 {
			return g, k.none(ctx, g.book, found)
		}
		if err := k.afford(g.cost); err != nil {
			return g, err
		}
		guesses, d := g.book.Guesses.Take(g.cost, k.limits, g.at)
		if !d.OK && d.RetryAfter == 0 {
			return g, otp.ErrAttemptsExceeded
		}
		if !d.OK {
			return g, &otp.RateLimitError{Scope: "guesses", RetryAfter: d.RetryAfter}
		}
		g.book.Guesses, g.charged = guesses, guesses
		charged, err := k.swap(ctx, g.book)
		if charged || err != nil {
			return g, err // after an error it may have been charged, so it is spent
		}
	}
	return g, errContended
}

// errClock is a fault: before 1970 no meter is charged, and nothing is judged.
var errClock = errors.New("otp: the clock is before 1970")

// choose returns which credentials a code is tried against, and what that costs together:
// it may hit any of them.
func (k *Keeper) choose(b *book, id string, code Code) (tried []string, cost int64, found bool) {
	for i := range b.Credentials {
		c := &b.Credentials[i]
		if !c.Pending.IsZero() || id != "" && id != c.ID {
			continue
		}
		found = true
		if code.Fits(c) {
			tried = append(tried, c.ID)
			cost += k.mass(c)
		}
	}
	return tried, cost, found
}

// none answers where there is nothing to try. It costs the same store calls as a wrong
// code: the swap is one that is never made, since no value is so short.
func (k *Keeper) none(ctx context.Context, b *book, found bool) error {
	b.old = []byte{0}
	if _, err := k.swap(ctx, b); err != nil {
		return err
	}
	if found {
		return otp.ErrMismatch
	}
	return otp.ErrNotFound
}

func (k *Keeper) compare(ctx context.Context, subject string, code Code, g *guess, e *otp.Event) error {
	var hits, used []hit
	for _, id := range g.tried { // all of them, whichever one is hit
		c := *g.book.find(id)
		cost := k.mass(&c)
		burn, err := code.Match(&c, g.at)
		switch {
		case err != nil:
			return err
		case burn == nil:
		case burn(&c):
			hits = append(hits, hit{id, cost, burn})
		default:
			used = append(used, hit{id, cost, burn})
		}
	}
	switch {
	case len(hits) > 0:
		return k.burn(ctx, subject, g, hits, e)
	case len(used) > 0:
		return k.replay(ctx, g, g.book, used, k.limits, e)
	}
	return otp.ErrMismatch
}

// replay answers for a code that was used before. Nobody gets in by it, so what it cost at
// the credentials that have it comes back; at the others it was a wrong one. If somebody
// else comes in between, all of it stays charged.
func (k *Keeper) replay(ctx context.Context, g *guess, b *book, used []hit, limits []otp.Limit, e *otp.Event) error {
	rest, id := g.cost, ""
	for _, h := range used {
		rest, id = rest-h.cost, h.id
	}
	guesses, d := b.Guesses.Give(g.cost, limits, g.at).Take(rest, limits, g.at)
	if d.OK {
		b.Guesses = guesses
		given, err := k.swap(ctx, b)
		if err != nil {
			return err
		}
		if given {
			g.charged = guesses
		}
	}
	e.Type, e.Credential = otp.EventReplayed, id
	return otp.ErrAlreadyVerified
}

// burn uses a code up, and gives the guess back that it turned out not to be. If it happens
// to be the code of several credentials it is used up in all of them: whoever saw it could
// use it again at the others.
func (k *Keeper) burn(ctx context.Context, subject string, g *guess, hits []hit, e *otp.Event) error {
	b := g.book
	for range maxSwaps {
		var seen []hit
		used, left := "", 0
		for _, h := range hits {
			c := b.find(h.id)
			if c == nil || !c.Pending.IsZero() {
				continue // taken away meanwhile
			}
			seen = append(seen, h)
			if h.burn(c) {
				c.Used, left, used = g.at, len(c.Codes), h.id
			}
		}
		switch {
		case len(seen) == 0:
			return otp.ErrNotFound
		case used == "": // but by somebody else, who ended the streak
			return k.replay(ctx, g, b, seen, core.GuessWindows(k.svc), e)
		}
		e.Credential = used
		b.Guesses = b.Guesses.Give(g.cost, core.GuessWindows(k.svc), g.at)
		b.clearStreak(g.at)
		applied, err := k.swap(ctx, b)
		if err != nil {
			return err // it may have been used up, so it is
		}
		if applied {
			if k.factor == otp.FactorRecovery && left <= lowCodes {
				low := *e
				low.Type = otp.EventRecoveryLow
				core.Emit(ctx, k.svc, low)
			}
			return nil
		}
		if b, err = k.load(ctx, subject); err != nil {
			return err
		}
	}
	return errContended
}

// lowCodes is how many recovery codes are few.
const lowCodes = 2

// tell says once that a limit is reached: by the guess after which not even one at the
// cheapest credential fits, whatever became of it.
func (k *Keeper) tell(ctx context.Context, g guess, e otp.Event) {
	cost := g.cost
	for i := range g.book.Credentials {
		if c := &g.book.Credentials[i]; c.Pending.IsZero() {
			cost = min(cost, k.mass(c))
		}
	}
	_, d := g.charged.Take(cost, k.limits, g.at)
	switch {
	case d.OK:
		return
	case d.RetryAfter > 0:
		e.Type = otp.EventThreshold
	default:
		e.Type = otp.EventDisabled
	}
	if len(g.tried) == 1 {
		e.Credential = g.tried[0]
	}
	core.Emit(ctx, k.svc, e)
}

func (k *Keeper) event(subject string) otp.Event {
	return otp.Event{Factor: k.factor, Subject: k.svc.SubjectPseudonym(subject)}
}
