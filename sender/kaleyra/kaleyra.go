// Package kaleyra sends codes with Kaleyra, as text messages and to WhatsApp users.
//
// # Before the first message
//
// In the Kaleyra console, under Developers, make an API key; the SID is shown with it. In
// India the sender, the entity and the text of every message must be registered (DLT) and
// approved: a text that differs from its template by a word is dropped by the networks, so
// have a renderer that writes exactly the registered one. For WhatsApp make a template of
// the category Authentication.
//
// # What it costs to get it wrong
//
// A text is paid by its parts of 160 GSM-7 or 70 other characters, and so are messages
// that the networks drop.
//
// # What is certain and what is not
//
// There is no idempotency key and no lifetime of a message. Kaleyra publishes no list of
// the errors of this API, so 4xx is a refusal, of which 429 is sender.ErrTryLater, the rest
// is unknown, and nothing is [otp.ErrUndeliverable].
//
// # Not confirmed
//
// There is no published description of the answers. As in otpgateway, which has used this
// API for years, 200 and 202 are acceptances; the message's ID is taken from the field "id"
// and the receipt goes without one if there is none. A "code" is shown if an error has one.
//
// The fields of text messages are those of Kaleyra's page "Send the First SMS" of the path
// /v1/SID/messages, but for template_id and entity_id, which are otpgateway's. Those to
// WhatsApp are of Kaleyra's page on authentication templates, which has them in
// multipart/form-data: that Kaleyra takes them as a plain form is otpgateway's experience.
// Newer pages have the hosts api.in, api.ap and api.eu.kaleyra.io with other paths, such as
// /v1/SID/sms: that they take /v1/SID/messages, too, is not confirmed.
package kaleyra

import (
	"cmp"
	"context"
	"net/url"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is an account and what it sends from. It prints without the key.
type Config struct {
	APIKey  otp.Secret
	SID     string
	From    string // SMS: the registered sender ID; WhatsApp: the WhatsApp number
	BaseURL string // of a region, such as "https://api.eu.kaleyra.io"; empty means https://api.kaleyra.io

	// Template is, for SMS, the ID of the registered template, which only India asks for,
	// and for WhatsApp the name of the approved one.
	Template string
	EntityID string // SMS to India: the registered principal entity
}

// A Sender sends by one channel. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender. APIKey, SID and From are required.
func New(c Config) (*Sender, error) {
	if err := provider.Require("kaleyra", "APIKey", c.APIKey.Reveal(), "SID", c.SID, "From", c.From); err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: "kaleyra", BaseURL: cmp.Or(c.BaseURL, "https://api.kaleyra.io"), Secrets: []otp.Secret{c.APIKey},
	})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type answer struct {
	ID   provider.Scalar `json:"id"`
	Code provider.Scalar `json:"code"`
}

func (a *answer) Outcome() provider.Outcome {
	return provider.Outcome{ID: string(a.ID), Code: string(a.Code), Verdict: provider.Accepted}
}

// Send sends to the E.164 number m.To, by m.Channel, which is SMS or WhatsApp:
// m.Content.Text, of at most 1000 characters, or m.Code.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if _, err := s.client.Number(m.To); err != nil {
		return otp.Receipt{}, err
	}
	fields := url.Values{"to": {m.To}}
	switch m.Channel {
	case otp.SMS:
		text, err := s.client.Text(m, 1000)
		if err != nil {
			return otp.Receipt{}, err
		}
		fields.Set("type", "OTP")
		fields.Set("sender", s.cfg.From)
		fields.Set("body", text)
		if s.cfg.Template != "" {
			fields.Set("template_id", s.cfg.Template)
		}
		if s.cfg.EntityID != "" {
			fields.Set("entity_id", s.cfg.EntityID)
		}
	case otp.WhatsApp:
		if s.cfg.Template == "" || m.Code.Reveal() == "" {
			return otp.Receipt{}, s.client.Refused("Template or the code is missing")
		}
		fields.Set("type", "authenticationtemplate")
		fields.Set("channel", "whatsapp")
		fields.Set("from", s.cfg.From)
		fields.Set("template_name", s.cfg.Template)
		fields.Set("verification_code", m.Code.Reveal())
	default:
		return otp.Receipt{}, s.client.Refused("the channel is none of its channels")
	}
	r := provider.Form("/v1/"+url.PathEscape(s.cfg.SID)+"/messages", fields)
	return s.client.Send(ctx, m, r.With("api-key", s.cfg.APIKey.Reveal()), &answer{})
}
