// Package sqlstore keeps challenges, limits and counters in PostgreSQL, MySQL, MariaDB
// or SQLite, by way of database/sql. It brings no driver: the program imports one.
//
//	db, err := sql.Open("pgx", url)
//	…
//	err = sqlstore.Migrate(ctx, db, sqlstore.Options{})
//	…
//	store, err := sqlstore.New(ctx, db, sqlstore.Options{})
//	…
//	svc, err := otp.New(otp.Config{Store: store, …})
//
// # What is guaranteed
//
// A [Store] implements every store contract of package otp. Each call is one atomic
// step, for any number of processes. An attempt is counted in the same statement that
// compares, and what decides is never read before it. The store takes the time from
// its callers alone, so clocks of servers do not matter. It starts no goroutine. It is
// tested with storetest on PostgreSQL 15 (pgx), MariaDB 10.11 (go-sql-driver) and SQLite
// (modernc.org/sqlite and mattn/go-sqlite3), and by killing the servers. MySQL is
// spoken to like MariaDB, but not tested.
//
// A call that ends with its context, or because a connection broke, may have been
// made. It is an error, and the service then denies.
//
// # What the server must be
//
// [New] refuses a server that may forget what it has acknowledged, since a forgotten
// change makes a used code good again:
//
//   - PostgreSQL: synchronous_commit not off; fsync and full_page_writes on. With a
//     standby that may take over, wait for it too: synchronous_standby_names set, and
//     synchronous_commit on.
//   - MySQL and MariaDB: innodb_flush_log_at_trx_commit 1. With replicas,
//     semi-synchronous replication.
//   - SQLite: synchronous FULL or EXTRA, and a journal that is in a file. WAL is the
//     quickest.
//
// It must be the primary, and the only one that takes writes: no proxy may send reads
// elsewhere. A multi-primary cluster has not been tested.
//
// # Connections
//
// PostgreSQL: about 16 connections are enough for a small machine; more only wait for
// each other. Statements are prepared by pgx itself, one round trip each. Behind PgBouncer in transaction mode put
// default_query_exec_mode=exec into the address; behind several hosts,
// target_session_attrs=read-write. The level of isolation must be the usual one, read
// committed.
//
// MySQL and MariaDB: the store keeps prepared statements, so interpolateParams is
// not needed. SetMaxIdleConns should be as large as SetMaxOpenConns: connections come
// with their statements. SetConnMaxLifetime must be below the server's wait_timeout.
//
// SQLite: the store takes one connection of the pool and keeps it until [Store.Close];
// everything happens there, one after the other. It is best to give it a [sql.DB] of
// its own. A DB that allows one connection only cannot be used for anything else
// meanwhile. Drivers spell the settings differently, and none tells of what it does not
// know: modernc.org/sqlite takes
// ?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL), mattn/go-sqlite3 takes
// ?_journal_mode=WAL&_synchronous=FULL and has NORMAL otherwise. The time to wait for
// another process is the context's, at most ten seconds; busy_timeout is put aside.
//
// # Round trips
//
// PostgreSQL: one for each change, one more to explain a refusal. With charges also one
// if no key was charged before, else two: what the first finds out the second writes,
// without holding a lock in between. Where many charge one key it becomes a
// transaction. GiveAll: two. MySQL and MariaDB: two for Spend; four to eight for
// the rest, in a transaction.
//
// On PostgreSQL a challenge of a service takes about 800 bytes, and each of its four or
// so meters 260, indexes included.
//
// # Pruning
//
// Nothing is forgotten by itself. Call Prune of the service, which calls
// [Store.Prune], every few minutes, in any number of processes. Pass a time that
// is further back than the clocks of the processes may differ, an hour say: a meter that
// is forgotten admits again. Records are kept for minutes, meters as long as the
// longest window of their limits, and up to a year after wrong guesses; counters are
// never forgotten.
//
// # What is in the tables
//
// No code, handle, recipient or subject: see [otp.Record]. The statements compare keyed
// digests, so a server that logs its parameters logs nothing that helps to find a code.
// Whoever can write the tables can delete a limit, or raise an attempt count, but not
// make a record that accepts: the service checks what it reads.
package sqlstore
