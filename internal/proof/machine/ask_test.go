package machine_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"otp.example/otp"
)

// A spec is what was asked for, in canonical form.
type spec struct {
	tenant, subject, binding string
	usage                    otp.Usage
	routes                   []otp.Route
	client                   netip.Addr
	conceal, decoy           bool
	idempotency, reference   string
	code, extra              string
	attempts, live           int // stricter than the policy, if not zero
}

// metered is the subject as the limits see it. A decoy without one has a stand-in.
func (s *spec) metered() string {
	if s.subject == "" && s.decoy {
		return "stand-in of " + mailbox(s.routes[0])
	}
	return s.subject
}

// What a person types, and what is made of it.
var addresses = map[otp.Channel][][2]string{
	otp.SMS:      {{"+4930123456", "+4930123456"}, {"+4930129999", "+4930129999"}, {"+33600000001", "+33600000001"}, {blockedNumber, blockedNumber}},
	otp.Voice:    {{"+4930123456", "+4930123456"}, {"+33600000001", "+33600000001"}},
	otp.WhatsApp: {{"+4930123456", "+4930123456"}, {"+4930129999", "+4930129999"}, {"+33600000001", "+33600000001"}},
	otp.Email: {
		{"ann@example.com", "ann@example.com"},
		{"Ann+tag@EXAMPLE.com", "Ann+tag@example.com"},
		{"bob@example.com", "bob@example.com"},
		{blockedAddress, blockedAddress},
	},
}

var clients = []netip.Addr{
	{},
	netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("::ffff:192.0.2.7"),
	netip.MustParseAddr("2001:db8:1:2::1"), netip.MustParseAddr("2001:db8:1:2::ffff"),
}

func drawRequest(t *rapid.T, issue bool) (s spec, r otp.Request) {
	conceal := !issue && rapid.Bool().Draw(t, "conceal")
	channels := slices.Concat(direct, queued)
	if conceal {
		channels = queued
	}
	add := func(c otp.Channel) otp.Route {
		a := pick(t, "to", addresses[c]...)
		s.routes = append(s.routes, otp.Route{Channel: c, To: a[1]})
		return otp.Route{Channel: c, To: a[0]}
	}
	first := add(pick(t, "channel", channels...))
	r = otp.Request{
		Channel: first.Channel, To: first.To, Conceal: conceal,
		Usage:   pick(t, "usage", otp.Usage("login"), otp.Payment),
		Subject: pick(t, "subject", "ann", "bob", ""),
		Client:  pick(t, "client", clients...),
		Decoy:   rarely(t, "decoy", 6),
	}
	if other := pick(t, "fallback", channels...); other != first.Channel && rapid.Bool().Draw(t, "has fallback") {
		r.Fallback = []otp.Route{add(other)}
	}
	if rarely(t, "bound", 3) {
		r.Binding, r.Extra = "10 EUR to Bob", []byte("extra")
	}
	if rarely(t, "strict", 5) {
		r.Policy = &otp.Policy{MaxAttempts: 1, LiveCodes: 1}
		s.attempts, s.live = 1, 1
	}
	switch pick(t, "named by", "", "", "", "reference", "idempotency") {
	case "reference":
		r.Reference = pick(t, "reference", "order 1", "order 2")
	case "idempotency":
		if !issue {
			r.IdempotencyKey = pick(t, "idempotency", "form 1", "form 2")
		}
	}
	s.tenant = pick(t, "tenant", "", "", "b")
	s.usage, s.subject, s.binding, s.extra = r.Usage, r.Subject, r.Binding, string(r.Extra)
	s.client, s.conceal, s.decoy, s.idempotency, s.reference = r.Client, r.Conceal, r.Decoy, r.IdempotencyKey, r.Reference
	return s, r
}

func (w *world) request(t *rapid.T) {
	s, r := drawRequest(t, false)
	w.ask(t, false, s, r)
}

func (w *world) issue(t *rapid.T) {
	s, r := drawRequest(t, true)
	w.ask(t, true, s, r)
}

// again asks for the same once more, as a person does who waits, or an attacker.
func (w *world) again(t *rapid.T) {
	if w.last == nil {
		w.skip(t, "nothing was asked")
	}
	if rapid.Bool().Draw(t, "patient") {
		w.now = w.now.Add(w.rules.interval)
	}
	w.last(t)
}

