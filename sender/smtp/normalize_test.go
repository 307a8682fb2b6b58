package smtp_test

import (
	"context"
	"crypto/rand"
	"net/mail"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/sender/smtp"
)

// S-86 FM-37
func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"ann@example.org":               "ann@example.org",
		"Ann@Example.ORG":               "Ann@example.org",
		"ann@Bücher.example":            "ann@xn--bcher-kva.example",
		"ann@BÜCHER.example":            "ann@xn--bcher-kva.example",
		"ann@bu\u0308cher.example":      "ann@xn--bcher-kva.example", // decomposed
		"ann@straße.example":            "ann@xn--strae-oqa.example", // not transitional
		"ann@日本語。example":               "ann@xn--wgv71a119e.example",
		"ann@ｅｘａｍｐｌｅ.org":               "ann@example.org",
		"ann@xn--bcher-kva.example":     "ann@xn--bcher-kva.example",
		"ann@XN--BCHER-KVA.example":     "ann@xn--bcher-kva.example",
		"ann@r3---sn-abc.example":       "ann@r3---sn-abc.example",
		"o'neil+tag@example.org":        "o'neil+tag@example.org",
		"ann@example.org,b@example.net": "",
		"ann＠example.org":               "",
		"ann@exa＠mple.org":              "",
		"ann@ｂob@example.org":           "",
		"änn@example.org":               "",
		"a\u200bnn@example.org":         "",
		"ann@xn--a.example":             "",
		"ann@a℀b.example":               "", // a/c
		"ann@a\u202eb.example":          "", // turns the text around
		"ann@пример-.example":           "",
		"ann@bü cher.example":           "",
		"ann@bü\r\ncher.example":        "",
		"ann@bü\x00.example":            "",
		"ann@\xff.example":              "",
		"":                              "",
		"@":                             "",
		"ann":                           "",
		"ann@":                          "",
		"@example.org":                  "",
		"ann@" + strings.Repeat("ü", 300) + ".example": "",
	} {
		got, err := smtp.Normalize(t.Context(), otp.Email, in)
		if want == "" && strings.Contains(in, ",") {
			require.False(t, smtp.IsAddress(got), in) // left to the service
			continue
		}
		require.Equal(t, want == "", err != nil, "%q: %q %v", in, got, err)
		require.Equal(t, want, got)
		if err != nil {
			require.EqualError(t, err, "otp/smtp: not an e-mail address")
		}
	}
	for _, c := range []otp.Channel{otp.SMS, otp.Telegram, "push"} {
		got, err := smtp.Normalize(t.Context(), c, "+15550100 ü")
		require.NoError(t, err)
		require.Equal(t, "+15550100 ü", got)
	}
}

// S-86 FM-37: what is accepted reads the same to everybody.
func FuzzNormalize(f *testing.F) {
	for _, s := range []string{
		"ann@example.org", "Ann@Bücher.Example", "ann＠example.org", "a@b@c.d", `"a"@b.c`, "ann@xn--bcher-kva.example", "ann@a。b",
		"ann@℀.example", "ann@ex\u00adample.org", "ann@ﷺ.example", "a@\u2024.b",
	} {
		f.Add(s)
	}
	ctx := context.Background()
	f.Fuzz(func(t *testing.T, in string) {
		got, err := smtp.Normalize(ctx, otp.Email, in)
		if err != nil {
			if got != "" {
				t.Fatalf("%q with an error", got)
			}
			return
		}
		// Only the domain may differ, and it may not have come from anything that reads
		// as another address after compatibility mapping.
		local, domain, _ := strings.Cut(got, "@")
		if !strings.HasPrefix(in, local+"@") {
			t.Fatalf("local part of %q became %q", in, local)
		}
		if strings.Count(norm.NFKC.String(in), "@") != strings.Count(in, "@") && smtp.IsAddress(got) {
			t.Fatalf("%q has more @ than it seems", in)
		}
		if domain != strings.ToLower(domain) {
			t.Fatalf("domain %q is not in lower case", domain)
		}
		again, err := smtp.Normalize(ctx, otp.Email, got)
		if smtp.IsAddress(got) {
			if err != nil || again != got {
				t.Fatalf("%q became %q, %v", got, again, err)
			}
			parsed, err := mail.ParseAddress(got)
			if err != nil || parsed.Address != got || parsed.Name != "" {
				t.Fatalf("net/mail reads %q as %v, %v", got, parsed, err)
			}
		}
	})
}

