// Command customstore runs the service on a store that fits on a page (store.go), which
// the conformance suite certifies (store_test.go).
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"otp.example/otp"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	secret := make([]byte, 32) // in earnest: otp.KeyringFromEnv
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return err
	}
	var phone otp.Message
	svc, err := otp.New(otp.Config{
		Store:   newStore(),
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			phone = m
			return otp.Receipt{}, nil
		})},
	})
	if err != nil {
		return err
	}

	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+15550100"})
	if err != nil {
		return err
	}
	answer := otp.Answer{ID: ch.ID, Code: phone.Code.Reveal(), Usage: "login"}
	proof, err := svc.Verify(ctx, answer)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "Verified:", proof.Subject())
	if _, err := svc.Verify(ctx, answer); !errors.Is(err, otp.ErrRejected) {
		return fmt.Errorf("a replay was not rejected: %w", err)
	}
	fmt.Fprintln(out, "The same code again? Rejected.")
	_, err = svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+15550100"})
	if !errors.Is(err, otp.ErrRateLimited) {
		return fmt.Errorf("a second message right away was not limited: %w", err)
	}
	fmt.Fprintln(out, "Another code right away? Not yet.")
	return nil
}
