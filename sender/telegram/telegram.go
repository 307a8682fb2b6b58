// Package telegram sends codes to Telegram users by the Telegram Gateway, which finds them
// by their phone numbers.
//
// # Before the first message
//
// Open an account at gateway.telegram.org, with a phone number, and put money on it; the
// access token is in its settings. To one's own number messages are free.
//
// # What it costs to get it wrong
//
// A message that is delivered is paid, and one that is not delivered within its lifetime
// is refunded. The Gateway writes the text, so m.Content is not used, and takes codes of 4
// to 8 digits only.
//
// # What is certain and what is not
//
// "ok": false is a refusal, whatever the reason: among others that the number is not on
// Telegram, so in [otp.Failover] a sender of text messages can come next. The names of the
// reasons are not listed by the documentation, which gives ACCESS_TOKEN_INVALID as the one
// example. So none is [otp.ErrUndeliverable]; they are shown, and not acted on. Answers 4xx
// are refusals too, of which 429 is sender.ErrTryLater, and the rest is unknown. There is
// no idempotency key: the message's key is sent as payload, which comes back in delivery
// reports.
//
// What is sent as a text then was rendered for otp.Telegram: package message ends an SMS with
// "@host #code", and this one without. A Guard of your own has to look at numbers on this
// channel, too; otp.DefaultGuard and that of package phone do.
package telegram

import (
	"cmp"
	"context"
	"strings"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is an account. It prints without the token.
type Config struct {
	AccessToken otp.Secret
	From        string // username of a verified channel of yours; empty means Telegram's own "Verification Codes"
	BaseURL     string // empty means https://gatewayapi.telegram.org
}

// A Sender sends codes to Telegram users. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender to Telegram users. AccessToken is required.
func New(c Config) (*Sender, error) {
	if err := provider.Require("telegram", "AccessToken", c.AccessToken.Reveal()); err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: "telegram", BaseURL: cmp.Or(c.BaseURL, "https://gatewayapi.telegram.org"), Secrets: []otp.Secret{c.AccessToken},
	})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type request struct {
	PhoneNumber string `json:"phone_number"`
	Sender      string `json:"sender_username,omitempty"`
	Code        string `json:"code"`
	TTL         int    `json:"ttl,omitempty"`
	Payload     string `json:"payload,omitempty"`
}

type answer struct {
	OK     *bool           `json:"ok"`
	Error  provider.Scalar `json:"error"`
	Result struct {
		RequestID string `json:"request_id"`
	} `json:"result"`
}

func (a *answer) Outcome() provider.Outcome {
	o := provider.Outcome{ID: a.Result.RequestID, Code: string(a.Error)}
	if a.OK != nil && !*a.OK {
		o.Verdict = provider.Refused
	}
	return o
}

const maxPayload = 128 // bytes

// Send sends m.Code to the E.164 number m.To. A code that is not of 4 to 8 digits is
// refused. The receipt has the request's ID.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if _, err := s.client.Number(m.To); err != nil {
		return otp.Receipt{}, err
	}
	code := m.Code.Reveal()
	if len(code) < 4 || len(code) > 8 || strings.Trim(code, "0123456789") != "" {
		return otp.Receipt{}, s.client.Refused("the code is not of 4 to 8 digits")
	}
	q := request{PhoneNumber: m.To, Sender: s.cfg.From, Code: code, TTL: provider.Seconds(m.TTL, 30, 3600)}
	if len(m.Key) <= maxPayload {
		q.Payload = m.Key
	}
	r := provider.JSON("/sendVerificationMessage", q)
	return s.client.Send(ctx, m, r.With("Authorization", "Bearer "+s.cfg.AccessToken.Reveal()), &answer{})
}
