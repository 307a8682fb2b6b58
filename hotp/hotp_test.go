package hotp_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp/hotp"
)

// rfcSecret is the secret of RFC 4226, Appendix D.
var rfcSecret = []byte("12345678901234567890")

// hashes has the algorithms as crypto/hmac takes them.
var hashes = map[hotp.Algorithm]func() hash.Hash{
	hotp.SHA1:   sha1.New,
	hotp.SHA256: sha256.New,
	hotp.SHA512: sha512.New,
}

// referenceMAC is the HMAC of counter by the standard library.
func referenceMAC(secret []byte, counter uint64, a hotp.Algorithm) []byte {
	mac := hmac.New(hashes[a], secret)
	mac.Write(binary.BigEndian.AppendUint64(nil, counter))
	return mac.Sum(nil)
}

// referenceCode is a code made in another way than the package makes it, along the
// worked example of RFC 4226 §5.4.
func referenceCode(secret []byte, counter uint64, digits int, a hotp.Algorithm) string {
	mac := referenceMAC(secret, counter, a)
	offset := int(mac[len(mac)-1] & 0xf)
	number := int(mac[offset]&0x7f)<<24 | int(mac[offset+1])<<16 | int(mac[offset+2])<<8 | int(mac[offset+3])
	decimal := fmt.Sprintf("%010d", number)
	return decimal[len(decimal)-digits:]
}

// S-54: RFC 4226, Appendix D, tables 1 and 2.
func TestRFC4226(t *testing.T) {
	t.Parallel()
	for counter, want := range []struct {
		mac       string
		truncated int32
		code      string
	}{
		{"cc93cf18508d94934c64b65d8ba7667fb7cde4b0", 1284755224, "755224"},
		{"75a48a19d4cbe100644e8ac1397eea747a2d33ab", 1094287082, "287082"},
		{"0bacb7fa082fef30782211938bc1c5e70416ff44", 137359152, "359152"},
		{"66c28227d03a2d5529262ff016a1e6ef76557ece", 1726969429, "969429"},
		{"a904c900a64b35909874b33e61c5938a8e15ed1c", 1640338314, "338314"},
		{"a37e783d7b7233c083d4f62926c7a25f238d0316", 868254676, "254676"},
		{"bc9cd28561042c83f219324d3c607256c03272ae", 1918287922, "287922"},
		{"a4fb960c0bc06e1eabb804e5b397cdc4b45596fa", 82162583, "162583"},
		{"1b3c89f65e6c9e883012052823443f048b4332db", 673399871, "399871"},
		{"1637409809a679dc698207310c8c7fc07290d9e5", 645520489, "520489"},
	} {
		mac := hotp.MAC(rfcSecret, uint64(counter), hotp.SHA1)
		require.Equal(t, want.mac, hex.EncodeToString(mac), "counter %d", counter)
		require.Equal(t, want.truncated, hotp.Truncate(mac), "counter %d", counter)

		code, err := hotp.Code(rfcSecret, uint64(counter), hotp.Options{})
		require.NoError(t, err)
		require.Equal(t, want.code, code, "counter %d", counter)

		matched, err := hotp.Match(rfcSecret, want.code, uint64(counter), hotp.Options{Window: 1})
		require.NoError(t, err)
		require.Equal(t, uint64(counter), matched)
	}
}

// S-54: the worked example of RFC 4226 §5.4, and the two ends of the offset.
func TestRFC4226Truncation(t *testing.T) {
	t.Parallel()
	mac, err := hex.DecodeString("1f8698690e02ca16618550ef7f19da8e945b555a")
	require.NoError(t, err)
	require.EqualValues(t, 0x50ef7f19, hotp.Truncate(mac))

	// The sign bit is dropped, at the first offset and at the last.
	first := make([]byte, 20)
	copy(first, "\xff\xff\xff\xff")
	require.EqualValues(t, math.MaxInt32, hotp.Truncate(first))
	last := make([]byte, 20)
	copy(last[15:], "\xff\xff\xff\xff\x0f")
	require.EqualValues(t, math.MaxInt32, hotp.Truncate(last))
}

// The HMAC is the one of crypto/hmac for secrets around every block length.
func TestMAC(t *testing.T) {
	t.Parallel()
	secret := make([]byte, 300)
	for i := range secret {
		secret[i] = byte(i*7 + 3)
	}
	for a := range hashes {
		for n := range len(secret) + 1 {
			for _, counter := range []uint64{0, 1, 1 << 32, math.MaxUint64} {
				require.Equal(t, referenceMAC(secret[:n], counter, a), hotp.MAC(secret[:n], counter, a),
					"%v, %d bytes, counter %d", a, n, counter)
			}
		}
	}
}

