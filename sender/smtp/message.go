package smtp

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	netmail "net/mail"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wneessen/go-mail"

	"otp.example/otp"
)

// address is a dot-atom, one @ and a host name with a dot. Whatever a header or a command
// gives a meaning to is not in it: line ends, commas, brackets, quotes, spaces.
var address = regexp.MustCompile("^" + atom + `(?:\.` + atom + ")*@" + label + `(?:\.` + label + ")+$")

const (
	atom  = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
	label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)

// isAddress reports whether mail can be sent to s. It is what package otp lets through,
// and is here because others may call a Sender, too.
func isAddress(s string) bool {
	return len(s) <= 254 && strings.IndexByte(s, '@') <= 64 && address.MatchString(s) &&
		!strings.Contains(s, "=?") && // RFC 2047: some software decodes it
		!unicode.IsDigit(rune(s[len(s)-1])) // an IP address is no domain
}

// compose writes the message that m is.
func (s *Sender) compose(id string, m otp.Message) ([]byte, error) {
	refuse := func(problem string) ([]byte, error) {
		return nil, fmt.Errorf("otp/smtp: %s: %w", problem, otp.ErrNotAccepted)
	}
	if !isAddress(m.To) {
		return refuse("recipient is not an e-mail address")
	}
	subject, err := checkSubject(m.Content.Subject)
	if err != nil {
		return refuse(err.Error())
	}
	if m.Content.Text == "" && m.Content.HTML == "" {
		return refuse("message is empty")
	}
	if len(m.Content.Text)+len(m.Content.HTML) > maxText {
		return refuse("message is too long")
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent()) // which software this is concerns nobody
	msg.FromMailAddress(&s.from)
	msg.ToMailAddress(&netmail.Address{Address: m.To})
	msg.Subject(subject)
	msg.SetMessageIDWithValue(id)
	msg.SetDate()
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // so that no holiday notice answers
	for _, part := range []struct {
		kind mail.ContentType
		text string
	}{
		// The best comes last (RFC 2046 section 5.1.4).
		{mail.TypeTextPlain, m.Content.Text},
		{mail.TypeTextHTML, m.Content.HTML},
	} {
		if part.text != "" {
			msg.AddAlternativeString(part.kind, part.text)
		}
	}
	var out bytes.Buffer
	if _, err := msg.WriteTo(&out); err != nil {
		return refuse("message cannot be written")
	}
	return out.Bytes(), nil
}

const (
	maxText    = 256 << 10
	maxSubject = 255
)

func checkSubject(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("subject is empty")
	case len(s) > maxSubject:
		return "", errors.New("subject is too long")
	case !utf8.ValidString(s), strings.ContainsFunc(s, unicode.IsControl):
		return "", errors.New("subject has a control character or is not UTF-8")
	case strings.Contains(s, "=?"): // RFC 2047: what is decoded from it was not checked
		return "", errors.New("subject has an encoded word")
	}
	// Lines are broken at spaces, and two of them would make a line of nothing else.
	s = strings.Join(strings.Fields(s), " ")
	if s == "" {
		return "", errors.New("subject is empty")
	}
	return s, nil
}

// messageID is the same for every try of one send, and tells nothing of key. Without a key
// it is like no other.
func (s *Sender) messageID(key string) string {
	if key == "" {
		key = rand.Text()
	}
	sum := sha256.Sum256([]byte("otp message-id\x00" + key))
	_, domain, _ := strings.Cut(s.from.Address, "@")
	return hex.EncodeToString(sum[:16]) + "@" + domain
}
