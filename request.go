package otp

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

var errLiveReference = invalid("Reference", "has a live challenge")

// Request issues a challenge, hands its message to the sender and returns. If
// r.IdempotencyKey repeats while the challenge is live, Request returns that challenge
// and sends nothing; its handle is another text, and both work. What repeats is the key
// together with tenant, usage, subject, channel, recipient, binding and decoy.
//
// Limits are charged before the sender is called, and go on being charged when ctx is
// canceled: until its deadline, or for 30 seconds. If no sender accepts the message the
// challenge is canceled and the error is a [*DeliveryError]; what was charged for the
// send is given back if the provider has certainly not taken it, but for the limit of
// r.Client if the recipient cannot be reached ([ErrUndeliverable]). With r.Conceal, failures
// and limits of the subject and recipient become events.
//
// Errors: [ErrInvalidRequest] names the field, [ErrRefused] is a guard's or preset's,
// [ErrRateLimited] comes as a [*RateLimitError]; anything else is a fault.
func (s *Service) Request(ctx context.Context, r Request) (Challenge, error) {
	d, err := s.draft(ctx, r, true)
	if err != nil {
		return Challenge{}, s.refuse(ctx, r.event(), err)
	}
	out, err := s.put(ctx, d)
	if err != nil {
		return Challenge{}, s.refuse(ctx, d.event(), err)
	}
	if !out.Applied {
		return s.repeat(ctx, d, &out.Record)
	}
	ch := d.challenge(s.tenant, &out.Record)
	ch.Receipt, err = s.deliver(ctx, &delivery{
		route: d.p.routes[0], code: d.code, record: &out.Record, payload: &d.p, subject: d.h.subject,
		charges: d.sends, mute: d.p.has(flagDecoy) || out.Refused != nil, release: d.release,
		lease: d.lease, leased: d.leased,
	})
	if err != nil && !r.Conceal {
		tidy, done := tidying(ctx)
		defer done()
		// Meanwhile another challenge may have the reference.
		if rec, getErr := s.store.Get(tidy, d.record); getErr == nil && !bytes.Equal(rec.Sealed, out.Record.Sealed) {
			return Challenge{}, err
		}
		if _, _, cancelErr := s.store.Cancel(tidy, d.record, d.now); cancelErr != nil {
			err = errors.Join(err, s.refuse(ctx, d.event(), storeFault(cancelErr)))
		}
		return Challenge{}, err
	}
	return ch, nil
}

// Issue is Request without the send: the caller delivers the code itself. It takes
// neither Conceal nor an IdempotencyKey, since a repeat could not return the code.
func (s *Service) Issue(ctx context.Context, r Request) (Challenge, Secret, error) {
	d, err := s.draft(ctx, r, false)
	if err != nil {
		return Challenge{}, Secret{}, s.refuse(ctx, r.event(), err)
	}
	out, err := s.put(ctx, d)
	if err != nil {
		return Challenge{}, Secret{}, s.refuse(ctx, d.event(), err)
	}
	if !out.Applied {
		return Challenge{}, Secret{}, s.refuse(ctx, d.event(), errLiveReference)
	}
	return d.challenge(s.tenant, &out.Record), d.code, nil
}

// A draft is a checked request on its way to a record.
type draft struct {
	r      Request // canonical
	now    time.Time
	policy Policy
	h      handle
	record string
	id     string // for references, what Service.Reference returns
	p      payload
	meters sendMeters
	levels []Format
	own    string // the caller's code, in its canonical form
	sends  []Charge
	lease  leaseKey  // of the tenant's send limit
	leased time.Time // when that was charged

	release []Charge // reserved for a code that was silently refused
	low     bool     // the ledger of the subject or of a recipient had no room
	code    Secret
}

