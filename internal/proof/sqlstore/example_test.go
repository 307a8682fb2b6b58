package sqlstore_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
)

// A service on SQLite. For PostgreSQL or MySQL only the driver and the address differ.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "otp")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "otp.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
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

	secret := make([]byte, 32)
	rand.Read(secret) // a real one comes from where secrets are kept
	keys, err := otp.NewKeyring(otp.Key{ID: "2026", Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{Store: store, Keyring: keys, Senders: map[otp.Channel]otp.Sender{otp.SMS: printer{}}})
	if err != nil {
		log.Fatal(err)
	}
	ch, code, err := svc.Issue(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+12025550100"})
	if err != nil {
		log.Fatal(err)
	}
	proof, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"})
	fmt.Println(proof.Subject(), err)

	// Every few minutes, by a clock of your own:
	if _, err := svc.Prune(ctx, time.Now().Add(-time.Hour)); err != nil {
		log.Fatal(err)
	}
	// Output: ann <nil>
}

// A printer delivers to nobody.
type printer struct{}

func (printer) Send(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, nil }

// Policies in the database are changed while the service runs, by Set or by SQL.
func Example_policies() {
	ctx, db, done := exampleDB()
	defer done()
	store, err := sqlstore.New(ctx, db, sqlstore.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	policies, err := store.Policies(ctx, otp.Default) // goes into otp.Config
	if err != nil {
		log.Fatal(err)
	}
	key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
	if err := policies.Set(ctx, key, otp.Policy{TTL: 3 * time.Minute}, "ann"); err != nil {
		log.Fatal(err)
	}
	// Seen by every process within five seconds:
	_, err = db.ExecContext(ctx, `INSERT INTO otp_policy (channel, code_usage, policy, changed_by) VALUES
		('sms', 'login', '{"ttl": "2m", "limits": {"recipient": [{"n": 5, "per": "24h"}]}}', 'bob')`)
	if err != nil {
		log.Fatal(err)
	}
	history, err := policies.History(ctx, key)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range history {
		fmt.Println(c.By, c.Policy.TTL, c.Policy.Limits.Recipient)
	}
	// Output:
	// ann 3m0s []
	// bob 2m0s [{5 24h0m0s}]
}

// With AuditFor the store writes down what happens to each challenge.
func Example_audit() {
	ctx, db, done := exampleDB()
	defer done()
	store, err := sqlstore.New(ctx, db, sqlstore.Options{AuditFor: 90 * 24 * time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	svc := exampleService(store)
	ch, code, err := svc.Issue(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+12025550100"})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		// The second is an error, since the code was used.
		_, _ = svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"})
	}
	entries, err := store.Audit(ctx, sqlstore.AuditQuery{Subject: svc.SubjectPseudonym("ann")})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Operation, e.Outcome)
	}
	// Output:
	// put applied
	// spend verified
	// spend already_verified
}

// exampleDB makes the tables in a temporary file.
func exampleDB() (ctx context.Context, db *sql.DB, done func()) {
	ctx = context.Background()
	dir, err := os.MkdirTemp("", "otp")
	if err != nil {
		log.Fatal(err)
	}
	db, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "otp.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
	if err != nil {
		log.Fatal(err)
	}
	if err := sqlstore.Migrate(ctx, db, sqlstore.Options{}); err != nil {
		log.Fatal(err)
	}
	return ctx, db, func() {
		_ = db.Close()        // nothing is under way
		_ = os.RemoveAll(dir) // it is temporary
	}
}

func exampleService(store *sqlstore.Store) *otp.Service {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // a real one comes from where secrets are kept
	keys, err := otp.NewKeyring(otp.Key{ID: "2026", Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{Store: store, Keyring: keys, Senders: map[otp.Channel]otp.Sender{otp.SMS: printer{}}})
	if err != nil {
		log.Fatal(err)
	}
	return svc
}
