package machine_test

import (
	"cmp"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"otp.example/otp"
)

// A model says what the service may answer. It keeps what was answered so far as plain
// lists and looks through all of them each time.
//
// Where the service may choose, the model bounds it: a charge that the service need not
// have made is unsure. Without the unsure ones nothing may be admitted that does not fit;
// with them nothing may be refused that fits.
type model struct {
	now        time.Time
	rules      rules
	keys       []string // of the keyring that are not retired; the last is primary
	slots      map[string]*slot
	handles    []*handle
	challenges []*challenge
	meters     map[string]*meter
	proofs     []*proved
	tokens     []*token
	waiting    []*delivery // in the queues
}

type rules struct {
	formats               []otp.Format
	ttl, interval         time.Duration
	attempts, sends, live int
	limits                otp.Limits
	guesses               []otp.Limit
	tenant                otp.Limit
	tightTenant           bool // small enough to be met
}

const day = 24 * time.Hour

var allFormats = []otp.Format{{Length: 6}, {Length: 8}, {Length: 10, Alphabet: otp.Crockford}, {Length: 16, Alphabet: otp.Crockford}}

func newModel(t *rapid.T) *model {
	wide := []otp.Limit{{N: 1000, Per: time.Second}}
	r := rules{
		formats:  pick(t, "formats", nil, allFormats, allFormats[:2], allFormats[:1]),
		ttl:      pick(t, "ttl", 0, 30*time.Second, 5*time.Minute, 10*time.Minute),
		interval: pick(t, "interval", 30*time.Second, time.Minute),
		attempts: pick(t, "attempts", 5, 1, 3, 10),
		sends:    pick(t, "sends", 3, 1, 10),
		live:     pick(t, "live", 2, 1, 3),
		limits: pick(t, "limits", otp.Limits{}, otp.Limits{Recipient: wide, Subject: wide, Client: wide, Prefix: wide}, otp.Limits{
			Recipient: []otp.Limit{{N: 2, Per: 5 * time.Minute}, {N: 4, Per: day}}, Subject: []otp.Limit{{N: 3, Per: time.Hour}},
			Client: []otp.Limit{{N: 3, Per: 10 * time.Minute}}, Prefix: []otp.Limit{{N: 4, Per: time.Hour}},
		}),
		guesses: pick(t, "guesses", otp.DefaultGuessLimits(),
			[]otp.Limit{{N: 20_000, Per: day}, {N: 35_000, Per: 30 * day}, {N: 45_000}}, []otp.Limit{{N: 30_000}}),
		tightTenant: rarely(t, "tight tenant", 4),
		tenant:      otp.Limit{N: 1e7, Per: day},
	}
	if r.tightTenant {
		r.tenant.N = 200_000
	}
	return &model{now: begin, rules: r, slots: map[string]*slot{}, meters: map[string]*meter{}}
}

// Defaults of otp.Limits, as its comments say.
var defaults = otp.Limits{
	Recipient: []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: day}},
	Subject:   []otp.Limit{{N: 5, Per: 10 * time.Minute}, {N: 10, Per: time.Hour}, {N: 20, Per: day}},
	Client:    []otp.Limit{{N: 10, Per: time.Hour}, {N: 30, Per: day}},
	Prefix:    []otp.Limit{{N: 20, Per: time.Hour}, {N: 60, Per: day}},
}

func (r *rules) formatsOf(c otp.Channel) []otp.Format {
	switch {
	case r.formats != nil:
		return r.formats
	case c == otp.Email:
		return allFormats[1:]
	}
	return allFormats
}

func (r *rules) ttlOf(c otp.Channel) time.Duration {
	if c == otp.Email {
		return cmp.Or(r.ttl, 10*time.Minute)
	}
	return cmp.Or(r.ttl, 5*time.Minute)
}

// lag is the longest life of a challenge. A challenge counts in the ledger as of its
// creation; guesses at it may come until it ends.
const lag = 10 * time.Minute

