package authenticator_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"otp.example/otp"
	"otp.example/otp/hotp"
)

// The model is what the verifiers should do, said once more and as plainly as can be: lists that are
// searched, sums that are added up anew. Codes it takes from package hotp, which has its vectors.

const (
	streakLimit = 100_000
	lateInRow   = 16
	pendingFor  = 10 * time.Minute
)

// A credential is one that the model knows of.
type credential struct {
	id      string
	factor  otp.Factor
	secret  []byte
	o       hotp.Options
	period  int64 // seconds, of an app
	next    uint64
	drift   int64
	slow    int64
	late    int
	created time.Time
	pending time.Time
	left    []string // codes on paper, without hyphens
	shown   uint64   // of a token: the first code that it has not shown
}

func (c *credential) mass() int64 {
	if c.factor == otp.FactorRecovery {
		return 1000
	}
	codes := int64(1)
	for range c.o.Digits {
		codes *= 10
	}
	return max(1000, (c.window()*1e9+codes-1)/codes)
}

// window is how many codes are looked at: of an app that goes slow one more, but no more than three.
func (c *credential) window() int64 {
	if c.factor != otp.FactorTOTP {
		return int64(c.o.Window)
	}
	return min(3, int64(c.o.Window)+c.slow)
}

// most is what a guess may cost some day.
func (c *credential) most() int64 {
	slow := *c
	slow.slow = 1
	return slow.mass()
}

// code is the one of a counter.
func (c *credential) code(counter uint64) string {
	code, err := hotp.Code(c.secret, counter, c.o)
	if err != nil {
		panic(err)
	}
	return code
}

func (c *credential) step(now time.Time) uint64 { return uint64(now.Unix() / c.period) }

// counts names what the codes of a secret are counted by: the same period, or a button.
func (c *credential) counts() string { return fmt.Sprintf("%x %d", c.secret, c.period) }

// match returns the last counter that is looked at and has the code.
func (c *credential) match(code string, now time.Time) (counter uint64, ok bool) {
	from := c.next
	if c.factor == otp.FactorTOTP {
		from = uint64(int64(c.step(now)) + c.drift - c.window() + 1)
	}
	for i := range uint64(c.window()) {
		if c.code(from+i) == code {
			counter, ok = from+i, true
		}
	}
	return counter, ok
}

// pair returns the last counter that is looked for in a resynchronization, and has the second code.
func (c *credential) pair(first, second string, now time.Time) (counter uint64, ok bool) {
	from := c.next
	if c.factor == otp.FactorTOTP {
		from = c.step(now) - 50
	}
	before := c.code(from)
	for i := uint64(1); i <= 100; i++ {
		code := c.code(from + i)
		if before == first && code == second {
			counter, ok = from+i, true
		}
		before = code
	}
	return counter, ok
}

// learn follows the clock of an app.
func (c *credential) learn(counter uint64, now time.Time) {
	if c.factor != otp.FactorTOTP {
		return
	}
	behind := int64(c.step(now)) + c.drift - int64(counter)
	late := behind > 0 && behind == int64(c.o.Window)-1 && c.o.Window < 3 && c.slow == 0
	if behind == 0 {
		c.slow = 0
	}
	if !late {
		c.late = 0
		return
	}
	if c.late++; c.late == lateInRow {
		c.slow, c.late = 1, 0
	}
}

// A book is all that a subject has of a factor.
type book struct {
	tenant, subject string
	factor          otp.Factor
	credentials     []*credential
	charges         []charge // of the windows
	streak          int64
}

type charge struct {
	at   time.Time
	cost int64
}

