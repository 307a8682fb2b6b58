package hotp

import (
	"context"
	"errors"
	"time"

	"otp.example/otp"
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
	// every app and token understands.
	Options Options

	// SecondFactor asks for Answer.After: a proof, at most 10 minutes old, by another
	// factor of the same subject. Set it where a code alone must not be enough.
	SecondFactor bool
}

// A Verifier enrolls hardware tokens and apps that count, and verifies their codes. It
// keeps each subject's credentials, encrypted under the service's keyring, in the
// service's store. It is safe for concurrent use, by many processes as well. Make one for
// each tenant.
type Verifier struct {
	cfg  Config
	keep *credential.Keeper
}

var _ otp.Verifier = (*Verifier)(nil)

// secretSize is what RFC 4226 §4 recommends.
const secretSize = 20

// NewVerifier returns a Verifier for the tenant of svc, whose store must be an
// [otp.CredentialStore], as every store of this repository is. The error names the
// field of cfg that is out of bounds, or otp.Config.GuessLimits, which must admit one code of
// what cfg enrolls, and no more guesses than can be remembered. An empty Issuer is an error of
// Begin, since a Verifier that does not enroll needs none.
func NewVerifier(svc *otp.Service, cfg Config) (*Verifier, error) {
	o, err := cfg.Options.withDefaults(make([]byte, secretSize))
	if err != nil {
		return nil, err
	}
	cfg.Options = o
	if err := keyuri.CheckName("Issuer", cfg.Issuer, keyuri.MaxIssuer); err != nil {
		return nil, err
	}
	own := credential.Credential{Digits: o.Digits, Window: o.Window}
	keep, err := credential.NewKeeper(svc, otp.FactorHOTP, mass, own, cfg.SecondFactor)
	if err != nil {
		return nil, err
	}
	return &Verifier{cfg: cfg, keep: keep}, nil
}

func mass(c *credential.Credential) int64 { return credential.Mass(c.Digits, c.Window) }

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
	Counter uint64    // of a hardware token: the first that it has not shown
}

// Begin makes a credential, to be confirmed within 10 minutes. Until then it verifies
// nothing, and the subject's others go on working. One at a time can be pending: a second
// Begin takes its place, and the first can no longer be confirmed. So call it for a POST,
// not when a page is loaded.
func (v *Verifier) Begin(ctx context.Context, e Enroll) (otp.Enrollment, error) {
	o := v.cfg.Options
	if v.cfg.Issuer == "" {
		return otp.Enrollment{}, errors.New("otp: hotp.Config.Issuer is required to enroll")
	}
	if e.Secret == nil {
		e.Secret = credential.NewSecret(secretSize)
	}
	uri, err := keyuri.Key{
		Type: "hotp", Issuer: v.cfg.Issuer, Account: e.Account, Secret: e.Secret,
		Algorithm: o.Algorithm.String(), Digits: o.Digits, Counter: e.Counter,
	}.URI()
	if err != nil {
		return otp.Enrollment{}, credential.Invalid(err)
	}
	c, err := newCredential(e.Name, e.Secret, e.Counter, o)
	if err != nil {
		return otp.Enrollment{}, credential.Invalid(err)
	}
	id, err := v.keep.Begin(ctx, e.Subject, e.Proof, c)
	if err != nil {
		return otp.Enrollment{}, err
	}
	return otp.Enrollment{ID: id, URI: otp.NewSecret(uri), Key: otp.NewSecret(keyuri.Grouped(e.Secret))}, nil
}

// maxCounter leaves room for all that a token will ever show. It is what a signed number
// of other systems holds.
const maxCounter = 1<<63 - 1

func newCredential(name string, secret []byte, counter uint64, o Options) (credential.Credential, error) {
	if counter > maxCounter {
		return credential.Credential{}, errors.New("otp: Counter is larger than 2^63-1")
	}
	return credential.Credential{
		Name: name, Secret: secret, Digits: o.Digits, Algorithm: uint8(o.Algorithm), Window: o.Window, Next: counter,
	}, keyuri.CheckSecret(secret)
}

