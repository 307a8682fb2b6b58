// Package infobip sends codes as text messages with Infobip.
//
// # Before the first message
//
// In portal.infobip.com make an API key under Developers, API keys, with the scope
// sms:message:send and the addresses of your servers, and copy the base URL of the
// account, which is its own host. Have the sender ID registered where that is the law.
//
// # What it costs to get it wrong
//
// A text is paid by its parts of 160 GSM-7 or 70 other characters. By default one number
// gets at most 20 different and 6 equal messages an hour (REJECTED_FLOODING_FILTER).
//
// # What is certain and what is not
//
// The message's key is sent as Infobip's messageId, which it takes once. So a try after an
// answer that never came sends nothing twice, and the refusal of a duplicate
// (REJECTED_DUPLICATE_MESSAGE_ID) is an acceptance.
//
// Infobip answers 200 and says in a status what became of the message. The groups PENDING,
// ACCEPTED and DELIVERED are acceptances; REJECTED and UNDELIVERABLE are refusals, of which
// these are [otp.ErrUndeliverable]: REJECTED_PREFIX_MISSING (8),
// UNDELIVERABLE_NOT_DELIVERED (9), MISSING_TO (51) and REJECTED_DESTINATION (52), which
// mean that there is no such number, and REJECTED_SYSTEM_ERROR (21) is sender.ErrTryLater.
// EXPIRED and groups that are not known are unknown. Of other answers 4xx is a refusal, of
// which 429 is sender.ErrTryLater, and the rest unknown.
package infobip

import (
	"context"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is an account and the name that it sends from. It prints without the key.
type Config struct {
	BaseURL string // of the account, as "https://xxxxx.api.infobip.com"
	APIKey  otp.Secret
	From    string // a number without plus sign, a short code or a sender ID
}

// A Sender sends texts. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender of texts. All fields are required.
func New(c Config) (*Sender, error) {
	if err := provider.Require("infobip", "BaseURL", c.BaseURL, "APIKey", c.APIKey.Reveal(), "From", c.From); err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{Name: "infobip", BaseURL: c.BaseURL, Secrets: []otp.Secret{c.APIKey}})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type request struct {
	Messages []message `json:"messages"`
}

type message struct {
	Sender       string        `json:"sender"`
	Destinations []destination `json:"destinations"`
	Content      content       `json:"content"`
	Options      *options      `json:"options,omitempty"`
}

type destination struct {
	To        string `json:"to"`
	MessageID string `json:"messageId,omitempty"`
}

type content struct {
	Text string `json:"text"`
}

type options struct {
	ValidityPeriod validity `json:"validityPeriod"`
}

type validity struct {
	Amount   int    `json:"amount"`
	TimeUnit string `json:"timeUnit"`
}

type answer struct {
	ErrorCode provider.Scalar `json:"errorCode"` // of 4xx and 5xx
	Messages  []struct {
		MessageID string `json:"messageId"`
		Status    struct {
			GroupName string          `json:"groupName"`
			ID        provider.Scalar `json:"id"`
		} `json:"status"`
	} `json:"messages"`
}

func (a *answer) Outcome() provider.Outcome {
	if len(a.Messages) != 1 {
		return provider.Outcome{Code: string(a.ErrorCode)}
	}
	m := a.Messages[0]
	o := provider.Outcome{ID: m.MessageID, Code: string(m.Status.ID), Verdict: provider.Unknown}
	switch m.Status.GroupName {
	case "PENDING", "ACCEPTED", "DELIVERED":
		o.Verdict = provider.ByStatus
	case "REJECTED", "UNDELIVERABLE":
		o.Verdict = provider.Refused
		switch m.Status.ID {
		case "8", "9", "51", "52":
			o.Verdict = provider.Undeliverable
		case "23":
			o.Verdict = provider.Accepted
		case "21":
			o.Verdict = provider.TryLater
		}
	}
	return o
}

// Send sends m.Content.Text, of at most 1000 characters, to the E.164 number m.To. Infobip
// drops it when the challenge is over. The receipt has the message's ID, which is m.Key.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	number, err := s.client.Number(m.To)
	if err != nil {
		return otp.Receipt{}, err
	}
	text, err := s.client.Text(m, 1000)
	if err != nil {
		return otp.Receipt{}, err
	}
	one := message{
		Sender: s.cfg.From, Destinations: []destination{{To: number, MessageID: m.Key}}, Content: content{Text: text},
	}
	if n := provider.Seconds(m.TTL, 1, 48*3600); n > 0 {
		one.Options = &options{ValidityPeriod: validity{Amount: n, TimeUnit: "SECONDS"}}
	}
	r := provider.JSON("/sms/3/messages", request{Messages: []message{one}})
	return s.client.Send(ctx, m, r.With("Authorization", "App "+s.cfg.APIKey.Reveal()), &answer{})
}