// draft checks everything about a request that can be checked without the store.
func (s *Service) draft(ctx context.Context, r Request, sends bool) (*draft, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.check(ctx, &r, sends); err != nil {
		return nil, err
	}
	policy, err := s.policy(ctx, r.Channel, r.Usage)
	if err != nil {
		return nil, err
	}
	if policy, err = policy.override(r.Policy); err != nil {
		return nil, err
	}
	if r.Policy != nil {
		if err := policy.validate(PolicyKey{Channel: r.Channel, Usage: r.Usage}); err != nil {
			return nil, invalid("Policy", err.Error())
		}
	}
	for _, f := range r.Fallback {
		if policy.TTL > longestTTL(f.Channel, r.Usage) {
			return nil, invalid("Fallback.Channel", "may not have codes that live as long as the policy's")
		}
	}
	if policy.RequireBinding && r.Binding == "" {
		return nil, invalid("Binding", "is required by the policy")
	}
	if err := s.guard(ctx, &r); err != nil {
		if !r.Conceal || !errors.Is(err, ErrRefused) {
			return nil, err
		}
		e := r.event()
		e.MaskedTo = mask(r.Channel, r.To)
		_ = s.refuse(ctx, e, err)
		r.Decoy = true
	}

	d := &draft{r: r, now: s.now(), policy: policy, levels: policy.Formats}
	d.p = payload{
		created: d.now, expires: d.now.Add(policy.TTL).Truncate(time.Microsecond),
		maxAttempts: policy.MaxAttempts, maxSends: policy.MaxSends, liveCodes: policy.LiveCodes,
		usage: r.Usage, subject: r.Subject, binding: r.Binding, locale: r.Locale, extra: r.Extra, routes: r.routes(),
	}
	if r.Decoy {
		d.p.flags |= flagDecoy
	}
	if r.Conceal {
		d.p.flags |= flagConceal
	}
	fixed := s.cfg.InsecureTestNumbers.Code(r.To)
	if fixed != "" {
		d.p.flags |= flagFree
	}
	if d.own = fixed; r.Code.reveal != nil {
		d.own = r.Code.Reveal()
	}
	if d.own != "" {
		if err := d.takeOwnCode(); err != nil {
			return nil, err
		}
	}

	keys := s.keys()
	d.h = s.handleOf(keys, keys.primary, &d.p)
	d.meters = keys.sendMeters(s.tenant, d.h.subject, d.h.recipient, r.To, r.Client)
	switch {
	case r.Reference != "":
		_, _ = rand.Read(d.h.nonce[:])
		d.p.nonce = d.h.nonce[:]
		d.record = recordID(s.tenant, s.referenceNonce(r.Usage, r.Reference))
		d.id = s.Reference(r.Usage, r.Reference)
	case r.IdempotencyKey != "":
		sum := d.idempotency(keys.index.idempotency, s.tenant)
		copy(d.h.nonce[:], sum[:])
		d.record = recordID(s.tenant, d.h.nonce[:])
	default:
		_, _ = rand.Read(d.h.nonce[:])
		d.record = recordID(s.tenant, d.h.nonce[:])
	}
	return d, nil
}

// idempotency is all that must be equal for a request to be a repeat.
func (d *draft) idempotency(m *mac, tenant string) [sha256.Size]byte {
	decoy := "real"
	if d.r.Decoy {
		decoy = "decoy"
	}
	return m.sumFields(tenant, string(d.r.Usage), d.r.Subject, string(d.r.Channel), d.r.To, d.r.Binding, decoy, d.r.IdempotencyKey)
}

// takeOwnCode finds the format of a code that the caller or a test chose.
func (d *draft) takeOwnCode() error {
	for i, f := range d.levels {
		if code, ok := f.canonical(d.own); ok {
			d.own, d.levels, d.p.level = code, []Format{f}, i
			return nil
		}
	}
	return invalid("Code", "has none of the policy's formats")
}

// put reserves, charges and stores in one call, with the shortest format whose guesses
// the ledgers have room for.
func (s *Service) put(ctx context.Context, d *draft) (Outcome, error) {
	ctx, done := undisturbed(ctx)
	defer done()
	silent := d.p.has(flagConceal)
	if !d.p.has(flagFree) {
		d.sends = d.meters.charges(make([]Charge, 0, 8), &d.policy, d.now, silent)
	}
	d.lease = tenantSends(s.tenant, d.r.Channel, &d.policy)
	var err error
	if d.leased, err = s.takeTenantSend(ctx, d.lease, d.p.has(flagFree), d.now); err != nil {
		return s.orRepeat(ctx, d, err)
	}
	for i := range d.levels {
		out, full, err := s.putLevel(ctx, d, i)
		if errors.Is(err, ErrRateLimited) { // before anything was stored
			s.giveTenantSend(ctx, d)
			return s.orRepeat(ctx, d, err)
		}
		if err != nil {
			return Outcome{}, err
		}
		if full && i < len(d.levels)-1 {
			continue
		}
		if !out.Applied {
			s.giveTenantGuesses(ctx, d.event(), &d.p)
			s.giveTenantSend(ctx, d)
		}
		if out.Refused != nil && !out.Applied {
			return Outcome{}, &RateLimitError{Scope: out.Refused.Scope, RetryAfter: out.Refused.RetryAfter}
		}
		if out.Applied {
			s.told(ctx, d, i, out.Refused)
		}
		return out, nil
	}
	return Outcome{}, &RateLimitError{Scope: scopeGuesses} // unreachable: the last level returns
}

