package smtp_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender"
	"otp.example/otp/sender/smtp"
)

// S-79: one recipient, and the header that the package promises.
func TestSend(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		t.Run(fmt.Sprintf("implicit TLS %t", implicit), func(t *testing.T) {
			t.Parallel()
			srv := start(t, setup{implicit: implicit, extensions: "STARTTLS\nAUTH PLAIN\nSMTPUTF8\n8BITMIME"})
			m := message()
			m.Content = otp.Content{Subject: "Dein Code für  Bücher", Text: "Grüße: 48151623.\n.\nEnde", HTML: "<p>48151623</p>"}
			receipt, err := srv.sender().Send(t.Context(), m)
			require.NoError(t, err)

			commands, messages, _ := srv.said()
			commands = slices.DeleteFunc(commands, func(c string) bool {
				return strings.HasPrefix(c, "EHLO ") || strings.HasPrefix(c, "AUTH PLAIN ") || c == "STARTTLS"
			})
			require.Equal(t, []string{"MAIL FROM:<login@example.com> BODY=8BITMIME", "RCPT TO:<ann@example.org>", "DATA"}, commands)
			require.Len(t, messages, 1)
			require.Equal(t, "smtp", receipt.Provider)

			got, err := mail.ReadMessage(strings.NewReader(messages[0]))
			require.NoError(t, err)
			date, err := got.Header.Date()
			require.NoError(t, err)
			assert.WithinDuration(t, time.Now(), date, time.Minute)
			delete(got.Header, "Date")
			kind, params, err := mime.ParseMediaType(got.Header.Get("Content-Type"))
			require.NoError(t, err)
			require.Equal(t, "multipart/alternative", kind)
			delete(got.Header, "Content-Type")
			subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
			require.NoError(t, err)
			assert.Equal(t, "Dein Code für Bücher", subject)
			delete(got.Header, "Subject")
			require.Equal(t, mail.Header{
				"Auto-Submitted": {"auto-generated"},
				"From":           {`"Example" <login@example.com>`},
				"Message-Id":     {"<" + receipt.MessageID + ">"},
				"Mime-Version":   {"1.0"},
				"To":             {"<ann@example.org>"},
			}, got.Header)

			parts := multipart.NewReader(got.Body, params["boundary"])
			for _, want := range []struct{ kind, text string }{
				{"text/plain; charset=UTF-8", "Grüße: 48151623.\n.\nEnde"},
				{"text/html; charset=UTF-8", "<p>48151623</p>"},
			} {
				p, err := parts.NextRawPart()
				require.NoError(t, err)
				require.Equal(t, want.kind, p.Header.Get("Content-Type"))
				require.Equal(t, "quoted-printable", p.Header.Get("Content-Transfer-Encoding"))
				text, err := io.ReadAll(quotedprintable.NewReader(p))
				require.NoError(t, err)
				require.Equal(t, want.text, string(text))
			}
			_, err = parts.NextRawPart()
			require.ErrorIs(t, err, io.EOF)
		})
	}
}

// S-76: every try of one send has the same Message-ID, which shows neither key nor code.
func TestMessageID(t *testing.T) {
	srv := start(t, setup{})
	s := srv.sender()
	id := func(key string) string {
		m := message()
		m.Key = key
		receipt, err := s.Send(t.Context(), m)
		require.NoError(t, err)
		require.Regexp(t, `^[0-9a-f]{32}@example\.com$`, receipt.MessageID)
		return receipt.MessageID
	}
	first := id("a")
	require.Equal(t, first, id("a"))
	require.NotEqual(t, first, id("b"))
	first = id("")
	require.NotEqual(t, first, id(""))
}

