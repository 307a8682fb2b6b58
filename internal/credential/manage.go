package credential

import (
	"context"
	"crypto/subtle"
	"slices"
	"time"

	"otp.example/otp"
)

// allow reports whether a credential may be added to a book. Whoever has one already, of any
// factor, needs a proof: a session that was taken over must not be enough. What was made
// within the last ten minutes, of another factor, is not asked for: who enrolls an app goes
// on to make recovery codes. What was made in the future is old: a clock has been set back.
func (k *Keeper) allow(ctx context.Context, b *book, subject string, proof otp.Proof, now time.Time) error {
	if core.Fresh(k.svc, proof, subject) {
		return nil
	}
	if len(b.Credentials) > 0 {
		return otp.ErrProofRequired
	}
	for _, f := range []otp.Factor{otp.FactorTOTP, otp.FactorHOTP, otp.FactorRecovery} {
		if f == k.factor {
			continue
		}
		other := *k
		other.factor = f
		b, err := other.load(ctx, subject)
		if err != nil {
			return err
		}
		for _, c := range b.Credentials {
			if age := now.Sub(c.Created); c.Pending.IsZero() && (age > pendingFor || age < -maxSkew) {
				return otp.ErrProofRequired
			}
		}
	}
	return nil
}

// Begin keeps c as pending and returns its ID. Whoever begins again gives up what was
// pending.
func (k *Keeper) Begin(ctx context.Context, subject string, proof otp.Proof, c Credential) (string, error) {
	err := k.checkName(c.Name)
	if err == nil {
		err = k.change(ctx, subject, func(b *book, now time.Time) error {
			b.Credentials = slices.DeleteFunc(b.Credentials, func(c Credential) bool { return !c.Pending.IsZero() })
			if err := k.allow(ctx, b, subject, proof, now); err != nil {
				return err
			}
			c.ID, c.Created, c.Pending = newID(), now, now.Add(pendingFor)
			return k.add(b, c)
		})
	}
	if err != nil {
		return "", core.Refuse(ctx, k.svc, k.event(subject), err)
	}
	return c.ID, nil
}

// Confirm makes a pending credential active with a code of it, and uses that up.
func (k *Keeper) Confirm(ctx context.Context, subject, id string, code Code) error {
	return k.done(ctx, otp.EventEnrolled, subject, id, k.change(ctx, subject, func(b *book, now time.Time) error {
		c := b.find(id)
		switch {
		case c == nil:
			return otp.ErrExpired // or never begun, or confirmed
		case c.Pending.IsZero():
			return otp.ErrAlreadyVerified
		case code.Malformed || !code.Fits(c):
			return otp.ErrMismatch
		}
		c = b.supersede(id)
		burn, err := code.Match(c, now)
		if err != nil {
			return err
		}
		if burn == nil || !burn(c) {
			return otp.ErrMismatch
		}
		c.Pending = time.Time{}
		k.enable(b, id, now)
		return nil
	}))
}

// enable ends the streak for a credential that is new. Those that it had disabled are
// gone with it: they would have to be enrolled anew, too.
func (k *Keeper) enable(b *book, id string, now time.Time) {
	b.Credentials = slices.DeleteFunc(b.Credentials, func(c Credential) bool {
		return c.ID != id && c.Pending.IsZero() && k.disabled(b, &c)
	})
	b.beginAnew(id)
	b.clearStreak(now)
}

// beginAnew forgets the guesses if no credential but that of id is active: those that they
// were made at are gone, and a right code of the new one would be refused for them. Whoever
// took them away, or comes in their place, had a proof.
func (b *book) beginAnew(id string) {
	if !slices.ContainsFunc(b.Credentials, func(c Credential) bool { return c.ID != id && c.Pending.IsZero() }) {
		b.Guesses = nil
	}
}

// supersede takes away what else has the secret of a credential that becomes active: each
// of its codes would be accepted twice. What was used stays used.
func (b *book) supersede(id string) *Credential {
	c := *b.find(id)
	b.Credentials = slices.DeleteFunc(b.Credentials, func(o Credential) bool { return o.ID != id && c.succeed(&o) })
	own := b.find(id)
	*own = c
	return own
}

// succeed reports whether c has the secret of o. What was used of o is used of c, then.
func (c *Credential) succeed(o *Credential) bool {
	same := subtle.ConstantTimeCompare(o.Secret, c.Secret) == 1
	if same && o.Period == c.Period {
		c.Next = max(c.Next, o.Next)
	}
	return same
}

// Import keeps c as active: of somebody who has been using it elsewhere. Where guesses have
// disabled the factor it would verify nothing.
func (k *Keeper) Import(ctx context.Context, subject string, c Credential) (string, error) {
	err := k.checkName(c.Name)
	if err == nil {
		err = k.change(ctx, subject, func(b *book, now time.Time) error {
			c.ID, c.Created, c.Pending = newID(), now, time.Time{}
			b.beginAnew(c.ID) // not after supersede, since nobody is asked for a proof
			if k.disabled(b, &c) {
				return core.Invalid("Subject", "has the factor disabled: enroll anew, or revoke all first")
			}
			if err := k.add(b, c); err != nil {
				return err
			}
			b.supersede(c.ID)
			return nil
		})
	}
	if err = k.done(ctx, otp.EventEnrolled, subject, c.ID, err); err != nil {
		return "", err
	}
	return c.ID, nil
}

