package totp_test

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/totp"
)

// newService is a service as any program has it, but for the clock. Its sender is for
// delivered codes, which are another factor: here nobody reads what it keeps.
func newService(clock *otptest.Clock) *otp.Service {
	secret := make([]byte, 32) // in production from a secret manager
	_, _ = rand.Read(secret)
	keys, err := otp.NewKeyring(otp.Key{ID: "2026", Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{
		Store:   memstore.New(), // in production one that survives, like sqlstore
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: &otptest.Outbox{}},
		Now:     clock.Now,
	})
	if err != nil {
		log.Fatal(err)
	}
	return svc
}

// An app is what a person holds. It knows what it was shown, and the time.
type app struct {
	secret []byte
	clock  *otptest.Clock
}

// scan reads the secret that the enrollment shows as a QR code.
func scan(e otp.Enrollment, clock *otptest.Clock) *app {
	key := strings.ReplaceAll(e.Key.Reveal(), " ", "")
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(key)
	if err != nil {
		log.Fatal(err)
	}
	return &app{secret: secret, clock: clock}
}

func (a *app) shows() string {
	code, err := totp.Code(a.secret, a.clock.Now(), totp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return code
}

// A person enrolls an app and logs in with it.
func ExampleNewVerifier() {
	ctx, clock := context.Background(), &otptest.Clock{}
	v, err := totp.NewVerifier(newService(clock), totp.Config{Issuer: "Example"})
	if err != nil {
		log.Fatal(err)
	}

	// Show e.URI as a QR code and e.Key to those who type. There is no second time.
	e, err := v.Begin(ctx, totp.Enroll{Subject: "user-17", Account: "ada@example.com", Name: "Ada's phone"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(e)
	phone := scan(e, clock)

	// The first code shows that the app has the secret. It is used up by that.
	fmt.Println("confirmed:", v.Confirm(ctx, "user-17", e.ID, phone.shows()))

	login := func(code string) {
		proof, err := v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: code})
		switch {
		case err == nil:
			fmt.Println("welcome", proof.Subject())
		case errors.Is(err, otp.ErrAlreadyVerified):
			fmt.Println("please wait for the next code")
		default:
			fmt.Println(err)
		}
	}
	login(phone.shows())
	clock.Advance(30 * time.Second)
	login(phone.shows())
	login("000000")
	// Output:
	// [redacted]
	// confirmed: <nil>
	// please wait for the next code
	// welcome user-17
	// otp: rejected
}

// Where a code alone is not enough, it needs what another factor has just proved.
func ExampleVerifier_Verify() {
	ctx, clock := context.Background(), &otptest.Clock{}
	svc := newService(clock)
	token, err := hotp.NewVerifier(svc, hotp.Config{Issuer: "Example"})
	if err != nil {
		log.Fatal(err)
	}
	v, err := totp.NewVerifier(svc, totp.Config{Issuer: "Example", SecondFactor: true})
	if err != nil {
		log.Fatal(err)
	}
	secret := []byte("12345678901234567890")
	if _, err := token.Import(ctx, "user-17", "", secret, 0, hotp.Options{}); err != nil {
		log.Fatal(err)
	}
	if _, err := v.Import(ctx, "user-17", "", secret, totp.Options{}); err != nil {
		log.Fatal(err)
	}
	code := (&app{secret, clock}).shows()

	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: code})
	fmt.Println(err)
	first, err := token.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: "755224"})
	fmt.Println(first.Factor(), err)
	second, err := v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: code, After: first})
	fmt.Println(second.Factor(), err)
	// Output:
	// otp: a fresh proof is required
	// hotp <nil>
	// totp <nil>
}

