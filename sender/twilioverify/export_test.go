package twilioverify

import (
	"context"

	"otp.example/otp"
)

// Check asks Twilio as a Verifier does.
func Check(ctx context.Context, p *Provider, to string, a otp.Answer) (bool, error) {
	return p.check(ctx, to, a.Code, &a)
}

// Turns is how many turns are remembered.
func Turns(p *Provider) int {
	p.turns.mu.Lock()
	defer p.turns.mu.Unlock()
	return len(p.turns.m)
}

// Take takes the turn of a handle.
func Take(ctx context.Context, p *Provider, handle string) (leave func()) {
	return p.turns.take(ctx, handle)
}
