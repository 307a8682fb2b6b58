package machine_test

import (
	"errors"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"otp.example/otp"
)

func (w *world) verify(t *rapid.T) {
	h := w.drawHandle(t)
	c := h.slot.c
	a := otp.Answer{ID: h.id, Usage: c.usage, Binding: c.binding}
	tenant, forged := h.tenant, false
	w.late(t, c)
	newest := c.sent[len(c.sent)-1].text
	switch kind := pick(t, "answer", "right", "right", "right", "older", "older", "first", "first", "other", "usage", "binding", "subject", "tenant", "forged", "format"); kind {
	case "right":
		a.Code = typed(t, newest)
		a.Subject = pick(t, "subject", "", c.subject)
	case "older":
		a.Code = c.sent[max(0, len(c.sent)-2)].text
	case "first":
		a.Code = c.sent[0].text
	case "other":
		others := w.challenges[rapid.IntRange(0, len(w.challenges)-1).Draw(t, "other")].sent
		a.Code = others[len(others)-1].text
	case "usage":
		a.Code, a.Usage = newest, pick(t, "usage", otp.Usage("login"), otp.Payment, otp.Usage("Not a label"))
	case "binding":
		a.Code, a.Binding = newest, pick(t, "binding", "", "10 EUR to Eve", strings.Repeat("x", 1025))
	case "subject":
		a.Code, a.Subject = newest, pick(t, "subject", "ann", "bob")
	case "tenant":
		a.Code, tenant = newest, pick(t, "tenant", "", "b", "c")
	case "forged":
		a.Code, a.ID, forged = newest, forge(t, h.id), true
	case "format":
		a.Code = pick(t, "malformed", "", newest+"0", newest[1:], "１２３４５６", "12345U")
	}
	if forged {
		w.store.calls = 0
		p, err := w.of(tenant).Verify(t.Context(), a)
		if w.judged(t, p, err, otp.ErrNotFound); w.store.calls != 0 && !strings.HasPrefix(a.ID, "ref:") {
			w.fail(t, "a forged ID cost a store call") // I1
		}
		return
	}
	w.try(t, h, tenant, a)
}

// late lets time pass now and then until c ends, or just before.
func (w *world) late(t *rapid.T, c *challenge) {
	if left := c.expires.Sub(w.now); left > 0 && rarely(t, "at the end", 8) {
		w.now = w.now.Add(left - pick(t, "before", 0, time.Microsecond))
	}
}

// guess is a person who does not know the code.
func (w *world) guess(t *rapid.T) {
	h := w.drawHandle(t)
	w.late(t, h.slot.c)
	for range pick(t, "times", 1, 2, 3, 5, 10) {
		c := h.slot.c
		wrong := strings.Repeat("3", h.format.Length)
		for slices.ContainsFunc(c.sent, func(s code) bool { return s.text == wrong }) {
			wrong = "4" + wrong[1:]
		}
		w.try(t, h, h.tenant, otp.Answer{ID: h.id, Code: wrong, Usage: c.usage, Binding: c.binding})
	}
}