func TestAuth(t *testing.T) {
	for _, c := range []struct {
		name  string
		auth  smtp.Auth
		hides bool
	}{
		{"PLAIN", smtp.Plain, false},
		{"LOGIN", smtp.Login, false},
		{"CRAM-MD5", smtp.CRAMMD5, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := start(t, setup{})
			mustSend(t, srv.sender(func(cfg *smtp.Config) { cfg.Auth = c.auth }))
			commands, _, _ := srv.said()
			require.Contains(t, strings.Join(commands, "\n"), "\nAUTH "+c.name)

			// Wrong credentials, which the server repeats, and a way that is not offered.
			err := refused(t, srv.sender(func(cfg *smtp.Config) {
				cfg.Auth, cfg.Password = c.auth, otp.NewSecret("wrong")
			}))
			require.EqualError(t, err, "otp/smtp: AUTH: server answered 535 5.7.8: otp: message not accepted")
			other := start(t, setup{extensions: "STARTTLS\nAUTH XOAUTH2"})
			err = refused(t, other.sender(func(cfg *smtp.Config) { cfg.Auth = c.auth }))
			require.EqualError(t, err, "otp/smtp: AUTH: server does not offer the way that is configured: otp: message not accepted")
			commands, messages, _ := other.said()
			require.NotContains(t, strings.Join(commands, "\n"), "AUTH")
			require.Empty(t, messages)
		})
	}
}

// A relay on the same machine needs neither TLS nor a password.
func TestInsecure(t *testing.T) {
	srv := start(t, setup{extensions: "8BITMIME"})
	mustSend(t, srv.sender(func(cfg *smtp.Config) {
		cfg.InsecureNoTLS, cfg.Username, cfg.Password = true, "", otp.Secret{}
	}))
	require.Contains(t, srv.inClear(), theCode)
}

// S-82: whoever is in between cannot talk the client out of TLS.
func TestNoCodeWithoutTLS(t *testing.T) {
	for _, c := range []struct {
		name string
		setup
		want string
	}{
		{"stripped from EHLO", setup{extensions: "AUTH PLAIN"}, "STARTTLS: server does not offer it"},
		{"overwritten in EHLO", setup{extensions: "XXXXXXXA\nAUTH PLAIN"}, "STARTTLS: server does not offer it"},
		{"no EHLO", setup{on: answers("EHLO", "502 5.5.1 what?")}, "STARTTLS: server does not offer it"},
		{"neither EHLO nor HELO", setup{on: func(_ int, verb string) string {
			if verb == "EHLO" || verb == "HELO" {
				return "502 5.5.1 what?"
			}
			return ""
		}}, "greeting: server answered 502 5.5.1"},
		{"refused", setup{on: answers("STARTTLS", "554 5.7.3 no")}, "STARTTLS: server answered 554 5.7.3"},
		{"refused for now", setup{on: answers("STARTTLS", "454 4.7.0 no")}, "STARTTLS: server answered 454"},
		{"accepted with another answer", setup{on: answers("STARTTLS", "250 yes")}, "STARTTLS: server answered 250"},
		// CVE-2011-0411 and its kin: what came in clear is not taken for what comes encrypted.
		{"answers put before TLS", setup{on: answers("STARTTLS", "220 yes\r\n250-fake\r\n250 AUTH PLAIN\r\n235 welcome\r\n250 1\r\n250 2\r\n354 3\r\n250 4")}, ""},
		{"no TLS after it", setup{on: func(_ int, verb string) string {
			if verb == "STARTTLS" {
				return "220 yes\r\n" + strings.Repeat("250 fine\r\n", 100)
			}
			return ""
		}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			srv := start(t, c.setup)
			_, err := srv.sender().Send(t.Context(), message())
			_, messages, _ := srv.said()
			if c.want != "" {
				require.ErrorContains(t, err, "otp/smtp: "+c.want)
				require.ErrorIs(t, err, otp.ErrNotAccepted)
				require.Empty(t, messages)
			}
			if err == nil {
				require.Len(t, messages, 1) // over TLS after all, to the real server
			} else {
				checkSecrets(t, err)
				require.Empty(t, messages)
			}
			if c.want != "" {
				require.Eventually(t, srv.idle, time.Minute, time.Millisecond, "the connection is left open")
			}
			for _, secret := range []string{theCode, recipient, "AUTH", "MAIL", base64.StdEncoding.EncodeToString([]byte("\x00" + username + "\x00" + password))} {
				require.NotContains(t, srv.inClear(), secret)
			}
		})
	}
}

