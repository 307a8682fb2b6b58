package sqlstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/sqlstore"
)

// BenchmarkMillions reports what size costs on PostgreSQL: with OTP_PROVE=long ten million
// challenges, half of them expired, otherwise some thousands, to see that it works. It
// compares attempts among them, at 16 clients and in turns, with attempts among a thousand:
//
//	of-1k          calls per second, divided by those among a thousand
//	p99-ms         the slowest hundredth
//	p99-pruning-ms the same while one process prunes what has expired
//	p99-pruning-x  how many times that is p99-ms
//	pruned/s       how fast that is
//	B/challenge    table and indexes, without meters
func BenchmarkMillions(b *testing.B) {
	rows := 20_000
	if os.Getenv("OTP_PROVE") == "long" {
		rows = 10_000_000
	}
	server := servers.StartPostgres(b, "-c", "max_wal_size=4GB", "-c", "shared_buffers=512MB", "-c", "maintenance_work_mem=1GB")
	k := kindAt(server.DSN)
	r := newRig(b, k, 16)
	db := openDB(b, k.driver, server.DSN)
	o := sqlstore.Options{Prefix: fresh(b, db)}
	s := openStore(b, db, o)
	exec := func(text string, args ...any) {
		if _, err := db.Exec(strings.ReplaceAll(text, "p_", o.Prefix), args...); err != nil {
			b.Fatal(err)
		}
	}
	// The first half has expired. Indexes are made afterwards, as a restored dump has them.
	start := time.Now()
	exec("ALTER TABLE p_challenge DROP CONSTRAINT p_challenge_pkey")
	exec("DROP INDEX p_challenge_expires")
	exec("INSERT INTO p_challenge SELECT left(encode(sha256(i::text::bytea), 'hex'), 43), sha256('digest'), decode(repeat('07', 180), 'hex'), "+
		"1, 0, 1000000, 1, 3, $1::bigint, $1::bigint, $1::bigint + CASE WHEN i <= $2::bigint THEN -i ELSE 300000000 END FROM generate_series(1::bigint, $3::bigint) i",
		noon.UnixMicro(), rows/2, rows)
	exec("ALTER TABLE p_challenge ADD PRIMARY KEY (id)")
	exec("CREATE INDEX p_challenge_expires ON p_challenge (expires_at)")
	b.Logf("%d rows made in %s", rows, time.Since(start).Round(time.Second))
	exec("VACUUM ANALYZE p_challenge")
	exec("CHECKPOINT")
	var size float64
	if err := db.QueryRow("SELECT pg_total_relation_size('" + o.Prefix + "challenge')").Scan(&size); err != nil {
		b.Fatal(err)
	}

	many := work{do: func(int64) error {
		i := rows/2 + 1 + rand.IntN(rows/2)
		sum := sha256.Sum256([]byte(strconv.Itoa(i)))
		_, applied, err := s.Spend(r.ctx, hex.EncodeToString(sum[:])[:43], wrong, noon)
		return mustApply(applied, err)
	}}
	few := work{do: r.spendWrong(r.store)}
	rounds := func(n int, works ...work) (took []time.Duration, each [][]time.Duration) {
		took, each = make([]time.Duration, len(works)), make([][]time.Duration, len(works))
		for range n {
			for i, w := range works {
				for range 8 {
					all, calls := r.crowd(b, w)
					took[i], each[i] = took[i]+all, append(each[i], calls...)
				}
			}
		}
		return took, each
	}
	rounds(1, few, many)
	b.ReportAllocs()
	for b.Loop() {
		took, each := rounds(10, few, many)
		b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "of-1k")
		calm := p99(each[1])
		b.ReportMetric(float64(calm)/1e6, "p99-ms")

		ctx, stop := context.WithCancel(b.Context())
		var pruner sync.WaitGroup
		pruned, begin := 0, time.Now()
		pruner.Go(func() {
			defer stop()
			for ctx.Err() == nil {
				n, err := s.Prune(ctx, noon, 1000)
				pruned += n
				if err != nil && ctx.Err() == nil {
					b.Error(err)
				}
				if err != nil || n < 1000 {
					return
				}
			}
		})
		var pruning []time.Duration
		for ctx.Err() == nil {
			_, calls := r.crowd(b, many)
			pruning = append(pruning, calls...)
		}
		pruner.Wait()
		if pruned == 0 {
			continue // the first time has pruned all
		}
		b.ReportMetric(float64(pruned)/time.Since(begin).Seconds(), "pruned/s")
		b.ReportMetric(float64(p99(pruning))/1e6, "p99-pruning-ms")
		b.ReportMetric(float64(p99(pruning))/float64(calm), "p99-pruning-x")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(size/float64(rows), "B/challenge")
	b.Logf("%.1f GB", size/1e9)
}

// kindAt is a server of a benchmark's own.
func kindAt(dsn string) server {
	return server{name: "PostgreSQL", driver: "pgx", dsn: func(testing.TB) string { return dsn }}
}
