package recovery

import (
	"context"
	"sync/atomic"

	"otp.example/otp/internal/credential"
)

// Parse is what Verify makes of what was typed.
var Parse = parse

// Occupy takes all room for slow hashes, until the function that it returns is called.
func (v *Verifier) Occupy() (release func()) {
	for range cap(v.slow) {
		v.slow <- struct{}{}
	}
	return func() {
		for range cap(v.slow) {
			<-v.slow
		}
	}
}

// Hash is under what a code of a set is kept.
func (v *Verifier) Hash(ctx context.Context, short bool, salt, code []byte) ([]byte, error) {
	return v.hash(ctx, &credential.Credential{Short: short, Salt: salt}, code)
}

// Slow counts the slow hashes from now on.
func (v *Verifier) Slow() *atomic.Int64 {
	n, argon := new(atomic.Int64), v.argon
	v.argon = func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte {
		n.Add(1)
		return argon(password, salt, time, memory, threads, keyLen)
	}
	return n
}

// Room is how many slow hashes there may be at a time.
func (v *Verifier) Room() int { return cap(v.slow) }
