// Package sender combines senders: [RouteBy] chooses one, [Retry] tries one again and
// [Smooth] keeps one to an even pace. Like otp.Failover and otp.Breaker they take senders
// and are senders, so they nest in any order:
//
//	sms := sender.RouteBy(sender.Country, map[string]otp.Sender{
//		"+91": otp.Failover(sender.Smooth(local, time.Second/10), world),
//		"":    otp.Failover(sender.Retry(world, 3), backup),
//	})
//
// Where Request.Conceal is used, otp.NewQueue goes around all of it. The providers are in
// the packages below this one.
package sender

import (
	"context"
	"fmt"
	"time"

	"otp.example/otp"
)

// ErrTryLater says that a message was not taken now and that the same provider may take
// it later: it is too busy, or its rate was exceeded. It wraps [otp.ErrNotAccepted], so
// that a failover goes on at once.
var ErrTryLater = fmt.Errorf("%w: try later", otp.ErrNotAccepted)

// inTime reports whether t is early enough for ctx, and for a message that was to be sent
// at begin. Its ExpiresAt is of another clock, that of the service.
func inTime(ctx context.Context, m otp.Message, begin, t time.Time) bool {
	if end, ok := ctx.Deadline(); ok && !t.Before(end) {
		return false
	}
	return m.TTL <= 0 || t.Sub(begin) < m.TTL
}

// left returns m with what is left of its TTL after a wait, in whole seconds, as providers are
// told. It never becomes zero: that would mean that m does not say.
func left(m otp.Message, waited time.Duration) otp.Message {
	if m.TTL > 0 {
		m.TTL = max(time.Second, (m.TTL - waited).Round(time.Second))
	}
	return m
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
