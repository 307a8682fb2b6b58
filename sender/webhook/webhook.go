// Package webhook hands codes to a program of your own, by HTTPS requests that are signed
// as the Standard Webhooks specification says (standardwebhooks.com, version 1.0.0).
//
// # What is sent
//
// A POST with the headers webhook-id, webhook-timestamp and webhook-signature, and a body
// of JSON:
//
//	{
//	  "type": "otp.message",
//	  "timestamp": "2026-11-21T14:30:00Z",
//	  "data": {
//	    "channel": "sms", "usage": "login", "to": "+15005550006", "code": "482913",
//	    "tenant": "", "binding": "", "locale": "en", "ttl": 300,
//	    "expires_at": "2026-11-21T14:35:00Z",
//	    "subject": "Your code", "text": "482913 is your code for login. …", "html": ""
//	  }
//	}
//
// The id is the same for every try of the same message, so a receiver that remembers it
// sends nothing twice. ttl is in seconds.
//
// # What a receiver does
//
// It calls [Verify] with the secret, which is where a receiver that is not written in Go
// follows the specification, and answers
//
//   - 2xx when it has taken the message,
//   - 422 when nobody can reach the recipient, which is [otp.ErrUndeliverable],
//   - 429 when it has not taken it now, which is sender.ErrTryLater,
//   - another 4xx when it has not taken it, which is [otp.ErrNotAccepted]; 408 and 409 are
//     not among them: what a proxy says is not what the receiver has done,
//   - anything else when it does not know. The limits then stay charged and
//     [otp.Failover] does not go on.
//
// The body of the answer is not read.
//
// # Where it goes
//
// To the configured URL and nowhere else: no redirect is followed, no proxy is taken from
// the environment, and nothing of a message is in the URL. The name is looked up once for
// each connection, every address that it has must be public, and the connection goes to
// one of those. So a name in somebody else's hands cannot send codes into your network,
// or to the metadata service of your cloud.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// A Config says where messages go. It prints without the secret.
type Config struct {
	URL    string     // https, without user, query and fragment
	Secret otp.Secret // "whsec_" and the base64 of 24 to 64 random bytes; the receiver has the same

	// Private has ranges that may be reached although they are not public, such as the
	// one that the receiver is in. Empty means none. In 127.0.0.0/8 and ::1/128 the URL
	// may be http.
	Private []netip.Prefix
}

// A Sender posts messages to one URL. It is safe for concurrent use.
type Sender struct {
	sign   func(id, stamp string, body []byte) []byte // a function, since it has the key and cannot be printed
	client *provider.Client
	now    func() time.Time
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender. URL and Secret are required.
func New(c Config) (*Sender, error) {
	key, err := parseSecret(c.Secret)
	if err != nil {
		return nil, err
	}
	guard := provider.Guard{Allowed: slices.Clone(c.Private)}
	client, err := provider.New(provider.Config{
		Name: "webhook", BaseURL: c.URL, Field: "URL", Secrets: []otp.Secret{c.Secret}, Dial: guard.Dial,
	})
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("otp/webhook: URL is no URL")
	}
	if err := guard.Check(u.Hostname()); err != nil {
		return nil, fmt.Errorf("otp/webhook: URL: %w", err)
	}
	signer := func(id, stamp string, body []byte) []byte { return sign(key, id, stamp, body) }
	return &Sender{sign: signer, client: client, now: time.Now}, nil
}

func parseSecret(s otp.Secret) ([]byte, error) {
	encoded, found := strings.CutPrefix(s.Reveal(), "whsec_")
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !found || err != nil || len(key) < 24 || len(key) > 64 {
		return nil, errors.New("otp/webhook: Secret is not whsec_ and the base64 of 24 to 64 bytes")
	}
	return key, nil
}

