package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"otp.example/otp/otpauth"
	"otp.example/otp/totp"
)

// A clock is the time of day, as far ahead as the demo has set it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

var (
	keyOnPage  = regexp.MustCompile(`<code id="key">([A-Z2-7 ]+)</code>`)
	codeOnPage = regexp.MustCompile(`\b([0-9A-Z]{4}-){5}[0-9A-Z]{4}\b`)
)

// visit does what a person would do with a browser and a phone. It returns an error unless
// every answer is the right one.
func visit(ctx context.Context, out io.Writer, site string, clock *clock) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	client := &http.Client{Jar: jar, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	var body string
	step := func(what, path string, form url.Values, status int, contains string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, site+path, strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		got, err := client.Do(r)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(got.Body)
		if err := errors.Join(err, got.Body.Close()); err != nil {
			return err
		}
		body = string(b)
		fmt.Fprintf(out, "%-44s %-9s %d\n", what, path, got.StatusCode)
		if got.StatusCode != status || !strings.Contains(body, contains) {
			return fmt.Errorf("%s: %d, not %d with %q", what, got.StatusCode, status, contains)
		}
		return nil
	}
	code := func(c string) url.Values { return url.Values{"code": {c}} }
	pass := url.Values{"password": {password}}

	if err := errors.Join(
		step("Ann logs in with her password.", "/login", pass, 200, "Set up an authenticator app"),
		step("She begins to set up her app.", "/setup", nil, 200, "<svg"),
	); err != nil {
		return err
	}
	key := keyOnPage.FindStringSubmatch(body)
	if key == nil {
		return errors.New("the page shows no key")
	}
	secret, err := otpauth.DecodeSecret(key[1])
	if err != nil {
		return err
	}
	phone := func() string {
		c, _ := totp.Code(secret, clock.now(), totp.Options{}) // the secret was just checked
		return c
	}
	first := phone()
	if err := errors.Join(
		step("She types what it shows.", "/confirm", code(first), 200, "Your authenticator app is on"),
		step("She makes recovery codes.", "/recovery", nil, 200, "Each works once"),
	); err != nil {
		return err
	}
	paper := codeOnPage.FindString(body)
	if err := errors.Join(
		step("She logs out.", "/logout", nil, 200, "Password"),
		step("She logs in with her password.", "/login", pass, 200, "authenticator app, or a recovery code"),
		step("The code of the setup again.", "/code", code(first), 422, "was used"),
	); err != nil {
		return err
	}
	clock.advance(30 * time.Second)
	second := phone()
	if err := errors.Join(
		step("The next code.", "/code", code(second), 200, "Your authenticator app is on"),
		step("She logs out.", "/logout", nil, 200, "Password"),
		step("A thief has her password,", "/login", pass, 200, "authenticator app, or a recovery code"),
		step("and has seen her code.", "/code", code(second), 422, "was used"),
		step("He guesses.", "/code", code("000000"), 422, "not valid"),
	); err != nil {
		return err
	}
	return errors.Join(
		step("Ann has lost her phone, but not her paper.", "/code", code(paper), 200, "You have 9 recovery codes"),
		step("It lets her make a new set.", "/recovery", nil, 200, "Each works once"),
	)
}
