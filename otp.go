package otp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// A Verifier turns an answer into a proof. *Service is one, and so are the verifiers
// of authenticator apps and recovery codes, so that a handler can take any.
type Verifier interface {
	Verify(ctx context.Context, a Answer) (Proof, error)
}

// A Service issues and verifies challenges. It is safe for concurrent use and
// starts no goroutines. Make one with [New].
type Service struct {
	*core
	tenant string
}

// core is what all tenants share.
type core struct {
	cfg    Config
	store  ChargingStore
	leases *leases
	slow   chan struct{} // room for slow hashes, of recovery codes

	guessWindows, guessStreak []Limit // of cfg.GuessLimits
}

// maxSlow is how many slow hashes there may be at a time. Each takes 19 MiB.
const maxSlow = 4

// New returns a Service. Store, Keyring and Senders are required; New
// reports the first field that is missing or out of bounds. cfg is copied.
func New(cfg Config) (*Service, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &core{cfg: cfg, store: charging(cfg.Store, cfg.Limiter), slow: make(chan struct{}, maxSlow)}
	c.leases = &leases{limiter: cfg.Limiter, meter: c.cfg.tenantMeter, m: map[leaseKey]*lease{}}
	c.guessWindows, c.guessStreak = splitLimits(cfg.GuessLimits)
	return &Service{core: c}, nil
}

// Tenant returns a view of s whose every operation belongs to the named tenant.
// A handle of one tenant does not exist for another. Names are at most 64 bytes of
// UTF-8 without control characters; with any other name every operation fails.
func (s *Service) Tenant(name string) *Service {
	return &Service{core: s.core, tenant: name}
}

// SubjectPseudonym returns what events show as Subject for a subject.
func (s *Service) SubjectPseudonym(subject string) string {
	return s.keys().pseudonym(scopeSubject, s.tenant, subject).String()
}

// RecipientPseudonym returns what stands for a recipient in meter keys and in a store's
// audit. The error wraps [ErrInvalidRequest].
func (s *Service) RecipientPseudonym(ctx context.Context, c Channel, to string) (string, error) {
	to, err := s.Canonical(ctx, c, to)
	if err != nil {
		return "", err
	}
	return s.keys().recipient(s.tenant, Route{Channel: c, To: to}).String(), nil
}

// A Request asks for a challenge. It prints as [redacted].
type Request struct {
	hidden
	Channel   Channel    // required: one of Config.Senders
	Usage     Usage      // required
	Subject   string     // account the proof will be about; opaque to this package, at most 256 bytes; empty where there is none yet
	To        string     // required: E.164 number, e-mail address, …
	Binding   string     // optional: transaction or session data that Verify must repeat exactly; shown in the message; at most 1024 bytes
	Client    netip.Addr // optional: who asks, for limits; IPv6 is taken by /64
	Locale    string     // BCP 47; empty means the renderer's default
	Extra     []byte     // optional: sealed with the challenge, returned with the proof; at most 1024 bytes
	Fallback  []Route    // further routes, for Resend; at most 4. Take them from the account, never from the client. The policy's TTL must be one that each of them may have
	Reference string     // optional: the challenge is found by it instead of a handle (see Service.Reference); a live one of the same reference makes the request invalid; at most 256 bytes

	// Policy overrides single fields of the policy for this challenge; each may only be
	// stricter. ResendInterval and Limits must be zero: they are the policy's alone, since
	// others' requests to the recipient count. Nil means none.
	Policy *Policy

	// Code is a caller's own code. It must be of one of the policy's formats. Empty
	// means that the Generator makes one.
	Code Secret

	// Conceal asks that the answer not tell whether the subject exists. It needs a
	// Queue for the channel, else the request is invalid. It does not hide that guesses at
	// an account run low: codes are longer then, at all of its addresses. The store calls
	// are equal in number with a ChargingStore that charges in one step; simple stores and
	// Redis Cluster make others for a limited recipient.
	//
	// The person is not told of a limit either: a second request within ResendInterval, such
	// as a double click, returns another challenge, for which no code is sent. Whoever keeps
	// that handle cannot use the code that came. An IdempotencyKey for each form prevents it.
	Conceal bool

	// IdempotencyKey makes a repeated Request harmless. The server must make it, unguessable:
	// rand.Text() in a hidden field of a form, or in its session. Whoever knows it can ask for
	// a handle of the same challenge, and with the keys and the store find the code. A client
	// that sends back another one weakens its own challenges only. At most 256 bytes. Empty
	// means none.
	IdempotencyKey string

	// Decoy runs every step but sending (an empty Subject gets a stand-in meter), for
	// a subject that does not exist, so that answers and their cost do not tell. No
	// code verifies a decoy.
	Decoy bool
}

