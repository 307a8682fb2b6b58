package otp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"otp.example/otp/internal/testnumbers"
)

// A Config is what [New] makes a Service from.
type Config struct {
	Store   Store              // required
	Limiter Limiter            // nil means Store, which must then be one, as every store of this repository is
	Keyring *Keyring           // required
	Senders map[Channel]Sender // required, at least one

	// Policies decides formats, lifetimes and send limits, per call. Nil means the
	// Default preset for everything.
	Policies PolicySource

	// GuessLimits bound, per tenant and factor class, all guesses against one subject
	// and against one recipient, over every challenge, channel and usage, in parts
	// per 1e9 of certainty. Resending or starting again never gives them back. Nil
	// means DefaultGuessLimits; at most 1e6 (a probability of 0.001) each.
	GuessLimits []Limit

	// TenantGuessLimit bounds all guesses against one tenant, in the same parts. From
	// half of it on codes are longer; see Policy.Formats. Zero means 1e7 in 24
	// hours: one account in a hundred days, whatever the number of accounts. From 1e5 to
	// 1e9: N is not a number of challenges. By default a challenge by SMS takes 10,000 parts
	// until it succeeds, so N is 20,000 times the challenges that go unanswered in Per.
	TenantGuessLimit Limit

	// Guard may refuse a request before anything is charged or stored.
	// Nil means DefaultGuard.
	Guard Guard

	// Generator makes codes. Nil means the uniform one.
	Generator Generator

	// Render turns a message into text. Nil means DefaultRender. Package message has
	// templates in several languages.
	Render func(context.Context, Message) (Content, error)

	// Normalize turns what a person typed into what a channel can send to: a national
	// number into E.164, an international domain into its ASCII form. Its result is
	// checked like any recipient. Nil means no change.
	Normalize func(ctx context.Context, c Channel, to string) (string, error)

	// OnEvent is told what happened, after it happened, on the calling
	// goroutine or, for what a Queue sends, on one of Queue.Run's. It must not block.
	// Its panics are not recovered. Nil means that nobody is told.
	OnEvent func(context.Context, Event)

	// Now is the clock. Nil means time.Now.
	Now func() time.Time

	// InsecureTestNumbers gives fixed codes to fixed recipients, without limits. Only
	// package otptest can make a value, and only from within a test. Nil means none.
	InsecureTestNumbers *testnumbers.Set
}

// DefaultGuessLimits returns the budget of guesses against one account: 2e-5 in 24
// hours, 8e-5 in 30 days, so at most 13 times that in a year, and 8e-5 since the last
// success. With what may be in flight at a success, at most 2e-5, that is the 100
// guesses in 1e6 of NIST SP 800-63B-4 section 3.2.2.
func DefaultGuessLimits() []Limit {
	return []Limit{{N: 20_000, Per: day}, {N: 80_000, Per: 30 * day}, {N: 80_000}}
}

// minTenantGuesses is ten challenges by SMS. Whoever sets less has most likely taken N for
// the number of challenges.
const minTenantGuesses = 100_000

func defaultTenantGuessLimit() Limit { return Limit{N: certainty / 100, Per: day} }

// withDefaults returns a copy of c in which nothing is nil, or names the field that
// is missing or out of bounds.
func (c Config) withDefaults() (Config, error) {
	if c.Store == nil {
		return c, errors.New("otp: Config.Store is required")
	}
	if c.Limiter == nil {
		l, ok := c.Store.(Limiter)
		if !ok {
			return c, errors.New("otp: Config.Limiter is required, since Config.Store is not one")
		}
		c.Limiter = l
	}
	if c.Keyring == nil || c.Keyring.state.Load() == nil {
		return c, errors.New("otp: Config.Keyring is required")
	}
	if len(c.Senders) == 0 {
		return c, errors.New("otp: Config.Senders is required")
	}
	for channel, sender := range c.Senders {
		if !isLabel(string(channel)) || sender == nil {
			return c, fmt.Errorf("otp: Config.Senders has a malformed channel or no sender for %q", string(channel))
		}
	}
	c.Senders = maps.Clone(c.Senders)
	if c.Policies == nil {
		p, err := NewPolicies(Default, nil)
		if err != nil {
			return c, err
		}
		c.Policies = p
	}
	if len(c.GuessLimits) == 0 {
		c.GuessLimits = DefaultGuessLimits()
	}
	c.GuessLimits = slices.Clone(c.GuessLimits)
	if len(c.GuessLimits) > MaxLimits {
		return c, errors.New("otp: Config.GuessLimits has more than 8 limits")
	}
	for _, l := range c.GuessLimits {
		if l.N < 1 || l.N > certainty/1000 || l.Per != 0 && l.Per < time.Minute || l.Per > maxWindow {
			return c, errors.New("otp: Config.GuessLimits has a limit that is not N of 1 to 1e6 and Per of 0 or 1 minute to 31 days")
		}
	}
	if c.TenantGuessLimit == (Limit{}) {
		c.TenantGuessLimit = defaultTenantGuessLimit()
	}
	if l := c.TenantGuessLimit; l.N < minTenantGuesses || l.N > certainty || l.Per < time.Minute || l.Per > maxWindow {
		return c, errors.New("otp: Config.TenantGuessLimit is not N of 1e5 to 1e9 (parts per 1e9, of which one challenge can take 10,000) and Per of 1 minute to 31 days")
	}
	if c.Guard == nil {
		c.Guard = DefaultGuard()
	}
	if c.Generator == nil {
		c.Generator = uniform{}
	}
	if c.Render == nil {
		c.Render = DefaultRender
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}
