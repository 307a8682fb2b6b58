package otpauth_test

import (
	"bytes"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp/hotp"
	"otp.example/otp/otpauth"
	"otp.example/otp/totp"
)

var secret = []byte("12345678901234567890")

// A sample is a case of testdata/uris.json.
type sample struct {
	Name, From, URI, Error        string
	Type, Issuer, Account, Secret string
	Algorithm                     string
	Digits, Period                int
	Counter                       uint64
	Dialect, LabelIssuer          string
}

func samples(t testing.TB) []sample {
	t.Helper()
	var list []sample
	read(t, "testdata/uris.json", &list)
	require.Greater(t, len(list), 50)
	return list
}

func read(t testing.TB, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(v))
}

// key returns what is to be read in s.
func (s sample) key(t testing.TB) otpauth.Key {
	t.Helper()
	k := otpauth.Key{Issuer: s.Issuer, Account: s.Account, LabelIssuer: s.LabelIssuer}
	var err error
	k.Secret, err = hex.DecodeString(s.Secret)
	require.NoError(t, err)
	switch s.Dialect {
	case "steam":
		k.Dialect = otpauth.Steam
		return k
	case "yandex":
		k.Dialect = otpauth.Yandex
		return k
	default:
		require.Empty(t, s.Dialect)
	}
	k.Digits = max(s.Digits, 6)
	switch s.Type {
	case "":
		k.Period = 30 * time.Second
		if s.Period != 0 {
			k.Period = time.Duration(s.Period) * time.Second
		}
	case "hotp":
		k.Type, k.Counter = otpauth.HOTP, s.Counter
	default:
		require.Fail(t, "unknown type", s.Type)
	}
	switch s.Algorithm {
	case "":
	case "SHA256":
		k.Algorithm = hotp.SHA256
	case "SHA512":
		k.Algorithm = hotp.SHA512
	default:
		require.Fail(t, "unknown algorithm", s.Algorithm)
	}
	return k
}

// S-61: URIs as real services, apps and libraries write them.
func TestParseRealURIs(t *testing.T) {
	t.Parallel()
	for _, s := range samples(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			got, err := otpauth.Parse(s.URI)
			if s.Error != "" {
				require.ErrorContains(t, err, s.Error)
				require.Zero(t, got)
				requireClean(t, err, s.URI)
				return
			}
			require.NoError(t, err)
			requireEqual(t, s.key(t), got)
		})
	}
}

// requireEqual is require.Equal, which would print keys as [redacted].
func requireEqual(t testing.TB, want, got otpauth.Key) {
	t.Helper()
	require.Equal(t, fields(want), fields(got))
}

func fields(k otpauth.Key) map[string]any {
	return map[string]any{
		"Type": k.Type, "Issuer": k.Issuer, "Account": k.Account, "Secret": hex.EncodeToString(k.Secret), "Algorithm": k.Algorithm,
		"Digits": k.Digits, "Period": k.Period, "Counter": k.Counter, "Dialect": k.Dialect, "LabelIssuer": k.LabelIssuer,
	}
}

// requireClean finds what of a URI an error must not tell: its parameters and names.
func requireClean(t testing.TB, err error, uri string) {
	t.Helper()
	require.True(t, strings.HasPrefix(err.Error(), "otp: "), err)
	for _, part := range strings.FieldsFunc(uri, func(r rune) bool { return strings.ContainsRune("/?&=:%+ ", r) }) {
		if len(part) > 9 && part != "otpauth-migration" {
			require.NotContains(t, err.Error(), part)
		}
	}
}

