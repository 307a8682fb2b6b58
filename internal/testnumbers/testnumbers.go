// Package testnumbers is how otptest gives fixed codes to a service. It is internal,
// so that no program outside this module can: a fixed code in production is a back
// door.
package testnumbers

import "maps"

// A Set maps canonical recipients to their codes. A nil Set is empty.
type Set struct{ codes map[string]string }

// New copies codes.
func New(codes map[string]string) *Set { return &Set{codes: maps.Clone(codes)} }

// Code returns the fixed code of a recipient, or "".
func (s *Set) Code(to string) string {
	if s == nil {
		return ""
	}
	return s.codes[to]
}
