package sqlstore_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

// everything makes every kind of call that a service makes, and numbers what it needs.
func everything(t *testing.T, s *sqlstore.Store, n int) {
	t.Helper()
	ctx := t.Context()
	must := func(applied bool, err error) {
		t.Helper()
		require.NoError(t, err)
		require.True(t, applied)
	}
	id := func(name string) string { return fmt.Sprintf("%s-%d", name, n) }
	keys := []string{id("a"), id("b"), id("c"), id("d")}
	put(t, s, id("put"))
	_, applied, err := s.Put(ctx, pending(id("put")), noon) // refused
	require.NoError(t, err)
	require.False(t, applied)
	putCharged(t, s, id("new"), keys...)
	putCharged(t, s, id("known"), keys...)
	out, err := s.ReissueCharged(ctx, id("known"), right, 2, chargesOf(keys...), noon)
	must(out.Applied, err)
	_, applied, err = s.Reissue(ctx, id("known"), right, 2, noon)
	must(applied, err)
	_, applied, err = s.Spend(ctx, id("known"), wrong, noon)
	must(applied, err)
	_, applied, err = s.Cancel(ctx, id("new"), noon)
	must(applied, err)
	_, applied, err = s.Cancel(ctx, id("new"), noon) // refused, and read
	require.NoError(t, err)
	require.False(t, applied)
	c := chargesOf(id("take"))[0]
	d, err := s.Take(ctx, c.Key, c.Cost, c.Limits, c.At)
	must(d.OK, err)
	require.NoError(t, s.GiveAll(ctx, chargesOf(keys...)))
	require.NoError(t, s.GiveAll(ctx, chargesOf(id("never")))) // is read
	applied, err = s.Advance(ctx, id("counter"), uint64(n))
	must(applied, err)
	for _, q := range []sqlstore.AuditQuery{{Challenge: id("known")}, {Subject: id("nobody")}, {Recipient: id("nobody")}} {
		audited(t, s, q)
	}
}

var storeTables = []string{"challenge", "meter", "counter", "audit"}

// No call reads a whole table, neither when there are a million rows, nor, which is worse, then
// with a plan that was chosen while the tables were new, and is kept.
func TestPlansPostgreSQL(t *testing.T) {
	t.Parallel()
	db := openDB(t, "pgx", servers.Postgres(t))
	db.SetMaxOpenConns(1) // the plans are the connection's
	o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
	s := openStore(t, db, o)
	scans := func() (n [4]int) {
		t.Helper()
		_, err := db.Exec("SELECT pg_stat_force_next_flush()")
		require.NoError(t, err)
		for i, table := range storeTables {
			require.NoError(t, db.QueryRow("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = $1", o.Prefix+table).Scan(&n[i]))
		}
		return n
	}
	n := 0
	call := func() (scanned map[string]int) {
		before := scans()
		for range 10 { // a plan is kept from the sixth time on
			n++
			everything(t, s, n)
		}
		scanned = map[string]int{}
		for i, after := range scans() {
			if after != before[i] {
				scanned[storeTables[i]] = after - before[i]
			}
		}
		return scanned
	}
	for _, table := range storeTables {
		_, err := db.Exec("ALTER TABLE " + o.Prefix + table + " SET UNLOGGED, SET (autovacuum_enabled = off)")
		require.NoError(t, err)
	}
	assert.Empty(t, call(), "in new tables")
	million(t, db, o.Prefix)
	assert.Empty(t, call(), "in a million rows, with the plans for new tables")
	for _, table := range storeTables { // those of other tests come and go
		_, err := db.Exec("ANALYZE " + o.Prefix + table)
		require.NoError(t, err)
	}
	assert.Empty(t, call(), "in a million rows, with plans for them")

	// Prune runs for a minute at most with plans for new tables, which read all of them.
	before := scans()
	for range 10 {
		pruned, err := s.Prune(t.Context(), noon.Add(time.Hour+10*time.Second), 1000)
		require.NoError(t, err)
		require.Equal(t, 1000, pruned)
	}
	require.Equal(t, before, scans())
}

