package otp_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// keyNo returns the same 32 bytes for the same number. They look random.
func keyNo(n int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "keyring_test %d", n))
	return sum[:]
}

func std64(n int) string { return base64.StdEncoding.EncodeToString(keyNo(n)) }

// derived is HKDF-SHA256 as RFC 5869 sections 2.2 and 2.3 write it, without a salt and
// for one block, so that the golden file is not checked by what it is to check.
func derived(secret []byte, label string) []byte {
	return hmac256(hmac256(make([]byte, sha256.Size), secret), append([]byte(label), 1))
}

func hmac256(key, msg []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(msg)
	return h.Sum(nil)
}

// keyLabels reads from the source which labels there are, so that none is forgotten.
func keyLabels(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "keyring.go", nil, 0)
	require.NoError(t, err)
	var labels []string
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "label") {
			label, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			labels = append(labels, label)
		}
		return true
	})
	require.NotEmpty(t, labels)
	return labels
}

func requireGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *otp.Update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "changing this makes everything that is stored unreadable")
}

// S-18: each purpose has its own key. The list and the keys are frozen: another label
// is another key, and with it every live challenge and every limit is gone.
func TestLabels(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	fmt.Fprintf(&b, "HKDF-SHA256 of secret %x without a salt\n\n", keyNo(1))
	keys := map[string]bool{}
	for _, label := range keyLabels(t) {
		key := hex.EncodeToString(derived(keyNo(1), label))
		require.False(t, keys[key], "two purposes share the key of %s", label)
		keys[key] = true
		fmt.Fprintf(&b, "%-20s %s\n", label, key)
	}
	requireGolden(t, "labels.golden", b.String())
}

// A tap keeps what a service stores and sends.
type tap struct {
	otp.Store
	otp.Limiter
	mu      sync.Mutex
	records []otp.Record
	codes   map[string]string // by recipient
}

func newTap() *tap {
	store := memstore.New()
	return &tap{Store: store, Limiter: store, codes: map[string]string{}}
}

func (s *tap) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	s.mu.Lock()
	s.records = append(s.records, r)
	s.mu.Unlock()
	return s.Store.Put(ctx, r, now)
}

func (s *tap) Send(_ context.Context, m otp.Message) (otp.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[m.To] = m.Code.Reveal()
	return otp.Receipt{}, nil
}

func (s *tap) code(to string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[to]
}

func (s *tap) service(t *testing.T, kr *otp.Keyring) *otp.Service {
	t.Helper()
	svc, err := otp.New(otp.Config{Store: s, Keyring: kr, Senders: map[otp.Channel]otp.Sender{"push": s}})
	require.NoError(t, err)
	return svc
}

func pushTo(to string) otp.Request {
	return otp.Request{Channel: "push", Usage: "login", Subject: "user of " + to, To: to}
}

func newTestKeyring(t *testing.T, primary otp.Key, others ...otp.Key) *otp.Keyring {
	t.Helper()
	kr, err := otp.NewKeyring(primary, others...)
	require.NoError(t, err)
	return kr
}

func unb64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	require.NoError(t, err)
	return b
}

