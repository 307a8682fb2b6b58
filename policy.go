package otp

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// A Usage is what a code will allow: "login", "signup", "payment", … The set is
// open: any name of 1 to 32 lower-case letters, digits, '.', '-' and '_'. A code of one
// usage never verifies for another.
type Usage string

// The usages that rules know. Codes that confirm an address or recover an account
// may live for 24 hours by e-mail (NIST SP 800-63B-4 section 4.2.1.2); the PSD2
// preset binds every payment to its data. Recovery is of accounts, by a code that is sent;
// it has nothing to do with recovery codes.
const (
	ConfirmAddress Usage = "confirm_address"
	Recovery       Usage = "recovery"
	Payment        Usage = "payment"
)

// A Policy says how codes for one channel and usage behave. Each zero field means
// the preset's value, which is the one given here unless the preset says otherwise.
// A challenge keeps its format, lifetime, attempts, sends and live codes; send
// limits are those of the policy at the time of each send.
type Policy struct {
	// Formats lists the formats, weakest first. The first is used until the guess
	// budget runs low, then the next. Zero means 6 digits (e-mail 8), 8 digits, 10
	// and 16 Crockford symbols. At least 1e6 codes each, at most 4 formats.
	Formats []Format `json:"formats,omitempty"`

	// TTL is the lifetime of a challenge, resends included. Zero means 5 minutes, for
	// e-mail 10. From 30 seconds to 10 minutes, or to 24 hours for ConfirmAddress and
	// Recovery by e-mail.
	TTL time.Duration `json:"ttl,omitempty"`

	// MaxAttempts bounds the guesses at one challenge. Zero means 5; at most 10.
	MaxAttempts int `json:"max_attempts,omitempty"`

	// MaxSends bounds the messages of one challenge, the first included. Zero means
	// 3; at most 10.
	MaxSends int `json:"max_sends,omitempty"`

	// LiveCodes is how many of the newest codes of a challenge stay valid, so that a
	// message that arrives late still works. They share MaxAttempts, and the guess
	// ledger is charged for each. Zero means 2; at most 3.
	LiveCodes int `json:"live_codes,omitempty"`

	// ResendInterval is the shortest time between two messages to one recipient,
	// over all challenges. Zero means 30 seconds; from 30 seconds to 1 hour.
	ResendInterval time.Duration `json:"resend_interval,omitempty"`

	// Limits bound what is sent.
	Limits Limits `json:"limits,omitzero"`

	// RequireBinding refuses requests without a Binding. Zero means false.
	RequireBinding bool `json:"require_binding,omitempty"`
}

// Limits holds the send limits of a policy, by what they count. An empty list means
// the default. At most 7 limits each.
type Limits struct {
	Recipient []Limit `json:"recipient,omitempty"` // 3 in 10 minutes, 5 in an hour, 10 in a day
	Subject   []Limit `json:"subject,omitempty"`   // 5 in 10 minutes, 10 in an hour, 20 in a day
	Client    []Limit `json:"client,omitempty"`    // 10 in an hour, 30 in a day; an IPv6 client is its /64
	Prefix    []Limit `json:"prefix,omitempty"`    // a number less its last four digits: 20 in an hour, 60 in a day
	Tenant    []Limit `json:"tenant,omitempty"`    // none
}

const (
	day = 24 * time.Hour

	minTTL         = 30 * time.Second
	maxTTL         = 10 * time.Minute // NIST SP 800-63B-4 section 3.1.3.2
	maxAddressTTL  = day              // section 4.2.1.2
	minCodes       = 1e6              // section 3.1.3.2: six decimal digits
	maxFormats     = 4
	maxAttempts    = 10
	maxSends       = 10
	maxLiveCodes   = 3
	minResend      = 30 * time.Second
	maxResend      = time.Hour
	maxWindow      = 31 * day
	maxSendsWindow = 1e9
)

// WithDefaults returns p with every zero field replaced by what it means for a channel.
func (p Policy) WithDefaults(c Channel) Policy { return p.withDefaults(c).clone() }

