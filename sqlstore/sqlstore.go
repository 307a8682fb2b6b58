package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"otp.example/otp"
)

// Options are what [New] and [Migrate] may be told. Both must be told the same.
type Options struct {
	// Dialect is the kind of server. Zero means that the server is asked.
	Dialect Dialect

	// Prefix begins the names of tables and indexes: a lower-case letter or an
	// underscore, then also digits, at most 32 in all. Empty means "otp_".
	Prefix string

	// AuditFor makes the Store write a row for each call that is about a challenge, with
	// what it changes and in the same transaction, and keep it for so long, until
	// Prune forgets it. All processes should have the same. Zero means no audit.
	AuditFor time.Duration

	// InsecureAcceptLoss lets New accept a server that may forget what it has
	// acknowledged. After a crash of such a server a code that was used can be used
	// again, and attempts and limits that were spent are open again.
	InsecureAcceptLoss bool
}

// A Store keeps records, meters and counters in the tables of a database. It is safe
// for concurrent use, by many processes too. Make one with [New].
type Store struct {
	b    backend
	text *statements
}

var (
	_ otp.ChargingStore   = (*Store)(nil)
	_ otp.CounterStore    = (*Store)(nil)
	_ otp.CredentialStore = (*Store)(nil)
	_ otp.Pruner          = (*Store)(nil)
)

// A backend is a Store whose arguments have been checked. Its times are in
// microseconds.
type backend interface {
	get(ctx context.Context, id string) (otp.Record, error)
	put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error)
	spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error)
	reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error)
	cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error)

	putCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error)
	reissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error)
	take(ctx context.Context, c otp.Charge) (otp.Decision, error)
	giveAll(ctx context.Context, c []otp.Charge) error

	advance(ctx context.Context, key string, counter uint64) (bool, error)
	prune(ctx context.Context, before time.Time, most int) (int, error)

	// use calls do with what runs single statements.
	use(ctx context.Context, do func(run runner) error) error
	close() error
}

var (
	_ backend = (*postgres)(nil)
	_ backend = (*mysql)(nil)
	_ backend = (*sqlite)(nil)
)

// New returns a Store on the tables that [Migrate] made. It returns an error if they
// are missing, of another version, or cannot be written, and if the server's settings
// let it lose what it has acknowledged. It does not take over db: the caller closes
// that, after the Store.
func New(ctx context.Context, db *sql.DB, o Options) (*Store, error) {
	d, prefix, err := o.resolve(ctx, db)
	if err != nil {
		return nil, err
	}
	text, err := newStatements(d, prefix, o.AuditFor)
	if err != nil {
		return nil, err
	}
	check := func(ctx context.Context, run runner) error {
		if err := checkVersion(ctx, run, d, prefix); err != nil {
			return err
		}
		return checkServer(ctx, run, d, o.InsecureAcceptLoss)
	}
	if d == SQLite {
		s := newSQLite(db, text, check)
		// It opens its connection, and checks that.
		if err := s.use(ctx, func(run runner) error { return checkWrites(ctx, run, prefix) }); err != nil {
			return nil, errors.Join(err, s.close())
		}
		return &Store{b: s, text: text}, nil
	}
	if err := check(ctx, db); err != nil {
		return nil, err
	}
	if err := checkWritesIn(ctx, db, prefix); err != nil {
		return nil, err
	}
	if d == MySQL {
		return &Store{b: newMySQL(db, text), text: text}, nil
	}
	return &Store{b: newPostgres(db, text), text: text}, nil
}

func (o Options) resolve(ctx context.Context, db *sql.DB) (Dialect, string, error) {
	prefix := o.Prefix
	if prefix == "" {
		prefix = defaultPrefix
	}
	if !isPrefix(prefix) {
		return 0, "", fmt.Errorf("sqlstore: Options.Prefix %q is not a lower-case identifier of at most 32 bytes", prefix)
	}
	if o.AuditFor < 0 {
		return 0, "", errors.New("sqlstore: Options.AuditFor is negative")
	}
	switch o.Dialect {
	case 0:
		d, err := detect(ctx, db)
		return d, prefix, err
	case PostgreSQL, MySQL, SQLite:
		return o.Dialect, prefix, nil
	default:
		return 0, "", fmt.Errorf("sqlstore: Options.Dialect %s is unknown", o.Dialect)
	}
}

