package totp_test

import (
	"errors"
	"testing"
	"time"

	"otp.example/otp/hotp"
	"otp.example/otp/totp"
)

// S-56: whatever comes in, Match does not panic, and it accepts a code if and only
// if it is, byte for byte, the one of a step in the window. Of several steps it
// returns the latest.
func FuzzMatch(f *testing.F) {
	f.Add([]byte("12345678901234567890"), "94287082", int64(59), 8, uint8(0), int64(30e9), 1)
	f.Add([]byte("12345678901234567890"), "287082", int64(89), 0, uint8(0), int64(0), 0)
	f.Add([]byte("12345678901234567890"), "287082 ", int64(59), 6, uint8(0), int64(30e9), 2)
	f.Add([]byte("12345678901234567890"), "911617", int64(27322140), 6, uint8(0), int64(30e9), 2)
	f.Add([]byte("12345678901234567890123456789012"), "77737706", int64(20000000000), 8, uint8(1), int64(30e9), 3)
	f.Add([]byte("12345678901234567890"), "\u0662\u0668\u0667", int64(59), 6, uint8(0), int64(30e9), 2)
	f.Add([]byte("12345678901234567890"), "287082", int64(-1), 6, uint8(2), int64(30), 4)

	f.Fuzz(func(t *testing.T, secret []byte, code string, seconds int64, digits int, algorithm uint8, period int64, window int) {
		o := totp.Options{Digits: digits, Algorithm: totp.Algorithm(algorithm), Period: time.Duration(period), Window: window}
		got, err := totp.Match(secret, code, time.Unix(seconds, 0), o)
		if err != nil && got != 0 {
			t.Fatalf("step %d together with %v", got, err)
		}

		if digits == 0 {
			digits = 6
		}
		if period == 0 {
			period = 30e9
		}
		if window == 0 {
			window = 2
		}
		valid := digits >= 6 && digits <= 8 && algorithm <= 2 && window >= 1 && window <= 3 && len(secret) >= 16 &&
			period >= 15e9 && period <= 120e9 && period%1e9 == 0 && time.Unix(seconds, 0).Unix() >= 0
		if !valid {
			if err == nil || errors.Is(err, totp.ErrMismatch) {
				t.Fatalf("%+v, %d bytes, %d s: %v", o, len(secret), seconds, err)
			}
			return
		}

		now := uint64(seconds) / uint64(period/1e9)
		for back := range uint64(window) {
			if back > now {
				break
			}
			want, errCode := hotp.Code(secret, now-back, hotp.Options{Digits: digits, Algorithm: o.Algorithm})
			if errCode != nil {
				t.Fatal(errCode)
			}
			if code != want {
				continue
			}
			if err != nil || got != now-back {
				t.Fatalf("%+v: %q is the code of %d, got %d, %v", o, code, now-back, got, err)
			}
			return
		}
		if !errors.Is(err, totp.ErrMismatch) {
			t.Fatalf("%+v: %q is nobody's code, got %d, %v", o, code, got, err)
		}
	})
}