// skip has another action drawn, since this one makes no sense yet.
func (w *world) skip(action *rapid.T, why string) { action.Skip(why) }

// ask requests a challenge or issues one, and compares everything with the model.
func (w *world) ask(t *rapid.T, issue bool, s spec, r otp.Request) {
	w.last = func(t *rapid.T) { w.ask(t, issue, s, r) }
	formats := w.rules.formatsOf(r.Channel)
	if rarely(t, "own code", 8) {
		s.code = strings.Repeat("7", pick(t, "own format", formats...).Length)
		r.Code = otp.NewSecret(s.code)
	}
	refused := slices.ContainsFunc(s.routes, func(r otp.Route) bool { return blocked(r.To) })
	if refused && s.conceal {
		s.decoy = true
	}
	key := w.slotKey(&s)
	old := w.slots[key]
	if old != nil && s.idempotency != "" && w.now.Equal(old.c.created) {
		w.now = w.now.Add(time.Microsecond) // two challenges of one key are told apart by their time
	}
	w.rendered = ""
	call := func() (ch otp.Challenge, err error) {
		if !issue {
			return w.of(s.tenant).Request(t.Context(), r)
		}
		var code otp.Secret
		ch, code, err = w.of(s.tenant).Issue(t.Context(), r)
		w.rendered = code.Reveal()
		return ch, err
	}
	ch, err := call()
	switch {
	case refused && !s.conceal:
		w.wantError(t, err, otp.ErrRefused)
		w.note("request refused by the guard")
		return
	case old != nil && w.isLive(old.c):
		w.repeated(t, old, ch, err)
		return
	}

	c := &challenge{
		spec: s, created: w.now, sentAt: w.now, expires: w.now.Add(w.rules.ttlOf(r.Channel)), state: otp.StatusPending, sends: 1,
		maxAttempts: w.rules.attempts, maxSends: w.rules.sends, liveCodes: w.rules.live, mute: s.decoy, key: w.primary(),
	}
	if s.attempts > 0 {
		c.maxAttempts, c.liveCodes = s.attempts, s.live
	}
	sends := w.sends(s.tenant, s.metered(), s.routes[0], s.client, s.conceal)
	if w.lenient && errors.Is(err, otp.ErrRateLimited) {
		return
	}
	if loud := w.refused(sends, false); loud != nil && !w.lenient {
		w.wantLimit(t, err, loud)
		return
	}
	may, full := w.levels(&s, c.maxAttempts, c.liveCodes)
	if limited, ok := errors.AsType[*otp.RateLimitError](err); ok {
		w.note("request limited by " + limited.Scope)
		if !full || limited.Scope == "guesses" && s.conceal || limited.Scope != "guesses" && (limited.Scope != "tenant" || !w.rules.tightTenant) {
			w.fail(t, "refused by %s, but formats %v have room", limited.Scope, may)
		}
		return
	}
	failed := !issue && !s.conceal && !s.decoy && w.answer != nil && slices.Contains(direct, r.Channel)
	if failed {
		w.wantError(t, err, otp.ErrDelivery)
	} else {
		must(t, err)
	}

	level := slices.IndexFunc(formats, func(f otp.Format) bool { return f.Length == len(w.rendered) })
	if level < 0 || !slices.Contains(may, level) && !w.lenient {
		w.fail(t, "the code has %d symbols, but the ledger has room for formats %v of %v", len(w.rendered), may, formats)
	}
	c.format, c.record = formats[level], w.told
	silent := w.refused(sends, true) != nil
	c.digests = w.digests(t, c.record)
	if last := s.code != "" || level == len(formats)-1; last && s.conceal && !silent {
		may, must := w.admits(w.ledgers(&s), mass(c.format, c.maxAttempts), 0)
		silent = !may || !must && c.digests == 0
	}
	if w.lenient {
		silent = c.digests == 0
	}
	if c.digests != 1 && !silent || c.digests != 0 && silent {
		w.fail(t, "a record with %d codes; refused in silence: %v", c.digests, silent)
	}
	w.noteIf(silent, "request refused in silence")
	w.noteIf(failed, "request not delivered")
	w.noteIf(c.mute, "decoy")
	w.note(fmt.Sprintf("request with format %d", slices.Index(allFormats, c.format)))
	w.charge(sends, !silent)
	w.reserve(c, silent || failed)
	if !silent && !c.mute {
		c.live = []code{{w.rendered, 0, c.key}}
	}
	c.sent = []code{{w.rendered, 0, c.key}}
	c.tenant = &charge{at: w.now, cost: mass(c.format, c.maxAttempts) * int64(c.liveCodes), unsure: silent || failed}
	all := w.meter("tenant|"+s.tenant, []otp.Limit{w.rules.tenant})
	all.charges = append(all.charges, c.tenant)
	w.challenges = append(w.challenges, c)
	if old == nil {
		old = &slot{}
		w.slots[key] = old
	}
	old.c = c
	if failed {
		c.state = otp.StatusCanceled
		w.refundIfRefused(&delivery{sends: sends})
		if s.reference != "" {
			w.hand(t, old, w.of(s.tenant).Reference(s.usage, s.reference))
		}
		return
	}
	w.queue(sends, c, !issue && !silent && !c.mute, r.Channel)
	w.hand(t, old, ch.ID)
	w.wantChallenge(t, ch, c)
}

