package otp

import (
	"context"
	"slices"
	"strings"
	"time"
)

// A Proof states that a code sent to Recipient came back, or that a credential of
// Subject was used. Only this module's verifiers make a valid one; the zero Proof
// is invalid. It prints as [redacted].
type Proof struct {
	hidden
	p *proof
}

type proof struct {
	id        string
	tenant    string
	usage     Usage
	factor    Factor
	channel   Channel
	recipient string
	subject   string
	binding   string
	extra     []byte
	at        time.Time
}

func (p Proof) get() *proof {
	if p.p == nil {
		return &proof{}
	}
	return p.p
}

// Valid reports whether a verifier made p.
func (p Proof) Valid() bool { return p.p != nil }

// Subject is the account that the challenge or credential is about.
func (p Proof) Subject() string { return p.get().subject }

// Recipient is where the code that came back was sent, from the record and not from the
// request. Compare it with the address the account has now.
func (p Proof) Recipient() string { return p.get().recipient }

// Channel is how the code was sent.
func (p Proof) Channel() Channel { return p.get().channel }

// Usage is what the code was for.
func (p Proof) Usage() Usage { return p.get().usage }

// Binding is the transaction or session data that was confirmed.
func (p Proof) Binding() string { return p.get().binding }

// Extra is a copy of what the request carried.
func (p Proof) Extra() []byte { return slices.Clone(p.get().extra) }

// Tenant is the tenant of the verifier.
func (p Proof) Tenant() string { return p.get().tenant }

// Factor is the kind of proof.
func (p Proof) Factor() Factor { return p.get().factor }

// Time is when the code was verified.
func (p Proof) Time() time.Time { return p.get().at }

const (
	maxTokenTTL  = time.Hour
	maxToken     = 8192
	tokenVersion = 1
)

// proofID names one verification. A nonce may come again after its challenge is dead,
// if it was derived from an idempotency key; together with the time it does not.
func proofID(tenant string, nonce []byte, created time.Time) string {
	var buf [64]byte
	return recordID(tenant, appendTime(appendField(append(buf[:0], "proof"...), nonce), created))
}

// Token seals a proof for a later request of the same tenant: a password reset verifies
// a code in one request and sets the password in the next. It is valid for ttl, at
// most 1 hour after the verification. It holds the proof encrypted, and whoever has it
// can redeem it, so give it only to the client that answered.
func (s *Service) Token(p Proof, ttl time.Duration) (Secret, error) {
	v := p.get()
	now := s.now()
	switch {
	case !p.Valid():
		return Secret{}, invalid("Proof", "is not valid")
	case v.tenant != s.tenant:
		return Secret{}, invalid("Proof", "belongs to another tenant")
	case ttl <= 0 || now.Add(ttl).After(v.at.Add(maxTokenTTL)):
		return Secret{}, invalid("ttl", "is not positive, or does not end within 1 hour after the verification")
	}
	b := []byte{tokenVersion}
	b = appendTime(b, now.Add(ttl))
	b = appendTime(b, v.at)
	for _, f := range []string{v.id, string(v.usage), string(v.factor), string(v.channel), v.recipient, v.subject, v.binding, string(v.extra)} {
		b = appendField(b, f)
	}
	set := s.keys().primary
	nonce := random(set.token.NonceSize())
	sealed := set.token.Seal(nonce, nonce, b, []byte(s.tenant))
	return NewSecret(set.id + "." + b64.EncodeToString(sealed)), nil
}

// Redeem opens a token of a usage. However many tokens are made of one proof, one
// redemption is accepted, in all processes that share the store; every other error is a
// "no", as with Verify. It checks no binding: compare Proof.Binding with what is about to
// be done.
func (s *Service) Redeem(ctx context.Context, token string, u Usage) (Proof, error) {
	p, err := s.redeem(ctx, token, u)
	e := Event{}
	if p != nil {
		e = Event{Challenge: p.id, Subject: s.SubjectPseudonym(p.subject), Channel: p.channel, Usage: p.usage, MaskedTo: mask(p.channel, p.recipient)}
	}
	if err != nil {
		return Proof{}, s.refuse(ctx, e, err)
	}
	e.Type = EventRedeemed
	s.emit(ctx, e)
	return Proof{p: p}, nil
}

func (s *Service) redeem(ctx context.Context, token string, u Usage) (*proof, error) {
	p, expires, ok := s.openToken(token)
	switch {
	case !ok || p.usage != u:
		return nil, ErrNotFound
	case !s.now().Before(expires):
		return p, ErrExpired
	}
	// A record without digests is a mark: nothing verifies it, and while it lives no
	// other can take its place. It outlives every token of the proof.
	mark := Record{
		ID: recordID(s.tenant, []byte("redeemed "+p.id)), State: StatePending, MaxAttempts: 1, MaxSends: 1, Sends: 1,
		CreatedAt: p.at, SentAt: p.at, ExpiresAt: p.at.Add(maxTokenTTL),
	}
	_, first, err := s.store.Put(ctx, mark, s.now())
	switch {
	case err != nil:
		return p, storeFault(err)
	case !first:
		return p, ErrAlreadyVerified
	}
	return p, nil
}

func (s *Service) openToken(token string) (p *proof, expires time.Time, ok bool) {
	if len(token) > maxToken {
		return nil, expires, false
	}
	id, text, _ := strings.Cut(token, ".")
	set := s.keys().byID[id]
	if set == nil {
		return nil, expires, false
	}
	sealed, ok := decodeText(text)
	n := set.token.NonceSize()
	if !ok || len(sealed) < n {
		return nil, expires, false
	}
	b, err := set.token.Open(nil, sealed[:n], sealed[n:], []byte(s.tenant))
	if err != nil {
		return nil, expires, false
	}
	in := fields{b: b}
	version := in.byte()
	expires = in.time()
	p = &proof{tenant: s.tenant, at: in.time()}
	p.id, p.usage, p.factor, p.channel = string(in.field()), Usage(in.field()), Factor(in.field()), Channel(in.field())
	p.recipient, p.subject, p.binding, p.extra = string(in.field()), string(in.field()), string(in.field()), in.field()
	return p, expires, version == tokenVersion && !in.bad && len(in.b) == 0
}
