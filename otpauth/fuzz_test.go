package otpauth_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"otp.example/otp/hotp"
	"otp.example/otp/otpauth"
)

// S-61: whatever comes in, Parse does not panic, and a key that it returns can be
// written, read again, and be checked codes against.
func FuzzParse(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.URI)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		k, err := otpauth.Parse(uri)
		if err != nil {
			requireClean(t, err, "")
			return
		}
		requireUsable(t, k)
	})
}

// S-61: the same for exports, whose keys that can be used come with or without an
// error about the others.
func FuzzParseMigration(f *testing.F) {
	for _, payload := range []string{
		join(text(1, join(text(1, string(secret)), text(2, "Example:alice"), text(3, "Example"), number(4, 3), number(5, 2), number(6, 2))), number(2, 1), number(3, 1)),
		join(text(1, join(text(1, string(secret)), text(2, "bob"), number(6, 1), number(7, 9)))),
		join(text(1, "short")),
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
	} {
		f.Add(migration(payload))
	}
	f.Fuzz(func(t *testing.T, uri string) {
		m, err := otpauth.ParseMigration(uri)
		if err == nil && len(m.Keys) == 0 {
			t.Fatal("neither keys nor an error")
		}
		for _, k := range m.Keys {
			requireUsable(t, k)
		}
	})
}

// S-58, S-61: whatever the names and numbers are, URI refuses them or writes a URI of
// which Parse makes the same key. It refuses nothing that is in bounds.
func FuzzURI(f *testing.F) {
	f.Add("Example", "alice@example.com", secret, uint8(0), 0, int64(0), uint64(0), false)
	f.Add("A&secret=B", "100% +/?#[]@:;=", []byte("1234567890123456"), uint8(1), 8, int64(60e9), uint64(0), false)
	f.Add("日本", "\u202e\r\n", make([]byte, 128), uint8(2), 7, int64(15e9), uint64(0), false)
	f.Add("", "a", secret, uint8(3), 9, int64(-1), uint64(math.MaxUint64), true)
	f.Fuzz(func(t *testing.T, issuer, account string, secret []byte, algorithm uint8, digits int, period int64, counter uint64, isHOTP bool) {
		k := otpauth.Key{
			Issuer: issuer, Account: account, Secret: secret, Algorithm: hotp.Algorithm(algorithm),
			Digits: digits, Period: time.Duration(period), Counter: counter,
		}
		if isHOTP {
			k.Type = otpauth.HOTP
		}
		uri, err := k.URI()
		if err != nil {
			plain := strings.Trim(issuer+account, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789&%+/@.") == "" && issuer != "Steam"
			if plain && account != "" && len(issuer) <= 128 && len(account) <= 256 && len(secret) >= 16 && len(secret) <= 128 &&
				algorithm <= 2 && (digits == 0 || digits >= 6 && digits <= 8) && !isHOTP && counter == 0 && (period == 0 || period == 30e9) &&
				!strings.EqualFold(issuer, "steam") {
				t.Fatalf("refused: %v", err)
			}
			return
		}
		for i := range len(uri) {
			if uri[i] <= ' ' || uri[i] >= 0x7f {
				t.Fatalf("%q is not printable ASCII", uri)
			}
		}
		back, err := otpauth.Parse(uri)
		if err != nil {
			t.Fatalf("%q: %v", uri, err)
		}
		requireEqual(t, normal(k), back)
	})
}

// FuzzDecodeSecret: what is read is written in a way that is read alike.
func FuzzDecodeSecret(f *testing.F) {
	f.Add("GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ")
	f.Add("gezd-gnbv====")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := otpauth.DecodeSecret(s)
		if err != nil {
			return
		}
		back, err := otpauth.DecodeSecret(otpauth.Grouped(b))
		if err != nil || string(back) != string(b) || len(b) < 16 {
			t.Fatalf("%x became %x, %v", b, back, err)
		}
	})
}

// requireUsable fails unless k is what it must be after it was read.
func requireUsable(t *testing.T, k otpauth.Key) {
	t.Helper()
	uri, err := k.URI()
	if k.Dialect != otpauth.Standard {
		if err == nil {
			t.Fatalf("a key of dialect %v was written", k.Dialect)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	back, err := otpauth.Parse(uri)
	if err != nil {
		t.Fatalf("%q: %v", uri, err)
	}
	requireEqual(t, normal(k), back)
	if k.Type == otpauth.HOTP {
		_, err = k.HOTP()
	} else {
		_, err = k.TOTP()
	}
	if err != nil {
		t.Fatal(err)
	}
}