// try verifies and compares the outcome with the model.
func (w *world) try(t *rapid.T, h *handle, tenant string, a otp.Answer) {
	w.store.calls = 0
	p, err := w.of(tenant).Verify(t.Context(), a)
	w.answered(h.slot.c, err)
	c, free, gone := w.find(h, tenant)
	if gone != nil {
		w.judged(t, p, err, gone)
		if free && w.store.calls != 0 {
			w.fail(t, "an ID that is known to be dead cost %d store calls", w.store.calls)
		}
		return
	}
	format := h.format
	if h.reference {
		format = c.format
		if !w.isLive(c) {
			w.judged(t, p, err, w.why(c))
			return
		}
	}
	code, ok := canonical(format, a.Code)
	if !ok || strings.Contains(string(a.Usage), " ") || len(a.Binding) > 1024 || a.Subject != "" && a.Subject != c.subject {
		w.judged(t, p, err, otp.ErrMismatch)
		if _, counted := errors.AsType[*otp.MismatchError](err); counted || w.store.calls > 1 || w.store.calls > 0 && !h.reference {
			w.fail(t, "what cannot be a code was counted")
		}
		return
	}
	if !w.isLive(c) {
		w.judged(t, p, err, w.why(c))
		return
	}
	c.attempts++
	right := -1
	if a.Usage == c.usage && a.Binding == c.binding {
		for _, l := range c.live {
			if l.text == code && l.key == c.keyOf(h) {
				right = max(right, l.route) // two routes may have been sent the same by chance
			}
		}
	}
	if right < 0 {
		w.judged(t, p, err, otp.ErrMismatch)
		if m, ok := errors.AsType[*otp.MismatchError](err); !ok || m.AttemptsLeft != c.maxAttempts-c.attempts {
			w.fail(t, "a wrong code left %+v attempts, not %d", m, c.maxAttempts-c.attempts)
		}
		return
	}
	must(t, err)
	w.note("verify: right")
	w.noteIf(c.live[len(c.live)-1].text != code, "verify: right, an older code")
	w.noteIf(right > 0, "verify: right, by another route")
	c.state = otp.StatusVerified
	w.settle(c, right)
	w.wantProof(t, p, c, right)
	w.proofs = append(w.proofs, &proved{p: p, c: c, route: right, at: w.now})
}

var reasons = map[error]string{
	otp.ErrNotFound: "not found", otp.ErrExpired: "expired", otp.ErrMismatch: "mismatch", otp.ErrCanceled: "canceled",
	otp.ErrAlreadyVerified: "already verified", otp.ErrAttemptsExceeded: "attempts exceeded",
}

// judged wants a rejection and no proof.
func (w *world) judged(t *rapid.T, p otp.Proof, err, want error) {
	t.Helper()
	if p.Valid() != (err == nil) {
		w.fail(t, "a proof without a yes")
	}
	w.wantError(t, err, want)
	w.note("verify: " + reasons[want])
	if !errors.Is(err, otp.ErrRejected) || err.Error() != "otp: rejected" {
		w.fail(t, "rejections must look alike: %v", err)
	}
}

func (w *world) wantProof(t *rapid.T, p otp.Proof, c *challenge, route int) {
	t.Helper()
	to := c.routes[route]
	if !p.Valid() || p.Subject() != c.subject || p.Recipient() != to.To || p.Channel() != to.Channel || p.Usage() != c.usage ||
		p.Binding() != c.binding || string(p.Extra()) != c.extra || p.Tenant() != c.spec.tenant || p.Factor() != otp.FactorDelivered {
		w.fail(t, "the proof is not of what was asked")
	}
}

func (w *world) cancel(t *rapid.T) {
	h := w.drawHandle(t)
	err := w.of(h.tenant).Cancel(t.Context(), h.id)
	c, _, gone := w.find(h, h.tenant)
	switch {
	case gone != nil && h.reference && !errors.Is(err, otp.ErrNotFound):
		// A reference needs no key to be canceled.
		if c = h.slot.c; c.pruned {
			w.fail(t, "canceled what is not there")
		}
		fallthrough
	case gone == nil:
		switch {
		case w.isLive(c):
			must(t, err)
			c.state = otp.StatusCanceled
		case c.state == otp.StatusCanceled:
			must(t, err)
		default:
			w.wantError(t, err, w.why(c))
		}
	default:
		w.wantError(t, err, gone)
	}
}

func (w *world) status(t *rapid.T) {
	h := w.drawHandle(t)
	ch, err := w.of(h.tenant).Status(t.Context(), h.id)
	c, _, gone := w.find(h, h.tenant)
	if gone != nil {
		w.wantError(t, err, gone)
		return
	}
	must(t, err)
	w.wantChallenge(t, ch, c)
}

