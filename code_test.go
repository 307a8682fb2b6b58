package otp

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"
)

var (
	sixDigits    = Format{Length: 6, Alphabet: Digits}
	tenCrockford = Format{Length: 10, Alphabet: Crockford}
)

func generate(t testing.TB, f Format) string {
	t.Helper()
	code, err := uniform{}.Generate(f)
	require.NoError(t, err)
	return code.Reveal()
}

// S-01 S-04 FM-28: crypto/rand is all that a code depends on. With its output fixed the
// codes are fixed; with another output they are others.
func TestCodesComeFromCryptoRand(t *testing.T) { // not parallel: it sets the global source
	draw := func(t *testing.T, seed uint64) (codes []string) {
		cryptotest.SetGlobalRandom(t, seed)
		for _, f := range []Format{sixDigits, {Length: 8}, tenCrockford, {Length: 32, Alphabet: Crockford}} {
			for range 50 {
				codes = append(codes, generate(t, f))
			}
		}
		return codes
	}
	byName := map[string][]string{}
	for _, tt := range []struct {
		name string
		seed uint64
	}{{"first", 1}, {"again", 1}, {"other", 2}} {
		t.Run(tt.name, func(t *testing.T) { byName[tt.name] = draw(t, tt.seed) })
	}
	require.Equal(t, byName["first"], byName["again"])
	for i, code := range byName["other"] {
		if len(code) > 8 { // shorter ones may be equal by chance
			require.NotEqual(t, byName["first"][i], code)
		}
	}
}

// S-02 FM-23: fed with every byte once, the mapper makes each symbol equally often; what
// is skipped is the incomplete last multiple and nothing else.
func TestEveryByteIsMappedEvenly(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	tests := []struct {
		format            Format
		wantEach, wantOut int
	}{
		{Format{Alphabet: Digits}, 25, 6},
		{Format{}, 25, 6},
		{Format{Alphabet: Crockford}, 8, 0},
	}
	for _, tt := range tests {
		symbols := tt.format.symbols()
		count := map[byte]int{}
		skipped := 0
		for _, b := range all {
			switch code := appendSymbols(nil, []byte{b}, symbols, 1); len(code) {
			case 0:
				skipped++
				require.GreaterOrEqual(t, int(b), 256-tt.wantOut)
			default:
				count[code[0]]++
			}
		}
		require.Len(t, count, len(symbols))
		for symbol, n := range count {
			require.Equal(t, tt.wantEach, n, "%c", symbol)
		}
		require.Equal(t, tt.wantOut, skipped)
		require.Len(t, appendSymbols(nil, all, symbols, 1000), 256-tt.wantOut, "together as one by one")
	}
}

// S-02 FM-23: no code is left out, the first, the last and those with leading zeros
// included.
func TestExtremeCodesAreReachable(t *testing.T) {
	t.Parallel()
	tests := []struct {
		random []byte
		format Format
		want   string
	}{
		{make([]byte, 6), sixDigits, "000000"},
		{slices.Repeat([]byte{249}, 6), sixDigits, "999999"},
		{[]byte{0, 10, 20, 30, 40, 1}, sixDigits, "000001"},
		{[]byte{255, 250, 9, 251, 8, 252, 7, 253, 6, 254, 5, 4}, sixDigits, "987654"},
		{make([]byte, 10), tenCrockford, "0000000000"},
		{slices.Repeat([]byte{255}, 10), tenCrockford, "ZZZZZZZZZZ"},
	}
	for _, tt := range tests {
		code := string(appendSymbols(nil, tt.random, tt.format.symbols(), tt.format.Length))
		require.Equal(t, tt.want, code)
		canonical, ok := tt.format.canonical(code)
		require.True(t, ok)
		require.Equal(t, code, canonical)
	}
	require.Equal(t, "12", string(appendSymbols([]byte("1"), []byte{2, 3, 4}, digitSymbols, 2)), "no more than asked for")
}

