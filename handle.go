package otp

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// A handle is what a caller gets as Challenge.ID:
//
//	key id "." base64url( nonce[16] salt[8] XChaCha20-Poly1305(body) )
//
// The AEAD takes nonce and salt as its nonce and the tenant as associated data.
// XChaCha20 derives the key of each message from the named key and the first 16
// bytes of its nonce, which are the challenge's; the salt makes it safe to seal
// another body for the same challenge. Nothing in a handle can be read or linked,
// and one that is forged, another tenant's or expired is refused without a store
// call. The nonce is the salt of the digests, and handles are the only place it is
// kept: without the handle, not even all keys and the whole store reveal a code.
type handle struct {
	keys      *keySet
	nonce     [nonceSize]byte
	subject   pseudonym
	recipient pseudonym
	expires   time.Time
	format    Format
	routes    int
}

const (
	nonceSize    = 16
	saltSize     = 8
	tagSize      = 16
	bodySize     = 2*pseudonymSize + 8 + 3
	maxHandleLen = 16 + 1 + (nonceSize+saltSize+bodySize+tagSize+2)/3*4
)

// referencePrefix marks an ID made by Service.Reference. Key ids have no ':'.
const referencePrefix = "ref:"

var b64 = base64.RawURLEncoding.Strict()

// decodeText reads what b64 wrote. One value has one spelling, so the line breaks that
// base64 skips are refused.
func decodeText(s string) ([]byte, bool) {
	if strings.IndexByte(s, '\r') >= 0 || strings.IndexByte(s, '\n') >= 0 {
		return nil, false
	}
	b, err := b64.DecodeString(s)
	return b, err == nil
}

func (h *handle) seal(tenant string) string {
	b := make([]byte, 0, nonceSize+saltSize+bodySize+tagSize)
	b = append(b, h.nonce[:]...)
	b = appendRandom(b, saltSize)
	b = append(b, h.subject[:]...)
	b = append(b, h.recipient[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.expires.UnixMicro()))
	b = append(b, byte(h.format.Length), h.format.alphabetCode(), byte(h.routes))
	nonce, body := b[:nonceSize+saltSize], b[nonceSize+saltSize:]
	h.keys.handle.Seal(body[:0], nonce, body, []byte(tenant))
	b = b[:cap(b)]

	var text [maxHandleLen]byte
	out := append(text[:0], h.keys.id...)
	out = append(out, '.')
	return string(b64.AppendEncode(out, b))
}

// open returns false for whatever was not sealed by seal for this tenant.
func (s *keys) open(id, tenant string) (h handle, ok bool) {
	if len(id) > maxHandleLen {
		return h, false
	}
	name, text, found := strings.Cut(id, ".")
	h.keys = s.byID[name]
	if !found || h.keys == nil {
		return h, false
	}
	const size = nonceSize + saltSize + bodySize + tagSize
	if len(text) != b64.EncodedLen(size) {
		return h, false
	}
	buf, ok := decodeText(text)
	if !ok {
		return h, false
	}
	sealed := buf[nonceSize+saltSize:]
	b, err := h.keys.handle.Open(sealed[:0], buf[:nonceSize+saltSize], sealed, []byte(tenant))
	if err != nil {
		return h, false
	}
	copy(h.nonce[:], buf)
	copy(h.subject[:], b)
	copy(h.recipient[:], b[pseudonymSize:])
	b = b[2*pseudonymSize:]
	h.expires = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC()
	h.format = Format{Length: int(b[8]), Alphabet: alphabetOf(b[9])}
	h.routes = int(b[10])
	return h, true
}

// recordID is where the store keeps the challenge of a nonce or reference. It is a
// hash, so that a reader of the store has no handle, and no way to one.
func recordID(tenant string, nonce []byte) string {
	var buf [256]byte
	b := appendField(buf[:0], "otp/v1/record")
	b = appendField(b, tenant)
	b = appendField(b, nonce)
	sum := sha256.Sum256(b)
	var text [sha256.Size/3*4 + 4]byte
	return string(b64.AppendEncode(text[:0], sum[:]))
}

func (f Format) alphabetCode() byte {
	if f.Alphabet == Crockford {
		return 1
	}
	return 0
}

func alphabetOf(code byte) Alphabet {
	if code == 1 {
		return Crockford
	}
	return Digits
}

// A pseudonym stands for a subject, recipient, client or prefix in meter keys and
// events. It is keyed, so that nobody without the index key can look for a known
// number in a store or log.
type pseudonym [pseudonymSize]byte

const pseudonymSize = 16

func (p pseudonym) String() string {
	if p == (pseudonym{}) {
		return ""
	}
	return b64.EncodeToString(p[:])
}

// pseudonym of the empty value is the zero pseudonym: nothing is metered for it.
func (s *keys) pseudonym(kind, tenant, value string) (p pseudonym) {
	if value == "" {
		return p
	}
	sum := s.index.pseudonym.sumFields(kind, tenant, value)
	copy(p[:], sum[:])
	return p
}

// digest is the keyed hash of one code, as the store keeps it. The nonce binds it to
// its challenge, and so to everything that is sealed with it.
func (h *handle) digest(dst []byte, tenant string, u Usage, binding string, route int, code string) []byte {
	in := h.keys.code.input()
	in.msg = appendField(in.msg, h.nonce[:])
	in.msg = appendField(in.msg, tenant)
	in.msg = appendField(in.msg, string(u))
	in.msg = appendField(in.msg, binding)
	in.msg = append(in.msg, byte(route))
	in.msg = appendField(in.msg, code)
	sum := in.sum()
	return append(dst, sum[:]...)
}