// S-18: what is sealed for one purpose opens with the key of that purpose and with no
// other of the same secret.
func TestKeysArePurposeBound(t *testing.T) {
	t.Parallel()
	store := newTap()
	svc := store.service(t, newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)})).Tenant("shop")
	ch, err := svc.Request(t.Context(), pushTo("anna"))
	require.NoError(t, err)
	proof, err := svc.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: store.code("anna"), Usage: "login"})
	require.NoError(t, err)
	tok, err := svc.Token(proof, time.Minute)
	require.NoError(t, err)

	record := store.records[0]
	handle, found := strings.CutPrefix(ch.ID, "a.")
	require.True(t, found)
	token, found := strings.CutPrefix(tok.Reveal(), "a.")
	require.True(t, found)
	sealed, found := bytes.CutPrefix(record.Sealed, []byte("\x01a"))
	require.True(t, found)

	tests := []struct {
		label, ad string
		sealed    []byte
	}{
		{"otp/v1/handle", "shop", unb64(t, handle)},
		{"otp/v1/payload", record.ID, sealed},
		{"otp/v1/token", "shop", unb64(t, token)},
	}
	for _, tt := range tests {
		for _, label := range keyLabels(t) {
			aead, err := chacha20poly1305.NewX(derived(keyNo(1), label))
			require.NoError(t, err)
			_, err = aead.Open(nil, tt.sealed[:24], tt.sealed[24:], []byte(tt.ad))
			if label == tt.label {
				require.NoError(t, err, "%s does not open with its own key", tt.label)
			} else {
				require.Error(t, err, "%s opens with the key of %s", tt.label, label)
			}
		}
	}

	// The same through the front door.
	_, err = svc.Verify(t.Context(), otp.Answer{ID: tok.Reveal(), Code: store.code("anna"), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrNotFound, "a token is no handle")
	_, err = svc.Redeem(t.Context(), ch.ID, "login")
	require.ErrorIs(t, err, otp.ErrNotFound, "a handle is no token")
	_, err = svc.Redeem(t.Context(), "a."+base64.RawURLEncoding.EncodeToString(sealed), "login")
	require.ErrorIs(t, err, otp.ErrNotFound, "a payload is no token")
}

// S-15 S-18: digest, record key and pseudonym are what the design says, computed here
// another way.
func TestKeyedHashes(t *testing.T) {
	t.Parallel()
	store := newTap()
	svc := store.service(t, newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)})).Tenant("shop")
	r := pushTo("anna")
	r.Binding = "10 EUR"
	ch, err := svc.Request(t.Context(), r)
	require.NoError(t, err)
	nonce := unb64(t, strings.TrimPrefix(ch.ID, "a."))[:16]
	record, code := store.records[0], store.code("anna")

	lengths := func(fields ...string) (b []byte) {
		for _, f := range fields {
			b = append(append(b, byte(len(f))), f...)
		}
		return b
	}
	sum := sha256.Sum256(lengths("otp/v1/record", "shop", string(nonce)))
	require.Equal(t, base64.RawURLEncoding.EncodeToString(sum[:]), record.ID)

	msg := append(lengths(string(nonce), "shop", "login", "10 EUR"), 0)
	msg = append(msg, lengths(code)...)
	require.Equal(t, hmac256(derived(keyNo(1), "otp/v1/code"), msg), record.Digests)

	who := hmac256(derived(keyNo(1), "otp/v1/pseudonym"), lengths("subject", "shop", "user of anna"))
	require.Equal(t, base64.RawURLEncoding.EncodeToString(who[:16]), svc.SubjectPseudonym("user of anna"))
}

