// Package plivo sends codes as text messages with Plivo.
//
// # Before the first message
//
// The Auth ID and the Auth Token are on the overview page of the Plivo console. Rent a
// number or make a Powerpack, and under Messaging, Geo permissions, leave on only the
// countries that your people are in: fraud by text messages is paid by the account.
//
// # What it costs to get it wrong
//
// A text is paid by its parts of 160 GSM-7 or 70 other characters. Alphanumeric sender IDs
// are off until Plivo's support turns them on, and in the United States and Canada only
// numbers work, which must be registered (10DLC): others are accepted and then dropped.
//
// # What is certain and what is not
//
// Plivo has no idempotency key. Answers 4xx are refusals, of which 429 is
// sender.ErrTryLater, and the rest is unknown. Errors have no codes, only sentences, so
// none is [otp.ErrUndeliverable]: a number that Plivo does not like is left to the next
// sender. A message that has waited as long as its challenge lives is dropped and not paid.
package plivo

import (
	"cmp"
	"context"
	"net/url"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is an account and the number that it sends from. It prints without the token.
type Config struct {
	AuthID    string
	AuthToken otp.Secret
	From      string // "+15005550010", a short code or a sender ID
	BaseURL   string // empty means https://api.plivo.com
}

// A Sender sends texts. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender of texts. AuthID, AuthToken and From are required.
func New(c Config) (*Sender, error) {
	if err := provider.Require("plivo", "AuthID", c.AuthID, "AuthToken", c.AuthToken.Reveal(), "From", c.From); err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: "plivo", BaseURL: cmp.Or(c.BaseURL, "https://api.plivo.com"), Secrets: []otp.Secret{c.AuthToken},
	})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type request struct {
	Src    string `json:"src"`
	Dst    string `json:"dst"`
	Text   string `json:"text"`
	Type   string `json:"type"`
	Expiry int    `json:"message_expiry,omitempty"`
	Log    bool   `json:"log"` // false: Plivo keeps neither the text nor the whole number
}

type answer struct {
	MessageUUID []string `json:"message_uuid"`
}

func (a *answer) Outcome() provider.Outcome {
	if len(a.MessageUUID) != 1 {
		return provider.Outcome{}
	}
	return provider.Outcome{ID: a.MessageUUID[0]}
}

// Send sends m.Content.Text, of at most 737 characters, to the E.164 number m.To. That is
// what Plivo takes of text that is not in GSM-7. The receipt has the message's UUID.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	number, err := s.client.Number(m.To)
	if err != nil {
		return otp.Receipt{}, err
	}
	text, err := s.client.Text(m, 737)
	if err != nil {
		return otp.Receipt{}, err
	}
	r := provider.JSON("/v1/Account/"+url.PathEscape(s.cfg.AuthID)+"/Message/", request{
		Src: s.cfg.From, Dst: number, Text: text, Type: "sms", Expiry: provider.Seconds(m.TTL, 5, 10799),
	})
	return s.client.Send(ctx, m, r.Basic(s.cfg.AuthID, s.cfg.AuthToken), &answer{})
}
