package otp

import (
	"bytes"
	"crypto/cipher"
	"crypto/fips140"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// IndexKeyID is the ID of the key that turns subjects and recipients into the
// pseudonyms that stores and events see.
const IndexKeyID = "index"

// bareKeyID names a key that was given without an ID.
const bareKeyID = "1"

var errZeroKeyring = errors.New("otp: Keyring was not made by NewKeyring")

// minKeySize is the size of the HMAC's output; less would be its weakest part.
const minKeySize = 32

// A Key is one secret of a [Keyring].
type Key struct {
	hidden
	ID     string // 1 to 16 letters, digits, '-' or '_'; part of every handle
	Secret []byte // at least 32 random bytes
}

// A Keyring holds the secrets and derives one key per purpose from each. It is
// safe for concurrent use.
//
// The key named [IndexKeyID] makes the pseudonyms of subjects and recipients, under which
// stores keep limits, guess ledgers and the credentials of authenticators. Changing it
// forgets them all, without an error, so it is not rotated with the rest. A keyring of a
// single key derives it from that key; before a second key is added, that first secret has
// to be named as the index key, too.
//
// Processes that share a store rotate in three steps, each finished everywhere before the
// next: [Keyring.Add] the new key, so that all can read what it seals; [Keyring.Rotate] to
// it; and, after [Service.Reseal] and when the last challenge and the last token have expired,
// [Keyring.Retire] the old one.
type Keyring struct {
	state atomic.Pointer[keys]
	write sync.Mutex
}

// keys is one immutable state of a Keyring.
type keys struct {
	primary *keySet
	byID    map[string]*keySet
	index   *indexSet
	unnamed string // ID of the key that index was derived from, if it was not named
}

// A keySet holds what is derived from one key that rotates.
type keySet struct {
	id         string
	code       *mac
	handle     cipher.AEAD
	payload    cipher.AEAD
	token      cipher.AEAD
	credential cipher.AEAD
}

// An indexSet holds what is derived from the index key.
type indexSet struct {
	pseudonym   *mac
	idempotency *mac
	reference   *mac
}

// The labels separate the purposes of a key. They are part of the stored format:
// a changed label is a changed key.
const (
	labelCode        = "otp/v1/code"
	labelHandle      = "otp/v1/handle"
	labelPayload     = "otp/v1/payload"
	labelToken       = "otp/v1/token"
	labelCredential  = "otp/v1/credential"
	labelPseudonym   = "otp/v1/pseudonym"
	labelIdempotency = "otp/v1/idempotency"
	labelReference   = "otp/v1/reference"
)

// NewKeyring makes a keyring. New challenges use primary; challenges of the others
// still verify. One of the others may be the index key. It is an error if a key is
// shorter than 32 bytes, is plainly not random or stands in documentation, if an ID
// is malformed or repeated, if there are several keys and none is the index key, or if
// the process runs in FIPS 140-only mode, which does not have XChaCha20-Poly1305.
func NewKeyring(primary Key, others ...Key) (*Keyring, error) {
	if fips140.Enforced() {
		return nil, errors.New("otp: Keyring: XChaCha20-Poly1305 is not allowed in FIPS 140-only mode")
	}
	if primary.ID == IndexKeyID {
		return nil, errors.New("otp: Keyring: the index key cannot be the primary key")
	}
	s := &keys{byID: map[string]*keySet{}}
	for i, k := range append([]Key{primary}, others...) {
		if err := k.check(); err != nil {
			return nil, err
		}
		if k.ID == IndexKeyID {
			if s.index != nil {
				return nil, fmt.Errorf("otp: Keyring: key %q is repeated", k.ID)
			}
			s.index = newIndexSet(k.Secret)
			continue
		}
		if s.byID[k.ID] != nil {
			return nil, fmt.Errorf("otp: Keyring: key %q is repeated", k.ID)
		}
		s.byID[k.ID] = newKeySet(k)
		if i == 0 {
			s.primary = s.byID[k.ID]
		}
	}
	if s.index == nil {
		if len(s.byID) > 1 {
			return nil, errors.New("otp: Keyring: several keys need one named index, with the secret of the first key ever used")
		}
		s.index, s.unnamed = newIndexSet(primary.Secret), primary.ID
	}
	kr := &Keyring{}
	kr.state.Store(s)
	return kr, nil
}

// ParseKeyring reads "id:base64" entries, the primary key first, separated by commas or
// white space, or one bare base64 key, whose ID is "1". It is for text that comes from a
// vault or a KMS.
// Errors name the entry by its position, never by its content.
func ParseKeyring(text string) (*Keyring, error) {
	entries := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
	if len(entries) == 0 {
		return nil, errors.New("otp: Keyring: no key is given")
	}
	list := make([]Key, len(entries))
	for i, e := range entries {
		id, b64, found := strings.Cut(e, ":")
		if !found {
			if len(entries) > 1 {
				return nil, fmt.Errorf("otp: Keyring: entry %d has no id", i+1)
			}
			id, b64 = bareKeyID, e
		}
		secret, err := decodeBase64(b64)
		if err != nil {
			return nil, fmt.Errorf("otp: Keyring: entry %d is not base64", i+1)
		}
		list[i] = Key{ID: id, Secret: secret}
	}
	return NewKeyring(list[0], list[1:]...)
}

// KeyringFromEnv reads a keyring from an environment variable, in the format of
// [ParseKeyring].
func KeyringFromEnv(name string) (*Keyring, error) {
	kr, err := ParseKeyring(os.Getenv(name))
	if err != nil && isName(name, 40) { // not the key itself, given by mistake
		err = fmt.Errorf("%w (environment variable %s)", err, name)
	}
	return kr, err
}

// KeyringFromFile reads a keyring from a file, in the format of [ParseKeyring].
func KeyringFromFile(path string) (*Keyring, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("otp: Keyring: %w", err)
	}
	kr, err := ParseKeyring(string(b))
	if err != nil {
		return nil, fmt.Errorf("%w (file %s)", err, path)
	}
	return kr, nil
}