// A Route is one way to reach a person. It prints as [redacted].
type Route struct {
	hidden
	Channel Channel
	To      string
}

// A Resend asks for another code. It prints as [redacted].
type Resend struct {
	hidden
	ID      string
	Channel Channel // which of the challenge's routes; empty means the first
	Client  netip.Addr
}

// An Answer is what a person returned. It prints as [redacted].
type Answer struct {
	hidden
	ID      string // handle from Challenge.ID; for credentials Credential.ID, or empty for any of the subject's
	Subject string // for credentials: whose; for challenges optional, and then it must match
	Code    string // as typed; spaces, hyphens and, for letter codes, case are ignored
	Usage   Usage  // what the caller is about to allow
	Binding string // for challenges alone: no code of a credential confirms a transaction
	After   Proof  // for credentials that are a second factor: what another factor of the subject has just proved
}

// A Challenge describes one issued verification. It holds no secret but ID, and prints
// and encodes as [redacted].
type Challenge struct {
	hidden
	ID           string // handle: give it only to the client that asked
	Status       Status
	Channel      Channel
	Usage        Usage
	CodeFormat   Format    // how its codes look, for the input field
	CreatedAt    time.Time // UTC, as all its times
	ExpiresAt    time.Time
	ResendAt     time.Time // earliest useful Resend; zero if there is none
	AttemptsLeft int
	SendsLeft    int
	Receipt      Receipt // the sender's; empty behind a Queue, for a repeat, and from Issue and Status
}

// A Status is what a caller sees of a challenge.
type Status uint8

// The statuses. The zero Status is not valid.
const (
	StatusPending     Status = 1
	StatusVerified    Status = 2
	StatusCanceled    Status = 3
	StatusExpired     Status = 4
	StatusMaxAttempts Status = 5
)

func (s Status) String() string {
	names := [...]string{"invalid", "pending", "verified", "canceled", "expired", "max_attempts"}
	if int(s) < len(names) {
		return names[s]
	}
	return names[0]
}

// Reference returns an ID that finds the live challenge of a caller's own
// reference, for callers that cannot keep a handle. Anyone who can name the
// reference can spend its attempts.
func (s *Service) Reference(u Usage, reference string) string {
	return referencePrefix + b64.EncodeToString(s.referenceNonce(u, reference))
}

func (s *Service) referenceNonce(u Usage, reference string) []byte {
	sum := s.keys().index.reference.sumFields(s.tenant, string(u), reference)
	return sum[:]
}

// Canonical returns the one form in which a recipient is compared, metered and sent to.
// Look accounts up by it, and store it. Of e-mail addresses the part before the @ keeps its
// case, which only limits ignore: lower it in Config.Normalize if accounts are to be found
// in any case. An error wraps [ErrInvalidRequest].
func (s *Service) Canonical(ctx context.Context, c Channel, to string) (string, error) {
	return s.checkRoute(ctx, "", Route{Channel: c, To: to}, false, false)
}

// Cancel ends a challenge. Canceling a canceled challenge is not an error; for one that
// ended otherwise the error says how.
func (s *Service) Cancel(ctx context.Context, id string) error {
	at, err := s.locate(id)
	if err != nil {
		return s.refuse(ctx, Event{}, err)
	}
	e := s.event(&at)
	now := s.now()
	rec, applied, err := s.store.Cancel(ctx, at.record, now)
	switch {
	case err != nil:
		return s.refuse(ctx, e, storeFault(err))
	case !applied && rec.State == StateCanceled:
		return nil
	case !applied:
		return s.refuse(ctx, e, whyDead(&rec, now))
	}
	e.Type = EventCanceled
	s.emit(ctx, e)
	return nil
}

