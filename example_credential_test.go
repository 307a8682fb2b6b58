package otp_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"

	"otp.example/otp"
	"otp.example/otp/hotp"
)

// An old key is taken out of use: everything long-lived is encrypted under the new one first.
func ExampleService_Reseal() {
	ctx, keys := context.Background(), exampleKeyring()
	svc := exampleService(&phone{}, func(c *otp.Config) { c.Keyring = keys })
	token, err := hotp.NewVerifier(svc, hotp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	for _, subject := range []string{"alice", "bob"} {
		if _, err := token.Import(ctx, subject, "", []byte("12345678901234567890"), 0, hotp.Options{}); err != nil {
			log.Fatal(err)
		}
	}
	secret := make([]byte, 32) // in production from a secret manager
	_, _ = rand.Read(secret)
	if err := keys.Rotate(otp.Key{ID: "k2", Secret: secret}); err != nil {
		log.Fatal(err)
	}
	n, err := svc.Reseal(ctx)
	fmt.Println(n, err)
	fmt.Println(keys.Retire("k1"))
	_, err = token.Verify(ctx, otp.Answer{Subject: "alice", Usage: "login", Code: "755224"})
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// <nil>
	// <nil>
}