// Add adds a key that opens what it sealed elsewhere. It seals nothing here until
// [Keyring.Rotate] makes it primary. A keyring of one key, which is the index key without
// being named so, takes another, but its first cannot be retired.
func (kr *Keyring) Add(k Key) error { return kr.add(k, false) }

// Rotate makes k primary, which may have been added before. Live challenges keep working.
// For a keyring of one key see [Keyring.Add].
func (kr *Keyring) Rotate(k Key) error { return kr.add(k, true) }

func (kr *Keyring) add(k Key, primary bool) error {
	if err := k.check(); err != nil {
		return err
	}
	if k.ID == IndexKeyID {
		return errors.New("otp: Keyring: the index key is not rotated")
	}
	kr.write.Lock()
	defer kr.write.Unlock()
	old := kr.state.Load()
	if old == nil {
		return errZeroKeyring
	}
	added := newKeySet(k)
	if there := old.byID[k.ID]; there != nil {
		if there.code.sumFields() != added.code.sumFields() {
			return fmt.Errorf("otp: Keyring: key %q is there with another secret", k.ID)
		}
		added = there
	}
	s := old.clone()
	s.byID[k.ID] = added
	if primary {
		s.primary = added
	}
	kr.state.Store(s)
	return nil
}

// Retire drops a key that is not primary. Its challenges become [ErrNotFound], and
// credentials that are still sealed with it cannot be read any more: [Service.Reseal] first.
// A key that is the index key, too, without being named so, cannot be retired: a keyring
// that is made without it would not find what was stored.
func (kr *Keyring) Retire(id string) error {
	kr.write.Lock()
	defer kr.write.Unlock()
	old := kr.state.Load()
	if old == nil {
		return errZeroKeyring
	}
	if id == IndexKeyID {
		return errors.New("otp: Keyring: the index key cannot be retired")
	}
	if old.byID[id] == nil {
		return fmt.Errorf("otp: Keyring: there is no key %q", id)
	}
	if old.primary.id == id {
		return fmt.Errorf("otp: Keyring: key %q is primary", id)
	}
	if old.unnamed == id {
		return fmt.Errorf("otp: Keyring: key %q is the index key, too: start with its secret named %q before it is retired", id, IndexKeyID)
	}
	s := old.clone()
	delete(s.byID, id)
	kr.state.Store(s)
	return nil
}

func (k *keys) clone() *keys {
	c := *k
	c.byID = maps.Clone(k.byID)
	return &c
}

func (k Key) check() error {
	if !isName(k.ID, 16) {
		return errors.New("otp: Key.ID must be 1 to 16 letters, digits, '-' or '_'")
	}
	if len(k.Secret) < minKeySize {
		return fmt.Errorf("otp: Key.Secret of %q is shorter than %d bytes", k.ID, minKeySize)
	}
	if len(k.Secret) > 1024 {
		return fmt.Errorf("otp: Key.Secret of %q is longer than 1024 bytes", k.ID)
	}
	if weakKey(k.Secret) {
		return fmt.Errorf("otp: Key.Secret of %q is not random or stands in documentation", k.ID)
	}
	return nil
}

