package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"otp.example/otp"
)

// visit does what a person would do in a browser, and what somebody else would try. It
// returns an error unless every answer is the right one.
func visit(ctx context.Context, say func(string, ...any), site string, cert *x509.Certificate, box mailbox) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	b, err := newBrowser(site, cert)
	if err != nil {
		return err
	}
	var shown string // the page that was shown last
	step := func(what, method, path string, form url.Values, status int, contains string) error {
		got, err := b.do(ctx, method, path, form)
		if err != nil {
			return err
		}
		shown = got.body
		say("%-46s %-4s %-7s %d %s", what, method, path, got.status, got.location)
		if got.status != status || !strings.Contains(got.body, contains) {
			return fmt.Errorf("%s: %d, not %d with %q", what, got.status, status, contains)
		}
		return nil
	}

	if err := step("Nobody is logged in.", "GET", "/", nil, 200, "Send me a code"); err != nil {
		return err
	}
	form := hidden(shown)
	if err := errors.Join(
		step("An unknown address is asked for a code.", "POST", "/login", url.Values{"to": {"nobody@example.com"}, "form": {form}}, 303, ""),
		step("Ann asks for a code.", "POST", "/login", url.Values{"to": {"ann@example.com"}, "form": {form}}, 303, ""),
		step("She clicks twice.", "POST", "/login", url.Values{"to": {"ann@example.com"}, "form": {form}}, 303, ""),
	); err != nil {
		return err
	}
	m, err := box.next(ctx)
	if err != nil {
		return err
	}
	code := m.Code.Reveal()
	say("  Mail to %s: %s", m.To, m.Content.Text)
	return errors.Join(
		step("She has a page to type it into.", "GET", "/code", nil, 200, "one-time-code"),
		step("She wants another one at once.", "POST", "/resend", url.Values{}, 429, "seconds"),
		step("She mistypes it.", "POST", "/code", url.Values{"code": {another(code)}}, 422, "not valid"),
		step("She types it right.", "POST", "/code", url.Values{"code": {code}}, 303, ""),
		step("She is logged in.", "GET", "/", nil, 200, "logged in as Ann"),
		step("The same code once more.", "POST", "/code", url.Values{"code": {code}}, 422, "not valid"),
		step("She logs out.", "POST", "/logout", url.Values{}, 303, ""),
		step("Nobody is logged in.", "GET", "/", nil, 200, "Send me a code"),
	)
}

// hidden returns the name that the login page has for its form.
func hidden(page string) string {
	_, value, _ := strings.Cut(page, `name="form" value="`)
	value, _, _ = strings.Cut(value, `"`)
	return value
}

// another returns a code of the same form.
func another(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

// A browser keeps cookies and shows redirects instead of following them.
type browser struct {
	site   string
	client *http.Client
}

type response struct {
	status   int
	location string
	header   http.Header
	body     string
}

func newBrowser(site string, cert *x509.Certificate) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &browser{site, &http.Client{
		Jar:           jar,
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
		Timeout:       time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (b *browser) do(ctx context.Context, method, path string, form url.Values) (response, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		return response{}, err
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	got, err := b.client.Do(r)
	if err != nil {
		return response{}, err
	}
	body, err := io.ReadAll(got.Body)
	return response{got.StatusCode, got.Header.Get("Location"), got.Header, string(body)}, errors.Join(err, got.Body.Close())
}

// A mailbox is a sender that a person reads.
type mailbox chan otp.Message

func (b mailbox) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	select {
	case b <- m:
		return otp.Receipt{Provider: "mailbox"}, nil
	case <-ctx.Done():
		return otp.Receipt{}, fmt.Errorf("%w: %w", otp.ErrNotAccepted, ctx.Err())
	}
}

// next waits for a message: the queue sends after the page has answered.
func (b mailbox) next(ctx context.Context) (otp.Message, error) {
	select {
	case m := <-b:
		return m, nil
	case <-ctx.Done():
		return otp.Message{}, ctx.Err()
	}
}