// S-14: keys that somebody typed, or copied from a page, refuse to start.
func TestWeakKeys(t *testing.T) {
	t.Parallel()
	counting := func(n, step int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i * step)
		}
		return b
	}
	fromHex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		require.NoError(t, err)
		return b
	}
	tests := []struct {
		name   string
		secret []byte
	}{
		{"none", nil},
		{"empty", []byte{}},
		{"one byte short", keyNo(1)[:31]},
		{"too long", bytes.Repeat(keyNo(1), 33)},
		{"all zero", make([]byte, 32)},
		{"all ones", bytes.Repeat([]byte{0xff}, 32)},
		{"one letter", bytes.Repeat([]byte("x"), 64)},
		{"two bytes repeated", bytes.Repeat([]byte{0xde, 0xad}, 16)},
		{"eight bytes repeated", bytes.Repeat(keyNo(1)[:8], 4)},
		{"sixteen bytes repeated", bytes.Repeat(keyNo(2)[:16], 2)},
		{"twenty bytes repeated", bytes.Repeat(keyNo(1)[:20], 3)},
		{"one different byte", append(make([]byte, 31), 1)},
		{"counting up", counting(32, 1)},
		{"counting up, long", counting(256, 1)},
		{"counting down", counting(32, -1)},
		{"counting in steps of 17, as FIPS 197 appendix C", fromHex("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")},
		{"counting in steps of 3", counting(32, 3)},
		{"counting in steps of 8", counting(32, 8)},
		{"seed of RFC 6238", []byte("12345678901234567890123456789012")},
		{"digits and letters in order", []byte("0123456789ABCDEFGHIJKLMNOPQRSTUV")},
		{"the alphabet", []byte("abcdefghijklmnopqrstuvwxyzABCDEF")},
		{"hexadecimal digits in order", []byte("0123456789abcdef0123456789abcdef")},
		{"secret", []byte("my-very-Secret-key-7f3a9c0d2b1e44")},
		{"example", []byte("EXAMPLE-q8Zt1vLmX0pRkW5yUaBc7dHj")},
		{"password", []byte("Passw0rd!password-Kd93hfL2mQzX71")},
		{"change me", []byte("please-CHANGE-me-before-you-go-9")},
		{"prose", []byte("correct horse battery staple, twice over")},
		{"prose with capitals", []byte("The quick brown fox jumps over the lazy dog")},
		{"words of small letters", []byte("thequickbrownfoxjumpsoverthelazydog")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			k := otp.Key{ID: "new", Secret: tt.secret}
			_, err := otp.NewKeyring(k)
			require.Error(t, err)
			requireNoKeyIn(t, err, tt.secret)

			_, err = otp.NewKeyring(otp.Key{ID: "a", Secret: keyNo(1)}, otp.Key{ID: otp.IndexKeyID, Secret: tt.secret})
			require.Error(t, err, "as the index key")
			require.Error(t, newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)}).Rotate(k))
			_, err = otp.ParseKeyring("new:" + base64.StdEncoding.EncodeToString(tt.secret))
			require.Error(t, err, "as text")
		})
	}
}

// S-14: and no key that was drawn is refused, as bytes or as the text of bytes.
func TestRandomKeysAreNotWeak(t *testing.T) {
	t.Parallel()
	// Not crypto/rand: of some million texts in base64 one holds a forbidden word by chance.
	drawn := mathrand.NewChaCha8([32]byte(keyNo(14)))
	forms := map[string]func([]byte) []byte{
		"32 bytes":  func(b []byte) []byte { return b[:32] },
		"64 bytes":  func(b []byte) []byte { return b },
		"base64":    func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b[:32])) },
		"base64url": func(b []byte) []byte { return []byte(base64.RawURLEncoding.EncodeToString(b[:32])) },
		"hex":       func(b []byte) []byte { return []byte(hex.EncodeToString(b[:32])) },
		"HEX":       func(b []byte) []byte { return []byte(strings.ToUpper(hex.EncodeToString(b[:32]))) },
	}
	random := make([]byte, 64)
	for _, name := range slices.Sorted(maps.Keys(forms)) { // the same keys in every run
		form, refused := forms[name], 0
		for range 10_000 / len(forms) {
			_, _ = drawn.Read(random) // never fails
			if otp.CheckKey(otp.Key{ID: "a", Secret: form(random)}) != nil {
				refused++
			}
		}
		assert.Zero(t, refused, "random keys refused as %s", name)
	}
}

func TestLongestKey(t *testing.T) {
	t.Parallel()
	long := make([]byte, 1025)
	_, err := rand.Read(long)
	require.NoError(t, err)
	require.NoError(t, otp.CheckKey(otp.Key{ID: "a", Secret: long[:1024]}))
	require.Error(t, otp.CheckKey(otp.Key{ID: "a", Secret: long}))
}

func TestKeyIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{
		"", "a.b", "a:b", "a,b", "a b", " a", "a\n", "ä", "a/b", "12345678901234567", "\x00", "\u200b",
	} {
		_, err := otp.NewKeyring(otp.Key{ID: id, Secret: keyNo(1)})
		require.Error(t, err, "%q", id)
		require.Error(t, newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)}).Rotate(otp.Key{ID: id, Secret: keyNo(2)}), "%q", id)
	}
	for _, id := range []string{"a", "1", "A-b_9", "1234567890123456", "azAZ09-_"} {
		_, err := otp.NewKeyring(otp.Key{ID: id, Secret: keyNo(1)})
		require.NoError(t, err, "%q", id)
	}
}