// orRepeat is the answer to a request that its tenant's limits refuse: a repeat needs
// nothing of them.
func (s *Service) orRepeat(ctx context.Context, d *draft, refused error) (Outcome, error) {
	if d.r.IdempotencyKey == "" || !errors.Is(refused, ErrRateLimited) {
		return Outcome{}, refused
	}
	rec, err := s.store.Get(ctx, d.record)
	switch {
	case err == nil && rec.Live(d.now):
		return Outcome{Record: rec}, nil
	case err != nil && !errors.Is(err, ErrNotFound):
		return Outcome{}, storeFault(err)
	}
	return Outcome{}, refused
}

// putLevel tries one format. It reports whether a ledger had no room for it.
func (s *Service) putLevel(ctx context.Context, d *draft, i int) (out Outcome, full bool, err error) {
	last := i == len(d.levels)-1
	d.p.format = d.levels[i]
	d.h.format = d.levels[i]
	d.p.flags &^= flagHalf
	if d.own == "" {
		d.p.level = i
		if !last {
			d.p.flags |= flagHalf
		}
	}
	dec, err := s.takeTenantGuesses(ctx, d)
	if err != nil {
		return Outcome{}, false, err
	}
	if !dec.OK {
		if last {
			err = &RateLimitError{Scope: scopeTenant, RetryAfter: dec.RetryAfter}
		}
		return Outcome{}, true, err
	}
	if d.code, err = d.makeCode(s.cfg.Generator); err != nil {
		return Outcome{}, false, err
	}
	digest := d.h.digest(nil, s.tenant, d.p.usage, d.p.binding, 0, d.code.Reveal())
	if d.p.has(flagDecoy) {
		digest = random(DigestSize) // of no code
	}
	rec := Record{
		ID: d.record, Digests: digest, Sealed: d.h.keys.seal(d.record, &d.p), State: StatePending,
		MaxAttempts: d.p.maxAttempts, Sends: 1, MaxSends: d.p.maxSends,
		CreatedAt: d.now, SentAt: d.now, ExpiresAt: d.p.expires,
	}
	keys := s.keys()
	reserve := keys.reservation(s.tenant, &d.h, &d.p)
	charges := reserve.take(d.sends, s.cfg.GuessLimits, last && d.p.has(flagConceal)) // in d.sends' spare capacity
	out, err = s.store.PutCharged(ctx, rec, charges, d.now)
	if err != nil {
		return Outcome{}, false, storeFault(err)
	}
	if out.Applied && out.Refused != nil {
		d.release = charges[len(d.sends):]
		if last {
			d.release = nil // silent, so not taken
		}
	}
	full = !out.Applied && out.Refused != nil && out.Refused.Scope == scopeGuesses
	d.low = d.low || full
	if full && !last {
		s.giveTenantGuesses(ctx, d.event(), &d.p)
	}
	return out, full, nil
}

func (d *draft) makeCode(g Generator) (Secret, error) {
	if d.own != "" {
		return NewSecret(d.own), nil
	}
	code, err := g.Generate(d.p.format)
	if err != nil {
		return Secret{}, fmt.Errorf("otp: generator: %w", err)
	}
	if canonical, ok := d.p.format.canonical(code.Reveal()); !ok || canonical != code.Reveal() {
		return Secret{}, errors.New("otp: generator: code is not of the format that was asked for")
	}
	return code, nil
}

