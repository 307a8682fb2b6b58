package totp

import (
	"context"
	"errors"
	"time"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/internal/credential"
	"otp.example/otp/internal/hide"
	"otp.example/otp/internal/keyuri"
)

// A Config is what [NewVerifier] makes a Verifier from.
type Config struct {
	// Issuer names the service, as apps show it beside the account. Required to enroll;
	// at most 128 bytes without a colon.
	Issuer string

	// Options are those of new credentials, which keep theirs. The zero value is what
	// every app understands.
	Options Options

	// SecondFactor asks for Answer.After: a proof, at most 10 minutes old, by another
	// factor of the same subject. Set it where a code alone must not be enough.
	SecondFactor bool
}

// A Verifier enrolls authenticator apps and verifies their codes. It keeps each
// subject's credentials, encrypted under the service's keyring, in the service's store.
// It is safe for concurrent use, by many processes as well. Make one for each tenant.
type Verifier struct {
	cfg  Config
	keep *credential.Keeper
}

var _ otp.Verifier = (*Verifier)(nil)

// lateInRow is how many codes in a row have to be those of the oldest step before the
// token's clock is taken to be slow. Who types slowly has one in three of them.
const lateInRow = 16

// NewVerifier returns a Verifier for the tenant of svc, whose store must be an
// [otp.CredentialStore], as every store of this repository is. The error names the
// field of cfg that is out of bounds, or otp.Config.GuessLimits, which must admit one code of
// what cfg enrolls, and no more guesses than can be remembered. An empty Issuer is an error of
// Begin, since a Verifier that does not enroll needs none.
func NewVerifier(svc *otp.Service, cfg Config) (*Verifier, error) {
	o, err := cfg.Options.withDefaults()
	if err != nil {
		return nil, err
	}
	if o.Digits == 0 {
		o.Digits = keyuri.DefaultDigits
	}
	cfg.Options = o
	if _, err := Code(make([]byte, secretSize(o.Algorithm)), time.Unix(0, 0), o); err != nil {
		return nil, err
	}
	if err := keyuri.CheckName("Issuer", cfg.Issuer, keyuri.MaxIssuer); err != nil {
		return nil, err
	}
	own := credential.Credential{Digits: o.Digits, Window: o.Window}
	keep, err := credential.NewKeeper(svc, otp.FactorTOTP, mass, own, cfg.SecondFactor)
	if err != nil {
		return nil, err
	}
	return &Verifier{cfg: cfg, keep: keep}, nil
}

func mass(c *credential.Credential) int64 { return credential.Mass(c.Digits, options(c).Window) }

// secretSize is the size of the hash, as RFC 6238 §5.1 recommends.
func secretSize(a Algorithm) int {
	switch a {
	case SHA256:
		return 32
	case SHA512:
		return 64
	}
	return 20
}

// hidden makes the struct that embeds it print and encode as [redacted].
type hidden = hide.Hidden

// An Enroll says who enrolls what. It prints as [redacted].
type Enroll struct {
	hidden
	Subject string    // required
	Account string    // required: how the person is called here, as the app shows it; at most 256 bytes
	Name    string    // of the device, for List; at most 64 bytes
	Proof   otp.Proof // required if the subject has a credential of any factor: at most 10 minutes old, by any factor
	Secret  []byte    // of a hardware token, 16 to 128 bytes; nil means a new one
}

// Begin makes a credential, to be confirmed within 10 minutes. Until then it verifies
// nothing, and the subject's others go on working. One at a time can be pending: a second
// Begin takes its place, and the code scanned before can no longer be confirmed. So call it
// for a POST, not when a page is loaded.
func (v *Verifier) Begin(ctx context.Context, e Enroll) (otp.Enrollment, error) {
	o := v.cfg.Options
	if v.cfg.Issuer == "" {
		return otp.Enrollment{}, errors.New("otp: totp.Config.Issuer is required to enroll")
	}
	if e.Secret == nil {
		e.Secret = credential.NewSecret(secretSize(o.Algorithm))
	}
	uri, err := keyuri.Key{
		Type: "totp", Issuer: v.cfg.Issuer, Account: e.Account, Secret: e.Secret,
		Algorithm: o.Algorithm.String(), Digits: o.Digits, Period: o.Period,
	}.URI()
	if err != nil {
		return otp.Enrollment{}, credential.Invalid(err)
	}
	id, err := v.keep.Begin(ctx, e.Subject, e.Proof, newCredential(e.Name, e.Secret, o))
	if err != nil {
		return otp.Enrollment{}, err
	}
	return otp.Enrollment{ID: id, URI: otp.NewSecret(uri), Key: otp.NewSecret(keyuri.Grouped(e.Secret))}, nil
}

func newCredential(name string, secret []byte, o Options) credential.Credential {
	return credential.Credential{
		Name: name, Secret: secret, Digits: o.Digits, Algorithm: uint8(o.Algorithm),
		Period: int(o.Period / time.Second), Window: o.Window,
	}
}

// Confirm makes a pending credential active, with the first code that the app shows.
// That code is used up. Credentials that too many guesses had disabled are gone then, and
// if no other is active the guesses are forgotten with them.
//
// Wrong codes are not counted: call it only for the session that began. It proves
// nothing: what follows an enrollment is a code, or the proof before it.
func (v *Verifier) Confirm(ctx context.Context, subject, id, code string) error {
	return v.keep.Confirm(ctx, subject, id, once(code))
}