func TestNewKeyringRefusesSets(t *testing.T) {
	t.Parallel()
	key := func(id string, n int) otp.Key { return otp.Key{ID: id, Secret: keyNo(n)} }
	index := func(n int) otp.Key { return key(otp.IndexKeyID, n) }
	tests := []struct {
		name string
		keys []otp.Key
	}{
		{"repeated id", []otp.Key{key("a", 1), key("a", 2), index(1)}},
		{"repeated id among the others", []otp.Key{key("a", 1), key("b", 2), key("b", 2), index(1)}},
		{"two index keys", []otp.Key{key("a", 1), index(1), index(2)}},
		{"index key as primary", []otp.Key{index(1)}},
		{"index key as primary of several", []otp.Key{index(1), key("a", 1)}},
		{"several without an index key", []otp.Key{key("a", 1), key("b", 2)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := otp.NewKeyring(tt.keys[0], tt.keys[1:]...)
			require.Error(t, err)
			for _, k := range tt.keys {
				requireNoKeyIn(t, err, k.Secret)
			}
		})
	}
}

// A single key makes the same pseudonyms as when it is named the index key later, so
// limits and ledgers live through the first rotation and the restart after it.
func TestIndexKeySurvivesRotation(t *testing.T) {
	t.Parallel()
	store := newTap()
	single := newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)})
	pseudonym := func(kr *otp.Keyring) string { return store.service(t, kr).SubjectPseudonym("anna") }
	before := pseudonym(single)
	require.NotEmpty(t, before)

	require.NoError(t, single.Rotate(otp.Key{ID: "b", Secret: keyNo(2)}))
	require.Equal(t, before, pseudonym(single))
	require.ErrorContains(t, single.Retire("a"), "index", "a keyring made without it would find nothing")
	require.Equal(t, before, pseudonym(single))

	for _, others := range [][]otp.Key{
		{{ID: "a", Secret: keyNo(1)}, {ID: otp.IndexKeyID, Secret: keyNo(1)}},
		{{ID: otp.IndexKeyID, Secret: keyNo(1)}, {ID: "a", Secret: keyNo(1)}},
		{{ID: otp.IndexKeyID, Secret: keyNo(1)}},
	} {
		require.Equal(t, before, pseudonym(newTestKeyring(t, otp.Key{ID: "b", Secret: keyNo(2)}, others...)))
	}
	require.NotEqual(t, before, pseudonym(newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(2)})), "another index key")
	require.NotEqual(t, before, store.service(t, single).Tenant("shop").SubjectPseudonym("anna"), "another tenant")
	require.Empty(t, store.service(t, single).SubjectPseudonym(""))
}

// A caller may clear a secret after use.
func TestKeyringKeepsNoSecret(t *testing.T) {
	t.Parallel()
	primary, next := keyNo(1), keyNo(2)
	kr := newTestKeyring(t, otp.Key{ID: "a", Secret: primary})
	clear(primary)
	require.NoError(t, kr.Rotate(otp.Key{ID: "b", Secret: next}))
	clear(next)

	store := newTap()
	fresh := newTestKeyring(t, otp.Key{ID: "b", Secret: keyNo(2)}, otp.Key{ID: otp.IndexKeyID, Secret: keyNo(1)})
	ch, err := store.service(t, kr).Request(t.Context(), pushTo("anna"))
	require.NoError(t, err)
	_, err = store.service(t, fresh).Verify(t.Context(), otp.Answer{ID: ch.ID, Code: store.code("anna"), Usage: "login"})
	require.NoError(t, err)
}

func TestZeroKeyring(t *testing.T) {
	t.Parallel()
	store := newTap()
	_, err := otp.New(otp.Config{Store: store, Keyring: new(otp.Keyring), Senders: map[otp.Channel]otp.Sender{"push": store}})
	require.ErrorContains(t, err, "Keyring")
	require.NotPanics(t, func() {
		require.Error(t, new(otp.Keyring).Rotate(otp.Key{ID: "a", Secret: keyNo(1)}))
		require.Error(t, new(otp.Keyring).Retire("a"))
	})
}

