package otp

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// The scopes of charges, as RateLimitError.Scope shows them.
const (
	scopeRecipient = "recipient"
	scopeSubject   = "subject"
	scopeClient    = "client"
	scopePrefix    = "prefix"
	scopeTenant    = "tenant"
	scopeGuesses   = "guesses"
	scopeSends     = "sends"
)

// A Factor is a kind of proof. Guesses at one are never charged to another.
type Factor string

// FactorDelivered is a code that was sent.
const FactorDelivered Factor = "delivered"

// meterKey names a meter: a letter for what it counts, then whom.
func meterKey(what byte, p pseudonym) string {
	var buf [1 + pseudonymSize/3*4 + 4]byte
	return string(b64.AppendEncode(append(buf[:0], what), p[:]))
}

const (
	meterSends   = 's'
	meterGuesses = 'd' // of delivered codes
	meterShare   = 'h' // of one client in the sends to one recipient
	meterNotice  = 'n' // that the owner was told
	meterTenant  = 't'

	meterCredentials = 'c' // no meter, but keys of the same kind
)

var noticeLimit = []Limit{{N: 1, Per: day}}

// tenantGuesses is the tenant's guess limit as it holds for one level of formats: half
// of it for the first, three quarters for the second, all of it for the last.
func (c *Config) tenantGuesses(p *payload) []Limit {
	l := c.TenantGuessLimit
	if p.has(flagHalf) {
		l.N -= l.N >> (p.level + 1)
	}
	return []Limit{l}
}

// tenantMass is what a challenge costs its tenant: all codes that it may ever have live,
// since leases cannot take more later and give it back together.
func (p *payload) tenantMass() int64 {
	if p.has(flagFree) {
		return 0
	}
	return p.format.mass(p.maxAttempts) * int64(p.liveCodes)
}

// tenantMeter names a meter that all of a tenant's requests share; see leases.
func (c *Config) tenantMeter(tenant, what string) string {
	return meterKey(meterTenant, c.Keyring.state.Load().pseudonym(scopeTenant, tenant, what))
}

// sendMeters is whom one message is charged to.
type sendMeters struct {
	recipient pseudonym
	subject   pseudonym
	client    pseudonym
	prefix    pseudonym
	share     pseudonym // client and recipient together
}

func (k *keys) sendMeters(tenant string, subject, recipient pseudonym, to string, client netip.Addr) sendMeters {
	s := sendMeters{
		recipient: recipient,
		subject:   subject,
		prefix:    k.pseudonym(scopePrefix, tenant, prefix(to)),
	}
	if client.IsValid() {
		addr := client.Unmap().WithZone("")
		if addr.Is6() {
			p, _ := addr.Prefix(64) // one customer has at least a /64
			addr = p.Addr()
		}
		s.client = k.pseudonym(scopeClient, tenant, addr.String())
		s.share = k.pseudonym("share", tenant, string(s.client[:])+string(s.recipient[:]))
	}
	return s
}

// charges lists what one message costs. All but the client's own limit depend on
// whom it goes to, so they are silent where the answer must not tell.
func (s *sendMeters) charges(dst []Charge, p *Policy, now time.Time, silent bool) []Charge {
	add := func(scope string, what byte, who pseudonym, limits []Limit, silent bool) {
		if who != (pseudonym{}) && len(limits) > 0 {
			dst = append(dst, Charge{Scope: scope, Key: meterKey(what, who), Cost: 1, Limits: limits, At: now, Silent: silent})
		}
	}
	interval := append(make([]Limit, 0, MaxLimits), Limit{N: 1, Per: p.ResendInterval})
	add(scopeClient, meterSends, s.client, p.Limits.Client, false)
	add(scopeRecipient, meterSends, s.recipient, append(interval, p.Limits.Recipient...), silent)
	add(scopeSubject, meterSends, s.subject, p.Limits.Subject, silent)
	add(scopePrefix, meterSends, s.prefix, p.Limits.Prefix, silent)
	add(scopeClient, meterShare, s.share, []Limit{half(p.Limits.Recipient)}, silent)
	return dst
}

