package otp

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"
)

var handleSecret = func() []byte {
	sum := sha256.Sum256([]byte("handle_test"))
	return sum[:]
}()

func handleKeys(t testing.TB) *keys {
	t.Helper()
	kr, err := NewKeyring(Key{ID: "k1", Secret: handleSecret})
	require.NoError(t, err)
	return kr.state.Load()
}

const handleTenant = "shop"

// someHandle has a different value in every field.
func someHandle(k *keys) handle {
	h := handle{
		keys: k.primary, expires: time.Date(2026, 3, 1, 12, 5, 0, 123_456_000, time.UTC),
		format: Format{Length: 10, Alphabet: Crockford}, routes: 3,
	}
	copy(h.nonce[:], "sixteen bytes, !")
	h.subject, h.recipient = k.pseudonym(scopeSubject, handleTenant, "anna"), k.pseudonym(scopeRecipient, handleTenant, "+4930123456")
	return h
}

// decodeHandle returns what follows the key id.
func decodeHandle(t testing.TB, id string) []byte {
	t.Helper()
	text, found := strings.CutPrefix(id, "k1.")
	require.True(t, found)
	raw, err := base64.RawURLEncoding.DecodeString(text)
	require.NoError(t, err)
	return raw
}

func encodeHandle(raw []byte) string { return "k1." + base64.RawURLEncoding.EncodeToString(raw) }

// The layout is frozen: handles that are out there have to open after an update. The
// offsets are written here as numbers, so that no constant of the package can change
// them unseen.
func TestHandleLayout(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1) // not parallel: the salt comes from crypto/rand
	h := someHandle(handleKeys(t))
	id := h.seal(handleTenant)

	raw := decodeHandle(t, id)
	key, err := hkdf.Key(sha256.New, handleSecret, nil, "otp/v1/handle", 32)
	require.NoError(t, err)
	aead, err := chacha20poly1305.NewX(key)
	require.NoError(t, err)
	body, err := aead.Open(nil, raw[:24], raw[24:], []byte(handleTenant))
	require.NoError(t, err)
	require.Len(t, body, 43)

	require.Equal(t, h.nonce[:], raw[:16])
	require.Equal(t, h.subject[:], body[:16])
	require.Equal(t, h.recipient[:], body[16:32])
	require.Equal(t, uint64(h.expires.UnixMicro()), binary.BigEndian.Uint64(body[32:40]))
	require.Equal(t, []byte{10, 1, 3}, body[40:])

	var b strings.Builder
	fmt.Fprintf(&b, "secret %x, tenant %q\n%s\n\n", handleSecret, handleTenant, id)
	fmt.Fprintln(&b, "key id, '.', base64url of:")
	row := func(from, to int, what string) {
		fmt.Fprintf(&b, "%3d %3d  %-22s %x\n", from, to, what, raw[from:to])
	}
	row(0, 16, "nonce")
	row(16, 24, "salt")
	row(24, 67, "sealed body")
	row(67, 83, "tag")
	fmt.Fprintln(&b, "\nbody:")
	raw = body
	row(0, 16, "subject's pseudonym")
	row(16, 32, "recipient's pseudonym")
	row(32, 40, "expiry, microseconds")
	row(40, 41, "length of a code")
	row(41, 42, "alphabet")
	row(42, 43, "number of routes")

	path := filepath.Join("testdata", "handle.golden")
	if *Update {
		require.NoError(t, os.WriteFile(path, []byte(b.String()), 0o600))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
}

func TestHandleRoundTrip(t *testing.T) {
	t.Parallel()
	k := handleKeys(t)
	empty := handle{keys: k.primary, expires: time.UnixMicro(0).UTC(), format: Format{Alphabet: Digits}}
	most := someHandle(k)
	most.format, most.routes = Format{Length: 32, Alphabet: Digits}, 5
	for _, want := range []handle{someHandle(k), empty, most} {
		for _, tenant := range []string{"", handleTenant, strings.Repeat("t", maxTenant)} {
			got, ok := k.open(want.seal(tenant), tenant)
			require.True(t, ok)
			require.Equal(t, want, got)
		}
	}
}

