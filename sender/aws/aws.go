package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"otp.example/otp"
)

// A Sender sends messages with one service. It is safe for concurrent use.
type Sender struct {
	provider string
	client   *http.Client
	check    func(otp.Message) error
	call     func(context.Context, sdk.HTTPClient, otp.Message) (id *string, err error)
}

var _ otp.Sender = (*Sender)(nil)

// timeout bounds one call, credentials included.
const timeout = 10 * time.Second

// Send hands m to the service. The receipt has the ID that AWS gave the message. The
// package's comment says what the errors wrap.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if err := s.check(m); err != nil {
		return otp.Receipt{}, fmt.Errorf("otp/aws: %w: %w", err, otp.ErrNotAccepted)
	}
	limit := timeout
	if m.TTL > 0 {
		limit = min(limit, m.TTL)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	try := &attempt{client: s.client}
	id, err := s.call(ctx, try, m)
	if err != nil {
		return otp.Receipt{}, fmt.Errorf("otp/aws: %w", outcome(ctx, err, try.connected.Load()))
	}
	if sdk.ToString(id) == "" {
		return otp.Receipt{}, errors.New("otp/aws: answer without a message ID")
	}
	return otp.Receipt{Provider: s.provider, MessageID: *id}, nil
}

// hidden makes the configuration that embeds it print and encode as [redacted]: the SDK's
// holds credentials in the clear, if they are fixed ones.
type hidden struct{}

// Format implements [fmt.Formatter].
func (hidden) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[redacted]") }

// MarshalText makes encoding/json, log/slog and others redact, too.
func (hidden) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }

// prepare checks cfg and turns off what must not happen to a code.
func prepare(cfg sdk.Config) (sdk.Config, error) {
	if cfg.Region == "" {
		return cfg, errors.New("otp/aws: Config.AWS has no region")
	}
	if cfg.Credentials == nil {
		return cfg, errors.New("otp/aws: Config.AWS has no credentials")
	}
	cfg = cfg.Copy()
	cfg.HTTPClient = nil
	cfg.Retryer = func() sdk.Retryer { return sdk.NopRetryer{} }
	cfg.ClientLogMode = 0
	return cfg, nil
}

var number = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

// checkNumber is for services that take a number and a text.
func checkNumber(m otp.Message) error {
	if !number.MatchString(m.To) {
		return errors.New("recipient is not an E.164 number")
	}
	if m.Content.Text == "" {
		return errors.New("message is empty")
	}
	return nil
}

// price is what AWS takes as an amount of US dollars.
var price = regexp.MustCompile(`^[0-9]{0,2}\.[0-9]{1,5}$`)

func checkPrice(field, s string) error {
	if s != "" && !price.MatchString(s) {
		return fmt.Errorf("otp/aws: Config.%s is not an amount such as 0.05", field)
	}
	return nil
}

// optional is s for a field that may be left out.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