// half is the part of the longest limit that one client may use, so that nobody can
// spend the whole day's messages of somebody else from one address.
func half(limits []Limit) Limit {
	l := slices.MaxFunc(limits, func(a, b Limit) int { return cmp.Compare(a.Per, b.Per) })
	return Limit{N: max(1, l.N/2), Per: l.Per}
}

// A reservation is the guess mass of a whole challenge: every guess that it allows,
// at every code that may be live at once, against the subject and every recipient.
// It is charged before the code exists and given back only by the success of the
// same handle, so no order of requests can guess more than the limits allow.
type reservation struct {
	who  []pseudonym
	mass int64 // of one live code
	at   time.Time
	half bool
	life time.Duration // of the challenge: guesses may come that much later than at
}

func (k *keys) reservation(tenant string, h *handle, p *payload) reservation {
	r := reservation{mass: p.format.mass(p.maxAttempts), at: p.created, half: p.has(flagHalf), life: p.expires.Sub(p.created)}
	if p.has(flagFree) {
		return reservation{}
	}
	r.who = make([]pseudonym, 0, 2)
	if h.subject != (pseudonym{}) {
		r.who = append(r.who, h.subject)
	}
	r.who = append(r.who, h.recipient)
	for _, route := range p.routes[1:] {
		who := k.recipient(tenant, route)
		if !slices.Contains(r.who, who) {
			r.who = append(r.who, who)
		}
	}
	return r
}

// take lists the charges that reserve one live code.
func (r *reservation) take(dst []Charge, limits []Limit, silent bool) []Charge {
	if r.mass == 0 {
		return dst
	}
	limits = r.fitting(limits)
	for _, who := range r.who {
		dst = append(dst, Charge{Scope: scopeGuesses, Key: meterKey(meterGuesses, who), Cost: r.mass, Limits: limits, At: r.at, Silent: silent})
	}
	return dst
}

// give lists what returns the reservation of codes live codes, and ends the streak of
// whom the success has proved: what has Per zero is cleared. The recipients of other
// routes have proved nothing, so their streaks go on.
func (r *reservation) give(windows, streak []Limit, codes int, proved ...pseudonym) []Charge {
	if len(r.who) == 0 {
		return nil
	}
	out := make([]Charge, 0, len(r.who)*(codes+len(streak)))
	windows = r.fitting(windows)
	for _, who := range r.who {
		key, limits, ends := meterKey(meterGuesses, who), windows, streak
		if !slices.Contains(proved, who) {
			limits, ends = slices.Concat(windows, r.fitting(streak)), nil
		}
		for range codes {
			if r.mass == 0 {
				break
			}
			out = append(out, Charge{Scope: scopeGuesses, Key: key, Cost: r.mass, Limits: limits, At: r.at})
		}
		for i, l := range ends {
			out = append(out, Charge{Scope: scopeGuesses, Key: key, Cost: l.N, Limits: streak[i : i+1], At: r.at})
		}
	}
	return out
}

// fitting returns limits that the reservation has to fit in. While a longer format exists
// that is half of what is left: used + mass <= n - mass. Windows are longer by a lifetime,
// in which the guesses of what was reserved at their beginning may still come.
func (r *reservation) fitting(limits []Limit) []Limit {
	limits = slices.Clone(limits)
	for i := range limits {
		if r.half {
			limits[i].N -= r.mass
		}
		if limits[i].Per > 0 {
			limits[i].Per += max(maxTTL, r.life)
		}
	}
	return limits
}

// splitLimits separates the limits that come back with time from those that a success ends.
func splitLimits(limits []Limit) (windows, streak []Limit) {
	for _, l := range limits {
		if l.Per == 0 {
			streak = append(streak, l)
		} else {
			windows = append(windows, l)
		}
	}
	return windows, streak
}