// repeated is a request whose reference or idempotency key has a live challenge.
func (w *world) repeated(t *rapid.T, s *slot, ch otp.Challenge, err error) {
	c := s.c
	if _, limited := errors.AsType[*otp.RateLimitError](err); limited && w.rules.tightTenant && c.reference != "" {
		return // the tenant's ceiling is looked at first
	}
	switch {
	case c.reference != "":
		w.wantError(t, err, otp.ErrInvalidRequest)
	case !slices.Contains(w.keys, c.key):
		if err == nil || errors.Is(err, otp.ErrRejected) || errors.Is(err, otp.ErrRateLimited) {
			w.fail(t, "a repeat whose key is gone got %v instead of a fault", err)
		}
	default:
		must(t, err)
		w.note("request repeated")
		if w.rendered != "" {
			w.fail(t, "a repeat sent a message")
		}
		w.hand(t, s, ch.ID)
		w.wantChallenge(t, ch, c)
	}
}

func (w *world) slotKey(s *spec) string {
	switch {
	case s.reference != "":
		return fmt.Sprintf("reference %q %q %q", s.tenant, s.usage, s.reference)
	case s.idempotency != "":
		return fmt.Sprintf("repeat %q %q %q %q %q %q %v %q", s.tenant, s.usage, s.subject, s.routes[0].Channel, s.routes[0].To, s.binding, s.decoy, s.idempotency)
	}
	return fmt.Sprint(len(w.challenges))
}

func (w *world) hand(t *rapid.T, s *slot, id string) {
	h := &handle{
		id: id, tenant: s.c.spec.tenant, slot: s, reference: s.c.reference != "",
		expires: s.c.expires, format: s.c.format, key: s.c.key, spec: &s.c.spec,
	}
	if h.reference != strings.HasPrefix(id, "ref:") {
		w.fail(t, "an ID of the wrong kind")
	}
	w.handles = append(w.handles, h)
}

// queue remembers a message that waits, for when it will be refused.
func (w *world) queue(sends []send, c *challenge, out bool, channel otp.Channel) {
	if out && slices.Contains(queued, channel) {
		w.waiting = append(w.waiting, &delivery{sends: sends, conceal: c.conceal})
	}
}

func (w *world) refundIfRefused(d *delivery) {
	unreachable := errors.Is(w.answer, otp.ErrUndeliverable)
	if errors.Is(w.answer, otp.ErrNotAccepted) || unreachable {
		d.refund(unreachable)
	}
}

func (m *model) primary() string { return m.keys[len(m.keys)-1] }

// drawHandle prefers what lives, and what was given out last.
func (w *world) drawHandle(t *rapid.T) *handle {
	if len(w.handles) == 0 {
		w.skip(t, "there is no challenge")
	}
	from := w.handles
	if !rarely(t, "any", 8) {
		live := slices.DeleteFunc(slices.Clone(from), func(h *handle) bool { return !w.isLive(h.slot.c) })
		if len(live) > 0 {
			from = live
		}
	}
	return from[len(from)-1-rapid.IntRange(0, len(from)-1).Draw(t, "back")]
}

