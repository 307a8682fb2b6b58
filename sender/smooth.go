package sender

import (
	"context"
	"fmt"
	"sync"
	"time"

	"otp.example/otp"
)

var errNoSlot = fmt.Errorf("%w: no free slot in time", ErrTryLater)

// Smooth returns a Sender that calls s at most once in every interval: time.Second/30
// for a provider that takes 30 messages a second. Others wait their turn, in the order in
// which they came. Whose turn would be too late for its ctx or m.TTL is refused at
// once with [ErrTryLater], and takes no turn. An interval of zero is no wait.
//
// A service, and an otp.Queue, give each call 10 seconds, so nobody waits for longer than that.
// The 16 workers of a Queue wait here at once, and what is refused the Queue tries again: with
// an interval of more than half a second some messages are lost that way.
//
// The pace is that of this process: of n processes each gets an nth of the provider's
// rate.
func Smooth(s otp.Sender, interval time.Duration) otp.Sender {
	var mu sync.Mutex
	var next time.Time
	// turn returns how long to wait for it.
	turn := func(ctx context.Context, m otp.Message) (time.Duration, bool) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		at := now
		if next.After(now) {
			at = next
		}
		if !inTime(ctx, m, now, at) {
			return 0, false
		}
		next = at.Add(interval)
		return at.Sub(now), true
	}
	return otp.SenderFunc(func(ctx context.Context, m otp.Message) (otp.Receipt, error) {
		wait, ok := turn(ctx, m)
		if !ok || !sleep(ctx, wait) {
			return otp.Receipt{}, errNoSlot
		}
		return s.Send(ctx, m)
	})
}