// told says what was done, and whether guesses ran low or a limit refused in silence.
func (s *Service) told(ctx context.Context, d *draft, level int, refused *Refusal) {
	if refused != nil {
		_ = s.refuse(ctx, d.event(), &RateLimitError{Scope: refused.Scope, RetryAfter: refused.RetryAfter})
	}
	var e Event
	if s.cfg.OnEvent != nil {
		e = d.event()
		e.Type, e.Challenge = EventRequested, d.record
		s.emit(ctx, e)
	}
	if level == 0 || s.cfg.OnEvent == nil {
		return
	}
	e.Type = EventEscalated
	s.emit(ctx, e)
	if !d.low {
		return // all of the tenant's guesses ran low, which is no concern of this owner's
	}
	// Once a day in all processes, however many requests see it at the same time.
	who := d.h.subject
	if who == (pseudonym{}) {
		who = d.h.recipient
	}
	first, err := s.cfg.Limiter.Take(ctx, meterKey(meterNotice, who), 1, noticeLimit, d.now)
	switch {
	case err != nil:
		_ = s.refuse(ctx, e, storeFault(err)) // the challenge exists; only the notice is lost
	case first.OK:
		e.Type = EventThreshold
		s.emit(ctx, e)
	}
}

// takeTenantSend charges one message to the tenant, and returns the time that it counts as.
func (s *Service) takeTenantSend(ctx context.Context, k leaseKey, free bool, now time.Time) (time.Time, error) {
	if k == (leaseKey{}) || free {
		return time.Time{}, nil
	}
	dec, at, err := s.leases.take(ctx, k, 1, now)
	if err != nil {
		return time.Time{}, storeFault(err)
	}
	if !dec.OK {
		return time.Time{}, &RateLimitError{Scope: scopeTenant, RetryAfter: dec.RetryAfter}
	}
	return at, nil
}

func (s *Service) giveTenantSend(ctx context.Context, d *draft) {
	s.settled(ctx, d.event(), s.leases.give(ctx, d.lease, 1, d.leased))
}

// tenantSends is zero where the tenant's messages have no limit.
func tenantSends(tenant string, c Channel, p *Policy) leaseKey {
	if len(p.Limits.Tenant) == 0 {
		return leaseKey{}
	}
	return newLeaseKey(tenant, "sends/"+string(c), p.Limits.Tenant)
}

func (s *Service) tenantGuesses(p *payload) leaseKey {
	return newLeaseKey(s.tenant, scopeGuesses, s.cfg.tenantGuesses(p))
}

func (s *Service) takeTenantGuesses(ctx context.Context, d *draft) (Decision, error) {
	d.p.tenantLease = time.Time{}
	dec, at, err := s.leases.take(ctx, s.tenantGuesses(&d.p), d.p.tenantMass(), d.now)
	if err != nil {
		return Decision{}, storeFault(err)
	}
	d.p.tenantLease = at
	return dec, nil
}

func (s *Service) giveTenantGuesses(ctx context.Context, e Event, p *payload) {
	if !p.tenantLease.IsZero() {
		s.settled(ctx, e, s.leases.give(ctx, s.tenantGuesses(p), p.tenantMass(), p.tenantLease))
	}
}

// settled reports a fault in tidying up after an answer that is decided. It does not
// change the answer: what is not given back refuses too early, never too late.
func (s *Service) settled(ctx context.Context, e Event, err error) {
	if err != nil {
		_ = s.refuse(ctx, e, storeFault(err))
	}
}

// repeat answers a request whose record is live already.
func (s *Service) repeat(ctx context.Context, d *draft, rec *Record) (Challenge, error) {
	if d.r.Reference != "" {
		return Challenge{}, s.refuse(ctx, d.event(), errLiveReference)
	}
	p, set, err := s.keys().unseal(rec)
	if errors.Is(err, ErrNotFound) {
		err = errors.New("otp: the key of the live challenge was retired, or is not known here yet")
	}
	if err != nil {
		return Challenge{}, s.refuse(ctx, d.event(), err)
	}
	nonce := d.h.nonce
	d.h = s.handleOf(s.keys(), set, &p)
	d.h.nonce = nonce
	d.p = p
	return d.challenge(s.tenant, rec), nil
}

func (d *draft) challenge(tenant string, rec *Record) Challenge {
	id := d.id
	if id == "" {
		id = d.h.seal(tenant)
	}
	return describe(id, rec, &d.p, &d.policy, d.now)
}

func (d *draft) event() Event {
	e := d.r.event()
	e.Subject, e.MaskedTo = d.h.subject.String(), mask(d.r.Channel, d.r.To)
	return e
}

// event shows nothing of a request but its well-formed names: nothing else was checked.
func (r *Request) event() (e Event) {
	if isLabel(string(r.Channel)) {
		e.Channel = r.Channel
	}
	if isLabel(string(r.Usage)) {
		e.Usage = r.Usage
	}
	return e
}
