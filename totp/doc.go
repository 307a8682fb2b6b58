// Package totp computes and matches time-based one-time passwords: TOTP,
// RFC 6238, as shown by authenticator apps. A TOTP code is an HOTP code (package
// hotp) whose counter is the number of the current time step, counted from 1970.
//
// The package is pure. It keeps no state, reads no clock and draws no randomness,
// so on its own it cannot make a code valid only once: the caller does, with the
// step that [Match] returns.
//
// # Checking a code
//
// For each credential the caller stores its secret and the highest step that was
// used. To check a code:
//
//  1. Count the attempt against a limit that is kept across logins, before
//     anything is compared. A guess hits with a probability of Window in
//     10^Digits, and nothing in this package slows anybody down.
//  2. Call [Match] with the server's time, never with one from the request.
//  3. Burn what it returned: store the step in one atomic operation that refuses
//     unless it is strictly greater than the stored one. RFC 6238 §5.2: the
//     verifier "MUST NOT accept the second attempt of the OTP". In SQL:
//     UPDATE … SET step = matched WHERE id = … AND step < matched.
//  4. Only if that operation changed the step is the person let in. If it did not,
//     the code was used before, which is worth an entry in the audit log.
//
// No function of this package answers a plain yes, so that step 3 is not forgotten.
// The code that confirms an enrollment is burnt in the same way. It is the step that
// must be remembered, not the code: two steps may have the same code, and a code
// can arrive in more than one spelling.
//
// # Clocks that run apart
//
// The default window is the current step and the one before, which covers a code
// typed or transmitted late (§5.2). The future is never in the window. A token
// whose clock is known to be off is checked with its own time, which is the
// server's plus the drift that was learned (§6):
//
//	step, err := totp.Match(secret, code, now.Add(drift), o)
//
// That moves the window and does not widen it. Drift is learned from the steps that
// Match returns, or by [Resync] from two codes in a row. Remember it per credential
// and let one success change it by no more than one step.
//
// # Secrets
//
// A secret is bytes from crypto/rand, as long as the hash: 20 for [SHA1], 32 for
// [SHA256], 64 for [SHA512] (§5.1), never fewer than 16, a different one for each
// credential (§3, R5), and encrypted at rest.
package totp