// S-02 S-04: χ² over each position and each pair of neighbors. A run is refused by
// chance once in 10^9.
func TestCodesAreUniform(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		format Format
		codes  int
	}{{sixDigits, 300_000}, {tenCrockford, 100_000}} {
		symbols := tt.format.symbols()
		n, length := len(symbols), tt.format.Length
		index := [256]int{}
		for i := range n {
			index[symbols[i]] = i
		}
		single, pairs := make([]int, length*n), make([]int, (length-1)*n*n)
		for range tt.codes {
			code := generate(t, tt.format)
			for p := range length {
				s := index[code[p]]
				single[p*n+s]++
				if p > 0 {
					pairs[((p-1)*n+index[code[p-1]])*n+s]++
				}
			}
		}
		for p := range length {
			requireUniform(t, single[p*n:(p+1)*n], fmt.Sprintf("position %d of %v", p, tt.format))
		}
		for p := range length - 1 {
			requireUniform(t, pairs[p*n*n:(p+1)*n*n], fmt.Sprintf("positions %d and %d of %v", p, p+1, tt.format))
		}
	}
}

func requireUniform(t *testing.T, counts []int, what string) {
	t.Helper()
	total := 0
	for _, c := range counts {
		total += c
	}
	expected, sum := float64(total)/float64(len(counts)), 0.0
	for _, c := range counts {
		d := float64(c) - expected
		sum += d * d / expected
	}
	// Wilson and Hilferty's approximation of the quantile of χ²: 6 sigma is 1e-9.
	k := float64(len(counts) - 1)
	limit := k * math.Pow(1-2/(9*k)+6.5*math.Sqrt(2/(9*k)), 3)
	require.Less(t, sum, limit, what)
}

// S-04: 100,000 codes repeat as often as chance has it, no more.
func TestRepeatsStayWithinTheBirthdayBound(t *testing.T) {
	t.Parallel()
	const n = 100_000
	for _, f := range []Format{sixDigits, {Length: 8}, tenCrockford} {
		space := math.Pow(float64(len(f.symbols())), float64(f.Length))
		expected := n - space*-math.Expm1(-n/space)
		seen := make(map[string]bool, n)
		repeats := 0
		for range n {
			code := generate(t, f)
			if seen[code] {
				repeats++
			}
			seen[code] = true
		}
		require.LessOrEqual(t, float64(repeats), expected+7*math.Sqrt(expected)+3, "%v", f)
		require.GreaterOrEqual(t, float64(repeats), expected-7*math.Sqrt(expected)-3, "%v", f)
	}
}

// S-03: fewer than a million codes are refused, whatever they look like.
func TestFormatBounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		format Format
		want   bool
	}{
		{Format{Length: 5, Alphabet: Digits}, false},
		{Format{Length: 6, Alphabet: Digits}, true},
		{Format{Length: 6}, true},
		{Format{Length: 5}, false},
		{Format{Length: 32, Alphabet: Digits}, true},
		{Format{Length: 33, Alphabet: Digits}, false},
		{Format{Length: 3, Alphabet: Crockford}, false}, // 32,768
		{Format{Length: 4, Alphabet: Crockford}, true},  // 1,048,576
		{Format{Length: 32, Alphabet: Crockford}, true},
		{Format{Length: 33, Alphabet: Crockford}, false},
		{Format{Length: 0, Alphabet: Digits}, false},
		{Format{Length: -1, Alphabet: Digits}, false},
		{Format{Length: -1, Alphabet: Crockford}, false},
		{Format{Length: math.MinInt, Alphabet: Digits}, false},
		{Format{Length: math.MaxInt, Alphabet: Digits}, false},
		{Format{Length: math.MaxInt, Alphabet: Crockford}, false},
		{Format{}, false},
		{Format{Length: 6, Alphabet: "words"}, false},
		{Format{Length: 0, Alphabet: "words"}, false},
		{Format{Length: 6, Alphabet: "DIGITS"}, false},
		{Format{Length: 20, Alphabet: "crockford "}, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.format), func(t *testing.T) {
			t.Parallel()
			require.NotPanics(t, func() {
				err := Policy{Formats: []Format{tt.format}}.Validate()
				if tt.want {
					require.NoError(t, err)
					require.Len(t, generate(t, tt.format), tt.format.Length)
				} else {
					require.ErrorContains(t, err, "Policy.Formats")
				}
			})
		})
	}
}

