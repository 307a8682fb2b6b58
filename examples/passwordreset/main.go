// Passwordreset sets a new password in two requests: the first takes the code and gives
// a token, the second takes the token and the password. In between the person thinks
// of a password, for longer than a code lives, and the code is used up already.
//
// Whoever asks for an address that has no account gets the same answers in the same
// time (Conceal and Decoy), and no mail.
//
//	go run ./examples/passwordreset
package main

import (
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"sync"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "passwordreset:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	say := log.New(out, "", 0).Printf
	mail := mailbox(make(chan otp.Message, 1))

	// Messages go through a queue: a provider that takes two seconds would tell by the
	// time of the answer that there was something to send.
	queue := otp.NewQueue(mail, 100)
	sending, stop := context.WithCancel(ctx)
	var workers sync.WaitGroup
	workers.Go(func() { _ = queue.Run(sending) }) // its error is that sending ended
	defer workers.Wait()
	defer stop()

	a, err := newApp(queue)
	if err != nil {
		return err
	}

	// A stranger looks for accounts. The answers differ in nothing.
	known, err := a.forgot(ctx, rand.Text(), "ann@example.com")
	if err != nil {
		return err
	}
	unknown, err := a.forgot(ctx, rand.Text(), "nobody@example.com")
	if err != nil {
		return err
	}
	say("Asked for ann@example.com:    %s", known.page)
	say("Asked for nobody@example.com: %s", unknown.page)
	if known.page != unknown.page || len(known.handle) != len(unknown.handle) {
		return errors.New("the answers tell who has an account")
	}

	// One mail was sent, and it was Ann's.
	m, err := mail.next(ctx)
	if err != nil {
		return err
	}
	say("Mail to %s: %s", m.To, m.Content.Text)
	code := m.Code.Reveal()

	// No code is right for a challenge that stands for nobody.
	if _, err := a.code(ctx, unknown.handle, code); !errors.Is(err, otp.ErrRejected) {
		return fmt.Errorf("a code for nobody was not refused: %w", err)
	}
	say("\nAnn's code for nobody's handle? Refused.")

	token, err := a.code(ctx, known.handle, code)
	if err != nil {
		return err
	}
	say("Ann's code? Right: here is a token for the next form.")

	// However often the form is sent, one token sets one password.
	if err := a.reset(ctx, token, "battery staple"); err != nil {
		return err
	}
	say("A new password with the token? Set.")
	if err := a.reset(ctx, token, "mallory was here"); !errors.Is(err, otp.ErrAlreadyVerified) {
		return fmt.Errorf("a second password with one token was not refused: %w", err)
	}
	say("Another one with the same token? Refused: it was used.")

	for _, password := range []string{"mallory was here", "battery staple"} {
		ok, err := a.login("ann", password)
		if err != nil {
			return err
		}
		say("Login with %q: %t.", password, ok)
		if ok != (password == "battery staple") {
			return errors.New("the wrong password counts")
		}
	}
	return nil
}

// An app is what a web application would keep.
type app struct {
	otp *otp.Service

	mu       sync.Mutex
	accounts map[string]*account // by user
}

type account struct {
	address    string // as Service.Canonical returned it when it was confirmed
	salt, hash []byte
}

// An answer is what the browser gets: a page, and the handle in a cookie.
type answer struct{ page, handle string }

// forgot takes the first form. Its hidden field is a rand.Text that the server made when it
// showed the form.
func (a *app) forgot(ctx context.Context, hidden, address string) (answer, error) {
	// Accounts are looked up by what the service would send to. By what was typed, a
	// capital letter would make Ann a stranger, who gets no mail and is not told.
	to, err := a.otp.Canonical(ctx, otp.Email, address)
	if err != nil {
		return answer{}, err // it is no address, whoever asks
	}
	user, found := a.byAddress(to)
	ch, err := a.otp.Request(ctx, otp.Request{
		Channel: otp.Email,
		Usage:   otp.Recovery,
		To:      to,
		Subject: user,
		Conceal: true,
		Decoy:   !found,
		// Who clicks twice gets one challenge and one mail. Without this the second click
		// would make a challenge of its own, to which the limits send nothing, and its
		// handle would take the place of the one that the code belongs to.
		IdempotencyKey: hidden,
	})
	if err != nil {
		return answer{}, err
	}
	return answer{page: "if there is an account, you have mail", handle: ch.ID}, nil
}

// code takes the code that came by mail, and gives the token for the form with the new
// password: a hidden field, or a cookie.
func (a *app) code(ctx context.Context, handle, code string) (token string, err error) {
	proof, err := a.otp.Verify(ctx, otp.Answer{ID: handle, Code: code, Usage: otp.Recovery})
	if err != nil {
		return "", err
	}
	sealed, err := a.otp.Token(proof, 15*time.Minute)
	if err != nil {
		return "", err
	}
	return sealed.Reveal(), nil
}

// reset takes the token and the new password. It needs nothing else: who the password
// is for, the token says.
func (a *app) reset(ctx context.Context, token, password string) error {
	// Everything that may be wrong with a password is checked before Redeem, which
	// works once.
	if len(password) < 8 {
		return errShortPassword
	}
	proof, err := a.otp.Redeem(ctx, token, otp.Recovery)
	if err != nil {
		return err
	}
	// The address may have changed since the code was sent, perhaps because a thief
	// reads the old one.
	if user, found := a.byAddress(proof.Recipient()); !found || user != proof.Subject() {
		return errAddressChanged
	}
	// In earnest this also ends all sessions, and tells the owner.
	return a.setPassword(proof.Subject(), password)
}

var (
	errShortPassword  = errors.New("a password has at least 8 characters")
	errAddressChanged = errors.New("the address of the account has changed")
)

func (a *app) byAddress(address string) (user string, found bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for user, account := range a.accounts {
		if account.address == address {
			return user, true
		}
	}
	return "", false
}

// iterations is what OWASP recommends for PBKDF2-HMAC-SHA256.
const iterations = 600_000

func (a *app) setPassword(user, password string) error {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return err
	}
	hash, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accounts[user].salt, a.accounts[user].hash = salt, hash
	return nil
}

func (a *app) login(user, password string) (bool, error) {
	a.mu.Lock()
	account := *a.accounts[user]
	a.mu.Unlock()
	hash, err := pbkdf2.Key(sha256.New, password, account.salt, iterations, sha256.Size)
	return err == nil && subtle.ConstantTimeCompare(hash, account.hash) == 1, err
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
		// People type " Ann@Example.com". RFC 5321 lets a host tell Ann from ann; no two
		// accounts of this site differ by that alone.
		Normalize: func(_ context.Context, _ otp.Channel, to string) (string, error) {
			return strings.ToLower(strings.TrimSpace(to)), nil
		},
	})
	if err != nil {
		return nil, err
	}
	return &app{otp: svc, accounts: map[string]*account{"ann": {address: "ann@example.com"}}}, nil
}

// A mailbox is a sender that a person reads.
type mailbox chan otp.Message

func (b mailbox) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	select {
	case b <- m:
		return otp.Receipt{Provider: "mailbox"}, nil
	case <-ctx.Done():
		return otp.Receipt{}, fmt.Errorf("%w: %w", otp.ErrNotAccepted, ctx.Err())
	}
}

// next waits for a message: the queue sends after the service has answered.
func (b mailbox) next(ctx context.Context) (otp.Message, error) {
	select {
	case m := <-b:
		return m, nil
	case <-ctx.Done():
		return otp.Message{}, ctx.Err()
	}
}
