package otpauth

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	creachadair "github.com/creachadair/otp/otpauth"
	pquerna "github.com/pquerna/otp"
	pquernahotp "github.com/pquerna/otp/hotp"
	pquernatotp "github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"
	"github.com/xlzd/gotp"

	"otp.example/otp/hotp"
	"otp.example/otp/otpauth"
	"otp.example/otp/totp"
)

const inputs = 10_000

// requireSame fails unless three independent parsers find in uri what is in k: the
// standard library's, as a client in another language would use its own, and those of
// pquerna/otp and creachadair/otp.
func requireSame(t *testing.T, k otpauth.Key, uri string) {
	t.Helper()
	secret := otpauth.EncodeSecret(k.Secret)
	digits, period := k.Digits, k.Period
	if digits == 0 {
		digits = 6
	}
	if period == 0 {
		period = 30 * time.Second
	}

	u, err := url.Parse(uri)
	require.NoError(t, err)
	require.Equal(t, "otpauth", u.Scheme)
	require.Equal(t, k.Type.String(), u.Host)
	require.Empty(t, u.Fragment)
	require.Nil(t, u.User)
	label := k.Account
	if k.Issuer != "" {
		label = k.Issuer + ":" + k.Account
	}
	require.Equal(t, "/"+label, u.Path)
	q, err := url.ParseQuery(u.RawQuery)
	require.NoError(t, err)
	for name, values := range q {
		require.Len(t, values, 1)
		switch name {
		case "secret":
			require.Equal(t, secret, values[0])
		case "issuer":
			require.Equal(t, k.Issuer, values[0])
		case "algorithm":
			require.Equal(t, k.Algorithm.String(), values[0])
		case "digits":
			require.Equal(t, strconv.Itoa(digits), values[0])
		case "period":
			require.Equal(t, strconv.Itoa(int(period/time.Second)), values[0])
		case "counter":
			require.Equal(t, otpauth.HOTP, k.Type)
			require.Equal(t, strconv.FormatUint(k.Counter, 10), values[0])
		default:
			require.Fail(t, "a parameter that nobody set", name)
		}
	}

	p, err := pquerna.NewKeyFromURL(uri)
	require.NoError(t, err)
	require.Equal(t, k.Type.String(), p.Type())
	require.Equal(t, k.Issuer, p.Issuer())
	require.Equal(t, k.Account, p.AccountName())
	require.Equal(t, secret, p.Secret())
	require.Equal(t, digits, p.Digits().Length())
	require.Equal(t, k.Algorithm.String(), p.Algorithm().String())
	if k.Type == otpauth.TOTP {
		require.EqualValues(t, period/time.Second, p.Period())
	}

	c, err := creachadair.ParseURL(uri)
	require.NoError(t, err)
	require.Equal(t, k.Type.String(), c.Type)
	require.Equal(t, k.Issuer, c.Issuer)
	require.Equal(t, k.Account, c.Account)
	require.Equal(t, secret, c.RawSecret)
	require.Equal(t, digits, c.Digits)
	require.Equal(t, k.Algorithm.String(), c.Algorithm)
	require.Equal(t, k.Counter, c.Counter)
	if k.Type == otpauth.TOTP {
		require.EqualValues(t, period/time.Second, c.Period)
	}
}