func TestGenerateRefusesFormats(t *testing.T) {
	t.Parallel()
	for _, f := range []Format{{}, {Length: -1}, {Length: 33}, {Length: 33, Alphabet: Crockford}, {Length: 6, Alphabet: "words"}} {
		code, err := uniform{}.Generate(f)
		require.Error(t, err, "%v", f)
		require.Empty(t, code.Reveal())
	}
}

// S-05 S-56 S-86 FM-01: there is one canonical form of what a person may type, and
// nothing else is a code at all.
func TestCanonicalCode(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		format Format
		typed  string
		want   string // empty means refused
	}{
		{"as sent", sixDigits, "012345", "012345"},
		{"grouped by a space", sixDigits, "012 345", "012345"},
		{"grouped by a hyphen", sixDigits, "012-345", "012345"},
		{"pasted with spaces around", sixDigits, "  012345 ", "012345"},
		{"every symbol apart", sixDigits, "0 1-2 3-4 5", "012345"},
		{"only separators beside", sixDigits, "--012345--", "012345"},

		{"empty", sixDigits, "", ""},
		{"only separators", sixDigits, "- - -", ""},
		{"leading plus", sixDigits, "+012345", ""},
		{"plus for a digit", sixDigits, "+12345", ""},
		{"minus sign", sixDigits, "\u2212012345", ""},
		{"en dash", sixDigits, "012\u2013345", ""},
		{"soft hyphen", sixDigits, "012\u00ad345", ""},
		{"no-break space", sixDigits, "012\u00a0345", ""},
		{"narrow no-break space", sixDigits, "012\u202f345", ""},
		{"ideographic space", sixDigits, "012\u3000345", ""},
		{"zero-width space", sixDigits, "012345\u200b", ""},
		{"zero-width joiner", sixDigits, "012\u200d345", ""},
		{"byte order mark", sixDigits, "\ufeff012345", ""},
		{"right-to-left mark", sixDigits, "012345\u200f", ""},
		{"full-width digits", sixDigits, "\uff10\uff11\uff12\uff13\uff14\uff15", ""},
		{"one full-width digit", sixDigits, "01234\uff15", ""},
		{"Arabic-Indic digits", sixDigits, "\u0660\u0661\u0662\u0663\u0664\u0665", ""},
		{"Devanagari digits", sixDigits, "\u0966\u0967\u0968\u0969\u096a\u096b", ""},
		{"mathematical digits", sixDigits, "\U0001d7ce\U0001d7cf\U0001d7d0\U0001d7d1\U0001d7d2\U0001d7d3", ""},
		{"superscript", sixDigits, "01234\u2075", ""},
		{"combining mark", sixDigits, "012345\u0301", ""},
		{"line feed", sixDigits, "012345\n", ""},
		{"carriage return", sixDigits, "012345\r", ""},
		{"tab", sixDigits, "012\t345", ""},
		{"NUL", sixDigits, "012345\x00", ""},
		{"dot", sixDigits, "012.345", ""},
		{"comma", sixDigits, "012,345", ""},
		{"underscore", sixDigits, "012_345", ""},
		{"hexadecimal", sixDigits, "0x1234", ""},
		{"exponent", sixDigits, "1e2345", ""},
		{"wildcard", sixDigits, "01234%", ""},
		{"invalid UTF-8", sixDigits, "01234\xb5", ""},
		{"percent-encoded", sixDigits, "012%20345", ""},
		{"O is no zero in digits", sixDigits, "O12345", ""},
		{"o is no zero in digits", sixDigits, "o12345", ""},
		{"I is no one in digits", sixDigits, "0I2345", ""},
		{"l is no one in digits", sixDigits, "0l2345", ""},

		{"letters as sent", tenCrockford, "0123ABCDXZ", "0123ABCDXZ"},
		{"small letters", tenCrockford, "0123abcdxz", "0123ABCDXZ"},
		{"grouped letters", tenCrockford, "0123-abcd xz", "0123ABCDXZ"},
		{"look-alikes", tenCrockford, "OoIiLl2345", "0011112345"},
		{"U is no symbol", tenCrockford, "0123456789U"[1:], ""},
		{"u is no symbol", tenCrockford, "012345678u", ""},
		{"check symbol", tenCrockford, "012345678*", ""},
		{"before the digits", tenCrockford, "012345678/", ""},
		{"after the digits", tenCrockford, "012345678:", ""},
		{"at sign", tenCrockford, "012345678@", ""},
		{"after the letters", tenCrockford, "012345678[", ""},
		{"before the small letters", tenCrockford, "012345678`", ""},
		{"after the small letters", tenCrockford, "012345678{", ""},
		{"full-width letter", tenCrockford, "012345678\uff21", ""},
		{"Cyrillic letter", tenCrockford, "012345678\u0410", ""},
		{"dotless i", tenCrockford, "012345678\u0131", ""},
		{"long s", tenCrockford, "012345678\u017f", ""},
		{"Kelvin sign", tenCrockford, "012345678\u212a", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := tt.format.canonical(tt.typed)
			require.Equal(t, tt.want != "", ok)
			if ok {
				require.Equal(t, tt.want, got)
			}
		})
	}
}

