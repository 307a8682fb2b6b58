package message

import (
	"strings"
	"unicode"
)

// clean leaves of s what can be seen: a line break becomes a space, and characters that
// control, that turn text around or that have no shape are removed. What a person is
// shown then is what there is, on one line.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.In(r, unicode.C, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return strings.Join(strings.Fields(s), " ")
}

// isolate keeps the direction of s from the text around it, and that of the text from s
// (Unicode Annex 9, section 2.4). Where nothing is written from right to left it changes
// nothing: the marks would cost an SMS half of its room.
//
// Codes need no marks: in every paragraph their letters and digits stand from left to
// right. With marks, who copies a code would copy those, too.
func isolate(s, dir string) string {
	if s == "" || dir == "ltr" && !strings.ContainsFunc(s, isRightToLeft) {
		return s
	}
	return "\u2068" + s + "\u2069"
}

// isRightToLeft reports whether r is in one of the ranges that Unicode keeps for scripts
// written from right to left.
func isRightToLeft(r rune) bool {
	return r >= 0x590 && r <= 0x8FF || r >= 0xFB1D && r <= 0xFDFF || r >= 0xFE70 && r <= 0xFEFF ||
		r >= 0x10800 && r <= 0x10FFF || r >= 0x1E800 && r <= 0x1EFFF
}

// tidy removes spaces at the ends of lines, lines that leave more than one empty, and
// those around it all.
func tidy(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r", ""), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " \t")
	}
	s = strings.Join(lines, "\n")
	for strings.Contains(s, "\n\n\n") {
		s = strings.ReplaceAll(s, "\n\n\n", "\n\n")
	}
	return strings.TrimSpace(s)
}