// Codes of all lengths keep their leading zeros.
func TestCodeDigits(t *testing.T) {
	t.Parallel()
	for a := range hashes {
		for digits := 6; digits <= 8; digits++ {
			zeros := 0
			for counter := range uint64(300) {
				code, err := hotp.Code(rfcSecret, counter, hotp.Options{Digits: digits, Algorithm: a})
				require.NoError(t, err)
				require.Equal(t, referenceCode(rfcSecret, counter, digits, a), code)
				if code[0] == '0' {
					zeros++
				}
			}
			require.NotZero(t, zeros, "no code with a leading zero was tried")
		}
	}
}

func TestZeroOptions(t *testing.T) {
	t.Parallel()
	zero, err := hotp.Code(rfcSecret, 7, hotp.Options{})
	require.NoError(t, err)
	explicit, err := hotp.Code(rfcSecret, 7, hotp.Options{Digits: 6, Algorithm: hotp.SHA1, Window: 3})
	require.NoError(t, err)
	require.Equal(t, explicit, zero)
}

// S-64: the window is the given counter and those after it, three in all unless
// the options say otherwise. What is behind the counter was burnt.
func TestWindow(t *testing.T) {
	t.Parallel()
	const counter = 1000
	for window, size := range map[int]int{0: 3, 1: 1, 2: 2, 3: 3, 10: 10} {
		o := hotp.Options{Digits: 8, Window: window}
		for shift := -12; shift <= 12; shift++ {
			code, err := hotp.Code(rfcSecret, uint64(counter+shift), o)
			require.NoError(t, err)
			matched, err := hotp.Match(rfcSecret, code, counter, o)
			if shift < 0 || shift >= size {
				require.ErrorIs(t, err, hotp.ErrMismatch, "window %d, shift %d", window, shift)
				require.Zero(t, matched)
				continue
			}
			require.NoError(t, err, "window %d, shift %d", window, shift)
			require.Equal(t, uint64(counter+shift), matched)
		}
	}
}

// Two counters of the RFC's secret with one code, found by search. The higher one
// must be burnt, or the code would be accepted again.
func TestEqualCodes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		algorithm hotp.Algorithm
		low, high uint64
	}{
		{"adjacent", hotp.SHA1, 910737, 910738},
		{"one apart", hotp.SHA1, 153567, 153569},
		{"adjacent", hotp.SHA256, 137690, 137691},
		{"one apart", hotp.SHA256, 172319, 172321},
	}
	for _, tt := range tests {
		t.Run(tt.algorithm.String()+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			o := hotp.Options{Algorithm: tt.algorithm}
			code, err := hotp.Code(rfcSecret, tt.low, o)
			require.NoError(t, err)
			same, err := hotp.Code(rfcSecret, tt.high, o)
			require.NoError(t, err)
			require.Equal(t, code, same)

			matched, err := hotp.Match(rfcSecret, code, tt.low, o)
			require.NoError(t, err)
			require.Equal(t, tt.high, matched)

			_, err = hotp.Match(rfcSecret, code, matched+1, o)
			require.ErrorIs(t, err, hotp.ErrMismatch, "accepted a second time")

			// With a window that ends before the higher one, the lower one counts.
			o.Window = int(tt.high - tt.low)
			matched, err = hotp.Match(rfcSecret, code, tt.low, o)
			require.NoError(t, err)
			require.Equal(t, tt.low, matched)
		})
	}
}

// S-20: every candidate is computed, in order and once, whatever matched before.
// All patterns of matches in windows of up to ten are tried.
func TestWholeWindow(t *testing.T) {
	t.Parallel()
	for n := range 11 {
		for pattern := range 1 << n {
			var tried []int
			last, found := hotp.Newest(n, func(i int) int {
				tried = append(tried, i)
				return pattern >> i & 1
			})
			require.Len(t, tried, n)
			wantLast, wantFound := 0, 0
			for i := range n {
				require.Equal(t, i, tried[i])
				if pattern>>i&1 == 1 {
					wantLast, wantFound = i, 1
				}
			}
			require.Equal(t, wantFound, found, "window %d, matches %b", n, pattern)
			require.Equal(t, wantLast, last, "window %d, matches %b", n, pattern)
		}
	}
}

