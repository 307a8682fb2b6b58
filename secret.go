package otp

import "otp.example/otp/internal/hide"

// hidden makes the struct that embeds it print and encode as [redacted].
type hidden = hide.Hidden

// A Secret prints as [redacted] in every format, log and encoding. The zero Secret
// is empty. Secrets cannot be compared with ==, whose timing would tell.
type Secret struct {
	hidden
	// A function, because printers and differs that walk unexported fields follow
	// pointers and strings, but not this.
	reveal func() string
}

// NewSecret hides s.
func NewSecret(s string) Secret {
	if s == "" {
		return Secret{}
	}
	return Secret{reveal: func() string { return s }}
}

// Reveal returns what is hidden.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}