// S-82: certificates are checked.
func TestCertificates(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		for _, c := range []struct {
			name string
			setup
			edit func(*smtp.Config)
			want string
		}{
			{"unknown authority", setup{}, func(cfg *smtp.Config) { cfg.RootCAs = x509.NewCertPool() }, "certificate is by an unknown authority"},
			{"system's authorities", setup{}, func(cfg *smtp.Config) { cfg.RootCAs = nil }, "certificate is by an unknown authority"},
			{"another host", setup{template: x509.Certificate{DNSNames: []string{"mail.example"}}}, nil, "certificate is for another host"},
			{"expired", setup{template: x509.Certificate{NotAfter: time.Now().Add(-time.Minute)}}, nil, "certificate has expired or is not yet valid"},
			{"old TLS", setup{versions: tls.VersionTLS11}, nil, ""},
		} {
			t.Run(fmt.Sprint(c.name, " implicit ", implicit), func(t *testing.T) {
				t.Parallel()
				c.implicit = implicit
				srv := start(t, c.setup)
				edit := c.edit
				if edit == nil {
					edit = func(*smtp.Config) {}
				}
				err := refused(t, srv.sender(edit))
				require.ErrorIs(t, err, otp.ErrNotAccepted)
				require.ErrorContains(t, err, c.want)
				_, messages, _ := srv.said()
				require.Empty(t, messages)
				require.NotContains(t, srv.inClear(), theCode)
			})
		}
	}
}

// answers gives one reply to one verb.
func answers(verb, reply string) func(int, string) string {
	return func(_ int, v string) string {
		if v == verb {
			return reply
		}
		return ""
	}
}

var errUnknown = errors.New("none of the kinds")

// is fails unless err is of the kind and of no narrower one.
func is(t *testing.T, err, kind error) {
	t.Helper()
	require.Error(t, err)
	checkSecrets(t, err)
	kinds := []error{otp.ErrNotAccepted, sender.ErrTryLater, otp.ErrUndeliverable}
	wants := map[error][]bool{
		otp.ErrNotAccepted:   {true, false, false},
		sender.ErrTryLater:   {true, true, false},
		otp.ErrUndeliverable: {false, false, true},
		errUnknown:           {false, false, false},
	}
	for i, k := range kinds {
		require.Equal(t, wants[kind][i], errors.Is(err, k), "%v: %v", err, k)
	}
}

