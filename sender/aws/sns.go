package aws

import (
	"context"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"otp.example/otp"
)

// An SNSConfig is what [NewSNS] makes a Sender from. It prints as [redacted].
type SNSConfig struct {
	hidden
	AWS sdk.Config // region and credentials are required

	// SenderID is the name that phones show, in countries that allow one. Empty means a
	// number.
	SenderID string

	// Number is the origination number, in E.164. Empty means that AWS chooses.
	Number string

	// MaxPrice is the most that one message may cost, in US dollars, such as "0.05". AWS
	// refuses dearer ones. Empty means no bound: see what mistakes cost.
	MaxPrice string
}

// NewSNS returns a Sender of texts with SNS. Messages are transactional. [NewSMS] can do
// more.
func NewSNS(c SNSConfig) (*Sender, error) {
	cfg, err := prepare(c.AWS)
	if err != nil {
		return nil, err
	}
	if err := checkPrice("MaxPrice", c.MaxPrice); err != nil {
		return nil, err
	}
	attributes := map[string]types.MessageAttributeValue{}
	for name, a := range map[string]struct{ kind, value string }{
		"AWS.SNS.SMS.SMSType":          {"String", "Transactional"},
		"AWS.SNS.SMS.SenderID":         {"String", c.SenderID},
		"AWS.MM.SMS.OriginationNumber": {"String", c.Number},
		"AWS.SNS.SMS.MaxPrice":         {"Number", c.MaxPrice},
	} {
		if a.value != "" {
			attributes[name] = types.MessageAttributeValue{DataType: &a.kind, StringValue: &a.value}
		}
	}
	api := sns.NewFromConfig(cfg)
	return &Sender{
		provider: "aws-sns",
		client:   newClient(),
		check:    checkNumber,
		call: func(ctx context.Context, client sdk.HTTPClient, m otp.Message) (*string, error) {
			out, err := api.Publish(ctx, &sns.PublishInput{
				PhoneNumber:       &m.To,
				Message:           &m.Content.Text,
				MessageAttributes: attributes,
			}, func(o *sns.Options) { o.HTTPClient = client })
			if err != nil {
				return nil, err
			}
			return out.MessageId, nil
		},
	}, nil
}