// weakKey finds keys that somebody typed or copied: a pattern that repeats, bytes that
// count in equal steps, few different bytes, and prose. No random key, nor the hex or
// base64 text of one, is found once in ten million draws.
func weakKey(b []byte) bool {
	for period := 1; period <= len(b)/2; period++ {
		if bytes.Equal(b[period:], b[:len(b)-period]) {
			return true
		}
	}
	var seen, steps [256]int
	distinct, small, printable := 0, 0, 0
	for i, c := range b {
		if seen[c]++; seen[c] == 1 {
			distinct++
		}
		if i > 0 {
			steps[c-b[i-1]]++
		}
		if c >= 'a' && c <= 'z' {
			small++
		}
		if c >= ' ' && c <= '~' {
			printable++
		}
	}
	if distinct < 10 || slices.Max(steps[:]) > len(b)/2 || small == len(b) {
		return true
	}
	if printable < len(b) {
		return false
	}
	text := bytes.ToLower(b)
	for _, w := range []string{" ", "secret", "example", "password", "passw0rd", "change", "1234567890", "0123456789", "abcdefgh"} {
		if bytes.Contains(text, []byte(w)) {
			return true
		}
	}
	return false
}

func newKeySet(k Key) *keySet {
	return &keySet{
		id:         k.ID,
		code:       newMAC(k.Secret, labelCode),
		handle:     newAEAD(k.Secret, labelHandle),
		payload:    newAEAD(k.Secret, labelPayload),
		token:      newAEAD(k.Secret, labelToken),
		credential: newAEAD(k.Secret, labelCredential),
	}
}

func newIndexSet(secret []byte) *indexSet {
	return &indexSet{
		pseudonym:   newMAC(secret, labelPseudonym),
		idempotency: newMAC(secret, labelIdempotency),
		reference:   newMAC(secret, labelReference),
	}
}

func derive(secret []byte, label string) []byte {
	k, err := hkdf.Key(sha256.New, secret, nil, label, minKeySize)
	if err != nil {
		panic(err) // unreachable: only for sizes beyond 255 hashes
	}
	return k
}

// newAEAD returns XChaCha20-Poly1305: its 192-bit nonces may be drawn at random for
// far more than 2^40 messages of one key.
func newAEAD(secret []byte, label string) cipher.AEAD {
	a, err := chacha20poly1305.NewX(derive(secret, label))
	if err != nil {
		panic(err) // unreachable: the key has the right size
	}
	return a
}

// A mac is HMAC-SHA256 under one key. Its states are kept, because preparing the key
// costs more than hashing a short message.
type mac struct{ pool sync.Pool }

// A macInput is one message on its way through a mac. It brings its own memory, so that
// hashing allocates nothing.
type macInput struct {
	m    *mac
	hash hash.Hash
	msg  []byte
	out  [sha256.Size]byte
}

func newMAC(secret []byte, label string) *mac {
	key := derive(secret, label)
	m := &mac{}
	m.pool.New = func() any { return &macInput{m: m, hash: hmac.New(sha256.New, key), msg: make([]byte, 0, 256)} }
	return m
}

// input returns an empty message, to be appended to and then summed once.
func (m *mac) input() *macInput {
	in := m.pool.Get().(*macInput)
	in.msg = in.msg[:0]
	return in
}

func (in *macInput) sum() [sha256.Size]byte {
	in.hash.Reset()
	in.hash.Write(in.msg)
	in.hash.Sum(in.out[:0])
	out := in.out
	in.m.pool.Put(in)
	return out
}

// sumFields returns the MAC of a list of fields.
func (m *mac) sumFields(fields ...string) [sha256.Size]byte {
	in := m.input()
	for _, f := range fields {
		in.msg = appendField(in.msg, f)
	}
	return in.sum()
}

// appendField appends b with its length before it, so that no two lists of fields
// have the same encoding.
func appendField[T string | []byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// random returns n bytes of crypto/rand, which ends the program rather than return
// anything else.
func random(n int) []byte { return appendRandom(nil, n) }

func appendRandom(dst []byte, n int) []byte {
	dst = slices.Grow(dst, n)[:len(dst)+n]
	_, _ = rand.Read(dst[len(dst)-n:])
	return dst
}

// decodeBase64 takes the standard and the URL alphabet, padded or not.
func decodeBase64(s string) ([]byte, error) {
	s = strings.TrimRight(s, "=")
	if strings.ContainsAny(s, "-_") {
		return base64.RawURLEncoding.DecodeString(s)
	}
	return base64.RawStdEncoding.DecodeString(s)
}

// isName reports whether s is 1 to max ASCII letters, digits, '-' or '_'.
func isName(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