func TestParseKeyring(t *testing.T) {
	t.Parallel()
	url, raw := base64.URLEncoding.EncodeToString(keyNo(1)), base64.RawStdEncoding.EncodeToString(keyNo(1))
	tests := []struct {
		name, text string
		wantID     string // of the primary key
	}{
		{"bare", std64(1), "1"},
		{"bare, unpadded", raw, "1"},
		{"bare, URL alphabet", url, "1"},
		{"bare, as a file ends", std64(1) + "\n", "1"},
		{"named", "2026-03:" + std64(1), "2026-03"},
		{"commas", "b:" + std64(1) + ",a:" + std64(2) + ",index:" + std64(3), "b"},
		{"lines", "b:" + std64(1) + "\r\na:" + std64(2) + "\r\nindex:" + std64(3) + "\r\n", "b"},
		{"blanks", " \t b:" + url + " , \t a:" + raw[:0] + std64(2) + " index:" + std64(3) + ",,", "b"},
		{"index in the middle", "b:" + std64(1) + " index:" + std64(3) + " a:" + std64(2), "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			kr, err := otp.ParseKeyring(tt.text)
			require.NoError(t, err)

			store := newTap()
			ch, err := store.service(t, kr).Request(t.Context(), pushTo("anna"))
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(ch.ID, tt.wantID+"."), ch.ID)

			same := newTestKeyring(t, otp.Key{ID: tt.wantID, Secret: keyNo(1)})
			_, err = store.service(t, same).Verify(t.Context(), otp.Answer{ID: ch.ID, Code: store.code("anna"), Usage: "login"})
			require.NoError(t, err, "not the key that was given")
		})
	}
}

// An error tells which entry is wrong, by its number.
func TestParseKeyringCounts(t *testing.T) {
	t.Parallel()
	good := "a:" + std64(1)
	for n := range 3 {
		entries := []string{good, "b:" + std64(2), "index:" + std64(3)}
		entries[n] = "c:!"
		_, err := otp.ParseKeyring(strings.Join(entries, ","))
		require.ErrorContains(t, err, fmt.Sprintf("entry %d is not base64", n+1))
		entries[n] = std64(4)
		_, err = otp.ParseKeyring(strings.Join(entries, ","))
		require.ErrorContains(t, err, fmt.Sprintf("entry %d has no id", n+1))
	}
}

func TestParseKeyringRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"blanks", " ,\n\t, "},
		{"no secret", "a:"},
		{"no id", ":" + std64(1)},
		{"id and secret swapped", std64(1) + ":a"},
		{"two colons", "a:b:" + std64(1)},
		{"not base64", "a:" + std64(1)[:20] + "!" + std64(1)[20:]},
		{"both alphabets", "a:" + std64(1)[:20] + "-+" + std64(1)[20:]},
		{"padding inside", "a:" + std64(1) + std64(2)},
		{"short", "a:" + std64(1)[:40]},
		{"second entry without an id", "a:" + std64(1) + "," + std64(2)},
		{"several bare", std64(1) + "," + std64(2)},
		{"several without an index key", "a:" + std64(1) + ",b:" + std64(2)},
		{"repeated id", "a:" + std64(1) + ",a:" + std64(2) + ",index:" + std64(3)},
		{"index key first", "index:" + std64(3) + ",a:" + std64(1)},
		{"index key alone", "index:" + std64(3)},
		{"semicolons", "a:" + std64(1) + ";index:" + std64(2)},
		{"quoted", `"` + std64(1) + `"`},
		{"byte order mark", "\ufeff" + std64(1)},
		{"NUL", std64(1) + "\x00"},
		{"no-break space", "a:" + std64(1) + "\u00a0index:" + std64(2)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := otp.ParseKeyring(tt.text)
			require.Error(t, err)
			for n := 1; n <= 3; n++ {
				requireNoKeyIn(t, err, keyNo(n))
			}
		})
	}
}

