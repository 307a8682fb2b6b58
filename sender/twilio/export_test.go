package twilio

import "time"

// SetNow stops the clock of v.
func SetNow(v *Voice, now time.Time) { v.now = func() time.Time { return now } }
