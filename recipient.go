package otp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Channel is a way to reach a person. The set is open: any name of lower-case
// letters, digits, '.', '-' and '_' that Config.Senders has.
type Channel string

// The channels whose recipients this package knows how to read. SMS, Voice,
// WhatsApp and Viber take E.164 numbers, Email takes an address. Recipients of all
// other channels are opaque: 1 to 254 printable ASCII characters without space,
// quotes, comma, semicolon and angle brackets.
const (
	SMS       Channel = "sms"
	Email     Channel = "email"
	Voice     Channel = "voice"
	WhatsApp  Channel = "whatsapp"
	Viber     Channel = "viber"
	Messenger Channel = "messenger"
	Telegram  Channel = "telegram"
)

const maxRecipient = 254 // RFC 5321 section 4.5.3.1.3, less the angle brackets

// canonicalRecipient returns the one form in which a recipient is metered, sealed
// and sent to, or what is wrong with it. It runs before anything else looks at the
// value, so no two places can read it differently. It guesses nothing: national
// numbers and international domains are for Config.Normalize.
func canonicalRecipient(c Channel, to string) (canonical, problem string) {
	if to == "" {
		return "", "is empty"
	}
	if len(to) > maxRecipient {
		return "", "is longer than 254 bytes"
	}
	switch c {
	case SMS, Voice, WhatsApp, Viber:
		if !isE164(to) {
			return "", "is not an E.164 number such as +12025550100"
		}
		return to, ""
	case Email:
		return canonicalEmail(to)
	}
	for _, b := range []byte(to) {
		if b <= ' ' || b > '~' || strings.IndexByte(`"',;<>()[]\`, b) >= 0 {
			return "", "has a character that no recipient has, or names several recipients"
		}
	}
	return to, ""
}

// isE164 reports whether s is '+', a digit from 1 to 9 and 6 to 14 more.
func isE164(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// canonicalEmail takes a dot-atom, one '@' and a domain name, and folds the case of
// the domain. The local part is left as it is, since only its host may read it.
// Quoted local parts and address literals are valid in RFC 5321 and refused here:
// every parser on the way reads them differently.
func canonicalEmail(to string) (canonical, problem string) {
	local, domain, found := strings.Cut(to, "@")
	switch {
	case !found || strings.Contains(domain, "@"):
		return "", "does not have exactly one @"
	case len(local) > 64 || !isDotAtom(local) || strings.Contains(local, "=?"): // RFC 2047: some software decodes it
		return "", "has a local part that is not a dot-atom of at most 64 characters"
	case !isDomain(domain):
		return "", "has a domain that is not a host name with a dot (international ones as xn--…)"
	}
	return local + "@" + strings.ToLower(domain), ""
}

func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for _, c := range []byte(atom) {
			if !isAlnum(c) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) < 0 {
				return false
			}
		}
	}
	return true
}

func isDomain(s string) bool {
	if len(s) > 253 || !strings.Contains(s, ".") {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !isAlnum(c) && c != '-' {
				return false
			}
		}
	}
	return s[len(s)-1] < '0' || s[len(s)-1] > '9' // an IP address is no domain
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// mailbox returns what a recipient is metered as: every address that reaches the
// same person should be the same, or each alias has limits of its own. Case and a
// "+tag" of the local part (RFC 5233) are ignored; where a host does not, people
// share limits, never codes.
func mailbox(c Channel, to string) string {
	if c != Email {
		return to
	}
	local, domain, _ := strings.Cut(to, "@")
	if i := strings.IndexByte(local, '+'); i > 0 {
		local = local[:i]
	}
	return strings.ToLower(local) + "@" + domain
}

// prefix returns a phone number without its last four digits, or "".
func prefix(to string) string {
	if !isE164(to) {
		return ""
	}
	return to[:len(to)-4]
}

// mask shows enough of a canonical recipient for its owner to recognize it, and for
// nobody else to reach it.
func mask(c Channel, to string) string {
	if c == Email {
		local, domain, _ := strings.Cut(to, "@")
		if len(local) < 3 {
			local = ""
		}
		return local[:min(1, len(local))] + "***@" + domain
	}
	switch {
	case to == "":
		return ""
	case len(to) < 8:
		return "***"
	case len(to) < 10:
		return to[:2] + "***"
	default:
		return to[:3] + "***" + to[len(to)-2:]
	}
}

// checkText reports what is wrong with a field that is opaque to this package but
// ends up in logs, messages and stores.
func checkText(s string, limit int) (problem string) {
	if len(s) > limit {
		return "is too long"
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	if strings.ContainsFunc(s, isControl) {
		return "has a control character"
	}
	return ""
}

// isControl reports whether r moves a cursor, breaks a line or turns the text after it
// around: what could make a message show something else than it holds. The marks that
// names in right-to-left scripts need turn nothing around.
func isControl(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// isLabel reports whether s is a channel's or usage's name.
func isLabel(s string) bool {
	if s == "" || len(s) > 32 || !isAlnum(s[0]) {
		return false
	}
	for _, c := range []byte(s) {
		if c >= 'A' && c <= 'Z' || !isAlnum(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
