// Package totp verifies time-based one-time passwords: TOTP, RFC 6238, as shown by
// authenticator apps. A TOTP code is an HOTP code (package hotp) whose counter is the
// number of the current time step, counted from 1970.
//
// # Verifier
//
// A [Verifier] keeps the secrets of people's apps and accepts each code once:
//
//	v, err := totp.NewVerifier(svc, totp.Config{Issuer: "Example"})
//	e, err := v.Begin(ctx, totp.Enroll{Subject: user, Account: email}) // show e.URI as a QR code
//	err = v.Confirm(ctx, user, e.ID, code)                             // the first code that the app shows
//	proof, err := v.Verify(ctx, otp.Answer{Subject: user, Usage: "login", Code: code})
//
// It is an [otp.Verifier], under the guess limits and with the events and proofs of
// the service that it is made from. Guesses at apps are counted for themselves: they
// disable nothing else, and nothing else disables them. Each subject can have eight apps,
// or as many as one code can be tried against within the guess limits: six, with the
// defaults. It is charged for all of them, so with several, name the one that is meant in
// Answer.ID if the person can say.
//
// An app can be lost. Give people recovery codes with it, of package recovery.
//
// Leave [Options] at zero, unless you choose the app for your users: which of them
// honor what is in the comment of package otpauth.
//
// # Functions
//
// [Code], [Match], [Resync] and [Step] are for those who keep secrets and used steps by
// themselves. They are pure. They keep no state, read no clock and draw no randomness,
// so on their own they cannot make a code valid only once: the caller does, with the
// step that Match returns.
//
// # Checking a code
//
// For each credential the caller stores its secret and the highest step that was
// used. To check a code:
//
//  1. Count the attempt against a limit that is kept across logins, before
//     anything is compared. A guess hits with a probability of Window in
//     10^Digits, and these functions slow nobody down.
//  2. Call [Match] with the server's time, never with one from the request.
//  3. Burn what it returned: store the step in one atomic operation that refuses
//     unless it is strictly greater than the stored one. RFC 6238 §5.2: the
//     verifier "MUST NOT accept the second attempt of the OTP". In SQL:
//     UPDATE … SET step = matched WHERE id = … AND step < matched.
//  4. Only if that operation changed the step is the person let in. If it did not,
//     the code was used before, which is worth an entry in the audit log.
//
// None of the functions answers a plain yes, so that step 3 is not forgotten.
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
