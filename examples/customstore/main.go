// Customstore is a service on a store of your own. What a store must do is in store.go,
// on about one page; store_test.go certifies it with package storetest.
//
//	go run ./examples/customstore
//	go test ./examples/customstore
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"

	"otp.example/otp"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "customstore:", err)
		os.Exit(1)
	}
}

// run asks for a code, answers it, and tries the same answer again. It returns an error
// unless everything was as it must be.
func run(ctx context.Context, out io.Writer) error {
	// This key dies with the program; a real one comes from otp.KeyringFromEnv.
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return err
	}

	// This sender keeps the code for the answer below. A real one sends it, and nobody
	// but the person sees it.
	var code otp.Secret
	sender := otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		code = m.Code
		return otp.Receipt{Provider: "example"}, nil
	})

	svc, err := otp.New(otp.Config{
		Store:   NewStore(), // a Limiter, too, so that Config.Limiter may be nil
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.Email: sender},
	})
	if err != nil {
		return err
	}

	challenge, err := svc.Request(ctx, otp.Request{
		Channel: otp.Email, Usage: "login", Subject: "alice", To: "alice@example.com",
	})
	if err != nil {
		return err
	}
	minutes := challenge.ExpiresAt.Sub(challenge.CreatedAt).Minutes()
	fmt.Fprintf(out, "A code is on its way to alice@example.com. It is valid for %.0f minutes.\n", minutes)

	answer := otp.Answer{ID: challenge.ID, Code: code.Reveal(), Usage: "login"}
	proof, err := svc.Verify(ctx, answer)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "The right code: this is %s.\n", proof.Subject())

	switch _, err = svc.Verify(ctx, answer); {
	case err == nil:
		return errors.New("the same code was accepted again")
	case !errors.Is(err, otp.ErrAlreadyVerified):
		return err
	}
	fmt.Fprintf(out, "The same code again: %v, since it was used.\n", err)
	return nil
}