func (b *book) find(id string) *credential {
	for _, c := range b.credentials {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (b *book) active() (active []*credential) {
	for _, c := range b.credentials {
		if c.pending.IsZero() {
			active = append(active, c)
		}
	}
	return active
}

func (b *book) disabled(c *credential) bool { return b.streak+c.mass() > streakLimit }

// copy is for what may come to nothing.
func (b *book) copy() *book {
	return &book{factor: b.factor, streak: b.streak, credentials: slices.Clone(b.credentials)}
}

// purge forgets what was not confirmed in time, or at all.
func (b *book) purge(now time.Time, all bool) {
	b.credentials = slices.DeleteFunc(b.credentials, func(c *credential) bool {
		return !c.pending.IsZero() && (all || !now.Before(c.pending))
	})
}

// supersede lets one be the only one that has its secret, with all used that was used of the others.
func (b *book) supersede(c *credential) {
	b.credentials = slices.DeleteFunc(b.credentials, func(o *credential) bool {
		same := o != c && string(o.secret) == string(c.secret)
		if same && o.counts() == c.counts() {
			c.next = max(c.next, o.next)
		}
		return same
	})
}

// fits reports whether there is room for one more.
func (b *book) fits(c *credential, limits []otp.Limit) bool {
	cost := c.most()
	for _, o := range b.credentials {
		if b.disabled(o) {
			continue
		}
		if string(o.secret) == string(c.secret) {
			return false
		}
		cost += o.most()
	}
	for _, l := range limits {
		if cost > l.N {
			return false
		}
	}
	return len(b.credentials) < 8 && cost <= streakLimit
}

// An outcome is what became of an answer.
type outcome string

const (
	yes      outcome = "yes"
	mismatch outcome = "mismatch"
	notFound outcome = "not found"
	used     outcome = "used"
	limited  outcome = "limited"
	exceeded outcome = "exceeded"
	expired  outcome = "expired"
	proof    outcome = "proof required"
	invalid  outcome = "invalid"
	fault    outcome = "fault"
)

// canonical is what is left of what was typed, or false if that can be no code.
func canonical(f otp.Factor, typed string) (string, bool) {
	code := strings.NewReplacer(" ", "", "-", "").Replace(typed)
	if f != otp.FactorRecovery {
		return code, len(typed) <= 16 && len(code) >= 6 && len(code) <= 8 && strings.Trim(code, "0123456789") == ""
	}
	for _, r := range code {
		if r > '~' {
			return "", false
		}
	}
	code = strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	if len(typed) > 64 || len(code) != 24 {
		return "", false
	}
	// The sum of all symbols, the check symbol included, each times a power of 2, is zero.
	sum := 0
	for _, r := range code {
		v := strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r)
		if v < 0 {
			return "", false
		}
		if sum <<= 1; sum >= 32 {
			sum ^= 0b100101
		}
		sum ^= v
	}
	return code, sum == 0
}

// try charges a guess at what fits, and says why not if it does not.
func (b *book) try(id string, fits func(*credential) bool, limits []otp.Limit, now time.Time) (tried []*credential, cost int64, no outcome) {
	no = notFound
	for _, c := range b.active() {
		if id != "" && id != c.id {
			continue
		}
		no = mismatch
		if fits(c) {
			tried = append(tried, c)
			cost += c.mass()
		}
	}
	if len(tried) == 0 {
		return nil, 0, no
	}
	no = ""
	for _, l := range limits {
		sum := cost
		for _, c := range b.charges {
			if c.at.After(now.Add(-l.Per)) {
				sum += c.cost
			}
		}
		if sum > l.N {
			no = limited
		}
	}
	if b.streak+cost > streakLimit {
		no = exceeded
	}
	if no != "" {
		return nil, 0, no
	}
	b.charges = append(b.charges, charge{now, cost})
	b.streak += cost
	return tried, cost, ""
}

// right gives the last guess back.
func (b *book) right() {
	b.charges = b.charges[:len(b.charges)-1]
	b.streak = 0
}

// again gives back what the last guess cost at those whose code was used before.
func (b *book) again(replayed []*credential) {
	last := &b.charges[len(b.charges)-1]
	for _, c := range replayed {
		last.cost -= c.mass()
		b.streak -= c.mass()
	}
	if last.cost == 0 {
		b.charges = b.charges[:len(b.charges)-1]
	}
}

// alone reports whether no other credential is active.
func (b *book) alone(c *credential) bool {
	for _, o := range b.active() {
		if o != c {
			return false
		}
	}
	return true
}

// beginAnew forgets the guesses, all of which were at credentials that are gone.
func (b *book) beginAnew() { b.charges, b.streak = nil, 0 }

// verify is what Verify should answer.
func (b *book) verify(id, typed string, limits []otp.Limit, now time.Time) outcome {
	code, ok := canonical(b.factor, typed)
	if !ok {
		return mismatch
	}
	tried, _, no := b.try(id, func(c *credential) bool {
		return b.factor == otp.FactorRecovery && len(c.left) > 0 || b.factor != otp.FactorRecovery && len(code) == c.o.Digits
	}, limits, now)
	if no != "" {
		return no
	}
	answer := mismatch
	var replayed []*credential
	for _, c := range tried {
		if b.factor == otp.FactorRecovery {
			if i := slices.Index(c.left, code); i >= 0 {
				c.left = slices.Delete(slices.Clone(c.left), i, i+1)
				answer = yes
			}
			continue
		}
		counter, hit := c.match(code, now)
		switch {
		case hit && counter >= c.next:
			c.learn(counter, now)
			c.next, answer = counter+1, yes
		case hit:
			replayed = append(replayed, c)
		}
	}
	switch {
	case answer == yes:
		b.right()
	case len(replayed) > 0:
		b.again(replayed)
		answer = used
	}
	return answer
}

// resync is what Resync should answer.
func (b *book) resync(id, first, second string, limits []otp.Limit, now time.Time) outcome {
	tried, _, no := b.try(id, func(c *credential) bool { return len(first) == c.o.Digits && len(second) == c.o.Digits }, limits, now)
	if no != "" {
		return no
	}
	c := tried[0]
	counter, hit := c.pair(first, second, now)
	switch {
	case !hit:
		return mismatch
	case counter < c.next:
		b.again(tried)
		return used
	}
	c.next = counter + 1
	if b.factor == otp.FactorTOTP {
		c.drift, c.slow, c.late = int64(counter)-int64(c.step(now)), 0, 0
	}
	b.right()
	return yes
}

// confirm is what Confirm should answer.
func (b *book) confirm(id, code string, now time.Time) outcome {
	c := b.find(id)
	if c != nil && !c.pending.IsZero() && !now.Before(c.pending) {
		c = nil
	}
	switch {
	case c == nil:
		return expired
	case c.pending.IsZero():
		return used
	case len(code) != c.o.Digits:
		return mismatch
	}
	was := c.next
	for _, o := range b.credentials {
		if o.counts() == c.counts() {
			c.next = max(c.next, o.next)
		}
	}
	counter, hit := c.match(code, now)
	if !hit || counter < c.next {
		c.next = was
		return mismatch
	}
	b.purge(now, false)
	b.supersede(c)
	c.learn(counter, now)
	c.next, c.pending = counter+1, time.Time{}
	b.credentials = slices.DeleteFunc(b.credentials, func(o *credential) bool { return o != c && o.pending.IsZero() && b.disabled(o) })
	b.streak = 0
	if b.alone(c) {
		b.beginAnew()
	}
	return yes
}