// S-61: what is written is exactly this.
func TestURI(t *testing.T) {
	t.Parallel()
	const s = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for _, tt := range []struct {
		name string
		key  otpauth.Key
		want string
	}{
		{"least", otpauth.Key{Account: "alice"}, "otpauth://totp/alice?secret=" + s},
		{
			"usual",
			otpauth.Key{Issuer: "Example Co", Account: "alice@example.com"},
			"otpauth://totp/Example%20Co:alice%40example.com?secret=" + s + "&issuer=Example%20Co",
		},
		{
			"everything",
			otpauth.Key{Issuer: "E", Account: "a", Algorithm: totp.SHA512, Digits: 8, Period: time.Minute},
			"otpauth://totp/E:a?secret=" + s + "&issuer=E&algorithm=SHA512&digits=8&period=60",
		},
		{
			"defaults spelled out",
			otpauth.Key{Issuer: "E", Account: "a", Digits: 6, Period: 30 * time.Second},
			"otpauth://totp/E:a?secret=" + s + "&issuer=E",
		},
		{
			"hotp",
			otpauth.Key{Type: otpauth.HOTP, Issuer: "E", Account: "a", Digits: 7, Counter: math.MaxInt64},
			"otpauth://hotp/E:a?secret=" + s + "&issuer=E&digits=7&counter=9223372036854775807",
		},
		{"hotp from the start", otpauth.Key{Type: otpauth.HOTP, Account: "a"}, "otpauth://hotp/a?secret=" + s + "&counter=0"},
		{
			"every reserved character",
			otpauth.Key{Issuer: "A&secret=B+C%3A/?#[]@!$'()*,;=\"<>\\^`{|}", Account: "&issuer=Evil%0d%0a~._-"},
			"otpauth://totp/A%26secret%3DB%2BC%253A%2F%3F%23%5B%5D%40%21%24%27%28%29%2A%2C%3B%3D%22%3C%3E%5C%5E%60%7B%7C%7D:" +
				"%26issuer%3DEvil%250d%250a~._-?secret=" + s +
				"&issuer=A%26secret%3DB%2BC%253A%2F%3F%23%5B%5D%40%21%24%27%28%29%2A%2C%3B%3D%22%3C%3E%5C%5E%60%7B%7C%7D",
		},
		{
			"unicode",
			otpauth.Key{Issuer: "日本 👩\u200d🚀", Account: "zoë"},
			"otpauth://totp/%E6%97%A5%E6%9C%AC%20%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80:zo%C3%AB?secret=" + s +
				"&issuer=%E6%97%A5%E6%9C%AC%20%F0%9F%91%A9%E2%80%8D%F0%9F%9A%80",
		},
		{"the label's issuer is not written", otpauth.Key{Issuer: "E", LabelIssuer: "F", Account: "a"}, "otpauth://totp/E:a?secret=" + s + "&issuer=E"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.key.Secret = secret
			got, err := tt.key.URI()
			require.NoError(t, err)
			require.Equal(t, tt.want, got)

			back, err := otpauth.Parse(got)
			require.NoError(t, err)
			requireEqual(t, normal(tt.key), back)
		})
	}
}

// normal returns k as Parse returns it.
func normal(k otpauth.Key) otpauth.Key {
	k.LabelIssuer = ""
	if k.Digits == 0 {
		k.Digits = 6
	}
	if k.Type == otpauth.TOTP && k.Period == 0 {
		k.Period = 30 * time.Second
	}
	return k
}

