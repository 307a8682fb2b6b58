// Package smtp_test has conversations with a mail server that somebody else wrote, over
// TLS, and looks at what it got and at what went over the wire.
package smtp_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	server "github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/sender/smtp"
)

const (
	password = "correct horse battery"

	// localPart is of the address that send sends to, and long enough not to be part of the name
	// of a machine, which stands in EHLO, or of anything random.
	localPart = "ann.from.next.door"
)

// A mailbox is a mail server's backend that keeps what it is told.
type mailbox struct {
	mu       sync.Mutex
	commands []string
	texts    []string
}

func (b *mailbox) NewSession(*server.Conn) (server.Session, error) { return &session{box: b}, nil }

func (b *mailbox) note(command string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commands = append(b.commands, command)
}

// take returns what was noted since the last time.
func (b *mailbox) take() (commands, texts []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	commands, texts = b.commands, b.texts
	b.commands, b.texts = nil, nil
	return commands, texts
}

type session struct {
	box    *mailbox
	authed bool
}

func (*session) Reset()        {}
func (*session) Logout() error { return nil }

func (*session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, secret string) error {
		s.authed = user == "login@example.com" && secret == password
		if !s.authed {
			return server.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *session) Mail(from string, o *server.MailOptions) error {
	if !s.authed {
		return server.ErrAuthRequired
	}
	s.box.note(fmt.Sprintf("MAIL %s %t", from, o.UTF8))
	return nil
}

func (s *session) Rcpt(to string, _ *server.RcptOptions) error {
	s.box.note("RCPT " + to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.box.mu.Lock()
	defer s.box.mu.Unlock()
	s.box.texts = append(s.box.texts, string(text))
	return nil
}

// start serves until the test ends. Everything that clients send passes meddle.
func start(t testing.TB, implicit bool, meddle func(net.Conn) net.Conn) (*mailbox, smtp.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	settings := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}

	box := &mailbox{}
	srv := server.NewServer(box)
	srv.Domain = "fake.example"
	srv.TLSConfig = settings
	srv.EnableSMTPUTF8 = true
	srv.ErrorLog = quiet{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := ln.Addr().(*net.TCPAddr).Port
	if meddle != nil {
		ln = meddler{ln, meddle}
	}
	if implicit {
		ln = tls.NewListener(ln, settings)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		require.NoError(t, <-served)
	})
	return box, smtp.Config{
		Host: "127.0.0.1", Port: port, ImplicitTLS: implicit, RootCAs: roots,
		From: "Exämple <login@example.com>", Username: "login@example.com", Password: otp.NewSecret(password),
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

type meddler struct {
	net.Listener
	meddle func(net.Conn) net.Conn
}

func (m meddler) Accept() (net.Conn, error) {
	c, err := m.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return m.meddle(c), nil
}

// A wire notes all bytes, and changes what the server says.
type wire struct {
	net.Conn
	log    *record
	change func([]byte) []byte
}

type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) add(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.b.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (w wire) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.log.add(b[:n])
	return n, err
}

func (w wire) Write(b []byte) (int, error) {
	out := b
	if w.change != nil {
		out = w.change(b)
	}
	w.log.add(out)
	if _, err := w.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// header is all that a mail's header may name, sorted.
var header = []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}

// S-79 FM-38 FM-39: whatever the recipient and the text, the server is told one recipient
// and gets one mail with one header, or hears nothing.
func FuzzConversation(f *testing.F) {
	for _, to := range []string{
		"ann@example.org", "ann@example.org,bob@example.org", "ann@example.org>\r\nRCPT TO:<bob@example.org", "<ann@example.org>",
		"ann@example.org SIZE=1", "ann@example.org\x00", "\"a\"@example.org", "ann＠example.org", "änn@example.org", "a.b+c@d.e",
	} {
		f.Add(to, "Your code", "48151623 is your code.", "")
	}
	for _, text := range []string{
		"\r\n.\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n", "\n.\nRCPT TO:<bob@example.org>\n", "\r.\r", ".", "..", "\r\n..\r\n",
		"\x00", "\xff\xfe", strings.Repeat("a", 3000), "\nBcc: bob@example.org\n\n",
	} {
		f.Add("ann@example.org", "Your code", text, text)
		f.Add("ann@example.org", text, "x", "<p>x</p>")
		f.Add("ann@example.org", "a "+text, "", text)
	}
	f.Add("ann@example.org", strings.Repeat("a  ", 80), "x", "")
	f.Add("ann@example.org", strings.Repeat("ü ", 80), "x", "")

	box, cfg := start(f, false, nil)
	s, err := smtp.New(cfg)
	require.NoError(f, err)
	f.Cleanup(s.Close)
	f.Fuzz(func(t *testing.T, to, subject, text, html string) {
		box.take()
		receipt, err := s.Send(t.Context(), otp.Message{
			Key: "key", Channel: otp.Email, To: to, Content: otp.Content{Subject: subject, Text: text, HTML: html},
		})
		commands, texts := box.take()
		if err != nil {
			if !errors.Is(err, otp.ErrNotAccepted) || len(commands)+len(texts) > 0 {
				t.Fatalf("%v after %q", err, commands)
			}
			return
		}
		if !slices.Equal(commands, []string{"MAIL login@example.com false", "RCPT " + to}) || len(texts) != 1 {
			t.Fatalf("%q, %d mails", commands, len(texts))
		}
		m, err := mail.ReadMessage(strings.NewReader(texts[0]))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for name, values := range m.Header {
			if name == "Content-Transfer-Encoding" {
				continue
			}
			names = append(names, name)
			if len(values) != 1 {
				t.Fatalf("%s: %q", name, values)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, header) {
			t.Fatalf("header %q", names)
		}
		if m.Header.Get("To") != "<"+to+">" || m.Header.Get("Message-Id") != "<"+receipt.MessageID+">" {
			t.Fatalf("To %q, Message-ID %q", m.Header.Get("To"), m.Header.Get("Message-Id"))
		}
	})
}

// S-82: a wire of this kind shows neither code, recipient nor password.
func TestWireIsEncrypted(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		log := &record{}
		box, cfg := start(t, implicit, func(c net.Conn) net.Conn { return wire{Conn: c, log: log} })
		code := send(t, cfg, nil)
		_, texts := box.take()
		require.Len(t, texts, 1)
		require.Contains(t, texts[0], code)
		require.NotEmpty(t, log.String())
		// Nothing shorter: some thousand random bytes hold any three or four by chance.
		for _, secret := range []string{code, localPart, "example.org", password, "AUTH PLAIN", "RCPT TO:"} {
			require.NotContains(t, log.String(), secret)
		}
	}
}

// S-82: who leaves STARTTLS out of what the server offers gets an EHLO to read.
func TestStrippedSTARTTLS(t *testing.T) {
	for _, with := range []string{"X-NOTHING", ""} {
		log := &record{}
		box, cfg := start(t, false, func(c net.Conn) net.Conn {
			return wire{Conn: c, log: log, change: func(b []byte) []byte {
				return regexp.MustCompile("(250[- ])STARTTLS").ReplaceAll(b, []byte("${1}"+with))
			}}
		})
		code := send(t, cfg, otp.ErrNotAccepted)
		commands, texts := box.take()
		require.Empty(t, commands)
		require.Empty(t, texts)
		require.Regexp(t, `(?s)EHLO .*\r\n250`, log.String())
		for _, secret := range []string{code, localPart, "example.org", password, "AUTH ", "RCPT"} {
			require.NotContains(t, log.String(), secret)
		}
	}
}

// send requests a code for an international address and returns it.
func send(t *testing.T, cfg smtp.Config, want error) (code string) {
	t.Helper()
	s, err := smtp.New(cfg)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	secret := make([]byte, 32)
	_, err = rand.Read(secret)
	require.NoError(t, err)
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	require.NoError(t, err)
	svc, err := otp.New(otp.Config{
		Store: memstore.New(), Keyring: keys, Normalize: smtp.Normalize,
		Senders: map[otp.Channel]otp.Sender{
			otp.Email: otp.SenderFunc(func(ctx context.Context, m otp.Message) (otp.Receipt, error) {
				code = m.Code.Reveal()
				require.Equal(t, localPart+"@xn--bcher-kva.example.org", m.To)
				return s.Send(ctx, m)
			}),
		},
	})
	require.NoError(t, err)
	ch, err := svc.Request(t.Context(), otp.Request{Channel: otp.Email, Usage: "login", To: localPart + "@Bücher.Example.org"})
	require.NotEmpty(t, code)
	if want != nil {
		require.ErrorIs(t, err, want)
		return code
	}
	require.NoError(t, err)
	_, err = svc.Verify(t.Context(), otp.Answer{ID: ch.ID, Usage: "login", Code: code})
	require.NoError(t, err)
	return code
}