// A meter is all that was ever charged to one key.
type meter struct {
	limits  []otp.Limit
	charges []*charge
	// Where the streak begins for limits without a window: at least, and at most, all
	// that was charged from there on counts.
	sureFrom, unsureFrom int
	// What may be given back of a streak that has ended since it was charged: by challenges
	// that another recipient answers, and by those that were refused in silence.
	forgiven int64
	guesses  []*guess // compared with a code of a challenge that is charged here
}

type charge struct {
	at           time.Time
	cost         int64
	gone, unsure bool
}

func (m *model) meter(key string, limits []otp.Limit) *meter {
	if m.meters[key] == nil {
		m.meters[key] = &meter{limits: limits}
	}
	return m.meters[key]
}

// fits reports whether cost fits into n less than each limit, if what is unsure counts
// or if it does not. What is unsure may also leave its window later.
func (m *meter) fits(now time.Time, cost, less int64, unsure bool) bool {
	for _, l := range m.limits {
		used := cost
		for i, c := range m.charges {
			switch from := now.Add(-l.Per); {
			case l.Per == 0 && !c.gone && (i >= m.sureFrom && !c.unsure || unsure && i >= m.unsureFrom):
				used += c.cost
			case l.Per == 0 || c.gone || c.unsure && !unsure:
			case c.at.After(from), unsure && c.at.After(from.Add(-lag-l.Per/64)):
				used += c.cost
			}
		}
		if l.Per == 0 && !unsure {
			used -= m.forgiven
		}
		if used > l.N-less {
			return false
		}
	}
	return true
}

// retry is how long to wait until one more fits: until something has left its window.
func (m *meter) retry(now time.Time) time.Duration {
	var ends []time.Time
	for _, l := range m.limits {
		for _, c := range m.charges {
			ends = append(ends, c.at.Add(l.Per))
		}
	}
	slices.SortFunc(ends, time.Time.Compare)
	for _, end := range ends {
		if end.After(now) && m.fits(end, 1, 0, false) {
			return end.Sub(now)
		}
	}
	return 0
}

// A send is whom one message is charged to.
type send struct {
	scope  string
	m      *meter
	silent bool
	c      *charge
}

func (m *model) sends(tenant, subject string, route otp.Route, client netip.Addr, conceal bool) []send {
	l := m.rules.limits
	if l.Recipient == nil {
		l = defaults
	}
	to := mailbox(route)
	out := []send{}
	add := func(scope, name, who string, limits []otp.Limit, silent bool) {
		if who != "" {
			out = append(out, send{scope: scope, m: m.meter(strings.Join([]string{name, tenant, who}, "|"), limits), silent: silent})
		}
	}
	from := ""
	if client.IsValid() {
		from = client.Unmap().String()
		if p, err := client.Unmap().Prefix(64); err == nil && client.Unmap().Is6() {
			from = p.String()
		}
	}
	add("client", "client", from, l.Client, false)
	add("recipient", "recipient", to, append([]otp.Limit{{N: 1, Per: m.rules.interval}}, l.Recipient...), conceal)
	add("subject", "subject", subject, l.Subject, conceal)
	if strings.HasPrefix(route.To, "+") {
		add("prefix", "prefix", route.To[:len(route.To)-4], l.Prefix, conceal)
	}
	if from != "" {
		longest := l.Recipient[len(l.Recipient)-1]
		add("client", "share", from+"|"+to, []otp.Limit{{N: max(1, longest.N/2), Per: longest.Per}}, conceal)
	}
	return out
}

// refused returns the first of the sends, silent or loud, that has no room.
func (m *model) refused(sends []send, silent bool) *send {
	for i := range sends {
		if s := &sends[i]; s.silent == silent && !s.m.fits(m.now, 1, 0, false) {
			return s
		}
	}
	return nil
}

// charge charges the sends, those that are silent only if the message goes out.
func (m *model) charge(sends []send, out bool) {
	for i := range sends {
		if s := &sends[i]; out || !s.silent {
			s.c = &charge{at: m.now, cost: 1}
			s.m.charges = append(s.m.charges, s.c)
		}
	}
}

// A delivery is a message in a queue.
type delivery struct {
	sends   []send
	conceal bool
}