// S-36 S-75: a handle that was not sealed as it is, for this tenant, does not open.
func TestForgedHandles(t *testing.T) {
	t.Parallel()
	k := handleKeys(t)
	h := someHandle(k)
	id := h.seal(handleTenant)
	raw := decodeHandle(t, id)
	refuse := func(id, why string) {
		t.Helper()
		got, ok := k.open(id, handleTenant)
		require.False(t, ok, why)
		require.Zero(t, got.nonce, "nothing is learned from it")
		require.Zero(t, got.subject)
	}
	for bit := range len(raw) * 8 {
		forged := slices.Clone(raw)
		forged[bit/8] ^= 1 << (bit % 8)
		refuse(encodeHandle(forged), fmt.Sprint("bit ", bit))
	}
	for n := range len(id) {
		refuse(id[:n], fmt.Sprint("first characters: ", n))
		refuse(id[n+1:], fmt.Sprint("without characters: ", n+1))
	}
	for n := range len(raw) {
		refuse(encodeHandle(raw[:n]), fmt.Sprint("bytes: ", n))
	}
	refuse(encodeHandle(append(slices.Clone(raw), 0)), "one more byte")
	refuse(encodeHandle(make([]byte, len(raw))), "zeros")
	refuse(encodeHandle(random(len(raw))), "random bytes")
	refuse("k2"+id[2:], "an unknown key")
	refuse("K1"+id[2:], "the key's name in another case")
	refuse(IndexKeyID+id[2:], "the index key")
	refuse(id[2:], "no key")
	refuse(id[3:], "no dot")
	refuse("k1:"+id[3:], "another separator")

	for _, tenant := range []string{"", "Shop", "shop ", "shop\x00", "sho", "other"} {
		_, ok := k.open(id, tenant)
		require.False(t, ok, "tenant %q", tenant)
	}
	other := sha256.Sum256(handleSecret)
	kr, err := NewKeyring(Key{ID: "k1", Secret: other[:]})
	require.NoError(t, err)
	_, ok := kr.state.Load().open(id, handleTenant)
	require.False(t, ok, "another key of the same name")
}

