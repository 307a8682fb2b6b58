package otpauth

import (
	"errors"
	"fmt"
	"math"
	"time"

	"otp.example/otp/hotp"
	"otp.example/otp/internal/hide"
	"otp.example/otp/internal/keyuri"
	"otp.example/otp/totp"
)

// A Type says whether codes follow the clock or a counter.
type Type uint8

// The types of the key URI format. The zero value is TOTP.
const (
	TOTP Type = iota // time-based, RFC 6238
	HOTP             // counter-based, RFC 4226
)

// String returns the name that key URIs use.
func (t Type) String() string {
	switch t {
	case TOTP:
		return "totp"
	case HOTP:
		return "hotp"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// A Dialect is a way of making codes that borrows the format of key URIs.
type Dialect uint8

// The zero value is the way of the RFCs. The others are recognized and no more: this
// module neither writes such keys nor makes their codes.
const (
	Standard Dialect = iota
	Steam            // five of 26 letters and digits
	Yandex           // eight letters, of the secret and a PIN
)

// String returns the dialect's name in lower case.
func (d Dialect) String() string {
	switch d {
	case Standard:
		return "standard"
	case Steam:
		return "steam"
	case Yandex:
		return "yandex"
	}
	return fmt.Sprintf("Dialect(%d)", uint8(d))
}

// hidden makes the struct that embeds it print and encode as [redacted].
type hidden = hide.Hidden

// A Key is what a token and a server share: all that a key URI says. It prints as
// [redacted] in every format, log and encoding.
//
// Secret and Account are required. The zero values of the other fields are what every
// authenticator app understands.
type Key struct {
	hidden

	// Type is TOTP or HOTP. Zero means TOTP.
	Type Type

	// Issuer names the service and Account the user's account there, as people see
	// them in their app. They are UTF-8 without a colon (which separates the two in a
	// URI), without control characters, and do not begin or end with a space. Issuer
	// has at most 128 bytes and may be empty, but should not be: an app tells two
	// services with the same account name apart by it. Account has 1 to 256 bytes.
	//
	// The issuer Steam is refused: apps would show Steam's codes.
	Issuer, Account string

	// Secret is 16 to 128 bytes. Take 20 from crypto/rand for SHA1.
	Secret []byte

	// Algorithm is the hash function. Zero means SHA1, the only one that every app
	// honors.
	Algorithm hotp.Algorithm

	// Digits is the length of a code: 6, 7 or 8. Zero means 6.
	Digits int

	// Period is the length of a TOTP time step, in whole seconds from 15 s to 120 s.
	// Zero means 30 s. It is zero for HOTP.
	Period time.Duration

	// Counter is the first HOTP counter that was not used yet, less than 2^63. It is
	// zero for TOTP.
	Counter uint64

	// Dialect is Standard, or says that Parse met a key whose codes are none of RFC
	// 4226 or 6238. Of such a key Issuer, Account and Secret are all that is read.
	Dialect Dialect

	// LabelIssuer is the issuer that a URI's label named, if it was not the one of its
	// parameter, which Issuer then holds. Otherwise it is empty. The format says that
	// they should be equal, but some services put their customer's name here. Apps
	// disagree about which of them counts, so show both. It is not written to a URI.
	LabelIssuer string
}

// TOTP returns the options to check codes of k with. It is an error if k is out of
// bounds, of another type, or of another dialect than Standard.
func (k Key) TOTP() (totp.Options, error) {
	k = k.withDefaults()
	if k.Type != TOTP {
		return totp.Options{}, fmt.Errorf("otp: Type is %v, not totp", k.Type)
	}
	if err := k.checkStandard(); err != nil {
		return totp.Options{}, err
	}
	return k.totp(), nil
}

// HOTP returns the options to check codes of k with, from k.Counter on. It is an error
// if k is out of bounds, of another type, or of another dialect than Standard.
func (k Key) HOTP() (hotp.Options, error) {
	k = k.withDefaults()
	if k.Type != HOTP {
		return hotp.Options{}, fmt.Errorf("otp: Type is %v, not hotp", k.Type)
	}
	if err := k.checkStandard(); err != nil {
		return hotp.Options{}, err
	}
	return k.hotp(), nil
}

func (k Key) totp() totp.Options {
	return totp.Options{Digits: k.Digits, Algorithm: k.Algorithm, Period: k.Period}
}

func (k Key) hotp() hotp.Options {
	return hotp.Options{Digits: k.Digits, Algorithm: k.Algorithm}
}

func (k Key) uri() keyuri.Key {
	return keyuri.Key{
		Type: k.Type.String(), Issuer: k.Issuer, Account: k.Account, Secret: k.Secret,
		Algorithm: k.Algorithm.String(), Digits: k.Digits, Period: k.Period, Counter: k.Counter,
	}
}

// withDefaults returns k with the defaults of its type filled in, as Parse returns
// keys.
func (k Key) withDefaults() Key {
	if k.Digits == 0 && k.Dialect == Standard {
		k.Digits = keyuri.DefaultDigits
	}
	if k.Period == 0 && k.Type == TOTP && k.Dialect == Standard {
		k.Period = keyuri.DefaultPeriod
	}
	return k
}

// checkStandard is check for callers who need codes that the RFCs describe.
func (k Key) checkStandard() error {
	if k.Dialect != Standard {
		return fmt.Errorf("otp: Dialect is %v, whose codes are not those of the RFCs", k.Dialect)
	}
	return k.check()
}

// check returns an error that names the field which is out of bounds. What Parse
// returns has passed it, and so has what URI writes.
func (k Key) check() error {
	if err := k.uri().Check(); err != nil {
		return err
	}
	if err := keyuri.CheckName("LabelIssuer", k.LabelIssuer, keyuri.MaxIssuer); err != nil {
		return err
	}
	if k.Dialect != Standard {
		return nil
	}
	if keyuri.IsSteam(k.Issuer) {
		return keyuri.ErrSteam
	}

	// The bounds of the options are those of the packages that make codes.
	switch k.Type {
	case TOTP:
		if k.Counter != 0 {
			return errors.New("otp: Counter is set, but Type is totp")
		}
		_, err := totp.Code(k.Secret, time.Unix(0, 0), k.totp())
		return err
	case HOTP:
		if k.Period != 0 {
			return errors.New("otp: Period is set, but Type is hotp")
		}
		if k.Counter > math.MaxInt64 {
			return errors.New("otp: Counter is too large")
		}
		_, err := hotp.Code(k.Secret, k.Counter, k.hotp())
		return err
	}
	return fmt.Errorf("otp: Type is unknown: %v", k.Type)
}