// redeem makes two tokens of a proof and redeems one of all there are, twice. (S-72)
func (w *world) redeem(t *rapid.T) {
	if len(w.proofs) == 0 {
		w.skip(t, "nothing is proved")
	}
	pr := w.proofs[rapid.IntRange(0, len(w.proofs)-1).Draw(t, "proof")]
	ttl := pick(t, "ttl", time.Minute, time.Hour)
	s, err := w.of(pr.c.spec.tenant).Token(pr.p, ttl)
	if w.now.Add(ttl).After(pr.at.Add(time.Hour)) {
		w.wantError(t, err, otp.ErrInvalidRequest)
	} else {
		must(t, err)
		w.tokens = append(w.tokens, &token{text: s.Reveal(), of: pr, expires: w.now.Add(ttl), key: w.primary()})
	}
	if len(w.tokens) == 0 {
		return
	}
	tok := w.tokens[rapid.IntRange(0, len(w.tokens)-1).Draw(t, "token")]
	c := tok.of.c
	_, err = w.of(c.spec.tenant).Redeem(t.Context(), tok.text, "other")
	w.wantError(t, err, otp.ErrNotFound)
	_, err = w.of(c.spec.tenant+"x").Redeem(t.Context(), tok.text, c.usage)
	w.wantError(t, err, otp.ErrNotFound)
	for range 2 {
		p, err := w.of(c.spec.tenant).Redeem(t.Context(), tok.text, c.usage)
		switch {
		case !slices.Contains(w.keys, tok.key):
			w.wantError(t, err, otp.ErrNotFound)
		case !w.now.Before(tok.expires):
			w.wantError(t, err, otp.ErrExpired)
		case tok.of.redeemed > 0:
			w.wantError(t, err, otp.ErrAlreadyVerified)
		default:
			must(t, err)
			w.note("redeem")
			tok.of.redeemed++
			w.wantProof(t, p, c, tok.of.route)
			if !p.Time().Equal(tok.of.at) {
				w.fail(t, "a redeemed proof has another time")
			}
		}
	}
}

// advance moves the clock: a little, far, or to where something ends.
func (w *world) advance(t *rapid.T) {
	d := time.Duration(0)
	switch pick(t, "advance", "a little", "a little", "far", "to an edge") {
	case "a little":
		d = pick(t, "by", time.Microsecond, time.Second, 30*time.Second, time.Minute)
	case "far":
		d = pick(t, "by", 5*time.Minute, time.Hour, 6*time.Hour, day-time.Minute, day, 8*day, 31*day)
	case "to an edge":
		if len(w.challenges) == 0 {
			w.skip(t, "there is no challenge")
		}
		c := w.challenges[len(w.challenges)-1-rapid.IntRange(0, len(w.challenges)-1).Draw(t, "of")]
		edge := pick(t, "edge", c.expires, c.created.Add(w.rules.interval), c.created.Add(10*time.Minute), c.created.Add(time.Hour), c.created.Add(day), c.created.Add(30*day))
		d = edge.Sub(w.now) + pick(t, "off by", -time.Microsecond, 0, time.Microsecond)
	}
	w.now = w.now.Add(max(d, time.Microsecond))
}

func (w *world) prune(t *rapid.T) {
	_, err := w.svc.Prune(t.Context(), w.now)
	must(t, err)
	for _, c := range w.challenges {
		c.pruned = c.pruned || !w.now.Before(c.expires)
	}
}

func (w *world) rotate(t *rapid.T) {
	must(t, w.keyring.Rotate(w.newKey()))
}

func (w *world) retire(t *rapid.T) {
	if len(w.keys) == 1 {
		w.skip(t, "there is one key")
	}
	must(t, w.keyring.Retire(w.keys[0]))
	w.keys = w.keys[1:]
}

// restart ends the process, killed or told to stop, and starts another.
func (w *world) restart(t *rapid.T) {
	if rapid.Bool().Draw(t, "killed") {
		w.waiting = nil
	}
	if len(w.waiting) > 0 {
		w.drain()
		for _, d := range w.waiting {
			w.refundIfRefused(d)
		}
		w.waiting = nil
	}
	if r, ok := w.store.backend.(interface{ restart() }); ok {
		r.restart()
	}
	w.start(t)
}

func (w *world) provider(t *rapid.T) {
	w.answer = pick(t, "provider", nil, nil, otp.ErrNotAccepted, otp.ErrUndeliverable, errProvider)
}

