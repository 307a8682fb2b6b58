package aws

import (
	"context"
	"errors"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"

	"otp.example/otp"
)

// An SESConfig is what [NewSES] makes a Sender from. It prints as [redacted].
type SESConfig struct {
	hidden
	AWS sdk.Config // region and credentials are required

	// From is the address that the mails come from, with a name or without:
	// "Example <login@example.com>". SES must have verified it or its domain. Required.
	From string

	ConfigurationSet string // empty means the identity's own
}

// NewSES returns a Sender of e-mail with SES.
func NewSES(c SESConfig) (*Sender, error) {
	cfg, err := prepare(c.AWS)
	if err != nil {
		return nil, err
	}
	if c.From == "" {
		return nil, errors.New("otp/aws: Config.From is required")
	}
	from, err := mail.ParseAddress(c.From)
	if err != nil || !isAddress(from.Address) || strings.ContainsFunc(from.Name, unicode.IsControl) {
		return nil, errors.New("otp/aws: Config.From is not an address that mail can be sent from")
	}
	sender := from.String()
	api := sesv2.NewFromConfig(cfg)
	return &Sender{
		provider: "aws-ses",
		client:   newClient(),
		check:    checkMail,
		call: func(ctx context.Context, client sdk.HTTPClient, m otp.Message) (*string, error) {
			out, err := api.SendEmail(ctx, &sesv2.SendEmailInput{
				FromEmailAddress:     &sender,
				Destination:          &types.Destination{ToAddresses: []string{m.To}},
				ConfigurationSetName: optional(c.ConfigurationSet),
				Content: &types.EmailContent{Simple: &types.Message{
					Subject: content(m.Content.Subject),
					Body:    &types.Body{Text: content(m.Content.Text), Html: content(m.Content.HTML)},
				}},
			}, func(o *sesv2.Options) { o.HTTPClient = client })
			if err != nil {
				return nil, err
			}
			return out.MessageId, nil
		},
	}, nil
}

func content(s string) *types.Content {
	if s == "" {
		return nil
	}
	return &types.Content{Data: &s, Charset: sdk.String("UTF-8")}
}

// checkMail refuses what would be more than one recipient or one line: SES makes the
// header, and who reads it does not know what it was made from.
func checkMail(m otp.Message) error {
	switch subject := m.Content.Subject; {
	case !isAddress(m.To):
		return errors.New("recipient is not an e-mail address")
	case subject == "" || !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl):
		return errors.New("subject is empty, has a control character or is not UTF-8")
	case m.Content.Text == "" && m.Content.HTML == "":
		return errors.New("message is empty")
	}
	return nil
}

func isAddress(s string) bool {
	local, domain, _ := strings.Cut(s, "@")
	return len(s) <= 254 && local != "" && domain != "" && !strings.Contains(domain, "@") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),:;<>[\]`, r) })
}
