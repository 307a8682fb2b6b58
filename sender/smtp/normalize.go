package smtp

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"otp.example/otp"
)

var errAddress = errors.New("otp/smtp: not an e-mail address")

// Normalize is for otp.Config.Normalize: it turns the domain of an e-mail address into
// its ASCII form in lower case (UTS #46), so that ann@Bücher.example becomes
// ann@xn--bcher-kva.example. Other channels are left unchanged, so it can be chained with
// others. It is for every sender of e-mail, not this one alone.
//
// The local part must be ASCII, since few hosts take anything else, and is not touched: it
// is for its host to say whether its case matters. Nothing is guessed or trimmed. An
// address whose form would have more than one @ after compatibility mapping, such as the
// full-width one, is refused.
func Normalize(_ context.Context, c otp.Channel, to string) (string, error) {
	if c != otp.Email {
		return to, nil
	}
	local, domain, found := strings.Cut(to, "@")
	if !found || local == "" || domain == "" || len(to) > maxTyped || !isASCII(local) || !utf8.ValidString(domain) {
		return "", errAddress
	}
	if isASCII(domain) && !strings.Contains(strings.ToLower(domain), "xn--") {
		domain = strings.ToLower(domain) // the service checks the rest
	} else {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil || !isASCII(ascii) {
			return "", errAddress
		}
		domain = ascii
	}
	if strings.Contains(domain, "@") {
		return "", errAddress
	}
	return local + "@" + domain, nil
}

// maxTyped is longer than any address: the ASCII form of a domain can be shorter than what
// was typed, but not by much.
const maxTyped = 512

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