// requireNoKeyIn looks for any eight characters of secret, however it is written.
func requireNoKeyIn(t *testing.T, err error, secret []byte) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %q", err, err, err)
	for _, form := range []string{
		string(secret), hex.EncodeToString(secret), numbers(secret),
		base64.StdEncoding.EncodeToString(secret), base64.URLEncoding.EncodeToString(secret),
	} {
		for i := 0; i+8 <= len(form); i++ {
			require.NotContains(t, text, form[i:i+8])
		}
	}
}

// numbers is how fmt prints bytes.
func numbers(b []byte) string { return strings.Trim(fmt.Sprintf("%d", b), "[]") }

func TestKeyringFromEnv(t *testing.T) {
	t.Setenv("OTP_TEST_KEY", "a:"+std64(1))
	kr, err := otp.KeyringFromEnv("OTP_TEST_KEY")
	require.NoError(t, err)
	require.NotNil(t, kr)

	t.Setenv("OTP_TEST_KEY", "a:"+std64(1)+","+std64(2))
	_, err = otp.KeyringFromEnv("OTP_TEST_KEY")
	require.ErrorContains(t, err, "OTP_TEST_KEY")
	require.ErrorContains(t, err, "entry 2")
	requireNoKeyIn(t, err, keyNo(1))
	requireNoKeyIn(t, err, keyNo(2))

	_, err = otp.KeyringFromEnv("OTP_TEST_KEY_THAT_IS_NOT_SET")
	require.ErrorContains(t, err, "OTP_TEST_KEY_THAT_IS_NOT_SET")
}

func TestKeyringFromFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "otp.key")
	require.NoError(t, os.WriteFile(path, []byte("b:"+std64(2)+"\na:"+std64(1)+"\nindex:"+std64(1)+"\n"), 0o600))
	kr, err := otp.KeyringFromFile(path)
	require.NoError(t, err)
	require.NotNil(t, kr)

	require.NoError(t, os.WriteFile(path, []byte("b:"+std64(2)+"\na:"+std64(1)), 0o600))
	_, err = otp.KeyringFromFile(path)
	require.ErrorContains(t, err, path)
	requireNoKeyIn(t, err, keyNo(1))
	requireNoKeyIn(t, err, keyNo(2))

	_, err = otp.KeyringFromFile(path + ".missing")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// S-19: new challenges take the newest key, old ones keep theirs, and an unknown key
// denies.
func TestRotateAndRetire(t *testing.T) {
	t.Parallel()
	store := newTap()
	kr := newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)}, otp.Key{ID: otp.IndexKeyID, Secret: keyNo(1)})
	svc := store.service(t, kr)
	verify := func(to, id string) error {
		_, err := svc.Verify(t.Context(), otp.Answer{ID: id, Code: store.code(to), Usage: "login"})
		return err
	}
	request := func(to, wantKey string) string {
		ch, err := svc.Request(t.Context(), pushTo(to))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(ch.ID, wantKey+"."))
		return ch.ID
	}
	first, second := request("anna", "a"), request("bert", "a")
	proof, err := svc.Verify(t.Context(), otp.Answer{ID: request("carl", "a"), Code: store.code("carl"), Usage: "login"})
	require.NoError(t, err)
	token, err := svc.Token(proof, time.Minute)
	require.NoError(t, err)

	require.Error(t, kr.Retire("a"), "the primary key")
	require.Error(t, kr.Retire("b"), "no such key")
	require.ErrorContains(t, kr.Retire(otp.IndexKeyID), "the index key cannot be retired")
	require.Error(t, kr.Rotate(otp.Key{ID: otp.IndexKeyID, Secret: keyNo(2)}), "the index key")
	require.Error(t, kr.Rotate(otp.Key{ID: "a", Secret: keyNo(2)}), "a repeated id")
	require.NoError(t, kr.Rotate(otp.Key{ID: "b", Secret: keyNo(2)}))
	require.Error(t, kr.Rotate(otp.Key{ID: "a", Secret: keyNo(3)}), "an id that is still in use")

	third := request("dora", "b")
	require.NoError(t, verify("anna", first))

	require.NoError(t, kr.Retire("a"))
	require.ErrorIs(t, verify("bert", second), otp.ErrNotFound)
	_, err = svc.Redeem(t.Context(), token.Reveal(), "login")
	require.ErrorIs(t, err, otp.ErrNotFound)
	_, err = svc.Resend(t.Context(), otp.Resend{ID: second})
	require.ErrorIs(t, err, otp.ErrNotFound)
	_, err = svc.Status(t.Context(), second)
	require.ErrorIs(t, err, otp.ErrNotFound)
	require.ErrorIs(t, svc.Cancel(t.Context(), second), otp.ErrNotFound)
	require.Error(t, kr.Retire("a"), "already gone")

	require.NoError(t, kr.Rotate(otp.Key{ID: "a", Secret: keyNo(3)}), "the name is free again")
	require.ErrorIs(t, verify("bert", second), otp.ErrNotFound, "but it is another key")
	require.NoError(t, verify("dora", third))
}

