package otp

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func payloadKeys(t testing.TB) *Keyring {
	t.Helper()
	secret := sha256.Sum256([]byte("payload_test"))
	kr, err := NewKeyring(Key{ID: "1234567890123456", Secret: secret[:]}, Key{ID: IndexKeyID, Secret: secret[:]}) // the longest id
	require.NoError(t, err)
	return kr
}

// fullPayload has every field at its longest, so that a store's column is large enough.
func fullPayload() payload {
	text := func(n int) string { return strings.Repeat("x", n) }
	created := time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)
	p := payload{
		created: created, expires: created.Add(maxAddressTTL), maxAttempts: maxAttempts, maxSends: maxSends, liveCodes: maxLiveCodes,
		format: Format{Length: maxCodeLength, Alphabet: Crockford}, flags: flagDecoy | flagConceal | flagHalf | flagFree,
		nonce: bytes.Repeat([]byte{0xff}, nonceSize), level: maxFormats - 1, tenantLease: created.Add(time.Hour),
		usage: Usage(text(32)), subject: text(maxSubject), binding: text(maxBinding), locale: text(maxLocale), extra: []byte(text(maxExtra)),
	}
	for i := range 1 + maxFallback {
		p.routes = append(p.routes, Route{Channel: Channel(fmt.Sprint(text(31), i)), To: text(maxRecipient)})
	}
	return p
}

func plainPayload() payload {
	created := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return payload{
		created: created, expires: created.Add(5 * time.Minute), maxAttempts: 5, maxSends: 3, liveCodes: 2, format: Format{Length: 6, Alphabet: Digits},
		usage: "login", subject: "anna", routes: []Route{{Channel: SMS, To: "+4930123456"}},
	}
}

// sealedRecord is the record as request makes it.
func sealedRecord(k *keys, id string, p payload) Record {
	return Record{
		ID: id, Sealed: k.primary.seal(id, &p), Digests: make([]byte, DigestSize), State: StatePending, Sends: 1,
		MaxAttempts: p.maxAttempts, MaxSends: p.maxSends, CreatedAt: p.created, SentAt: p.created, ExpiresAt: p.expires,
	}
}

func TestPayloadRoundTrip(t *testing.T) {
	t.Parallel()
	k := payloadKeys(t).state.Load()
	unbound := plainPayload()
	unbound.subject, unbound.locale = "", ""
	binary := plainPayload()
	binary.extra, binary.binding = []byte{0, 1, 0xff, 0xfe}, "10 € → Bob"
	for name, p := range map[string]payload{"plain": plainPayload(), "full": fullPayload(), "empty fields": unbound, "binary": binary} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rec := sealedRecord(k, "record", p)
			require.LessOrEqual(t, len(rec.Sealed), 4096, "the contract of Record.Sealed")
			got, set, err := k.unseal(&rec)
			require.NoError(t, err)
			require.Same(t, k.primary, set)
			if p.nonce == nil {
				p.nonce = []byte{}
			}
			if p.extra == nil {
				p.extra = []byte{}
			}
			require.Equal(t, p, got)
		})
	}
}

