package hotp_test

import (
	"errors"
	"fmt"

	"otp.example/otp/hotp"
)

// Two logins with a token. The second tries the code of the first again.
func Example() {
	secret := []byte("12345678901234567890") // in production: 20 bytes from crypto/rand, encrypted at rest
	var next uint64                          // stored with the secret: the first counter not used yet

	login := func(code string) string {
		matched, err := hotp.Match(secret, code, next, hotp.Options{})
		if errors.Is(err, hotp.ErrMismatch) {
			return "wrong"
		}
		if err != nil {
			return "misconfigured: " + err.Error()
		}
		// With a database this is one UPDATE … WHERE counter <= matched, and the
		// number of changed rows decides.
		if next > matched {
			return "used in the meantime"
		}
		next = matched + 1
		return "welcome"
	}

	fmt.Println(login("359152")) // the button was pressed twice in vain
	fmt.Println(login("359152"))
	fmt.Println("next counter:", next)
	// Output:
	// welcome
	// wrong
	// next counter: 3
}

func ExampleCode() {
	secret := []byte("12345678901234567890")
	code, err := hotp.Code(secret, 1, hotp.Options{Digits: 8})
	fmt.Println(code, err)
	// Output: 94287082 <nil>
}

func ExampleMatch() {
	secret := []byte("12345678901234567890")

	// The token is one ahead of the server.
	matched, err := hotp.Match(secret, "287082", 0, hotp.Options{})
	fmt.Println(matched, err)

	// A strict server does not look ahead.
	_, err = hotp.Match(secret, "287082", 0, hotp.Options{Window: 1})
	fmt.Println(err)

	_, err = hotp.Match(secret[:10], "287082", 0, hotp.Options{})
	fmt.Println(err)
	// Output:
	// 1 <nil>
	// otp: code does not match
	// otp: secret has 10 bytes, must have at least 16
}

func ExampleResync() {
	secret := []byte("12345678901234567890")

	// The token was in a pocket with its button pressed; the server is at 0.
	first, _ := hotp.Code(secret, 70, hotp.Options{})
	second, _ := hotp.Code(secret, 71, hotp.Options{})

	matched, err := hotp.Resync(secret, first, second, 0, hotp.Options{})
	fmt.Println(matched, err)
	// Output: 71 <nil>
}

func ExampleAlgorithm_String() {
	fmt.Println(hotp.SHA1, hotp.SHA256, hotp.SHA512)
	// Output: SHA1 SHA256 SHA512
}
