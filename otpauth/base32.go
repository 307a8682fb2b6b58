package otpauth

import (
	"errors"
	"strings"

	"otp.example/otp/internal/keyuri"
)

// EncodeSecret returns secret in upper-case base32 without padding, as key URIs and
// the databases of other libraries have it.
func EncodeSecret(secret []byte) string { return keyuri.Encoding.EncodeToString(secret) }

// Grouped returns secret in base32 in groups of four, for people who type it into an
// app because they cannot scan it: "GEZD GNBV …". [DecodeSecret] reads it back.
func Grouped(secret []byte) string { return keyuri.Grouped(secret) }

// DecodeSecret reads a secret in base32. Case, spaces, dashes and padding do not
// matter. Digits that look like letters (0, 1, 8) are not guessed at.
//
// It is an error if the secret has fewer than 16 bytes (26 characters), which RFC 4226
// §4 forbids (R6). Several libraries make secrets of 10 bytes (16 characters). A
// credential with such a secret is to be enrolled anew.
func DecodeSecret(s string) ([]byte, error) {
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(" -\t\r\n", r):
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A' // unlike strings.ToUpper, which makes base32 of other letters, too
		}
		return r
	}, s)
	s = strings.TrimRight(s, "=")
	switch len(s) % 8 {
	case 1, 3, 6:
		// No number of bytes has this length. The standard library would drop the end.
		return nil, errors.New("otp: secret is no base32: characters are missing or too many")
	}
	secret, err := keyuri.Encoding.DecodeString(s)
	if err != nil {
		// The library's error says where, which is nobody's business.
		return nil, errors.New("otp: secret is no base32: only A to Z and 2 to 7 are allowed")
	}
	if err := keyuri.CheckSecret(secret); err != nil {
		return nil, err
	}
	return secret, nil
}
