package sqlstore

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"otp.example/otp"
)

// A postgres makes charges without a transaction of several round trips: Go decides
// on what it takes the meters to be, and one statement changes them and the record if that
// is what they are. It takes them to be what they were when this process last wrote
// them, or else not to exist. Where that is wrong, the statement was the read.
type postgres struct {
	single
	db *sql.DB

	mu    sync.Mutex
	last  map[string]otp.Meter
	names []string // of last, in the order in which they came
	next  int      // the place in names of the oldest
}

const (
	// optimisticTries is what it takes where nobody comes in between: the first try
	// finds out what there is. Where many charge one key, waiting for locks in a row is
	// quicker than trying again.
	optimisticTries = 2

	// maxLast bounds the memory for a better first try.
	maxLast = 8192

	// deadlockTries is how often a transaction is repeated.
	deadlockTries = 16
)

var errContended = errors.New("too many others charge the same keys")

func newPostgres(db *sql.DB, text *statements) *postgres {
	return &postgres{single: single{text: text, run: db}, db: db, last: map[string]otp.Meter{}}
}

func (p *postgres) putCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if len(c) == 0 {
		rec, applied, err := p.put(ctx, r, now)
		return otp.Outcome{Record: rec, Applied: applied}, err
	}
	return p.settle(ctx, &swap{
		ledger: newLedger(c),
		name:   "put_charged",
		id:     r.ID,
		decide: func(l *ledger, old *otp.Record) (otp.Outcome, bool) {
			if old == nil {
				old = &otp.Record{}
			}
			out := l.put(*old, r, now)
			return out, out.Applied
		},
		args: func(out *otp.Outcome) []any { return append(recordArgs(&out.Record), now.UnixMicro()) },
		act:  putAct(&r, now, c),
	})
}

func (p *postgres) reissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if len(c) == 0 {
		rec, applied, err := p.reissue(ctx, id, digest, live, now)
		return otp.Outcome{Record: rec, Applied: applied}, err
	}
	out, err := p.settle(ctx, &swap{
		ledger: newLedger(c),
		name:   "reissue_charged",
		id:     id,
		decide: func(l *ledger, old *otp.Record) (otp.Outcome, bool) {
			if old == nil { // most that are asked for are there and live
				refused, silent := l.charge()
				return otp.Outcome{Refused: refused}, refused == nil || silent
			}
			out := l.reissue(*old, digest, live, now)
			return out, out.Applied
		},
		args: func(out *otp.Outcome) []any {
			added := digest // there may be another try, with another outcome
			if out.Refused != nil {
				added = nil
			}
			return []any{id, now.UnixMicro(), notNil(added), live}
		},
		act: newAct("reissue", now, c),
	})
	if err == nil && out.Record.ID == "" {
		err = otp.ErrNotFound
	}
	return out, err
}

func (p *postgres) take(ctx context.Context, c otp.Charge) (otp.Decision, error) {
	out, err := p.settle(ctx, &swap{
		ledger: newLedger([]otp.Charge{c}),
		name:   "take",
		decide: func(l *ledger, _ *otp.Record) (otp.Outcome, bool) {
			refused, _ := l.charge()
			return otp.Outcome{Refused: refused}, len(l.changes()) > 0
		},
	})
	return decision(out.Refused), err
}

func (p *postgres) giveAll(ctx context.Context, c []otp.Charge) error {
	_, err := p.settle(ctx, &swap{
		ledger: newLedger(c),
		name:   "take",
		decide: func(l *ledger, _ *otp.Record) (otp.Outcome, bool) {
			l.give()
			return otp.Outcome{}, len(l.changes()) > 0
		},
	})
	return err
}

// decision is the answer of a Take.
func decision(refused *otp.Refusal) otp.Decision {
	if refused == nil {
		return otp.Decision{OK: true}
	}
	return otp.Decision{RetryAfter: refused.RetryAfter}
}

// A swap is one call that charges.
type swap struct {
	*ledger
	name string // the statement
	id   string // of the record, if there is one

	// decide says what the outcome is and whether there is something to write. The
	// record is nil while it and the meters have not been read.
	decide func(l *ledger, old *otp.Record) (otp.Outcome, bool)

	// args are what the statement gets for the record, and act what it tells the audit.
	args func(*otp.Outcome) []any
	act  act

	old *otp.Record // as it was read
}

// begin finds out what the first try goes by. To write at once takes one statement if it was
// right and two if not, which tells who was charged before: a change that conceals that looks
// first, and so always takes two.
func (p *postgres) begin(ctx context.Context, s *swap) error {
	if s.id != "" && s.conceals() {
		return p.look(ctx, p.db, s)
	}
	p.recall(s)
	return nil
}

// recall loads the meters as this process wrote them last. Nothing is decided on them: what
// they admit is written only if they are still so, and before they refuse they are read.
func (p *postgres) recall(s *swap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range s.meters {
		m, known := p.last[s.meters[i].name]
		s.load(i, m, known)
	}
}

// remember keeps what was written.
func (p *postgres) remember(s *swap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range s.changes() {
		if _, there := p.last[m.name]; !there {
			if len(p.names) < maxLast {
				p.names = append(p.names, m.name)
			} else {
				delete(p.last, p.names[p.next])
				p.names[p.next] = m.name
				p.next = (p.next + 1) % maxLast
			}
		}
		p.last[m.name] = m.now
	}
}

