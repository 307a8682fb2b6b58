package hotp

import (
	"crypto/fips140"
	"crypto/subtle"
	"errors"
	"fmt"
	"math"
)

// ErrMismatch is the answer to a code that is not the one of any counter in the
// window, whether it is wrong, of the wrong length, or no number at all. Every
// other error of this package is a mistake of the program: options or a secret
// out of bounds.
var ErrMismatch = errors.New("otp: code does not match")

// Bounds of Options and secrets.
const (
	minSecret     = 16 // bytes; RFC 4226 §4, R6
	defaultDigits = 6
	maxDigits     = 8
	defaultWindow = 3
	maxWindow     = 10

	// resyncWindow is how far Resync looks ahead. It also bounds the work that one
	// request can cause.
	resyncWindow = 100
)

// An Algorithm is the hash function under the HMAC. RFC 4226 knows SHA-1 only,
// RFC 6238 §1.2 adds the others.
type Algorithm uint8

// SHA1 is the zero value because it is what the other side has: many
// authenticator apps ignore the algorithm that a key URI asks for. The collisions
// of SHA-1 do not weaken HMAC. In a program that runs with GODEBUG=fips140=only
// it is an error.
const (
	SHA1 Algorithm = iota
	SHA256
	SHA512
)

// String returns the name that key URIs use.
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "SHA1"
	case SHA256:
		return "SHA256"
	case SHA512:
		return "SHA512"
	}
	return fmt.Sprintf("Algorithm(%d)", uint8(a))
}

// Options are the parameters that token and server agree on, and the server's
// window. The zero value is a good choice.
type Options struct {
	// Digits is the length of a code: 6, 7 or 8 (RFC 4226 §5.3).
	// Zero means 6.
	Digits int

	// Algorithm is the hash function. Zero means SHA1.
	Algorithm Algorithm

	// Window is how many counters Match examines, the given one being the first.
	// It is the s of RFC 4226 §7.4 and, since a guess may hit any of them, a factor
	// of the guesser's chance (§6). 1 is the given counter alone, 10 the most.
	// Zero means 3.
	Window int
}