// isPrefix is strict, because the names of tables cannot be parameters.
func isPrefix(s string) bool {
	for i := range len(s) {
		letter := s[i] == '_' || 'a' <= s[i] && s[i] <= 'z'
		if !letter && (i == 0 || s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}

// Close releases the statements and the connection that the Store keeps. It does not
// close the database.
func (s *Store) Close() error { return s.b.close() }

func (p *postgres) close() error { return nil }

func (p *postgres) use(_ context.Context, do func(runner) error) error { return do(p.db) }

// Put stores r unless a live record has its ID.
func (s *Store) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	if err := done(ctx); err != nil {
		return otp.Record{}, false, err
	}
	if err := checkRecord(&r); err != nil {
		return otp.Record{}, false, err
	}
	return call("put").change(s.b.put(ctx, detached(r), micro(now)))
}

// Get returns the record with the given ID.
func (s *Store) Get(ctx context.Context, id string) (otp.Record, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Record{}, err
	}
	r, err := s.b.get(ctx, id)
	return r, call("get").fault(err)
}

// Spend counts one attempt against a live record and verifies it if one of the
// candidates is right.
func (s *Store) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Record{}, false, err
	}
	return call("spend").change(s.b.spend(ctx, id, candidates, micro(now)))
}

// Reissue counts one send against a live record and adds digest. It keeps
// sixteen digests at most.
func (s *Store) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Record{}, false, err
	}
	if err := checkReissue(digest, live); err != nil {
		return otp.Record{}, false, err
	}
	return call("reissue").change(s.b.reissue(ctx, id, digest, min(live, maxDigests), micro(now)))
}

// Cancel ends a live record.
func (s *Store) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Record{}, false, err
	}
	return call("cancel").change(s.b.cancel(ctx, id, micro(now)))
}

// PutCharged is Put together with the charges c: all of it happens or none, but
// for what [otp.Charge.Silent] says.
func (s *Store) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := done(ctx); err != nil {
		return otp.Outcome{}, err
	}
	if err := checkRecord(&r); err != nil {
		return otp.Outcome{}, err
	}
	if err := checkCharges(c); err != nil {
		return otp.Outcome{}, err
	}
	return call("put").outcome(s.b.putCharged(ctx, detached(r), c, micro(now)))
}

// ReissueCharged is Reissue together with the charges c: all of it happens or
// none, but for what [otp.Charge.Silent] says.
func (s *Store) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Outcome{}, err
	}
	if err := checkReissue(digest, live); err != nil {
		return otp.Outcome{}, err
	}
	if err := checkCharges(c); err != nil {
		return otp.Outcome{}, err
	}
	return call("reissue").outcome(s.b.reissueCharged(ctx, id, digest, min(live, maxDigests), c, micro(now)))
}

// Take charges cost to every limit of key, or to none.
func (s *Store) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	c := otp.Charge{Key: key, Cost: cost, Limits: limits, At: now}
	if err := done(ctx); err != nil {
		return otp.Decision{}, err
	}
	if err := checkKey(key); err != nil {
		return otp.Decision{}, err
	}
	d, err := s.b.take(ctx, c)
	if err != nil {
		return otp.Decision{}, call("take").fault(err)
	}
	return d, nil
}

// Give returns what a Take charged.
func (s *Store) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return s.GiveAll(ctx, []otp.Charge{{Key: key, Cost: cost, Limits: limits, At: at}})
}

// GiveAll is Give for each of c, in one atomic step.
func (s *Store) GiveAll(ctx context.Context, c []otp.Charge) error {
	if err := done(ctx); err != nil {
		return err
	}
	if err := checkCharges(c); err != nil {
		return err
	}
	if len(c) == 0 {
		return nil
	}
	return call("give").fault(s.b.giveAll(ctx, c))
}

// Advance sets key to counter and reports true if counter is greater than the stored
// one or key is new.
func (s *Store) Advance(ctx context.Context, key string, counter uint64) (bool, error) {
	if err := done(ctx); err != nil {
		return false, err
	}
	if err := checkKey(key); err != nil {
		return false, err
	}
	applied, err := s.b.advance(ctx, key, counter)
	return applied && err == nil, call("advance").fault(err)
}

// Prune forgets at most max records and meters that expired at or before the given
// time and reports how many. Both are found by an index.
func (s *Store) Prune(ctx context.Context, before time.Time, max int) (int, error) {
	if err := done(ctx); err != nil {
		return 0, err
	}
	if max <= 0 {
		return 0, nil
	}
	n, err := s.b.prune(ctx, micro(before), max)
	return n, call("prune").fault(err)
}

func (p *postgres) prune(ctx context.Context, before time.Time, most int) (int, error) {
	return prune(ctx, p.db, p.text, before, most)
}

// lookup is what every call with an ID begins with. An ID that the store could not
// keep is not asked for.
func lookup(ctx context.Context, id string) error {
	if err := done(ctx); err != nil {
		return err
	}
	if !isKey(id) {
		return otp.ErrNotFound
	}
	return nil
}
