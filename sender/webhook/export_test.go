package webhook

import "time"

// SetNow stops the clock of s.
func SetNow(s *Sender, now time.Time) { s.now = func() time.Time { return now } }
