package recovery

import (
	"fmt"
	"strings"

	"otp.example/otp"
)

// symbols are those of Crockford's Base32.
const symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// maxTyped is the longest code that is looked at, with what separates its groups.
const maxTyped = 64

// parse returns the one form of a code that a person typed, or false if it can be none.
// Nothing beyond ASCII is mapped.
func parse(typed string) ([]byte, bool) {
	if len(typed) > maxTyped {
		return nil, false
	}
	code, values := make([]byte, 0, maxTyped), make([]byte, 0, maxTyped)
	for _, c := range []byte(typed) {
		if c == ' ' || c == '-' {
			continue
		}
		v := strings.IndexByte(symbols, fold(c))
		if v < 0 {
			return nil, false
		}
		code, values = append(code, symbols[v]), append(values, byte(v))
	}
	n := len(values) - 1
	if n != longCode && n != shortCode {
		return nil, false
	}
	return code, check(values[:n]) == values[n]
}

// fold makes of a letter the symbol that it stands for.
func fold(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	switch c {
	case 'O':
		return '0'
	case 'I', 'L':
		return '1'
	}
	return c
}

// check computes the check symbol: the sum of all symbols, each times another power of 2 in
// the field of 32 elements. One wrong symbol always changes it, and so do two that changed
// places, since their powers differ.
func check(values []byte) byte {
	var sum byte
	for _, v := range values {
		sum = double(sum ^ v)
	}
	return sum
}

// double is the product with 2, modulo x^5+x^2+1.
func double(v byte) byte {
	v <<= 1
	if v&32 != 0 {
		v ^= 0b100101
	}
	return v
}

// group puts hyphens between groups of four symbols.
func group(code []byte) string {
	var b strings.Builder
	for i, c := range code {
		if i > 0 && i%groupSize == 0 {
			b.WriteByte('-')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// Text lists codes in two columns of plain ASCII, numbered, for a page to print or a file
// to keep.
func Text(codes []otp.Secret) otp.Secret {
	var b strings.Builder
	half := (len(codes) + 1) / 2
	for i := range half {
		fmt.Fprintf(&b, "%2d. %s", i+1, codes[i].Reveal())
		if j := i + half; j < len(codes) {
			fmt.Fprintf(&b, "    %2d. %s", j+1, codes[j].Reveal())
		}
		b.WriteByte('\n')
	}
	return otp.NewSecret(b.String())
}
