package hotp

// MAC returns the HMAC of counter that a code is made of.
func MAC(secret []byte, counter uint64, a Algorithm) []byte {
	k := newKey(secret, Options{Digits: defaultDigits, Algorithm: a})
	return k.mac(counter)
}

var (
	Truncate = truncate
	Newest   = newest
)
