// Package totpdiff holds hotp and totp against implementations that other people
// wrote: pquerna/otp, creachadair/otp, and oathtool of the OATH Toolkit (apt-get
// install oathtool), which prints codes for us to match and matches the codes that we
// print. Its tests draw secrets, times and options at random, so that whatever the
// vectors of the RFCs leave out is tried as well.
package totpdiff
