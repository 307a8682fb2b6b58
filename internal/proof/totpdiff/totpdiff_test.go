package totpdiff

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	creachadair "github.com/creachadair/otp"
	pquerna "github.com/pquerna/otp"
	hotporacle "github.com/pquerna/otp/hotp"
	totporacle "github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"otp.example/otp/hotp"
	"otp.example/otp/totp"
)

const inputs = 10_000

// base32 without padding is how the oracle takes secrets.
var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// An input is what both sides are given.
type input struct {
	secret    []byte
	digits    int
	algorithm totp.Algorithm
	period    time.Duration
	window    int
	now       time.Time
	counter   uint64
}

func draw(r *rand.Rand) input {
	in := input{
		secret:    make([]byte, 16+r.IntN(150)), // through both block lengths, 64 and 128
		digits:    6 + r.IntN(3),
		algorithm: totp.Algorithm(r.IntN(3)),
		period:    time.Duration(15+r.IntN(106)) * time.Second,
		window:    1 + r.IntN(3),
		counter:   r.Uint64N(1<<63-100) >> r.IntN(63),
	}
	for i := range in.secret {
		in.secret[i] = byte(r.Uint32())
	}
	// From 1970 to the year 36000, in all orders of magnitude, but past the first
	// steps: what comes before zero is the oracle's wraparound.
	seconds := 1000 + r.Int64N(1<<40)>>r.IntN(40)
	in.now = time.Unix(seconds, r.Int64N(1e9))
	return in
}

func (in input) String() string {
	return fmt.Sprintf("secret %x, %d digits, %v, period %v, window %d, time %d, counter %d",
		in.secret, in.digits, in.algorithm, in.period, in.window, in.now.Unix(), in.counter)
}

func (in input) totp() totp.Options {
	return totp.Options{Digits: in.digits, Algorithm: in.algorithm, Period: in.period, Window: in.window}
}

func (in input) hotp() hotp.Options {
	return hotp.Options{Digits: in.digits, Algorithm: in.algorithm, Window: in.window}
}

// hotpOracle returns in's options in the oracle's types.
func (in input) hotpOracle() hotporacle.ValidateOpts {
	return hotporacle.ValidateOpts{Digits: pquerna.Digits(in.digits), Algorithm: pquerna.Algorithm(in.algorithm)}
}

func (in input) totpOracle(skew uint) totporacle.ValidateOpts {
	h := in.hotpOracle()
	return totporacle.ValidateOpts{Period: uint(in.period / time.Second), Skew: skew, Digits: h.Digits, Algorithm: h.Algorithm}
}

// answer returns what a person might type: the code of a step near the window or in
// it, that code with one digit changed, or any digits at all.
func answer(r *rand.Rand, digits int, code func(shift int) string) string {
	switch r.IntN(10) {
	case 0:
		return fmt.Sprintf("%0*d", digits, r.IntN(100_000_000))[:digits]
	case 1:
		b := []byte(code(0))
		i := r.IntN(digits)
		b[i] = '0' + (b[i]-'0'+byte(1+r.IntN(9)))%10
		return string(b)
	default:
		return code(r.IntN(9) - 5)
	}
}

// run calls check for n inputs, and says how to have the same ones again.
func run(t *testing.T, n int, check func(t *testing.T, r *rand.Rand, in input)) {
	seed := rand.Uint64()
	if s := os.Getenv("OTP_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("OTP_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		check(t, r, draw(r))
	}
}

// S-54.
func TestTOTPCode(t *testing.T) {
	t.Parallel()
	run(t, inputs, func(t *testing.T, _ *rand.Rand, in input) {
		want, err := totporacle.GenerateCodeCustom(encoding.EncodeToString(in.secret), in.now, in.totpOracle(0))
		require.NoError(t, err)
		got, err := totp.Code(in.secret, in.now, in.totp())
		require.NoError(t, err)
		if got != want {
			t.Fatalf("%v: got %s, pquerna/otp %s", in, got, want)
		}
	})
}

