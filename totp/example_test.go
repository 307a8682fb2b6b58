package totp_test

import (
	"errors"
	"fmt"
	"time"

	"otp.example/otp/totp"
)

// Three logins with an authenticator app. The second tries the code of the first
// again.
func Example() {
	secret := []byte("12345678901234567890") // in production: 20 bytes from crypto/rand, encrypted at rest
	var used uint64                          // stored with the secret: the highest step that was used

	login := func(code string, now time.Time) string {
		step, err := totp.Match(secret, code, now, totp.Options{})
		if errors.Is(err, totp.ErrMismatch) {
			return "wrong"
		}
		if err != nil {
			return "misconfigured: " + err.Error()
		}
		// With a database this is one UPDATE … WHERE step < matched, and the number
		// of changed rows decides.
		if step <= used {
			return "used before"
		}
		used = step
		return "welcome"
	}

	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)
	fmt.Println(login("005924", now))
	fmt.Println(login("005924", now.Add(30*time.Second)))
	fmt.Println(login("005924", now.Add(60*time.Second)))
	// Output:
	// welcome
	// used before
	// wrong
}

func ExampleStep() {
	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)
	step, err := totp.Step(now, totp.Options{})
	fmt.Println(step, err)
	// Output: 41152263 <nil>
}

func ExampleCode() {
	secret := []byte("12345678901234567890")
	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)
	code, err := totp.Code(secret, now, totp.Options{Digits: 8})
	fmt.Println(code, err)
	// Output: 89005924 <nil>
}

func ExampleMatch() {
	secret := []byte("12345678901234567890")
	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)

	step, err := totp.Match(secret, "005924", now, totp.Options{})
	fmt.Println(step, err)

	// Half a minute later it is the code of the step before, which the default
	// window has and the strict one has not.
	later := now.Add(30 * time.Second)
	step, err = totp.Match(secret, "005924", later, totp.Options{})
	fmt.Println(step, err)
	_, err = totp.Match(secret, "005924", later, totp.Options{Window: 1})
	fmt.Println(err)
	// Output:
	// 41152263 <nil>
	// 41152263 <nil>
	// otp: code does not match
}

// A token whose clock is a step ahead of the server's.
func ExampleMatch_drift() {
	secret := []byte("12345678901234567890")
	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)
	const drift = 30 * time.Second // learned before, stored with the secret

	code, _ := totp.Code(secret, now.Add(30*time.Second), totp.Options{}) // what it shows

	_, err := totp.Match(secret, code, now, totp.Options{})
	fmt.Println(err)
	step, err := totp.Match(secret, code, now.Add(drift), totp.Options{})
	fmt.Println(step, err)
	// Output:
	// otp: code does not match
	// 41152264 <nil>
}

func ExampleResync() {
	secret := []byte("12345678901234567890")
	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)

	// The token's clock is ten minutes slow.
	first, _ := totp.Code(secret, now.Add(-10*time.Minute-30*time.Second), totp.Options{})
	second, _ := totp.Code(secret, now.Add(-10*time.Minute), totp.Options{})

	step, err := totp.Resync(secret, first, second, now, totp.Options{})
	current, _ := totp.Step(now, totp.Options{})
	fmt.Println("drift in steps:", int64(step)-int64(current), err)
	// Output: drift in steps: -20 <nil>
}
