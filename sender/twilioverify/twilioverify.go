// Package twilioverify verifies with Twilio Verify, which makes the codes, sends them and
// checks them. The challenge stays this library's: its limits, attempts, guess ledger,
// lifetime, proofs and events are the same as for codes of our own.
//
//	provider, err := twilioverify.New(…)
//	svc, err := otp.New(otp.Config{Senders: {otp.SMS: provider}, Policies: …})
//	verifier := provider.Verifier(svc)
//
// A challenge is then requested and resent with svc, and its answer given to verifier, not
// to svc: the code that svc knows has been sent to nobody.
//
// # Before the first message
//
// The Account SID and the auth token are on the first page of console.twilio.com; better
// than the token is an API key (Account, API keys & tokens). Make a service for each usage
// under Verify, Services, set the length of its codes and switch its channels on; e-mail
// also needs a mailer. For calls switch on that a key must be pressed (DtmfInputRequired), or
// the code is read to voicemails. Under Verify, Settings, Geo permissions, leave on only the
// countries that your people are in.
//
// # The policy that it needs
//
// The guess ledger reserves for the challenge's format, so that must be the one that Twilio
// sends: exactly one format, of [Config.CodeLength] digits. It has nothing longer to go on
// to when guesses run low, so [otp.Service.Request] then refuses. With 6 digits and 5
// attempts that is after four challenges in a day that nobody answered; eight digits are
// better. LiveCodes must be 1, since a resend brings the same code, and the ledger would be
// charged for a second. MaxAttempts must be 2 or more, and more than 5 is of no use: Twilio
// has that many. The example shows such a policy.
//
// Nothing checks such a policy before it is used. [Provider.Send] sees one message, so it
// refuses a Binding, a usage that has no service, and a code that is not CodeLength digits. With
// more LiveCodes or fewer MaxAttempts the message is sent and paid for, and every answer to it
// is a fault. With a second format messages are refused once guesses run low.
//
// # What differs from codes of our own
//
// Twilio's code belongs to the service and the recipient, not to the challenge. For ten
// minutes it stays the same until it is answered, also in another challenge of the same
// number: it answers any of those. Therefore:
//
//   - Each usage has its own service, so that a code of one never answers another.
//     Tenants that must not share codes need a Provider each, with sender.RouteBy and
//     sender.Tenant.
//   - A message with a Binding is refused: the code would confirm any amount to any payee.
//   - A challenge that is made some minutes after one that nobody answered ends with the
//     older code, earlier than its own ExpiresAt. After 5 wrong answers or 5 messages to a
//     number, Twilio has no other code for it until that one is over.
//   - An answer during whose check the person asks for a resend is refused, although Twilio
//     has used its code up. One more resend brings a new code.
//   - A Fallback may name another channel of the same number. A code to another recipient
//     answers nothing, and the proof names the first channel, whichever the code came by.
//   - A Verifier accepts no code that another sender has sent. So neither otp.Failover nor
//     sender.RouteBy may lead from a Provider to a sender of another kind: its messages arrive,
//     and their codes are always rejected. Fail over in the application, with a second Service
//     that has the other sender, on the same store, and whose own Verify takes the answers.
//
// A right answer counts as two attempts, one before Twilio is asked and one that uses the
// challenge up: MaxAttempts of 5 allows four answers, and [AttemptsLeft] tells how many are
// left, which a Challenge itself does not. In one process the answers to a challenge are
// checked one after another. Several processes can use the attempts up at the same moment,
// so that none of them succeeds; two never do.
//
// The Verifier asks Twilio for real challenges and not for decoys, which takes time that
// can be measured. Do not use it with Request.Conceal where that must not tell. It does not
// know the IDs of [otp.Service.Reference].
//
// # What is certain and what is not
//
// A code is right if Twilio says both "approved" and valid. It is wrong if it names any
// other of its statuses, has no such verification (20404: answered, over, or too many
// answers; a wrong service, too), or has counted too many answers (60202). Everything else
// is a fault, and denies. The attempt stays counted in each case.
//
// There is no idempotency key. When sending, a 4xx answer is a refusal, and 429 among them is
// sender.ErrTryLater. Everything else is unknown. [otp.ErrUndeliverable] is 60205: the number
// is a land line, and the service does not send texts to those.
//
// # Not confirmed
//
// Locale is not sent. Twilio's specification says that a language which it does not have
// becomes English, and its page on languages that the request fails with 404; the page
// recommends to leave the choice to the number's country. The statuses that 60212 (two at
// once) and 60410 (blocked by Fraud Guard) come with are not documented; a 4xx is a refusal.
// Whether too many answers are 20404 or 60202 is said in two ways, and both are wrong codes.
package twilioverify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"otp.example/otp"
	"otp.example/otp/internal/bridge"
	"otp.example/otp/sender/internal/provider"
)

const (
	name   = "twilioverify"
	apiURL = "https://verify.twilio.com"

	defaultLength = 6
	minLength     = 6  // as otp.Policy has it
	maxLength     = 10 // of Twilio's codes
)

// core is what the root package does for providers that keep the code.
var core = bridge.Root[interface {
	VerifyExternal(ctx context.Context, s *otp.Service, a otp.Answer, check func(ctx context.Context, to, code string) (bool, error)) (otp.Proof, error)
}]()