// Import makes a credential active without a code: for secrets that people use already,
// from another library's database. Their codes are checked with o. It asks for no proof,
// so do not call it from a handler. Where guesses have disabled the factor it is refused: the
// person enrolls anew, or RevokeAll comes before it.
func (v *Verifier) Import(ctx context.Context, subject, name string, secret []byte, o Options) (id string, err error) {
	if o, err = o.withDefaults(); err != nil {
		return "", err
	}
	if o.Digits == 0 {
		o.Digits = keyuri.DefaultDigits
	}
	if _, err := Code(secret, time.Unix(0, 0), o); err != nil {
		return "", err
	}
	if err := keyuri.CheckSecret(secret); err != nil {
		return "", err
	}
	return v.keep.Import(ctx, subject, newCredential(name, secret, o))
}

// Verify checks a code of a.Subject, against all of the subject's credentials or against
// that of a.ID. Ask for it after another factor, be it a password: wrong codes of whoever
// comes this far are charged to the subject, and can disable its app. The error is nil if
// and only if the code was right, had not been used, and has now been used by this call;
// every other is a "no", as with Service.Verify.
//
// A code that was used before is [otp.ErrAlreadyVerified]: the person may be told to wait
// for the next one. It is charged only to the other apps that it was tried against. After
// too many wrong codes the error is an [*otp.RateLimitError], and at one in ten thousand
// chances, which are 50 guesses at six digits and two steps, [otp.ErrAttemptsExceeded]: then
// the person has to enroll anew, with a proof by another factor, or to be helped by an
// administrator; see RevokeAll. The guesses begin anew with that.
//
// It costs two round trips to the store, and a third if the code was right or had been
// used. What cannot be a code costs none.
func (v *Verifier) Verify(ctx context.Context, a otp.Answer) (otp.Proof, error) {
	return v.keep.Verify(ctx, a, once(a.Code))
}

// once is a code that is tried in the window of a credential.
func once(typed string) credential.Code {
	code, ok := credential.Typed(typed)
	return credential.Code{
		Malformed: !ok,
		Fits:      func(c *credential.Credential) bool { return len(code) == c.Digits },
		Match: func(c *credential.Credential, now time.Time) (func(*credential.Credential) bool, error) {
			o := options(c)
			step, err := Match(c.Secret, code, now.Add(time.Duration(c.Drift)*o.Period), o)
			if errors.Is(err, ErrMismatch) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			current, err := Step(now, o)
			return func(c *credential.Credential) bool {
				if !c.Burn(step) {
					return false
				}
				learn(c, int(int64(step)-int64(current))-c.Drift)
				return true
			}, err
		},
	}
}

func options(c *credential.Credential) Options {
	return Options{
		Digits: c.Digits, Algorithm: Algorithm(c.Algorithm), Window: min(c.Window+c.Slow, maxWindow),
		Period: time.Duration(c.Period) * time.Second,
	}
}

// learn follows a clock that goes slow: when many codes in a row were those of the oldest
// step, the window gets one step more at that end, if it has fewer than three. A code of the
// newest step takes that step away again: the clock was mended. behind is zero for the
// newest and negative for the others. A clock that goes fast shows codes which are not in
// the window, so nothing is learned of it; see Resync.
func learn(c *credential.Credential, behind int) {
	switch {
	case behind == 0:
		c.Slow, c.Late = 0, 0
	case c.Slow > 0 || c.Window == maxWindow || behind != 1-c.Window:
		c.Late = 0
	default:
		if c.Late++; c.Late == lateInRow {
			c.Slow, c.Late = 1, 0
		}
	}
}

// Resync finds a token whose clock is up to fifty steps off, with two codes that it showed
// one right after the other (RFC 6238 §6), and uses them up. It asks for the proof of
// another factor, at most 10 minutes old. It is charged like a guess.
func (v *Verifier) Resync(ctx context.Context, subject, id string, proof otp.Proof, first, second string) error {
	code1, ok1 := credential.Typed(first)
	code2, ok2 := credential.Typed(second)
	return v.keep.Resync(ctx, subject, id, proof, credential.Code{
		Malformed: !ok1 || !ok2,
		Fits:      func(c *credential.Credential) bool { return len(code1) == c.Digits && len(code2) == c.Digits },
		Match: func(c *credential.Credential, now time.Time) (func(*credential.Credential) bool, error) {
			o := options(c)
			step, err := Resync(c.Secret, code1, code2, now, o)
			if errors.Is(err, hotp.ErrMismatch) {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			current, err := Step(now, o)
			return func(c *credential.Credential) bool {
				if !c.Burn(step) {
					return false
				}
				c.Drift, c.Slow, c.Late = int(int64(step)-int64(current)), 0, 0
				return true
			}, err
		},
	})
}

// List describes the credentials of a subject, oldest first.
func (v *Verifier) List(ctx context.Context, subject string) ([]otp.Credential, error) {
	return v.keep.List(ctx, subject)
}

// Rename gives a credential another name, of at most 64 bytes.
func (v *Verifier) Rename(ctx context.Context, subject, id, name string) error {
	return v.keep.Rename(ctx, subject, id, name)
}

// Revoke takes a credential away. It asks for a proof by any factor, at most 10 minutes
// old, unless the credential is pending. The guesses stay charged while another is active;
// if none is, they are forgotten when the next one becomes active. So take a lost app away
// before the new one is confirmed.
func (v *Verifier) Revoke(ctx context.Context, subject, id string, proof otp.Proof) error {
	return v.keep.Revoke(ctx, subject, id, proof)
}

// RevokeAll takes all credentials of a subject away and forgets the guesses at them. It
// asks for no proof: it is for an administrator who knows by other means who asks, and for
// an account that is closed.
func (v *Verifier) RevokeAll(ctx context.Context, subject string) error {
	return v.keep.RevokeAll(ctx, subject)
}
