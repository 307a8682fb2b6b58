// Package whatsapp sends codes by the WhatsApp Cloud API of Meta.
//
// # Before the first message
//
// In business.facebook.com verify the business, add a number to the WhatsApp account and
// make a template of the category Authentication with a copy-code or one-tap button, in
// every language that you want. The token is one of a system user, with the permission
// whatsapp_business_messaging; tokens of the quick start expire after a day.
// PhoneNumberID is the number's ID on the page API setup, not the number.
//
// The text belongs to the template, so m.Content is not used: the code goes into it, and
// behind its button, which is why it is in the request twice. It has at most 15 characters.
// Set the template's code_expiration_minutes to what your policy says, and its
// message_send_ttl_seconds to no more: a request cannot say how long a message may wait.
//
// # What it costs to get it wrong
//
// Delivered messages are paid by country. A template that people block is paused by Meta
// (132015) and then disabled (132016); a number that sends too much is throttled (131048,
// 131056).
//
// # What is certain and what is not
//
// Meta accepts before it knows whether the number is on WhatsApp, so most failures, 131026
// (undeliverable) among them, come later by its webhook. In an answer they are refusals,
// and none is [otp.ErrUndeliverable]: a number without WhatsApp can have a text message, so
// in [otp.Failover] a sender of those can come next. Answers 4xx are refusals. The rate
// limits 4, 80007, 130429 and 131056, and whatever else comes with 429, are
// sender.ErrTryLater. 5xx, also 131000 (something went wrong) and 131016 (unavailable), are
// unknown. There is no idempotency key.
//
// What is sent as a text then was rendered for otp.WhatsApp: package message ends an SMS with
// "@host #code", and this one without. A Guard of your own has to look at numbers on this
// channel, too; otp.DefaultGuard and that of package phone do.
//
// A message ID of WhatsApp's ("wamid.…") has the recipient's number in it, in base64, and
// receipts get into logs. So they have a hash of it; see [MessageID].
//
// # Not confirmed
//
// Which status a code comes with. Meta documents it for few, advises to go by the code, and
// others report different ones for the same code. Only the four rate limits above are
// judged by their code, whatever the status; all other codes are shown, and the status
// decides. That a message ID has the number in it is seen in Meta's examples, and not said.
package whatsapp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is a number and its template. It prints without the token.
type Config struct {
	PhoneNumberID string
	AccessToken   otp.Secret
	Template      string   // its name
	Languages     []string // in which it is approved, as "en_US"; the message's locale chooses, and the first is for all others
	BaseURL       string   // with a version; empty means https://graph.facebook.com/v23.0
}

// A Sender sends codes to WhatsApp users. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender to WhatsApp users. All fields but BaseURL are required.
func New(c Config) (*Sender, error) {
	c.Languages = slices.Clone(c.Languages)
	err := provider.Require("whatsapp", "PhoneNumberID", c.PhoneNumberID, "AccessToken", c.AccessToken.Reveal(),
		"Template", c.Template, "Languages", provider.Language(c.Languages, ""))
	if err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: "whatsapp", BaseURL: cmp.Or(c.BaseURL, "https://graph.facebook.com/v23.0"), Secrets: []otp.Secret{c.AccessToken},
	})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type request struct {
	Product       string                `json:"messaging_product"`
	RecipientType string                `json:"recipient_type"`
	To            string                `json:"to"`
	Type          string                `json:"type"`
	Template      provider.AuthTemplate `json:"template"`
}

type answer struct {
	Messages []struct {
		ID string `json:"id"`
	} `json:"messages"`
	Error struct {
		Code provider.Scalar `json:"code"`
	} `json:"error"`
}

func (a *answer) Outcome() provider.Outcome {
	o := provider.Outcome{Code: string(a.Error.Code)}
	switch o.Code {
	case "4", "80007", "130429", "131056": // rate limits of the app, the account, the number and the recipient
		o.Verdict = provider.TryLater
	}
	if len(a.Messages) == 1 {
		o.ID = MessageID(a.Messages[0].ID)
	}
	return o
}

// MessageID returns what a receipt has in the place of WhatsApp's own ID of the message, to
// find it by the ID that a webhook tells. It is a hash, and empty for an empty ID.
func MessageID(wamid string) string {
	if wamid == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(wamid))
	return hex.EncodeToString(sum[:16])
}

// Send sends m.Code to the E.164 number m.To. The receipt has the [MessageID].
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	number, err := s.client.Number(m.To)
	if err != nil {
		return otp.Receipt{}, err
	}
	template, err := s.client.AuthTemplate(m, s.cfg.Template, s.cfg.Languages)
	if err != nil {
		return otp.Receipt{}, err
	}
	r := provider.JSON("/"+url.PathEscape(s.cfg.PhoneNumberID)+"/messages", request{
		Product: "whatsapp", RecipientType: "individual", To: number, Type: "template", Template: template,
	})
	return s.client.Send(ctx, m, r.With("Authorization", "Bearer "+s.cfg.AccessToken.Reveal()), &answer{})
}