// A Sender takes exactly the addresses that the service lets through.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{
		"ann@example.org", "ann@a.b1", "ann@a.1", "a.b.c@d.e", "a..b@c.d", "a@-b.c", "a@b-.c", "=?x@a.b", "a@b", "a@b.c.", "a b@c.d",
		strings.Repeat("a", 64) + "@b.c", "a@" + strings.Repeat("b", 63) + ".c", "a@b.c\n", "a@b.xn--a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, to string) {
		sent := ""
		svc, err := newService(otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			sent = m.To
			return otp.Receipt{}, nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		_, err = svc.Request(t.Context(), otp.Request{Channel: otp.Email, Usage: "login", To: to})
		switch {
		case err == nil && !smtp.IsAddress(sent):
			t.Fatalf("refuses %q, which the service sends to", sent)
		case err != nil && smtp.IsAddress(to):
			t.Fatalf("takes %q, which the service refuses: %v", to, err)
		}
	})
}

// FM-39 S-79: whatever the text, the header is the same, and so is the text.
func FuzzCompose(f *testing.F) {
	f.Add("ann@example.org", "Your code", "48151623", "<p>48151623</p>")
	f.Add("ann@example.org", "a  b "+strings.Repeat("c", 80)+" d", "\r\n.\r\nRCPT TO:<b@c.d>", "")
	f.Add("ann@example.org\r\nBcc: b@c.d", "a\r\nb", "", "x")
	f.Add("a@b.c", strings.Repeat("a ", 120), "a\rb\nc", "=?utf-8?q?a?=")
	s, err := smtp.New(smtp.Config{Host: "localhost", From: "Exämple <login@example.com>"})
	if err != nil {
		f.Fatal(err)
	}
	allowed := map[string]bool{
		"Auto-Submitted": true, "Content-Type": true, "Date": true, "From": true, "Message-Id": true, "Mime-Version": true,
		"Subject": true, "To": true, "Content-Transfer-Encoding": true,
	}
	f.Fuzz(func(t *testing.T, to, subject, text, html string) {
		raw, err := s.Compose(otp.Message{Key: "k", To: to, Content: otp.Content{Subject: subject, Text: text, HTML: html}})
		if err != nil {
			return
		}
		for line := range strings.SplitSeq(string(raw), "\n") {
			if len(line) > 998 || line != "" && strings.TrimSpace(line) == "" && line != "\r" {
				t.Fatalf("a line of %d bytes: %.40q", len(line), line)
			}
			if strings.Contains(strings.TrimSuffix(line, "\r"), "\r") {
				t.Fatalf("a line end that is none: %q", line)
			}
		}
		got, err := mail.ReadMessage(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatalf("%v: %q", err, raw)
		}
		for name, values := range got.Header {
			if !allowed[name] || len(values) != 1 {
				t.Fatalf("%s: %q", name, values)
			}
		}
		for name := range allowed {
			if got.Header.Get(name) == "" && name != "Content-Transfer-Encoding" {
				t.Fatalf("no %s in %q", name, raw)
			}
		}
		list, err := got.Header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != to {
			t.Fatalf("To: %v, %v", list, err)
		}
	})
}

func newService(s otp.Sender) (*otp.Service, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{Store: memstore.New(), Keyring: keys, Senders: map[otp.Channel]otp.Sender{otp.Email: s}})
}
