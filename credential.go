package otp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"otp.example/otp/internal/bridge"
)

// The factors of credentials, which persons have instead of being sent a code.
const (
	FactorTOTP     Factor = "totp"
	FactorHOTP     Factor = "hotp"
	FactorRecovery Factor = "recovery"
)

// MaxCredentials is the size in bytes of the longest value that a [CredentialStore] has
// to keep.
const MaxCredentials = 8 << 10

// A CredentialStore keeps the credentials of packages totp, hotp and recovery: for each
// subject and factor one value, which is encrypted and holds all that there is, the
// guesses that were made included. So one step changes all of it or nothing, and the
// verifiers decide on what they have read: what somebody else changed meanwhile makes the
// swap fail.
//
// Clauses (storetest has a case of the same name for each):
//
//	SwapOnce         of any number of concurrent swaps of one value, exactly one is applied
//	SwapNeedsOld     a swap is applied only if the value held is the old one, to the byte
//	EmptyIsAbsent    a key without a value, a new one and a forgotten one are the same
//	KeepsUntil       a value is not forgotten before until, and never if that is zero
//	ListFindsAll     a walk finds every key that was there from its beginning to its end
//	CanceledContext  with a done context a call changes nothing and returns an error
//	BytewiseKeys     keys that differ in any byte are different
//	NoAliasing       the store does not keep or change the slices that it is given
//	Durable          an applied swap survives whatever the store survives
//
// Keys are ASCII, at most 128 bytes; values are at most [MaxCredentials] bytes. An
// error is for faults only, after which the swap may or may not have been made. It must be
// safe for concurrent use by many processes. Run storetest.RunCredential against every
// implementation.
type CredentialStore interface {
	// LoadCredentials returns the value of a key, empty if there is none.
	LoadCredentials(ctx context.Context, key string) ([]byte, error)

	// SwapCredentials replaces old by value and reports whether it did. An empty old
	// means that the key has no value, an empty value that it shall have none. From
	// until on, if that is not zero, the store may forget the key.
	SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (applied bool, err error)

	// ListCredentials walks over all keys, for Service.Reseal: it returns about max of
	// them and where to go on. The walk begins with an empty cursor and has ended when
	// next is empty. It may return a key twice.
	ListCredentials(ctx context.Context, cursor string, max int) (keys []string, next string, err error)
}

// A Credential describes one authenticator app, hardware token or set of recovery codes
// of a subject. It holds no secret.
type Credential struct {
	ID        string // for Answer.ID; not secret
	Factor    Factor
	Name      string // given by its owner
	CreatedAt time.Time
	UsedAt    time.Time // zero if it was not
	Pending   bool      // no code has confirmed it yet, so it verifies nothing
	Disabled  bool      // too many guesses: enroll anew
}

// An Enrollment is a new credential that waits for its first code. The secret in it is
// shown once, to the person who enrolls, and cannot be had again. It prints
// as [redacted].
type Enrollment struct {
	hidden
	ID  string // of the credential, for Confirm
	URI Secret // key URI (otpauth://), for a QR code
	Key Secret // the same secret in groups of four, for people who type it
}

// Reseal encrypts anew, under the primary key, the credentials of all tenants that are
// under an older one, and reports how many values it changed. What cannot be read is passed
// over, and the first of them is the error. Until it has returned nil
// after a rotation, the older key must not be retired. Those that are used in the
// meantime are encrypted anew by that.
func (s *Service) Reseal(ctx context.Context) (int, error) {
	store, ok := s.cfg.Store.(CredentialStore)
	if !ok {
		return 0, errNoCredentials
	}
	total, cursor := 0, ""
	var first error
	for {
		keys, next, err := store.ListCredentials(ctx, cursor, 100)
		if err != nil {
			return total, fmt.Errorf("otp: reseal: %w", err)
		}
		for _, key := range keys {
			n, err := s.reseal(ctx, store, key)
			total += n
			done := ctx.Err() // read once: a walk that was cut short must not look complete
			if err == nil {
				err = done
			}
			if err != nil && first == nil {
				first = fmt.Errorf("otp: reseal %s: %w", key, err)
			}
			if done != nil {
				return total, first
			}
		}
		if next == "" {
			return total, first
		}
		cursor = next
	}
}

