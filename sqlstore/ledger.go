package sqlstore

import (
	"database/sql"
	"slices"
	"strings"
	"time"

	"otp.example/otp"
)

// A ledger is the charges of one call and the meters that they are made on. It
// decides in Go and is the same for every dialect: what differs is how meters are
// read, held and written.
type ledger struct {
	charges []otp.Charge
	meters  []meterRow // sorted by name, each once
	at      []int      // beside charges: the meter of each
}

// A meterRow is one meter as it was read and as it shall be.
type meterRow struct {
	name   string
	exists bool // the row, even if the meter in it is empty
	was    otp.Meter
	now    otp.Meter
	dirty  bool
}

func newLedger(c []otp.Charge) *ledger {
	l := &ledger{charges: c, meters: make([]meterRow, len(c)), at: make([]int, len(c))}
	for i := range c {
		l.meters[i].name = c[i].Key
	}
	slices.SortFunc(l.meters, func(a, b meterRow) int { return strings.Compare(a.name, b.name) })
	l.meters = slices.CompactFunc(l.meters, func(a, b meterRow) bool { return a.name == b.name })
	for i := range c {
		l.at[i], _ = l.find(c[i].Key)
	}
	return l
}

func (l *ledger) find(name string) (int, bool) {
	return slices.BinarySearchFunc(l.meters, name, func(m meterRow, name string) int {
		return strings.Compare(m.name, name)
	})
}

func (l *ledger) names() []string {
	names := make([]string, len(l.meters))
	for i := range l.meters {
		names[i] = l.meters[i].name
	}
	return names
}

// load sets what meter i was read as.
func (l *ledger) load(i int, m otp.Meter, exists bool) {
	l.meters[i].was, l.meters[i].exists = m, exists
}

// loadRows sets meters by name.
func (l *ledger) loadRows(rows *sql.Rows) error {
	var name string
	var m []byte
	return each(rows, func() error {
		if i, ok := l.find(name); ok {
			l.load(i, m, true)
			m = nil
		}
		return nil
	}, &name, &m)
}

// changes returns the meters to be written.
func (l *ledger) changes() []meterRow {
	var dirty []meterRow
	for _, m := range l.meters {
		if m.dirty {
			dirty = append(dirty, m)
		}
	}
	return dirty
}

// reset forgets the charges that were made.
func (l *ledger) reset() {
	for i := range l.meters {
		l.meters[i].now, l.meters[i].dirty = l.meters[i].was, false
	}
}

// conceals reports whether some charge must not tell whether it was made.
func (l *ledger) conceals() bool {
	return slices.ContainsFunc(l.charges, func(c otp.Charge) bool { return c.Silent })
}

// charge makes the charges on the meters as they were read. It says which charge
// refused. If that was a silent one, the others are made, and all meters are written, so that
// it takes as many statements as if none had refused.
func (l *ledger) charge() (refused *otp.Refusal, silent bool) {
	l.reset()
	if r := l.take(false); r != nil {
		return r, false
	}
	r := l.take(true)
	if r == nil {
		return nil, false
	}
	l.reset()
	l.take(false)
	for i := range l.meters {
		l.meters[i].dirty = true
	}
	return r, true
}

// take makes the charges that are silent, or those that are not, until one refuses.
func (l *ledger) take(silent bool) *otp.Refusal {
	for i := range l.charges {
		c, m := &l.charges[i], &l.meters[l.at[i]]
		if c.Silent != silent {
			continue
		}
		charged, d := m.now.Take(c.Cost, c.Limits, c.At)
		if !d.OK {
			return &otp.Refusal{Scope: c.Scope, RetryAfter: d.RetryAfter}
		}
		if c.Cost > 0 {
			m.now, m.dirty = charged, true
		}
	}
	return nil
}

// give returns the charges. What has no row is full already.
func (l *ledger) give() {
	l.reset()
	for i := range l.charges {
		c, m := &l.charges[i], &l.meters[l.at[i]]
		if m.exists {
			m.now = m.now.Give(c.Cost, c.Limits, c.At)
			m.dirty = string(m.now) != string(m.was)
		}
	}
}

// put decides PutCharged on the record as it was read. If the outcome is applied, its
// record and the meters are to be written.
func (l *ledger) put(old, r otp.Record, now time.Time) otp.Outcome {
	if old.Live(now) {
		return otp.Outcome{Record: old}
	}
	refused, silent := l.charge()
	switch {
	case silent:
		r.Digests = nil
	case refused != nil:
		return otp.Outcome{Record: old, Refused: refused}
	}
	return otp.Outcome{Record: r, Applied: true, Refused: refused}
}

// reissue decides ReissueCharged likewise.
func (l *ledger) reissue(old otp.Record, digest []byte, live int, now time.Time) otp.Outcome {
	r := old
	if !r.Reissue(digest, live, now) {
		return otp.Outcome{Record: old}
	}
	refused, silent := l.charge()
	switch {
	case silent:
		r = old
		r.Reissue(nil, live, now)
	case refused != nil:
		return otp.Outcome{Record: old, Refused: refused}
	}
	return otp.Outcome{Record: r, Applied: true, Refused: refused}
}

// expiry is how the time is kept at which a meter may be forgotten.
func expiry(m otp.Meter) int64 {
	if len(m) == 0 {
		return 0
	}
	return m.Expires().UnixMicro()
}
