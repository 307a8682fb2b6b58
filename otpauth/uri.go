package otpauth

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"otp.example/otp/hotp"
	"otp.example/otp/internal/keyuri"
)

// maxURI bounds what is parsed, in bytes. The largest QR code holds 2953.
const maxURI = 4096

// URI returns k as a key URI, to be shown once as a QR code. It consists of printable
// ASCII: whatever is in a name is percent-encoded, so that nothing in a name can
// become a parameter. Parameters that have their default are left out, which keeps
// the QR code small.
//
// It is an error if a field of k is out of bounds, or if k is not of the Standard
// dialect. [Parse] of the URI gives k back, with defaults filled in and without
// LabelIssuer.
func (k Key) URI() (string, error) {
	k = k.withDefaults()
	if err := k.checkStandard(); err != nil {
		return "", err
	}
	return k.uri().URI()
}

// Parse reads a key URI, as apps and other libraries write it. The package comment
// says what it forgives. Every Key that it returns can be written again by
// [Key.URI], unless its Dialect is not Standard; look at that and at LabelIssuer.
//
// The error says what is wrong, without any of the URI.
func Parse(uri string) (Key, error) {
	u, q, err := split(uri, "otpauth")
	if err != nil {
		return Key{}, err
	}
	var k Key
	switch strings.ToLower(u.Host) {
	case "totp":
	case "hotp":
		k.Type = HOTP
	case "steam":
		k.Dialect = Steam
	case "yaotp":
		k.Dialect = Yandex
	default:
		return Key{}, errors.New("otp: key URI has an unknown type")
	}

	// A plus is a space, as in forms, unless the label has it as well.
	literal, err := url.ParseQuery(strings.ReplaceAll(u.RawQuery, "+", "%2B"))
	if err != nil {
		return Key{}, errMalformed // unreachable, as q was parsed
	}
	if err := k.setNames(strings.TrimPrefix(u.Path, "/"), q.Get("issuer"), literal.Get("issuer")); err != nil {
		return Key{}, err
	}
	if err := k.setDialect(q.Get("encoder"), q.Get("representation")); err != nil {
		return Key{}, err
	}
	if !q.Has("secret") {
		return Key{}, errors.New("otp: key URI has no secret")
	}
	if k.Secret, err = DecodeSecret(q.Get("secret")); err != nil {
		return Key{}, err
	}
	if k.Dialect == Standard {
		if err := k.setOptions(q); err != nil {
			return Key{}, err
		}
	}
	k = k.withDefaults()
	if err := k.check(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// errMalformed stands for errors that quote the URI.
var errMalformed = errors.New("otp: key URI is malformed")

// split takes a URI of a scheme apart.
func split(uri, scheme string) (*url.URL, url.Values, error) {
	if len(uri) > maxURI {
		return nil, nil, fmt.Errorf("otp: key URI has %d bytes, must have at most %d", len(uri), maxURI)
	}
	u, err := url.Parse(strings.TrimSpace(uri))
	if err != nil {
		return nil, nil, errMalformed
	}
	if u.Scheme != scheme {
		return nil, nil, fmt.Errorf("otp: key URI has another scheme than %s", scheme)
	}
	if u.User != nil || u.Fragment != "" {
		// An at sign or a number sign that was not percent-encoded. What follows or
		// precedes it would be lost.
		return nil, nil, errMalformed
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, nil, errMalformed
	}
	for _, values := range q {
		if len(values) > 1 {
			// Readers disagree about which one counts.
			return nil, nil, errors.New("otp: key URI has a parameter twice")
		}
	}
	return u, q, nil
}

// setNames sets what a label and an issuer parameter say. The parameter counts, since
// it cannot be mistaken for anything else. It has a second reading, which is taken if
// it is that of the label.
func (k *Key) setNames(label, issuer, second string) error {
	prefix, account, found := strings.Cut(label, ":")
	if !found {
		prefix, account = "", label
	}
	if strings.Contains(account, ":") {
		return errors.New("otp: key URI has a label with more than one colon")
	}
	prefix, issuer, second = strings.TrimSpace(prefix), strings.TrimSpace(issuer), strings.TrimSpace(second)
	k.Account = strings.TrimSpace(account)
	if prefix == second {
		issuer = second
	}
	switch {
	case issuer == "":
		k.Issuer = prefix
	case prefix == "" || prefix == issuer:
		k.Issuer = issuer
	default:
		k.Issuer, k.LabelIssuer = issuer, prefix
	}
	return nil
}

// setDialect recognizes the dialects that hide in a URI of type totp, by KeePassXC's
// parameter, by that of an iOS library, and by Steam's name, which is all that Steam's
// own have.
func (k *Key) setDialect(encoder, representation string) error {
	switch strings.ToLower(encoder) {
	case "steam":
		k.Dialect = Steam
	case "yandex":
		k.Dialect = Yandex
	case "":
	default:
		return errors.New("otp: key URI has an unknown encoder")
	}
	if strings.EqualFold(representation, "steamguard") || k.Dialect == Standard && (keyuri.IsSteam(k.Issuer) || keyuri.IsSteam(k.LabelIssuer)) {
		k.Dialect = Steam
	}
	if k.Dialect != Standard {
		k.Type = TOTP
	}
	return nil
}

// setOptions reads the parameters that determine codes.
func (k *Key) setOptions(q url.Values) (err error) {
	if k.Algorithm, err = parseAlgorithm(q.Get("algorithm")); err != nil {
		return err
	}
	if k.Digits, err = small(q, "digits"); err != nil {
		return err
	}
	switch k.Type {
	case TOTP:
		period, err := small(q, "period")
		if err != nil {
			return err
		}
		k.Period = time.Duration(period) * time.Second
	case HOTP:
		if !q.Has("counter") {
			// To begin at zero would make codes valid that were used already.
			return errors.New("otp: key URI has no counter")
		}
		if k.Counter, err = strconv.ParseUint(q.Get("counter"), 10, 63); err != nil {
			return errors.New("otp: key URI has a counter that is out of range") // the error quotes it
		}
	}
	return nil
}

// parseAlgorithm reads the spellings SHA1, sha1, SHA-1, HmacSHA1 and the like.
func parseAlgorithm(s string) (hotp.Algorithm, error) {
	s = strings.ReplaceAll(strings.ToUpper(s), "-", "")
	switch strings.TrimPrefix(s, "HMAC") {
	case "", "SHA1":
		return hotp.SHA1, nil
	case "SHA256":
		return hotp.SHA256, nil
	case "SHA512":
		return hotp.SHA512, nil
	}
	return 0, errors.New("otp: key URI has an unknown algorithm")
}

// small reads a parameter from 1 to 999, or returns 0 if it is absent. What is allowed
// of these is for check to say.
func small(q url.Values, name string) (int, error) {
	if !q.Has(name) {
		return 0, nil
	}
	n, err := strconv.ParseUint(q.Get(name), 10, 64)
	if err != nil || n == 0 || n > 999 {
		return 0, fmt.Errorf("otp: key URI has a value of %s that is out of range", name)
	}
	return int(n), nil
}
