package totp_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	pquerna "github.com/pquerna/otp/totp"

	"otp.example/otp/totp"
)

func BenchmarkMatch(b *testing.B) {
	now := at(1234567890)
	for _, bb := range []struct {
		name, code string
		algorithm  totp.Algorithm
	}{
		{"current step", "005924", totp.SHA1},
		{"previous step", "980357", totp.SHA1},
		{"wrong", "000000", totp.SHA1},
		{"wrong, SHA256", "000000", totp.SHA256},
		{"wrong, SHA512", "000000", totp.SHA512},
		{"no code", "00000", totp.SHA1},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = totp.Match(rfcSecrets[bb.algorithm], bb.code, now, totp.Options{Algorithm: bb.algorithm})
			}
		})
	}
}

func BenchmarkCode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := totp.Code(secret, at(1234567890), totp.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMatchRatio times a wrong code in turns with the bare HMACs of its window
// by crypto/hmac (the floor) and with pquerna/otp, whose usual window is one step
// either way. Both go through the same noise, so the ratios of their medians hold
// on a busy machine too. The targets: at most 1.3 x-floor, at least 3
// x-faster-than-pquerna.
func BenchmarkMatchRatio(b *testing.B) {
	now := at(1234567890)
	step := uint64(1234567890 / 30)
	encoded := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)
	subjects := []func(){
		func() { _, _ = totp.Match(secret, "000000", now, totp.Options{}) },
		func() { floor(step-1, 2) },
		func() { _, _ = totp.Match(secret, "000000", now, totp.Options{Window: 3}) },
		func() { floor(step-2, 3) },
		func() {
			_, _ = pquerna.ValidateCustom("000000", encoded, now, pquerna.ValidateOpts{Period: 30, Skew: 1, Digits: 6})
		},
	}
	const batch = 200
	times := make([][]time.Duration, len(subjects))
	for b.Loop() {
		for i, subject := range subjects {
			start := time.Now()
			for range batch {
				subject()
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	ns := make([]float64, len(subjects))
	for i := range times {
		slices.Sort(times[i])
		ns[i] = float64(times[i][len(times[i])/2]) / batch
	}
	b.ReportMetric(0, "ns/op") // of the five together: says nothing
	b.ReportMetric(ns[0], "ns/match")
	b.ReportMetric(ns[0]/ns[1], "x-floor")
	b.ReportMetric(ns[2]/ns[3], "x-floor-of-3")
	b.ReportMetric(ns[4]/ns[0], "x-faster-than-pquerna")
	b.ReportMetric(ns[4]/ns[2], "x-faster-than-pquerna-with-3")
}

// floor is what n HMACs of one secret cost in the standard library.
func floor(first uint64, n int) byte {
	var message [8]byte
	var sum [sha1.Size]byte
	mac := hmac.New(sha1.New, secret)
	for i := range n {
		if i > 0 {
			mac.Reset()
		}
		binary.BigEndian.PutUint64(message[:], first+uint64(i))
		mac.Write(message[:])
		mac.Sum(sum[:0])
	}
	return sum[0]
}
