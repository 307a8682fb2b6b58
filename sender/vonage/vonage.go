// Package vonage sends codes with the Messages API of Vonage (formerly Nexmo): as text
// messages, and to users of WhatsApp, Messenger and Viber.
//
// # Before the first message
//
// The API key and secret are on the front page of dashboard.nexmo.com. Under Settings, API
// settings, text messages must be set to the Messages API. Have the sender ID registered
// where that is the law. For WhatsApp make a template of the category Authentication in
// Meta's business manager (package whatsapp says what belongs into it); for Messenger
// connect the page, and for Viber the service, to the account.
//
// One sender serves one channel, because what a message is from differs:
//
//   - SMS: a number without plus sign, or a sender ID of up to 11 letters and digits;
//   - WhatsApp: the WhatsApp number, without plus sign;
//   - Messenger: the ID of the page. Recipients are page-scoped IDs, and have written to the
//     page within 24 hours: later, Meta refuses messages with codes;
//   - Viber: the service ID.
//
// # What it costs to get it wrong
//
// A text is paid by its parts of 160 GSM-7 or 70 other characters. Fraud by text messages is
// paid by the account, so leave on only the countries that your people are in.
//
// # What is certain and what is not
//
// There is no idempotency key: the message's key is sent as client_ref, which comes back in
// receipts. Answers 4xx are refusals, of which 429 is sender.ErrTryLater, and so are 1000
// (throttled) and 1100 (not submitted, communication failed) whatever the status. The rest
// is unknown. [otp.ErrUndeliverable] is 1170: the number is missing or not valid.
//
// # Not confirmed
//
// The specification of the API is published as a page only. Fields are those of Vonage's
// own library for Python. The range of a text message's lifetime, 20 to 604800 seconds, is
// that of the older SMS API. What 1170 means is taken from Vonage's specification of 2021,
// and which status a code comes with is not documented; 1000 and 1100 are judged by the
// code alone. Authentication templates go in a message of the type custom, which Vonage
// passes on to Meta as it is: its own type template has no field for what is behind the
// button.
package vonage

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is an account and what it sends from. It prints without the secret.
type Config struct {
	APIKey    string
	APISecret otp.Secret
	From      string   // of one channel
	Template  string   // WhatsApp: the name of the template
	Languages []string // WhatsApp: in which it is approved, as "en_US"; the message's locale chooses, and the first is for all others
	BaseURL   string   // of a region, such as "https://api-eu.vonage.com"; empty means https://api.nexmo.com
}

// A Sender sends by one channel. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender. APIKey, APISecret and From are required.
func New(c Config) (*Sender, error) {
	c.Languages = slices.Clone(c.Languages)
	if err := provider.Require("vonage", "APIKey", c.APIKey, "APISecret", c.APISecret.Reveal(), "From", c.From); err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: "vonage", BaseURL: cmp.Or(c.BaseURL, "https://api.nexmo.com"), Secrets: []otp.Secret{c.APISecret},
	})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type request struct {
	Channel   string  `json:"channel"`
	Type      string  `json:"message_type"`
	To        string  `json:"to"`
	From      string  `json:"from"`
	Text      string  `json:"text,omitempty"`
	TTL       int     `json:"ttl,omitempty"` // of text messages
	Viber     *viber  `json:"viber_service,omitempty"`
	Custom    *custom `json:"custom,omitempty"`
	ClientRef string  `json:"client_ref,omitempty"`
}

type viber struct {
	Category string `json:"category"`
	TTL      int    `json:"ttl,omitempty"`
}

type custom struct {
	Type     string                `json:"type"`
	Template provider.AuthTemplate `json:"template"`
}

// An answer is an accepted message, or a problem of RFC 9457 whose type ends in # and a
// code.
type answer struct {
	MessageUUID string          `json:"message_uuid"`
	Type        provider.Scalar `json:"type"`
}

func (a *answer) Outcome() provider.Outcome {
	_, code, _ := strings.Cut(string(a.Type), "#")
	return provider.Outcome{ID: a.MessageUUID, Code: code, Verdict: verdicts[code]}
}

// verdicts has the errors that mean something else than their status does.
var verdicts = map[string]provider.Verdict{
	"1000": provider.TryLater,      // throttled
	"1100": provider.TryLater,      // not submitted
	"1170": provider.Undeliverable, // invalid number
}

const maxClientRef = 100

// Send sends m by m.Channel, which is SMS, WhatsApp, Messenger or Viber: m.Content.Text, of
// at most 1000 characters, or 640 to Messenger, and m.Code to WhatsApp. The receipt has the
// message's UUID.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	q := request{Channel: string(m.Channel), Type: "text", To: m.To, From: s.cfg.From}
	if len(m.Key) <= maxClientRef {
		q.ClientRef = m.Key
	}
	if err := s.fill(&q, m); err != nil {
		return otp.Receipt{}, err
	}
	return s.client.Send(ctx, m, provider.JSON("/v1/messages", q).Basic(s.cfg.APIKey, s.cfg.APISecret), &answer{})
}

// fill adds what is the channel's own.
func (s *Sender) fill(q *request, m otp.Message) (err error) {
	if m.Channel != otp.Messenger {
		if q.To, err = s.client.Number(m.To); err != nil {
			return err
		}
	}
	switch m.Channel {
	case otp.SMS:
		q.TTL = provider.Seconds(m.TTL, 20, 604800)
		q.Text, err = s.client.Text(m, 1000)
	case otp.Viber:
		q.Channel = "viber_service"
		q.Viber = &viber{Category: "transaction", TTL: provider.Seconds(m.TTL, 30, 259200)}
		q.Text, err = s.client.Text(m, 1000)
	case otp.Messenger:
		q.Text, err = s.client.Text(m, 640)
	case otp.WhatsApp:
		if s.cfg.Template == "" || len(s.cfg.Languages) == 0 {
			return s.client.Refused("Template or Languages is missing")
		}
		q.Type, q.Custom = "custom", &custom{Type: "template"}
		q.Custom.Template, err = s.client.AuthTemplate(m, s.cfg.Template, s.cfg.Languages)
	default:
		return s.client.Refused("the channel is none of its channels")
	}
	return err
}