// A handle has one spelling: a block list, a log or a cache that knows the one knows
// the handle. (FM-01)
func TestHandleHasOneSpelling(t *testing.T) {
	t.Parallel()
	k := handleKeys(t)
	h := someHandle(k)
	var id string
	for id == "" || !strings.ContainsAny(id, "-_") { // so that the other alphabet spells it differently
		id = h.seal(handleTenant)
	}
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", id[len(id)-1])
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	tests := []struct{ name, id string }{
		{"unused bits set", id[:len(id)-1] + alphabet[last|1:last|1+1]},
		{"more unused bits set", id[:len(id)-1] + alphabet[last|3:last|3+1]},
		{"padded", id + "="},
		{"standard alphabet", strings.NewReplacer("-", "+", "_", "/").Replace(id)},
		{"line feed at the end", id + "\n"},
		{"line feed inside", id[:40] + "\n" + id[40:]},
		{"line feed after the dot", "k1.\n" + id[3:]},
		{"carriage return inside", id[:40] + "\r" + id[40:]},
		{"several line feeds", id[:40] + "\r\n\r\n" + id[40:]},
		{"line feeds in place of characters", id[:40] + "\n\n\n\n" + id[44:]},
		{"nothing but line feeds, as long as a handle", "k1." + strings.Repeat("\n", len(id)-3)},
		{"space before", " " + id},
		{"space after", id + " "},
		{"NUL after", id + "\x00"},
		{"two dots", "k1.." + id[3:]},
		{"percent-encoded", strings.Replace(id, ".", "%2E", 1)},
		{"quoted", `"` + id + `"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.NotEqual(t, id, tt.id)
			require.NotPanics(t, func() {
				_, ok := k.open(tt.id, handleTenant)
				require.False(t, ok)
			})
		})
	}
}

// S-87: nothing is decoded, hashed or allocated for what is too long.
func TestOversizedHandle(t *testing.T) { // not parallel: it counts allocations
	k := handleKeys(t)
	h := someHandle(k)
	id := h.seal(handleTenant)
	long := id + strings.Repeat("A", 10<<20)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, ok := k.open(long, handleTenant); ok {
			panic("opened")
		}
	}))
	for _, size := range []int{maxHandleLen, maxHandleLen + 1, 1 << 20} {
		_, ok := k.open(id+strings.Repeat("A", size-len(id)), handleTenant)
		require.False(t, ok, "%d bytes", size)
	}
	longest, err := NewKeyring(Key{ID: "1234567890123456", Secret: handleSecret})
	require.NoError(t, err)
	h.keys = longest.state.Load().primary
	_, ok := longest.state.Load().open(h.seal(handleTenant), handleTenant)
	require.True(t, ok, "the longest key id fits")
}

// Two handles of one challenge, as a repeated request returns them, cannot be told from
// handles of two, but for the nonce that names it.
func TestHandlesAreUnlinkable(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1) // not parallel: runs of a few bytes stand in both by chance
	k := handleKeys(t)
	h := someHandle(k)
	first, second := decodeHandle(t, h.seal(handleTenant)), decodeHandle(t, h.seal(handleTenant))
	require.Equal(t, first[:16], second[:16])
	requireNoCommonRun(t, first[16:], second[16:], 8)

	other := h // another challenge of the same account at the same time
	copy(other.nonce[:], random(nonceSize))
	requireNoCommonRun(t, first, decodeHandle(t, other.seal(handleTenant)), 4)
}

func requireNoCommonRun(t *testing.T, a, b []byte, n int) {
	t.Helper()
	for i := 0; i+n <= len(a); i++ {
		require.NotContains(t, string(b), string(a[i:i+n]))
	}
}

// Nothing in a handle can be read without the key.
func TestHandleHidesItsFields(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1) // not parallel: four letters stand in base64 by chance
	k := handleKeys(t)
	h := someHandle(k)
	id := h.seal(handleTenant)
	raw := string(decodeHandle(t, id))
	micros := binary.BigEndian.AppendUint64(nil, uint64(h.expires.UnixMicro()))
	for name, value := range map[string][]byte{
		"subject": h.subject[:], "recipient": h.recipient[:], "expiry": micros[1:], "expiry in seconds": binary.BigEndian.AppendUint32(nil, uint32(h.expires.Unix())),
	} {
		for i := 0; i+4 <= len(value); i++ {
			require.NotContains(t, raw, string(value[i:i+4]), name)
		}
	}
	for _, text := range []string{handleTenant, "anna", "4930"} {
		require.NotContains(t, id, text)
		require.NotContains(t, raw, text)
	}
}

// S-16: no two pairs of tenant and nonce share a record.
func TestRecordIDIsInjective(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, tenant := range []string{"", "a", "ab", "abc", "\x01", "\x00", "\x02ab"} {
		for _, nonce := range []string{"", "a", "b", "bc", "c", "abc", "\x01a", "redeemed x", strings.Repeat("n", 300)} {
			id := recordID(tenant, []byte(nonce))
			require.NotContains(t, seen, id, "%q %q and %s", tenant, nonce, seen[id])
			seen[id] = fmt.Sprintf("%q %q", tenant, nonce)
			require.LessOrEqual(t, len(id), 128, "the contract of Record.ID")
			require.Regexp(t, `^[A-Za-z0-9_-]+$`, id)
		}
	}
}

// S-15: the digest depends on everything that the code is about.
func TestDigestBindsEverything(t *testing.T) {
	t.Parallel()
	k := handleKeys(t)
	base := someHandle(k)
	digest := func(h handle, tenant string, u Usage, binding string, route int, code string) string {
		return string(h.digest(nil, tenant, u, binding, route, code))
	}
	nonce := base
	nonce.nonce[15] ^= 1
	otherKey := base
	otherKey.keys = newKeySet(Key{ID: "k1", Secret: bytes.Repeat(handleSecret, 2)})
	digests := map[string]string{
		"":        digest(base, "shop", "pay", "10 EUR", 0, "123456"),
		"nonce":   digest(nonce, "shop", "pay", "10 EUR", 0, "123456"),
		"key":     digest(otherKey, "shop", "pay", "10 EUR", 0, "123456"),
		"tenant":  digest(base, "shoq", "pay", "10 EUR", 0, "123456"),
		"usage":   digest(base, "shop", "paz", "10 EUR", 0, "123456"),
		"binding": digest(base, "shop", "pay", "11 EUR", 0, "123456"),
		"route":   digest(base, "shop", "pay", "10 EUR", 1, "123456"),
		"code":    digest(base, "shop", "pay", "10 EUR", 0, "123457"),
		// The same bytes, cut elsewhere.
		"tenant and usage":  digest(base, "sho", "ppay", "10 EUR", 0, "123456"),
		"usage and binding": digest(base, "shop", "pay1", "0 EUR", 0, "123456"),
		"no binding":        digest(base, "shop", "pay", "", 0, "123456"),
		"binding and code":  digest(base, "shop", "pay", "10 EUR\x00\x06123456", 0, ""),
	}
	seen := map[string]string{}
	for name, d := range digests {
		require.Len(t, d, DigestSize)
		require.NotContains(t, seen, d, "%s and %s", name, seen[d])
		seen[d] = name
	}
	require.Equal(t, digests[""], digest(base, "shop", "pay", "10 EUR", 0, "123456"))
	require.Equal(t, "x"+digests[""], string(base.digest([]byte("x"), "shop", "pay", "10 EUR", 0, "123456")), "it appends")
}

// A pseudonym belongs to one kind, tenant and value, and to the index key.
func TestPseudonyms(t *testing.T) {
	t.Parallel()
	k := handleKeys(t)
	seen := map[pseudonym]string{}
	for _, kind := range []string{scopeSubject, scopeRecipient, scopeClient, scopePrefix, scopeTenant, "share", "decoy"} {
		for _, tenant := range []string{"", "a", "ab"} {
			require.Zero(t, k.pseudonym(kind, tenant, ""), "nothing is metered for nobody")
			for _, value := range []string{"a", "b", "bc", "\x01a"} {
				p := k.pseudonym(kind, tenant, value)
				require.NotZero(t, p)
				require.NotContains(t, seen, p, "%s %s %s and %s", kind, tenant, value, seen[p])
				seen[p] = kind + tenant + value
				require.Equal(t, p, k.pseudonym(kind, tenant, value))
			}
		}
	}
	require.Empty(t, pseudonym{}.String())
}

// S-16: different lists of fields are different bytes, and read back as they were.
func FuzzAppendField(f *testing.F) {
	f.Add("a", "bc", "ab", "c", uint8(0))
	f.Add("", "\x00", "\x00", "", uint8(1))
	f.Add("\x01a", "", "", "\x01a", uint8(2))
	f.Add(strings.Repeat("x", 127), "y", strings.Repeat("x", 128), "y", uint8(3))
	encode := func(list ...string) (b []byte) {
		for _, s := range list {
			b = appendField(b, s)
		}
		return b
	}
	f.Fuzz(func(t *testing.T, a, b, c, d string, n uint8) {
		first, second := []string{a, b}, []string{c, d}
		switch n % 4 { // lists of different lengths, too
		case 1:
			second = []string{c}
		case 2:
			second = []string{c, d, a}
		case 3:
			second = nil
		}
		x, y := encode(first...), encode(second...)
		if bytes.Equal(x, y) != slices.Equal(first, second) {
			t.Fatalf("%q and %q are %x and %x", first, second, x, y)
		}
		in := fields{b: x}
		for _, want := range first {
			if got := string(in.field()); got != want {
				t.Fatalf("%q was read as %q", want, got)
			}
		}
		if in.bad || len(in.b) > 0 {
			t.Fatal("not read to its end")
		}
	})
}

// Whatever a client sends, opening it does not panic, and only what was sealed opens.
func FuzzHandle(f *testing.F) {
	k := handleKeys(f)
	golden, err := os.ReadFile(filepath.Join("testdata", "handle.golden"))
	if err != nil {
		f.Fatal(err)
	}
	sealed := strings.Split(string(golden), "\n")[1] // the same in every process of the fuzzer
	want := someHandle(k)
	f.Add(sealed, handleTenant)
	f.Add(sealed, "")
	f.Add(sealed+"\n", handleTenant)
	f.Add(sealed[:50]+"\r\n"+sealed[50:], handleTenant)
	f.Add("k1."+strings.Repeat("\n", len(sealed)-3), handleTenant)
	f.Add(sealed[:len(sealed)-1], handleTenant)
	f.Add("", "")
	f.Add(".", "")
	f.Add("k1.", handleTenant)
	f.Add("ref:AAAA", "")
	f.Fuzz(func(t *testing.T, id, tenant string) {
		got, ok := k.open(id, tenant)
		if ok != (id == sealed && tenant == handleTenant) {
			t.Fatalf("%q for %q: %t", id, tenant, ok)
		}
		if ok && got != want {
			t.Fatalf("opened as %v", got)
		}
	})
}