// Confirm makes a pending credential active, with the first code that the token shows.
// That code is used up. Credentials that too many guesses had disabled are gone then, and
// if no other is active the guesses are forgotten with them.
//
// Wrong codes are not counted: call it only for the session that began. It proves
// nothing: what follows an enrollment is a code, or the proof before it.
func (v *Verifier) Confirm(ctx context.Context, subject, id, code string) error {
	return v.keep.Confirm(ctx, subject, id, once(code))
}

// Import makes a credential active without a code: for secrets that people use already,
// from another library's database. Counter is the first that was not used there. It asks
// for no proof, so do not call it from a handler. Where guesses have disabled the factor it is
// refused: the person enrolls anew, or RevokeAll comes before it.
func (v *Verifier) Import(ctx context.Context, subject, name string, secret []byte, counter uint64, o Options) (id string, err error) {
	if o, err = o.withDefaults(secret); err != nil {
		return "", err
	}
	c, err := newCredential(name, secret, counter, o)
	if err != nil {
		return "", err
	}
	return v.keep.Import(ctx, subject, c)
}

// Verify checks a code of a.Subject, against all of the subject's credentials or against
// that of a.ID. Ask for it after another factor, be it a password: wrong codes of whoever
// comes this far are charged to the subject, and can disable its token. The error is nil
// if and only if the code was right, had not been used, and has now been used by this call,
// together with those before it; every other is a "no", as with Service.Verify.
//
// The codes before the expected one are not looked at: one that was used is as wrong as
// any. Of two calls with one code at the same time the later may be told
// [otp.ErrAlreadyVerified], which costs no guess. After too many wrong codes the error is an [*otp.RateLimitError], and at one in ten
// thousand chances, which are 33 guesses at six digits and a look-ahead of three,
// [otp.ErrAttemptsExceeded]: then the person has to enroll anew, with a proof by another
// factor, or to be helped by an administrator; see RevokeAll. The guesses begin anew with
// that.
//
// It costs two round trips to the store, and a third if the code was right. What cannot be
// a code costs none.
func (v *Verifier) Verify(ctx context.Context, a otp.Answer) (otp.Proof, error) {
	return v.keep.Verify(ctx, a, once(a.Code))
}

// once is a code that is tried in the look-ahead of a credential.
func once(typed string) credential.Code {
	code, ok := credential.Typed(typed)
	return credential.Code{
		Malformed: !ok,
		Fits:      func(c *credential.Credential) bool { return len(code) == c.Digits },
		Match: func(c *credential.Credential, _ time.Time) (func(*credential.Credential) bool, error) {
			return burning(Match(c.Secret, code, c.Next, options(c)))
		},
	}
}

// burning makes of a matched counter what uses it up.
func burning(counter uint64, err error) (func(*credential.Credential) bool, error) {
	if errors.Is(err, ErrMismatch) {
		return nil, nil
	}
	return func(c *credential.Credential) bool { return c.Burn(counter) }, err
}

func options(c *credential.Credential) Options {
	return Options{Digits: c.Digits, Algorithm: Algorithm(c.Algorithm), Window: c.Window}
}

// Resync finds a token that is up to a hundred codes ahead, with two codes that it showed
// one right after the other (RFC 4226 §7.4), and uses them up. It asks for the proof of
// another factor, at most 10 minutes old. It is charged like a guess.
func (v *Verifier) Resync(ctx context.Context, subject, id string, proof otp.Proof, first, second string) error {
	code1, ok1 := credential.Typed(first)
	code2, ok2 := credential.Typed(second)
	return v.keep.Resync(ctx, subject, id, proof, credential.Code{
		Malformed: !ok1 || !ok2,
		Fits:      func(c *credential.Credential) bool { return len(code1) == c.Digits && len(code2) == c.Digits },
		Match: func(c *credential.Credential, _ time.Time) (func(*credential.Credential) bool, error) {
			return burning(Resync(c.Secret, code1, code2, c.Next, options(c)))
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
// if none is, they are forgotten when the next one becomes active. So take a lost token away
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