// S-58, S-61: a key that is out of bounds is neither written nor turned into options.
func TestBounds(t *testing.T) {
	t.Parallel()
	long := func(n int) []byte { return bytes.Repeat([]byte{'x'}, n) }
	for _, tt := range []struct {
		want   string // or empty if it is good
		change func(*otpauth.Key)
	}{
		{"", func(*otpauth.Key) {}},
		{"secret has 0 bytes, must have 16 to 128", func(k *otpauth.Key) { k.Secret = nil }},
		{"secret has 15 bytes", func(k *otpauth.Key) { k.Secret = long(15) }},
		{"", func(k *otpauth.Key) { k.Secret = long(16) }},
		{"", func(k *otpauth.Key) { k.Secret = long(128) }},
		{"secret has 129 bytes", func(k *otpauth.Key) { k.Secret = long(129) }},
		{"Digits is 5, must be 6 to 8", func(k *otpauth.Key) { k.Digits = 5 }},
		{"", func(k *otpauth.Key) { k.Digits = 8 }},
		{"Digits is 9, must be 6 to 8", func(k *otpauth.Key) { k.Digits = 9 }},
		{"Digits is -6", func(k *otpauth.Key) { k.Digits = -6 }},
		{"Algorithm is unknown", func(k *otpauth.Key) { k.Algorithm = 3 }},
		{"Period is 14s", func(k *otpauth.Key) { k.Period = 14 * time.Second }},
		{"", func(k *otpauth.Key) { k.Period = 15 * time.Second }},
		{"", func(k *otpauth.Key) { k.Period = 120 * time.Second }},
		{"Period is 2m1s", func(k *otpauth.Key) { k.Period = 121 * time.Second }},
		{"Period is 30.5s", func(k *otpauth.Key) { k.Period = 30500 * time.Millisecond }},
		{"Period is -30s", func(k *otpauth.Key) { k.Period = -30 * time.Second }},
		{"Counter is set", func(k *otpauth.Key) { k.Counter = 1 }},
		{"", func(k *otpauth.Key) { k.Type, k.Counter = otpauth.HOTP, math.MaxInt64 }},
		{"Counter is too large", func(k *otpauth.Key) { k.Type, k.Counter = otpauth.HOTP, math.MaxInt64+1 }},
		{"Period is set", func(k *otpauth.Key) { k.Type, k.Period = otpauth.HOTP, 30*time.Second }},
		{"Digits is 9", func(k *otpauth.Key) { k.Type, k.Digits = otpauth.HOTP, 9 }},
		{"Type is unknown", func(k *otpauth.Key) { k.Type = 2 }},
		{"Dialect is steam", func(k *otpauth.Key) { k.Dialect = otpauth.Steam }},
		{"Dialect is Dialect(7)", func(k *otpauth.Key) { k.Dialect = 7 }},
		{"Issuer is Steam", func(k *otpauth.Key) { k.Issuer = "Steam" }},
		{"Issuer is Steam", func(k *otpauth.Key) { k.Issuer = "STEAM" }},
		{"", func(k *otpauth.Key) { k.Issuer = "Steamboats" }},
		{"", func(k *otpauth.Key) { k.Issuer = "" }},
		{"Account is empty", func(k *otpauth.Key) { k.Account = "" }},
		{"Issuer contains a colon", func(k *otpauth.Key) { k.Issuer = "a:b" }},
		{"Account contains a colon", func(k *otpauth.Key) { k.Account = "a:b" }},
		{"LabelIssuer contains a colon", func(k *otpauth.Key) { k.LabelIssuer = "a:b" }},
		{"Issuer begins or ends with a space", func(k *otpauth.Key) { k.Issuer = " a" }},
		{"Account begins or ends with a space", func(k *otpauth.Key) { k.Account = "a\u00a0" }},
		{"Account is not UTF-8", func(k *otpauth.Key) { k.Account = "a\xff" }},
		{"Issuer contains a control character", func(k *otpauth.Key) { k.Issuer = "a\r\nb" }},
		{"Issuer contains a control character", func(k *otpauth.Key) { k.Issuer = "a\x00b" }},
		{"Account contains a control character", func(k *otpauth.Key) { k.Account = "a\u0085b" }},
		{"Account contains a control character", func(k *otpauth.Key) { k.Account = "a\u2028b" }},
		{"Account contains a control character", func(k *otpauth.Key) { k.Account = "\u202eecila" }},
		{"Account contains a control character", func(k *otpauth.Key) { k.Account = "a\u2066b" }},
		{"", func(k *otpauth.Key) { k.Issuer = string(long(128)) }},
		{"Issuer has 129 bytes, must have at most 128", func(k *otpauth.Key) { k.Issuer = string(long(129)) }},
		{"", func(k *otpauth.Key) { k.Account = string(long(256)) }},
		{"Account has 257 bytes, must have at most 256", func(k *otpauth.Key) { k.Account = string(long(257)) }},
	} {
		k := otpauth.Key{Issuer: "Example", Account: "alice", Secret: secret}
		tt.change(&k)
		uri, err := k.URI()
		var optionsErr error
		if k.Type == otpauth.HOTP {
			_, optionsErr = k.HOTP()
		} else {
			_, optionsErr = k.TOTP()
		}
		if tt.want == "" {
			require.NoError(t, err)
			require.NoError(t, optionsErr)
			continue
		}
		require.ErrorContains(t, err, tt.want)
		require.Empty(t, uri)
		if k.Type <= otpauth.HOTP {
			require.EqualError(t, optionsErr, err.Error())
		} else {
			require.Error(t, optionsErr)
		}
	}
}

