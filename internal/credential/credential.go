// Package credential is what the verifiers of authenticator apps, hardware tokens and
// recovery codes have in common: the credentials of a subject, how they are kept, and the
// one path on which a code is charged, compared and used up.
package credential

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"otp.example/otp"
	"otp.example/otp/internal/bridge"
)

// core is what the root package does for verifiers.
var core = bridge.Root[interface {
	Now(s *otp.Service) time.Time
	Emit(ctx context.Context, s *otp.Service, e otp.Event)
	Refuse(ctx context.Context, s *otp.Service, e otp.Event, err error) error
	Invalid(field, problem string) error
	CheckText(text string, limit int) string
	IsUsage(u otp.Usage) bool
	GuessWindows(s *otp.Service) []otp.Limit
	Credentials(s *otp.Service) (otp.CredentialStore, error)
	Key(s *otp.Service, f otp.Factor, subject string) (string, error)
	Seal(s *otp.Service, key string, b []byte, until time.Time) []byte
	Open(s *otp.Service, key string, sealed []byte) (b []byte, until time.Time, current bool, err error)
	Proof(s *otp.Service, f otp.Factor, a *otp.Answer, at time.Time) otp.Proof
	Fresh(s *otp.Service, p otp.Proof, subject string) bool
}]()

const (
	maxActive  = 8                // credentials of a subject and factor
	maxName    = 64               // bytes
	pendingFor = 10 * time.Minute // how long an enrollment waits for its code
	maxSkew    = time.Minute      // how far the clocks of processes may be apart
	maxGuesses = 128              // that have room in a book, beside the longest credentials
	maxSwaps   = 64               // how often a call begins again because another came in between
)

// streakMass is what may be guessed at one factor of a subject until it is disabled: one
// chance in ten thousand, in parts per 1e9, as NIST SP 800-63B-4 section 3.2.2 allows with
// 100 guesses at six digits. It is not configured.
const streakMass = 100_000

var streak = []otp.Limit{{N: streakMass}}

// MinMass is what a guess costs at least, since that section ends a streak at 100 guesses
// however long the codes are.
const MinMass = streakMass / 100

// Mass is what one guess costs that may hit window of the codes of so many digits.
func Mass(digits, window int) int64 {
	n := int64(1)
	for range digits {
		n *= 10
	}
	return max(MinMass, (int64(window)*1e9+n-1)/n)
}

