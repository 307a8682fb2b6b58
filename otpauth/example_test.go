package otpauth_test

import (
	"fmt"
	"time"

	"otp.example/otp/otpauth"
	"otp.example/otp/totp"
)

// Enrolling an authenticator app.
func Example() {
	secret := []byte("12345678901234567890") // in production: 20 bytes from crypto/rand, stored encrypted
	k := otpauth.Key{Issuer: "Example Co", Account: "alice@example.com", Secret: secret}

	uri, err := k.URI() // shown once, as a QR code
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(uri)
	fmt.Println(otpauth.Grouped(secret)) // for those who cannot scan

	// The app shows a code, which is typed back to confirm that it works.
	now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)
	options, err := k.TOTP()
	if err != nil {
		fmt.Println(err)
		return
	}
	step, err := totp.Match(k.Secret, "005924", now, options)
	fmt.Println(step, err)
	// Output:
	// otpauth://totp/Example%20Co:alice%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Example%20Co
	// GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ
	// 41152263 <nil>
}

// A key prints as [redacted], wherever it ends up.
func ExampleKey() {
	k := otpauth.Key{Issuer: "Example Co", Account: "alice", Secret: []byte("12345678901234567890")}
	fmt.Printf("%v %+v %#v\n", k, &k, []otpauth.Key{k})
	// Output: [redacted] [redacted] []otpauth.Key{[redacted]}
}

// What a user chose cannot become a parameter.
func ExampleKey_URI() {
	k := otpauth.Key{Issuer: "A&secret=AAAA", Account: "100%", Secret: []byte("12345678901234567890")}
	fmt.Println(k.URI())

	k.Account = "alice:admin"
	fmt.Println(k.URI())
	// Output:
	// otpauth://totp/A%26secret%3DAAAA:100%25?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=A%26secret%3DAAAA <nil>
	//  otp: Account contains a colon, which separates issuer and account
}

func ExampleKey_TOTP() {
	k := otpauth.Key{Account: "alice", Secret: []byte("12345678901234567890"), Digits: 8}
	fmt.Println(k.TOTP())
	// Output: {8 SHA1 30s 0} <nil>
}

func ExampleKey_HOTP() {
	k, err := otpauth.Parse("otpauth://hotp/alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=7")
	if err != nil {
		fmt.Println(err)
		return
	}
	options, err := k.HOTP()
	fmt.Println(options, k.Counter, err)
	// Output: {6 SHA1 0} 7 <nil>
}

func ExampleParse() {
	for _, uri := range []string{
		"otpauth://totp/Example%20Co%3Aalice?secret=gezd+gnbv+gy3t+qojq+gezd+gnbv+gy3t+qojq&algorithm=sha-1",
		"otpauth://totp/Customer:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Provider",
		"otpauth://totp/Steam:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
		"otpauth://totp/alice?secret=GEZDGNBVGY3TQOJQ",
	} {
		k, err := otpauth.Parse(uri)
		fmt.Printf("%q %q %q %v %d %v\n", k.Issuer, k.Account, k.LabelIssuer, k.Dialect, k.Digits, err)
	}
	// Output:
	// "Example Co" "alice" "" standard 6 <nil>
	// "Provider" "alice" "Customer" standard 6 <nil>
	// "Steam" "alice" "" steam 0 <nil>
	// "" "" "" standard 0 otp: secret has 10 bytes, must have 16 to 128
}

func ExampleParseMigration() {
	m, err := otpauth.ParseMigration("otpauth-migration://offline?data=" +
		"CjUKEPqlBekzoNEukL7qlsjBCDYSDnBpQHJhc3BiZXJyeXBpGgtyYXNwYmVycnlwaSABKAEwAhABGAEgACjr4JKK%2B%2F%2F%2F%2F%2F8B")
	if err != nil {
		fmt.Println(err) // some accounts cannot be used; the others are in m
	}
	fmt.Println("part", m.Part+1, "of", m.Parts)
	for _, k := range m.Keys {
		fmt.Println(k.Type, k.Issuer, k.Account)
	}
	// Output:
	// part 1 of 1
	// totp raspberrypi pi@raspberrypi
}

// Credentials that another library has made. Nobody enrolls again.
func ExampleDecodeSecret_migration() {
	// Rows of a database: the secret in base32, as pquerna/otp's key.Secret() and
	// gotp.RandomSecret(20) return it, and as other languages' libraries do.
	for _, row := range []struct{ account, secret string }{
		{"alice", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"},
		{"bob", "gezd gnbv gy3t qojq gezd gnbv gy3t qojq"},
		{"carol", "JBSWY3DPEHPK3PXP"},
	} {
		secret, err := otpauth.DecodeSecret(row.secret)
		if err != nil {
			fmt.Println(row.account, "has to enroll again:", err)
			continue
		}
		// Now totp.Verifier.Import takes the secret. A code from the app that the
		// person has had all along goes on being right:
		now := time.Date(2009, 2, 13, 23, 31, 30, 0, time.UTC)
		step, err := totp.Match(secret, "005924", now, totp.Options{})
		fmt.Println(row.account, step, err)
	}
	// Output:
	// alice 41152263 <nil>
	// bob 41152263 <nil>
	// carol has to enroll again: otp: secret has 10 bytes, must have 16 to 128
}

// A URI that pquerna/otp has made, from key.URL().
func ExampleParse_pquerna() {
	k, err := otpauth.Parse("otpauth://totp/Example%20Co:alice@example.com?algorithm=SHA1&digits=6&issuer=Example%20Co&period=30&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, %s, %q, %d digits, %v\n", k.Issuer, k.Account, k.Secret, k.Digits, k.Period)
	// Output: Example Co, alice@example.com, "12345678901234567890", 6 digits, 30s
}

func ExampleEncodeSecret() {
	fmt.Println(otpauth.EncodeSecret([]byte("12345678901234567890")))
	// Output: GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
}

func ExampleGrouped() {
	fmt.Println(otpauth.Grouped([]byte("12345678901234567890")))
	// Output: GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ
}

func ExampleDecodeSecret() {
	secret, err := otpauth.DecodeSecret("gezd gnbv gy3t qojq gezd gnbv gy3t qojq")
	fmt.Printf("%s %v\n", secret, err)
	// Output: 12345678901234567890 <nil>
}

func ExampleType_String() {
	fmt.Println(otpauth.TOTP, otpauth.HOTP)
	// Output: totp hotp
}

func ExampleDialect_String() {
	fmt.Println(otpauth.Standard, otpauth.Steam, otpauth.Yandex)
	// Output: standard steam yandex
}