// withDefaults returns p with every zero field replaced, as the preset of a
// Policies may already have done.
func (p Policy) withDefaults(c Channel) Policy {
	if len(p.Formats) == 0 {
		p.Formats = defaultFormats
		if c == Email {
			p.Formats = defaultFormats[1:]
		}
	}
	ttl := 5 * time.Minute
	if c == Email {
		ttl = 10 * time.Minute
	}
	p.TTL = cmp.Or(p.TTL, ttl)
	p.MaxAttempts = cmp.Or(p.MaxAttempts, 5)
	p.MaxSends = cmp.Or(p.MaxSends, 3)
	p.LiveCodes = cmp.Or(p.LiveCodes, 2)
	p.ResendInterval = cmp.Or(p.ResendInterval, minResend)
	l := &p.Limits
	l.Recipient = orLimits(l.Recipient, defaultLimits.Recipient)
	l.Subject = orLimits(l.Subject, defaultLimits.Subject)
	l.Client = orLimits(l.Client, defaultLimits.Client)
	l.Prefix = orLimits(l.Prefix, defaultLimits.Prefix)
	return p
}

func orLimits(l, def []Limit) []Limit {
	if len(l) == 0 {
		return def
	}
	return l
}

// Never written to, like every slice of a Policy inside this package.
var (
	defaultFormats = []Format{{6, Digits}, {8, Digits}, {10, Crockford}, {16, Crockford}}
	defaultLimits  = Limits{
		Recipient: []Limit{{3, 10 * time.Minute}, {5, time.Hour}, {10, day}},
		Subject:   []Limit{{5, 10 * time.Minute}, {10, time.Hour}, {20, day}},
		Client:    []Limit{{10, time.Hour}, {30, day}},
		Prefix:    []Limit{{20, time.Hour}, {60, day}},
	}
)

// Validate reports the first field that is out of bounds, by its name.
func (p Policy) Validate() error {
	return p.validate(PolicyKey{Channel: Email, Usage: ConfirmAddress})
}

func (p Policy) validate(k PolicyKey) error {
	p = p.withDefaults(k.Channel)
	if len(p.Formats) > maxFormats {
		return badPolicy("Formats", "has more than 4 formats")
	}
	before := 0.0
	for _, f := range p.Formats {
		if f.symbols() == "" || f.Length < 1 || f.Length > maxCodeLength {
			return badPolicy("Formats", "has an unknown alphabet or a length that is not 1 to 32")
		}
		if f.mass(1) > certainty/minCodes {
			return badPolicy("Formats", "has a format of fewer than 1e6 codes")
		}
		if f.strength() < before {
			return badPolicy("Formats", "is not ordered from the weakest to the strongest")
		}
		before = f.strength()
	}
	longest := longestTTL(k.Channel, k.Usage)
	switch {
	case p.TTL < minTTL || p.TTL > longest:
		return badPolicy("TTL", fmt.Sprintf("is not %s to %s", minTTL, longest))
	case p.MaxAttempts < 1 || p.MaxAttempts > maxAttempts:
		return badPolicy("MaxAttempts", "is not 1 to 10")
	case p.MaxSends < 1 || p.MaxSends > maxSends:
		return badPolicy("MaxSends", "is not 1 to 10")
	case p.LiveCodes < 1 || p.LiveCodes > maxLiveCodes:
		return badPolicy("LiveCodes", "is not 1 to 3")
	case p.ResendInterval < minResend || p.ResendInterval > maxResend:
		return badPolicy("ResendInterval", "is not 30 seconds to 1 hour")
	}
	for _, l := range []struct {
		field  string
		limits []Limit
	}{
		{"Limits.Recipient", p.Limits.Recipient},
		{"Limits.Subject", p.Limits.Subject},
		{"Limits.Client", p.Limits.Client},
		{"Limits.Prefix", p.Limits.Prefix},
		{"Limits.Tenant", p.Limits.Tenant},
	} {
		if problem := checkLimits(l.limits); problem != "" {
			return badPolicy(l.field, problem)
		}
	}
	return nil
}

func longestTTL(c Channel, u Usage) time.Duration {
	if c == Email && (u == ConfirmAddress || u == Recovery) {
		return maxAddressTTL
	}
	return maxTTL
}

func checkLimits(limits []Limit) (problem string) {
	if len(limits) >= MaxLimits {
		return "has more than 7 limits"
	}
	for _, l := range limits {
		if l.N < 1 || l.N > maxSendsWindow {
			return "has an N that is not 1 to 1e9"
		}
		if l.Per < time.Second || l.Per > maxWindow {
			return "has a Per that is not 1 second to 31 days"
		}
	}
	return ""
}

func badPolicy(field, problem string) error {
	return fmt.Errorf("otp: Policy.%s %s", field, problem)
}

