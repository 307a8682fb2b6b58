package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"regexp"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"otp.example/otp/sender/smtp"
)

// A server is a mail server on this machine that takes every mail and delivers none.
type server struct {
	mails chan string
	port  int
	roots *x509.CertPool
	smtp  *gosmtp.Server
	done  chan struct{}
}

// digits is what a code looks like in a mail.
var digits = regexp.MustCompile(`\b\d{8}\b`)

func listen(ctx context.Context) (*server, error) {
	cert, err := selfSigned()
	if err != nil {
		return nil, err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{
		mails: make(chan string, 1),
		port:  ln.Addr().(*net.TCPAddr).Port,
		roots: x509.NewCertPool(),
		done:  make(chan struct{}),
	}
	s.roots.AddCert(cert.Leaf)
	s.smtp = gosmtp.NewServer(s)
	s.smtp.Domain = "localhost"
	s.smtp.MaxRecipients = 1
	s.smtp.MaxMessageBytes = 1 << 20
	s.smtp.ErrorLog = log.New(io.Discard, "", 0)
	s.smtp.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	go func() {
		defer close(s.done)
		_ = s.smtp.Serve(ln) // ends when the server is closed
	}()
	return s, nil
}

func (s *server) close() {
	_ = s.smtp.Close()
	<-s.done
}

// config is how a sender reaches s. It must be told to trust the certificate.
func (s *server) config() smtp.Config {
	return smtp.Config{Host: "127.0.0.1", Port: s.port, From: "Example <login@example.com>", RootCAs: s.roots}
}

// NewSession implements [gosmtp.Backend].
func (s *server) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return session{s}, nil }

type session struct{ server *server }

func (session) Reset()                                 {}
func (session) Logout() error                          { return nil }
func (session) Mail(string, *gosmtp.MailOptions) error { return nil }
func (session) Rcpt(string, *gosmtp.RcptOptions) error { return nil }

func (s session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mails <- string(text)
	return nil
}

// selfSigned makes a certificate that nobody but this program trusts.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