func million(t *testing.T, db *sql.DB, prefix string) {
	t.Helper()
	for _, text := range []string{
		"INSERT INTO p_challenge SELECT 'row-' || i, '\\x01', '\\x02', 1, 0, 5, 1, 3, $1::bigint, $1::bigint, $1::bigint + i FROM generate_series(1, 1000000) i",
		"INSERT INTO p_meter SELECT 'row-' || i, '\\x01', $1::bigint + i FROM generate_series(1, 300000) i",
		"INSERT INTO p_counter SELECT 'row-' || i, '\\x01' FROM generate_series(1, 100000) i WHERE $1::bigint > 0",
		"INSERT INTO p_audit (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope) " +
			"SELECT $1::bigint, 'put', 'applied', 'row-' || i, $1::bigint, 1, 0, 1, 's' || i, 'r' || i, '', '' FROM generate_series(1, 100000) i",
	} {
		_, err := db.Exec(strings.ReplaceAll(text, "p_", prefix), noon.UnixMicro())
		require.NoError(t, err)
	}
}

// MariaDB counts the rows that it reads without an index.
func TestPlansMariaDB(t *testing.T) {
	t.Parallel()
	db := openDB(t, "mysql", servers.MariaDB(t))
	db.SetMaxOpenConns(1)
	o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
	s := openStore(t, db, o)
	for _, text := range []string{
		"INSERT INTO p_challenge SELECT CONCAT('row-', seq), 1, 2, 1, 0, 5, 1, 3, ?, ?, ?, 0 FROM seq_1_to_100000",
		"INSERT INTO p_meter SELECT CONCAT('row-', seq), 1, GREATEST(?, ?, ?) FROM seq_1_to_100000",
		"INSERT INTO p_audit (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope) " +
			"SELECT ?, 'put', 'applied', CONCAT('row-', seq), GREATEST(?, ?), 1, 0, 1, CONCAT('s', seq), CONCAT('r', seq), '', '' FROM seq_1_to_100000",
	} {
		m := noon.UnixMicro()
		_, err := db.Exec(strings.ReplaceAll(text, "p_", o.Prefix), m, m, m)
		require.NoError(t, err)
	}
	read := func() (rows int) {
		t.Helper()
		var name string
		require.NoError(t, db.QueryRow("SHOW SESSION STATUS LIKE 'Handler_read_rnd_next'").Scan(&name, &rows))
		return rows
	}
	before := read()
	for n := range 10 {
		everything(t, s, n+1)
	}
	// Some are of temporary tables of a few rows.
	assert.Less(t, read()-before, 1000)
}

// SQLite says how it would.
func TestPlansSQLite(t *testing.T) {
	for _, k := range serverKinds[2:] {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			r, db := record(t, k.driver, k.dsn(t))
			o := sqlstore.Options{Prefix: "plans_", AuditFor: time.Hour}
			s := openStore(t, db, o)
			r.take()
			everything(t, s, 1)
			explained := 0
			for _, text := range r.take() {
				if !strings.Contains(text, o.Prefix) || strings.HasPrefix(text, "PREPARE ") {
					continue
				}
				explained++
				assert.NotContains(t, plan(t, db, text), "SCAN "+o.Prefix, text)
			}
			assert.Greater(t, explained, 30)
		})
	}
}

func plan(t *testing.T, db *sql.DB, text string) string {
	t.Helper()
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	var steps []string
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, numbers(text)...)
	require.NoError(t, err, text)
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var step string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return strings.Join(steps, "\n")
}

// numbers are values for the parameters of a statement, which have numbers or have none.
func numbers(text string) []any {
	n := strings.Count(text, "?")
	for i := n; i > 0; i-- {
		if strings.Contains(text, fmt.Sprintf("?%d", i)) {
			n = i
			break
		}
	}
	args := make([]any, n)
	for i := range args {
		args[i] = i
	}
	return args
}
