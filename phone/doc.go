// Package phone turns what people type as a telephone number into E.164, and says which
// numbers may be called. It is a module of its own, since it needs
// github.com/nyaruka/phonenumbers, a port of Google's libphonenumber.
//
//	normalize, err := phone.New("DE")
//	…
//	guard, err := phone.NewGuard("DE", "AT", "CH")
//	…
//	svc, err := otp.New(otp.Config{Normalize: normalize, Guard: guard, …})
//
// # What it costs
//
// Importing it adds 6 MB to the binary, 2.5 MB of memory and 6 to 8 ms of start-up; a number
// takes about 0.1 ms. The numbering plans are compiled in: a range that was
// assigned after the release in go.mod is unknown to [NewGuard] until that is raised, but
// not to [New], which only looks at lengths.
//
// # What mistakes cost
//
//   - With the wrong region a national number becomes somebody's in another country. If
//     people come from several, ask for the country, or give no region and ask for the
//     number with + and country code.
//   - Without a [NewGuard], or something like it, anybody can make the service send to
//     numbers that share what a message costs with whoever had it sent. An allow-list of
//     the countries that customers live in is the cheapest defense there is.
//   - Test numbers must be ones that could exist: +12025550100 may, +15550100 is too
//     short.
package phone
