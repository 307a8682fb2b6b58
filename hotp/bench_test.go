package hotp_test

import (
	"testing"

	"otp.example/otp/hotp"
)

func BenchmarkCode(b *testing.B) {
	for _, a := range []hotp.Algorithm{hotp.SHA1, hotp.SHA256, hotp.SHA512} {
		b.Run(a.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := hotp.Code(rfcSecret, 1, hotp.Options{Algorithm: a}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, bb := range []struct{ name, code string }{
		{"first counter", "755224"},
		{"last counter", "359152"},
		{"wrong", "000000"},
		{"no code", "00000"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = hotp.Match(rfcSecret, bb.code, 0, hotp.Options{})
			}
		})
	}
}

// What one request can cause at most.
func BenchmarkResync(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_, _ = hotp.Resync(rfcSecret, "000000", "000000", 0, hotp.Options{})
	}
}
