package recovery_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/recovery"
)

const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// checked writes random symbols, which are given as numbers, with their check symbol: as a polynomial over
// the field of 32 elements, evaluated with a table of logarithms and not as the package does it.
func checked(values []byte) string {
	var exp, log [32]byte
	v := byte(1)
	for i := range byte(31) {
		exp[i], log[v] = v, i
		v = v<<1 ^ 0b100101*(v>>4)
	}
	var sum byte
	var code strings.Builder
	for i, d := range values {
		code.WriteByte(crockford[d])
		if d != 0 {
			sum ^= exp[(int(log[d])+len(values)-i)%31]
		}
	}
	code.WriteByte(crockford[sum])
	return code.String()
}

// samples are codes of both forms, with every symbol at every place.
func samples() []string {
	var codes []string
	for _, n := range []int{23, 15} {
		for first := range 32 {
			values := make([]byte, n)
			for i := range values {
				values[i] = byte((first + 7*i + i*i) % 32)
			}
			codes = append(codes, checked(values))
		}
		codes = append(codes, checked(make([]byte, n)))
	}
	return codes
}

// S-69: every wrong symbol is found, at every place and with every other symbol, the check symbol
// included.
func TestEveryWrongSymbolIsFound(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, code := range samples() {
		_, ok := recovery.Parse(code)
		require.True(t, ok, code)
		for i := range code {
			for _, c := range []byte(crockford) {
				if c == code[i] {
					continue
				}
				if _, ok := recovery.Parse(code[:i] + string(c) + code[i+1:]); ok {
					t.Fatalf("%s with %c at %d is taken", code, c, i)
				}
				tried++
			}
		}
	}
	require.Equal(t, 33*31*(24+16), tried)
}

// S-69: so is every pair of symbols that changed places, next to each other or not.
func TestEveryTranspositionIsFound(t *testing.T) {
	t.Parallel()
	// Whether it is found depends on the places and the two symbols alone: the sum is linear. So all
	// pairs of both are tried once, in codes that are 0 elsewhere.
	for _, n := range []int{23, 15} {
		for i := range n + 1 {
			for j := range i {
				for a := range byte(32) {
					for b := range a {
						values := make([]byte, n)
						values[j] = a
						if i < n {
							values[i] = b
						}
						code := []byte(checked(values))
						if code[i] == code[j] {
							continue
						}
						code[i], code[j] = code[j], code[i]
						if _, ok := recovery.Parse(string(code)); ok {
							t.Fatalf("%s is taken after %d and %d changed places", code, i, j)
						}
					}
				}
			}
		}
	}
	for _, code := range samples() {
		for i := range len(code) - 1 {
			swapped := []byte(code)
			swapped[i], swapped[i+1] = code[i+1], code[i]
			_, ok := recovery.Parse(string(swapped))
			require.Equal(t, code[i] == code[i+1], ok)
		}
	}
}

// A symbol too many or too few is found by the length.
func TestLengths(t *testing.T) {
	t.Parallel()
	code := samples()[3]
	for n := range len(code) {
		_, ok := recovery.Parse(code[:n])
		require.False(t, ok && n != 16, "%d symbols", n)
		_, ok = recovery.Parse(code[:n] + code[n:n+1] + code[n:])
		require.False(t, ok, "a symbol twice")
	}
}

// What looks alike is the same, however it is grouped. Nothing beyond ASCII is anything.
func TestParse(t *testing.T) {
	t.Parallel()
	values := make([]byte, 23)
	values[0], values[1], values[2], values[22] = 0, 1, 31, 17
	code := checked(values)
	for _, s := range []string{
		code, strings.ToLower(code), strings.ReplaceAll(code, "0", "O"), strings.ReplaceAll(code, "0", "o"),
		strings.ReplaceAll(code, "1", "I"), strings.ReplaceAll(code, "1", "l"), strings.ReplaceAll(code, "1", "L"), strings.ReplaceAll(code, "1", "i"),
		"  " + code[:4] + "-" + code[4:8] + " - " + code[8:] + " ",
	} {
		got, ok := recovery.Parse(s)
		require.True(t, ok, s)
		require.Equal(t, code, string(got))
	}
	for _, s := range []string{
		"", "-", " ", "U" + code[1:], code + "\n", "\t" + code, code + "\x00", "\u00a0" + code, code + strings.Repeat(" ", 64), "+" + code,
		strings.ReplaceAll(code, "0", "Ｏ"), strings.ReplaceAll(code, "0", "О"), strings.ReplaceAll(code, "1", "İ"), strings.ReplaceAll(code, "1", "ı"),
		strings.ReplaceAll(code, "1", "ſ"), code[:23] + "*", code + "\u200b", "\ufeff" + code, strings.Repeat("0", 1<<20),
	} {
		_, ok := recovery.Parse(s)
		require.False(t, ok, "%.40q", s)
	}
}

// A code is parsed to a form that is parsed to itself, and has the symbols that were typed.
func FuzzParse(f *testing.F) {
	for _, s := range samples()[:3] {
		f.Add(s)
	}
	f.Add("7k2m-q9xf-0twb-4hnc-6rje-va8f")
	f.Add("OIL0-1111")
	f.Add("\xff\x00-- ")
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := recovery.Parse(typed)
		if !ok {
			return
		}
		if len(code) != 24 && len(code) != 16 {
			t.Fatalf("%q has %d symbols", typed, len(code))
		}
		values := make([]byte, 0, len(code))
		for _, c := range code {
			values = append(values, byte(strings.IndexByte(crockford, c)))
		}
		if want := checked(values[:len(values)-1]); want != string(code) {
			t.Fatalf("%q became %s, whose check symbol makes it %s", typed, code, want)
		}
		folded := strings.NewReplacer(" ", "", "-", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(typed))
		if folded != string(code) {
			t.Fatalf("%q became %s", typed, code)
		}
		if again, ok := recovery.Parse(string(code)); !ok || !slices.Equal(again, code) {
			t.Fatalf("%s became %s", code, again)
		}
	})
}

// The code in the package comment is one.
func TestDocumentedCode(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("recovery.go")
	require.NoError(t, err)
	code := regexp.MustCompile(`(?m)^//\t([0-9A-Z-]{29})$`).FindSubmatch(source)
	require.NotNil(t, code)
	_, ok := recovery.Parse(string(code[1]))
	require.True(t, ok, "the check symbol of %s is wrong", code[1])
}

// Text is what fits on any page, whatever there is to list.
func TestText(t *testing.T) {
	t.Parallel()
	secret := func(n int) []otp.Secret {
		var s []otp.Secret
		for i := range n {
			s = append(s, otp.NewSecret(string(rune('A'+i))))
		}
		return s
	}
	for n, want := range []string{"", " 1. A\n", " 1. A     2. B\n", " 1. A     3. C\n 2. B\n"} {
		require.Equal(t, want, recovery.Text(secret(n)).Reveal())
	}
	require.Equal(t, "[redacted]", fmt.Sprint(recovery.Text(secret(3))))
}