// settle repeats a swap until it holds, first without locks.
func (p *postgres) settle(ctx context.Context, s *swap) (otp.Outcome, error) {
	if err := p.begin(ctx, s); err != nil {
		return otp.Outcome{}, err
	}
	out, err := p.try(ctx, p.db, s, optimisticTries)
	for range deadlockTries {
		if !errors.Is(err, errContended) && (err == nil || kind(err) != faultRetry) {
			break
		}
		out, err = p.locked(ctx, s)
	}
	if err == nil && !out.Applied && s.id != "" && (s.act.operation == "put" || out.Record.ID != "") {
		err = p.text.log(ctx, p.db, s.act, out) // what refuses changes nothing that this must go with
	}
	if err != nil {
		return otp.Outcome{}, err
	}
	return out, nil
}

// locked holds the meters while it decides.
func (p *postgres) locked(ctx context.Context, s *swap) (out otp.Outcome, err error) {
	tx, err := p.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return otp.Outcome{}, err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit there is nothing to roll back
	if err := p.lock(ctx, tx, s); err != nil {
		return otp.Outcome{}, err
	}
	if s.id != "" {
		// The record is not held, so others may still change that.
		if err := p.look(ctx, tx, s); err != nil {
			return otp.Outcome{}, err
		}
	}
	out, err = p.try(ctx, tx, s, explainTries)
	if err != nil {
		return otp.Outcome{}, err
	}
	return out, tx.Commit()
}

// lock makes the rows that are missing, and reads all as it gets hold of them.
func (p *postgres) lock(ctx context.Context, tx *sql.Tx, s *swap) error {
	names := textArray(s.names())
	if slices.ContainsFunc(s.meters, func(m meterRow) bool { return !m.exists }) {
		if _, err := tx.ExecContext(ctx, p.text.get("new_meters"), names); err != nil {
			return err
		}
	}
	rows, err := tx.QueryContext(ctx, p.text.get("lock_meters"), names)
	if err != nil {
		return err
	}
	for i := range s.meters {
		s.load(i, nil, false)
	}
	s.old = &otp.Record{} // there is none, or it is still to be read
	return s.loadRows(rows)
}

// try decides and writes what was decided, until nobody came in between. What was
// read by one statement is of one moment, so a refusal that follows from it is final.
func (p *postgres) try(ctx context.Context, run runner, s *swap, tries int) (otp.Outcome, error) {
	for range tries {
		out, write := s.decide(s.ledger, s.old)
		switch {
		case write:
			done, err := p.swap(ctx, run, s, &out)
			if done || err != nil {
				return out, err
			}
		case s.old != nil:
			return out, nil
		default:
			if err := p.look(ctx, run, s); err != nil {
				return otp.Outcome{}, err
			}
		}
	}
	return otp.Outcome{}, errContended
}

// swap writes. If it cannot, it has read what there is.
func (p *postgres) swap(ctx context.Context, run runner, s *swap, out *otp.Outcome) (bool, error) {
	args := s.arrays()
	if s.id != "" {
		args = append(args, s.args(out)...)
		if p.text.inline {
			args = append(args, s.act.args(out.Refused)...)
		}
	}
	name := s.name
	if !slices.ContainsFunc(s.meters, func(m meterRow) bool { return m.dirty && !m.exists }) {
		name += known
	}
	swapped, r, err := p.read(ctx, run, s, p.text.get(name), args)
	if err != nil {
		return false, err
	}
	if swapped {
		p.remember(s)
		out.Record, out.Applied = r, true
		return true, nil
	}
	s.old = &r
	return false, nil
}

// look reads without writing.
func (p *postgres) look(ctx context.Context, run runner, s *swap) error {
	var row recordRow
	var meters string
	var never bool
	_, err := one(ctx, run, p.text.get("look"), []any{textArray(s.names()), s.id},
		append([]any{&never, &meters}, row.dest()...)...)
	if err != nil {
		return err
	}
	r := row.record()
	s.old = &r
	return s.loadAll(meters)
}

// read runs a statement that swaps, and loads what it saw if it did not.
func (p *postgres) read(ctx context.Context, run runner, s *swap, text string, args []any) (swapped bool, r otp.Record, err error) {
	var row recordRow
	var meters string
	dest := []any{&swapped, &meters}
	if s.id != "" {
		dest = append(dest, row.dest()...)
	}
	if _, err := one(ctx, run, text, args, dest...); err != nil {
		return false, otp.Record{}, err
	}
	if swapped {
		return true, row.record(), nil
	}
	return false, row.record(), s.loadAll(meters)
}

// loadAll takes meters in hexadecimal, separated by commas, a "-" for no row.
func (s *swap) loadAll(list string) error {
	i := 0
	for field := range strings.SplitSeq(list, ",") {
		if i == len(s.meters) {
			break
		}
		m, err := hex.DecodeString(strings.TrimPrefix(field, "-"))
		if err != nil {
			return err
		}
		s.load(i, m, field != "-")
		i++
	}
	return nil
}

// arrays are the first four parameters of the statements that swap, as PostgreSQL
// writes arrays in text.
func (s *swap) arrays() []any {
	var was, now, until strings.Builder
	bytea := func(b *strings.Builder, m otp.Meter, ok bool) {
		if !ok {
			b.WriteString("NULL")
			return
		}
		b.WriteString(`"\\x` + hex.EncodeToString(m) + `"`)
	}
	for i, m := range s.meters {
		separator := ","
		if i == 0 {
			separator = "{"
		}
		for _, b := range []*strings.Builder{&was, &now, &until} {
			b.WriteString(separator)
		}
		bytea(&was, m.was, m.exists)
		bytea(&now, m.now, m.dirty)
		until.WriteString(strconv.FormatInt(expiry(m.now), 10))
	}
	return []any{textArray(s.names()), was.String() + "}", now.String() + "}", until.String() + "}"}
}

var arrayEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

func textArray(list []string) string {
	var b strings.Builder
	b.WriteString("{")
	for i, s := range list {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`"` + arrayEscapes.Replace(s) + `"`)
	}
	b.WriteString("}")
	return b.String()
}