// S-19: two processes with one store rotate, each at a time of its own, and neither refuses
// what the other made: first both get the new key, then it becomes primary.
func TestRotationOfTwoProcesses(t *testing.T) {
	t.Parallel()
	store := newTap()
	next := otp.Key{ID: "b", Secret: keyNo(2)}
	var rings []*otp.Keyring
	var processes []*otp.Service
	for range 2 {
		kr := newTestKeyring(t, otp.Key{ID: "a", Secret: keyNo(1)}, otp.Key{ID: otp.IndexKeyID, Secret: keyNo(1)})
		rings, processes = append(rings, kr), append(processes, store.service(t, kr))
	}
	n := 0
	crossed := func() {
		t.Helper()
		for i, maker := range processes {
			n++
			to := fmt.Sprint("user-", n)
			ch, err := maker.Request(t.Context(), pushTo(to))
			require.NoError(t, err)
			_, err = processes[1-i].Verify(t.Context(), otp.Answer{ID: ch.ID, Code: store.code(to), Usage: "login"})
			require.NoError(t, err)
		}
	}
	crossed()
	for _, step := range []func(*otp.Keyring) error{
		func(kr *otp.Keyring) error { return kr.Add(next) },
		func(kr *otp.Keyring) error { return kr.Rotate(next) },
		func(kr *otp.Keyring) error { return kr.Retire("a") },
	} {
		for _, kr := range rings {
			require.NoError(t, step(kr))
			crossed()
		}
	}
	require.NoError(t, rings[0].Add(next), "it is there already")
	require.NoError(t, rings[0].Rotate(next), "and primary")
	crossed()
	for _, add := range []func(otp.Key) error{rings[0].Add, rings[0].Rotate} {
		require.ErrorContains(t, add(otp.Key{ID: "b", Secret: keyNo(3)}), "another secret")
	}
	require.Error(t, rings[0].Add(otp.Key{ID: otp.IndexKeyID, Secret: keyNo(2)}))
	require.Error(t, rings[0].Add(otp.Key{ID: "c", Secret: keyNo(2)[:31]}))
	require.Error(t, new(otp.Keyring).Add(next))
}

