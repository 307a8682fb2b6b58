package smtp_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/smtp"
)

const (
	username = "login@example.com"
	password = "correct horse"
)

// A server is a mail server that misbehaves where a test wants it to.
type server struct {
	t     *testing.T
	ln    net.Listener
	roots *x509.CertPool
	tls   *tls.Config
	setup setup

	mu       sync.Mutex
	clear    strings.Builder // what was said before TLS
	commands []string        // what was said, without the texts
	messages []string
	conns    int // so far
	open     int
	most     int // open at a time
	lost     []net.Conn
}

type setup struct {
	implicit   bool
	extensions string                             // instead of STARTTLS and AUTH
	on         func(conn int, verb string) string // an answer of a test; "" is the usual one
	template   x509.Certificate
	versions   uint16 // newest of TLS
}

// What a test may answer instead of a line.
const (
	drop = "drop" // closes the connection
	hang = "hang" // says nothing more
	spew = "spew" // says one endless line
)

func start(t *testing.T, s setup) *server {
	t.Helper()
	srv := &server{t: t, setup: s}
	srv.tls, srv.roots = certificate(t, s.template)
	if s.versions != 0 {
		srv.tls.MinVersion, srv.tls.MaxVersion = tls.VersionTLS10, s.versions
	}
	var err error
	srv.ln, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := srv.ln.Accept()
			if err != nil {
				return
			}
			srv.mu.Lock()
			srv.conns++
			srv.open++
			srv.most = max(srv.most, srv.open)
			srv.lost = append(srv.lost, c)
			n := srv.conns
			srv.mu.Unlock()
			running.Go(func() {
				srv.serve(c, n)
				_ = c.Close()
				srv.mu.Lock()
				srv.open--
				srv.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		_ = srv.ln.Close()
		srv.cut()
		running.Wait()
	})
	return srv
}

// cut breaks all connections.
func (srv *server) cut() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	for _, c := range srv.lost {
		_ = c.Close()
	}
}

// idle reports whether no connection is open.
func (srv *server) idle() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.open == 0
}

// config is how a client that trusts srv is set up.
func (srv *server) config() smtp.Config {
	cfg := smtp.Config{
		Host: "127.0.0.1", ImplicitTLS: srv.setup.implicit, RootCAs: srv.roots,
		From: "Example <login@example.com>", Username: username, Password: otp.NewSecret(password),
	}
	if srv.ln != nil {
		cfg.Port = srv.ln.Addr().(*net.TCPAddr).Port
	}
	return cfg
}

func (srv *server) sender(edits ...func(*smtp.Config)) *smtp.Sender {
	srv.t.Helper()
	cfg := srv.config()
	for _, edit := range edits {
		edit(&cfg)
	}
	s, err := smtp.New(cfg)
	require.NoError(srv.t, err)
	srv.t.Cleanup(s.Close)
	return s
}

func (srv *server) said() (commands []string, messages []string, conns int) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return append([]string(nil), srv.commands...), append([]string(nil), srv.messages...), srv.conns
}

func (srv *server) inClear() string {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.clear.String()
}

