// Postgres is a service of two processes that share one database. A code that is asked
// for in one is verified in the other, an administrator changes the policy while they
// run, and in the end the audit trail tells what happened.
//
//	DATABASE_URL=postgres://… go run ./examples/postgres
//	go run ./examples/postgres -demo # starts a PostgreSQL for itself, if there is no DATABASE_URL
//
// It makes tables that begin with otp_example_ and leaves them. This file is the
// administrator; service.go is what each process of the service does.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"time"

	"otp.example/otp"
	"otp.example/otp/sqlstore"
)

// asService in the environment makes the program a process of the service.
const asService = "OTP_EXAMPLE_SERVICE"

func main() {
	demo := flag.Bool("demo", false, "start a PostgreSQL, if there is no DATABASE_URL")
	flag.Parse()
	var err error
	if os.Getenv(asService) != "" {
		err = serve(context.Background(), os.Stdin, os.Stdout)
	} else {
		err = run(context.Background(), os.Stdout, *demo)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, demo bool) error {
	say := log.New(out, "", 0).Printf
	url := os.Getenv("DATABASE_URL")
	if url == "" && !demo {
		return errors.New("DATABASE_URL is empty; -demo starts a PostgreSQL")
	}
	if url == "" {
		server, stop, err := startPostgres()
		if err != nil {
			return err
		}
		defer stop()
		url = server
	}
	// All processes have the same key. A real one comes from where secrets are kept.
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	for name, value := range map[string]string{"OTP_KEY": base64.StdEncoding.EncodeToString(secret), "DATABASE_URL": url} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}

	// The administrator's own view of the database makes the tables.
	admin, err := open(ctx, url)
	if err != nil {
		return err
	}
	defer admin.close()
	// What an earlier run has set.
	if err := admin.policies.Remove(ctx, otp.PolicyKey{Usage: login}, "carol"); err != nil {
		return err
	}
	first, err := start(ctx)
	if err != nil {
		return err
	}
	defer first.stop()
	second, err := start(ctx)
	if err != nil {
		return err
	}
	defer second.stop()

	// Ann is a new one in each run: her limits last for longer than the program.
	ann := "ann-" + rand.Text()
	say("Ann asks the first process for a code, and gives it to the second.")
	sent, err := first.call(question{Subject: ann, To: number()})
	if err != nil {
		return err
	}
	say("  first:  sent %d digits, valid for %s", len(sent.Code), sent.Valid)
	reply := question{Handle: sent.Handle, Code: sent.Code}
	checked, err := second.call(reply)
	if err != nil {
		return err
	}
	again, err := first.call(reply)
	if err != nil {
		return err
	}
	if checked.Subject != ann || !again.Rejected {
		return errors.New("a code must be right once")
	}
	say("  second: right, it is Ann")
	say("  first:  the same code again? Refused.")

	say("\nThe administrator wants 8 digits and 3 minutes for logins.")
	policy := otp.Policy{Formats: []otp.Format{{Length: 8}}, TTL: 3 * time.Minute}
	if err := admin.policies.Set(ctx, otp.PolicyKey{Usage: login}, policy, "carol"); err != nil {
		return err
	}
	// Within five seconds every process knows.
	for deadline := time.Now().Add(5 * time.Second); ; {
		late := time.Now().After(deadline)
		if sent, err = second.call(question{Subject: "bob-" + rand.Text(), To: number()}); err != nil {
			return err
		}
		if len(sent.Code) == 8 {
			break
		}
		if late {
			return errors.New("the second process did not see the policy")
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	say("  second: sent %d digits, valid for %s", len(sent.Code), sent.Valid)
	history, err := admin.policies.History(ctx, otp.PolicyKey{Usage: login})
	if err != nil {
		return err
	}
	newest := history[len(history)-1]
	say("  The table says: %s set it, to %s.", newest.By, newest.Policy.TTL)

	say("\nWhat the audit trail tells of Ann, without her name or number:")
	svc, err := newService(admin, otp.Console(io.Discard)) // sends nothing
	if err != nil {
		return err
	}
	entries, err := admin.store.Audit(ctx, sqlstore.AuditQuery{Subject: svc.SubjectPseudonym(ann)})
	if err != nil {
		return err
	}
	for _, e := range entries {
		say("  %-6s %-16s attempts %d", e.Operation, e.Outcome, e.Attempts)
	}
	return nil
}

// number makes up a phone number, so that nobody's limits are in the way of the next run.
func number() string {
	b := make([]byte, 7)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = '0' + b[i]%10
	}
	return "+1555" + string(b)
}

// A process is this program again, as a part of the service.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func start(ctx context.Context) (*process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Stderr = append(os.Environ(), asService+"=1"), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &process{cmd: cmd, in: in, out: json.NewDecoder(out)}, cmd.Start()
}

// call stands for an HTTP request.
func (p *process) call(q question) (a answer, err error) {
	if err := json.NewEncoder(p.in).Encode(q); err != nil {
		return a, err
	}
	if err := p.out.Decode(&a); err != nil {
		return a, err
	}
	if a.Fault != "" {
		return a, errors.New(a.Fault)
	}
	return a, nil
}

func (p *process) stop() {
	_ = p.in.Close() // which ends it
	_ = p.cmd.Wait() // it has said what there was to say
}
