package otp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Sender hands one message to a provider.
//
// Send returns nil when the provider has accepted the message, which is not
// delivery. It must honor ctx, must not try again when m.TTL has passed since it was
// called (m.ExpiresAt is by the service's clock), and must use m.Key as the provider's
// idempotency key if there is one. It must be safe for concurrent use. A call by the
// service or a [Queue] has 10 seconds, or what is left of ctx and the code if that is less.
//
// Its error says what is known. If the provider has certainly not taken the message
// the error must wrap [ErrNotAccepted], and the limits are given back. If the recipient
// can never be reached by any provider it must wrap [ErrUndeliverable]. After any
// other error the message may be on its way, and the limits stay charged.
type Sender interface {
	Send(ctx context.Context, m Message) (Receipt, error)
}

// A SenderFunc is a function that is a [Sender].
type SenderFunc func(ctx context.Context, m Message) (Receipt, error)

// Send calls f.
func (f SenderFunc) Send(ctx context.Context, m Message) (Receipt, error) { return f(ctx, m) }

// A Message is one code on its way to one recipient. It prints as [redacted].
type Message struct {
	hidden
	Key       string // idempotency key: the same for every try of the same send
	Channel   Channel
	Usage     Usage
	To        string // canonical
	Code      Secret
	Tenant    string
	Binding   string // to be shown: amount, payee
	Locale    string
	TTL       time.Duration // what is left of the challenge when Send is called
	ExpiresAt time.Time
	Content   Content // rendered text
}

// A Content is what a person reads. It prints as [redacted].
type Content struct {
	hidden
	Subject, Text, HTML string
}

// A Receipt says who accepted a message. The sender fills it in; zero fields are what it
// does not know.
type Receipt struct {
	Provider  string    // name of the provider, as the sender has it
	MessageID string    // the provider's name for the message, for its logs and reports
	At        time.Time // when it accepted, if the provider says so; senders of this module leave it zero
}

// Failover returns a Sender that tries senders in order with the same message. It
// goes on only after a definite refusal ([ErrNotAccepted]): after an unknown outcome
// the message may be on its way. It stops on [ErrUndeliverable] and when ctx ends.
// Its error is a [*DeliveryError].
func Failover(senders ...Sender) Sender {
	return SenderFunc(func(ctx context.Context, m Message) (Receipt, error) {
		var errs []error
		for _, s := range senders {
			receipt, err := safeSend(ctx, s, m)
			if err == nil {
				return receipt, nil
			}
			errs = append(errs, err)
			if !notTaken(err) || errors.Is(err, ErrUndeliverable) || ctx.Err() != nil {
				break
			}
		}
		if len(errs) == 0 {
			errs = []error{fmt.Errorf("%w: there is no sender", ErrNotAccepted)}
		}
		return Receipt{}, &DeliveryError{Errs: errs}
	})
}

// Console returns a Sender that writes messages to w, for development. It is the one
// place that shows codes.
func Console(w io.Writer) Sender {
	var mu sync.Mutex
	return SenderFunc(func(_ context.Context, m Message) (Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		if _, err := fmt.Fprintf(w, "%s to %s: %s\n", m.Channel, m.To, m.Content.Text); err != nil {
			return Receipt{}, fmt.Errorf("%w: %w", ErrNotAccepted, err)
		}
		return Receipt{Provider: "console"}, nil
	})
}

// DefaultRender writes a message in English: the code, what it is for, how long it
// lives, and for bound codes the data that it confirms, which is the only text in it
// that does not come from the program.
func DefaultRender(_ context.Context, m Message) (Content, error) {
	code := m.Code.Reveal()
	shown := code
	if m.Channel == Voice {
		shown = strings.Join(strings.Split(code, ""), ", ")
	}
	confirms := ""
	if m.Binding != "" {
		confirms = " It confirms: " + m.Binding + "."
	}
	text := shown + " is your code for " + words(m.Usage) + "." + confirms + " It is valid for " + spell(m.TTL) + ". Do not share it."
	return Content{Subject: "Your code", Text: text}, nil
}

// words is a usage as a person reads it.
func words(u Usage) string {
	switch u {
	case ConfirmAddress:
		return "confirming this address"
	case Recovery:
		return "recovering your account"
	}
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' {
			return ' '
		}
		return r
	}, string(u))
}

// spell rounds down, so that nobody is promised more time than there is.
func spell(d time.Duration) string {
	unit, n := "hour", int(d/time.Hour)
	switch {
	case d < time.Minute:
		unit, n = "second", int(d/time.Second)
	case d < 2*time.Hour:
		unit, n = "minute", int(d/time.Minute)
	}
	if n != 1 {
		unit += "s"
	}
	return strconv.Itoa(n) + " " + unit
}

// sendTimeout bounds one call of a sender that was given no nearer deadline.
const sendTimeout = 10 * time.Second

// safeSend turns a panic into an unknown outcome: the message may be on its way.
func safeSend(ctx context.Context, s Sender, m Message) (receipt Receipt, err error) {
	defer func() {
		if v := recover(); v != nil {
			// The value may hold anything the sender had in hand, so it is not shown.
			receipt, err = Receipt{}, errors.New("otp: sender panicked")
		}
	}()
	receipt, err = s.Send(ctx, m)
	return receipt, sound(err)
}

var errBroken = errors.New("otp: sender returned a broken error")

// sound returns err unless it panics when it is looked at, as a nil inside of an error does.
func sound(err error) (out error) {
	if err == nil {
		return nil
	}
	defer func() {
		if recover() != nil {
			out = errBroken
		}
	}()
	_, _ = err.Error(), errors.Is(err, ErrNotAccepted)
	return err
}

// send calls s under a deadline and clears its errors of what they may not carry.
func send(ctx context.Context, s Sender, m Message) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	receipt, err := safeSend(ctx, s, m)
	if err != nil {
		return Receipt{}, newDeliveryError(err, m)
	}
	return receipt, nil
}

// notTaken reports whether err says that no provider has the message.
func notTaken(err error) bool {
	if d, ok := errors.AsType[*DeliveryError](err); ok {
		for _, e := range d.Errs {
			if !notTaken(e) {
				return false
			}
		}
		return len(d.Errs) > 0
	}
	return errors.Is(err, ErrNotAccepted) || errors.Is(err, ErrUndeliverable)
}

func newDeliveryError(err error, m Message) *DeliveryError {
	errs := []error{err}
	var d *DeliveryError
	if errors.As(err, &d) && len(d.Errs) > 0 {
		errs = d.Errs
	}
	out := &DeliveryError{Errs: make([]error, len(errs))}
	for i, e := range errs {
		out.Errs[i] = &cleanError{err: e, text: clean(e.Error(), m)}
	}
	return out
}

// A cleanError is the error of a sender or guard without code and recipient in its text. It can be
// matched, but not unwrapped, since what it wraps would print them.
type cleanError struct {
	err  error
	text string
}

func (e *cleanError) Error() string        { return e.text }
func (e *cleanError) Is(target error) bool { return errors.Is(e.err, target) }
func (e *cleanError) As(target any) bool   { return errors.As(e.err, target) }

// Format keeps %#v from walking into err.
func (e *cleanError) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, e.text) }
