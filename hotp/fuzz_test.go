package hotp_test

import (
	"errors"
	"math"
	"testing"

	"otp.example/otp/hotp"
)

// S-56: whatever comes in, Match does not panic, and it accepts a code if and only
// if it is, byte for byte, the one of a counter in the window. Of several counters
// it returns the highest.
func FuzzMatch(f *testing.F) {
	f.Add([]byte("12345678901234567890"), "755224", uint64(0), 6, uint8(0), 3)
	f.Add([]byte("12345678901234567890"), "755224 ", uint64(0), 6, uint8(0), 3)
	f.Add([]byte("12345678901234567890"), "+55224", uint64(0), 0, uint8(0), 0)
	f.Add([]byte("12345678901234567890"), "911617", uint64(910737), 6, uint8(0), 2)
	f.Add([]byte("12345678901234567890"), "\uff17\uff15", uint64(0), 6, uint8(0), 1)
	f.Add([]byte("12345678901234567890123456789012"), "46119246", uint64(1), 8, uint8(1), 1)
	f.Add([]byte("1234567890123456789012345678901234567890123456789012345678901234"), "90693936", uint64(1), 8, uint8(2), 10)
	f.Add([]byte("123456789012345"), "755224", uint64(0), 6, uint8(0), 3)
	f.Add([]byte("12345678901234567890"), "", uint64(math.MaxUint64), 9, uint8(3), -1)

	f.Fuzz(func(t *testing.T, secret []byte, code string, counter uint64, digits int, algorithm uint8, window int) {
		o := hotp.Options{Digits: digits, Algorithm: hotp.Algorithm(algorithm), Window: window}
		matched, err := hotp.Match(secret, code, counter, o)
		if err != nil && matched != 0 {
			t.Fatalf("counter %d together with %v", matched, err)
		}

		if digits == 0 {
			digits = 6
		}
		if window == 0 {
			window = 3
		}
		valid := digits >= 6 && digits <= 8 && algorithm <= 2 && window >= 1 && window <= 10 && len(secret) >= 16 &&
			counter <= math.MaxUint64-uint64(window-1)
		if !valid {
			if err == nil || errors.Is(err, hotp.ErrMismatch) {
				t.Fatalf("%+v, %d bytes, counter %d: %v", o, len(secret), counter, err)
			}
			return
		}

		for i := window - 1; i >= 0; i-- {
			c := counter + uint64(i)
			if code != referenceCode(secret, c, digits, o.Algorithm) {
				continue
			}
			if err != nil || matched != c {
				t.Fatalf("%+v: %q is the code of %d, got %d, %v", o, code, c, matched, err)
			}
			return
		}
		if !errors.Is(err, hotp.ErrMismatch) {
			t.Fatalf("%+v: %q is nobody's code, got %d, %v", o, code, matched, err)
		}
	})
}

// A code made is a code matched, and it is the one the standard library's HMAC gives.
func FuzzCode(f *testing.F) {
	f.Add([]byte("12345678901234567890"), uint64(0), uint8(6), uint8(0))
	f.Add([]byte("12345678901234567890123456789012"), uint64(0x27BC86AA), uint8(8), uint8(1))
	f.Add(make([]byte, 129), uint64(math.MaxUint64), uint8(7), uint8(2))

	f.Fuzz(func(t *testing.T, secret []byte, counter uint64, digits, algorithm uint8) {
		o := hotp.Options{Digits: 6 + int(digits%3), Algorithm: hotp.Algorithm(algorithm % 3), Window: 1}
		code, err := hotp.Code(secret, counter, o)
		if len(secret) < 16 {
			if err == nil {
				t.Fatalf("a secret of %d bytes was taken", len(secret))
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if want := referenceCode(secret, counter, o.Digits, o.Algorithm); code != want {
			t.Fatalf("%+v, counter %d: got %s, want %s", o, counter, code, want)
		}
		if matched, err := hotp.Match(secret, code, counter, o); err != nil || matched != counter {
			t.Fatalf("%+v, counter %d: matched %d, %v", o, counter, matched, err)
		}
	})
}