// malformed requests are refused before anything is charged or stored.
func (w *world) malformed(t *rapid.T) {
	_, r := drawRequest(t, false)
	switch pick(t, "fault", "channel", "usage", "to", "fallback", "conceal", "names", "code", "policy") {
	case "channel":
		r.Channel = "pigeon"
	case "usage":
		r.Usage = "Log In"
	case "to":
		r.To = "+49 30"
	case "fallback":
		r.Fallback = []otp.Route{{Channel: r.Channel, To: r.To}}
	case "conceal":
		r.Channel, r.To, r.Conceal = otp.SMS, "+4930123456", true
	case "names":
		r.Reference, r.IdempotencyKey = "order", "form"
	case "code":
		r.Code, r.To, r.Fallback = otp.NewSecret("12345"), addresses[r.Channel][0][0], nil
	case "policy":
		r.Policy = &otp.Policy{MaxAttempts: 1, TTL: time.Hour}
	}
	w.store.calls = 0
	_, err := w.svc.Request(t.Context(), r)
	w.wantError(t, err, otp.ErrInvalidRequest)
	if w.store.calls != 0 {
		w.fail(t, "a malformed request cost a store call")
	}
}

// wantChallenge compares what the client sees. Its end is the one of the first issue. (S-32)
func (w *world) wantChallenge(t *rapid.T, ch otp.Challenge, c *challenge) {
	t.Helper()
	status := w.statusOf(c)
	if ch.Status != status || ch.AttemptsLeft != c.maxAttempts-c.attempts || ch.SendsLeft != c.maxSends-c.sends ||
		!ch.CreatedAt.Equal(c.created) || !ch.ExpiresAt.Equal(c.expires) || ch.Usage != c.usage || ch.CodeFormat.Length != c.format.Length {
		w.fail(t, "the challenge is %v with %d attempts and %d sends left until %v; want %v %d %d %v", ch.Status, ch.AttemptsLeft, ch.SendsLeft,
			ch.ExpiresAt, status, c.maxAttempts-c.attempts, c.maxSends-c.sends, c.expires)
	}
	var resend time.Time
	if status == otp.StatusPending && c.sends < c.maxSends {
		resend = c.sentAt.Add(w.rules.interval)
	}
	if !ch.ResendAt.Equal(resend) {
		w.fail(t, "resend at %v, not %v", ch.ResendAt, resend)
	}
}

// wantLimit wants the refusal of a send limit, and when it ends. Where answers must not
// tell, only the client's own limit may refuse. (I7)
func (w *world) wantLimit(t *rapid.T, err error, s *send) {
	t.Helper()
	limited, ok := errors.AsType[*otp.RateLimitError](err)
	if ok && limited.Scope == "tenant" && w.rules.tightTenant {
		return // the tenant's ceiling is looked at first
	}
	if !ok || limited.Scope != s.scope {
		w.fail(t, "the limit of the %s is reached: %v", s.scope, err)
	}
	w.note("limited by " + s.scope)
	if want := s.m.retry(w.now); limited.RetryAfter != want {
		w.fail(t, "retry after %v, not %v", limited.RetryAfter, want)
	}
}

func (w *world) wantError(t *rapid.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		w.fail(t, "want %#v, got %v", want, err)
	}
}

// typed is a code as somebody may type it.
func typed(t *rapid.T, text string) string {
	switch pick(t, "typed", "plain", "plain", "grouped", "lower") {
	case "grouped":
		return " " + text[:3] + "-" + text[3:]
	case "lower":
		return strings.ToLower(strings.ReplaceAll(text, "-", ""))
	}
	return text
}

// canonical is the code that was typed, if it can be one of the format.
func canonical(f otp.Format, text string) (string, bool) {
	text = strings.NewReplacer(" ", "", "-", "").Replace(text)
	symbols := "0123456789"
	if f.Alphabet == otp.Crockford {
		text = strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(text))
		symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	}
	return text, len(text) == f.Length && strings.Trim(text, symbols) == ""
}

// forge changes one character of an ID, or makes one up.
func forge(t *rapid.T, id string) string {
	if rarely(t, "made up", 4) {
		return pick(t, "id", "", "k1.", "k1.AAAA", "ref:", "ref:AAAA", "nonsense", strings.Repeat("A", 5000))
	}
	b := []byte(id)
	i := rapid.IntRange(0, len(b)-1).Draw(t, "at")
	if b[i] == 'A' {
		b[i] = 'B'
	} else {
		b[i] = 'A'
	}
	return string(b)
}