func (w *world) resend(t *rapid.T) {
	h := w.drawHandle(t)
	r := otp.Resend{ID: h.id, Client: pick(t, "client", clients...)}
	r.Channel = pick(t, "route", slices.Concat([]otp.Route{{}}, h.slot.c.routes, h.slot.c.routes, []otp.Route{{Channel: "pigeon"}})...).Channel
	if at := h.slot.c.sentAt.Add(w.rules.interval); at.After(w.now) && !rarely(t, "too early", 8) {
		w.now = at
	}
	if end := h.slot.c.expires; end.Sub(w.now) < time.Second && end.After(w.now) {
		w.now = end // the deadlines of a queue are in real time, so this message might make it or not
	}
	w.rendered = ""
	ch, err := w.of(h.tenant).Resend(t.Context(), r)

	c, _, gone := w.find(h, h.tenant)
	if gone != nil {
		w.wantError(t, err, gone)
		return
	}
	if !w.isLive(c) {
		w.wantError(t, err, w.why(c))
		return
	}
	route := 0
	if r.Channel != "" {
		route = slices.IndexFunc(c.routes, func(x otp.Route) bool { return x.Channel == r.Channel })
	}
	if route < 0 {
		w.wantError(t, err, otp.ErrInvalidRequest)
		return
	}
	if c.sends >= c.maxSends {
		if limited, ok := errors.AsType[*otp.RateLimitError](err); !ok || limited.Scope != "sends" {
			w.fail(t, "%d of %d sends are used: %v", c.sends, c.maxSends, err)
		}
		return
	}
	if wait := c.sentAt.Add(w.rules.interval).Sub(w.now); c.conceal && wait > 0 {
		// A limit of the challenge, whatever its recipient is.
		if limited, ok := errors.AsType[*otp.RateLimitError](err); !ok || limited.RetryAfter != wait {
			w.fail(t, "resent %v too early: %v", wait, err)
		}
		return
	}
	sends := w.sends(c.spec.tenant, c.metered(), c.routes[route], r.Client, c.conceal)
	if w.lenient && errors.Is(err, otp.ErrRateLimited) {
		return
	}
	if loud := w.refused(sends, false); loud != nil && !w.lenient {
		w.wantLimit(t, err, loud)
		return
	}
	silent := w.refused(sends, true) != nil
	failed := !c.conceal && !c.mute && w.answer != nil && slices.Contains(direct, c.routes[route].Channel)
	if failed {
		w.wantError(t, err, otp.ErrDelivery)
	} else {
		must(t, err)
	}
	if len(w.rendered) != c.format.Length {
		w.fail(t, "resent a code of %d symbols for a challenge of %d", len(w.rendered), c.format.Length)
	}
	digests := w.digests(t, c.record)
	most, least := w.liveAfter(c, silent)
	if (digests < least || digests > most) && !w.lenient {
		w.fail(t, "%d codes after a resend, not %d to %d", digests, least, most)
	}
	more := digests > c.digests
	if w.lenient && more {
		silent = false
	}
	w.note("resend")
	w.noteIf(silent, "resend refused in silence")
	w.noteIf(!silent && !more, "resend in the place of an older code")
	if c.conceal && c.digests == 0 && digests == 0 {
		silent = true
	}
	w.charge(sends, !silent)
	if more || silent && c.digests > 0 && c.digests < c.liveCodes {
		w.reserve(c, !more)
	}
	c.sends++
	c.sentAt = w.now
	made := code{w.rendered, route, c.key}
	c.sent = append(c.sent, made)
	if !silent && !c.mute {
		c.live = append(c.live, made)
		c.live = c.live[len(c.live)-digests:]
	}
	c.digests = digests
	if failed {
		w.refundIfRefused(&delivery{sends: sends})
		return
	}
	w.queue(sends, c, !silent && !c.mute, c.routes[route].Channel)
	w.wantChallenge(t, ch, c)
}

// liveAfter bounds how many codes a challenge has after a resend. One beside the older
// has to fit into the ledger; if it does not, it takes the older's place. (S-12)
func (w *world) liveAfter(c *challenge, silent bool) (most, least int) {
	if silent || c.digests >= c.liveCodes {
		return c.digests, c.digests
	}
	cost := mass(c.format, c.maxAttempts)
	half := cost
	formats := w.rules.formatsOf(c.routes[0].Channel)
	if c.code != "" || c.format == formats[len(formats)-1] {
		half = 0
	}
	may, must := w.admits(w.ledgers(&c.spec), cost, half)
	most, least = c.digests, c.digests
	if may {
		most++
	}
	if must {
		least++
	}
	return most, least
}
