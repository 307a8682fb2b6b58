package hotp

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
)

// A key is a secret made ready for HMAC (RFC 2104 §2): its two padded copies, each
// with room behind it for what is hashed together with it.
//
// This is not crypto/hmac because that keeps the pads and two hash states on the
// heap. A key lives on the stack, for one call: nothing derived from the secret is
// left to the garbage collector, and a window of two takes three quarters of the time
// and no allocation instead of nine. The price is that only the hashes are those
// of Go's FIPS 140-3 module, not the HMAC. TestMAC holds the two side by side.
type key struct {
	algorithm Algorithm
	digits    int
	block     int
	inner     [sha512.BlockSize + 8]byte           // secret ⊕ ipad, counter
	outer     [sha512.BlockSize + sha512.Size]byte // secret ⊕ opad, inner hash
	sum       [sha512.Size]byte
}

func newKey(secret []byte, o Options) key {
	k := key{algorithm: o.Algorithm, digits: o.Digits, block: sha1.BlockSize}
	if o.Algorithm == SHA512 {
		k.block = sha512.BlockSize
	}
	if len(secret) > k.block {
		secret = k.sum[:k.hash(k.sum[:], secret)]
	}
	copy(k.inner[:], secret)
	copy(k.outer[:], secret)
	for i := range k.block {
		k.inner[i] ^= 0x36
		k.outer[i] ^= 0x5c
	}
	return k
}

// value returns the HOTP value of counter (RFC 4226 §5.3) as a number.
func (k *key) value(counter uint64) int32 {
	v := truncate(k.mac(counter))
	// With a constant to divide by, the compiler multiplies. A division by a
	// variable takes longer for larger numbers on some processors.
	switch k.digits {
	case 6:
		v %= 1e6
	case 7:
		v %= 1e7
	default:
		v %= 1e8
	}
	return v
}

// mac returns the HMAC of counter. The next call overwrites it.
func (k *key) mac(counter uint64) []byte {
	binary.BigEndian.PutUint64(k.inner[k.block:], counter)
	n := k.hash(k.outer[k.block:], k.inner[:k.block+8])
	return k.sum[:k.hash(k.sum[:], k.outer[:k.block+n])]
}

// hash writes the hash of data to dst and returns its length.
func (k *key) hash(dst, data []byte) int {
	switch k.algorithm {
	case SHA256:
		h := sha256.Sum256(data)
		return copy(dst, h[:])
	case SHA512:
		h := sha512.Sum512(data)
		return copy(dst, h[:])
	default:
		h := sha1.Sum(data)
		return copy(dst, h[:])
	}
}

// truncate is the dynamic truncation of RFC 4226 §5.3: the four bytes at the
// offset that the last half byte names, without the sign bit.
func truncate(mac []byte) int32 {
	offset := mac[len(mac)-1] & 0x0f
	return int32(binary.BigEndian.Uint32(mac[offset:]) & 0x7fffffff)
}
