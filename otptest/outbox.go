package otptest

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"otp.example/otp"
)

// An Outbox is an [otp.Sender] that keeps every message. The zero Outbox is empty and
// ready. It is safe for concurrent use.
type Outbox struct {
	mu       sync.Mutex
	messages []otp.Message
	err      error
	grown    chan struct{} // closed when a message arrives; nil if nobody waits
}

var _ otp.Sender = (*Outbox)(nil)

// Send keeps m, or fails if [Outbox.Fail] says so or ctx is done.
func (o *Outbox) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return otp.Receipt{}, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return otp.Receipt{}, o.err
	}
	o.messages = append(o.messages, m)
	if o.grown != nil {
		close(o.grown)
		o.grown = nil
	}
	return otp.Receipt{Provider: "outbox", MessageID: strconv.Itoa(len(o.messages))}, nil
}

// Fail makes every further Send fail with err, and keep nothing, until Fail(nil). Give
// an error that wraps [otp.ErrNotAccepted] for a provider that refuses, one that wraps
// [otp.ErrUndeliverable] for a recipient that does not exist, and any other for a
// provider of which nobody knows whether it has the message.
func (o *Outbox) Fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err = err
}

// Messages returns what was sent, oldest first.
func (o *Outbox) Messages() []otp.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.messages)
}

// Last returns the newest message to a recipient in its canonical form, or the zero
// Message if there is none.
func (o *Outbox) Last(to string) otp.Message {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range slices.Backward(o.messages) {
		if m.To == to {
			return m
		}
	}
	return otp.Message{}
}

// Code returns the code in the newest message to a recipient, or "".
func (o *Outbox) Code(to string) string { return o.Last(to).Code.Reveal() }

// waitTimeout is how long a message may take that has only to cross a channel. It is
// so long that it says something is wrong, not slow.
const waitTimeout = 10 * time.Second

// Wait returns when at least n messages were sent since the beginning, and ends the test
// if they do not come. It is for messages that a Queue sends after the service has
// answered; without a queue they are there already. Call it on the test's goroutine.
func (o *Outbox) Wait(t testing.TB, n int) {
	t.Helper()
	timeout := time.NewTimer(waitTimeout)
	defer timeout.Stop()
	for {
		o.mu.Lock()
		have := len(o.messages)
		if have < n && o.grown == nil {
			o.grown = make(chan struct{})
		}
		grown := o.grown
		o.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-grown:
		case <-timeout.C:
			t.Fatalf("otptest: %d of %d messages were sent; a recipient gets one in 30 seconds of the service's clock: see Clock.Advance", have, n)
			return
		}
	}
}
