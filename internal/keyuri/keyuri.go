// Package keyuri writes key URIs, for package otpauth and for the enrollments of packages
// totp and hotp, which otpauth builds upon.
package keyuri

import (
	"encoding/base32"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of names and secrets, in bytes. A URI of the longest still fits into a QR code of
// error correction level M, which holds 2331 bytes.
const (
	MaxIssuer  = 128
	MaxAccount = 256
	MinSecret  = 16 // RFC 4226 §4, R6
	MaxSecret  = 128
)

// The defaults of the format, which are left out of a URI.
const (
	DefaultAlgorithm = "SHA1"
	DefaultDigits    = 6
	DefaultPeriod    = 30 * time.Second
)

// Encoding is base32 without padding, as the key URI format wants it (RFC 4648 §6).
var Encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// A Key is what a URI says. Its options have been checked by the package that makes the
// codes.
type Key struct {
	Type      string // "totp" or "hotp"
	Issuer    string
	Account   string
	Secret    []byte
	Algorithm string
	Digits    int
	Period    time.Duration // of totp
	Counter   uint64        // of hotp
}

// URI writes k in printable ASCII: whatever is in a name is percent-encoded, so that
// nothing in a name can become a parameter.
func (k Key) URI() (string, error) {
	if err := k.Check(); err != nil {
		return "", err
	}
	if IsSteam(k.Issuer) {
		return "", ErrSteam
	}
	var b strings.Builder
	b.WriteString("otpauth://" + k.Type + "/")
	if k.Issuer != "" {
		b.WriteString(escape(k.Issuer) + ":")
	}
	b.WriteString(escape(k.Account) + "?secret=" + Encoding.EncodeToString(k.Secret))
	if k.Issuer != "" {
		b.WriteString("&issuer=" + escape(k.Issuer))
	}
	if k.Algorithm != DefaultAlgorithm {
		b.WriteString("&algorithm=" + k.Algorithm)
	}
	if k.Digits != DefaultDigits {
		b.WriteString("&digits=" + strconv.Itoa(k.Digits))
	}
	switch {
	case k.Type == "hotp":
		b.WriteString("&counter=" + strconv.FormatUint(k.Counter, 10))
	case k.Period != DefaultPeriod:
		b.WriteString("&period=" + strconv.Itoa(int(k.Period/time.Second)))
	}
	return b.String(), nil
}

// Check returns an error that names the field which is out of bounds, of those that keys of
// all dialects have.
func (k Key) Check() error {
	if err := CheckName("Issuer", k.Issuer, MaxIssuer); err != nil {
		return err
	}
	if k.Account == "" {
		return errors.New("otp: Account is empty")
	}
	if err := CheckName("Account", k.Account, MaxAccount); err != nil {
		return err
	}
	return CheckSecret(k.Secret)
}

// CheckSecret bounds the length of a secret.
func CheckSecret(secret []byte) error {
	if n := len(secret); n < MinSecret || n > MaxSecret {
		return fmt.Errorf("otp: secret has %d bytes, must have %d to %d", n, MinSecret, MaxSecret)
	}
	return nil
}

// CheckName refuses what would not come back from a URI as it went in, and what would
// make an app show another name than the one meant.
func CheckName(field, s string, most int) error {
	switch {
	case len(s) > most:
		return fmt.Errorf("otp: %s has %d bytes, must have at most %d", field, len(s), most)
	case !utf8.ValidString(s):
		return fmt.Errorf("otp: %s is not UTF-8", field)
	case strings.TrimSpace(s) != s:
		return fmt.Errorf("otp: %s begins or ends with a space", field)
	case strings.Contains(s, ":"):
		return fmt.Errorf("otp: %s contains a colon, which separates issuer and account", field)
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return fmt.Errorf("otp: %s contains a control character", field)
		}
	}
	return nil
}

// ErrSteam is for keys of the standard dialect.
var ErrSteam = errors.New("otp: Issuer is Steam, for which apps show other codes")

// IsSteam reports whether apps take an issuer's codes for Steam's. FreeOTP and Yubico's
// do, whatever else the URI says.
func IsSteam(issuer string) bool { return strings.EqualFold(issuer, "Steam") }

// Grouped returns secret in base32 in groups of four, for people who type it.
func Grouped(secret []byte) string {
	s := Encoding.EncodeToString(secret)
	var b strings.Builder
	for i := range len(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// escape percent-encodes all but letters, digits and "-._~". A plus for a space, which
// forms may have, is shown as a plus by some apps.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}
