// Payment confirms a transfer with a code that is good for that transfer alone. The
// amount, the payee and a number of the order are the request's Binding: they stand in
// the message, so that the person reads what the code will do, and they are part of
// what the code is checked against, so that it does nothing else (Delegated Regulation
// (EU) 2018/389, article 5: "dynamic linking").
//
//	go run ./examples/payment
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
		fmt.Fprintln(os.Stderr, "payment:", err)
		os.Exit(1)
	}
}

// A transfer is what the bank is about to do.
type transfer struct {
	cents int64
	payee string
	order string // a nonce: two equal transfers are still two
}

// binding is what the person reads and what the code is bound to. Two transfers must
// never give the same text, whatever the payee is called: the amount stands first and
// has digits only, and the order stands last and has no space.
func (t transfer) binding() string {
	return fmt.Sprintf("%d.%02d EUR to %s, order %s", t.cents/100, t.cents%100, t.payee, t.order)
}

const annsNumber = "+12025550100"

// request asks for a code for one transfer.
func request(t transfer) otp.Request {
	return otp.Request{Channel: otp.SMS, Usage: otp.Payment, Subject: "ann", To: annsNumber, Binding: t.binding()}
}

func run(ctx context.Context, out io.Writer) error {
	say := log.New(out, "", 0).Printf
	phone := &phone{}
	svc, err := newService(phone)
	if err != nil {
		return err
	}

	// The PSD2 preset refuses to send a payment code that is bound to nothing.
	unbound := otp.Request{Channel: otp.SMS, Usage: otp.Payment, Subject: "ann", To: annsNumber}
	if _, err := svc.Request(ctx, unbound); !errors.Is(err, otp.ErrInvalidRequest) {
		return fmt.Errorf("a payment without a binding was not refused: %w", err)
	}
	say("A code for no payment in particular? Refused.")

	order := transfer{cents: 4990, payee: "Blue Bottle Books", order: rand.Text()[:8]}
	ch, err := svc.Request(ctx, request(order))
	if err != nil {
		return err
	}
	say("Ann's phone shows: %s", phone.last().Content.Text)

	// Something between Ann and the bank changes the transfer, and sends the code that
	// Ann typed. The binding is made anew from what is about to be done, never taken
	// from the client or from the request above.
	for _, changed := range []struct {
		what string
		t    transfer
	}{
		{"amount", transfer{499000, order.payee, order.order}},
		{"payee", transfer{order.cents, "Red Bottle Books", order.order}},
		{"order", transfer{order.cents, order.payee, rand.Text()[:8]}},
	} {
		_, err := confirm(ctx, svc, ch.ID, phone.last().Code.Reveal(), changed.t)
		if !errors.Is(err, otp.ErrMismatch) {
			return fmt.Errorf("another %s was not refused: %w", changed.what, err)
		}
		say("Her code with another %s? Refused, as a wrong code.", changed.what)
	}

	done, err := confirm(ctx, svc, ch.ID, phone.last().Code.Reveal(), order)
	if err != nil {
		return err
	}
	say("Her code with her transfer? Done: %s.", done)

	if _, err := confirm(ctx, svc, ch.ID, phone.last().Code.Reveal(), order); !errors.Is(err, otp.ErrAlreadyVerified) {
		return fmt.Errorf("the transfer was not refused a second time: %w", err)
	}
	say("The same again? Refused: the code was used.")
	return nil
}

// confirm does the transfer if the code is for it. The proof goes to the books: it says
// what was confirmed, by whom, and to which number the code was sent.
func confirm(ctx context.Context, svc *otp.Service, handle, code string, t transfer) (done string, err error) {
	proof, err := svc.Verify(ctx, otp.Answer{ID: handle, Code: code, Usage: otp.Payment, Binding: t.binding()})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, confirmed by %s with a code to %s", proof.Binding(), proof.Subject(), proof.Recipient()), nil
}

func newService(sms otp.Sender) (*otp.Service, error) {
	secret := make([]byte, 32) // in production: otp.KeyringFromEnv
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return nil, err
	}
	policies, err := otp.NewPolicies(otp.PSD2, nil)
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{
		Store:    memstore.New(),
		Keyring:  keys,
		Senders:  map[otp.Channel]otp.Sender{otp.SMS: sms},
		Policies: policies,
	})
}

// A phone is a sender that a person reads.
type phone struct {
	mu     sync.Mutex
	newest otp.Message
}

func (p *phone) Send(_ context.Context, m otp.Message) (otp.Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = m
	return otp.Receipt{Provider: "phone"}, nil
}

func (p *phone) last() otp.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}
