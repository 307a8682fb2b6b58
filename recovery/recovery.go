// Package recovery makes and verifies recovery codes: codes on paper, for the day on which
// a phone or token is lost. A set of ten is made at once and shown once; each of them is
// accepted once.
//
// A code is 23 random symbols, 115 bits, and a check symbol, in groups of four:
//
//	7K2M-Q9XF-0TWB-4HNC-6RJE-VA8F
//
// So much cannot be guessed, and NIST SP 800-63B-4 section 3.1.2.2 lets it be kept as a
// plain salted hash. The [Config.Short] form is 15 random symbols and the check symbol, 75
// bits, of which that section asks a password hash: Argon2id (RFC 9106), once for each
// code that is tried. The check symbol finds every mistyped symbol and every two that
// changed places, before anything is charged; anybody can compute it, so it tells nothing.
//
// Letters may be typed in either case, and I, L and O for the digits that they look like.
//
// Recovery codes are a factor of their own: guesses at them disable nothing else, and
// those at anything else do not disable them. Whoever used one should make a new set, and
// be told of it on every other way there is (section 4.6): OnEvent is told
// [otp.EventEnrolled] for a set that was made, [otp.EventVerified] for a code that was
// used and [otp.EventRecoveryLow] when two or fewer are left.
package recovery

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"golang.org/x/crypto/argon2"

	"otp.example/otp"
	"otp.example/otp/internal/bridge"
	"otp.example/otp/internal/credential"
)

// core is what the root package does for this one.
var core = bridge.Root[interface {
	SlowHashes(s *otp.Service) chan struct{}
}]()

const (
	setSize   = 10 // codes
	saltSize  = 16
	groupSize = 4

	longCode  = 23 // random symbols, of 5 bits
	shortCode = 15
)

// A Config is what [NewVerifier] makes a Verifier from.
type Config struct {
	// Short makes codes of 16 symbols instead of 24. Each one that is tried takes 19 MiB
	// of memory and some ten milliseconds; the tenants of a service try four at a time, and
	// more wait for them. Sets that were made before keep their form.
	Short bool

	// SecondFactor asks for Answer.After: a proof, at most 10 minutes old, by another
	// factor of the same subject.
	SecondFactor bool
}

// A Verifier makes sets of recovery codes and verifies them. It keeps hashes of the codes,
// encrypted under the service's keyring, in the service's store. It is safe for concurrent
// use, by many processes as well. Make one for each tenant.
type Verifier struct {
	cfg  Config
	keep *credential.Keeper
	slow chan struct{} // room for those that hash slowly, so that guesses can take only so much memory

	argon func(password, salt []byte, time, memory uint32, threads uint8, keyLen uint32) []byte
}

var _ otp.Verifier = (*Verifier)(nil)

// What Argon2id takes: the second of the settings that OWASP recommends.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
)

// guessMass is what a guess is charged with. No guess has a chance, but NIST SP 800-63B-4
// section 3.2.2 ends at a hundred in a row all the same.
func guessMass(*credential.Credential) int64 { return credential.MinMass }

// NewVerifier returns a Verifier for the tenant of svc, whose store must be an
// [otp.CredentialStore], as every store of this repository is. Its
// otp.Config.GuessLimits must admit one code, and no more guesses than can be remembered.
func NewVerifier(svc *otp.Service, cfg Config) (*Verifier, error) {
	keep, err := credential.NewKeeper(svc, otp.FactorRecovery, guessMass, credential.Credential{}, cfg.SecondFactor)
	if err != nil {
		return nil, err
	}
	return &Verifier{cfg: cfg, keep: keep, slow: core.SlowHashes(svc), argon: argon2.IDKey}, nil
}

// Generate makes a set of ten codes, which is shown to the person once and replaces the
// one before, with the guesses at it, in the same step. If there is one, or a credential of
// another factor that is older than 10 minutes, it asks for a proof by any factor, at most
// 10 minutes old. Otherwise the zero Proof will do. See [Text] for a page to print.
func (v *Verifier) Generate(ctx context.Context, subject string, proof otp.Proof) ([]otp.Secret, error) {
	length := longCode
	if v.cfg.Short {
		length = shortCode
	}
	codes := make([]otp.Secret, setSize)
	err := v.keep.Replace(ctx, subject, proof, func() (credential.Credential, error) {
		c := credential.Credential{Salt: credential.NewSecret(saltSize), Short: v.cfg.Short}
		for i := range codes {
			code := newCode(length)
			codes[i] = otp.NewSecret(group(code))
			hash, err := v.hash(ctx, &c, code)
			if err != nil {
				return c, err
			}
			c.Codes = append(c.Codes, hash)
		}
		return c, nil
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// Verify checks a code of a.Subject. The error is nil if and only if the code is one of the
// set, had not been used, and has now been used by this call; every other is a "no", as with
// Service.Verify. What cannot be a code by its length or check symbol is
// [otp.ErrMismatch], calls no store and is not counted. Of two calls with one code at the
// same time the later may be told [otp.ErrAlreadyVerified], which costs no guess.
//
// After a hundred wrong codes in a row, or 20 in a day, the error is an
// [*otp.RateLimitError] or [otp.ErrAttemptsExceeded], until a new set is made.
func (v *Verifier) Verify(ctx context.Context, a otp.Answer) (otp.Proof, error) {
	code, ok := parse(a.Code)
	return v.keep.Verify(ctx, a, credential.Code{
		Malformed: !ok,
		Fits: func(c *credential.Credential) bool {
			return len(c.Codes) > 0 && (len(code) == shortCode+1) == c.Short
		},
		Match: func(c *credential.Credential, _ time.Time) (func(*credential.Credential) bool, error) {
			hash, err := v.hash(ctx, c, code)
			if err != nil || find(c, hash) < 0 {
				return nil, err
			}
			return func(c *credential.Credential) bool {
				i := find(c, hash)
				if i >= 0 {
					c.Codes = slices.Concat(c.Codes[:i], c.Codes[i+1:])
				}
				return i >= 0
			}, nil
		},
	})
}

// Remaining returns how many codes of a subject are left.
func (v *Verifier) Remaining(ctx context.Context, subject string) (int, error) {
	return v.keep.Remaining(ctx, subject)
}

// RevokeAll takes the codes of a subject away and forgets the guesses at them. It asks for
// no proof: it is for an administrator who knows by other means who asks, and for an account
// that is closed.
func (v *Verifier) RevokeAll(ctx context.Context, subject string) error {
	return v.keep.RevokeAll(ctx, subject)
}

// find returns the index of a hash, or -1. It compares all of them.
func find(c *credential.Credential, hash []byte) int {
	found := -1
	for i := range c.Codes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash, c.Codes[i]), i, found)
	}
	return found
}

// hash is under what a code is kept. All codes of a set share a salt, so that one that is
// tried is hashed once.
func (v *Verifier) hash(ctx context.Context, c *credential.Credential, code []byte) ([]byte, error) {
	if !c.Short {
		sum := sha256.Sum256(slices.Concat(c.Salt, code))
		return sum[:], nil
	}
	select {
	case v.slow <- struct{}{}:
		defer func() { <-v.slow }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return v.argon(code, c.Salt, argonTime, argonMemory, argonThreads, sha256.Size), nil
}

// newCode draws a code and adds its check symbol.
func newCode(length int) []byte {
	values := credential.NewSecret(length)
	for i := range values {
		values[i] &= 31 // 256 is a multiple of 32, so all are equally likely
	}
	values = append(values, check(values))
	for i := range values {
		values[i] = symbols[values[i]]
	}
	return values
}
