package hotp_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/recovery"
)

// newService is a service as any program has it, but for the clock.
func newService() *otp.Service {
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
	return svc
}

// A hardware token, whose secret and counter came with it, is enrolled and used.
func ExampleNewVerifier() {
	ctx := context.Background()
	v, err := hotp.NewVerifier(newService(), hotp.Config{Issuer: "Example"})
	if err != nil {
		log.Fatal(err)
	}
	e, err := v.Begin(ctx, hotp.Enroll{
		Subject: "user-17", Account: "ada@example.com", Name: "key ring",
		Secret: []byte("12345678901234567890"), Counter: 0,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e.URI.Reveal()) // for an app; a token needs none
	fmt.Println("confirmed:", v.Confirm(ctx, "user-17", e.ID, "755224"))

	login := func(code string) error {
		_, err := v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: code})
		return err
	}
	fmt.Println(login("969429")) // the third: the button was pressed once in vain
	fmt.Println(login("287082")) // the second is behind it now
	fmt.Println(login("338314"))
	// Output:
	// otpauth://hotp/Example:ada%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example&counter=0
	// confirmed: <nil>
	// <nil>
	// otp: rejected
	// <nil>
}

// People who come from another library keep their tokens, and the counters of those.
func ExampleVerifier_Import() {
	ctx := context.Background()
	v, err := hotp.NewVerifier(newService(), hotp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := v.Import(ctx, "user-17", "", []byte("12345678901234567890"), 3, hotp.Options{}); err != nil {
		log.Fatal(err)
	}
	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: "359152"}) // of counter 2
	fmt.Println(err)
	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: "969429"}) // of counter 3
	fmt.Println(err)
	// Output:
	// otp: rejected
	// <nil>
}

// A token was in a pocket with its button pressed. Two of its codes in a row tell how often.
func ExampleVerifier_Resync() {
	ctx, svc := context.Background(), newService()
	v, err := hotp.NewVerifier(svc, hotp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	secret := []byte("12345678901234567890")
	id, err := v.Import(ctx, "user-17", "key ring", secret, 0, hotp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	shows := func(counter uint64) string {
		code, err := hotp.Code(secret, counter, hotp.Options{})
		if err != nil {
			log.Fatal(err)
		}
		return code
	}
	fmt.Println(v.Resync(ctx, "user-17", id, otp.Proof{}, shows(70), shows(71)))

	// Another factor says that it is the person who asks. Here it is a code on paper.
	paper, err := recovery.NewVerifier(svc, recovery.Config{})
	if err != nil {
		log.Fatal(err)
	}
	codes, err := paper.Generate(ctx, "user-17", otp.Proof{})
	if err != nil {
		log.Fatal(err)
	}
	proof, err := paper.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "change", Code: codes[0].Reveal()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(v.Resync(ctx, "user-17", id, proof, shows(70), shows(71)))
	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: shows(72)})
	fmt.Println(err)
	// Output:
	// otp: a fresh proof is required
	// <nil>
	// <nil>
}
