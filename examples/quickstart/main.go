// Quickstart is a one-time password from the request to the audit log. It asks for an
// e-mail address and a code, which it prints instead of sending it, and then shows what
// happens to somebody who uses a code twice, asks for messages too fast, or guesses.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -demo # answers its questions itself
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func main() {
	demo := flag.Bool("demo", false, "answer the questions without a person")
	flag.Parse()
	if err := run(context.Background(), os.Stdin, os.Stdout, *demo); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// run returns an error unless everything was as it must be.
func run(ctx context.Context, in io.Reader, out io.Writer, demo bool) error {
	// A service needs a store, a key and a sender. This key dies with the program, and
	// the codes with it; a real one is 32 random bytes from otp.KeyringFromEnv.
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return err
	}
	box := &mailbox{console: otp.Console(out)}
	var audit auditLog
	svc, err := otp.New(otp.Config{
		Store:   memstore.New(),
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.Email: box},
		OnEvent: audit.add,
	})
	if err != nil {
		return err
	}

	d := &dialog{Logger: log.New(out, "", 0), in: bufio.NewScanner(in), demo: demo}
	used, err := login(ctx, svc, d, box)
	if err != nil {
		return err
	}
	if err := replay(ctx, svc, d, used); err != nil {
		return err
	}
	if err := guess(ctx, svc, d, box); err != nil {
		return err
	}
	d.Printf("\nWhat the audit log says, without a code or a whole address:")
	for _, e := range audit.all() {
		d.Printf("  %-10s %-20s %s", e.Type, e.Reason, e.MaskedTo)
	}
	return nil
}

// login sends a code and takes answers until one is right. It returns that one.
func login(ctx context.Context, svc *otp.Service, d *dialog, box *mailbox) (otp.Answer, error) {
	var (
		ch      otp.Challenge
		request otp.Request
	)
	for ch.ID == "" {
		address, err := d.ask("Your e-mail address?", "ann@example.com")
		if err != nil {
			return otp.Answer{}, err
		}
		// The usage keeps codes apart: one for a login never confirms a payment.
		request = otp.Request{Channel: otp.Email, Usage: "login", To: address}
		ch, err = svc.Request(ctx, request)
		if errors.Is(err, otp.ErrInvalidRequest) && !d.demo {
			d.Printf("%v", err)
			continue
		}
		if err != nil {
			return otp.Answer{}, err
		}
	}

	// Limits are charged before anything is sent, so nobody can be flooded.
	var limited *otp.RateLimitError
	if _, err := svc.Request(ctx, request); !errors.As(err, &limited) {
		return otp.Answer{}, fmt.Errorf("a second message at once was not refused: %w", err)
	}
	d.Printf("A second message right away? Refused: wait %s.", limited.RetryAfter.Round(time.Second))

	for {
		code, err := d.ask("\nThe code in the message?", box.code())
		if err != nil {
			return otp.Answer{}, err
		}
		// ch.ID is the handle. A web app keeps it in a cookie: without it nobody can
		// even try, not knowing the code nor spending the attempts.
		answer := otp.Answer{ID: ch.ID, Code: code, Usage: "login"}
		proof, err := svc.Verify(ctx, answer)
		if err == nil { // the only yes there is
			d.Printf("Welcome, %s.", proof.Recipient())
			return answer, nil
		}
		// Only because this person is at our own terminal: a web page says no more
		// than "rejected".
		if !errors.Is(err, otp.ErrMismatch) || d.demo {
			return otp.Answer{}, err
		}
		if wrong, counted := errors.AsType[*otp.MismatchError](err); counted {
			d.Printf("That is not it. Tries left: %d.", wrong.AttemptsLeft)
		} else {
			d.Printf("That cannot be it: a code has %d digits.", len(box.code()))
		}
	}
}

// replay tries a code that was used.
func replay(ctx context.Context, svc *otp.Service, d *dialog, used otp.Answer) error {
	if _, err := svc.Verify(ctx, used); !errors.Is(err, otp.ErrAlreadyVerified) {
		return fmt.Errorf("the same code again was not refused: %w", err)
	}
	d.Printf("The same code again? Refused: it was used.")
	return nil
}

// guess tries wrong codes until there are no tries left, then the right one.
func guess(ctx context.Context, svc *otp.Service, d *dialog, box *mailbox) error {
	d.Printf("\nSomebody asks for a code to another address and guesses at it.")
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.Email, Usage: "login", To: "somebody.else@example.net"})
	if err != nil {
		return err
	}
	right := box.code()
	for left := ch.AttemptsLeft; left > 0; left-- {
		_, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: another(right), Usage: "login"})
		var wrong *otp.MismatchError
		if !errors.As(err, &wrong) || wrong.AttemptsLeft != left-1 {
			return fmt.Errorf("a wrong code was not counted: %w", err)
		}
		d.Printf("A wrong code? Refused. Tries left: %d.", wrong.AttemptsLeft)
	}
	if _, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: right, Usage: "login"}); !errors.Is(err, otp.ErrAttemptsExceeded) {
		return fmt.Errorf("a code without tries left was not refused: %w", err)
	}
	d.Printf("The right code? Refused: it comes too late.")
	return nil
}

// another returns a code of the same form.
func another(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

// A dialog prints lines and asks questions, which it answers itself in a demo.
type dialog struct {
	*log.Logger
	in   *bufio.Scanner
	demo bool
}

func (d *dialog) ask(question, demoAnswer string) (string, error) {
	d.Printf("%s", question)
	if d.demo {
		d.Printf("> %s", demoAnswer)
		return demoAnswer, nil
	}
	if d.in.Scan() {
		return d.in.Text(), nil
	}
	if err := d.in.Err(); err != nil {
		return "", err
	}
	return "", io.ErrUnexpectedEOF
}

// A mailbox is a sender: it prints what it is given and remembers the newest code.
type mailbox struct {
	console otp.Sender

	mu     sync.Mutex // senders are called from many goroutines
	newest otp.Secret
}

func (b *mailbox) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	b.mu.Lock()
	b.newest = m.Code
	b.mu.Unlock()
	return b.console.Send(ctx, m)
}

func (b *mailbox) code() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest.Reveal()
}

// An auditLog keeps what OnEvent is told. In earnest that is otp.LogEvents or a table.
type auditLog struct {
	mu     sync.Mutex
	events []otp.Event
}

func (a *auditLog) add(_ context.Context, e otp.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

func (a *auditLog) all() []otp.Event {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.events
}