// S-56: nothing but the exact digits is a code. Each of these would be taken by a
// parser that trims, normalizes or reads numbers.
func TestOtherSpellings(t *testing.T) {
	t.Parallel()
	const counter = 4 // 338314
	o := hotp.Options{}
	code, err := hotp.Code(rfcSecret, counter, o)
	require.NoError(t, err)

	fullWidth := strings.Map(func(r rune) rune { return r - '0' + '０' }, code)
	arabic := strings.Map(func(r rune) rune { return r - '0' + '٠' }, code)
	spellings := []string{
		"",
		" " + code, code + " ", "  " + code + "  ", code[:3] + " " + code[3:], "\t" + code, code + "\n", code + "\r\n",
		" " + code[1:], code[:5] + " ", " " + code[:5], code[1:] + " ", // of the right length
		"\u00a0" + code, code + "\u00a0", code[:4] + "\u00a0", // NBSP; the last one has six bytes
		"\u2007" + code, "\u3000" + code, "\ufeff" + code, // figure space, ideographic space, BOM
		"\u200b" + code, code[:3] + "\u200d" + code[3:], code + "\u200e", "\u2060" + code, // zero width
		fullWidth, fullWidth[:6], code[:3] + "３", arabic, arabic[:6], "𝟑𝟑𝟖𝟑𝟏𝟒", "３", "৩৩",
		"+" + code, "-" + code, "+" + code[1:], "-" + code[1:], "+" + code[:5],
		"0" + code, "00" + code, code + "0", "0x" + code[2:], code[:5] + ".", code + ".0", code[:2] + "e4  ",
		code[:3] + "-" + code[3:], code[:3] + "," + code[3:], code[:3] + "_" + code[3:], code[:2] + "_" + code[3:],
		"O" + code[1:], "l" + code[1:], "/" + code[1:], ":" + code[1:],
		"\x00" + code, code + "\x00", code[:5] + "\x00", "\xff" + code[1:],
		"'" + code + "'", "\"" + code + "\"", code + ";", "%33" + code[1:], code + code,
	}
	for _, s := range spellings {
		_, err := hotp.Match(rfcSecret, s, counter, o)
		require.ErrorIs(t, err, hotp.ErrMismatch, "%q", s)
		require.ErrorIs(t, errOnly(hotp.Resync(rfcSecret, s, "254676", counter, o)), hotp.ErrMismatch, "%q", s)
		require.ErrorIs(t, errOnly(hotp.Resync(rfcSecret, "969429", s, counter-1, o)), hotp.ErrMismatch, "%q", s)
	}

	// Control: the code itself is accepted.
	matched, err := hotp.Match(rfcSecret, code, counter, o)
	require.NoError(t, err)
	require.EqualValues(t, counter, matched)
}

// S-56: with a carry, bytes that are no digits add up to the number of the code:
// "28707:" is 287080, if ':' is taken for ten. All such bytes are tried, as signed
// and as unsigned differences from '0'.
func TestCarries(t *testing.T) {
	t.Parallel()
	tried := map[byte]bool{}
	for counter := range uint64(50) {
		code, err := hotp.Code(rfcSecret, counter, hotp.Options{})
		require.NoError(t, err)
		number, err := strconv.Atoi(code)
		require.NoError(t, err)
		for c := range 256 {
			for _, value := range []int{c - '0', int(byte(c - '0'))} {
				rest := number - value
				if c >= '0' && c <= '9' || rest < 0 || rest%10 != 0 || rest > 999_999 {
					continue
				}
				tried[byte(c)] = true
				spelling := fmt.Sprintf("%05d", rest/10) + string([]byte{byte(c)})
				require.Len(t, spelling, 6)
				_, err := hotp.Match(rfcSecret, spelling, counter, hotp.Options{})
				require.ErrorIs(t, err, hotp.ErrMismatch, "%q for %q", spelling, code)
			}
		}
	}
	require.Len(t, tried, 246)
}

