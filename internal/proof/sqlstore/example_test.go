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
	ch, code, err := svc.Issue(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+15550100"})
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