// withDefaults returns o with its defaults filled in, or an error that names what
// is out of bounds. It comes before any look at the code, so that a mistake in the
// set-up shows at the first call and not at the first well-formed code.
func (o Options) withDefaults(secret []byte) (Options, error) {
	if o.Digits == 0 {
		o.Digits = defaultDigits
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	switch {
	case o.Digits < defaultDigits || o.Digits > maxDigits:
		return o, fmt.Errorf("otp: Digits is %d, must be %d to %d", o.Digits, defaultDigits, maxDigits)
	case o.Algorithm > SHA512:
		return o, fmt.Errorf("otp: Algorithm is unknown: %v", o.Algorithm)
	case o.Algorithm == SHA1 && fips140.Enforced():
		// The standard library would panic.
		return o, errors.New("otp: Algorithm is SHA1, which this program's FIPS 140-only mode forbids")
	case o.Window < 1 || o.Window > maxWindow:
		return o, fmt.Errorf("otp: Window is %d, must be 1 to %d", o.Window, maxWindow)
	case len(secret) < minSecret:
		return o, fmt.Errorf("otp: secret has %d bytes, must have at least %d", len(secret), minSecret)
	}
	return o, nil
}

// Code returns the code of counter (RFC 4226 §5.3). It is what a token shows: use
// it to be a token, and in tests. To check what a person typed use [Match].
func Code(secret []byte, counter uint64, o Options) (string, error) {
	o, err := o.withDefaults(secret)
	if err != nil {
		return "", err
	}
	k := newKey(secret, o)
	v := k.value(counter)
	var b [maxDigits]byte
	for i := o.Digits - 1; i >= 0; i-- {
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return string(b[:o.Digits]), nil
}

// Match compares code with those of the counters from counter to
// counter+o.Window-1 and returns the one that it belongs to. The caller must burn
// that counter, as the package comment says, before anybody is let in; counter is
// the first one that is not burnt yet.
//
// The error is [ErrMismatch] if no counter of the window has this code. A code is
// exactly o.Digits bytes from '0' to '9'; anything else, be it a space, a sign or
// another script's digits, is a mismatch too and costs no HMAC. If people may type
// separators, remove them before.
//
// If several counters of the window have the same code, the highest is returned.
// Burning a lower one would leave the others in the window, and whoever saw the
// code could use it again. So of the accepted string nothing is left, at the price
// that a token behind the burnt counter has to be advanced past it. And a code
// that could still be burnt is never hidden by one that could not: if the highest
// match is burnt already, so are all.
//
// The time taken depends on the parameters and on whether code is well formed, but
// not on the secret or on which counter matched: the whole window is computed
// every time.
func Match(secret []byte, code string, counter uint64, o Options) (matched uint64, err error) {
	o, err = o.withDefaults(secret)
	if err != nil {
		return 0, err
	}
	if counter > math.MaxUint64-uint64(o.Window-1) {
		return 0, fmt.Errorf("otp: counter %d is too large for a window of %d", counter, o.Window)
	}
	want, ok := parse(code, o.Digits)
	if !ok {
		return 0, ErrMismatch
	}
	k := newKey(secret, o)
	i, found := newest(o.Window, func(i int) int {
		return subtle.ConstantTimeEq(k.value(counter+uint64(i)), want)
	})
	if found == 0 {
		return 0, ErrMismatch
	}
	return counter + uint64(i), nil
}

// Resync finds a token that has run ahead of the window, from two codes that it
// showed one right after the other (RFC 4226 §7.4). It looks for the pair among
// counter and the hundred counters after it, whatever o.Window is, and returns the
// counter of the second code. The caller must burn that one, as after [Match], and
// so both codes with it. Of several such pairs the last counts.
//
// A blind guess hits with a probability of 100 in 10^(2·o.Digits), but somebody who
// has seen two codes in a row hits for certain. Count the attempt against the same
// limit as those of Match, and ask for another factor first.
//
// The error is [ErrMismatch] if there is no such pair.
func Resync(secret []byte, first, second string, counter uint64, o Options) (matched uint64, err error) {
	o, err = o.withDefaults(secret)
	if err != nil {
		return 0, err
	}
	if counter > math.MaxUint64-resyncWindow {
		return 0, fmt.Errorf("otp: counter %d is too large for a resynchronization", counter)
	}
	want1, ok1 := parse(first, o.Digits)
	want2, ok2 := parse(second, o.Digits)
	if !ok1 || !ok2 {
		return 0, ErrMismatch
	}
	k := newKey(secret, o)
	before := 0 // 1 if the counter before this one has the first code
	i, found := newest(resyncWindow+1, func(i int) int {
		v := k.value(counter + uint64(i))
		hit := before & subtle.ConstantTimeEq(v, want2)
		before = subtle.ConstantTimeEq(v, want1)
		return hit
	})
	if found == 0 {
		return 0, ErrMismatch
	}
	return counter + uint64(i), nil
}

// newest calls try for each i from 0 to n-1 and returns the last i for which it
// gave 1, and whether there was one. It neither stops early nor branches on what
// try says, so that the time taken does not tell which i it was (S-20).
func newest(n int, try func(i int) int) (last, found int) {
	for i := range n {
		hit := try(i)
		last = subtle.ConstantTimeSelect(hit, i, last)
		found |= hit
	}
	return last, found
}

// parse returns the number that code spells if it is exactly digits ASCII digits.
// Comparing numbers of a fixed length is comparing the strings, and it is strict:
// no second spelling of a code can get past whoever remembers used ones (S-56).
func parse(code string, digits int) (int32, bool) {
	if len(code) != digits {
		return 0, false
	}
	var n int32
	for i := range len(code) {
		c := code[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int32(c-'0')
	}
	return n, true
}
