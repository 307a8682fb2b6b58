package otpauth_test

import (
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp/hotp"
	"otp.example/otp/otpauth"
)

// S-61: exports of Google Authenticator that other programs test with.
func TestParseMigrationRealURIs(t *testing.T) {
	t.Parallel()
	var list []struct {
		Name, From, URI, Error string
		Keys                   []string
		Parts                  int
	}
	read(t, "testdata/migrations.json", &list)
	require.NotEmpty(t, list)
	for _, tt := range list {
		t.Run(tt.Name, func(t *testing.T) {
			t.Parallel()
			m, err := otpauth.ParseMigration(tt.URI)
			if tt.Error == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, tt.Error)
			}
			require.Len(t, m.Keys, len(tt.Keys))
			for i, k := range m.Keys {
				uri, err := k.URI()
				require.NoError(t, err)
				require.Equal(t, tt.Keys[i], uri)
			}
			require.Equal(t, tt.Parts, m.Parts)
			require.Zero(t, m.Part)
		})
	}
}

// number and text are fields in the wire format of Protocol Buffers.
func number(field, value uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, field<<3), value)
}

func text(field uint64, s string) []byte {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, field<<3|2), uint64(len(s)))
	return append(b, s...)
}

func join(fields ...[]byte) string {
	var b []byte
	for _, f := range fields {
		b = append(b, f...)
	}
	return string(b)
}

func migration(payload string) string {
	return "otpauth-migration://offline?data=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(payload)))
}

func TestParseMigration(t *testing.T) {
	t.Parallel()
	minus := ^uint64(0)
	m, err := otpauth.ParseMigration(migration(join(
		number(2, 1), number(3, 3), number(4, 2), number(5, minus-41),
		text(1, join(text(1, string(secret)), text(2, "Example:alice"), text(3, "Example"), number(4, 3), number(5, 2), number(6, 2), number(7, 9))),
		text(1, join(text(1, string(secret)), text(2, "bob"), text(3, "C++"), number(4, 2), number(5, 1), number(6, 1), number(7, 9))),
		text(1, join(text(1, string(secret)), text(2, "carol"))),
		text(1, join(text(1, string(secret)), text(2, "Steam:dave"), number(4, 2))),
		text(1, join(text(1, string(secret)), text(2, "Other:erin"), text(3, "Example"), text(9, "new"), []byte{10<<3 | 1, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{11<<3 | 5, 0, 0, 0, 0})),
	)))
	require.NoError(t, err)
	require.Equal(t, 3, m.Parts)
	require.Equal(t, 2, m.Part)
	require.Equal(t, -42, m.ID)
	want := []otpauth.Key{
		{Issuer: "Example", Account: "alice", Algorithm: hotp.SHA512, Digits: 8, Period: 30 * time.Second},
		{Type: otpauth.HOTP, Issuer: "C++", Account: "bob", Algorithm: hotp.SHA256, Digits: 6, Counter: 9},
		{Account: "carol", Digits: 6, Period: 30 * time.Second},
		{Issuer: "Steam", Account: "dave", Dialect: otpauth.Steam},
		{Issuer: "Example", LabelIssuer: "Other", Account: "erin", Digits: 6, Period: 30 * time.Second},
	}
	require.Len(t, m.Keys, len(want))
	for i := range want {
		want[i].Secret = secret
		requireEqual(t, want[i], m.Keys[i])
	}
}

// S-58, S-61: what cannot be used is named and does not take the rest with it.
func TestParseMigrationNamesUnusableAccounts(t *testing.T) {
	t.Parallel()
	account := func(fields ...[]byte) []byte { return text(1, join(text(2, "a"), join2(fields))) }
	good := account(text(1, string(secret)))
	for _, tt := range []struct {
		account []byte
		want    string
	}{
		{account(), "secret has 0 bytes, must have 16 to 128"},
		{account(text(1, "short")), "secret has 5 bytes, must have 16 to 128"},
		{account(number(1, 5)), "secret has 0 bytes, must have 16 to 128"},
		{account(text(1, string(secret)), number(4, 4)), "key has an unknown algorithm"},
		{account(text(1, string(secret)), number(4, ^uint64(0))), "key has an unknown algorithm"},
		{account(text(1, string(secret)), number(5, 3)), "key has an unknown number of digits"},
		{account(text(1, string(secret)), number(6, 3)), "key has an unknown type"},
		{account(text(1, string(secret)), number(6, 1), number(7, 1<<63)), "Counter is too large"},
		{account(text(1, string(secret)), text(2, "")), "Account is empty"},
		{account(text(1, string(secret)), text(2, "a:b:c")), "key URI has a label with more than one colon"},
		{account(text(1, string(secret)), text(3, "a\nb")), "Issuer contains a control character"},
		{account([]byte{0xff}), "migration URI has data that is malformed"},
	} {
		m, err := otpauth.ParseMigration(migration(join(good, tt.account, good)))
		require.EqualError(t, err, "otp: account 2: "+tt.want)
		require.Len(t, m.Keys, 2)
	}
}

func join2(fields [][]byte) []byte { return []byte(join(fields...)) }

func TestParseMigrationRefuses(t *testing.T) {
	t.Parallel()
	good := text(1, join(text(1, string(secret)), text(2, "a")))
	_, err := otpauth.ParseMigration(migration(join(good)))
	require.NoError(t, err)
	for _, tt := range []struct{ uri, want string }{
		{"", "another scheme"},
		{"otpauth://totp/a?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "another scheme"},
		{"otpauth-migration://offline", "has no data"},
		{"otpauth-migration://online?data=", "has no data"},
		{"otpauth-migration://offline?data=", "no account"},
		{"otpauth-migration://offline?data=!", "no base64"},
		{"otpauth-migration://offline?data=CgA=&data=CgA=", "a parameter twice"},
		{migration(join(number(3, 1))), "no account"},
		{migration(join(good, []byte{0xff})), "malformed"},
		{migration(join(good, []byte{1<<3 | 2, 5, 0})), "malformed"},
		{migration(join(good, []byte{1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})), "malformed"},
		{migration(join(good, []byte{1<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})), "malformed"},
		{migration(join(good, []byte{3 << 3})), "malformed"},
		{migration(join(good, []byte{3<<3 | 1, 0})), "malformed"},
		{migration(join(good, []byte{3<<3 | 3})), "malformed"},
		{migration(join(good, []byte{3<<3 | 5, 0})), "malformed"},
		{migration(string(make([]byte, 4096))), "must have at most 4096"},
	} {
		m, err := otpauth.ParseMigration(tt.uri)
		require.ErrorContains(t, err, tt.want)
		require.Zero(t, m)
		requireClean(t, err, tt.uri)
	}
}
