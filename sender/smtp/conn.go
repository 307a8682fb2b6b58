package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// A step is a part of a conversation, named as errors name it.
type step string

const (
	waiting    step = "waiting for a connection" // all are in use
	connecting step = "connecting"
	greeting   step = "greeting"
	starttls   step = "STARTTLS"
	auth       step = "AUTH"
	rset       step = "RSET"
	mailFrom   step = "MAIL FROM"
	rcptTo     step = "RCPT TO"
	data       step = "DATA"
	text       step = "text"
	end        step = "end of text" // from here on the server may have the message
)

var (
	errNoTLS   = errors.New("server does not offer it")
	errNoAuth  = errors.New("server does not offer the way that is configured")
	errTooMuch = errors.New("server says too much")
)

// idle is how long a connection is kept. Servers wait longer (RFC 5321 section 4.5.3.2.7
// wants 5 minutes), but what stands between often does not.
const idle = 30 * time.Second

// A conn is a connection on which mail can be sent.
type conn struct {
	*smtp.Client
	wire  *wire
	timer *time.Timer // closes it when it was kept for long enough
	used  bool
}

// dial connects, encrypts and authenticates.
func (s *Sender) dial(ctx context.Context) (*conn, step, error) {
	raw, err := s.connect(ctx)
	if err != nil {
		return nil, connecting, err
	}
	c := &conn{wire: &wire{Conn: raw}}
	at, err := s.greet(ctx, c)
	if err != nil {
		_ = raw.Close()
		return nil, at, err
	}
	return c, "", nil
}

func (s *Sender) greet(ctx context.Context, c *conn) (at step, err error) {
	defer c.wire.begin(ctx)()
	var nc net.Conn = c.wire
	if s.cfg.ImplicitTLS {
		encrypted := tls.Client(c.wire, s.tls)
		if err := encrypted.HandshakeContext(ctx); err != nil {
			return connecting, err
		}
		nc = encrypted
	}
	if c.Client, err = smtp.NewClient(nc, s.cfg.Host); err != nil {
		return greeting, err
	}
	// Addresses are ASCII, and other text is encoded, so nothing needs SMTPUTF8, and the
	// servers behind this one need not have it.
	c.SkipSMTPUTF8(true)
	if err := c.Hello(s.cfg.LocalName); err != nil {
		return greeting, err
	}
	if !s.cfg.ImplicitTLS && !s.cfg.InsecureNoTLS {
		// A server that does not offer it, or somebody in between who leaves it out.
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return starttls, errNoTLS
		}
		if err := c.StartTLS(s.tls); err != nil {
			return starttls, err
		}
	}
	if s.cfg.Username != "" {
		name, a := s.auth()
		if _, offered := c.Extension("AUTH"); !slices.Contains(strings.Fields(offered), name) {
			return auth, errNoAuth
		}
		if err := c.Auth(a); err != nil {
			return auth, err
		}
	}
	return "", nil
}

// deliver sends one message. If it fails, at says how far it got.
func (c *conn) deliver(ctx context.Context, from, to string, message []byte) (at step, err error) {
	defer c.wire.begin(ctx)()
	if c.used { // and perhaps in the middle of something, or dead
		if err := c.Reset(); err != nil {
			return rset, err
		}
	}
	c.used = true
	if err := c.Mail("<" + from + ">"); err != nil {
		return mailFrom, err
	}
	if err := c.Rcpt("<" + to + ">"); err != nil {
		return rcptTo, err
	}
	w, err := c.Data()
	if err != nil {
		return data, err
	}
	if _, err := w.Write(message); err != nil {
		return text, err
	}
	return end, w.Close()
}

// take returns the connection that was used last, or nil.
func (s *Sender) take() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return nil
	}
	last := len(s.kept) - 1
	c := s.kept[last]
	s.kept = s.kept[:last]
	c.timer.Stop() // if it is too late for that, drop will not find c
	return c
}

// keep has c for the next message.
func (s *Sender) keep(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.wire.Close()
		return
	}
	s.kept = append(s.kept, c)
	c.timer = time.AfterFunc(idle, func() { s.drop(c) })
}

// drop closes c unless it is in use again.
func (s *Sender) drop(c *conn) {
	s.mu.Lock()
	i := slices.Index(s.kept, c)
	if i >= 0 {
		s.kept = slices.Delete(s.kept, i, i+1)
	}
	s.mu.Unlock()
	if i >= 0 {
		c.leave()
	}
}

// Close closes the connections that are kept for the next message, and those in use as
// soon as they are not. It is for the end of the program: without it they are closed
// after 30 seconds. A Sender that is closed still sends, over new connections.
func (s *Sender) Close() {
	s.mu.Lock()
	kept := s.kept
	s.kept, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range kept {
		c.timer.Stop()
		c.leave()
	}
}

// leave says good-bye, and does not wait long for an answer.
func (c *conn) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	defer c.wire.begin(ctx)()
	_ = c.Quit()
	_ = c.wire.Close()
}

// A wire is the connection below TLS. It bounds what a server can say and for how long.
type wire struct {
	net.Conn
	left atomic.Int64
}

// maxAnswers is how much a server may say while it greets or takes a message: the
// certificates are the most of it.
const maxAnswers = 64 << 10

// begin starts a part of the conversation, which ends, and the connection with it, when
// ctx does or the server says too much. The result is to be called at its end.
func (w *wire) begin(ctx context.Context) (done func() bool) {
	w.left.Store(maxAnswers)
	return context.AfterFunc(ctx, func() { _ = w.Close() })
}

func (w *wire) Read(b []byte) (int, error) {
	left := w.left.Load()
	if left <= 0 {
		return 0, errTooMuch
	}
	n, err := w.Conn.Read(b[:min(int64(len(b)), left)])
	w.left.Add(-int64(n))
	return n, err
}
