package linear

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"otp.example/otp"
)

// An address is confirmed: of such challenges some may live for a day.
const usage = otp.ConfirmAddress

// Codes are few, so that a client can know those that another process has sent. One more
// is never sent.
const (
	codeLength = 8
	sentCodes  = "123"
	typedCodes = "1234"
)

// newService returns one like those of the other processes.
func (p *clients) newService() (*otp.Service, error) {
	secret := sha256.Sum256([]byte(p.History))
	keyring, err := otp.NewKeyring(otp.Key{ID: "k1", Secret: secret[:]})
	if err != nil {
		return nil, err
	}
	plenty := []otp.Limit{{N: 1e9, Per: time.Second}}
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{{Channel: otp.Email, Usage: usage}: {
		Formats: []otp.Format{{Length: codeLength, Alphabet: otp.Digits}}, TTL: lasting, MaxSends: 5,
		Limits: otp.Limits{Recipient: plenty, Subject: plenty, Client: plenty, Prefix: plenty},
	}})
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{
		Store: p.store, Keyring: keyring, Policies: policies, Now: p.Clock.now,
		// One lease of it lasts for a history.
		TenantGuessLimit: otp.Limit{N: 1e9, Per: 31 * 24 * time.Hour},
		GuessLimits:      []otp.Limit{{N: 1e6, Per: time.Hour}},
		Generator:        generator(func() string { return p.code(sentCodes) }),
		Senders: map[otp.Channel]otp.Sender{otp.Email: otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
			return otp.Receipt{}, nil
		})},
	})
}

type generator func() string

func (g generator) Generate(otp.Format) (otp.Secret, error) { return otp.NewSecret(g()), nil }

func (p *clients) code(digits string) string {
	return strings.Repeat(p.pick(strings.Split(digits, "")...), codeLength)
}

// useService does what a person does, with the challenge of one of the lanes.
func (p *clients) useService(ctx context.Context) error {
	kind := p.pick(handleLane, referenceLane)
	lane := p.lane(kind)
	c := call{Service: true, Client: callerOf(ctx).client, Of: lane}
	c.Method = p.pick(serviceRequest, serviceRequest, serviceVerify, serviceVerify, serviceVerify, serviceVerify, serviceResend, serviceCancel, serviceStatus)
	id := p.service.Reference(usage, lane)
	if kind == handleLane {
		if id = p.handle(lane, ""); id == "" {
			c.Method = serviceRequest
		}
	}
	switch c.Method {
	case serviceRequest:
		return p.request(ctx, c, kind)
	case serviceVerify:
		return p.serve(ctx, c, func(ctx context.Context, a *answer) error {
			proof, err := p.service.Verify(ctx, otp.Answer{ID: id, Usage: usage, Code: p.code(typedCodes)})
			a.Challenge, a.At = string(proof.Extra()), proof.Time()
			return err
		})
	case serviceResend:
		return p.serve(ctx, c, func(ctx context.Context, _ *answer) error {
			_, err := p.service.Resend(ctx, otp.Resend{ID: id})
			return err
		})
	case serviceCancel:
		return p.serve(ctx, c, func(ctx context.Context, _ *answer) error { return p.service.Cancel(ctx, id) })
	default:
		return p.serve(ctx, c, func(ctx context.Context, _ *answer) error {
			_, err := p.service.Status(ctx, id)
			return err
		})
	}
}

// request asks for a challenge with a name, which comes back with its proof.
func (p *clients) request(ctx context.Context, c call, kind string) error {
	c.Challenge = p.newName()
	r := otp.Request{
		Channel: otp.Email, To: c.Of + "@example.com", Subject: c.Of, Usage: usage, Extra: []byte(c.Challenge),
		Policy: &otp.Policy{TTL: p.ttl()},
	}
	if kind == referenceLane {
		r.Reference = c.Of
	} else {
		r.IdempotencyKey = c.Of
	}
	return p.serve(ctx, c, func(ctx context.Context, a *answer) error {
		ch, err := p.service.Request(ctx, r)
		if a.Expires = ch.ExpiresAt; err == nil && kind == handleLane {
			p.handle(c.Of, ch.ID)
		}
		return err
	})
}

// serve makes a call of the service. The error is for a fault; no is an answer.
func (p *clients) serve(ctx context.Context, c call, do func(context.Context, *answer) error) (fault error) {
	p.note(c, func(seq int) (a answer) {
		err := do(withCaller(ctx, caller{client: c.Client, parent: seq}), &a)
		switch {
		case err == nil:
		case errors.Is(err, otp.ErrRejected), errors.Is(err, otp.ErrRateLimited), errors.Is(err, otp.ErrInvalidRequest):
			a.Rejected = err.Error()
		default:
			a.Fault, fault = err.Error(), err
		}
		return a
	})
	return fault
}

// handle returns the handle of a lane, which becomes id unless that is empty.
func (p *clients) handle(lane, id string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if id != "" {
		p.handles[lane] = id
	}
	return p.handles[lane]
}