// A Credential is one secret of a subject.
type Credential struct {
	ID      string    `json:"id"`
	Name    string    `json:"name,omitempty"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
	Pending time.Time `json:"pending,omitzero"` // until when a code may confirm it; zero if one has

	// Of an authenticator.
	Secret    []byte `json:"secret,omitempty"`
	Digits    int    `json:"digits,omitempty"`
	Algorithm uint8  `json:"algorithm,omitempty"`
	Period    int    `json:"period,omitempty"` // seconds
	Window    int    `json:"window,omitempty"`
	Next      uint64 `json:"next,omitempty"`  // the lowest counter or time step that is not used up
	Drift     int    `json:"drift,omitempty"` // of its clock, in steps
	Slow      int    `json:"slow,omitempty"`  // by how many steps the window is longer, for a clock that goes slow
	Late      int    `json:"late,omitempty"`  // how many times in a row the oldest step matched

	// Of a set of recovery codes.
	Salt  []byte   `json:"salt,omitempty"`
	Codes [][]byte `json:"codes,omitempty"` // hashes of those that are left
	Short bool     `json:"short,omitempty"`
}

// Burn uses a counter up, and with it all before it. It reports false if that has
// happened before. The last of all counters is never used: nothing would be after it.
func (c *Credential) Burn(counter uint64) bool {
	if counter < c.Next || counter+1 == 0 {
		return false
	}
	c.Next = counter + 1
	return true
}

// A book is what is kept for one subject and factor.
type book struct {
	Guesses     otp.Meter    `json:"guesses,omitempty"`
	Credentials []Credential `json:"credentials,omitempty"`

	key string
	old []byte // as it was read
}

// A Keeper keeps the credentials of one factor.
type Keeper struct {
	svc    *otp.Service
	store  otp.CredentialStore
	factor otp.Factor
	mass   func(*Credential) int64
	second bool
	limits []otp.Limit
}

// NewKeeper returns a Keeper. What one guess at a credential costs says mass, in parts per
// 1e9, and own is like the credentials that are enrolled with it. If second is set, every
// code needs the proof of another factor before it.
func NewKeeper(svc *otp.Service, f otp.Factor, mass func(*Credential) int64, own Credential, second bool) (*Keeper, error) {
	if svc == nil {
		return nil, errors.New("otp: the service is required")
	}
	store, err := core.Credentials(svc)
	if err != nil {
		return nil, err
	}
	windows := core.GuessWindows(svc)
	if err := checkRoom(windows); err != nil {
		return nil, err
	}
	k := &Keeper{svc: svc, store: store, factor: f, mass: mass, second: second, limits: slices.Concat(windows, streak)}
	if len(k.limits) > otp.MaxLimits {
		return nil, fmt.Errorf("otp: Config.GuessLimits has more than %d windows", otp.MaxLimits-len(streak))
	}
	if err := k.afford(k.most(&own)); err != nil {
		return nil, err
	}
	return k, nil
}

// checkRoom returns an error if more guesses may have to be remembered than a book has room
// for: then no code would be accepted until they are forgotten. A meter remembers each guess
// of its longest window, or, if that admits many, one for each 64th of the shortest.
func checkRoom(windows []otp.Limit) error {
	if len(windows) == 0 {
		return nil
	}
	byPer := func(a, b otp.Limit) int { return cmp.Compare(a.Per, b.Per) }
	longest, shortest := slices.MaxFunc(windows, byPer), slices.MinFunc(windows, byPer)
	if longest.N > maxGuesses*MinMass && longest.Per > maxGuesses/64*shortest.Per {
		return fmt.Errorf("otp: Config.GuessLimits admits %d in %s, too many to be remembered: make it at most %d, or the shortest window at least half as long",
			longest.N, longest.Per, maxGuesses*MinMass)
	}
	return nil
}

// afford returns an error if a code costs more than a limit ever admits. That is a setting:
// no guess of anybody has led to it, and no time changes it.
func (k *Keeper) afford(cost int64) error {
	for _, l := range k.limits {
		if cost > l.N {
			return fmt.Errorf("otp: Config.GuessLimits admits %d, and one code of a credential costs %d", l.N, cost)
		}
	}
	return nil
}

// load reads the book of a subject.
func (k *Keeper) load(ctx context.Context, subject string) (*book, error) {
	key, err := core.Key(k.svc, k.factor, subject)
	if err != nil {
		return nil, err
	}
	b := &book{key: key}
	if b.old, err = k.store.LoadCredentials(ctx, key); err != nil {
		return nil, fmt.Errorf("otp: store: %w", err)
	}
	if len(b.old) == 0 {
		return b, nil
	}
	text, _, _, err := core.Open(k.svc, key, b.old)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, b); err != nil {
		return nil, errors.New("otp: credentials cannot be read") // the cause would show them
	}
	return b, nil
}

// swap writes a book, and reports whether it was still as it had been read.
func (k *Keeper) swap(ctx context.Context, b *book) (bool, error) {
	var value []byte
	until := b.until()
	if len(b.Credentials) > 0 || len(b.Guesses) > 0 {
		text, err := json.Marshal(b)
		if err != nil {
			return false, errors.New("otp: credentials cannot be written")
		}
		value = core.Seal(k.svc, b.key, text, until)
	}
	if len(value) > otp.MaxCredentials {
		return false, errors.New("otp: credentials are too long")
	}
	applied, err := k.store.SwapCredentials(ctx, b.key, b.old, value, until)
	if err != nil {
		return false, fmt.Errorf("otp: store: %w", err)
	}
	b.old = value
	return applied, nil
}

// until is when a book may be forgotten: never, if it holds an active credential.
func (b *book) until() time.Time {
	until := b.Guesses.Expires()
	for i := range b.Credentials {
		c := &b.Credentials[i]
		if c.Pending.IsZero() {
			return time.Time{}
		}
		if c.Pending.After(until) {
			until = c.Pending
		}
	}
	return until
}

func (b *book) find(id string) *Credential {
	i := slices.IndexFunc(b.Credentials, func(c Credential) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &b.Credentials[i]
}

// disabled reports whether no guess at c is left until it is enrolled anew.
func (k *Keeper) disabled(b *book, c *Credential) bool {
	_, d := b.Guesses.Take(k.mass(c), streak, time.Unix(0, 0))
	return !d.OK
}

func (b *book) clearStreak(now time.Time) {
	b.Guesses = b.Guesses.Give(streakMass, streak, now)
}

// change does f to the book of a subject until nobody else came in between. If f returns
// an error, nothing is changed.
func (k *Keeper) change(ctx context.Context, subject string, f func(b *book, now time.Time) error) error {
	for range maxSwaps {
		b, err := k.load(ctx, subject)
		if err != nil {
			return err
		}
		now := core.Now(k.svc)
		b.Credentials = slices.DeleteFunc(b.Credentials, func(c Credential) bool {
			return !c.Pending.IsZero() && !now.Before(c.Pending)
		})
		if err := f(b, now); err != nil {
			return err
		}
		applied, err := k.swap(ctx, b)
		if applied || err != nil {
			return err
		}
	}
	return errContended
}

var errContended = errors.New("otp: store: too many others change the same credentials")

// newID names a credential.
func newID() string { return rand.Text()[:16] }

// Invalid returns err as an invalid request, without the prefix that both texts have.
func Invalid(err error) error {
	return fmt.Errorf("%w: %s", otp.ErrInvalidRequest, strings.TrimPrefix(err.Error(), "otp: "))
}

// NewSecret returns n bytes of crypto/rand.
func NewSecret(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // ends the program rather than return an error
	return b
}

// maxTyped is the longest code that is looked at, with what separates its groups.
const maxTyped = 16

// Typed returns the digits of a code of an authenticator as a person typed it, and whether
// it can be one at all: 6 to 8 ASCII digits, with spaces and hyphens between them.
func Typed(s string) (code string, ok bool) {
	if len(s) > maxTyped {
		return "", false
	}
	var buf [maxTyped]byte
	digits := buf[:0]
	for _, c := range []byte(s) {
		switch {
		case c == ' ' || c == '-':
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		default:
			return "", false
		}
	}
	return string(digits), len(digits) >= 6 && len(digits) <= 8
}
