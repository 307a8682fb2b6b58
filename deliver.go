package otp

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// A delivery is one message to be sent.
type delivery struct {
	route   Route
	code    Secret
	record  *Record
	payload *payload
	subject pseudonym
	charges []Charge // for the send, to be given back if it is refused
	mute    bool     // run every step but the send
	lease   leaseKey // of the tenant's send limit
	leased  time.Time
	release []Charge // reserved for a code that does not exist; given back off the request's path
}

// deliver renders and sends, or queues. Its error is a *DeliveryError.
func (s *Service) deliver(ctx context.Context, d *delivery) (Receipt, error) {
	start := s.now()
	m := Message{
		Key: messageKey(d), Channel: d.route.Channel, Usage: d.payload.usage,
		To: d.route.To, Code: d.code, Tenant: s.tenant, Binding: d.payload.binding, Locale: d.payload.locale,
		TTL: d.payload.expires.Sub(d.record.SentAt), ExpiresAt: d.payload.expires,
	}
	content, err := s.render(ctx, m)
	if err != nil {
		if d.payload.has(flagConceal) {
			d.charges, d.leased = nil, time.Time{} // giving back would cost a call that decoys do not make
		}
		return Receipt{}, s.sent(ctx, d, Receipt{}, newDeliveryError(fmt.Errorf("%w: render: %w", ErrNotAccepted, err), m), start)
	}
	m.Content = content
	sender := s.cfg.Senders[d.route.Channel]
	if q, ok := sender.(*Queue); ok {
		err := q.put(queued{m: m, drop: d.mute, done: func(ctx context.Context, r Receipt, err error) {
			switch {
			case !d.mute:
				_ = s.sent(ctx, d, r, err, start)
			case len(d.release) > 0:
				s.giveBack(ctx, Event{Challenge: d.record.ID, Usage: d.payload.usage}, d.release)
			}
		}})
		if err != nil {
			if d.payload.has(flagConceal) {
				d.charges, d.leased = nil, time.Time{} // giving back would cost a call that decoys do not make
			}
			return Receipt{}, s.sent(ctx, d, Receipt{}, newDeliveryError(err, m), start)
		}
		return Receipt{}, nil
	}
	if d.mute {
		return Receipt{}, nil
	}
	receipt, err := send(ctx, sender, m)
	return receipt, s.sent(ctx, d, receipt, err, start)
}

// messageKey names one send. A challenge of a reference or of an idempotency key has the ID
// of the one before it, so the time tells them apart.
func messageKey(d *delivery) string {
	return d.record.ID + "-" + strconv.FormatInt(d.payload.created.UnixMicro(), 36) + "-" + strconv.Itoa(d.record.Sends)
}

// sent gives back what a send that did not happen was charged, and says what became of
// it. Where answers must not tell, the client's own limit stays charged: it would.
func (s *Service) sent(ctx context.Context, d *delivery, r Receipt, err error, start time.Time) error {
	if s.cfg.OnEvent == nil && err == nil {
		return nil
	}
	e := Event{
		Type: EventSent, Challenge: d.record.ID, Channel: d.route.Channel, Usage: d.payload.usage, Subject: d.subject.String(),
		MaskedTo: mask(d.route.Channel, d.route.To), Receipt: r, Err: err, Took: s.now().Sub(start),
	}
	if err != nil {
		e.Type = EventSendFailed
		if notTaken(err) && !d.mute {
			if back := d.refund(err); len(back) > 0 {
				s.giveBack(ctx, e, back)
			}
			s.settled(ctx, e, s.leases.give(ctx, d.lease, 1, d.leased))
		}
	}
	s.emit(ctx, e)
	return err
}

func (s *Service) giveBack(ctx context.Context, e Event, c []Charge) {
	ctx, cancel := tidying(ctx)
	defer cancel()
	s.settled(ctx, e, s.store.GiveAll(ctx, c))
}

// refund lists what is given back: not the client's own limit, which is the first, under
// Conceal, nor for a recipient who cannot be reached. A client that goes on naming those
// would use up guesses that all accounts share, and pay nothing.
func (d *delivery) refund(err error) []Charge {
	keep := d.payload.has(flagConceal) || errors.Is(err, ErrUndeliverable)
	if keep && len(d.charges) > 0 && d.charges[0].Scope == scopeClient {
		return d.charges[1:]
	}
	return d.charges
}

func (s *Service) render(ctx context.Context, m Message) (c Content, err error) {
	defer func() {
		if recover() != nil {
			c, err = Content{}, errors.New("panicked")
		}
	}()
	return s.cfg.Render(ctx, m)
}
