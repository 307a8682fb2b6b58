// Package otpauth holds key URIs against parsers and builders that other people wrote:
// pquerna/otp, creachadair/otp, xlzd/gotp, and oathtool of the OATH Toolkit (apt-get
// install oathtool). What goes into a URI comes out of theirs, and the other way round.
package otpauth