// reseal changes one value, until nobody else comes in between.
func (s *Service) reseal(ctx context.Context, store CredentialStore, key string) (int, error) {
	for {
		old, err := store.LoadCredentials(ctx, key)
		if err != nil || len(old) == 0 {
			return 0, err
		}
		b, until, current, err := inner{}.Open(s, key, old)
		if err != nil || current {
			return 0, err
		}
		applied, err := store.SwapCredentials(ctx, key, old, inner{}.Seal(s, key, b, until), until)
		if err != nil {
			return 0, err
		}
		if applied {
			return 1, nil
		}
	}
}

var errNoCredentials = errors.New("otp: Config.Store is not a CredentialStore, as every store of this repository is")

var _ = bridge.Offer(inner{})

// inner is what the verifiers of this module get through package internal/bridge.
type inner struct{}

// Now is the clock of the service.
func (inner) Now(s *Service) time.Time { return s.now() }

// Emit tells an event.
func (inner) Emit(ctx context.Context, s *Service, e Event) { s.emit(ctx, e) }

// Refuse tells why a call is answered with an error, and returns it.
func (inner) Refuse(ctx context.Context, s *Service, e Event, err error) error {
	return s.refuse(ctx, e, err)
}

// Invalid names a field and what is wrong with it.
func (inner) Invalid(field, problem string) error { return invalid(field, problem) }

// CheckText says what is wrong with a text, if anything is.
func (inner) CheckText(text string, limit int) string { return checkText(text, limit) }

// IsUsage reports whether u can be one.
func (inner) IsUsage(u Usage) bool { return isLabel(string(u)) }

// GuessWindows are the limits on guesses that come back with time.
func (inner) GuessWindows(s *Service) []Limit { return s.guessWindows }

// Credentials returns the store of credentials.
func (inner) Credentials(s *Service) (CredentialStore, error) {
	if store, ok := s.cfg.Store.(CredentialStore); ok {
		return store, nil
	}
	return nil, errNoCredentials
}

// SlowHashes has room for the slow hashes that there may be at a time, of all tenants.
func (inner) SlowHashes(s *Service) chan struct{} { return s.slow }

// Key returns the key of a subject's credentials of a factor.
func (inner) Key(s *Service, f Factor, subject string) (string, error) {
	if problem := checkText(s.tenant, maxTenant); problem != "" {
		return "", invalid("Tenant", problem)
	}
	if problem := checkText(subject, maxSubject); problem != "" {
		return "", invalid("Subject", problem)
	}
	if subject == "" {
		return "", invalid("Subject", "is empty")
	}
	return meterKey(meterCredentials, s.keys().pseudonym("credentials "+string(f), s.tenant, subject)), nil
}

// Seal encrypts the credentials of a key. What is moved to another key does not open.
func (inner) Seal(s *Service, key string, b []byte, until time.Time) []byte {
	set := s.keys().primary
	sealed := appendField(nil, set.id)
	nonce := random(set.credential.NonceSize())
	sealed = append(sealed, nonce...)
	return set.credential.Seal(sealed, nonce, append(appendTime(nil, until), b...), []byte(key))
}

// Open is the reverse of Seal. It says, too, whether the value is under the primary key.
func (inner) Open(s *Service, key string, sealed []byte) (b []byte, until time.Time, current bool, err error) {
	in := fields{b: sealed}
	keys := s.keys()
	id := in.field()
	set := keys.byID[string(id)]
	if in.bad || set == nil {
		return nil, until, false, errNoKey
	}
	n := set.credential.NonceSize()
	if len(in.b) < n {
		return nil, until, false, errTampered
	}
	b, err = set.credential.Open(nil, in.b[:n], in.b[n:], []byte(key))
	if err != nil {
		return nil, until, false, errTampered
	}
	in = fields{b: b}
	until = in.time()
	if in.bad {
		return nil, until, false, errTampered
	}
	return in.b, until, set == keys.primary, nil
}

// Proof makes the proof of a credential that was used.
func (inner) Proof(s *Service, f Factor, a *Answer, at time.Time) Proof {
	return Proof{p: &proof{
		id: proofID(s.tenant, random(16), at), tenant: s.tenant, usage: a.Usage, factor: f, subject: a.Subject, at: at,
	}}
}

// freshProof is how old a proof may be that allows something else.
const freshProof = 10 * time.Minute

// Fresh reports whether p proves a subject of this tenant a short time ago.
func (inner) Fresh(s *Service, p Proof, subject string) bool {
	v := p.get()
	age := s.now().Sub(v.at)
	return p.Valid() && v.tenant == s.tenant && subject != "" && age >= 0 && age <= freshProof &&
		subtle.ConstantTimeCompare([]byte(v.subject), []byte(subject)) == 1
}
