package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strings"
)

//go:embed schema
var schemaFiles embed.FS

// Schema holds the statements that [Migrate] runs, for those who run them with a tool
// of their own: a directory for each dialect, in it a file for each version. They are
// for the prefix "otp_". Such a tool must also keep the table otp_schema, which has
// one integer column, version, and in it a row for each file that was run.
func Schema() fs.FS {
	sub, err := fs.Sub(schemaFiles, "schema")
	if err != nil {
		return schemaFiles // the directory is part of this package
	}
	return sub
}

// schemaVersion is the number of files of each dialect.
const schemaVersion = 3

// Migrate makes the tables, or brings them to the version that this package needs. It
// may run in many processes at once: one does it, and the others wait for that. It
// returns an error if the tables are newer than this package. The database's user needs
// the right to create tables for it, but not for anything else.
func Migrate(ctx context.Context, db *sql.DB, o Options) error {
	d, prefix, err := o.resolve(ctx, db)
	if err != nil {
		return err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	defer conn.Close() // it only goes back into the pool
	if err := migrateLocked(ctx, conn, d, prefix); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	return nil
}

// migrateLocked does all of it in one transaction, or, where the server commits every
// statement that makes a table, under a lock by name.
func migrateLocked(ctx context.Context, conn *sql.Conn, d Dialect, prefix string) (err error) {
	exec := func(text string, args ...any) error {
		_, err := conn.ExecContext(ctx, text, args...)
		return err
	}
	// end must reach the server whatever became of the caller: the connection goes back
	// into the pool. It is deferred before the beginning, which may have happened although
	// the driver returns an error because ctx ended.
	end := func(text string, args ...any) {
		if _, e := conn.ExecContext(context.WithoutCancel(ctx), text, args...); e != nil && err == nil {
			err = e
		}
	}
	switch d {
	case PostgreSQL:
		defer func() { end(endOf(err)) }()
		if err := exec("BEGIN"); err != nil {
			return err
		}
		h := fnv.New64a()
		h.Write([]byte("sqlstore " + prefix)) // a hash takes everything
		if err := exec("SELECT pg_advisory_xact_lock($1::bigint)", int64(h.Sum64())); err != nil {
			return err
		}
	case MySQL:
		// The name is the server's, not the database's. An hour is for large tables;
		// ctx may end it earlier.
		var got sql.NullInt64
		name := "sqlstore " + prefix
		if _, err := one(ctx, conn, "SELECT GET_LOCK(CONCAT(LEFT(MD5(DATABASE()), 8), ?), 3600)", []any{name}, &got); err != nil {
			return err
		}
		if got.Int64 != 1 {
			return errors.New("lock not granted")
		}
		defer end("DO RELEASE_LOCK(CONCAT(LEFT(MD5(DATABASE()), 8), ?))", name)
	case SQLite:
		defer func() { end(endOf(err)) }()
		for err = exec("BEGIN IMMEDIATE"); err != nil; err = exec("BEGIN IMMEDIATE") {
			if kind(err) != faultBusy || ctx.Err() != nil {
				return err
			}
		}
	}
	return migrate(ctx, conn, d, prefix)
}

func endOf(err error) string {
	if err != nil {
		return "ROLLBACK"
	}
	return "COMMIT"
}

func migrate(ctx context.Context, run runner, d Dialect, prefix string) error {
	text := strings.NewReplacer(defaultPrefix, prefix)
	if _, err := run.ExecContext(ctx, text.Replace(versionTables[d])); err != nil {
		return err
	}
	version, err := readVersion(ctx, run, prefix)
	if err != nil {
		return err
	}
	if version > schemaVersion {
		return errNewer(prefix, version)
	}
	names, err := fs.Glob(schemaFiles, "schema/"+d.String()+"/*.sql")
	if err != nil {
		return err
	}
	slices.Sort(names)
	for ; version < schemaVersion; version++ {
		file, err := schemaFiles.ReadFile(names[version])
		if err != nil {
			return err
		}
		for statement := range strings.SplitSeq(uncommented(string(file)), ";\n") {
			if strings.TrimSpace(statement) == "" {
				continue
			}
			if _, err := run.ExecContext(ctx, text.Replace(statement)); err != nil {
				return fmt.Errorf("%s: %w", names[version], err)
			}
		}
		insert := fmt.Sprintf("INSERT INTO otp_schema (version) VALUES (%d)", version+1)
		if _, err := run.ExecContext(ctx, text.Replace(insert)); err != nil {
			return err
		}
	}
	return nil
}

// uncommented removes lines that are comments: a server may not take a statement
// that is nothing else.
func uncommented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") {
			b.WriteString(line)
		}
	}
	return b.String()
}

var versionTables = map[Dialect]string{
	PostgreSQL: "CREATE TABLE IF NOT EXISTS otp_schema (version integer PRIMARY KEY)",
	MySQL:      "CREATE TABLE IF NOT EXISTS otp_schema (version INT NOT NULL PRIMARY KEY) ENGINE = InnoDB",
	SQLite:     "CREATE TABLE IF NOT EXISTS otp_schema (version INTEGER PRIMARY KEY)",
}

// readVersion reads the version of tables that exist.
func readVersion(ctx context.Context, run runner, prefix string) (int, error) {
	var version int
	text := strings.ReplaceAll("SELECT coalesce(max(version), 0) FROM otp_schema", defaultPrefix, prefix)
	_, err := one(ctx, run, text, nil, &version)
	return version, err
}

// tableExists are questions that are no error where the table is missing.
var tableExists = map[Dialect]string{
	PostgreSQL: "SELECT count(to_regclass($1::text))",
	MySQL:      "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?",
	SQLite:     "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1",
}

func checkVersion(ctx context.Context, run runner, d Dialect, prefix string) error {
	var tables int
	if _, err := one(ctx, run, tableExists[d], []any{prefix + "schema"}, &tables); err != nil {
		return fmt.Errorf("sqlstore: look for tables: %w", err)
	}
	if tables == 0 {
		return fmt.Errorf("sqlstore: there is no table %sschema here: run Migrate, or look at Options.Prefix and the database's name", prefix)
	}
	version, err := readVersion(ctx, run, prefix)
	switch {
	case err != nil:
		return fmt.Errorf("sqlstore: read the version: %w", err)
	case version < schemaVersion:
		return fmt.Errorf("sqlstore: the tables %s* have version %d, this package needs %d: run Migrate", prefix, version, schemaVersion)
	case version > schemaVersion:
		return fmt.Errorf("sqlstore: %w", errNewer(prefix, version))
	}
	return nil
}

func errNewer(prefix string, version int) error {
	return fmt.Errorf("the tables %s* have version %d, this package knows %d: use a newer release", prefix, version, schemaVersion)
}
