// Package hotp computes and matches counter-based one-time passwords: HOTP,
// RFC 4226, as shown by hardware tokens with a button.
//
// The package is pure. It keeps no state, reads no clock and draws no randomness,
// so on its own it cannot make a code valid only once: the caller does, with the
// counter that [Match] returns.
//
// # Checking a code
//
// For each token the caller stores its secret and the first counter that was not
// used yet, which is zero for a new token. To check a code:
//
//  1. Count the attempt against a limit that is kept across logins, before
//     anything is compared (RFC 4226 §7.3). A guess hits with a probability of
//     Window in 10^Digits, and nothing in this package slows anybody down.
//  2. Call [Match] with the stored counter.
//  3. Burn what it returned: set the stored counter to matched+1 in one atomic
//     step that refuses unless the stored counter is still at most matched (§7.2).
//     In SQL: UPDATE … SET counter = matched+1 WHERE id = … AND counter <= matched.
//  4. Only if that step changed the counter is the person let in. If it did not,
//     somebody else has used the code in the meantime.
//
// No function of this package answers a plain yes, so that step 3 is not forgotten.
//
// # Counters that run apart
//
// A token counts every press of its button, the server only those it saw.
// Therefore Match looks ahead over a small window (§7.4). [Resync] finds a token
// that is further ahead, from two codes in a row.
//
// # Secrets
//
// A secret is bytes from crypto/rand: 20 for [SHA1], 32 for [SHA256], 64 for
// [SHA512], never fewer than 16 (§4, R6), a different one for each token, and
// encrypted at rest (§7.5). Base32 is a matter of key URIs and not known here.
package hotp
