// Package totpdiff holds hotp and totp against implementations that other people
// wrote: pquerna/otp, and oathtool of the OATH Toolkit (apt-get install oathtool).
// Its tests draw secrets, times and options at random, so that whatever the vectors
// of the RFCs leave out is tried as well.
package totpdiff
