package totp

import (
	"errors"
	"fmt"
	"time"

	"otp.example/otp/hotp"
)

// ErrMismatch is the answer to a code that is not the one of any step in the
// window, whether it is wrong, of the wrong length, or no number at all. Every
// other error of this package is a mistake of the program: options, a secret or a
// time out of bounds. It is the same value as [hotp.ErrMismatch].
var ErrMismatch = hotp.ErrMismatch

// An Algorithm is the hash function under the HMAC.
type Algorithm = hotp.Algorithm

// The algorithms of RFC 6238 §1.2. See [hotp.SHA1] for why it is the zero value.
const (
	SHA1   = hotp.SHA1
	SHA256 = hotp.SHA256
	SHA512 = hotp.SHA512
)

// Bounds of Options.
const (
	defaultPeriod = 30 * time.Second
	minPeriod     = 15 * time.Second
	maxPeriod     = 120 * time.Second // NIST SP 800-63B-4, 3.1.4.1
	defaultWindow = 2
	maxWindow     = 3

	// resyncBack is how many steps Resync looks back. It looks as far ahead, since
	// hotp.Resync covers a hundred.
	resyncBack = 50
)

// Options are the parameters that app and server agree on, and the server's window.
// The zero value is what every authenticator app understands.
type Options struct {
	// Digits is the length of a code: 6, 7 or 8. Zero means 6.
	Digits int

	// Algorithm is the hash function. Zero means SHA1.
	Algorithm Algorithm

	// Period is the length of a time step, in whole seconds from 15 s to 120 s.
	// Zero means 30 s.
	Period time.Duration

	// Window is how many steps Match examines, the current one being the last. A
	// code lives for Window periods, and a guess may hit any of the steps. 1 is the
	// current step alone, 2 the previous one as well, as RFC 6238 §5.2 recommends,
	// and 3 the most. Zero means 2.
	Window int
}

func (o Options) withDefaults() (Options, error) {
	if o.Period == 0 {
		o.Period = defaultPeriod
	}
	if o.Window == 0 {
		o.Window = defaultWindow
	}
	switch {
	case o.Period < minPeriod || o.Period > maxPeriod || o.Period%time.Second != 0:
		return o, fmt.Errorf("otp: Period is %v, must be whole seconds from %v to %v", o.Period, minPeriod, maxPeriod)
	case o.Window < 1 || o.Window > maxWindow:
		return o, fmt.Errorf("otp: Window is %d, must be 1 to %d", o.Window, maxWindow)
	}
	return o, nil // hotp checks the rest
}

// step returns the number of the time step that now is in.
func (o Options) step(now time.Time) (uint64, error) {
	seconds := now.Unix()
	if seconds < 0 {
		// Also what a forgotten, zero time.Time is.
		return 0, errors.New("otp: time is before 1970")
	}
	return uint64(seconds) / uint64(o.Period/time.Second), nil
}

// Step returns the number of the time step that now is in: T of RFC 6238 §4.2, with
// T0 being 1970. It serves to compare a matched step with the current one. Of o only
// Period and Window are looked at.
func Step(now time.Time, o Options) (uint64, error) {
	o, err := o.withDefaults()
	if err != nil {
		return 0, err
	}
	return o.step(now)
}

// Code returns the code of the time step that now is in (RFC 6238 §4.2). It is what
// an app shows: use it to be an app, and in tests. To check what a person typed use
// [Match].
func Code(secret []byte, now time.Time, o Options) (string, error) {
	t, err := Step(now, o)
	if err != nil {
		return "", err
	}
	return hotp.Code(secret, t, o.hotp())
}

// Match compares code with those of the o.Window steps that end with the one now is
// in, and returns the step that it belongs to. The caller must burn that step, as
// the package comment says, before anybody is let in.
//
// The error is [ErrMismatch] if no step of the window has this code. A code is
// exactly o.Digits bytes from '0' to '9'; anything else, be it a space, a sign or
// another script's digits, is a mismatch too and costs no HMAC. If people may type
// separators, remove them before.
//
// If several steps of the window have the same code, the latest is returned.
// Burning an earlier one would leave the code valid, and whoever saw it could use
// it again. A code that could still be burnt is never hidden by one that could not:
// if the latest match is burnt already, so are all. Steps before 1970 are not in
// the window.
//
// The time taken depends on the parameters and on whether code is well formed, but
// not on the secret or on which step matched: the whole window is computed every
// time.
func Match(secret []byte, code string, now time.Time, o Options) (step uint64, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return 0, err
	}
	t, err := o.step(now)
	if err != nil {
		return 0, err
	}
	first := t - min(t, uint64(o.Window-1))
	h := o.hotp()
	h.Window = int(t-first) + 1
	return hotp.Match(secret, code, first, h)
}

// Resync finds how far a token's clock is off, from two codes that it showed one
// right after the other (RFC 6238 §6). It looks for the pair in the fifty steps
// before and after now, whatever o.Window is, and returns the step of the second
// code. That step less the one of [Step] is the token's drift, in periods. The
// caller must burn the step, as after [Match], and so both codes with it. Of several
// such pairs the last counts.
//
// A blind guess hits with a probability of 100 in 10^(2·o.Digits), but somebody who
// has seen two codes in a row hits for certain, even much later. Count the attempt
// against the same limit as those of Match, and ask for another factor first.
//
// The error is [ErrMismatch] if there is no such pair.
func Resync(secret []byte, first, second string, now time.Time, o Options) (step uint64, err error) {
	t, err := Step(now, o)
	if err != nil {
		return 0, err
	}
	return hotp.Resync(secret, first, second, t-min(t, resyncBack), o.hotp())
}

// hotp returns what both packages share.
func (o Options) hotp() hotp.Options {
	return hotp.Options{Digits: o.Digits, Algorithm: o.Algorithm}
}
