package recovery_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"strings"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/recovery"
)

func newVerifier(cfg recovery.Config) *recovery.Verifier {
	secret := make([]byte, 32) // in production from a secret manager
	_, _ = rand.Read(secret)
	keys, err := otp.NewKeyring(otp.Key{ID: "2026", Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{
		Store:   memstore.New(), // in production one that survives, like sqlstore
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: &otptest.Outbox{}}, // for delivered codes
		Now:     new(otptest.Clock).Now,
	})
	if err != nil {
		log.Fatal(err)
	}
	v, err := recovery.NewVerifier(svc, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// A set is made with the first authenticator, printed, and one of its codes used when that is lost.
func ExampleVerifier_Generate() {
	ctx, v := context.Background(), newVerifier(recovery.Config{})
	codes, err := v.Generate(ctx, "user-17", otp.Proof{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(codes), "codes such as", codes[0])

	// It may be typed without hyphens and in lower case.
	code := strings.ToLower(strings.ReplaceAll(codes[0].Reveal(), "-", ""))
	proof, err := v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: code})
	fmt.Println(proof.Factor(), err)
	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: code})
	fmt.Println(err)
	left, err := v.Remaining(ctx, "user-17")
	fmt.Println(left, err)

	// Who has used one gets a new set, and the nine are gone.
	_, err = v.Generate(ctx, "user-17", proof)
	fmt.Println(err)
	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: codes[1].Reveal()})
	fmt.Println(err)
	// Output:
	// 10 codes such as [redacted]
	// recovery <nil>
	// otp: rejected
	// 9 <nil>
	// <nil>
	// otp: rejected
}

// A mistyped code is found before anything is counted.
func ExampleVerifier_Verify() {
	ctx, v := context.Background(), newVerifier(recovery.Config{Short: true})
	codes, err := v.Generate(ctx, "user-17", otp.Proof{})
	if err != nil {
		log.Fatal(err)
	}
	code := []byte(codes[0].Reveal())
	code[0], code[1] = 'U', 'U' // no symbol of a code
	for range 1000 {
		_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: string(code)})
	}
	fmt.Println(err)
	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: codes[0].Reveal()})
	fmt.Println(err)
	// Output:
	// otp: rejected
	// <nil>
}

func ExampleText() {
	codes := []otp.Secret{
		otp.NewSecret("7K2M-Q9XF-0TWB-4HNC-6RJE-VA8F"),
		otp.NewSecret("0000-0000-0000-0000-0000-0000"),
		otp.NewSecret("QMX3-ED6P-9H0S-W2VK-5TBR-1C79"),
	}
	fmt.Print(recovery.Text(codes).Reveal())
	// Output:
	//  1. 7K2M-Q9XF-0TWB-4HNC-6RJE-VA8F     3. QMX3-ED6P-9H0S-W2VK-5TBR-1C79
	//  2. 0000-0000-0000-0000-0000-0000
}