// An event is the body.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Channel   otp.Channel `json:"channel"`
	Usage     otp.Usage   `json:"usage"`
	To        string      `json:"to"`
	Code      string      `json:"code"`
	Tenant    string      `json:"tenant"`
	Binding   string      `json:"binding"`
	Locale    string      `json:"locale"`
	TTL       int         `json:"ttl"`
	ExpiresAt time.Time   `json:"expires_at"`
	Subject   string      `json:"subject"`
	Text      string      `json:"text"`
	HTML      string      `json:"html"`
}

const eventType = "otp.message"

// Send posts m. The receipt has m.Key as its ID, which the receiver got as webhook-id.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	// What is signed is joined by dots, so an id with one could be read in two ways.
	if m.Key == "" || strings.ContainsFunc(m.Key, func(r rune) bool { return r == '.' || r <= ' ' || r > '~' }) {
		return otp.Receipt{}, s.client.Refused("the message has no key that can be signed")
	}
	now := s.now()
	r := provider.JSON("", event{Type: eventType, Timestamp: now.UTC(), Data: data{
		Channel: m.Channel, Usage: m.Usage, To: m.To, Code: m.Code.Reveal(), Tenant: m.Tenant, Binding: m.Binding,
		Locale: m.Locale, TTL: int(m.TTL / time.Second), ExpiresAt: m.ExpiresAt.UTC(),
		Subject: m.Content.Subject, Text: m.Content.Text, HTML: m.Content.HTML,
	}})
	stamp := strconv.FormatInt(now.Unix(), 10)
	r = r.With("webhook-id", m.Key).With("webhook-timestamp", stamp).
		With("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(s.sign(m.Key, stamp, r.Body)))
	receipt, err := s.client.Send(ctx, m, r, nil)
	if err == nil {
		receipt.MessageID = m.Key
	}
	return receipt, err
}

func sign(key []byte, id, stamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

const (
	window  = 5 * time.Minute // between two clocks, and for a replay
	maxBody = 1 << 20
)

// ErrSignature says that a request is not from the sender with this secret, or was made
// more than five minutes before or after now.
var ErrSignature = errors.New("otp/webhook: signature does not match")

// Verify returns the message in a request that [Sender.Send] has made, given its headers
// and its whole body. Key is the webhook-id: a request that somebody has recorded is good
// for five minutes, so remember the keys of ten and send none twice. To change the secret,
// let receivers try the new one and then the old one.
//
// An error wraps [ErrSignature] unless the secret has no secret's form, or the body, though
// signed, is not one that this version knows.
func Verify(secret otp.Secret, h http.Header, body []byte, now time.Time) (otp.Message, error) {
	key, err := parseSecret(secret)
	if err != nil {
		return otp.Message{}, err
	}
	id, stamp := h.Get("webhook-id"), h.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || id == "" || strings.Contains(id, ".") || len(body) > maxBody {
		return otp.Message{}, ErrSignature
	}
	if age := now.Unix() - seconds; age > int64(window/time.Second) || age < -int64(window/time.Second) {
		return otp.Message{}, fmt.Errorf("%w: timestamp is more than %v off", ErrSignature, window)
	}
	if !signed(sign(key, id, stamp, body), h.Get("webhook-signature")) {
		return otp.Message{}, ErrSignature
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil || e.Type != eventType {
		return otp.Message{}, errors.New("otp/webhook: the body is no " + eventType)
	}
	d := e.Data
	return otp.Message{
		Key: id, Channel: d.Channel, Usage: d.Usage, To: d.To, Code: otp.NewSecret(d.Code), Tenant: d.Tenant,
		Binding: d.Binding, Locale: d.Locale, TTL: time.Duration(d.TTL) * time.Second, ExpiresAt: d.ExpiresAt,
		Content: otp.Content{Subject: d.Subject, Text: d.Text, HTML: d.HTML},
	}, nil
}

// signed reports whether one of the signatures in a header is mac.
func signed(mac []byte, header string) bool {
	for s := range strings.SplitSeq(header, " ") {
		encoded, found := strings.CutPrefix(s, "v1,")
		got, err := base64.StdEncoding.DecodeString(encoded)
		if found && err == nil && subtle.ConstantTimeCompare(got, mac) == 1 {
			return true
		}
	}
	return false
}
