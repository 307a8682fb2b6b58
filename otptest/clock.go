package otptest

import (
	"sync"
	"time"
)

// A Clock stands still until the test advances it. The zero Clock is ready and shows
// 2026-01-02 03:04:05 UTC. It is safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	passed time.Duration
}

// Now returns the time on c. It has the type of Config.Now.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC).Add(c.passed)
}

// Advance moves c by d; a negative d moves it back, as happens to real clocks.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
}
