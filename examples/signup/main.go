// Signup opens accounts for people who have proved that they read mail at an address.
//
// There is no account yet when the code is sent, so the request has no Subject. What
// becomes the account's address is the proof's Recipient: where the code was sent, and
// nothing that the browser says afterwards. The answers never tell whether an address
// has an account already; only who reads its mail finds out.
//
//	go run ./examples/signup
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"sync"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "signup:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	say := log.New(out, "", 0).Printf
	mail := &mailbox{}
	a, err := newApp(mail)
	if err != nil {
		return err
	}

	// Ann signs up. She writes her address as she likes; it is canonical from here on.
	handle, err := a.start(ctx, "ann@EXAMPLE.com", "Ann")
	if err != nil {
		return err
	}
	say("Mail to %s: %s", mail.last().To, mail.last().Content.Text)
	welcome, err := a.finish(ctx, handle, form{code: mail.code()})
	if err != nil {
		return err
	}
	say("%s", welcome)

	// Mallory proves an address of his own, and then says it was the president's.
	handle, err = a.start(ctx, "mallory@example.org", "President")
	if err != nil {
		return err
	}
	welcome, err = a.finish(ctx, handle, form{code: mail.code(), address: "president@example.gov"})
	if err != nil {
		return err
	}
	say("\nAnother address in the second form? It is not read.\n%s", welcome)

	// A code for something else is no sign-up, though it came from the same service.
	ch, err := a.otp.Request(ctx, otp.Request{Channel: otp.Email, Usage: "login", To: "carol@example.net"})
	if err != nil {
		return err
	}
	if _, err := a.finish(ctx, ch.ID, form{code: mail.code()}); !errors.Is(err, otp.ErrRejected) {
		return fmt.Errorf("a code of another usage was not refused: %w", err)
	}
	say("\nA code for a login? Refused.")

	// Bob has an account and has forgotten it. The first form answers as it does to all.
	handle, err = a.start(ctx, "bob@example.com", "Bob")
	if err != nil {
		return err
	}
	if _, err := a.finish(ctx, handle, form{code: mail.code()}); !errors.Is(err, errHasAccount) {
		return fmt.Errorf("a second account for one address: %w", err)
	}
	say("\nAn address that has an account? A code as for any other.\nWho returns it is told: %v.", errHasAccount)
	return nil
}

// An app is what a web application would keep.
type app struct {
	otp *otp.Service

	mu       sync.Mutex
	accounts map[string]string // name by address
}

var errHasAccount = errors.New("you have an account, log in instead")

// start takes the first form. The handle goes into a cookie.
func (a *app) start(ctx context.Context, address, name string) (handle string, err error) {
	ch, err := a.otp.Request(ctx, otp.Request{
		Channel: otp.Email,
		Usage:   otp.ConfirmAddress,
		To:      address,
		// What else the form said comes back with the proof, sealed: nobody has to keep
		// half an account in a database, and the browser cannot change it in between.
		Extra: []byte(name),
	})
	return ch.ID, err
}

// A form is the second one, as the browser sends it.
type form struct {
	code    string
	address string // a hidden field, in forms that somebody wrote in a hurry
}

// finish takes the second form and the handle from the cookie. It does not look at the
// address: what the browser says now is not what was proved.
func (a *app) finish(ctx context.Context, handle string, f form) (welcome string, err error) {
	proof, err := a.otp.Verify(ctx, otp.Answer{ID: handle, Code: f.code, Usage: otp.ConfirmAddress})
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// Looked up after the proof: a stranger who tries addresses learns nothing here.
	if _, exists := a.accounts[proof.Recipient()]; exists {
		return "", errHasAccount
	}
	a.accounts[proof.Recipient()] = string(proof.Extra())
	return fmt.Sprintf("Welcome, %s. Your address is %s.", proof.Extra(), proof.Recipient()), nil
}

func newApp(mail otp.Sender) (*app, error) {
	secret := make([]byte, 32) // in production: otp.KeyringFromEnv
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return nil, err
	}
	svc, err := otp.New(otp.Config{
		Store:   memstore.New(),
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.Email: mail},
	})
	if err != nil {
		return nil, err
	}
	return &app{otp: svc, accounts: map[string]string{"bob@example.com": "Bob"}}, nil
}

// A mailbox is a sender that a person reads.
type mailbox struct {
	mu     sync.Mutex
	newest otp.Message
}

func (b *mailbox) Send(_ context.Context, m otp.Message) (otp.Receipt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = m
	return otp.Receipt{Provider: "mailbox"}, nil
}

func (b *mailbox) last() otp.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

func (b *mailbox) code() string { return b.last().Code.Reveal() }
