package otp

import (
	"crypto/rand"
	"errors"
	"math"
	"math/bits"
)

// An Alphabet names the symbols of a code.
type Alphabet string

const (
	// Digits is 0 to 9. The empty Alphabet means Digits.
	Digits Alphabet = "digits"

	// Crockford is the 32 symbols of Crockford's Base32: digits and capital letters
	// without I, L, O and U. When read, case is ignored, I and L are taken as 1 and
	// O as 0, as its definition says: no code contains them.
	Crockford Alphabet = "crockford"
)

const (
	digitSymbols     = "0123456789"
	crockfordSymbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

	maxCodeLength = 32
	maxTypedCode  = 64 // longer input is refused before anything is computed from it
)

// A Format says how a code looks.
type Format struct {
	Length   int      `json:"length"`
	Alphabet Alphabet `json:"alphabet,omitempty"` // empty means Digits
}

// A Generator makes the codes of one format. The default draws uniformly from
// crypto/rand; a caller may supply a provider's codes. It must be safe for
// concurrent use, and its codes must not depend on time, subject or earlier codes:
// the bounds on guessing hold for uniform codes only.
type Generator interface {
	// Generate returns a code in the canonical form of f: f.Length symbols of
	// f.Alphabet. Anything else fails the request.
	Generate(f Format) (Secret, error)
}

type uniform struct{}

// Generate draws every symbol by rejection sampling, so that all are equally likely,
// and all codes, those with leading zeros included, too. crypto/rand ends the
// program rather than return anything but random bytes.
func (uniform) Generate(f Format) (Secret, error) {
	symbols := f.symbols()
	if symbols == "" || f.Length < 1 || f.Length > maxCodeLength {
		return Secret{}, errors.New("otp: Format is not valid")
	}
	code := make([]byte, 0, maxCodeLength)
	var buf [maxCodeLength]byte
	for len(code) < f.Length {
		_, _ = rand.Read(buf[:])
		code = appendSymbols(code, buf[:], symbols, f.Length)
	}
	return NewSecret(string(code)), nil
}

// appendSymbols maps random bytes to symbols until code has length of them. Bytes
// from the incomplete last multiple of len(symbols) are skipped: they would make
// the first symbols more likely.
func appendSymbols(code, random []byte, symbols string, length int) []byte {
	limit := 256 - 256%len(symbols)
	for _, b := range random {
		if len(code) == length {
			break
		}
		if int(b) < limit {
			code = append(code, symbols[int(b)%len(symbols)])
		}
	}
	return code
}

func (f Format) symbols() string {
	switch f.Alphabet {
	case Digits, "":
		return digitSymbols
	case Crockford:
		return crockfordSymbols
	}
	return ""
}

// mass is the probability that one guess hits one code, in parts per 1e9 and times
// guesses, rounded up. From 2^64 codes on it is nothing: NIST SP 800-63B-4 section
// 3.1.3.2 asks for no limit there.
func (f Format) mass(guesses int) int64 {
	n := uint64(1)
	for range f.Length {
		hi, lo := bits.Mul64(n, uint64(len(f.symbols())))
		if hi > 0 {
			return 0
		}
		n = lo
	}
	parts := uint64(guesses) * certainty
	return int64((parts + n - 1) / n)
}

// strength is the logarithm of how many codes there are.
func (f Format) strength() float64 {
	return float64(f.Length) * math.Log2(float64(len(f.symbols())))
}

// certainty is the guess mass of 1.
const certainty = 1e9

// canonical returns the one form of what a person typed, or false if it is no code
// of the format. Spaces and hyphens separate groups and are dropped; case and the
// look-alikes of Crockford's definition are folded for that alphabet alone. Nothing
// beyond ASCII is mapped: a full-width digit or a no-break space is just wrong, so
// that no two inputs of different meaning ever become the same code.
func (f Format) canonical(typed string) (string, bool) {
	if len(typed) > maxTypedCode {
		return "", false
	}
	var buf [maxTypedCode]byte
	code := buf[:0]
	for _, c := range []byte(typed) {
		if c == ' ' || c == '-' {
			continue
		}
		if f.Alphabet == Crockford {
			c = foldCrockford(c)
			if c == 0 {
				return "", false
			}
		} else if c < '0' || c > '9' {
			return "", false
		}
		code = append(code, c)
	}
	return string(code), len(code) == f.Length
}

// foldCrockford returns the symbol that c stands for, or zero.
func foldCrockford(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	switch {
	case c == 'O':
		return '0'
	case c == 'I', c == 'L':
		return '1'
	case c == 'U', c < '0', c > 'Z', c > '9' && c < 'A':
		return 0
	}
	return c
}
