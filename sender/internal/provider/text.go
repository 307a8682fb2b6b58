package provider

import (
	"fmt"
	"strings"
	"time"

	"otp.example/otp"
)

// Require returns an error that names the first of the fields that is empty. They are
// pairs of a name and a value.
func Require(name string, fields ...string) error {
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i+1] == "" {
			return fmt.Errorf("otp/%s: %s is missing", name, fields[i])
		}
	}
	return nil
}

// Number returns an E.164 number without its plus sign. What is none is refused: this
// provider takes numbers, and the next one may take what an application calls its people.
func (c *Client) Number(to string) (digits string, err error) {
	digits, found := strings.CutPrefix(to, "+")
	if !found || len(digits) < 7 || len(digits) > 15 || digits[0] == '0' || !isDigits(digits) {
		return "", c.Refused("the recipient is no E.164 number")
	}
	return digits, nil
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Text returns the text of a message, which must not be longer than limit characters: a
// provider that cuts a text may cut the code.
func (c *Client) Text(m otp.Message, limit int) (string, error) {
	n := len([]rune(m.Content.Text))
	if n == 0 {
		return "", c.Refused("the message has no text")
	}
	if n > limit {
		return "", c.Refused(fmt.Sprintf("the text has more than %d characters", limit))
	}
	return m.Content.Text, nil
}

// Seconds returns how long a provider may hold a message back, within what it takes: what
// is later than the challenge only confuses. Zero means that the message does not say.
func Seconds(ttl time.Duration, least, most int) int {
	if ttl <= 0 {
		return 0
	}
	return min(max(int(ttl/time.Second), least), most)
}

// Language returns the one of a template's languages that fits a locale best: the same
// tag, else the same language, else the first. "pt-BR" and "pt_BR" are the same.
func Language(languages []string, locale string) string {
	same, _, _ := strings.Cut(fold(locale), "_")
	best := ""
	for _, l := range languages {
		if fold(l) == fold(locale) {
			return l
		}
		if language, _, _ := strings.Cut(fold(l), "_"); best == "" && language == same {
			best = l
		}
	}
	if best == "" && len(languages) > 0 {
		best = languages[0]
	}
	return best
}

func fold(tag string) string { return strings.ReplaceAll(strings.ToLower(tag), "-", "_") }

// token returns s if it is a word that an identifier or an error code could be.
func token(s string, limit int) string {
	if len(s) > limit || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return s
}

// clean returns the printable part of a provider's text, or nothing if it repeats the
// code, the recipient or a credential, or as much of one as a number without its country
// code: an error is read by more people than they are.
func (c *Client) clean(s string, limit int, m otp.Message) string {
	said := symbols(s)
	for _, secret := range append([]otp.Secret{m.Code, otp.NewSecret(m.To)}, c.secrets...) {
		x := symbols(secret.Reveal())
		part := min(len(x), maxShown+1)
		for i := 0; part >= 3 && i+part <= len(x); i++ {
			if strings.Contains(said, x[i:i+part]) {
				return ""
			}
		}
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), limit)]
}

// maxShown is how many symbols of a secret in a row a text may have by chance: codes of
// errors have that many.
const maxShown = 6

// symbols is what counts of a secret when it is looked for: small letters and digits.
func symbols(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, strings.ToLower(s))
}