// S-56: a code of another length is refused, though the number is the same.
// GHSA-rmmc-8cqj-hfp3: a library took codes of one digit.
func TestOtherLengths(t *testing.T) {
	t.Parallel()
	for digits := 6; digits <= 8; digits++ {
		o := hotp.Options{Digits: digits, Window: 1}
		code := referenceCode(rfcSecret, 0, digits, hotp.SHA1)
		long := strings.Repeat("0", 20) + referenceCode(rfcSecret, 0, 10, hotp.SHA1)
		for n := 1; n <= 20; n++ {
			_, err := hotp.Match(rfcSecret, long[len(long)-n:], 0, o)
			if n == digits {
				require.Equal(t, code, long[len(long)-n:])
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, hotp.ErrMismatch, "%d digits given, %d wanted", n, digits)
		}
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	short := rfcSecret[:15]
	tests := []struct {
		name    string
		secret  []byte
		o       hotp.Options
		wantErr string // empty means none
	}{
		{"zero options", rfcSecret, hotp.Options{}, ""},
		{"negative digits", rfcSecret, hotp.Options{Digits: -1}, "Digits"},
		{"one digit", rfcSecret, hotp.Options{Digits: 1}, "Digits"},
		{"five digits", rfcSecret, hotp.Options{Digits: 5}, "Digits"},
		{"eight digits", rfcSecret, hotp.Options{Digits: 8}, ""},
		{"nine digits", rfcSecret, hotp.Options{Digits: 9}, "Digits"},
		{"last algorithm", rfcSecret, hotp.Options{Algorithm: hotp.SHA512}, ""},
		{"unknown algorithm", rfcSecret, hotp.Options{Algorithm: 3}, "Algorithm"},
		{"far unknown algorithm", rfcSecret, hotp.Options{Algorithm: 255}, "Algorithm"},
		{"negative window", rfcSecret, hotp.Options{Window: -1}, "Window"},
		{"largest window", rfcSecret, hotp.Options{Window: 10}, ""},
		{"too large window", rfcSecret, hotp.Options{Window: 11}, "Window"},
		{"nil secret", nil, hotp.Options{}, "secret"},
		{"short secret", short, hotp.Options{}, "secret"},
		{"shortest secret", rfcSecret[:16], hotp.Options{}, ""},
		{"secret longer than a block", []byte(strings.Repeat("k", 1000)), hotp.Options{}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, errCode := hotp.Code(tt.secret, 0, tt.o)
			// A code that cannot match: the mistake must show all the same.
			matched, errMatch := hotp.Match(tt.secret, "x", 0, tt.o)
			resynced, errResync := hotp.Resync(tt.secret, "x", "y", 0, tt.o)
			require.Zero(t, matched)
			require.Zero(t, resynced)
			if tt.wantErr == "" {
				require.NoError(t, errCode)
				require.ErrorIs(t, errMatch, hotp.ErrMismatch)
				require.ErrorIs(t, errResync, hotp.ErrMismatch)
				return
			}
			require.Empty(t, code)
			for _, err := range []error{errCode, errMatch, errResync} {
				require.ErrorContains(t, err, tt.wantErr)
				require.NotErrorIs(t, err, hotp.ErrMismatch)
			}
		})
	}
}

// The window may end at the last counter but not beyond: it never wraps to zero.
func TestLastCounters(t *testing.T) {
	t.Parallel()
	const last = math.MaxUint64
	code, err := hotp.Code(rfcSecret, last, hotp.Options{})
	require.NoError(t, err)

	matched, err := hotp.Match(rfcSecret, code, last, hotp.Options{Window: 1})
	require.NoError(t, err)
	require.Equal(t, uint64(last), matched)
	matched, err = hotp.Match(rfcSecret, code, last-2, hotp.Options{})
	require.NoError(t, err)
	require.Equal(t, uint64(last), matched)
	_, err = hotp.Match(rfcSecret, code, last-1, hotp.Options{})
	require.ErrorContains(t, err, "counter")
	require.NotErrorIs(t, err, hotp.ErrMismatch)

	before, err := hotp.Code(rfcSecret, last-1, hotp.Options{})
	require.NoError(t, err)
	matched, err = hotp.Resync(rfcSecret, before, code, last-100, hotp.Options{})
	require.NoError(t, err)
	require.Equal(t, uint64(last), matched)
	_, err = hotp.Resync(rfcSecret, before, code, last-99, hotp.Options{})
	require.ErrorContains(t, err, "counter")
	require.NotErrorIs(t, err, hotp.ErrMismatch)
}

