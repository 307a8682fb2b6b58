// Package otpauth writes and reads key URIs, otpauth://totp/…, by which a service and
// an authenticator app agree on a secret. It is the only place where a secret is
// base32; everywhere else it is bytes.
//
// The package is pure: it keeps no state and draws no randomness. The format is
// https://github.com/google/google-authenticator/wiki/Key-Uri-Format, which nobody has
// made a standard.
//
// # Enrolling an app
//
// A totp.Verifier does it all. To do it by hand, make a [Key] with 20 bytes from
// crypto/rand, store the secret encrypted, and show [Key.URI] once: as a QR code (module
// qr), as a link for a phone that cannot scan its own screen, and as [Grouped] text to
// type. Then have one code typed back, and burn its step.
//
// # What apps honor
//
// Many apps take a URI whose settings they do not know and show wrong codes. Leave
// Algorithm, Digits and Period at zero, unless you choose the app for your users. What
// can be relied on:
//
//	                         algorithms             digits   period   HOTP
//	Google Authenticator     SHA1; all since 2024   6, 8     30       yes
//	Microsoft Authenticator  SHA1                   6        30       no
//	FreeOTP                  all                    6 to 8   any      yes
//	Aegis                    all                    6 to 8   any      yes
//	YubiKey                  all                    6 to 8   any      yes
//
// This was found in their source code, or in the tests of others where there is none:
//
//   - Google Authenticator has no source code since 2020, and its versions for Android
//     and iOS differ. Older ones take every algorithm for SHA1, 8 digits for 6, and
//     another period for 30 s, and say nothing. On iOS it refused a SHA1 secret of 32
//     bytes: keep to 20.
//   - Microsoft Authenticator takes everything for SHA1, 6 digits and 30 s.
//   - FreeOTP refuses secrets below 16 bytes and labels with two colons, and shows
//     Steam's codes for the issuer Steam.
//   - Aegis shows the issuer of the label if it is not the one of the parameter. Most
//     others show that of the parameter. It refuses an HOTP key without a counter.
//   - A YubiKey has SHA512 since firmware 4.3.1. It holds 64 bytes of issuer, colon and
//     account, less what a period other than 30 takes ("60/"), and counters of 32 bits.
//
// # What Parse forgives
//
// All that apps have written and that has one meaning only:
//
//   - a scheme or type in upper case, and space around the URI;
//   - a secret in lower case, in groups, or with padding;
//   - an issuer that only the label or only the parameter names, or none at all;
//   - spaces around names, colons that are percent-encoded, a plus for a space in the
//     issuer parameter;
//   - algorithms written like HmacSHA256 or sha-256;
//   - parameters that it does not know, such as FreeOTP's image and color, and the ones
//     of the other type.
//
// Two issuers that contradict each other are read and reported in [Key].LabelIssuer, and
// codes that no RFC describes in [Key].Dialect. Everything else is an error: a
// parameter that is there twice, a label with two colons, a name with control
// characters, an HOTP key without a counter, a secret below 128 bits, and what is out
// of the bounds of packages hotp and totp.
//
// # Coming from another library
//
// Secrets in base32, whoever made them, are read by [DecodeSecret]. Nobody has to
// enroll again unless a secret has fewer than 16 bytes.
//
//   - From pquerna/otp: key.Secret() is base32. A stored key.URL() is read by [Parse],
//     but prefer the secret if it was stored by itself: up to version 1.5.0 the URIs
//     have an unescaped "&", so that the issuer "AT&T" comes back as "AT" (with
//     LabelIssuer "AT&T"), and one that a user could choose may have brought
//     parameters of its own (which Parse refuses if they are there twice). HOTP secrets
//     have 10 bytes by default; these are enrolled anew.
//   - From xlzd/gotp: the secret is base32 too, and gotp.RandomSecret(n) has n bytes.
//     Do not read its URIs: they are escaped twice, so that "Example Co" comes back
//     as "Example%20Co". Make the Key from the columns.
//   - From Google Authenticator, which a person used without you: [ParseMigration].
//
// Give the bytes, and what [Key.TOTP] returns, to the Import of a totp.Verifier.
package otpauth