// override returns p with the fields that o sets, each of which may only be
// stricter than p's.
func (p Policy) override(o *Policy) (Policy, error) {
	if o == nil {
		return p, nil
	}
	looser := func(field string) (Policy, error) {
		return Policy{}, invalid("Policy."+field, "is looser than the policy")
	}
	if len(o.Formats) > 0 {
		if err := (Policy{Formats: o.Formats}).Validate(); err != nil {
			return Policy{}, invalid("Policy", err.Error())
		}
		if o.Formats[0].strength() < p.Formats[0].strength() {
			return looser("Formats")
		}
		p.Formats = o.Formats
	}
	switch {
	case o.TTL > p.TTL:
		return looser("TTL")
	case o.MaxAttempts > p.MaxAttempts:
		return looser("MaxAttempts")
	case o.MaxSends > p.MaxSends:
		return looser("MaxSends")
	case o.LiveCodes > p.LiveCodes:
		return looser("LiveCodes")
	case o.ResendInterval != 0: // a limit on the recipient
		return Policy{}, invalid("Policy.ResendInterval", "belongs to the policy, not to one request")
	case len(o.Limits.Recipient)+len(o.Limits.Subject)+len(o.Limits.Client)+len(o.Limits.Prefix)+len(o.Limits.Tenant) > 0:
		return Policy{}, invalid("Policy.Limits", "belong to the policy, not to one request")
	}
	p.TTL = cmp.Or(o.TTL, p.TTL)
	p.MaxAttempts = cmp.Or(o.MaxAttempts, p.MaxAttempts)
	p.MaxSends = cmp.Or(o.MaxSends, p.MaxSends)
	p.LiveCodes = cmp.Or(o.LiveCodes, p.LiveCodes)
	p.RequireBinding = p.RequireBinding || o.RequireBinding
	return p, nil
}

// A PolicyKey says what a policy is for. Empty fields match everything.
type PolicyKey struct {
	Tenant  string
	Channel Channel
	Usage   Usage
}

// A PolicySource finds a policy. Policy is called on every Request and Resend:
// it must be fast and safe for concurrent use. An error refuses the call, and so
// does a policy out of bounds.
type PolicySource interface {
	Policy(ctx context.Context, k PolicyKey) (Policy, error)
}

// Policies is a [PolicySource] held in memory. It is safe for concurrent use.
// Look-up goes from the exact key to the usage alone, the channel alone and the zero
// key, first among those of the tenant, then among those of no tenant. The one that is found
// holds as a whole: policies are not merged.
type Policies struct {
	preset Preset
	m      atomic.Pointer[map[PolicyKey]Policy]
}

// NewPolicies returns Policies under the rules of a preset. The error names the
// policy and field that is out of bounds or weaker than the preset allows. The map
// is copied; nil means the preset's values for everything.
func NewPolicies(preset Preset, m map[PolicyKey]Policy) (*Policies, error) {
	p := &Policies{preset: preset}
	if err := p.Replace(m); err != nil {
		return nil, err
	}
	return p, nil
}

// Replace swaps all policies at once, so that an administrator's change takes effect
// with the next call. On an error nothing is changed.
func (p *Policies) Replace(m map[PolicyKey]Policy) error {
	if err := p.preset.check(PolicyKey{}, Policy{}); err != nil {
		return err
	}
	for k, policy := range m {
		if err := p.preset.check(k, policy); err != nil {
			return err
		}
	}
	own := make(map[PolicyKey]Policy, len(m))
	for k, policy := range m {
		own[k] = policy.clone()
	}
	p.m.Store(&own)
	return nil
}

func (p Policy) clone() Policy {
	p.Formats = slices.Clone(p.Formats)
	for _, l := range []*[]Limit{&p.Limits.Recipient, &p.Limits.Subject, &p.Limits.Client, &p.Limits.Prefix, &p.Limits.Tenant} {
		*l = slices.Clone(*l)
	}
	return p
}

// Policy implements [PolicySource]. Its error wraps [ErrRefused] where the preset
// does not allow the channel for the usage.
func (p *Policies) Policy(_ context.Context, k PolicyKey) (Policy, error) {
	policy, err := p.find(k)
	return policy.clone(), err
}

// find is Policy for callers that change nothing.
func (p *Policies) find(k PolicyKey) (Policy, error) {
	found := Policy{}
	if m := p.m.Load(); m != nil && len(*m) > 0 {
		found = lookUp(*m, k)
	}
	return p.preset.apply(k, found)
}

func lookUp(m map[PolicyKey]Policy, k PolicyKey) Policy {
	for _, tenant := range []string{k.Tenant, ""} {
		for _, key := range []PolicyKey{
			{tenant, k.Channel, k.Usage}, {tenant, "", k.Usage}, {tenant, k.Channel, ""}, {tenant, "", ""},
		} {
			if policy, ok := m[key]; ok {
				return policy
			}
		}
	}
	return Policy{}
}
