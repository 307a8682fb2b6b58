package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"otp.example/otp"
)

// What package otp says of its fields, and for what a record has room. The service keeps
// at most three digests.
const (
	maxKey     = 128
	maxSealed  = 4 << 10
	maxDigests = otp.MaxDigests
	maxCount   = math.MaxInt32
	maxCharges = 200 // their numbers have a byte
)

// maxExact is where the numbers of Lua, which are doubles, stop being exact, and maxTime
// where microseconds since 1970 do: in the year 2255.
const (
	maxExact = 1 << 53
	maxTime  = maxExact
)

func done(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("redisstore: %w", err)
	}
	return nil
}

func isKey(s string) bool {
	for i := range len(s) {
		if s[i] > 127 {
			return false
		}
	}
	return len(s) <= maxKey
}

func checkKey(key string) error {
	if !isKey(key) {
		return fmt.Errorf("redisstore: key is not ASCII of at most %d bytes", maxKey)
	}
	return nil
}

// checkTime is for times that scripts compare.
func checkTime(name string, t time.Time) error {
	if us := t.UnixMicro(); us < 0 || us >= maxTime {
		return fmt.Errorf("redisstore: %s is before 1970 or after 2254", name)
	}
	return nil
}

func checkRecord(r *otp.Record) error {
	switch {
	case r.ID == "" || !isKey(r.ID):
		return fmt.Errorf("redisstore: record ID is not ASCII of 1 to %d bytes", maxKey)
	case len(r.Sealed) > maxSealed:
		return fmt.Errorf("redisstore: record Sealed is longer than %d bytes", maxSealed)
	}
	for _, c := range [...]struct {
		name string
		n    int
	}{{"Attempts", r.Attempts}, {"MaxAttempts", r.MaxAttempts}, {"Sends", r.Sends}, {"MaxSends", r.MaxSends}} {
		if c.n < 0 || c.n > maxCount {
			return fmt.Errorf("redisstore: record %s is %d and must be 0 to %d", c.name, c.n, maxCount)
		}
	}
	return errors.Join(checkTime("record ExpiresAt", r.ExpiresAt), checkDigests("record Digests", r.Digests))
}

func checkDigests(name string, d []byte) error {
	if len(d)%otp.DigestSize != 0 || len(d) > maxDigests*otp.DigestSize {
		return fmt.Errorf("redisstore: %s is not 0 to %d times %d bytes", name, maxDigests, otp.DigestSize)
	}
	return nil
}

func checkReissue(digest []byte, live int) error {
	if live < 0 {
		return errors.New("redisstore: live is negative")
	}
	return checkDigests("digest", digest)
}

func checkCharges(c []otp.Charge) error {
	if len(c) > maxCharges {
		return fmt.Errorf("redisstore: more than %d charges", maxCharges)
	}
	for i := range c {
		if err := checkKey(c[i].Key); err != nil {
			return err
		}
	}
	return nil
}

// lookup is what every call with an ID begins with. An ID that the store could not
// keep is not asked for.
func lookup(ctx context.Context, id string) error {
	if err := done(ctx); err != nil {
		return err
	}
	if id == "" || !isKey(id) {
		return otp.ErrNotFound
	}
	return nil
}

// micro is the precision that is kept.
func micro(t time.Time) time.Time { return time.UnixMicro(t.UnixMicro()).UTC() }