// S-54, S-57. The oracle says yes or no for one step at a time, or for one step
// either way.
func TestTOTPMatch(t *testing.T) {
	t.Parallel()
	accepted := 0
	run(t, inputs, func(t *testing.T, r *rand.Rand, in input) {
		encoded := encoding.EncodeToString(in.secret)
		shifted := func(shift int) time.Time { return in.now.Add(time.Duration(shift) * in.period) }
		code := answer(r, in.digits, func(shift int) string {
			c, err := totporacle.GenerateCodeCustom(encoded, shifted(shift), in.totpOracle(0))
			require.NoError(t, err)
			return c
		})

		var want uint64
		wantErr := totp.ErrMismatch
		for shift := 0; shift > -in.window; shift-- {
			ok, err := totporacle.ValidateCustom(code, encoded, shifted(shift), in.totpOracle(0))
			require.NoError(t, err)
			if ok {
				want, wantErr = uint64(shifted(shift).Unix())/uint64(in.period/time.Second), nil
				accepted++
				break
			}
		}
		got, err := totp.Match(in.secret, code, in.now, in.totp())
		if got != want || err != wantErr { //nolint:errorlint // the sentinel itself
			t.Fatalf("%v: %s: got %d, %v; pquerna/otp %d, %v", in, code, got, err, want, wantErr)
		}

		ok, err := totporacle.ValidateCustom(code, encoded, in.now, in.totpOracle(1))
		require.NoError(t, err)
		o := in.totp()
		o.Window = 3
		_, err = totp.Match(in.secret, code, shifted(1), o)
		if ok != (err == nil) {
			t.Fatalf("%v: %s: got %v; pquerna/otp with a skew of one %t", in, code, err, ok)
		}
	})
	require.Greater(t, accepted, inputs/10, "too few of the codes were right ones to show anything")
	require.Less(t, accepted, inputs*9/10, "too few of the codes were wrong ones to show anything")
}

// S-54, S-64.
func TestHOTP(t *testing.T) {
	t.Parallel()
	run(t, inputs, func(t *testing.T, r *rand.Rand, in input) {
		encoded := encoding.EncodeToString(in.secret)
		in.window = 1 + r.IntN(10)
		in.counter += 5
		code := func(shift int) string {
			c, err := hotporacle.GenerateCodeCustom(encoded, in.counter+uint64(shift), in.hotpOracle())
			require.NoError(t, err)
			return c
		}
		got, err := hotp.Code(in.secret, in.counter, in.hotp())
		require.NoError(t, err)
		if want := code(0); got != want {
			t.Fatalf("%v: got %s, pquerna/otp %s", in, got, want)
		}

		typed := answer(r, in.digits, func(shift int) string { return code(-shift) })
		var want uint64
		wantErr := hotp.ErrMismatch
		for i := in.window - 1; i >= 0; i-- {
			ok, err := hotporacle.ValidateCustom(typed, in.counter+uint64(i), encoded, in.hotpOracle())
			require.NoError(t, err)
			if ok {
				want, wantErr = in.counter+uint64(i), nil
				break
			}
		}
		matched, err := hotp.Match(in.secret, typed, in.counter, in.hotp())
		if matched != want || err != wantErr { //nolint:errorlint // the sentinel itself
			t.Fatalf("%v: %s: got %d, %v; pquerna/otp %d, %v", in, typed, matched, err, want, wantErr)
		}
	})
}

// S-54: a third opinion, of creachadair/otp, on the codes of steps and counters. It has
// only codes to offer, no window.
func TestCreachadair(t *testing.T) {
	t.Parallel()
	hashes := map[totp.Algorithm]func() hash.Hash{totp.SHA1: sha1.New, totp.SHA256: sha256.New, totp.SHA512: sha512.New}
	run(t, inputs, func(t *testing.T, _ *rand.Rand, in input) {
		oracle := creachadair.Config{
			Key: string(in.secret), Hash: hashes[in.algorithm], Digits: in.digits,
			TimeStep: func() uint64 { return uint64(in.now.Unix()) / uint64(in.period/time.Second) },
		}
		got, err := totp.Code(in.secret, in.now, in.totp())
		require.NoError(t, err)
		if want := oracle.TOTP(); got != want {
			t.Fatalf("%v: got %s, creachadair/otp %s", in, got, want)
		}
		got, err = hotp.Code(in.secret, in.counter, in.hotp())
		require.NoError(t, err)
		if want := oracle.HOTP(in.counter); got != want {
			t.Fatalf("%v: counter: got %s, creachadair/otp %s", in, got, want)
		}
	})
}

