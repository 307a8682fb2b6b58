package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/wneessen/go-mail/smtp"

	"otp.example/otp"
)

// An Auth is a way to prove who one is to a mail server.
type Auth string

// The ways to authenticate. Without a user name nothing is proved.
const (
	Plain   Auth = ""         // PLAIN (RFC 4616), which nearly every server has
	Login   Auth = "login"    // LOGIN, for servers that lack PLAIN
	CRAMMD5 Auth = "cram-md5" // CRAM-MD5 (RFC 2195), which does not show the password
)

// A Config is what [New] makes a Sender from.
type Config struct {
	// Host is the server's name, which its certificate must be for. Required.
	Host string
	// Port is the server's port. Zero means 587, 465 with ImplicitTLS, 25 with
	// InsecureNoTLS.
	Port int
	// ImplicitTLS means that the connection is encrypted from its first byte (RFC 8314),
	// as on port 465. False means STARTTLS, without which nothing is sent.
	ImplicitTLS bool

	// From is the address that the mails come from, with a name or without:
	// "Example <login@example.com>". Required.
	From string

	// Username and Password are for Auth. If both are empty, the client does not
	// authenticate.
	Username string
	Password otp.Secret
	Auth     Auth

	// LocalName is how the client introduces itself. Empty means the machine's host name.
	LocalName string

	// Connections is how many connections there are at most, used and kept for the next
	// message. Zero means 8, at most 100.
	Connections int

	// RootCAs are the authorities that may have signed the server's certificate. Nil means
	// the system's.
	RootCAs *x509.CertPool

	// InsecureNoTLS sends codes and credentials in clear. It is for a relay on the same
	// machine.
	InsecureNoTLS bool
}

// A Sender sends e-mail. It is safe for concurrent use.
type Sender struct {
	cfg     Config
	from    netmail.Address
	tls     *tls.Config
	connect func(context.Context) (net.Conn, error)

	places chan struct{} // one for each connection in use

	mu     sync.Mutex
	kept   []*conn // the last one was used last
	closed bool
}

var _ otp.Sender = (*Sender)(nil)

// New checks cfg. It connects to nothing.
func New(cfg Config) (*Sender, error) {
	if cfg.Host == "" {
		return nil, errors.New("otp/smtp: Config.Host is required")
	}
	if strings.ContainsAny(cfg.Host, " /@") || strings.Contains(cfg.Host, ":") && net.ParseIP(cfg.Host) == nil {
		return nil, errors.New("otp/smtp: Config.Host is not a host name")
	}
	if cfg.ImplicitTLS && cfg.InsecureNoTLS {
		return nil, errors.New("otp/smtp: Config.ImplicitTLS and InsecureNoTLS exclude each other")
	}
	switch {
	case cfg.Port < 0 || cfg.Port > 65535:
		return nil, errors.New("otp/smtp: Config.Port is out of bounds")
	case cfg.Port == 0 && cfg.ImplicitTLS:
		cfg.Port = 465
	case cfg.Port == 0 && cfg.InsecureNoTLS:
		cfg.Port = 25
	case cfg.Port == 0:
		cfg.Port = 587
	}
	from, err := parseFrom(cfg.From)
	if err != nil {
		return nil, err
	}
	if (cfg.Username == "") != (cfg.Password.Reveal() == "") {
		return nil, errors.New("otp/smtp: Config.Username and Password are required together")
	}
	if strings.ContainsFunc(cfg.Username+cfg.Password.Reveal(), unicode.IsControl) {
		return nil, errors.New("otp/smtp: Config.Username or Password has a control character")
	}
	switch cfg.Auth {
	case Plain, Login, CRAMMD5:
	default:
		return nil, errors.New("otp/smtp: Config.Auth is unknown")
	}
	if cfg.LocalName == "" {
		if cfg.LocalName, err = os.Hostname(); err != nil {
			cfg.LocalName = "localhost"
		}
	}
	if strings.ContainsFunc(cfg.LocalName, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("otp/smtp: Config.LocalName is not a host name")
	}
	if cfg.Connections < 0 || cfg.Connections > 100 {
		return nil, errors.New("otp/smtp: Config.Connections is out of bounds")
	}
	if cfg.Connections == 0 {
		cfg.Connections = 8
	}
	addr := net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))
	return &Sender{
		cfg:  cfg,
		from: from,
		tls:  &tls.Config{ServerName: cfg.Host, RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		connect: func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		places: make(chan struct{}, cfg.Connections),
	}, nil
}

func parseFrom(s string) (netmail.Address, error) {
	if s == "" {
		return netmail.Address{}, errors.New("otp/smtp: Config.From is required")
	}
	parsed, err := netmail.ParseAddress(s)
	if err != nil || len(s) > 320 || strings.ContainsFunc(parsed.Name, unicode.IsControl) {
		return netmail.Address{}, errors.New("otp/smtp: Config.From is not an address")
	}
	parsed.Address, err = Normalize(context.Background(), otp.Email, parsed.Address)
	if err != nil || !isAddress(parsed.Address) {
		return netmail.Address{}, errors.New("otp/smtp: Config.From is not an address that mail can be sent from")
	}
	return *parsed, nil
}

// timeout bounds one call of Send that was given no nearer deadline. A service gives one.
const timeout = 30 * time.Second

// Send sends m.Content to m.To, an address as package otp makes it canonical. The
// receipt holds the Message-ID. The package's comment says what the errors wrap. Subjects
// of more than 255 bytes and texts of more than 256 KiB are refused. A call takes at most 30
// seconds, or m.TTL; from a service or an otp.Queue it has 10.
//
// A kept connection turns out to be dead only when it is used. Then the message is sent
// over a new one, once, and only if the dead one certainly did not take it.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	id := s.messageID(m.Key)
	text, err := s.compose(id, m)
	if err != nil {
		return otp.Receipt{}, err
	}
	limit := timeout
	if m.TTL > 0 {
		limit = min(limit, m.TTL)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	select {
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	case <-ctx.Done():
		return otp.Receipt{}, outcome(ctx, waiting, ctx.Err())
	}
	at, err := s.try(ctx, s.take(), m.To, text)
	if at != end && (at == rset || !answered(err)) {
		var c *conn
		if c, at, err = s.dial(ctx); err == nil {
			at, err = s.try(ctx, c, m.To, text)
		}
	}
	if err != nil {
		return otp.Receipt{}, outcome(ctx, at, err)
	}
	return otp.Receipt{Provider: "smtp", MessageID: id}, nil
}

var errNoConn = errors.New("no connection is kept")

// try sends a message over c, which may be nil, and keeps c if it can be used again.
func (s *Sender) try(ctx context.Context, c *conn, to string, message []byte) (step, error) {
	if c == nil {
		return connecting, errNoConn
	}
	at, err := c.deliver(ctx, s.from.Address, to, message)
	if err == nil || answered(err) && at != rset {
		s.keep(c)
	} else {
		_ = c.wire.Close()
	}
	return at, err
}

// auth returns a new go at proving who one is: they have state.
func (s *Sender) auth() (name string, a smtp.Auth) {
	user, password, inClear := s.cfg.Username, s.cfg.Password.Reveal(), s.cfg.InsecureNoTLS
	switch s.cfg.Auth {
	case Login:
		return "LOGIN", smtp.LoginAuth(user, password, s.cfg.Host, inClear)
	case CRAMMD5:
		return "CRAM-MD5", smtp.CRAMMD5Auth(user, password)
	default:
		return "PLAIN", smtp.PlainAuth("", user, password, s.cfg.Host, inClear)
	}
}
