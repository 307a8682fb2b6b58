package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"time"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
)

// A service on PostgreSQL. For MySQL and SQLite only the driver and the address differ.
func Example() {
	ctx := context.Background()
	// The program brings the driver: import _ "github.com/jackc/pgx/v5/stdlib".
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := sqlstore.Migrate(ctx, db, sqlstore.Options{}); err != nil {
		log.Fatal(err)
	}
	store, err := sqlstore.New(ctx, db, sqlstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	keys, err := otp.KeyringFromEnv("OTP_KEY")
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{
		Store: store, Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: otp.Console(os.Stdout)}, // in production: a provider
	})
	if err != nil {
		log.Fatal(err)
	}

	// Every few minutes, by a timer of yours:
	if _, err := svc.Prune(ctx, time.Now().Add(-time.Hour)); err != nil {
		log.Fatal(err)
	}
}

// The store and service of Example.
var (
	store *sqlstore.Store
	svc   *otp.Service
)

// Policies in the database are changed while the service runs.
func ExampleStore_Policies() {
	ctx := context.Background()
	policies, err := store.Policies(ctx, otp.Default) // for otp.Config.Policies
	if err != nil {
		log.Fatal(err)
	}
	key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
	if err := policies.Set(ctx, key, otp.Policy{TTL: 3 * time.Minute}, "ann"); err != nil {
		log.Fatal(err)
	}
}

// With Options.AuditFor the store writes down what happens to each challenge.
func ExampleStore_Audit() {
	entries, err := store.Audit(context.Background(), sqlstore.AuditQuery{Subject: svc.SubjectPseudonym("ann")})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.At, e.Operation, e.Outcome)
	}
}
