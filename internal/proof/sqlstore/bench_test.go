package sqlstore_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
)

// BenchmarkStores compares calls of a store with the least that a database can be asked to
// do for them, in turns, through the same driver and as many connections:
//
//   - an attempt with one plain UPDATE … WHERE … RETURNING of an equally wide row (MariaDB,
//     which has none: an UPDATE and a SELECT),
//   - a request with a plain INSERT of the record.
//
// It reports "of-floor", calls per second divided by those of the floor, of all rounds.
// With -benchtime=20x, 20 rounds of each, the ratios are stable on a machine that is not;
// times are not.
func BenchmarkStores(b *testing.B) {
	for _, k := range serverKinds {
		for _, clients := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("%s/%d", k.name, clients), func(b *testing.B) {
				r := newRig(b, k, clients)
				b.Run("wrong", func(b *testing.B) { r.compare(b, r.update, work{do: r.spendWrong(r.store)}) })
				b.Run("wrong-audited", func(b *testing.B) { r.compare(b, r.update, work{do: r.spendWrong(r.audited)}) })
				b.Run("right", func(b *testing.B) { r.compare(b, r.update, r.spendRight()) })
				b.Run("request-new", func(b *testing.B) { r.compare(b, r.insert, work{do: r.request(true)}) })
				b.Run("request-known", func(b *testing.B) { r.compare(b, r.insert, work{do: r.request(false)}) })
			})
		}
	}
}

// BenchmarkHotSubject has 15 clients make requests for people of their own, with and without
// one that hammers a single subject as fast as it can. It reports what is left, and how much
// longer the slowest hundredth takes.
func BenchmarkHotSubject(b *testing.B) {
	for _, k := range serverKinds {
		b.Run(k.name, func(b *testing.B) {
			r := newRig(b, k, 15)
			request := r.request(true)
			hammered := chargesOf("hot subject")
			hammered[0].Limits[0].N = 1 << 40
			var calm, disturbed []time.Duration
			var calmTime, disturbedTime time.Duration
			b.ReportAllocs()
			for b.Loop() {
				took, each := r.crowd(b, work{do: request})
				calmTime, calm = calmTime+took, append(calm, each...)

				ctx, stop := context.WithCancel(b.Context())
				var hammer sync.WaitGroup
				hammer.Go(func() {
					for i := 0; ctx.Err() == nil; i++ {
						// An error is that it was stopped.
						_, _ = r.store.PutCharged(ctx, wide(fmt.Sprintf("hot-%d", i)), hammered, noon)
					}
				})
				took, each = r.crowd(b, work{do: request})
				stop()
				hammer.Wait()
				disturbedTime, disturbed = disturbedTime+took, append(disturbed, each...)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(calmTime)/float64(disturbedTime), "of-calm")
			b.ReportMetric(float64(p99(disturbed))/float64(p99(calm)), "p99-x-calm")
		})
	}
}

// A rig is a store and its floor, on one server.
type rig struct {
	clients int
	ctx     context.Context // of the benchmark: calls from many goroutines need one
	store   *sqlstore.Store
	audited *sqlstore.Store
	update  work // the floors
	insert  work
	next    atomic.Int64
}

// work is a call, and what it needs before a round: n calls from number from on.
type work struct {
	prepare func(from, n int64) error
	do      func(i int64) error
}

// A round is so many calls for each client, at least.
const (
	roundCalls = 8
	leastCalls = 128
	hotRows    = 256
)

func newRig(b *testing.B, k server, clients int) *rig {
	b.Helper()
	dsn := k.dsn(b)
	db := openDB(b, k.driver, dsn)
	r := &rig{clients: clients, ctx: b.Context()}
	r.store = openStore(b, db, sqlstore.Options{})
	// The store of a file keeps its connection.
	auditDB := db
	if k.driver != "pgx" && k.driver != "mysql" {
		auditDB = openDB(b, k.driver, k.dsn(b))
	}
	r.audited = openStore(b, auditDB, sqlstore.Options{AuditFor: time.Hour})
	for i := range hotRows {
		rec := wide(fmt.Sprintf("row-%d", i))
		rec.MaxAttempts = math.MaxInt32
		for _, s := range []*sqlstore.Store{r.store, r.audited} {
			if _, applied, err := s.Put(b.Context(), rec, noon); err != nil || !applied {
				b.Fatal(applied, err)
			}
		}
	}
	r.floors(b, k)
	return r
}

