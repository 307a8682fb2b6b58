package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"os"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
)

const login otp.Usage = "login"

// A database is what the service and its administrator use of it.
type database struct {
	db       *sql.DB
	store    *sqlstore.Store
	policies *sqlstore.Policies
}

func open(ctx context.Context, url string) (*database, error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	d := &database{db: db}
	db.SetMaxOpenConns(16)
	o := sqlstore.Options{Prefix: "otp_example_", AuditFor: 90 * 24 * time.Hour}
	// In earnest a deployment runs Migrate, with a user that may make tables.
	err = sqlstore.Migrate(ctx, db, o)
	if err == nil {
		d.store, err = sqlstore.New(ctx, db, o)
	}
	if err == nil {
		d.policies, err = d.store.Policies(ctx, otp.Default)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *database) close() {
	if d.store != nil {
		_ = d.store.Close() // it only forgets what it has prepared
	}
	_ = d.db.Close() // nothing is under way
}

// newService makes the service as every process must: of the same database and key.
func newService(d *database, phone otp.Sender) (*otp.Service, error) {
	keys, err := otp.KeyringFromEnv("OTP_KEY")
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{
		Store:    d.store,
		Keyring:  keys,
		Senders:  map[otp.Channel]otp.Sender{otp.SMS: phone},
		Policies: d.policies,
	})
}

// A question stands for a form that a person sends, an answer for the page that comes back,
// and for the message on the person's phone.
type question struct{ Subject, To, Handle, Code string }

type answer struct {
	Handle, Code string
	Valid        string // for how long the code is
	Subject      string // who has proved to be there
	Rejected     bool
	Fault        string
}

// serve is one process of the service: it answers until there are no more questions.
func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	d, err := open(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer d.close()
	var message otp.Message // questions come one after the other
	svc, err := newService(d, otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		message = m
		return otp.Receipt{Provider: "example"}, nil
	}))
	if err != nil {
		return err
	}
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		if q.Handle == "" {
			a, err = ask(ctx, svc, q, &message)
		} else {
			a, err = verify(ctx, svc, q)
		}
		if err != nil {
			a = answer{Fault: err.Error()}
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func ask(ctx context.Context, svc *otp.Service, q question, message *otp.Message) (answer, error) {
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: login, Subject: q.Subject, To: q.To})
	if err != nil {
		return answer{}, err
	}
	valid := ch.ExpiresAt.Sub(ch.CreatedAt).String()
	return answer{Handle: ch.ID, Code: message.Code.Reveal(), Valid: valid}, nil
}

func verify(ctx context.Context, svc *otp.Service, q question) (answer, error) {
	proof, err := svc.Verify(ctx, otp.Answer{ID: q.Handle, Code: q.Code, Usage: login})
	if errors.Is(err, otp.ErrRejected) {
		return answer{Rejected: true}, nil
	}
	if err != nil {
		return answer{}, err
	}
	return answer{Subject: proof.Subject()}, nil
}
