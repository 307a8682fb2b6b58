package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"otp.example/otp"
)

// What package otp says of its fields, and for what the columns and statements have
// room. The service keeps at most three digests.
const (
	maxKey     = 128
	maxSealed  = 4 << 10
	maxDigests = otp.MaxDigests
	maxCount   = math.MaxInt32
)

func done(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("sqlstore: %w", err)
	}
	return nil
}

// isKey reports whether every server takes s for a key and gives it back unchanged.
func isKey(s string) bool {
	for i := range len(s) {
		if s[i] == 0 || s[i] > 127 {
			return false
		}
	}
	return len(s) <= maxKey
}

func checkKey(key string) error {
	if !isKey(key) {
		return fmt.Errorf("sqlstore: key is not ASCII of at most %d bytes", maxKey)
	}
	return nil
}

func checkRecord(r *otp.Record) error {
	switch {
	case r.ID == "" || !isKey(r.ID):
		return fmt.Errorf("sqlstore: record ID is not ASCII of 1 to %d bytes", maxKey)
	case len(r.Sealed) > maxSealed:
		return fmt.Errorf("sqlstore: record Sealed is longer than %d bytes", maxSealed)
	}
	for _, c := range [...]struct {
		name string
		n    int
	}{{"Attempts", r.Attempts}, {"MaxAttempts", r.MaxAttempts}, {"Sends", r.Sends}, {"MaxSends", r.MaxSends}} {
		if c.n < 0 || c.n > maxCount {
			return fmt.Errorf("sqlstore: record %s is %d and must be 0 to %d", c.name, c.n, maxCount)
		}
	}
	return checkDigests("record Digests", r.Digests)
}

func checkDigests(name string, d []byte) error {
	if len(d)%otp.DigestSize != 0 || len(d) > maxDigests*otp.DigestSize {
		return fmt.Errorf("sqlstore: %s is not 0 to %d times %d bytes", name, maxDigests, otp.DigestSize)
	}
	return nil
}

func checkReissue(digest []byte, live int) error {
	if live < 0 {
		return errors.New("sqlstore: live is negative")
	}
	return checkDigests("digest", digest)
}

func checkCharges(c []otp.Charge) error {
	for i := range c {
		if err := checkKey(c[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// micro is the precision that is kept.
func micro(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