// Replace puts what fill returns in the place of all credentials of a subject, in one step.
// That may take long, so it is called once, and only if it is allowed.
func (k *Keeper) Replace(ctx context.Context, subject string, proof otp.Proof, fill func() (Credential, error)) error {
	id := newID()
	var c Credential
	return k.done(ctx, otp.EventEnrolled, subject, id, k.change(ctx, subject, func(b *book, now time.Time) error {
		err := k.allow(ctx, b, subject, proof, now)
		if err == nil && c.ID == "" {
			c, err = fill()
			c.ID = id
		}
		if err != nil {
			return err
		}
		c.Created = now
		b.Credentials = []Credential{c}
		b.beginAnew(id)
		return nil
	}))
}

// Resync accepts two codes in a row, far from where the next one is expected. It needs the
// proof of another factor, since they may have been seen long ago.
func (k *Keeper) Resync(ctx context.Context, subject, id string, proof otp.Proof, codes Code) error {
	e := k.event(subject)
	if !k.fresh(proof, subject) {
		return core.Refuse(ctx, k.svc, e, otp.ErrProofRequired)
	}
	_, err := k.accept(ctx, subject, id, codes, otp.EventResynced, e)
	return err
}

// List describes the credentials of a subject, oldest first.
func (k *Keeper) List(ctx context.Context, subject string) ([]otp.Credential, error) {
	b, err := k.load(ctx, subject)
	if err != nil {
		return nil, core.Refuse(ctx, k.svc, k.event(subject), err)
	}
	now := core.Now(k.svc)
	var list []otp.Credential
	for i := range b.Credentials {
		c := &b.Credentials[i]
		if !c.Pending.IsZero() && !now.Before(c.Pending) {
			continue
		}
		list = append(list, otp.Credential{
			ID: c.ID, Factor: k.factor, Name: c.Name, CreatedAt: c.Created, UsedAt: c.Used,
			Pending: !c.Pending.IsZero(), Disabled: c.Pending.IsZero() && k.disabled(b, c),
		})
	}
	return list, nil
}

// Remaining returns how many recovery codes a subject has.
func (k *Keeper) Remaining(ctx context.Context, subject string) (int, error) {
	b, err := k.load(ctx, subject)
	if err != nil {
		return 0, core.Refuse(ctx, k.svc, k.event(subject), err)
	}
	n := 0
	for i := range b.Credentials {
		n += len(b.Credentials[i].Codes)
	}
	return n, nil
}

// Rename gives a credential another name.
func (k *Keeper) Rename(ctx context.Context, subject, id, name string) error {
	err := k.checkName(name)
	if err == nil {
		err = k.change(ctx, subject, func(b *book, _ time.Time) error {
			c := b.find(id)
			if c == nil {
				return otp.ErrNotFound
			}
			c.Name = name
			return nil
		})
	}
	if err != nil {
		return core.Refuse(ctx, k.svc, k.event(subject), err)
	}
	return nil
}

// Revoke takes a credential away. The guesses at it stay charged; see beginAnew.
func (k *Keeper) Revoke(ctx context.Context, subject, id string, proof otp.Proof) error {
	return k.done(ctx, otp.EventRevoked, subject, id, k.change(ctx, subject, func(b *book, _ time.Time) error {
		c := b.find(id)
		switch {
		case c == nil:
			return otp.ErrNotFound
		case c.Pending.IsZero() && !core.Fresh(k.svc, proof, subject):
			return otp.ErrProofRequired
		}
		gone := *c
		b.Credentials = slices.DeleteFunc(b.Credentials, func(c Credential) bool { return c.ID == id })
		for i := range b.Credentials {
			if c := &b.Credentials[i]; !c.Pending.IsZero() {
				c.succeed(&gone) // it was to take its place
			}
		}
		return nil
	}))
}

// RevokeAll takes all credentials of a subject away, and forgets the guesses at them.
func (k *Keeper) RevokeAll(ctx context.Context, subject string) error {
	return k.done(ctx, otp.EventRevoked, subject, "", k.change(ctx, subject, func(b *book, _ time.Time) error {
		b.Credentials, b.Guesses = nil, nil
		return nil
	}))
}

// done tells what became of a change.
func (k *Keeper) done(ctx context.Context, t otp.EventType, subject, id string, err error) error {
	e := k.event(subject)
	if err != nil {
		return core.Refuse(ctx, k.svc, e, err) // without the ID, which is what a client says
	}
	e.Type, e.Credential = t, id
	core.Emit(ctx, k.svc, e)
	return nil
}

func (k *Keeper) checkName(name string) error {
	if problem := core.CheckText(name, maxName); problem != "" {
		return core.Invalid("Name", problem)
	}
	return nil
}

// most is what a guess at c may ever cost, when its window has become longer.
func (k *Keeper) most(c *Credential) int64 {
	slow := *c
	slow.Slow = 1
	return k.mass(&slow)
}

// add adds a credential, if there is room for one, and if nobody has its secret but a token
// that is disabled, whose place it comes to take.
func (k *Keeper) add(b *book, c Credential) error {
	if len(b.Credentials) >= maxActive {
		return core.Invalid("Subject", "has 8 credentials of the factor")
	}
	cost := k.most(&c)
	if k.afford(cost) != nil {
		return core.Invalid("Options", "make a code cost more than Config.GuessLimits admits")
	}
	for i := range b.Credentials {
		o := &b.Credentials[i]
		if k.disabled(b, o) {
			continue
		}
		if subtle.ConstantTimeCompare(o.Secret, c.Secret) == 1 {
			return core.Invalid("Secret", "is that of another credential")
		}
		cost += k.most(o)
	}
	if k.afford(cost) != nil {
		return core.Invalid("Subject", "has as many credentials as one code can be tried against within the guess limits")
	}
	b.Credentials = append(b.Credentials, c)
	return nil
}
