package twilioverify_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/sender/twilioverify"
)

// Logins by text message or call, with codes of Twilio's that have eight digits.
func Example() {
	provider, err := twilioverify.New(twilioverify.Config{
		AccountSID:  "AC00112233445566778899aabbccddeeff",
		Secret:      otp.NewSecret("from your vault"),
		ServiceSIDs: map[otp.Usage]string{"login": "VA00112233445566778899aabbccddeeff"},
		CodeLength:  8,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// One format, the one that the Verify service is set to, and one live code.
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{
		{Usage: "login"}: {Formats: []otp.Format{{Length: 8}}, LiveCodes: 1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	secret := make([]byte, 32) // in production: from your vault
	_, _ = rand.Read(secret)
	keys, err := otp.NewKeyring(otp.Key{ID: "2026", Secret: secret})
	if err != nil {
		fmt.Println(err)
		return
	}
	svc, err := otp.New(otp.Config{
		Store: memstore.New(), Keyring: keys, Policies: policies,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: provider, otp.Voice: provider},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	// Challenges come from svc.Request and svc.Resend, as ever. Their answers go here.
	verifier := provider.Verifier(svc)
	_, err = verifier.Verify(context.Background(), otp.Answer{ID: "no handle", Code: "12345678", Usage: "login"})
	fmt.Println(errors.Is(err, otp.ErrRejected))
	// Output: true
}
