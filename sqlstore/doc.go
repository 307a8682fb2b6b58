// Package sqlstore keeps challenges, limits, counters, credentials, policies and an audit trail
// in PostgreSQL, MySQL, MariaDB or SQLite, by way of database/sql. It brings no driver: the
// program imports one.
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
// tested with storetest on PostgreSQL 15 (pgx, also behind PgBouncer), MariaDB 10.11
// (go-sql-driver) and SQLite (modernc.org/sqlite and mattn/go-sqlite3), by killing and
// stopping the servers, with full disks and on standbys. MySQL is spoken to like MariaDB, but
// not tested.
//
// A call that ends with its context, or because a connection broke, may have been
// made. It is an error, and the service then denies. Any other error has changed nothing, but on
// MySQL and MariaDB, without an audit, an attempt may have been counted.
//
// # What the server must be
//
// [New] refuses a server that may forget what it has acknowledged, since a forgotten
// change makes a used code good again:
//
//   - PostgreSQL: synchronous_commit not off; fsync and full_page_writes on. With a
//     standby that may take over, wait for it too: synchronous_standby_names set, and
//     synchronous_commit on.
//   - MySQL and MariaDB: innodb_flush_log_at_trx_commit 1, and sync_binlog 1 if there is a
//     binary log. With replicas, semi-synchronous replication. Better with a binary log: without
//     one InnoDB shows a change to others before it is on disk, and a crash of the server
//     may undo what a refusal was told for, or a Cancel of what was just canceled. No code
//     is accepted twice for that, and New does not ask for one.
//   - SQLite: a journal that is in a file, and synchronous FULL, or EXTRA if journal_mode is
//     DELETE, which it is unless it is set. WAL is the quickest.
//
// No option accepts an autocommit that is not 1, or a completion_type that is not NO_CHAIN, on MySQL
// and MariaDB: what was told as changed would go with the connection. Nor does any accept tables
// that cannot be written, for want of a right, say, or with a binary log whose binlog_format is
// STATEMENT.
//
// It must be the primary, and the only one that takes writes: no proxy may send reads
// elsewhere. A multi-primary cluster has not been tested.
//
// # Connections
//
// PostgreSQL: about 16 connections are enough for a small machine; more only wait for
// each other. Statements are prepared by pgx itself, one round trip each. The level of isolation
// must be the usual one, read committed. With several hosts in the address,
// target_session_attrs=read-write.
//
// Behind PgBouncer in transaction mode put default_query_exec_mode=exec into the address. From
// version 1.21 on, with max_prepared_statements set, that is not needed, and statements are
// planned once instead of each time. The settings that New checks are those of the
// connection that it gets: set synchronous_commit for the database or the user, not
// in a client's address, which a pooler may not pass on.
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
// PostgreSQL: one for each change, one more to explain a refusal. With charges one if the keys
// are new, or were last charged by the same process; else two: what the first finds out the
// second writes, without holding a lock in between. Where many charge one key it becomes a
// transaction. For that a store remembers up to 8192 meters, some megabytes; nothing is decided
// on them. A Request or Resend that conceals whom it is about takes two, whoever that is.
// MySQL and MariaDB: two for Spend; four to eight for the rest, in a
// transaction.
//
// # Size
//
// On PostgreSQL a challenge of a service takes about 800 bytes, and each of its four or
// so meters 260, indexes included; on the others less. Records are there for minutes,
// so meters are what counts: of everybody who asked for a code in the longest window
// of the limits. Updates leave dead rows; autovacuum's defaults do.
//
// # Pruning
//
// Nothing is forgotten by itself. Call Prune of the service, which calls
// [Store.Prune], every few minutes, in any number of processes. Pass a time that
// is further back than the clocks of the processes may differ, an hour say: a meter that
// is forgotten admits again. Records are kept for minutes, meters as long as the
// longest window of their limits, and up to a year after wrong guesses, audit entries as long as
// Options.AuditFor says; counters and policies are never forgotten.
//
// # Policies
//
// [Store.Policies] returns policies that administrators change while the service runs, through
// its methods or by SQL. They are the rows of the table otp_policy, which are added and
// never changed, so that the table is its own history: the newest row of a tenant,
// channel and code_usage is the policy. An empty tenant, channel or code_usage stands for all.
//
//	INSERT INTO otp_policy (channel, code_usage, policy, changed_by)
//	VALUES ('sms', 'login', '{"ttl": "3m", "max_attempts": 3}', 'ann');
//
// A policy is a JSON object. What it leaves out is the preset's, as in [otp.Policy]:
//
//	{
//	  "formats": [{"length": 6}, {"length": 10, "alphabet": "crockford"}],
//	  "ttl": "5m",
//	  "max_attempts": 5,
//	  "max_sends": 3,
//	  "live_codes": 2,
//	  "resend_interval": "30s",
//	  "limits": {
//	    "recipient": [{"n": 3, "per": "10m"}, {"n": 10, "per": "24h"}],
//	    "subject": [], "client": [], "prefix": [], "tenant": []
//	  },
//	  "require_binding": false
//	}
//
// The policy null takes away the one before it. changed_at is by the database's clock. What
// cannot be read or is out of bounds denies what it is for, with an error that names key and
// field, until somebody adds a better row. A row by "defaults" denies nothing: where the preset has
// changed and does not allow it, the values of the preset hold.
//
// # Audit
//
// With Options.AuditFor every call about a challenge is a row of the table otp_audit, whether it
// changed the challenge or was refused; what changed something is written in the same
// transaction, on PostgreSQL in the same statement, so there is no change without its row. If the
// row cannot be written, the change is not made. [Store.Audit] finds the rows of a challenge,
// a subject or a recipient, who are there as the pseudonyms that meters have: nobody without the
// keyring can tell whose they are, or look for a known number. Not in it are calls for
// challenges that the store does not hold, and limits, counters and credentials by
// themselves; otp.Config.OnEvent tells of more, but may lose what it is told.
//
// It costs a row of about 300 bytes for each call, and time: on PostgreSQL about a tenth for an
// attempt and another round trip for a refusal, on MariaDB a transaction for each attempt. Whoever
// must keep rows for longer moves them before Prune does:
//
//	WITH old AS (DELETE FROM otp_audit WHERE at < $1 RETURNING *) INSERT INTO archive SELECT * FROM old;
//
// # What is in the tables
//
// No code, handle, recipient or subject: see [otp.Record]. The statements compare keyed
// digests, so a server that logs its parameters logs nothing that helps to find a code.
// Whoever can write the tables can delete a limit, loosen a policy within its preset, or raise an
// attempt count, but not make a record that accepts: the service checks what it reads.
package sqlstore