// Each answer of a server (RFC 5321 section 4.2, RFC 3463) means what the package says, and
// errors repeat none of it.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		verb, reply string
		want        error
	}{
		{"GREETING", "421 4.3.2 closing", sender.ErrTryLater},
		{"GREETING", "554 5.3.2 no service", otp.ErrNotAccepted},
		{"EHLO", "421 4.7.0 too many connections", sender.ErrTryLater},
		{"AUTH", "454 4.7.0 later", sender.ErrTryLater},
		{"AUTH", "535 5.7.8 login@example.com has another password than correct horse", otp.ErrNotAccepted},
		{"AUTH", "334 bm90 base64", otp.ErrNotAccepted},
		{"MAIL", "451 4.3.0 later", sender.ErrTryLater},
		{"MAIL", "452 4.3.1 full", sender.ErrTryLater},
		{"MAIL", "421 4.7.0 too many messages", sender.ErrTryLater},
		{"MAIL", "550 5.1.8 sender is unknown", otp.ErrNotAccepted},
		{"MAIL", "553 5.7.1 not your address", otp.ErrNotAccepted},
		{"RCPT", "450 4.2.0 <ann@example.org> greylisted", sender.ErrTryLater},
		{"RCPT", "451 4.7.1 later", sender.ErrTryLater},
		{"RCPT", "452 4.2.2 full", sender.ErrTryLater},
		{"RCPT", "550 <ann@example.org>: no such user", otp.ErrUndeliverable},
		{"RCPT", "550 5.1.1 <ann@example.org>: no such user", otp.ErrUndeliverable},
		{"RCPT", "550-5.1.1 <ann@example.org>\r\n550 5.1.1 no such user", otp.ErrUndeliverable},
		{"RCPT", "550 5.1.2 no such host", otp.ErrUndeliverable},
		{"RCPT", "551 user not local", otp.ErrUndeliverable},
		{"RCPT", "553 5.1.3 not an address", otp.ErrUndeliverable},
		{"RCPT", "550 5.1.10 null MX", otp.ErrUndeliverable},
		{"RCPT", "550 5.2.1 disabled", otp.ErrUndeliverable},
		{"RCPT", "550 5.1.8 bad sender", otp.ErrNotAccepted},
		{"RCPT", "550 5.1.7 bad sender", otp.ErrNotAccepted},
		{"RCPT", "550 5.2.2 full", otp.ErrNotAccepted},
		{"RCPT", "550 5.7.1 blocked, see https://example.net", otp.ErrNotAccepted},
		{"RCPT", "550 5.4.1 relay access denied", otp.ErrNotAccepted},
		{"RCPT", "554 5.7.1 relay access denied", otp.ErrNotAccepted},
		{"RCPT", "552 5.2.2 full", otp.ErrNotAccepted},
		{"RCPT", "554 no", otp.ErrNotAccepted},
		{"RCPT", "552 no", otp.ErrNotAccepted},
		{"DATA", "451 4.3.0 later", sender.ErrTryLater},
		{"DATA", "554 5.5.1 no valid recipients", otp.ErrNotAccepted},
		{"DATA", "250 what?", otp.ErrNotAccepted},
		{"END", "451 4.7.1 try again: 48151623", sender.ErrTryLater},
		{"END", "550 5.7.1 looks like spam: 48151623 is your code", otp.ErrNotAccepted},
		{"END", "552 5.3.4 too big", otp.ErrNotAccepted},
		{"END", "354 what?", errUnknown},
		{"END", "251 what?", errUnknown},
		{"END", "48151623 what?", errUnknown},
		{"END", "\x00", errUnknown},
		{"RCPT", "ann@example.org", otp.ErrNotAccepted},
		{"MAIL", "", nil},
	} {
		t.Run(strings.TrimSpace(c.verb+" "+c.reply), func(t *testing.T) {
			t.Parallel()
			srv := start(t, setup{on: answers(c.verb, c.reply)})
			_, err := srv.sender().Send(t.Context(), message())
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			is(t, err, c.want)
		})
	}
}

var steps = []string{"GREETING", "EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "END"}

// S-78: connections that end, and servers that say too much, at each step. Only after the
// end of the text may the message be on its way.
func TestBrokenServers(t *testing.T) {
	for _, how := range []string{drop, spew} {
		for _, verb := range steps {
			t.Run(how+" at "+verb, func(t *testing.T) {
				t.Parallel()
				srv := start(t, setup{on: answers(verb, how)})
				begun := time.Now()
				_, err := srv.sender().Send(t.Context(), message())
				require.Less(t, time.Since(begun), 20*time.Second)
				want := sender.ErrTryLater
				switch {
				case verb == "END":
					want = errUnknown
				case how == spew:
					want = otp.ErrNotAccepted
				}
				is(t, err, want)
			})
		}
	}
	t.Run("nobody listens", func(t *testing.T) {
		srv := start(t, setup{})
		s := srv.sender()
		require.NoError(t, srv.ln.Close())
		_, err := s.Send(t.Context(), message())
		is(t, err, sender.ErrTryLater)
	})
}

// S-78: servers that say nothing, at each step. It happens in a bubble, so all of the time is
// the silent server's, and none of it the handshake's.
func TestSilentServers(t *testing.T) {
	for _, verb := range steps {
		t.Run(verb, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := pipe(t, setup{on: answers(verb, hang)})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				_, err := s.Send(ctx, message())
				require.Equal(t, time.Second, time.Since(begun))
				want := sender.ErrTryLater
				if verb == "END" {
					want = errUnknown
				}
				is(t, err, want)
				require.ErrorIs(t, err, context.DeadlineExceeded)
			})
		})
	}
}

// A message that has no time left is not sent.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := pipe(t, setup{on: answers("GREETING", hang)})
		m := message()
		m.TTL = 20 * time.Millisecond
		begun := time.Now()
		_, err := s.Send(t.Context(), m)
		is(t, err, sender.ErrTryLater)
		require.Equal(t, m.TTL, time.Since(begun))
	})
}

