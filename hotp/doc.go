// Package hotp verifies counter-based one-time passwords: HOTP, RFC 4226, as shown by
// hardware tokens with a button.
//
// # Verifier
//
// A [Verifier] keeps the secrets and counters of people's tokens and accepts each code
// once, the later ones only:
//
//	v, err := hotp.NewVerifier(svc, hotp.Config{Issuer: "Example"})
//	e, err := v.Begin(ctx, hotp.Enroll{Subject: user, Account: email, Secret: seed})
//	err = v.Confirm(ctx, user, e.ID, code) // the first code that the token shows
//	proof, err := v.Verify(ctx, otp.Answer{Subject: user, Usage: "login", Code: code})
//
// It is an [otp.Verifier], under the guess limits and with the events and proofs of
// the service that it is made from. Guesses at tokens are counted for themselves: they
// disable nothing else, and nothing else disables them. Each subject can have eight
// tokens, or as many as one code can be tried against within the guess limits: six, with
// the defaults. It is charged for all of them, so with several, name the one that is
// meant in Answer.ID if the person can say.
//
// A token whose button was pressed too often in vain is found by [Verifier.Resync].
//
// # Functions
//
// [Code], [Match] and [Resync] are for those who keep secrets and counters by
// themselves. They are pure. They keep no state, read no clock and draw no randomness,
// so on their own they cannot make a code valid only once: the caller does, with the
// counter that Match returns.
//
// # Checking a code
//
// For each token the caller stores its secret and the first counter that was not
// used yet, which is zero for a new token. To check a code:
//
//  1. Count the attempt against a limit that is kept across logins, before
//     anything is compared (RFC 4226 §7.3). A guess hits with a probability of
//     Window in 10^Digits, and these functions slow nobody down.
//  2. Call [Match] with the stored counter.
//  3. Burn what it returned: set the stored counter to matched+1 in one atomic
//     step that refuses unless the stored counter is still at most matched (§7.2).
//     In SQL: UPDATE … SET counter = matched+1 WHERE id = … AND counter <= matched.
//  4. Only if that step changed the counter is the person let in. If it did not,
//     somebody else has used the code in the meantime.
//
// None of the functions answers a plain yes, so that step 3 is not forgotten.
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