// refund gives back what was charged for a message that was refused: concealed, not
// the client's part, which would tell, nor for a recipient who cannot be reached, since
// the client chose it. That part comes first.
func (d *delivery) refund(unreachable bool) {
	for i, s := range d.sends {
		kept := i == 0 && s.scope == "client" && (d.conceal || unreachable)
		if s.c != nil && !kept {
			s.c.gone = true
		}
	}
}

// mailbox is the person behind an address, as the limits see it.
func mailbox(r otp.Route) string {
	local, domain, found := strings.Cut(r.To, "@")
	if !found {
		return r.To
	}
	local, _, _ = strings.Cut(local, "+")
	return strings.ToLower(local + "@" + domain)
}

// codes is how many codes a format has.
func codes(f otp.Format) float64 {
	if f.Alphabet == otp.Crockford {
		return math.Pow(32, float64(f.Length))
	}
	return math.Pow(10, float64(f.Length))
}

// mass is the probability to hit one code with so many guesses, in parts of 1e9, rounded up.
// Codes of 64 bits and more need no limit.
func mass(f otp.Format, guesses int) int64 {
	if codes(f) >= math.Pow(2, 64) {
		return 0
	}
	return int64(math.Ceil(float64(guesses) * 1e9 / codes(f)))
}

// ledgers are the meters that all guesses at a challenge are charged to: those of its
// subject and of everybody that it may be sent to.
func (m *model) ledgers(s *spec) []*meter {
	var out []*meter
	add := func(who string) {
		l := m.meter("guesses|"+s.tenant+"|"+who, m.rules.guesses)
		if !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	if subject := s.metered(); subject != "" {
		add("subject " + subject)
	}
	for _, r := range s.routes {
		add("recipient " + mailbox(r))
	}
	return out
}

// admits reports whether one more code fits: whether it may, and whether it must.
func (m *model) admits(ledgers []*meter, cost, less int64) (may, must bool) {
	may, must = true, true
	for _, l := range ledgers {
		may = may && l.fits(m.now, cost, less, false)
		must = must && l.fits(m.now, cost, less, true)
	}
	return may || cost == 0, must || cost == 0
}

// reserve charges one more live code of c. The charge counts as of the creation of c.
func (m *model) reserve(c *challenge, unsure bool) {
	cost := mass(c.format, c.maxAttempts)
	if cost == 0 {
		return
	}
	for _, l := range m.ledgers(&c.spec) {
		r := &charge{at: c.created, cost: cost, unsure: unsure}
		l.charges = append(l.charges, r)
		c.reserved = append(c.reserved, r)
	}
}

// settle is what a success by a route does: it gives back what its own challenge
// reserved, and ends the streak of the subject and of the recipient that answered.
func (m *model) settle(c *challenge, route int) {
	ledgers := m.ledgers(&c.spec)
	answered := c.spec
	answered.routes = answered.routes[route : route+1]
	c.proved = m.ledgers(&answered)
	back := min(c.digests, c.liveCodes) * len(ledgers)
	for i, r := range c.reserved {
		r.gone = i < back
		r.unsure = true // what was reserved for no code need not come back, and counts for nothing
	}
	if c.tenant != nil {
		c.tenant.gone = true
	}
	for i, l := range ledgers {
		if !slices.Contains(c.proved, l) {
			for j := i; j < min(back, len(c.reserved)); j += len(ledgers) {
				if slices.Index(l.charges, c.reserved[j]) < l.sureFrom {
					l.forgiven += c.reserved[j].cost
				}
			}
			continue
		}
		l.forgiven = 0
		for _, r := range l.charges[l.sureFrom:] {
			if r.unsure && !slices.Contains(c.reserved, r) {
				l.forgiven += r.cost
			}
		}
		l.sureFrom = len(l.charges)
		if len(c.reserved) > 0 {
			l.unsureFrom = len(l.charges)
		}
	}
}

// levels lists which formats the service may take, given that no send limit refuses. If
// there is none left, guesses may be what refuses. (S-10)
func (m *model) levels(s *spec, attempts, live int) (may []int, full bool) {
	formats, own := m.rules.formatsOf(s.routes[0].Channel), s.code != ""
	ledgers := m.ledgers(s)
	for i, f := range formats {
		if own && f.Length != len(s.code) {
			continue
		}
		cost, last := mass(f, attempts), own || i == len(formats)-1
		half := cost
		if last {
			half = 0
		}
		can, must := m.admits(ledgers, cost, half)
		if last && s.conceal {
			can, must = true, true // refused in silence
		}
		// Which part of the tenant's limit a level may use depends on what is leased.
		room := m.meter("tenant|"+s.tenant, []otp.Limit{m.rules.tenant}).fits(m.now, cost*int64(live), 0, false) || cost == 0
		if can && room {
			may = append(may, i)
		}
		if must && !m.rules.tightTenant || cost == 0 {
			return may, false
		}
	}
	return may, true
}

// A slot is where a store keeps a challenge: the same one for each request with the same
// reference or idempotency key.
type slot struct{ c *challenge }

// A handle is an ID that was given out.
type handle struct {
	id, tenant string
	slot       *slot
	reference  bool
	expires    time.Time
	format     otp.Format
	key        string
	spec       *spec
}

type challenge struct {
	spec
	format                           otp.Format
	record, key                      string
	created, expires, sentAt         time.Time
	maxAttempts, maxSends, liveCodes int
	attempts, sends                  int
	state                            otp.Status // pending, verified or canceled
	mute                             bool       // a decoy
	digests                          int
	live, sent                       []code // those that verify it, and all; oldest first
	reserved                         []*charge
	tenant                           *charge
	proved                           []*meter // by its success
	verified                         int
	compared                         int
	pruned, late                     bool
}

// A code went to one of the routes of its challenge, and is hashed under a key.
type code struct {
	text  string
	route int
	key   string
}

// keyOf is the key that an answer is hashed under that comes with a handle. It is not
// the challenge's where a handle is older than a rotation and its idempotency key was
// used again after it.
func (c *challenge) keyOf(h *handle) string {
	if h.reference {
		return c.key
	}
	return h.key
}

// A guess is a code that was compared.
type guess struct {
	at   time.Time
	mass float64
	c    *challenge
}

func (m *model) isLive(c *challenge) bool {
	return c.state == otp.StatusPending && c.attempts < c.maxAttempts && m.now.Before(c.expires)
}

// statusOf is what Status shows.
func (m *model) statusOf(c *challenge) otp.Status {
	switch {
	case c.state != otp.StatusPending:
		return c.state
	case !m.now.Before(c.expires):
		return otp.StatusExpired
	case c.attempts >= c.maxAttempts:
		return otp.StatusMaxAttempts
	}
	return otp.StatusPending
}

// why is the rejection of a challenge that is not live.
func (m *model) why(c *challenge) error {
	return map[otp.Status]error{
		otp.StatusVerified: otp.ErrAlreadyVerified, otp.StatusCanceled: otp.ErrCanceled,
		otp.StatusExpired: otp.ErrExpired, otp.StatusMaxAttempts: otp.ErrAttemptsExceeded,
	}[m.statusOf(c)]
}

// find is what an ID leads to, or the rejection. free says that it needs no store.
func (m *model) find(h *handle, tenant string) (c *challenge, free bool, err error) {
	switch {
	case tenant != h.tenant:
		return nil, !h.reference, otp.ErrNotFound
	case !h.reference && !slices.Contains(m.keys, h.key):
		return nil, true, otp.ErrNotFound
	case !h.reference && !m.now.Before(h.expires):
		return nil, true, otp.ErrExpired
	}
	c = h.slot.c
	if c.pruned || !slices.Contains(m.keys, c.key) {
		return nil, false, otp.ErrNotFound
	}
	return c, false, nil
}

type proved struct {
	p        otp.Proof
	c        *challenge
	route    int
	at       time.Time
	redeemed int
}

type token struct {
	text    string
	of      *proved
	expires time.Time
	key     string
}