func TestConnectionsAreReused(t *testing.T) {
	srv := start(t, setup{on: func(_ int, verb string) string {
		if verb == "RCPT" {
			return "550 5.1.1 no such user" // costs no connection
		}
		return ""
	}})
	s := srv.sender()
	for range 3 {
		require.ErrorIs(t, refused(t, s), otp.ErrUndeliverable)
	}
	commands, _, conns := srv.said()
	require.Equal(t, 1, conns)
	var later []string
	for _, c := range commands {
		later = append(later, strings.Fields(c)[0])
	}
	require.Equal(t, []string{"EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "RSET", "MAIL", "RCPT", "RSET", "MAIL", "RCPT"}, later)
}

// A kept connection that has died is noticed when it is used. The message is sent again
// only if it certainly was not taken.
func TestDeadConnections(t *testing.T) {
	for _, c := range []struct {
		verb, reply string
		want        error
		messages    int
	}{
		{"RSET", drop, nil, 2},
		{"RSET", "421 4.4.2 idle for too long", nil, 2},
		{"RSET", "500 what?", nil, 2},
		{"MAIL", drop, nil, 2},
		{"MAIL", "421 4.7.0 too many messages", nil, 2},
		{"RCPT", drop, nil, 2},
		{"DATA", drop, nil, 2},
		{"MAIL", "451 4.3.0 later", sender.ErrTryLater, 1},
		{"RCPT", "550 5.1.1 no such user", otp.ErrUndeliverable, 1},
		{"END", drop, errUnknown, 2}, // the server has both
		{"END", "421 4.3.2 closing", sender.ErrTryLater, 2},
	} {
		t.Run(c.verb+" "+c.reply, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			seen := 0
			srv := start(t, setup{on: func(conn int, verb string) string {
				mu.Lock()
				defer mu.Unlock()
				if conn == 1 && verb == c.verb {
					if seen++; seen == 2 || verb == "RSET" {
						return c.reply
					}
				}
				return ""
			}})
			s := srv.sender()
			mustSend(t, s)
			_, err := s.Send(t.Context(), message())
			if c.want == nil {
				require.NoError(t, err)
			} else {
				is(t, err, c.want)
			}
			_, messages, conns := srv.said()
			require.Len(t, messages, c.messages)
			if c.want == nil {
				require.Equal(t, 2, conns)
			} else {
				require.Equal(t, 1, conns)
			}
		})
	}
	t.Run("cut", func(t *testing.T) {
		srv := start(t, setup{})
		s := srv.sender()
		mustSend(t, s)
		srv.cut()
		mustSend(t, s)
		_, messages, conns := srv.said()
		require.Len(t, messages, 2)
		require.Equal(t, 2, conns)
	})
}

func TestConnectionsAreBounded(t *testing.T) {
	srv := start(t, setup{})
	s := srv.sender(func(cfg *smtp.Config) { cfg.Connections = 3 })
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			m := message()
			m.Key = fmt.Sprint(i)
			_, err := s.Send(t.Context(), m)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	_, messages, conns := srv.said()
	require.Len(t, messages, 30)
	require.LessOrEqual(t, conns, 3)
	require.LessOrEqual(t, srv.most, 3)

	// Who waits for a place does so until ctx ends.
	held := make(chan struct{})
	slow := start(t, setup{on: func(_ int, verb string) string {
		if verb == "GREETING" {
			close(held)
			return hang
		}
		return ""
	}})
	s = slow.sender(func(cfg *smtp.Config) { cfg.Connections = 1 })
	first, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Send(first, message())
		ended <- err
	}()
	<-held
	second, cancelSecond := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancelSecond()
	_, err := s.Send(second, message())
	is(t, err, sender.ErrTryLater)
	require.EqualError(t, err, "otp/smtp: waiting for a connection: context deadline exceeded: otp: message not accepted: try later")
	cancel()
	is(t, <-ended, otp.ErrNotAccepted)
}

