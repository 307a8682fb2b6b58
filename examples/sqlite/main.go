// Sqlite keeps everything in one file: no server, and what was sent, guessed and used is
// still known after a restart. It asks for a code, stops, starts again on the same file,
// and there the code is right once.
//
//	go run ./examples/sqlite          # uses otp.db in a temporary directory
//	go run ./examples/sqlite -db FILE # uses FILE, again and again
package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
)

func main() {
	file := flag.String("db", "", "the database; empty means a temporary one")
	flag.Bool("demo", false, "as all examples take it; this one always ends by itself")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *file); err != nil {
		fmt.Fprintln(os.Stderr, "sqlite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, file string) error {
	say := log.New(out, "", 0).Printf
	if file == "" {
		dir, err := os.MkdirTemp("", "otp-example-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) // it is temporary
		file = filepath.Join(dir, "otp.db")
	}
	// The key is not in the file: whoever steals that has nothing. A real one comes from
	// where secrets are kept, as otp.KeyringFromEnv reads it.
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	if err := os.Setenv("OTP_KEY", base64.StdEncoding.EncodeToString(secret)); err != nil {
		return err
	}
	ann := "ann-" + rand.Text()
	request := otp.Request{Channel: otp.Email, Usage: "login", Subject: ann, To: ann + "@example.com"}

	var handle string
	var code otp.Secret
	err := withService(ctx, file, func(svc *otp.Service, _ *sqlstore.Store) error {
		ch, sent, err := svc.Issue(ctx, request) // this program delivers the code itself
		handle, code = ch.ID, sent
		return err
	})
	if err != nil {
		return err
	}
	say("A code for Ann is on its way, and the program stops.")

	return withService(ctx, file, func(svc *otp.Service, store *sqlstore.Store) error {
		var limited *otp.RateLimitError
		if _, _, err := svc.Issue(ctx, request); !errors.As(err, &limited) {
			return fmt.Errorf("the restart has made room for another message: %w", err)
		}
		say("It starts again. Another code right away? Refused by the limit on the %s.", limited.Scope)

		answer := otp.Answer{ID: handle, Code: code.Reveal(), Usage: "login"}
		proof, err := svc.Verify(ctx, answer)
		if err != nil {
			return err
		}
		if proof.Subject() != ann {
			return errors.New("it is somebody else")
		}
		say("Ann's code? Right.")
		if _, err := svc.Verify(ctx, answer); !errors.Is(err, otp.ErrAlreadyVerified) {
			return fmt.Errorf("the same code again was not refused: %w", err)
		}
		say("The same code again? Refused.")

		say("\nWhat the file tells of Ann, without her name or address:")
		entries, err := store.Audit(ctx, sqlstore.AuditQuery{Subject: svc.SubjectPseudonym(ann)})
		if err != nil {
			return err
		}
		for _, e := range entries {
			say("  %-6s %-16s %s", e.Operation, e.Outcome, e.Scope)
		}
		// Nothing is forgotten by itself. A service does this every few minutes; the
		// hour is for clocks that differ.
		_, err = svc.Prune(ctx, time.Now().Add(-time.Hour))
		return err
	})
}

// withService calls do with a service on the file, as one run of a program would.
func withService(ctx context.Context, file string, do func(*otp.Service, *sqlstore.Store) error) error {
	// These settings make SQLite keep what it has acknowledged; sqlstore.New refuses
	// weaker ones. Other drivers spell them otherwise.
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		return err
	}
	defer db.Close()
	o := sqlstore.Options{AuditFor: 30 * 24 * time.Hour}
	if err := sqlstore.Migrate(ctx, db, o); err != nil {
		return err
	}
	store, err := sqlstore.New(ctx, db, o)
	if err != nil {
		return err
	}
	defer store.Close()
	keys, err := otp.KeyringFromEnv("OTP_KEY")
	if err != nil {
		return err
	}
	svc, err := otp.New(otp.Config{
		Store:   store,
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.Email: otp.Console(io.Discard)}, // Issue sends nothing
	})
	if err != nil {
		return err
	}
	return do(svc, store)
}