// wide is as large as a challenge of a service.
func wide(id string) otp.Record {
	r := pending(fmt.Sprintf("%043s", id))
	r.Sealed = bytes.Repeat([]byte{7}, 180)
	return r
}

const floorColumns = "id, digests, sealed, state, attempts, max_attempts, sends, max_sends, created_at, sent_at, expires_at"

// floors has a table of its own, with the columns and the index of that of challenges.
func (r *rig) floors(b *testing.B, k server) {
	b.Helper()
	db := openDB(b, k.driver, k.dsn(b))
	table := fresh(b, db) + "counter" // a name that fresh drops
	prefix := strings.TrimSuffix(table, "counter")
	must := func(text string) *sql.Stmt {
		st, err := db.Prepare(text)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { st.Close() })
		return st
	}
	create := "CREATE TABLE " + table + " (id text COLLATE \"C\" PRIMARY KEY, digests bytea NOT NULL, sealed bytea NOT NULL, state smallint NOT NULL, " +
		"attempts integer NOT NULL, max_attempts integer NOT NULL, sends integer NOT NULL, max_sends integer NOT NULL, " +
		"created_at bigint NOT NULL, sent_at bigint NOT NULL, expires_at bigint NOT NULL) WITH (fillfactor = 70)"
	insert := "INSERT INTO " + table + " (" + floorColumns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
	update := "UPDATE " + table + " SET attempts = attempts + 1 WHERE id = $1 AND state = 1 AND attempts < max_attempts AND expires_at > $2 RETURNING " + floorColumns
	read := ""
	switch k.driver {
	case "pgx":
	case "mysql":
		create = strings.NewReplacer("text COLLATE \"C\"", "VARBINARY(128)", "digests bytea", "digests VARBINARY(512)", "sealed bytea", "sealed VARBINARY(4096)",
			" WITH (fillfactor = 70)", " ENGINE = InnoDB").Replace(create)
		insert = "INSERT INTO " + table + " (" + floorColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
		update = "UPDATE " + table + " SET attempts = attempts + 1 WHERE id = ? AND state = 1 AND attempts < max_attempts AND expires_at > ?"
		read = "SELECT " + floorColumns + " FROM " + table + " WHERE id = ?"
	default:
		db.SetMaxOpenConns(1) // SQLite is quickest so
		create = strings.NewReplacer("\"C\"", "BINARY", "bytea", "BLOB", " WITH (fillfactor = 70)", "").Replace(create)
	}
	if _, err := db.Exec(create); err != nil {
		b.Fatal(err)
	}
	if _, err := db.Exec("CREATE INDEX " + prefix + "floor_expires ON " + table + " (expires_at)"); err != nil {
		b.Fatal(err)
	}
	put := must(insert)
	values := func(rec otp.Record) []any {
		return []any{
			rec.ID, rec.Digests, rec.Sealed, int64(rec.State), rec.Attempts, rec.MaxAttempts, rec.Sends, rec.MaxSends,
			rec.CreatedAt.UnixMicro(), rec.SentAt.UnixMicro(), rec.ExpiresAt.UnixMicro(),
		}
	}
	for i := range hotRows {
		rec := wide(fmt.Sprintf("row-%d", i))
		rec.MaxAttempts = math.MaxInt32
		if _, err := put.Exec(values(rec)...); err != nil {
			b.Fatal(err)
		}
	}
	r.insert = work{do: func(i int64) error {
		_, err := put.ExecContext(r.ctx, values(wide(fmt.Sprintf("new-%d", i)))...)
		return err
	}}
	change := must(update)
	var reread *sql.Stmt
	if read != "" {
		reread = must(read)
	}
	scan := func(rows *sql.Rows, err error) error {
		if err != nil {
			return err
		}
		defer rows.Close()
		var rec otp.Record
		var created, sent, expires int64
		found := false
		for rows.Next() {
			found = true
			if err := rows.Scan(&rec.ID, &rec.Digests, &rec.Sealed, &rec.State, &rec.Attempts, &rec.MaxAttempts, &rec.Sends, &rec.MaxSends,
				&created, &sent, &expires); err != nil {
				return err
			}
		}
		if !found {
			return sql.ErrNoRows
		}
		return rows.Err()
	}
	r.update = work{do: func(i int64) error {
		id := wide(fmt.Sprintf("row-%d", i%hotRows)).ID
		if reread == nil {
			return scan(change.QueryContext(r.ctx, id, noon.UnixMicro()))
		}
		if _, err := change.ExecContext(r.ctx, id, noon.UnixMicro()); err != nil {
			return err
		}
		return scan(reread.QueryContext(r.ctx, id))
	}}
}

