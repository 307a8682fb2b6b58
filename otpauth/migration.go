package otpauth

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"otp.example/otp/hotp"
	"otp.example/otp/internal/keyuri"
)

// A Migration is one QR code of Google Authenticator's "Transfer accounts". An export
// of many accounts is spread over several, of which this is the one with number Part,
// from 0 to Parts-1. Those of one export have the same ID.
type Migration struct {
	Keys        []Key
	ID          int
	Part, Parts int
}

// ParseMigration reads an export of Google Authenticator, a URI that begins with
// otpauth-migration://offline?data=. There is no published description of the format;
// this is what the app writes and what other apps read. Its keys have a period of 30 s.
//
// If some of the accounts cannot be used, because their secret is too short for
// instance, the others are returned together with an error that names each by its
// number, counted from 1 (errors.Join). The error holds nothing of the URI.
func ParseMigration(uri string) (Migration, error) {
	u, q, err := split(uri, "otpauth-migration")
	if err != nil {
		return Migration{}, err
	}
	if u.Host != "offline" || !q.Has("data") {
		return Migration{}, errors.New("otp: migration URI has no data")
	}
	// Some programs forget to percent-encode the data, and a plus becomes a space.
	data := strings.NewReplacer(" ", "+", "-", "+", "_", "/").Replace(q.Get("data"))
	payload, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(data, "="))
	if err != nil {
		return Migration{}, errors.New("otp: migration URI has data that is no base64")
	}

	var m Migration
	var unusable []error
	accounts := 0
	err = eachField(payload, func(f field) error {
		switch f.tag {
		case tagAccount:
			accounts++
			k, err := parseAccount(f.bytes)
			if err != nil {
				unusable = append(unusable, fmt.Errorf("otp: account %d: %s", accounts, strings.TrimPrefix(err.Error(), "otp: ")))
				return nil
			}
			m.Keys = append(m.Keys, k)
		case tagParts:
			m.Parts = int(int32(f.value))
		case tagPart:
			m.Part = int(int32(f.value))
		case tagID:
			m.ID = int(int32(f.value))
		}
		return nil
	})
	if err != nil {
		return Migration{}, err
	}
	if accounts == 0 {
		return Migration{}, errors.New("otp: migration URI has no account")
	}
	return m, errors.Join(unusable...)
}

// parseAccount reads what the export says of one account.
func parseAccount(message []byte) (Key, error) {
	var k Key
	var name, issuer string
	err := eachField(message, func(f field) error {
		switch f.tag {
		case tagSecret:
			k.Secret = bytes.Clone(f.bytes)
		case tagName:
			name = string(f.bytes)
		case tagIssuer:
			issuer = string(f.bytes)
		case tagAlgorithm:
			if f.value > 3 { // 4 is MD5
				return errors.New("otp: key has an unknown algorithm")
			}
			k.Algorithm = hotp.Algorithm(max(f.value, 1) - 1)
		case tagDigits:
			switch f.value {
			case 0, 1:
				k.Digits = 6
			case 2:
				k.Digits = 8
			default:
				return errors.New("otp: key has an unknown number of digits")
			}
		case tagType:
			switch f.value {
			case 0, 2:
				k.Type = TOTP
			case 1:
				k.Type = HOTP
			default:
				return errors.New("otp: key has an unknown type")
			}
		case tagCounter:
			k.Counter = f.value
		}
		return nil
	})
	if err != nil {
		return Key{}, err
	}
	if k.Type == TOTP {
		k.Counter = 0
	}
	if err := k.setNames(name, issuer, issuer); err != nil {
		return Key{}, err
	}
	if keyuri.IsSteam(k.Issuer) || keyuri.IsSteam(k.LabelIssuer) {
		k = Key{Issuer: k.Issuer, Account: k.Account, Secret: k.Secret, Dialect: Steam, LabelIssuer: k.LabelIssuer}
	}
	k = k.withDefaults()
	if err := k.check(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// Tags of the fields that are read, in the wire format of Protocol Buffers: the number
// of the field times eight, plus 2 for bytes and 0 for a number. A known field of another
// kind is an unknown one.
const (
	tagAccount = 1<<3 | 2
	tagParts   = 3 << 3
	tagPart    = 4 << 3
	tagID      = 5 << 3

	tagSecret    = 1<<3 | 2
	tagName      = 2<<3 | 2
	tagIssuer    = 3<<3 | 2
	tagAlgorithm = 4 << 3
	tagDigits    = 5 << 3
	tagType      = 6 << 3
	tagCounter   = 7 << 3
)

// A field is one of a message. It has a value or bytes, as its tag says.
type field struct {
	tag   uint64
	value uint64
	bytes []byte
}

var errWire = errors.New("otp: migration URI has data that is malformed")

// eachField calls f for every field of a message, in order. The bytes are part of the
// message.
func eachField(message []byte, f func(field) error) error {
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return errWire
		}
		message = message[n:]
		current := field{tag: tag}
		switch tag & 7 {
		case 0: // a number
			if current.value, n = binary.Uvarint(message); n <= 0 {
				return errWire
			}
		case 1: // eight bytes
			n = 8
		case 2: // bytes, after their length
			length, m := binary.Uvarint(message)
			if m <= 0 || length > uint64(len(message)-m) {
				return errWire
			}
			n = m + int(length)
			current.bytes = message[m:n]
		case 5: // four bytes
			n = 4
		default:
			return errWire
		}
		if n > len(message) {
			return errWire
		}
		message = message[n:]
		if err := f(current); err != nil {
			return err
		}
	}
	return nil
}