// S-17: what the store may not change is sealed beside it, and a change is found.
func TestTamperedRecordFields(t *testing.T) {
	t.Parallel()
	k := payloadKeys(t).state.Load()
	tests := []struct {
		name string
		edit func(*Record)
	}{
		{"another record", func(r *Record) { r.ID = "recore" }},
		{"no id", func(r *Record) { r.ID = "" }},
		{"older", func(r *Record) { r.CreatedAt = r.CreatedAt.Add(-time.Microsecond) }},
		{"younger", func(r *Record) { r.CreatedAt = r.CreatedAt.Add(time.Microsecond) }},
		{"no creation time", func(r *Record) { r.CreatedAt = time.Time{} }},
		{"expires later", func(r *Record) { r.ExpiresAt = r.ExpiresAt.Add(time.Microsecond) }},
		{"expires sooner", func(r *Record) { r.ExpiresAt = r.ExpiresAt.Add(-time.Microsecond) }},
		{"never expires", func(r *Record) { r.ExpiresAt = time.Time{} }},
		{"one more attempt", func(r *Record) { r.MaxAttempts++ }},
		{"attempts of another size", func(r *Record) { r.MaxAttempts += 256 }},
		{"one attempt less", func(r *Record) { r.MaxAttempts-- }},
		{"one more send", func(r *Record) { r.MaxSends++ }},
		{"sends of another size", func(r *Record) { r.MaxSends += 256 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := sealedRecord(k, "record", plainPayload())
			tt.edit(&rec)
			p, set, err := k.unseal(&rec)
			require.ErrorIs(t, err, errTampered)
			require.NotErrorIs(t, err, ErrRejected, "a fault, not an answer")
			require.Nil(t, set)
			_ = p
		})
	}
	// The same instant is the same time, however a store's driver shows it.
	rec := sealedRecord(k, "record", plainPayload())
	rec.CreatedAt, rec.ExpiresAt = rec.CreatedAt.In(time.FixedZone("x", 3600)), rec.ExpiresAt.In(time.FixedZone("y", -7200))
	_, _, err := k.unseal(&rec)
	require.NoError(t, err)
	// What a store counts is not sealed: that it may set back is documented.
	rec = sealedRecord(k, "record", plainPayload())
	rec.Attempts, rec.Sends, rec.State, rec.SentAt, rec.Digests = 4, 3, StateVerified, rec.SentAt.Add(time.Minute), nil
	_, _, err = k.unseal(&rec)
	require.NoError(t, err)
}

// S-17: a payload that was changed, cut or moved denies.
func TestTamperedPayload(t *testing.T) {
	t.Parallel()
	k := payloadKeys(t).state.Load()
	rec := sealedRecord(k, "record", plainPayload())
	refuse := func(sealed []byte, why string) {
		t.Helper()
		forged := rec
		forged.Sealed = sealed
		_, set, err := k.unseal(&forged)
		require.Error(t, err, why)
		require.Nil(t, set)
	}
	for bit := range len(rec.Sealed) * 8 {
		forged := slices.Clone(rec.Sealed)
		forged[bit/8] ^= 1 << (bit % 8)
		refuse(forged, fmt.Sprint("bit ", bit))
	}
	for n := range rec.Sealed {
		refuse(rec.Sealed[:n], fmt.Sprint(n, " bytes"))
		refuse(rec.Sealed[n+1:], fmt.Sprint("without bytes: ", n+1))
	}
	refuse(append(slices.Clone(rec.Sealed), 0), "one more byte")
	refuse(append(slices.Clone(rec.Sealed), rec.Sealed...), "twice")
	refuse(nil, "nothing")
	refuse(make([]byte, 4096), "zeros")
	refuse(random(len(rec.Sealed)), "random bytes")

	other := sealedRecord(k, "other", plainPayload())
	refuse(other.Sealed, "the payload of another record")
}

// What opens is a payload, in full, of a version that this code knows.
func TestMalformedPlaintext(t *testing.T) {
	t.Parallel()
	k := payloadKeys(t).state.Load()
	set := k.primary
	rec := sealedRecord(k, "record", plainPayload())
	head := 1 + len(set.id)
	n := set.payload.NonceSize()
	plain, err := set.payload.Open(nil, rec.Sealed[head:head+n], rec.Sealed[head+n:], []byte(rec.ID))
	require.NoError(t, err)
	unseal := func(b []byte) error {
		nonce := random(n)
		forged := rec
		forged.Sealed = set.payload.Seal(append(appendField(nil, set.id), nonce...), nonce, b, []byte(rec.ID))
		_, _, err := k.unseal(&forged)
		return err
	}
	require.NoError(t, unseal(plain))
	for n := range plain {
		require.ErrorIs(t, unseal(plain[:n]), errTampered, "%d bytes", n)
	}
	require.ErrorIs(t, unseal(append(slices.Clone(plain), 0)), errTampered, "one more byte")
	newer := slices.Clone(plain)
	newer[0]++
	require.ErrorIs(t, unseal(newer), errTampered, "another version")
	p := plainPayload()
	p.routes = nil
	bare := sealedRecord(k, "record", p)
	_, _, err = k.unseal(&bare)
	require.ErrorIs(t, err, errTampered, "no route")
}