func (r *rig) spendWrong(s *sqlstore.Store) func(i int64) error {
	return func(i int64) error {
		_, applied, err := s.Spend(r.ctx, wide(fmt.Sprintf("row-%d", i%hotRows)).ID, wrong, noon)
		return mustApply(applied, err)
	}
}

// fourCharges is what a request for a subject costs, with the limits of a service.
func fourCharges(who string) []otp.Charge {
	send := []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: 24 * time.Hour}}
	guesses := []otp.Limit{{N: 20_000, Per: 24 * time.Hour}, {N: 80_000, Per: 30 * 24 * time.Hour}, {N: 80_000}}
	charge := func(scope, key string, cost int64, limits []otp.Limit) otp.Charge {
		return otp.Charge{Scope: scope, Key: key + who, Cost: cost, Limits: limits, At: noon}
	}
	return []otp.Charge{
		charge("recipient", "sr", 1, send), charge("subject", "ss", 1, send), charge("guesses", "dr", 5_000, guesses), charge("guesses", "ds", 5_000, guesses),
	}
}

func (r *rig) spendRight() work {
	return work{
		prepare: func(from, n int64) error {
			for i := from; i < from+n; i++ {
				out, err := r.store.PutCharged(r.ctx, wide(fmt.Sprintf("right-%d", i)), fourCharges(fmt.Sprintf("right-%d", i)), noon)
				if err := mustApply(out.Applied, err); err != nil {
					return err
				}
			}
			return nil
		},
		do: func(i int64) error {
			rec, applied, err := r.store.Spend(r.ctx, wide(fmt.Sprintf("right-%d", i)).ID, right, noon)
			if err := mustApply(applied && rec.State == otp.StateVerified, err); err != nil {
				return err
			}
			return r.store.GiveAll(r.ctx, fourCharges(fmt.Sprintf("right-%d", i))[2:])
		},
	}
}

// request asks for people who are new, or who were here before.
func (r *rig) request(isNew bool) func(i int64) error {
	const known = 2000
	return func(i int64) error {
		charges := fourCharges(fmt.Sprintf("new-%d", i))
		if !isNew {
			charges = fourCharges(fmt.Sprintf("known-%d", i%known))
			for j := range charges { // nobody is refused for having been here often
				for l := range charges[j].Limits {
					charges[j].Limits[l].N = 1 << 40
				}
			}
		}
		out, err := r.store.PutCharged(r.ctx, wide(fmt.Sprintf("asked-%t-%d", isNew, i)), charges, noon)
		return mustApply(out.Applied, err)
	}
}

func mustApply(applied bool, err error) error {
	if err == nil && !applied {
		return fmt.Errorf("a call was refused")
	}
	return err
}

// compare takes turns.
func (r *rig) compare(b *testing.B, floor, ours work) {
	b.Helper()
	var floorTime, ourTime time.Duration
	var all []time.Duration
	r.crowd(b, floor) // each connection prepares, and plans, a statement for the first times
	r.crowd(b, ours)
	b.ReportAllocs()
	for b.Loop() {
		took, _ := r.crowd(b, floor)
		floorTime += took
		took, each := r.crowd(b, ours)
		ourTime, all = ourTime+took, append(all, each...)
	}
	b.ReportMetric(0, "ns/op") // of a round: says nothing
	b.ReportMetric(float64(len(all))/ourTime.Seconds(), "calls/s")
	b.ReportMetric(float64(p99(all))/1e6, "p99-ms")
	b.ReportMetric(float64(floorTime)/float64(ourTime), "of-floor")
}

// crowd makes a round of calls and says how long it took, all together and each.
func (r *rig) crowd(b *testing.B, w work) (all time.Duration, each []time.Duration) {
	b.Helper()
	n := int64(max(leastCalls, roundCalls*r.clients))
	from := r.next.Add(n) - n
	if w.prepare != nil {
		if err := w.prepare(from, n); err != nil {
			b.Fatal(err)
		}
	}
	each = make([]time.Duration, n)
	var taken atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range r.clients {
		wg.Go(func() {
			for i := taken.Add(1) - 1; i < n; i = taken.Add(1) - 1 {
				begin := time.Now()
				if err := w.do(from + i); err != nil {
					b.Error(err)
					return
				}
				each[i] = time.Since(begin)
			}
		})
	}
	wg.Wait()
	return time.Since(start), each
}

func p99(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)*99/100]
}
