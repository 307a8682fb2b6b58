// Package otp issues, delivers and checks one-time passwords.
//
// A [Service] sends a code to a person and later says whether it came back. It keeps
// what it must remember in a [Store], hands messages to a [Sender] for each channel, and
// runs every request under one [Policy], one set of limits and one budget of guesses.
//
//	keys, err := otp.KeyringFromEnv("OTP_KEY") // openssl rand -base64 32
//	svc, err := otp.New(otp.Config{
//		Store:   memstore.New(),
//		Keyring: keys,
//		Senders: map[otp.Channel]otp.Sender{otp.SMS: sms, otp.Email: mail},
//	})
//
// # Asking and answering
//
// [Service.Request] makes a challenge, sends its code and returns a handle in
// Challenge.ID. Give the handle to the client that asked and to nobody else: without it
// nobody can spend the challenge's attempts, replace its code or see it.
//
//	ch, err := svc.Request(ctx, otp.Request{
//		Channel: otp.SMS, Usage: "login", Subject: user.ID, To: user.Phone, Client: addr,
//	})
//
// [Service.Verify] takes the handle and what the person typed.
//
//	proof, err := svc.Verify(ctx, otp.Answer{ID: handle, Code: typed, Usage: "login"})
//	switch {
//	case err == nil: // proof.Subject() has the code of proof.Recipient()
//	case errors.Is(err, otp.ErrRejected): // no, for whatever reason: 401
//	default: // could not tell, which is a no as well: 500
//	}
//
// A nil error is the only yes, and there is one per challenge: a code that was accepted
// once is never accepted again, in no goroutine, process or restart. An answer of the
// wrong length or alphabet, and a handle that is forged, expired or another tenant's,
// are refused without asking the store.
//
// [Service.Resend] sends another code of the same challenge, by its first route or one
// of Request.Fallback. It neither extends the challenge nor gives back attempts.
//
// # Limits and guesses
//
// Two things are bounded. Sends: each message is charged to its recipient, subject,
// client and number prefix, before the sender is called; a [Limit] admits at most N in
// any window of its length. Guesses: the chance that somebody hits a code is added up
// over all challenges of an account and never given back but by a success, so that
// asking for a new code is no new chance. When that budget runs low the next code is
// longer, and the owner is not locked out. See [DefaultGuessLimits].
//
// # Not telling
//
// With Request.Conceal the answer does not depend on whether an account exists, is
// limited or can be reached. Ask for unknown accounts too, with Request.Decoy. The
// channel needs a [Queue], so that no answer waits for a provider. [Request] says what it
// does not hide.
//
// # What stores and logs see
//
// Stores see keyed digests and sealed bytes. Since the salt of a digest is kept in the
// handle alone, a stolen database reveals no live code even to somebody who has all the
// keys; the exceptions are Request.Reference and a Request.IdempotencyKey that can be
// guessed. Errors, events and everything that is printed hold neither codes nor handles nor
// whole recipients; [Secret] and the types that hold secrets print as [redacted].
//
// # Compatibility
//
// The module follows semantic versioning. [Store], [Limiter], [CounterStore] and
// [Sender] will not grow in v1: new abilities come as optional interfaces, as
// [ChargingStore] and [Pruner] are. Handles and sealed records of one minor version are
// read by the next.
package otp