// S-65: two codes in a row, in their order, within the hundred counters that come
// after the given one.
func TestResync(t *testing.T) {
	t.Parallel()
	const counter = 5000
	code := func(n int) string {
		return referenceCode(rfcSecret, uint64(counter+n), 6, hotp.SHA1)
	}
	for n := -2; n <= 103; n++ {
		matched, err := hotp.Resync(rfcSecret, code(n), code(n+1), counter, hotp.Options{})
		if n < 0 || n >= 100 {
			require.ErrorIs(t, err, hotp.ErrMismatch, "shift %d", n)
			require.Zero(t, matched)
			continue
		}
		require.NoError(t, err, "shift %d", n)
		require.Equal(t, uint64(counter+n+1), matched)
	}
	for name, pair := range map[string][2]string{
		"swapped":             {code(8), code(7)},
		"the same twice":      {code(7), code(7)},
		"one left out":        {code(7), code(9)},
		"first wrong":         {"000000", code(8)},
		"second wrong":        {code(7), "000000"},
		"first not counted":   {code(-1), code(0)},
		"second out of reach": {code(100), code(101)},
	} {
		_, err := hotp.Resync(rfcSecret, pair[0], pair[1], counter, hotp.Options{})
		require.ErrorIs(t, err, hotp.ErrMismatch, name)
	}
}

// A pair of equal codes is a pair like any other, and needs both counters.
func TestResyncEqualCodes(t *testing.T) {
	t.Parallel()
	const low = 910737 // see TestEqualCodes
	code := referenceCode(rfcSecret, low, 6, hotp.SHA1)
	matched, err := hotp.Resync(rfcSecret, code, code, low-50, hotp.Options{})
	require.NoError(t, err)
	require.EqualValues(t, low+1, matched)
	_, err = hotp.Resync(rfcSecret, code, code, low+1, hotp.Options{})
	require.ErrorIs(t, err, hotp.ErrMismatch)
}

// Errors may end up in logs: they hold neither the code nor the secret.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const code = "918273"
	for _, o := range []hotp.Options{{}, {Digits: 5}, {Algorithm: 9}, {Window: 99}} {
		for _, secret := range [][]byte{rfcSecret, rfcSecret[:10]} {
			_, err := hotp.Match(secret, code, 0, o)
			require.Error(t, err)
			require.NotContains(t, err.Error(), code)
			require.NotContains(t, err.Error(), string(secret))
		}
	}
}

// The secret is the caller's: it is read and left alone.
func TestSecretIsNotChanged(t *testing.T) {
	t.Parallel()
	for _, n := range []int{16, 64, 128, 200} {
		secret := []byte(strings.Repeat("s", n))
		for a := range hashes {
			_, err := hotp.Code(secret, 1, hotp.Options{Algorithm: a})
			require.NoError(t, err)
			_, err = hotp.Match(secret, "123456", 1, hotp.Options{Algorithm: a})
			require.ErrorIs(t, err, hotp.ErrMismatch)
		}
		require.Equal(t, strings.Repeat("s", n), string(secret))
	}
}

func TestAlgorithmString(t *testing.T) {
	t.Parallel()
	require.Equal(t, "SHA1", hotp.SHA1.String())
	require.Equal(t, "SHA256", hotp.SHA256.String())
	require.Equal(t, "SHA512", hotp.SHA512.String())
	require.Equal(t, "Algorithm(7)", hotp.Algorithm(7).String())
}

// Where SHA-1 is forbidden it is an error, not the standard library's panic.
func TestFIPSOnly(t *testing.T) {
	const child = "HOTP_TEST_FIPS_CHILD"
	if os.Getenv(child) == "" {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPSOnly$", "-test.count=1")
		cmd.Env = append(os.Environ(), child+"=1", "GODEBUG=fips140=only")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	_, err := hotp.Match(rfcSecret, "755224", 0, hotp.Options{})
	require.ErrorContains(t, err, "Algorithm")
	require.NotErrorIs(t, err, hotp.ErrMismatch)
	_, err = hotp.Code(rfcSecret, 0, hotp.Options{Algorithm: hotp.SHA256})
	require.NoError(t, err)
}

// No call puts anything on the heap but the code it returns. This holds under the
// race detector too.
func TestAllocations(t *testing.T) {
	long := []byte(strings.Repeat("k", 500)) // hashed first
	for a := range hashes {
		for _, secret := range [][]byte{rfcSecret, long} {
			o := hotp.Options{Algorithm: a, Window: 10}
			require.Zero(t, testing.AllocsPerRun(100, func() {
				_, _ = hotp.Match(secret, "000000", 0, o)
			}), "Match, %v", a)
			require.Zero(t, testing.AllocsPerRun(100, func() {
				_, _ = hotp.Resync(secret, "000000", "000001", 0, o)
			}), "Resync, %v", a)
			require.Equal(t, 1, int(testing.AllocsPerRun(100, func() {
				_, _ = hotp.Code(secret, 0, o)
			})), "Code, %v", a)
		}
	}
}

func errOnly(_ uint64, err error) error { return err }
