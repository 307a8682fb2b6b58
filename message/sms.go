package message

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf16"

	"otp.example/otp"
)

// sms adds the line for browsers and apps to the text that t makes of d.
func (r *Renderer) sms(text string, t *textTemplate, m otp.Message, d data) (string, error) {
	sms := withLine(text, r.lastLine(d.Code, false))
	if r.cfg.AndroidHash != "" {
		withHash, err := r.forAndroid(t, m, d)
		if err != nil {
			return "", err
		}
		sms = cmp.Or(withHash, sms)
	}
	if n := Segments(sms); n > r.cfg.MaxSegments {
		return "", fmt.Errorf("otp: message: an SMS of %d segments is longer than Config.MaxSegments", n)
	}
	return sms, nil
}

// forAndroid returns an SMS that the app can read, or nothing if there is no room.
func (r *Renderer) forAndroid(t *textTemplate, m otp.Message, d data) (string, error) {
	line := r.lastLine(d.Code, true)
	var nothing string
	for _, leaveOut := range []*string{&nothing, &d.Purpose, &d.App} {
		*leaveOut = ""
		c, err := write(t, m, d)
		if err != nil {
			return "", err
		}
		// The limit may be meant of the text or of what is sent, so it is kept by both.
		if sms := withLine(c.Text, line); len(sms) <= androidBytes && Segments(sms) == 1 {
			return sms, nil
		}
	}
	return "", nil
}

const androidBytes = 140 // https://developers.google.com/identity/sms-retriever/verify

// lastLine binds the code to the host. The hash stands behind it: browsers ignore what
// follows the code, and some versions of Android want it at the very end.
func (r *Renderer) lastLine(code string, hash bool) string {
	var parts []string
	if r.cfg.Host != "" {
		parts = append(parts, "@"+r.cfg.Host, "#"+code)
	}
	if hash {
		parts = append(parts, r.cfg.AndroidHash)
	}
	return strings.Join(parts, " ")
}

func withLine(text, line string) string {
	if line == "" {
		return text
	}
	return text + "\n\n" + line
}

// looksBound finds, anywhere, what some reader takes for a line that binds a code to a
// host. The specification asks for the last line alone, but there are browsers that take
// the first place in a message where this follows a space. It is wider than either: what
// it finds wrongly is an unusual text, and what it missed would be somebody else's host.
var looksBound = regexp.MustCompile(`(?:^|[^\pL\pN._%+-])@\S+\s+#`)

// Segments returns in how many parts a text goes as SMS: of 160 characters, or 153 if
// there are several, if all are of the GSM 7-bit default alphabet (3GPP TS 23.038; ^{}\[~]|
// and € count twice), and otherwise of 70 or 67 UTF-16 units. No character is split.
// Operators charge for each.
func Segments(text string) int {
	var sizes []int
	single, several := 160, 153
	for _, r := range text {
		switch {
		case strings.ContainsRune(gsmBasic, r):
			sizes = append(sizes, 1)
		case strings.ContainsRune(gsmExtension, r):
			sizes = append(sizes, 2)
		default:
			single = 70
		}
	}
	if single == 70 {
		several, sizes = 67, nil
		for _, r := range text {
			sizes = append(sizes, max(1, utf16.RuneLen(r)))
		}
	}
	total, parts, used := 0, 1, 0
	for _, n := range sizes {
		total += n
		if used+n > several {
			parts, used = parts+1, 0
		}
		used += n
	}
	if total <= single {
		return 1
	}
	return parts
}

const (
	gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
	gsmExtension = "\f^{}\\[~]|€"
)

// isHost reports whether s is a host name of ASCII letters, digits, hyphens and dots.
func isHost(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return false // an IP address, to which no code can be bound
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}

func isAndroidHash(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '+' && c != '/' {
			return false
		}
	}
	return len(s) == 11
}