// A pipe makes a sender talk to a server of the same bubble.
func pipe(t *testing.T, with setup) (*smtp.Sender, *server) {
	t.Helper()
	srv := &server{t: t, setup: with}
	srv.tls, srv.roots = certificate(t, with.template)
	s := srv.sender()
	s.SetConnect(func(context.Context) (net.Conn, error) {
		client, conn := net.Pipe()
		srv.mu.Lock()
		srv.conns++
		srv.open++
		srv.mu.Unlock()
		go func() {
			srv.serve(conn, 0)
			_ = conn.Close()
			srv.mu.Lock()
			srv.open--
			srv.mu.Unlock()
		}()
		return client, nil
	})
	return s, srv
}

func (srv *server) opened() (all, open int) {
	synctest.Wait()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.conns, srv.open
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, srv := pipe(t, setup{})
		expect := func(wantAll, wantOpen int) {
			t.Helper()
			all, open := srv.opened()
			require.Equal(t, []int{wantAll, wantOpen}, []int{all, open})
		}
		for range 3 { // used again before its time is up
			mustSend(t, s)
			time.Sleep(smtp.Idle - 1)
			expect(1, 1)
		}
		time.Sleep(1 * time.Nanosecond)
		expect(1, 0)
		commands, _, _ := srv.said()
		require.Equal(t, "QUIT", commands[len(commands)-1])

		mustSend(t, s)
		expect(2, 1)
		s.Close()
		expect(2, 0)
		mustSend(t, s) // keeps nothing
		expect(3, 0)
		s.Close()
	})
}

// Without a deadline of the caller's, the package has one.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, srv := pipe(t, setup{on: answers("RCPT", hang)})
		begun := time.Now()
		_, err := s.Send(context.Background(), message())
		is(t, err, sender.ErrTryLater)
		require.Equal(t, 30*time.Second, time.Since(begun))
		_, open := srv.opened()
		require.Zero(t, open)
	})
}

// S-79 FM-39: refused before anything is said to the server.
func TestRefused(t *testing.T) {
	srv := start(t, setup{})
	s := srv.sender()
	for _, to := range []string{
		"", "ann", "@example.org", "ann@", "ann@example", "ann@@example.org", "ann@example.org@example.net",
		"ann@example.org,bob@example.org", "ann@example.org bob@example.org", "ann@example.org;bob@example.org",
		"ann@example.org\r\nRCPT TO:<bob@example.org>", "ann@example.org\n", "\rann@example.org", "ann\x00@example.org", "ann@example.org\x00",
		"<ann@example.org>", "ann@example.org>", "Ann <ann@example.org>", `"ann"@example.org`, `"a b"@example.org`, "ann(x)@example.org",
		"ann@[127.0.0.1]", "ann@127.0.0.1", "ann@example.org.", "ann@-example.org", "ann@example-.org", ".ann@example.org", "ann..b@example.org",
		"änn@example.org", "ann@exämple.org", "ann＠example.org", "=?utf-8?q?ann?=@example.org", strings.Repeat("a", 65) + "@example.org",
		"ann@" + strings.Repeat("a.", 130) + "org", "ann@" + strings.Repeat("a", 64) + ".org", "ann@example.org ", " ann@example.org",
	} {
		m := message()
		m.To = to
		_, err := s.Send(t.Context(), m)
		require.EqualError(t, err, "otp/smtp: recipient is not an e-mail address: otp: message not accepted", to)
	}
	for _, subject := range []string{
		"", " ", "Your code\r\nBcc: bob@example.org", "Your\ncode", "Your\rcode", "Your\x00code", "Your\tcode", "Your\u0085code",
		"=?utf-8?q?a=0D=0ABcc:_b@c.d?=", strings.Repeat("a", 256), "\xff",
	} {
		m := message()
		m.Content.Subject = subject
		_, err := s.Send(t.Context(), m)
		require.ErrorContains(t, err, "otp/smtp: subject ", "%q", subject)
	}
	m := message()
	m.Content.Text = ""
	_, err := s.Send(t.Context(), m)
	require.EqualError(t, err, "otp/smtp: message is empty: otp: message not accepted")
	m.Content.Text = strings.Repeat("a", 256<<10+1)
	_, err = s.Send(t.Context(), m)
	require.EqualError(t, err, "otp/smtp: message is too long: otp: message not accepted")
	_, _, conns := srv.said()
	require.Zero(t, conns)
}

