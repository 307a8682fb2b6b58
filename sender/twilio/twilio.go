// Package twilio sends codes with Twilio, as text messages and as calls.
//
// # Before the first message
//
// The Account SID and the auth token are on the first page of console.twilio.com. Better
// than the auth token is a restricted API key (Account, API keys & tokens) that may only
// create messages or calls: whoever has the token has the account, and fraud by text
// messages is paid by its owner. Buy a number or make a Messaging Service, and under
// Messaging, Settings, Geo permissions, leave on only the countries that your people are
// in. What is sent to the others is refused by Twilio before it costs anything.
//
// # What it costs to get it wrong
//
// A text of more than 160 characters, or of more than 70 if it has one that is not in
// GSM-7, is paid as several. A sender that is not registered where registration is the law
// (10DLC in the United States, sender IDs in India, Singapore and others) has its messages
// accepted, paid and dropped by the networks.
//
// # What is certain and what is not
//
// Twilio has no idempotency key for these requests. After an answer that never came the
// message may have been sent, so the error is neither [otp.ErrNotAccepted] nor
// [otp.ErrUndeliverable] and [otp.Failover] does not go on. Answers 4xx are refusals, of
// which 429 is sender.ErrTryLater, and 5xx are unknown, since Twilio does not say that it
// has not taken the message.
//
// [otp.ErrUndeliverable] are 21211, 21217 and 21614 (no number, or none that can have
// messages), 21635 (a land line, in countries where Twilio does not try those) and 21610:
// the person has answered STOP to this sender, and to go on with another provider would go
// around that. 21614 can be a number of a device whose form Twilio does not know.
//
// # Not confirmed
//
// Twilio advises not to rely on codes, since it splits them into narrower ones: a code that
// is not among these five is judged by its status alone. Which status each of them comes
// with is documented for 21211 only, and does not matter.
package twilio

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

const apiURL = "https://api.twilio.com"

// A Config is an account and the number that it sends from. It prints without the secret.
type Config struct {
	AccountSID string     // "AC…"
	APIKey     string     // "SK…"; if it is empty, Secret is the account's auth token
	Secret     otp.Secret // of the API key, or the auth token
	From       string     // "+15005550006", a short code, a sender ID, or for texts a Messaging Service "MG…"
	BaseURL    string     // of a region, such as "https://api.dublin.ie1.twilio.com"; empty means https://api.twilio.com
}

func (c Config) client(name string, more ...otp.Secret) (*provider.Client, error) {
	if err := provider.Require(name, "AccountSID", c.AccountSID, "Secret", c.Secret.Reveal(), "From", c.From); err != nil {
		return nil, err
	}
	if c.BaseURL == "" {
		c.BaseURL = apiURL
	}
	return provider.New(provider.Config{Name: name, BaseURL: c.BaseURL, Secrets: append(more, c.Secret)})
}

// request returns a request to create a resource of the account.
func (c Config) request(resource string, fields url.Values) provider.Request {
	user := c.APIKey
	if user == "" {
		user = c.AccountSID
	}
	path := "/2010-04-01/Accounts/" + url.PathEscape(c.AccountSID) + "/" + resource + ".json"
	return provider.Form(path, fields).Basic(user, c.Secret)
}

// Messages sends texts. It is safe for concurrent use.
type Messages struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Messages)(nil)

// NewMessages returns a sender of texts. AccountSID, Secret and From are required.
func NewMessages(c Config) (*Messages, error) {
	client, err := c.client("twilio")
	if err != nil {
		return nil, err
	}
	return &Messages{cfg: c, client: client}, nil
}

// Send sends m.Content.Text, of at most 1600 characters, to the E.164 number m.To. Twilio
// drops it when the challenge is over. The receipt has the message's SID.
func (s *Messages) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if _, err := s.client.Number(m.To); err != nil {
		return otp.Receipt{}, err
	}
	text, err := s.client.Text(m, 1600)
	if err != nil {
		return otp.Receipt{}, err
	}
	fields := url.Values{"To": {m.To}, "Body": {text}}
	if strings.HasPrefix(s.cfg.From, "MG") && len(s.cfg.From) == 34 {
		fields.Set("MessagingServiceSid", s.cfg.From)
	} else {
		fields.Set("From", s.cfg.From)
	}
	if n := provider.Seconds(m.TTL, 1, 36000); n > 0 {
		fields.Set("ValidityPeriod", strconv.Itoa(n))
	}
	return s.client.Send(ctx, m, s.cfg.request("Messages", fields), &answer{})
}

// An answer is a created resource, or an error.
type answer struct {
	SID  string          `json:"sid"`
	Code provider.Scalar `json:"code"`
}

func (a *answer) Outcome() provider.Outcome {
	return provider.Outcome{ID: a.SID, Code: string(a.Code), Verdict: verdicts[string(a.Code)]}
}

// verdicts has the errors that mean something else than their status does.
var verdicts = map[string]provider.Verdict{
	"21211": provider.Undeliverable, // invalid 'To' number
	"21217": provider.Undeliverable, // the same, for calls
	"21610": provider.Undeliverable, // the recipient has opted out
	"21614": provider.Undeliverable, // 'To' is no mobile number
	"21635": provider.Undeliverable, // 'To' is a land line
}
