package otp

import (
	"fmt"
	"io"
)

const redacted = "[redacted]"

// hidden makes the struct that embeds it print and encode as [redacted]: what
// holds a code, a handle or a recipient must survive a careless log line. The verbs %p and
// %w, which are mistakes that go vet finds, are beyond it: fmt asks no method there.
type hidden struct{}

// Format implements [fmt.Formatter].
func (hidden) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText makes encoding/json, encoding/xml, log/slog and others redact, too.
func (hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary does the same for encoding/gob.
func (hidden) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// A Secret prints as [redacted] in every format, log and encoding. The zero Secret
// is empty. Secrets cannot be compared with ==, which would tell by its time.
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
