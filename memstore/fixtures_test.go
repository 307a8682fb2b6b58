package memstore_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"otp.example/otp"
)

// start is a time in whole microseconds, as stores keep them.
var start = time.Date(2026, 11, 21, 8, 0, 0, 123456000, time.UTC)

// The limits of a service: what a person is sent, and what may be guessed. The
// last one is out of reach, since benchmarks charge one person for ever.
var (
	sendLimits = []otp.Limit{
		{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: 24 * time.Hour}, {N: 1, Per: 30 * time.Second},
	}
	guessLimits = []otp.Limit{
		{N: 20_000, Per: 24 * time.Hour}, {N: 80_000, Per: 30 * 24 * time.Hour}, {N: 1 << 49},
	}
)

// name returns 43 characters, as long as a record's ID.
func name(i int) string {
	h := sha256.Sum256(strconv.AppendInt(nil, int64(i), 10))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// right returns the digest of the code of record(i).
func right(i int) []byte {
	h := sha256.Sum256(strconv.AppendInt([]byte("code "), int64(i), 10))
	return h[:]
}

// record returns the i-th live challenge, issued at now for five minutes.
func record(i int, now time.Time) otp.Record {
	sealed := make([]byte, 150)
	for j := range sealed {
		sealed[j] = byte(i + j)
	}
	return otp.Record{
		ID: name(i), Digests: right(i), Sealed: sealed, State: otp.StatePending,
		MaxAttempts: 5, Sends: 1, MaxSends: 3,
		CreatedAt: now, SentAt: now, ExpiresAt: now.Add(5 * time.Minute),
	}
}

// payload is what record and charges are about in bytes: strings and slices, eight
// bytes for each time, one for each small number.
func payload(r otp.Record) int {
	return len(r.ID) + len(r.Digests) + len(r.Sealed) + 3*8 + 5
}

// forgettable returns when a meter that was charged once may be forgotten.
func forgettable(limits []otp.Limit, at time.Time) time.Time {
	m, _ := otp.Meter(nil).Take(1, limits, at)
	return m.Expires()
}

// charges returns the six charges for the i-th challenge: the four of a person's
// limits, each with a key of 23 characters, and two of the client who asks.
func charges(i int, now time.Time) []otp.Charge {
	k := name(i)[:22]
	return []otp.Charge{
		{Scope: "recipient", Key: "r" + k, Cost: 1, Limits: sendLimits, At: now},
		{Scope: "subject", Key: "s" + k, Cost: 1, Limits: sendLimits, At: now},
		{Scope: "guesses", Key: "g" + k, Cost: 5000, Limits: guessLimits, At: now},
		{Scope: "guesses", Key: "h" + k, Cost: 5000, Limits: guessLimits, At: now},
		{Scope: "client", Key: "c" + k, Cost: 1, Limits: sendLimits, At: now},
		{Scope: "prefix", Key: "p" + k, Cost: 1, Limits: sendLimits, At: now},
	}
}