// Status describes a challenge without changing it.
func (s *Service) Status(ctx context.Context, id string) (Challenge, error) {
	at, err := s.locate(id)
	if err != nil {
		return Challenge{}, err
	}
	rec, p, _, err := s.load(ctx, at)
	if err != nil {
		return Challenge{}, s.refuse(ctx, s.event(&at), err)
	}
	policy, err := s.policy(ctx, p.routes[0].Channel, p.usage)
	if err != nil {
		return Challenge{}, s.refuse(ctx, s.event(&at), err)
	}
	return describe(id, &rec, &p, &policy, s.now()), nil
}

// Prune forgets what expired before the given time, in bounded batches, and reports how
// much. It does nothing for stores that expire by themselves.
func (s *Service) Prune(ctx context.Context, before time.Time) (int, error) {
	const batch = 1000
	pruners := []any{s.cfg.Store}
	if !same(s.cfg.Store, s.cfg.Limiter) {
		pruners = append(pruners, s.cfg.Limiter)
	}
	total := 0
	for _, candidate := range pruners {
		p, ok := candidate.(Pruner)
		if !ok {
			continue
		}
		for {
			n, err := p.Prune(ctx, before, batch)
			total += n
			if err != nil {
				return total, fmt.Errorf("otp: prune: %w", err)
			}
			if n < batch {
				break
			}
		}
	}
	return total, nil
}

const maxTenant = 64

// now is the service's clock, in the precision that stores keep.
func (s *Service) now() time.Time { return s.cfg.Now().UTC().Truncate(time.Microsecond) }

func (s *Service) keys() *keys { return s.cfg.Keyring.state.Load() }

// location is where an ID leads to. Only a handle says more than the record's ID.
type location struct {
	record    string
	handle    handle
	reference bool
}

// event is what is known of a challenge at once, if anybody is to be told.
func (s *Service) event(l *location) Event {
	if s.cfg.OnEvent == nil {
		return Event{}
	}
	return Event{Challenge: l.record, Subject: l.handle.subject.String()}
}

// locate reads an ID. It calls no store, so that whoever makes up IDs costs nothing.
func (s *Service) locate(id string) (location, error) {
	if checkText(s.tenant, maxTenant) != "" {
		return location{}, invalid("Tenant", "is longer than 64 bytes or has a control character")
	}
	if len(id) > len(referencePrefix) && id[:len(referencePrefix)] == referencePrefix {
		nonce, ok := decodeText(id[len(referencePrefix):])
		if !ok || len(nonce) != DigestSize {
			return location{}, ErrNotFound
		}
		return location{record: recordID(s.tenant, nonce), reference: true}, nil
	}
	h, ok := s.keys().open(id, s.tenant)
	if !ok {
		return location{}, ErrNotFound
	}
	if !s.now().Before(h.expires) {
		return location{}, ErrExpired
	}
	return location{record: recordID(s.tenant, h.nonce[:]), handle: h}, nil
}

// load reads and unseals the record at a location, and makes the handle that a
// reference does not have.
func (s *Service) load(ctx context.Context, at location) (Record, payload, handle, error) {
	rec, err := s.store.Get(ctx, at.record)
	if err != nil {
		return Record{}, payload{}, handle{}, storeFault(err)
	}
	keys := s.keys()
	p, set, err := keys.unseal(&rec)
	if err != nil {
		return Record{}, payload{}, handle{}, err
	}
	h := at.handle
	if at.reference {
		h = s.handleOf(keys, set, &p)
	}
	h.keys = set // an older handle of its idempotency key may name another
	return rec, p, h, nil
}

// handleOf makes the handle of a challenge from its payload. Its nonce is the sealed
// one, if there is one.
func (s *Service) handleOf(k *keys, set *keySet, p *payload) handle {
	h := handle{
		keys:      set,
		subject:   k.subject(s.tenant, p),
		recipient: k.recipient(s.tenant, p.routes[0]),
		expires:   p.expires,
		format:    p.format,
		routes:    len(p.routes),
	}
	copy(h.nonce[:], p.nonce)
	return h
}