// People who come from another library keep their apps.
func ExampleVerifier_Import() {
	ctx, clock := context.Background(), &otptest.Clock{}
	v, err := totp.NewVerifier(newService(clock), totp.Config{Issuer: "Example"})
	if err != nil {
		log.Fatal(err)
	}
	secret := []byte("12345678901234567890") // a column of the old table, out of base32
	_, err = v.Import(ctx, "user-17", "", secret, totp.Options{})
	fmt.Println(err)
	_, err = v.Import(ctx, "user-17", "", secret, totp.Options{}) // the program was started again
	fmt.Println(err)
	_, err = v.Import(ctx, "user-18", "", secret[:10], totp.Options{})
	fmt.Println(err)

	_, err = v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: (&app{secret, clock}).shows()})
	fmt.Println(err)
	// Output:
	// <nil>
	// otp: invalid request: Secret is that of another credential
	// otp: secret has 10 bytes, must have at least 16
	// <nil>
}

// A token without a network is ten minutes slow. Two of its codes in a row tell.
func ExampleVerifier_Resync() {
	ctx, clock := context.Background(), &otptest.Clock{}
	svc := newService(clock)
	v, err := totp.NewVerifier(svc, totp.Config{Issuer: "Example"})
	if err != nil {
		log.Fatal(err)
	}
	secret := []byte("12345678901234567890")
	id, err := v.Import(ctx, "user-17", "key ring", secret, totp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	shows := func() string {
		code, err := totp.Code(secret, clock.Now().Add(-10*time.Minute), totp.Options{})
		if err != nil {
			log.Fatal(err)
		}
		return code
	}
	login := func() error {
		_, err := v.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "login", Code: shows()})
		return err
	}
	fmt.Println(login())

	first := shows()
	clock.Advance(30 * time.Second)
	second := shows()
	fmt.Println(v.Resync(ctx, "user-17", id, proofByOther(ctx, svc), first, second))

	clock.Advance(30 * time.Second)
	fmt.Println(login())
	// Output:
	// otp: rejected
	// <nil>
	// <nil>
}

// proofByOther is what any other factor gives: here a token.
func proofByOther(ctx context.Context, svc *otp.Service) otp.Proof {
	token, err := hotp.NewVerifier(svc, hotp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := token.Import(ctx, "user-17", "", []byte("12345678901234567890"), 0, hotp.Options{}); err != nil {
		log.Fatal(err)
	}
	proof, err := token.Verify(ctx, otp.Answer{Subject: "user-17", Usage: "change", Code: "755224"})
	if err != nil {
		log.Fatal(err)
	}
	return proof
}

// A page on which people see their devices, name them and take one away.
func ExampleVerifier_List() {
	ctx, clock := context.Background(), &otptest.Clock{}
	svc := newService(clock)
	v, err := totp.NewVerifier(svc, totp.Config{Issuer: "Example"})
	if err != nil {
		log.Fatal(err)
	}
	show := func() {
		list, err := v.List(ctx, "user-17")
		if err != nil {
			log.Fatal(err)
		}
		for _, c := range list {
			fmt.Printf("%s since %s, pending %t, disabled %t\n", c.Name, c.CreatedAt.Format(time.DateOnly), c.Pending, c.Disabled)
		}
	}
	phone, err := v.Import(ctx, "user-17", "phone", []byte("12345678901234567890"), totp.Options{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = v.Begin(ctx, totp.Enroll{Subject: "user-17", Account: "ada", Name: "tablet"})
	fmt.Println(err)
	_, err = v.Begin(ctx, totp.Enroll{Subject: "user-17", Account: "ada", Name: "tablet", Proof: proofByOther(ctx, svc)})
	fmt.Println(err)
	fmt.Println(v.Rename(ctx, "user-17", phone, "old phone"))
	show()
	fmt.Println(v.Revoke(ctx, "user-17", phone, otp.Proof{}))

	// The account is closed.
	fmt.Println(v.RevokeAll(ctx, "user-17"))
	show()
	// Output:
	// otp: a fresh proof is required
	// <nil>
	// <nil>
	// old phone since 2026-01-02, pending false, disabled false
	// tablet since 2026-01-02, pending true, disabled false
	// otp: a fresh proof is required
	// <nil>
}