// S-61: parse(build(x)) = x with independent parsers, whatever the names are. The
// builder refuses only what it says.
func FuzzBuild(f *testing.F) {
	f.Add("Example Co", "alice@example.com", []byte("12345678901234567890"), uint8(0), 6, 30, uint64(0), false)
	f.Add("A&secret=AAAA&x=", "&issuer=B", []byte("12345678901234567890"), uint8(0), 6, 30, uint64(0), false)
	f.Add("AT&T", "100% a+b/c?d#e;f=g", []byte("12345678901234567890"), uint8(1), 8, 60, uint64(0), false)
	f.Add("%41%26", "%2541", []byte("12345678901234567890"), uint8(2), 7, 15, uint64(0), false)
	f.Add("日本 Ωmega", "zoë", []byte("12345678901234567890"), uint8(2), 7, 0, uint64(1<<63-1), true)
	f.Add("a:b", "c", []byte("12345678901234567890"), uint8(0), 6, 30, uint64(0), false)
	f.Add("", ".", []byte("1234567890123456"), uint8(0), 0, 0, uint64(0), false)
	f.Add("\r\n", "\x00", []byte("short"), uint8(9), 99, -1, uint64(1<<63), true)
	f.Fuzz(func(t *testing.T, issuer, account string, secret []byte, algorithm uint8, digits, seconds int, counter uint64, isHOTP bool) {
		k := otpauth.Key{
			Issuer: issuer, Account: account, Secret: secret,
			Algorithm: hotp.Algorithm(algorithm), Digits: digits, Period: time.Duration(seconds) * time.Second, Counter: counter,
		}
		if isHOTP {
			k.Type = otpauth.HOTP
		}
		uri, err := k.URI()
		if err != nil {
			if acceptable(k) {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		requireSame(t, k, uri)
	})
}

// acceptable says again, in other words, what the documentation of Key allows.
func acceptable(k otpauth.Key) bool {
	name := func(s string, most int) bool {
		bad := func(r rune) bool {
			return r == ':' || unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r)
		}
		return len(s) <= most && utf8.ValidString(s) && strings.IndexFunc(s, bad) < 0 && strings.TrimSpace(s) == s
	}
	if !name(k.Issuer, 128) || !name(k.Account, 256) || k.Account == "" || strings.EqualFold(k.Issuer, "steam") ||
		len(k.Secret) < 16 || len(k.Secret) > 128 || k.Algorithm > hotp.SHA512 || k.Digits != 0 && (k.Digits < 6 || k.Digits > 8) {
		return false
	}
	if k.Type == otpauth.HOTP {
		return k.Period == 0 && k.Counter < 1<<63
	}
	return k.Counter == 0 && (k.Period == 0 || k.Period >= 15*time.Second && k.Period <= 120*time.Second)
}

// names are characters that have a meaning somewhere in a URI, and some of other
// scripts.
const names = "abcXYZ019&+%/?#[]@!$'()*,;=\"<>\\^`{|}~-._  éßłΩЖ日本\u200d👩🚀"

func draw(r *rand.Rand) otpauth.Key {
	name := func() string {
		all := []rune(names)
		b := make([]rune, 1+r.IntN(20))
		for i := range b {
			b[i] = all[r.IntN(len(all))]
		}
		if s := strings.TrimSpace(string(b)); s != "" {
			return s
		}
		return "a"
	}
	k := otpauth.Key{
		Issuer: name(), Account: name(), Secret: make([]byte, 16+r.IntN(113)),
		Algorithm: hotp.Algorithm(r.IntN(3)), Digits: 6 + r.IntN(3),
	}
	if r.IntN(10) == 0 {
		k.Issuer = ""
	}
	for i := range k.Secret {
		k.Secret[i] = byte(r.Uint32())
	}
	if r.IntN(2) == 0 {
		k.Type, k.Counter = otpauth.HOTP, r.Uint64N(1<<63)>>r.IntN(63)
	} else {
		k.Period = time.Duration(15+r.IntN(106)) * time.Second
	}
	return k
}

// run calls check for n keys, and says how to have the same ones again.
func run(t *testing.T, n int, check func(k otpauth.Key)) {
	seed := rand.Uint64()
	if s := os.Getenv("OTP_TEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("OTP_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		check(draw(r))
	}
}

// S-61: what we write, others read.
func TestOthersReadOurs(t *testing.T) {
	t.Parallel()
	run(t, inputs, func(k otpauth.Key) {
		uri, err := k.URI()
		require.NoError(t, err)
		requireSame(t, k, uri)
	})
}

// S-61: what creachadair/otp writes, we read. It escapes in a way of its own.
func TestWeReadCreachadair(t *testing.T) {
	t.Parallel()
	run(t, inputs, func(k otpauth.Key) {
		uri := theirs(k).String()
		got, err := otpauth.Parse(uri)
		require.NoError(t, err, uri)
		requireEqual(t, k, got)
	})
}

func theirs(k otpauth.Key) *creachadair.URL {
	u := &creachadair.URL{
		Type: k.Type.String(), Issuer: k.Issuer, Account: k.Account, Algorithm: k.Algorithm.String(), Digits: k.Digits,
		Period: int(k.Period / time.Second), Counter: k.Counter,
	}
	u.SetSecret(k.Secret)
	return u
}

func requireEqual(t *testing.T, want, got otpauth.Key) {
	t.Helper()
	require.Equal(t, want.Secret, got.Secret)
	want.Secret, got.Secret = nil, nil
	require.Equal(t, fmt.Sprintf("%+v", fields(want)), fmt.Sprintf("%+v", fields(got)))
}

func fields(k otpauth.Key) []any {
	return []any{k.Type, k.Issuer, k.Account, k.Algorithm, k.Digits, k.Period, k.Counter, k.Dialect, k.LabelIssuer}
}

// S-61: what pquerna/otp writes, we read, or refuse, or flag; never as another
// secret or account. It does not escape ampersands (and equals signs), so an issuer
// with one comes back cut off, which LabelIssuer tells.
func TestWeReadPquerna(t *testing.T) {
	t.Parallel()
	read, flagged, refused := 0, 0, 0
	run(t, inputs, func(k otpauth.Key) {
		if k.Issuer == "" {
			return // which it does not write
		}
		var theirs *pquerna.Key
		var err error
		algorithm := pquerna.Algorithm(k.Algorithm)
		if k.Type == otpauth.HOTP {
			k.Counter = 0
			theirs, err = pquernahotp.Generate(pquernahotp.GenerateOpts{
				Issuer: k.Issuer, AccountName: k.Account, Secret: k.Secret, Digits: pquerna.Digits(k.Digits), Algorithm: algorithm,
			})
		} else {
			theirs, err = pquernatotp.Generate(pquernatotp.GenerateOpts{
				Issuer: k.Issuer, AccountName: k.Account, Secret: k.Secret, Digits: pquerna.Digits(k.Digits), Algorithm: algorithm,
				Period: uint(k.Period / time.Second),
			})
		}
		require.NoError(t, err)
		uri := theirs.URL()
		if k.Type == otpauth.HOTP {
			_, err := otpauth.Parse(uri)
			require.Error(t, err)
			if !strings.Contains(k.Issuer, "&") { // the rest of such a one is parameters
				require.EqualError(t, err, "otp: key URI has no counter") // it never writes one
			}
			uri += "&counter=0"
		}
		got, err := otpauth.Parse(uri)
		switch {
		case err != nil:
			require.Contains(t, k.Issuer, "&", "%s: %v", uri, err) // the rest of it was there twice, or is no UTF-8
			refused++
			return
		case got.LabelIssuer != "":
			require.Contains(t, k.Issuer, "&", uri)
			require.Equal(t, k.Issuer, got.LabelIssuer)
			got.Issuer, got.LabelIssuer = k.Issuer, ""
			flagged++
		case got.Issuer != k.Issuer:
			require.FailNow(t, "read as another issuer", uri)
		}
		requireEqual(t, k, got)
		read++
	})
	t.Logf("%d read, %d of them flagged, %d refused", read, flagged, refused)
	require.Greater(t, read, inputs/2)
	require.NotZero(t, flagged)
}

// Trap 1 of pquerna/otp 1.5.0, as the documentation of package otpauth tells it.
func TestPquernaLetsIssuersInject(t *testing.T) {
	t.Parallel()
	enroll := func(issuer string) string {
		k, err := pquernatotp.Generate(pquernatotp.GenerateOpts{Issuer: issuer, AccountName: "alice", Secret: []byte("12345678901234567890")})
		require.NoError(t, err)
		return k.URL()
	}
	evil := enroll("A&secret=AAAAAAAAAAAAAAAAAAAAAAAAAA")
	theirs, err := pquerna.NewKeyFromURL(evil)
	require.NoError(t, err)
	require.Equal(t, "AAAAAAAAAAAAAAAAAAAAAAAAAA", theirs.Secret(), "no longer: the documentation can be shorter")
	_, err = otpauth.Parse(evil)
	require.EqualError(t, err, "otp: key URI has a parameter twice")

	k, err := otpauth.Parse(enroll("AT&T"))
	require.NoError(t, err)
	require.Equal(t, "AT", k.Issuer)
	require.Equal(t, "AT&T", k.LabelIssuer)
}

// Credentials of pquerna/otp and gotp go on working: the example in package otpauth,
// with the libraries themselves.
func TestMigration(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

	enrolled, err := pquernatotp.Generate(pquernatotp.GenerateOpts{Issuer: "Example Co", AccountName: "alice@example.com"})
	require.NoError(t, err)
	code, err := pquernatotp.GenerateCode(enrolled.Secret(), now)
	require.NoError(t, err)
	secret, err := otpauth.DecodeSecret(enrolled.Secret())
	require.NoError(t, err)
	_, err = totp.Match(secret, code, now, totp.Options{})
	require.NoError(t, err)
	k, err := otpauth.Parse(enrolled.URL())
	require.NoError(t, err)
	require.Equal(t, secret, k.Secret)
	options, err := k.TOTP()
	require.NoError(t, err)
	_, err = totp.Match(k.Secret, code, now, options)
	require.NoError(t, err)

	// A HOTP secret has 10 bytes, unless somebody asked for more.
	short, err := pquernahotp.Generate(pquernahotp.GenerateOpts{Issuer: "Example Co", AccountName: "alice"})
	require.NoError(t, err)
	_, err = otpauth.DecodeSecret(short.Secret())
	require.ErrorContains(t, err, "has 10 bytes")

	column := gotp.RandomSecret(20)
	other := gotp.NewDefaultTOTP(column)
	secret, err = otpauth.DecodeSecret(column)
	require.NoError(t, err)
	_, err = totp.Match(secret, other.At(now.Unix()), now, totp.Options{})
	require.NoError(t, err)
	uri := other.ProvisioningUri("alice@example.com", "Example Co")
	k, err = otpauth.Parse(uri)
	require.NoError(t, err)
	require.Equal(t, secret, k.Secret)
	require.Equal(t, "Example%20Co", k.LabelIssuer, "%s: no longer escaped twice: the documentation can be shorter", uri)
}

// export returns k as Google Authenticator exports it.
func export(k otpauth.Key) []byte {
	text := func(b []byte, field uint64, s string) []byte {
		b = binary.AppendUvarint(binary.AppendUvarint(b, field<<3|2), uint64(len(s)))
		return append(b, s...)
	}
	number := func(b []byte, field, n uint64) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(b, field<<3), n)
	}
	b := text(nil, 1, string(k.Secret))
	b = text(b, 2, k.Account)
	b = text(b, 3, k.Issuer)
	b = number(b, 4, uint64(k.Algorithm)+1)
	b = number(b, 5, uint64(k.Digits-6)/2+1)
	if k.Type == otpauth.HOTP {
		b = number(number(b, 6, 1), 7, k.Counter)
	} else {
		b = number(b, 6, 2)
	}
	return text(nil, 1, string(b))
}