// A Config is an account and its Verify services. It prints without the secret.
type Config struct {
	AccountSID string     // "AC…"; not needed with an APIKey
	APIKey     string     // "SK…"; if it is empty, Secret is the account's auth token
	Secret     otp.Secret // of the API key, or the auth token

	// ServiceSIDs has the Verify service ("VA" and 32 hex digits) of each usage. Two usages
	// cannot have the same: a code for one would answer the other.
	ServiceSIDs map[otp.Usage]string

	CodeLength int    // in digits, as it is set in all the services: 6 to 10; zero means 6
	BaseURL    string // empty means https://verify.twilio.com
}

// A Provider has codes sent and checked. It is safe for concurrent use.
type Provider struct {
	cfg    Config
	client *provider.Client
	turns  turns
}

var _ otp.Sender = (*Provider)(nil)

// New returns a Provider. Secret, ServiceSIDs, and AccountSID or APIKey are required. c is
// copied.
func New(c Config) (*Provider, error) {
	c.CodeLength = cmp.Or(c.CodeLength, defaultLength)
	c.ServiceSIDs = maps.Clone(c.ServiceSIDs)
	if err := provider.Require(name, "AccountSID or APIKey", cmp.Or(c.APIKey, c.AccountSID), "Secret", c.Secret.Reveal()); err != nil {
		return nil, err
	}
	if c.CodeLength < minLength || c.CodeLength > maxLength {
		return nil, errors.New("otp/" + name + ": CodeLength is not 6 to 10")
	}
	if err := checkServices(c.ServiceSIDs); err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: name, BaseURL: cmp.Or(c.BaseURL, apiURL), Secrets: []otp.Secret{c.Secret},
	})
	if err != nil {
		return nil, err
	}
	return &Provider{cfg: c, client: client}, nil
}

func checkServices(services map[otp.Usage]string) error {
	if len(services) == 0 {
		return errors.New("otp/" + name + ": ServiceSIDs is missing")
	}
	usageOf := map[string]otp.Usage{}
	for _, usage := range slices.Sorted(maps.Keys(services)) {
		sid := services[usage]
		if sid == "" {
			return fmt.Errorf("otp/%s: ServiceSIDs has an empty one for usage %q", name, string(usage))
		}
		if !isServiceSID(sid) {
			return fmt.Errorf("otp/%s: ServiceSIDs has one for usage %q that is not VA and 32 hex digits", name, string(usage))
		}
		sid = strings.ToLower(sid) // so that two spellings are not two services
		if other, ok := usageOf[sid]; ok {
			return fmt.Errorf("otp/%s: ServiceSIDs has the same one for usages %q and %q", name, string(other), string(usage))
		}
		usageOf[sid] = usage
	}
	return nil
}

func isServiceSID(s string) bool {
	digits, found := strings.CutPrefix(s, "VA")
	return found && len(digits) == 32 && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// channels has Twilio's names.
var channels = map[otp.Channel]string{otp.SMS: "sms", otp.Voice: "call", otp.WhatsApp: "whatsapp", otp.Email: "email"}

// Send has Twilio make a code and send it to m.To by m.Channel, which is SMS, Voice,
// WhatsApp or Email. m.Code and m.Content are not used. It refuses a message that has a
// Binding, a usage without a service, or a code that is not of CodeLength digits. The
// receipt has the verification's SID.
func (p *Provider) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	channel := channels[m.Channel]
	service := p.cfg.ServiceSIDs[m.Usage]
	switch {
	case channel == "":
		return otp.Receipt{}, p.client.Refused("the channel is none of its channels")
	case service == "":
		return otp.Receipt{}, p.client.Refused("the usage has no service")
	case m.Binding != "":
		return otp.Receipt{}, p.client.Refused("its codes confirm no Binding")
	case !p.isCode(m.Code.Reveal()):
		return otp.Receipt{}, p.client.Refused("the policy's format is not CodeLength digits")
	}
	if m.Channel != otp.Email {
		if _, err := p.client.Number(m.To); err != nil {
			return otp.Receipt{}, err
		}
	}
	return p.client.Send(ctx, m, p.request(service, "Verifications", url.Values{"To": {m.To}, "Channel": {channel}}), &started{})
}

// request returns a request to create a resource of a service.
func (p *Provider) request(service, resource string, fields url.Values) provider.Request {
	path := "/v2/Services/" + url.PathEscape(service) + "/" + resource
	return provider.Form(path, fields).Basic(cmp.Or(p.cfg.APIKey, p.cfg.AccountSID), p.cfg.Secret)
}

func (p *Provider) isCode(code string) bool {
	return len(code) == p.cfg.CodeLength && strings.Trim(code, "0123456789") == ""
}

// started is a verification that was begun, or an error.
type started struct {
	SID  string          `json:"sid"`
	Code provider.Scalar `json:"code"`
}

func (a *started) Outcome() provider.Outcome {
	o := provider.Outcome{ID: a.SID, Code: string(a.Code)}
	if o.Code == "60205" { // no texts to land lines
		o.Verdict = provider.Undeliverable
	}
	return o
}
