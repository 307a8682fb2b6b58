// Package bird sends codes as text messages with Bird, formerly MessageBird, by its
// Channels API.
//
// # Before the first message
//
// In the Bird dashboard buy a number, install an SMS channel on it, and under Settings,
// Security, Access keys make a key with the role Application Developer; a key without the
// role gets 401 for everything. WorkspaceID and ChannelID are the UUIDs in the URL of the
// channel's page. Access keys of the older rest.messagebird.com do not work here.
//
// # What it costs to get it wrong
//
// Every accepted message is paid, whether it arrives or not, and a long text as several.
// The channel decides who the sender is, and in which countries it may be seen.
//
// # What is certain and what is not
//
// The documentation of this API names no idempotency key and no lifetime of a message, so
// neither is sent: a message that Bird holds back may arrive when its code is no longer
// good. It lists no codes of errors either. So 4xx is a refusal, of which 429 is
// sender.ErrTryLater, everything else is unknown, and nothing is [otp.ErrUndeliverable].
// The word in an error's "code", which answers have without being documented, is shown and
// not acted on.
package bird

import (
	"cmp"
	"context"
	"net/url"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config is a channel of a workspace. It prints without the key.
type Config struct {
	AccessKey   otp.Secret
	WorkspaceID string
	ChannelID   string
	BaseURL     string // empty means https://api.bird.com
}

// A Sender sends texts. It is safe for concurrent use.
type Sender struct {
	cfg    Config
	client *provider.Client
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender of texts. AccessKey, WorkspaceID and ChannelID are required.
func New(c Config) (*Sender, error) {
	err := provider.Require("bird", "AccessKey", c.AccessKey.Reveal(), "WorkspaceID", c.WorkspaceID, "ChannelID", c.ChannelID)
	if err != nil {
		return nil, err
	}
	client, err := provider.New(provider.Config{
		Name: "bird", BaseURL: cmp.Or(c.BaseURL, "https://api.bird.com"), Secrets: []otp.Secret{c.AccessKey},
	})
	if err != nil {
		return nil, err
	}
	return &Sender{cfg: c, client: client}, nil
}

type request struct {
	Receiver receiver `json:"receiver"`
	Body     body     `json:"body"`
}

type receiver struct {
	Contacts []contact `json:"contacts"`
}

type contact struct {
	Key   string `json:"identifierKey"`
	Value string `json:"identifierValue"`
}

type body struct {
	Type string `json:"type"`
	Text text   `json:"text"`
}

type text struct {
	Text string `json:"text"`
}

type answer struct {
	ID   string          `json:"id"`
	Code provider.Scalar `json:"code"`
}

func (a *answer) Outcome() provider.Outcome { return provider.Outcome{ID: a.ID, Code: string(a.Code)} }

// Send sends m.Content.Text, of at most 1600 characters, to the E.164 number m.To. The
// receipt has the message's ID.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if _, err := s.client.Number(m.To); err != nil {
		return otp.Receipt{}, err
	}
	t, err := s.client.Text(m, 1600)
	if err != nil {
		return otp.Receipt{}, err
	}
	path := "/workspaces/" + url.PathEscape(s.cfg.WorkspaceID) + "/channels/" + url.PathEscape(s.cfg.ChannelID) + "/messages"
	r := provider.JSON(path, request{
		Receiver: receiver{Contacts: []contact{{Key: "phonenumber", Value: m.To}}},
		Body:     body{Type: "text", Text: text{Text: t}},
	})
	return s.client.Send(ctx, m, r.With("Authorization", "AccessKey "+s.cfg.AccessKey.Reveal()), &answer{})
}