// I2: the nonce is the salt of the digests. It is kept with the record where a caller's
// reference has to find it, and nowhere else.
func TestNonceIsSealedForReferencesOnly(t *testing.T) {
	t.Parallel()
	k := payloadKeys(t).state.Load()
	rec := sealedRecord(k, "record", plainPayload())
	p, _, err := k.unseal(&rec)
	require.NoError(t, err)
	require.Empty(t, p.nonce)

	cfg := Config{
		Store: noStore{}, Limiter: noStore{}, Keyring: payloadKeys(t), Guard: DefaultGuard(), Now: time.Now,
		Senders: map[Channel]Sender{SMS: SenderFunc(nil)},
	}
	svc, err := New(cfg)
	require.NoError(t, err)
	for name, r := range map[string]Request{
		"handle":          {},
		"idempotency key": {IdempotencyKey: "click"},
		"reference":       {Reference: "order 1"},
	} {
		r.Channel, r.Usage, r.To = SMS, "login", "+4930123456"
		d, err := svc.draft(t.Context(), r, true)
		require.NoError(t, err)
		require.Equal(t, name == "reference", len(d.p.nonce) > 0, name)
		if name == "reference" {
			require.Equal(t, d.h.nonce[:], d.p.nonce)
		}
	}
}

// S-19: the payload of a retired key is gone, not broken.
func TestPayloadOfRetiredKey(t *testing.T) {
	t.Parallel()
	kr := payloadKeys(t)
	rec := sealedRecord(kr.state.Load(), "record", plainPayload())
	old := kr.state.Load().primary.id
	next := sha256.Sum256([]byte("payload_test, next"))
	require.NoError(t, kr.Rotate(Key{ID: "next", Secret: next[:]}))
	p, set, err := kr.state.Load().unseal(&rec)
	require.NoError(t, err)
	require.Equal(t, "anna", p.subject)
	require.Equal(t, old, set.id, "digests are checked with the key of the payload")

	require.NoError(t, kr.Retire(old))
	_, _, err = kr.state.Load().unseal(&rec)
	require.ErrorIs(t, err, ErrNotFound)
}

// Whatever a store returns, opening it does not panic, and only what was sealed for the
// record opens.
func FuzzUnseal(f *testing.F) {
	k := payloadKeys(f).state.Load()
	rec := sealedRecord(k, "record", plainPayload())
	f.Add(rec.Sealed, "record")
	f.Add(rec.Sealed[:40], "record")
	f.Add([]byte{}, "")
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, "record")
	f.Fuzz(func(t *testing.T, sealed []byte, id string) {
		forged := rec
		forged.Sealed, forged.ID = sealed, id
		p, _, err := k.unseal(&forged)
		if err == nil && (id != "record" || p.subject != "anna" || len(p.routes) != 1) {
			t.Fatalf("%x opens for %q as %q", sealed, id, p.subject)
		}
	})
}

// Whatever is inside, reading it does not panic and does not allocate what it claims.
func FuzzFields(f *testing.F) {
	f.Add([]byte{1, 'a', 2, 'b', 'c'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0})
	f.Add([]byte{0x80})
	f.Add(appendTime(nil, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := fields{b: b}
		read := 0
		for !in.bad && len(in.b) > 0 {
			before := len(in.b)
			v := in.field()
			if in.bad && (v != nil || in.b != nil) {
				t.Fatal("something is left after a fault")
			}
			if !in.bad && len(in.b) >= before {
				t.Fatal("nothing was read")
			}
			read += len(v)
		}
		if read > len(b) {
			t.Fatal("more was read than there is")
		}
		in = fields{b: b}
		if at := in.time(); len(b) >= 8 && !in.bad && !at.IsZero() && !bytes.Equal(appendTime(nil, at), b[:8]) {
			t.Fatalf("%x is %v", b[:8], at)
		}
		_ = in.byte()
	})
}

// noStore fails every call: nothing may reach it.
type noStore struct{}