// S-61: we read in an export of Google Authenticator what creachadair/otp reads.
func TestMigrationURIs(t *testing.T) {
	t.Parallel()
	run(t, inputs/10, func(k otpauth.Key) {
		if k.Digits == 7 {
			k.Digits = 8 // 7 is not in the format
		}
		if k.Type == otpauth.TOTP {
			k.Period = 30 * time.Second
		}
		uri := "otpauth-migration://offline?data=" + url.QueryEscape(base64.StdEncoding.EncodeToString(export(k)))
		m, err := otpauth.ParseMigration(uri)
		require.NoError(t, err)
		require.Len(t, m.Keys, 1)
		requireEqual(t, k, m.Keys[0])

		urls, err := creachadair.ParseMigrationURL(uri)
		require.NoError(t, err)
		require.Len(t, urls, 1)
		want := theirs(k)
		want.Period = 30 // of counters, too
		require.Equal(t, want, urls[0])
	})
}

// S-54, S-61: oathtool makes the codes of our URI's secret.
func TestOathtoolReadsOurSecrets(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("oathtool")
	if err != nil {
		const missing = "oathtool is not installed: apt-get install oathtool"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	run(t, 100, func(k otpauth.Key) {
		if k.Type != otpauth.TOTP {
			return
		}
		for _, encoded := range []string{otpauth.EncodeSecret(k.Secret), otpauth.Grouped(k.Secret)} {
			out, err := exec.CommandContext(t.Context(), path, "--base32", "--totp="+k.Algorithm.String(), "--digits="+strconv.Itoa(k.Digits),
				"--time-step-size="+strconv.Itoa(int(k.Period/time.Second))+"s", "--now=@"+strconv.FormatInt(now.Unix(), 10), encoded).Output()
			require.NoError(t, err)
			options, err := k.TOTP()
			require.NoError(t, err)
			_, err = totp.Match(k.Secret, strings.TrimSpace(string(out)), now, options)
			require.NoError(t, err)
		}
	})
}
