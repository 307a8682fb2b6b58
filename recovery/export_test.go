package recovery

import (
	"context"

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