// recipient is the pseudonym of whom a route reaches.
func (k *keys) recipient(tenant string, r Route) pseudonym {
	return k.pseudonym(scopeRecipient, tenant, mailbox(r.Channel, r.To))
}

// subject is the pseudonym of the subject. A decoy without one gets a stand-in, so that
// it charges as many meters as the subject would that it stands for.
func (k *keys) subject(tenant string, p *payload) pseudonym {
	if p.subject == "" && p.has(flagDecoy) {
		return k.pseudonym("decoy", tenant, mailbox(p.routes[0].Channel, p.routes[0].To))
	}
	return k.pseudonym(scopeSubject, tenant, p.subject)
}

// policy finds the policy for a channel and usage, with nothing left at zero.
func (s *Service) policy(ctx context.Context, c Channel, u Usage) (Policy, error) {
	k := PolicyKey{Tenant: s.tenant, Channel: c, Usage: u}
	if source, ok := s.cfg.Policies.(*Policies); ok { // checked when it was made
		p, err := source.find(k)
		if err != nil {
			return Policy{}, fmt.Errorf("otp: policy: %w", err)
		}
		return p.withDefaults(c), nil
	}
	p, err := s.cfg.Policies.Policy(ctx, k)
	if err == nil {
		err = p.validate(k)
	}
	if err != nil {
		return Policy{}, fmt.Errorf("otp: policy: %w", err)
	}
	return p.withDefaults(c), nil
}

func describe(id string, r *Record, p *payload, policy *Policy, now time.Time) Challenge {
	c := Challenge{
		ID:           id,
		Status:       StatusPending,
		Channel:      p.routes[0].Channel,
		Usage:        p.usage,
		CodeFormat:   Format{Length: p.format.Length, Alphabet: cmp.Or(p.format.Alphabet, Digits)},
		CreatedAt:    r.CreatedAt,
		ExpiresAt:    r.ExpiresAt,
		AttemptsLeft: r.MaxAttempts - r.Attempts,
		SendsLeft:    r.MaxSends - r.Sends,
	}
	switch {
	case r.State == StateVerified:
		c.Status = StatusVerified
	case r.State == StateCanceled:
		c.Status = StatusCanceled
	case !now.Before(r.ExpiresAt):
		c.Status = StatusExpired
	case r.Attempts >= r.MaxAttempts:
		c.Status = StatusMaxAttempts
	case c.SendsLeft > 0:
		c.ResendAt = r.SentAt.Add(policy.ResendInterval)
	}
	return c
}

// whyDead says why a record refused a change.
func whyDead(r *Record, now time.Time) error {
	switch {
	case r.State == StateVerified:
		return ErrAlreadyVerified
	case r.State == StateCanceled:
		return ErrCanceled
	case !now.Before(r.ExpiresAt):
		return ErrExpired
	default:
		return ErrAttemptsExceeded
	}
}

// emit tells OnEvent. Whoever has no OnEvent pays nothing for it but the arguments.
func (s *Service) emit(ctx context.Context, e Event) {
	if s.cfg.OnEvent == nil {
		return
	}
	e.Time, e.Tenant = s.now(), s.tenant
	if e.Reason == "" {
		e.Reason = reason(e.Err)
	}
	s.cfg.OnEvent(ctx, e)
}

// refuse tells why a call is answered with an error, and returns it.
func (s *Service) refuse(ctx context.Context, e Event, err error) error {
	if s.cfg.OnEvent == nil {
		return err
	}
	switch {
	case errors.Is(err, ErrDelivery):
		return err // told when it happened
	case errors.Is(err, ErrRejected):
		e.Type = EventRejected
	case errors.Is(err, ErrRateLimited):
		e.Type = EventLimited
	case errors.Is(err, ErrInvalidRequest), errors.Is(err, ErrRefused), errors.Is(err, ErrProofRequired):
		e.Type = EventRefused
	default:
		e.Type = EventFault
	}
	e.Err = err
	s.emit(ctx, e)
	return err
}

// storeFault marks what went wrong in a store. That it does not hold a record is no fault.
func storeFault(err error) error {
	if errors.Is(err, ErrRejected) {
		return err
	}
	return fmt.Errorf("otp: store: %w", err)
}
