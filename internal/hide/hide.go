// Package hide keeps what holds a code, a handle, a secret or a recipient out of logs.
package hide

import (
	"fmt"
	"io"
)

// Redacted is what stands in the place of what is hidden.
const Redacted = "[redacted]"

// Hidden makes the struct that embeds it print and encode as [redacted]: it must survive a
// careless log line. Packages embed it under the unexported name hidden. The verbs %p and
// %w, which are mistakes that go vet finds, are beyond it: fmt asks no method there.
type Hidden struct{}

// Format implements [fmt.Formatter].
func (Hidden) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, Redacted) }

// MarshalText makes encoding/json, encoding/xml, log/slog and others redact, too.
func (Hidden) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// MarshalBinary does the same for encoding/gob.
func (Hidden) MarshalBinary() ([]byte, error) { return []byte(Redacted), nil }