// S-56 FM-29: a code has the length of its format, or it is none.
func TestCodeLengths(t *testing.T) {
	t.Parallel()
	for _, f := range []Format{sixDigits, {Length: 8}, tenCrockford, {Length: 32, Alphabet: Crockford}} {
		for n := range 100 {
			_, ok := f.canonical(strings.Repeat("7", n))
			require.Equal(t, n == f.Length, ok, "%d symbols for %v", n, f)
		}
	}
	_, ok := sixDigits.canonical("012345" + strings.Repeat(" ", maxTypedCode-6))
	require.True(t, ok)
	_, ok = sixDigits.canonical("012345" + strings.Repeat(" ", maxTypedCode-5))
	require.False(t, ok, "longer than anybody types")
}

// S-87: what is too long costs nothing.
func TestOversizedCode(t *testing.T) { // not parallel: it counts allocations
	long := strings.Repeat("1", 10<<20)
	for _, f := range []Format{sixDigits, tenCrockford} {
		require.Zero(t, testing.AllocsPerRun(100, func() {
			if _, ok := f.canonical(long); ok {
				panic("accepted")
			}
		}))
	}
}

// S-05: codes are their own canonical form, and different codes have different ones.
func TestCanonicalFormIsBijective(t *testing.T) {
	t.Parallel()
	for _, f := range []Format{sixDigits, {Length: 8}, {Length: 4, Alphabet: Crockford}, tenCrockford} {
		symbols := f.symbols()
		for range 5000 {
			code := []byte(generate(t, f))
			canonical, ok := f.canonical(string(code))
			require.True(t, ok)
			require.Equal(t, string(code), canonical)

			i := rand.IntN(len(code)) // its neighbor in one position
			neighbor := slices.Clone(code)
			for neighbor[i] == code[i] {
				neighbor[i] = symbols[rand.IntN(len(symbols))]
			}
			other, ok := f.canonical(string(neighbor))
			require.True(t, ok)
			require.NotEqual(t, canonical, other)
		}
	}
	// No symbol stands for two, and none of the look-alikes is a symbol.
	seen := map[byte]bool{}
	for _, symbol := range []byte(crockfordSymbols) {
		require.Equal(t, symbol, foldCrockford(symbol))
		require.False(t, seen[symbol])
		seen[symbol] = true
	}
	require.NotContains(t, crockfordSymbols, "I")
	require.NotContains(t, crockfordSymbols, "L")
	require.NotContains(t, crockfordSymbols, "O")
	require.NotContains(t, crockfordSymbols, "U")
	require.Len(t, seen, 32)
}

