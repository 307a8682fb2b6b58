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
// once with [ErrTryLater], and takes no turn. Nor does whoever goes away while waiting:
// those behind move up. An interval of zero is no wait.
//
// A service, and an otp.Queue, give each call 10 seconds, so nobody waits for longer than that.
// The 16 workers of a Queue wait here at once, and what is refused the Queue tries again: with
// an interval of more than half a second some messages are lost that way.
//
// The pace is that of this process: of n processes each gets an nth of the provider's
// rate.
func Smooth(s otp.Sender, interval time.Duration) otp.Sender {
	first := make(chan struct{}, 1) // full while somebody is the first in line; the others wait for it in order
	var mu sync.Mutex
	var next time.Time // when the first in line may call
	waiting := 0       // how many are in line
	// join reports whether the turn would be early enough.
	join := func(ctx context.Context, m otp.Message, now time.Time) bool {
		mu.Lock()
		defer mu.Unlock()
		at := now
		if next.After(now) {
			at = next
		}
		if !inTime(ctx, m, now, at.Add(time.Duration(waiting)*interval)) {
			return false
		}
		waiting++
		return true
	}
	// leave moves next only if the turn was used: a place in line costs those behind nothing.
	leave := func(used bool) {
		mu.Lock()
		defer mu.Unlock()
		waiting--
		if used {
			next = time.Now().Add(interval)
		}
	}
	// turn waits for it, and reports whether it came in time.
	turn := func(ctx context.Context, m otp.Message, begin time.Time) (used bool) {
		select {
		case first <- struct{}{}:
		case <-ctx.Done():
			leave(false)
			return false
		}
		mu.Lock()
		at := next // which nobody else moves now
		mu.Unlock()
		used = inTime(ctx, m, begin, at) && sleep(ctx, time.Until(at))
		leave(used)
		<-first
		return used
	}
	return otp.SenderFunc(func(ctx context.Context, m otp.Message) (otp.Receipt, error) {
		begin := time.Now()
		if !join(ctx, m, begin) || !turn(ctx, m, begin) {
			return otp.Receipt{}, errNoSlot
		}
		return s.Send(ctx, left(m, time.Since(begin)))
	})
}
