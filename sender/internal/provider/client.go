// Package provider is what the senders of this tree share: one HTTP request to one
// provider, and what its outcome says about a message.
//
// A failure is one of four things. Refused is certain: nothing was sent, the limits are
// given back and the next sender may try. Try later is the same, and this one may try
// again, too. Undeliverable is certain for every provider. Whatever is not certain is
// unknown: the message may be on its way.
package provider

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"otp.example/otp"
	"otp.example/otp/sender"
)

const (
	callTimeout = 10 * time.Second // one call, from name lookup to the last byte of the answer
	dialTimeout = 3 * time.Second  // one address, so that a dead one leaves time for the next
	maxAnswer   = 64 << 10         // bytes of a body, and of headers
	maxConns    = 32               // to one provider; more callers wait until their deadline
)

// A Config describes a provider.
type Config struct {
	Name    string // in receipts and errors, and the name of the sender's package
	BaseURL string // https; http to this machine only
	Field   string // what the sender's configuration calls it; empty means BaseURL
	Secrets []otp.Secret
	// Dial connects. Nil means to any address that the name resolves to.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// A Client calls one provider. It is safe for concurrent use. It follows no redirects,
// keeps no cookies and takes no proxy from the environment: each would show codes to
// somebody whom the configuration does not name.
type Client struct {
	name    string
	base    string
	secrets []otp.Secret
	http    *http.Client
}

// New checks c. It connects to nothing.
func New(c Config) (*Client, error) {
	if err := checkURL(c.BaseURL); err != nil {
		return nil, fmt.Errorf("otp/%s: %s %w", c.Name, cmp.Or(c.Field, "BaseURL"), err)
	}
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &Client{
		name: c.Name, base: c.BaseURL, secrets: slices.Clone(c.Secrets),
		http: &http.Client{
			Timeout:       callTimeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				DialContext:            dial,
				TLSHandshakeTimeout:    dialTimeout,
				MaxResponseHeaderBytes: maxAnswer,
				MaxConnsPerHost:        maxConns,
				MaxIdleConnsPerHost:    maxConns,
				IdleConnTimeout:        90 * time.Second,
				ForceAttemptHTTP2:      true,
				DisableCompression:     true, // an answer is small, and a bomb stays as large as it is
			},
		},
	}, nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return errors.New("is no URL of a server")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return errors.New("has more than a host and a path")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLocal(u.Hostname())):
		return errors.New("is not https")
	}
	return nil
}

// isLocal reports whether host is this machine, where http shows codes to nobody else.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// A Request is one POST.
type Request struct {
	Path   string // after the base URL, escaped; empty for the URL as it is
	Header http.Header
	Body   []byte

	err error // why there is none
}

// Form returns a request with fields in application/x-www-form-urlencoded.
func Form(path string, fields url.Values) Request {
	return newRequest(path, "application/x-www-form-urlencoded", []byte(fields.Encode()))
}

// JSON returns a request with v. If v has no encoding, Send refuses.
func JSON(path string, v any) Request {
	body, err := json.Marshal(v)
	r := newRequest(path, "application/json", body)
	r.err = err
	return r
}

func newRequest(path, contentType string, body []byte) Request {
	return Request{Path: path, Body: body, Header: http.Header{
		"Content-Type": {contentType},
		"Accept":       {"application/json"},
		"User-Agent":   {"otp"},
	}}
}

// With returns r with a header.
func (r Request) With(name, value string) Request {
	r.Header = r.Header.Clone()
	r.Header.Set(name, value)
	return r
}

// Basic returns r with the credentials of RFC 7617.
func (r Request) Basic(user string, password otp.Secret) Request {
	h := http.Request{Header: r.Header.Clone()}
	h.SetBasicAuth(user, password.Reveal())
	r.Header = h.Header
	return r
}

// Send makes the request for m. The body of the provider's answer, whatever its status, is
// decoded into answer as JSON. A nil answer is for receivers of our own webhook, which say
// it all in the status: 422 is a recipient whom nobody can reach.
func (c *Client) Send(ctx context.Context, m otp.Message, r Request, answer Answer) (otp.Receipt, error) {
	if r.err != nil {
		return otp.Receipt{}, c.Refused("the message has no encoding")
	}
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	target := c.base
	if r.Path != "" {
		target = strings.TrimRight(target, "/") + r.Path
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(r.Body))
	if err != nil {
		return otp.Receipt{}, c.Refused("the request has no URL")
	}
	req.Header = r.Header
	res, err := c.http.Do(req)
	if err != nil {
		return otp.Receipt{}, c.transport(m, err, connected.Load())
	}
	defer res.Body.Close()
	var o Outcome
	readable := answer == nil
	if readable && res.StatusCode == http.StatusUnprocessableEntity {
		o.Verdict = Undeliverable
	}
	if !readable {
		body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer)) // what is longer cannot be decoded
		if err == nil && json.Unmarshal(body, answer) == nil {
			o, readable = answer.Outcome(), true
		}
	}
	return c.judge(m, res.StatusCode, readable, answer != nil, o)
}

// transport says what a failure without an answer means. A connection exists before the
// first byte of a request, so without one nothing was sent.
func (c *Client) transport(m otp.Message, err error, connected bool) error {
	what := "the connection broke"
	if errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		what = "no answer in time"
	} else if errors.Is(err, context.Canceled) {
		what = "canceled"
	}
	if connected {
		// What the server wrote may be in the text of err, and the code in what it wrote.
		return fmt.Errorf("otp/%s: %s", c.name, what)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	why := otp.ErrNotAccepted
	if _, ok := errors.AsType[net.Error](err); ok { // the network's fault, and no wrong certificate
		why = sender.ErrTryLater
	}
	return fmt.Errorf("otp/%s: no connection: %s: %w", c.name, c.clean(err.Error(), 200, m), why)
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// judge says what an answer means.
func (c *Client) judge(m otp.Message, status int, readable, needsID bool, o Outcome) (otp.Receipt, error) {
	id := token(o.ID, 256)
	if status/100 == 2 {
		switch {
		case !readable:
			return otp.Receipt{}, fmt.Errorf("otp/%s: HTTP %d with an answer that cannot be read", c.name, status)
		case o.Verdict == Accepted, o.Verdict == ByStatus && (id != "" || !needsID):
			return otp.Receipt{Provider: c.name, MessageID: id}, nil
		case o.Verdict == ByStatus:
			return otp.Receipt{}, fmt.Errorf("otp/%s: HTTP %d without a message ID", c.name, status)
		}
	}
	if o.Verdict == ByStatus || o.Verdict == Accepted || o.Verdict == Refused && status == http.StatusTooManyRequests {
		o.Verdict = byStatus(status)
	}
	said := fmt.Sprintf("HTTP %d", status)
	if code := c.clean(token(o.Code, 64), 64, m); code != "" {
		said += ", code " + code
	}
	switch o.Verdict {
	case TryLater:
		return otp.Receipt{}, fmt.Errorf("otp/%s: %s: %w", c.name, said, sender.ErrTryLater)
	case Refused:
		return otp.Receipt{}, c.Refused(said)
	case Undeliverable:
		return otp.Receipt{}, fmt.Errorf("otp/%s: %s: %w", c.name, said, otp.ErrUndeliverable)
	default:
		return otp.Receipt{}, fmt.Errorf("otp/%s: %s", c.name, said)
	}
}

// Refused returns an error that says that the message was certainly not sent.
func (c *Client) Refused(why string) error {
	return fmt.Errorf("otp/%s: %s: %w", c.name, why, otp.ErrNotAccepted)
}
