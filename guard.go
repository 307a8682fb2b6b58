package otp

import (
	"context"
	"fmt"
	"strings"
)

// A Guard may refuse a request before anything is charged, stored or sent. Its
// error wraps ErrRefused and names the rule. It is asked on Request and Issue, and
// on Resend with what the challenge was requested with. Recipients are canonical. It
// must be safe for concurrent use.
type Guard interface {
	Check(ctx context.Context, r Request) error
}

// guard asks the guard. Its error may name whom it refused, and is told without that.
func (s *Service) guard(ctx context.Context, r *Request) error {
	err := s.cfg.Guard.Check(ctx, *r)
	if err == nil {
		return nil
	}
	text := err.Error()
	for _, route := range r.routes() {
		text = clean(text, Message{To: route.To}, r.Subject)
	}
	return &cleanError{err: err, text: text}
}

// DefaultGuard refuses phone numbers that belong to no country: free and shared-cost
// services, premium rate, and satellite and other networks that cost a lot and are
// where toll fraud goes (ITU-T E.164, list of assigned codes). It looks at all channels but
// [Email], since what WhatsApp or Telegram does not take may go on as a text message, by a
// [Failover] on the same channel.
func DefaultGuard() Guard { return defaultGuard{} }

type defaultGuard struct{}

func (defaultGuard) Check(_ context.Context, r Request) error {
	for _, route := range r.routes() {
		if route.Channel == Email {
			continue // an address may begin like a number
		}
		for _, code := range []string{"+800", "+808", "+870", "+878", "+881", "+882", "+883", "+888", "+979", "+1900"} {
			if strings.HasPrefix(route.To, code) {
				return fmt.Errorf("%w: numbers of %s belong to no country", ErrRefused, code)
			}
		}
	}
	return nil
}
