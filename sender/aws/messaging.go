package aws

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/pinpointsmsvoicev2"
	"github.com/aws/aws-sdk-go-v2/service/pinpointsmsvoicev2/types"

	"otp.example/otp"
)

// An SMSConfig is what [NewSMS] makes a Sender from. It prints as [redacted].
type SMSConfig struct {
	hidden
	AWS sdk.Config // region and credentials are required

	// From is the origination identity: a number, a sender ID or a pool, by its ID or ARN.
	// Empty means that AWS chooses one for the country, if the account has any.
	From string

	ConfigurationSet string // name or ARN; empty means none

	// MaxPrice is the most that one message may cost, in US dollars, such as "0.05". AWS
	// refuses dearer ones. Empty means no bound: see what mistakes cost.
	MaxPrice string

	// CountryParameters are what a country's rules demand, such as IN_ENTITY_ID and
	// IN_TEMPLATE_ID. Empty means none.
	CountryParameters map[string]string
}

// NewSMS returns a Sender of texts with AWS End User Messaging. Messages are transactional,
// and are dropped when they have not reached the network before the code expires.
func NewSMS(c SMSConfig) (*Sender, error) {
	cfg, err := prepare(c.AWS)
	if err != nil {
		return nil, err
	}
	if err := checkPrice("MaxPrice", c.MaxPrice); err != nil {
		return nil, err
	}
	api := pinpointsmsvoicev2.NewFromConfig(cfg)
	c.CountryParameters = maps.Clone(c.CountryParameters)
	return &Sender{
		provider: "aws-sms",
		client:   newClient(),
		check:    checkNumber,
		call: func(ctx context.Context, client sdk.HTTPClient, m otp.Message) (*string, error) {
			out, err := api.SendTextMessage(ctx, &pinpointsmsvoicev2.SendTextMessageInput{
				DestinationPhoneNumber:       &m.To,
				MessageBody:                  &m.Content.Text,
				MessageType:                  types.MessageTypeTransactional,
				OriginationIdentity:          optional(c.From),
				ConfigurationSetName:         optional(c.ConfigurationSet),
				MaxPrice:                     optional(c.MaxPrice),
				TimeToLive:                   timeToLive(m.TTL),
				DestinationCountryParameters: c.CountryParameters,
			}, func(o *pinpointsmsvoicev2.Options) { o.HTTPClient = client })
			if err != nil {
				return nil, err
			}
			return out.MessageId, nil
		},
	}, nil
}

// A VoiceConfig is what [NewVoice] makes a Sender from. It prints as [redacted].
type VoiceConfig struct {
	hidden
	AWS sdk.Config // region and credentials are required

	// From is the number that calls, or a pool, by its ID or ARN. Required.
	From string

	ConfigurationSet string // name or ARN; empty means none

	// Voice is one of Amazon Polly's, such as "JOANNA", and decides the language too.
	// Empty means AWS's choice, which speaks English.
	Voice string

	// MaxPrice is the most that a minute may cost, in US dollars, such as "0.05". Empty
	// means no bound: see what mistakes cost.
	MaxPrice string
}

// NewVoice returns a Sender that calls and reads the text, with AWS End User Messaging. A
// number's answering machine hears it as well as its owner.
func NewVoice(c VoiceConfig) (*Sender, error) {
	cfg, err := prepare(c.AWS)
	if err != nil {
		return nil, err
	}
	if c.From == "" {
		return nil, errors.New("otp/aws: Config.From is required")
	}
	voice := types.VoiceId(c.Voice)
	if c.Voice != "" && !slices.Contains(voice.Values(), voice) {
		return nil, fmt.Errorf("otp/aws: Config.Voice %q is unknown", c.Voice)
	}
	if err := checkPrice("MaxPrice", c.MaxPrice); err != nil {
		return nil, err
	}
	api := pinpointsmsvoicev2.NewFromConfig(cfg)
	return &Sender{
		provider: "aws-voice",
		client:   newClient(),
		check:    checkNumber,
		call: func(ctx context.Context, client sdk.HTTPClient, m otp.Message) (*string, error) {
			out, err := api.SendVoiceMessage(ctx, &pinpointsmsvoicev2.SendVoiceMessageInput{
				DestinationPhoneNumber: &m.To,
				MessageBody:            &m.Content.Text,
				MessageBodyTextType:    types.VoiceMessageBodyTextTypeText,
				OriginationIdentity:    &c.From,
				ConfigurationSetName:   optional(c.ConfigurationSet),
				MaxPricePerMinute:      optional(c.MaxPrice),
				TimeToLive:             timeToLive(m.TTL),
				VoiceId:                voice,
			}, func(o *pinpointsmsvoicev2.Options) { o.HTTPClient = client })
			if err != nil {
				return nil, err
			}
			return out.MessageId, nil
		},
	}, nil
}

// timeToLive is how long AWS may hold a message, in seconds from 5 to 259200. Nil leaves
// it to AWS.
func timeToLive(ttl time.Duration) *int32 {
	if ttl <= 0 {
		return nil
	}
	return sdk.Int32(int32(min(max(ttl/time.Second, 5), 259200)))
}