func (srv *server) serve(c net.Conn, n int) {
	var in *bufio.Reader
	encrypted := false
	use := func(conn net.Conn) { c, in = conn, bufio.NewReader(conn) }
	if srv.setup.implicit {
		use(tls.Server(c, srv.tls))
		encrypted = true
	} else {
		use(recorder{c, srv})
	}
	// answer reports whether the conversation goes on.
	answer := func(verb, usual string) bool {
		reply := usual
		if srv.setup.on != nil {
			if r := srv.setup.on(n, verb); r != "" {
				reply = r
			}
		}
		switch reply {
		case drop:
			return false
		case hang:
			_, _ = io.Copy(io.Discard, in)
			return false
		case spew:
			for {
				if _, err := io.WriteString(c, "250-"+strings.Repeat("x", 4<<10)); err != nil {
					return false
				}
			}
		}
		_, err := io.WriteString(c, reply+"\r\n")
		return err == nil && !strings.HasPrefix(reply, "421 ")
	}
	if !answer("GREETING", "220 fake ESMTP") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		srv.mu.Lock()
		srv.commands = append(srv.commands, line)
		srv.mu.Unlock()
		verb, rest, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		usual := "250 2.0.0 fine"
		switch verb {
		case "EHLO":
			extensions := "STARTTLS\nAUTH PLAIN LOGIN CRAM-MD5"
			if srv.setup.extensions != "" {
				extensions = srv.setup.extensions
			}
			usual = "250-fake"
			for e := range strings.SplitSeq(extensions, "\n") {
				usual += "\r\n250-" + e
			}
			usual += "\r\n250 ENHANCEDSTATUSCODES"
		case "STARTTLS":
			usual = "220 2.0.0 go on"
		case "AUTH":
			if !srv.authenticate(c, in, rest) {
				usual = "535 5.7.8 wrong password " + password + " of " + username
			} else {
				usual = "235 2.7.0 welcome"
			}
		case "DATA":
			if !answer("DATA", "354 go on") {
				return
			}
			text, err := io.ReadAll(textproto.NewReader(in).DotReader())
			if err != nil {
				return
			}
			verb = "END"
			srv.mu.Lock()
			srv.messages = append(srv.messages, string(text))
			srv.mu.Unlock()
		case "QUIT":
			usual = "221 2.0.0 bye"
		}
		if !answer(verb, usual) || verb == "QUIT" {
			return
		}
		if verb == "STARTTLS" && !encrypted {
			use(tls.Server(c.(recorder).Conn, srv.tls))
			encrypted = true
		}
	}
}

// authenticate has the conversation that follows AUTH.
func (srv *server) authenticate(c io.Writer, in *bufio.Reader, how string) bool {
	ask := func(question string) string {
		_, _ = fmt.Fprintf(c, "334 %s\r\n", base64.StdEncoding.EncodeToString([]byte(question)))
		line, _ := in.ReadString('\n')
		b, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		return string(b)
	}
	mechanism, initial, _ := strings.Cut(how, " ")
	switch mechanism {
	case "PLAIN":
		b, _ := base64.StdEncoding.DecodeString(initial)
		return string(b) == "\x00"+username+"\x00"+password
	case "LOGIN":
		return ask("Username:") == username && ask("Password:") == password
	case "CRAM-MD5":
		const question = "<1.2@fake>"
		mac := hmac.New(md5.New, []byte(password))
		mac.Write([]byte(question))
		return ask(question) == fmt.Sprintf("%s %x", username, mac.Sum(nil))
	}
	return false
}

// A recorder notes what a client says before it encrypts.
type recorder struct {
	net.Conn
	srv *server
}

func (r recorder) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	r.srv.clear.Write(b[:n])
	return n, err
}

// certificate makes one that its own pool trusts, for 127.0.0.1 unless template is for others.
func certificate(t *testing.T, template x509.Certificate) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber = big.NewInt(1)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = template.NotAfter.Add(-2 * time.Hour)
	if len(template.DNSNames) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{
		Certificates:           []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		SessionTicketsDisabled: true, // a pipe holds nothing, and the client, who talks now, would not read them
	}, roots
}

const (
	recipient = "ann@example.org"
	theCode   = "48151623"
)

func message() otp.Message {
	return otp.Message{
		Key: "key", Channel: otp.Email, To: recipient, Code: otp.NewSecret(theCode),
		Content: otp.Content{Subject: "Your code", Text: theCode + " is your code."},
	}
}

// mustSend sends message().
func mustSend(t *testing.T, s *smtp.Sender) {
	t.Helper()
	_, err := s.Send(t.Context(), message())
	require.NoError(t, err)
}

// refused sends message(), which must fail without telling secrets.
func refused(t *testing.T, s *smtp.Sender) error {
	t.Helper()
	_, err := s.Send(t.Context(), message())
	require.Error(t, err)
	checkSecrets(t, err)
	return err
}

// checkSecrets looks at err and all that it wraps. S-78 S-83
func checkSecrets(t *testing.T, err error) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		for _, secret := range []string{recipient, "example.org", theCode, username, password, base64.StdEncoding.EncodeToString([]byte(password))} {
			assert.NotContains(t, fmt.Sprintf(verb, err), secret)
		}
	}
	switch e := err.(type) { //nolint:errorlint // walks the tree itself
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			checkSecrets(t, e.Unwrap())
		}
	case interface{ Unwrap() []error }:
		for _, w := range e.Unwrap() {
			checkSecrets(t, w)
		}
	}
}
