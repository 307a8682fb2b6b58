package otp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"otp.example/otp/internal/hide"
)

const (
	maxCleanText = 512
	maxDirtyText = 64 << 10
	maxGap       = 8 // bytes between two symbols of a code that is spelled out
)

// clean drops the code and the recipient of m and what else is named from s, however a
// provider may have spelled them, and bounds its length.
func clean(s string, m Message, also ...string) string {
	cut := len(s) > maxDirtyText
	if cut {
		s = s[:maxDirtyText]
	}
	hidden := append(also, m.Code.Reveal(), m.To)
	if local, _, found := strings.Cut(m.To, "@"); found {
		name, _, _ := strings.Cut(local, "+")
		hidden = append(hidden, local, name)
	}
	secrets := make([]string, 0, len(hidden))
	for _, h := range hidden {
		if strings.ContainsFunc(h, func(r rune) bool { return r >= utf8.RuneSelf }) {
			s = strings.ReplaceAll(s, h, hide.Redacted) // it has more than symbols
		}
		secrets = append(secrets, symbols(h))
	}
	end := len(s)
	if cut {
		end = max(0, end-maxCleanText) // what the cut may have split is looked at and not shown
	}
	var b strings.Builder
	for i := 0; i < end && b.Len() < maxCleanText; {
		if after := spelled(s, i, secrets); after > i {
			b.WriteString(hide.Redacted)
			i = after
			continue
		}
		b.WriteByte(s[i])
		i++
	}
	return printable(b.String())
}

// printable replaces what could forge a line of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
}

// symbols is what counts of a secret when it is compared: small letters and digits.
func symbols(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && isAlnum(byte(r)) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// spelled returns where the longest of the secrets that begins at i ends, or i. Case does
// not matter, nor what stands between the symbols as long as it is short and no symbol.
func spelled(s string, i int, secrets []string) int {
	end := i
	for _, secret := range secrets {
		if len(secret) < 3 {
			continue
		}
		j, k := i, 0
		for k < len(secret) && j < len(s) {
			if lower(s[j]) != secret[k] {
				gap := skip(s, j)
				if k == 0 || gap == 0 {
					break
				}
				j += gap
				continue
			}
			j++
			k++
		}
		if k == len(secret) {
			end = max(end, j)
		}
	}
	return end
}

// skip returns the length of what may stand between two symbols at j: punctuation, spaces,
// bytes beyond ASCII and %XX.
func skip(s string, j int) int {
	n := 0
	for j+n < len(s) && n < maxGap && !isAlnum(s[j+n]) {
		if s[j+n] == '%' && j+n+2 < len(s) && isHex(s[j+n+1]) && isHex(s[j+n+2]) {
			n += 2
		}
		n++
	}
	return n
}

func isHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