// lookPath returns where oathtool is.
func lookPath(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("oathtool")
	if err != nil {
		const missing = "oathtool is not installed: apt-get install oathtool"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}

// oathtoolTOTP returns the arguments for the options of in.
func (in input) oathtoolTOTP(now time.Time) []string {
	return []string{
		"--totp=" + in.algorithm.String(), "--digits=" + strconv.Itoa(in.digits),
		"--time-step-size=" + strconv.Itoa(int(in.period/time.Second)) + "s", "--now=@" + strconv.FormatInt(now.Unix(), 10),
	}
}

// oathtoolCounter does it for counters. Counter-based codes of oathtool are SHA-1 only,
// but a second of a time step of one second is a counter, too.
func (in input) oathtoolCounter(counter uint64) []string {
	if in.algorithm == hotp.SHA1 {
		return []string{"--digits=" + strconv.Itoa(in.digits), "--counter=" + strconv.FormatUint(counter, 10)}
	}
	in.period = time.Second
	return in.oathtoolTOTP(time.Unix(int64(counter), 0))
}

// S-54: the other direction of TestOathtool. oathtool accepts the codes that we make,
// at the place in its window where they belong, and refuses them elsewhere.
func TestOathtoolAcceptsOurs(t *testing.T) {
	t.Parallel()
	path := lookPath(t)
	accepts := func(in input, args []string, window int, code string) bool {
		args = append(args, "--window="+strconv.Itoa(window), hex.EncodeToString(in.secret), code)
		out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
		if err != nil {
			require.Contains(t, string(out), "not found in range", "%v", args)
		}
		return err == nil
	}
	run(t, 300, func(t *testing.T, r *rand.Rand, in input) {
		back := r.IntN(3)
		code, err := totp.Code(in.secret, in.now.Add(-time.Duration(back)*in.period), in.totp())
		require.NoError(t, err)
		require.True(t, accepts(in, in.oathtoolTOTP(in.now), back, code), "%v: %s, %d steps back", in, code, back)
		current, err := totp.Code(in.secret, in.now, in.totp())
		require.NoError(t, err)
		require.Equal(t, code == current, accepts(in, in.oathtoolTOTP(in.now), 0, code), "%v: %s, %d steps back", in, code, back)

		ahead := r.IntN(3)
		code, err = hotp.Code(in.secret, in.counter+uint64(ahead), in.hotp())
		require.NoError(t, err)
		require.True(t, accepts(in, in.oathtoolCounter(in.counter), ahead, code), "%v: %s, %d ahead", in, code, ahead)
		current, err = hotp.Code(in.secret, in.counter, in.hotp())
		require.NoError(t, err)
		require.Equal(t, code == current, accepts(in, in.oathtoolCounter(in.counter), 0, code), "%v: %s, %d ahead", in, code, ahead)
	})
}

// S-54: oathtool is in C and of other authors. One run of it prints fifty codes.
func TestOathtool(t *testing.T) {
	t.Parallel()
	path := lookPath(t)
	const each = 50
	run(t, inputs/each, func(t *testing.T, r *rand.Rand, in input) {
		codes := oathtool(t, path, each, append(in.oathtoolTOTP(in.now), hex.EncodeToString(in.secret))...)
		first, err := totp.Step(in.now, in.totp())
		require.NoError(t, err)
		for i, code := range codes {
			now := in.now.Add(time.Duration(i) * in.period)
			got, err := totp.Code(in.secret, now, in.totp())
			require.NoError(t, err)
			if got != code {
				t.Fatalf("%v: step %d later: got %s, oathtool %s", in, i, got, code)
			}

			// Matching at the end of a window is choosing the last equal code in it.
			typed := codes[max(0, i-r.IntN(5))]
			var want uint64
			wantErr := totp.ErrMismatch
			for j := i; j >= max(0, i-in.window+1); j-- {
				if codes[j] == typed {
					want, wantErr = first+uint64(j), nil
					break
				}
			}
			matched, err := totp.Match(in.secret, typed, now, in.totp())
			if i >= in.window && (matched != want || err != wantErr) { //nolint:errorlint // the sentinel itself
				t.Fatalf("%v: step %d later: %s: got %d, %v; oathtool %d, %v", in, i, typed, matched, err, want, wantErr)
			}
		}

		codes = oathtool(t, path, each, append(in.oathtoolCounter(in.counter), hex.EncodeToString(in.secret))...)
		for i, code := range codes {
			got, err := hotp.Code(in.secret, in.counter+uint64(i), in.hotp())
			require.NoError(t, err)
			if got != code {
				t.Fatalf("%v: counter %d later: got %s, oathtool %s", in, i, got, code)
			}
			if i == 0 {
				continue
			}
			second, err := hotp.Resync(in.secret, codes[i-1], code, in.counter, in.hotp())
			require.NoError(t, err)
			if second != in.counter+uint64(i) {
				t.Fatalf("%v: resynchronized at %d, want %d", in, second, in.counter+uint64(i))
			}
		}
	})
}

// oathtool returns n codes in a row.
func oathtool(t *testing.T, path string, n int, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), path, append([]string{"--window=" + strconv.Itoa(n-1)}, args...)...).Output()
	require.NoError(t, err, "%v", args)
	codes := strings.Fields(string(out))
	require.Len(t, codes, n, "%v", args)
	return codes
}