// S-06: the probability of a guess, in parts per 1e9, never rounded down.
func TestMass(t *testing.T) {
	t.Parallel()
	tests := []struct {
		format  Format
		guesses int
		want    int64
	}{
		{sixDigits, 1, 1000},
		{sixDigits, 5, 5000},
		{sixDigits, 10, 10_000},
		{Format{Length: 6}, 5, 5000},
		{Format{Length: 7}, 5, 500},
		{Format{Length: 8}, 5, 50},
		{Format{Length: 9}, 1, 1},
		{Format{Length: 9}, 5, 5},
		{Format{Length: 10}, 1, 1},
		{Format{Length: 10}, 10, 1},
		{Format{Length: 10}, 11, 2},
		{Format{Length: 12}, 100, 1},
		{Format{Length: 19}, 100, 1}, // 10^19 < 2^64
		{Format{Length: 20}, 100, 0}, // 10^20 > 2^64
		{Format{Length: 4, Alphabet: Crockford}, 1, 954},
		{Format{Length: 4, Alphabet: Crockford}, 5, 4769},
		{tenCrockford, 5, 1},
		{Format{Length: 12, Alphabet: Crockford}, 100, 1}, // 2^60
		{Format{Length: 13, Alphabet: Crockford}, 100, 0}, // 2^65
		{Format{Length: 16, Alphabet: Crockford}, 5, 0},
		{Format{Length: 32, Alphabet: Crockford}, 100, 0},
		{sixDigits, 0, 0},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, tt.format.mass(tt.guesses), "%v × %d", tt.format, tt.guesses)
		space := math.Pow(float64(len(tt.format.symbols())), float64(tt.format.Length))
		if exact := 1e9 * float64(tt.guesses) / space; space < 1<<64 {
			require.GreaterOrEqual(t, float64(tt.want), exact)
			require.Less(t, float64(tt.want), exact+1)
		}
	}
}

// S-05: canonical agrees with a table of what each character stands for, for every
// input, and its result is a code that means itself.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{
		"", "012345", " 012-345 ", "0123ABCDXZ", "o1il-23abcd", "012345678U", "\uff10\uff11", "012\u00a0345", "+12345",
		strings.Repeat("1", 64), strings.Repeat("1", 65), "012345\n",
	} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(2))
	}
	formats := []Format{sixDigits, {Length: 8}, tenCrockford, {Length: 16, Alphabet: Crockford}}
	crockford := map[rune]rune{}
	for i, upper := range "0123456789ABCDEFGHJKMNPQRSTVWXYZ" {
		crockford[upper] = upper
		crockford[[]rune("0123456789abcdefghjkmnpqrstvwxyz")[i]] = upper
	}
	for _, alike := range []string{"O0", "o0", "I1", "i1", "L1", "l1"} {
		crockford[rune(alike[0])] = rune(alike[1])
	}
	read := func(format Format, typed string) (string, bool) {
		var code []rune
		for _, r := range typed {
			switch symbol, ok := crockford[r]; {
			case r == ' ', r == '-':
			case !ok, format.Alphabet != Crockford && (r < '0' || r > '9'):
				return "", false
			default:
				code = append(code, symbol)
			}
		}
		return string(code), len(typed) <= 64 && len(code) == format.Length
	}
	f.Fuzz(func(t *testing.T, typed string, which uint8) {
		format := formats[int(which)%len(formats)]
		got, ok := format.canonical(typed)
		want, wantOK := read(format, typed)
		if ok != wantOK || ok && got != want {
			t.Fatalf("%q for %v is %q %t, not %q %t", typed, format, got, ok, want, wantOK)
		}
		if !ok {
			return
		}
		if again, ok := format.canonical(got); !ok || again != got {
			t.Fatalf("%q is not its own canonical form, but %q", got, again)
		}
		if len(got) != format.Length || strings.Trim(got, format.symbols()) != "" {
			t.Fatalf("%q is no code of %v", got, format)
		}
	})
}