func TestNew(t *testing.T) {
	good := smtp.Config{Host: "smtp.example.com", From: "Example <login@example.com>", Username: "u", Password: otp.NewSecret("p")}
	_, err := smtp.New(good)
	require.NoError(t, err)
	for _, c := range []struct {
		want string
		edit func(*smtp.Config)
	}{
		{"Config.Host is required", func(c *smtp.Config) { c.Host = "" }},
		{"Config.Host is not a host name", func(c *smtp.Config) { c.Host = "smtp.example.com:587" }},
		{"Config.Host is not a host name", func(c *smtp.Config) { c.Host = "smtp://smtp.example.com" }},
		{"Config.Port is out of bounds", func(c *smtp.Config) { c.Port = 65536 }},
		{"Config.Port is out of bounds", func(c *smtp.Config) { c.Port = -1 }},
		{"Config.ImplicitTLS and InsecureNoTLS exclude each other", func(c *smtp.Config) { c.ImplicitTLS, c.InsecureNoTLS = true, true }},
		{"Config.From is required", func(c *smtp.Config) { c.From = "" }},
		{"Config.From is not an address", func(c *smtp.Config) { c.From = "Example" }},
		{"Config.From is not an address", func(c *smtp.Config) { c.From = "a@example.com, b@example.com" }},
		{"Config.From is not an address", func(c *smtp.Config) { c.From = "=?utf-8?q?a=0D=0Ab?= <a@example.com>" }},
		{"Config.From is not an address", func(c *smtp.Config) { c.From = "a@example.com\r\nBcc: b@example.com" }},
		{"Config.From is not an address", func(c *smtp.Config) { c.From = strings.Repeat("a", 320) + " <a@example.com>" }},
		{"Config.From is not an address that mail can be sent from", func(c *smtp.Config) { c.From = `"a b"@example.com` }},
		{"Config.From is not an address that mail can be sent from", func(c *smtp.Config) { c.From = "a@localhost" }},
		{"Config.Username and Password are required together", func(c *smtp.Config) { c.Username = "" }},
		{"Config.Username and Password are required together", func(c *smtp.Config) { c.Password = otp.Secret{} }},
		{"Config.Username or Password has a control character", func(c *smtp.Config) { c.Username = "u\x00v" }},
		{"Config.Username or Password has a control character", func(c *smtp.Config) { c.Password = otp.NewSecret("p\r\n") }},
		{"Config.Auth is unknown", func(c *smtp.Config) { c.Auth = "ntlm" }},
		{"Config.LocalName is not a host name", func(c *smtp.Config) { c.LocalName = "a\r\nb" }},
		{"Config.Connections is out of bounds", func(c *smtp.Config) { c.Connections = -1 }},
		{"Config.Connections is out of bounds", func(c *smtp.Config) { c.Connections = 101 }},
	} {
		cfg := good
		c.edit(&cfg)
		_, err := smtp.New(cfg)
		require.EqualError(t, err, "otp/smtp: "+c.want)
	}
	for _, good := range []smtp.Config{
		{Host: "::1", From: "a@example.com"},
		{Host: "127.0.0.1", From: "Bücher <a@bücher.example>", ImplicitTLS: true},
		{Host: "localhost", From: "a@example.com", InsecureNoTLS: true},
	} {
		_, err := smtp.New(good)
		require.NoError(t, err)
	}
}

// The zero Port depends on how TLS starts.
func TestPorts(t *testing.T) {
	for want, cfg := range map[string]smtp.Config{
		"587": {},
		"465": {ImplicitTLS: true},
		"25":  {InsecureNoTLS: true},
		"26":  {Port: 26},
	} {
		cfg.Host, cfg.From = "127.0.0.1", "a@example.com"
		s, err := smtp.New(cfg)
		require.NoError(t, err)
		require.Equal(t, want, s.Port())
	}
}