// The longest URI fits into a QR code, and Parse reads it.
func TestLongestURI(t *testing.T) {
	t.Parallel()
	k := otpauth.Key{
		Issuer: strings.Repeat("é", 64), Account: strings.Repeat("é", 128), Secret: bytes.Repeat([]byte{1}, 128),
		Algorithm: totp.SHA512, Digits: 8, Period: 120 * time.Second,
	}
	uri, err := k.URI()
	require.NoError(t, err)
	const capacity = 2331 // bytes in a QR code of version 40, level M
	require.Less(t, len(uri), capacity)
	got, err := otpauth.Parse(uri)
	require.NoError(t, err)
	requireEqual(t, k, got)

	_, err = otpauth.Parse(uri + strings.Repeat(" ", 4096))
	require.ErrorContains(t, err, "must have at most 4096")
}

// Whatever is read gives the options that its codes are checked with.
func TestOptions(t *testing.T) {
	t.Parallel()
	uri, err := otpauth.Key{Account: "a", Secret: secret, Algorithm: totp.SHA256, Digits: 8, Period: time.Minute}.URI()
	require.NoError(t, err)
	k, err := otpauth.Parse(uri)
	require.NoError(t, err)
	o, err := k.TOTP()
	require.NoError(t, err)
	require.Equal(t, totp.Options{Digits: 8, Algorithm: totp.SHA256, Period: time.Minute}, o)
	_, err = k.HOTP()
	require.EqualError(t, err, "otp: Type is totp, not hotp")

	k, err = otpauth.Parse("otpauth://hotp/a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=7&counter=5&period=60")
	require.NoError(t, err)
	h, err := k.HOTP()
	require.NoError(t, err)
	require.Equal(t, hotp.Options{Digits: 7}, h)
	require.EqualValues(t, 5, k.Counter)
	_, err = k.TOTP()
	require.EqualError(t, err, "otp: Type is hotp, not totp")

	k, err = otpauth.Parse("otpauth://steam/a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&digits=5")
	require.NoError(t, err)
	require.Equal(t, otpauth.Steam, k.Dialect)
	_, err = k.TOTP()
	require.EqualError(t, err, "otp: Dialect is steam, whose codes are not those of the RFCs")
	_, err = k.URI()
	require.Error(t, err)
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	const encoded = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	require.Equal(t, encoded, otpauth.EncodeSecret(secret))
	require.Equal(t, "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ", otpauth.Grouped(secret))
	require.Equal(t, "GEZD GNBV GY3T QOJQ GEZD GNBV GY", otpauth.Grouped(secret[:16]))
	require.Empty(t, otpauth.Grouped(nil))

	for _, s := range []string{
		encoded, strings.ToLower(encoded), otpauth.Grouped(secret), "  gezd-gnbv-gy3t-qojq-gezd-gnbv-gy3t-qojq\r\n", encoded + "====",
	} {
		got, err := otpauth.DecodeSecret(s)
		require.NoError(t, err)
		require.Equal(t, secret, got)
	}
	for n := 16; n <= 128; n++ {
		s := bytes.Repeat([]byte{0xa5}, n)
		got, err := otpauth.DecodeSecret(otpauth.Grouped(s))
		require.NoError(t, err)
		require.Equal(t, s, got)
	}
	for _, tt := range []struct{ s, want string }{
		{"", "has 0 bytes"},
		{"JBSWY3DPEHPK3PXP", "has 10 bytes, must have 16 to 128"},
		{otpauth.EncodeSecret(make([]byte, 129)), "has 129 bytes"},
		{"0EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "only A to Z and 2 to 7"},
		{"GEZDGNBVGY3TQOJQ=EZDGNBVGY3TQOJQ", "only A to Z and 2 to 7"},
		{"ſEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "no base32"}, // the long s, whose upper case is S
		{encoded + "A", "characters are missing or too many"},
		{encoded + "AAA", "characters are missing or too many"},
		{encoded + "AAAAAA", "characters are missing or too many"},
	} {
		got, err := otpauth.DecodeSecret(tt.s)
		require.ErrorContains(t, err, tt.want, tt.s)
		require.Nil(t, got)
	}
}

// S-83: a key survives careless log lines and encoders.
func TestKeyIsHidden(t *testing.T) {
	t.Parallel()
	k := otpauth.Key{Issuer: "Canary Inc", Account: "canary@example.com", Secret: []byte("canary-canary-canary"), LabelIssuer: "canary"}
	uri, err := k.URI()
	require.NoError(t, err)
	type holder struct {
		Key  otpauth.Key
		Keys []otpauth.Key
		P    *otpauth.Key
	}
	for _, v := range []any{k, &k, []otpauth.Key{k}, map[string]*otpauth.Key{"k": &k}, holder{k, []otpauth.Key{k}, &k}, otpauth.Migration{Keys: []otpauth.Key{k}}} {
		var text []string
		for _, verb := range "vsqxXdbocOeEfFgGtU" {
			for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3"} {
				text = append(text, fmt.Sprintf("%"+flags+string(verb), v))
			}
		}
		text = append(text, fmt.Sprint(v), fmt.Errorf("%w", fmt.Errorf("%v", v)).Error())
		js, err := json.Marshal(v)
		require.NoError(t, err)
		text = append(text, string(js))
		var b bytes.Buffer
		l := slog.New(slog.NewTextHandler(&b, nil))
		l.Info("m", "v", v)
		l = slog.New(slog.NewJSONHandler(&b, nil))
		l.Info("m", "v", v)
		require.NoError(t, gob.NewEncoder(&b).Encode(v))
		if _, isMap := v.(map[string]*otpauth.Key); !isMap {
			require.NoError(t, xml.NewEncoder(&b).Encode(v))
		}
		text = append(text, b.String())
		for _, s := range text {
			lower := strings.ToLower(s)
			for _, leak := range []string{"canary", "63616e617279", "99 97 110", "y2fuyxj5", strings.ToLower(otpauth.EncodeSecret(k.Secret)[:6])} {
				require.NotContains(t, lower, leak)
			}
		}
	}
	require.Contains(t, uri, "Canary", "the canary would be found")
	require.Equal(t, "[redacted]", fmt.Sprint(k))

	var back otpauth.Key
	require.Error(t, json.Unmarshal([]byte(`"[redacted]"`), &back), "a key is not read from its redaction")
}

func TestNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "totp", otpauth.TOTP.String())
	require.Equal(t, "hotp", otpauth.HOTP.String())
	require.Equal(t, "Type(9)", otpauth.Type(9).String())
	require.Equal(t, "standard", otpauth.Standard.String())
	require.Equal(t, "steam", otpauth.Steam.String())
	require.Equal(t, "yandex", otpauth.Yandex.String())
	require.Equal(t, "Dialect(9)", otpauth.Dialect(9).String())
}

// S-61: nothing in a name becomes a parameter, whoever parses.
func TestNamesCannotInject(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"A&secret=AAAAAAAAAAAAAAAAAAAAAAAAAA", "AT&T", "A?secret=B", "A#secret=B", "A%26secret%3DB", "A;secret=B", "A=B", "A+B", "A/B/../C", "100%",
	} {
		k := otpauth.Key{Issuer: name, Account: name, Secret: secret}
		uri, err := k.URI()
		require.NoError(t, err)
		u, err := url.Parse(uri)
		require.NoError(t, err)
		q, err := url.ParseQuery(u.RawQuery)
		require.NoError(t, err)
		require.Equal(t, url.Values{"secret": {otpauth.EncodeSecret(secret)}, "issuer": {name}}, q)
		require.Equal(t, "/"+name+":"+name, u.Path)
		require.Empty(t, u.Fragment)
	}
}
