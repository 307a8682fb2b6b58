package otp

import "flag"

// Charging is what the service makes of a store that cannot charge by itself.
var Charging = charging

// Uniform is the generator that a Config without one has.
var Uniform Generator = uniform{}

// RaceEnabled is for tests that count allocations.
const RaceEnabled = raceEnabled

// Update makes golden files out of what the tests see, instead of comparing.
var Update = flag.Bool("update", false, "rewrite the golden files in testdata")

// Seams for the black-box tests of what has no way in from outside.
var (
	CanonicalRecipient = canonicalRecipient
	Mailbox            = mailbox
	Prefix             = prefix
	Mask               = mask
	CheckText          = checkText
	IsLabel            = isLabel

	Send     = send
	NotTaken = notTaken
	Reason   = reason
)

// NewProof makes what only a verifier can.
func NewProof(subject, recipient, binding, tenant string, extra []byte) Proof {
	return Proof{p: &proof{subject: subject, recipient: recipient, binding: binding, tenant: tenant, extra: extra}}
}

// CheckKey is what NewKeyring does first, without the cost of the rest.
func CheckKey(k Key) error { return k.check() }