// Where nothing but FIPS 140 is allowed a keyring says so, and does not end the program.
func TestFIPSOnly(t *testing.T) {
	t.Parallel()
	if os.Getenv("OTP_TEST_FIPS") != "" {
		_, err := otp.NewKeyring(otp.Key{ID: "a", Secret: keyNo(1)})
		require.ErrorContains(t, err, "FIPS 140-only")
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFIPSOnly$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only", "OTP_TEST_FIPS=1", "OTP_TEST_SECRETS="+filepath.Join(t.TempDir(), "secrets"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// S-19: rotation under load rejects no live code.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	const rotations, workers = 50, 8
	store := newTap()
	kr := newTestKeyring(t, otp.Key{ID: "k0", Secret: keyNo(100)})
	svc := store.service(t, kr)
	oldest, err := svc.Request(t.Context(), pushTo("oldest"))
	require.NoError(t, err)

	var done atomic.Bool
	var verified atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var open []string // so that keys change between request and answer
			for i := 0; !done.Load() || len(open) > 0; i++ {
				if !done.Load() {
					to := fmt.Sprintf("w%d-%d", w, i)
					ch, err := svc.Request(t.Context(), pushTo(to))
					if err != nil {
						t.Error(err)
						return
					}
					open = append(open, to+" "+ch.ID)
				}
				if len(open) < 3 && !done.Load() {
					continue
				}
				to, id, _ := strings.Cut(open[0], " ")
				open = open[1:]
				proof, err := svc.Verify(t.Context(), otp.Answer{ID: id, Code: store.code(to), Usage: "login"})
				if err != nil {
					t.Error("a live code was refused:", err)
					return
				}
				assert.Equal(t, to, proof.Recipient())
				verified.Add(1)
			}
		})
	}
	for n := 1; n <= rotations; n++ {
		for seen := verified.Load(); verified.Load() < seen+2 && !t.Failed(); {
			runtime.Gosched()
		}
		if err := kr.Rotate(otp.Key{ID: fmt.Sprint("k", n), Secret: keyNo(100 + n)}); err != nil {
			t.Error(err) // and end the workers below
		}
	}
	done.Store(true)
	wg.Wait()
	require.GreaterOrEqual(t, verified.Load(), int64(2*rotations))
	_, err = svc.Verify(t.Context(), otp.Answer{ID: oldest.ID, Code: store.code("oldest"), Usage: "login"})
	require.NoError(t, err, "it was issued before all of the rotations")
}

// S-19: a key that goes while its challenges are answered denies; nothing panics.
func TestRetireUnderLoad(t *testing.T) {
	t.Parallel()
	const keys = 20
	store := newTap()
	kr := newTestKeyring(t, otp.Key{ID: "k0", Secret: keyNo(100)}, otp.Key{ID: otp.IndexKeyID, Secret: keyNo(100)})
	svc := store.service(t, kr)
	var ids [keys][]string
	for n := range keys {
		for i := range 4 {
			ch, err := svc.Request(t.Context(), pushTo(fmt.Sprintf("u%d-%d", n, i)))
			require.NoError(t, err)
			ids[n] = append(ids[n], ch.ID)
		}
		require.NoError(t, kr.Rotate(otp.Key{ID: fmt.Sprint("k", n+1), Secret: keyNo(101 + n)}))
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range keys {
				a := otp.Answer{ID: ids[n][i], Code: store.code(fmt.Sprintf("u%d-%d", n, i)), Usage: "login"}
				if _, err := svc.Verify(context.Background(), a); err != nil && !errors.Is(err, otp.ErrNotFound) {
					t.Error(err)
				}
			}
		})
	}
	for n := range keys {
		runtime.Gosched()
		if err := kr.Retire(fmt.Sprint("k", n)); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	for n := range keys {
		_, err := svc.Verify(t.Context(), otp.Answer{ID: ids[n][0], Code: store.code(fmt.Sprintf("u%d-0", n)), Usage: "login"})
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
}

// Whatever is in the environment, parsing it does not panic and does not repeat it.
func FuzzParseKeyring(f *testing.F) {
	for _, s := range []string{
		"", std64(1), "a:" + std64(1), "b:" + std64(1) + ",a:" + std64(2) + "\nindex:" + std64(3), "a:" + std64(1) + ",a:" + std64(1),
		":", "a:b:c", "a:====", "index:" + std64(1), std64(1) + " " + std64(2),
	} {
		f.Add(s)
	}
	isSpace := func(r rune) bool { return slices.Contains([]rune(", \n\r\t"), r) }
	f.Fuzz(func(t *testing.T, text string) {
		kr, err := otp.ParseKeyring(text)
		if (kr == nil) == (err == nil) {
			t.Fatalf("%v together with %v", kr, err)
		}
		if err == nil {
			again, err := otp.ParseKeyring(strings.Join(strings.FieldsFunc(text, isSpace), "\n"))
			if again == nil || err != nil {
				t.Fatal("another separator, another answer:", err)
			}
			return
		}
		for _, entry := range strings.FieldsFunc(text, isSpace) {
			_, secret, found := strings.Cut(entry, ":")
			if !found {
				secret = entry
			}
			if len(secret) > 16 && strings.Contains(err.Error(), secret) {
				t.Fatalf("%v holds an entry", err)
			}
		}
	})
}
