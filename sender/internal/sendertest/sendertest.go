// Package sendertest checks a sender of this tree against what its provider has
// published: the request field by field, every documented answer, and servers that
// hang, lie, break or repeat what they were told.
//
// The published descriptions are in the sender's testdata, written by hand and with
// where they come from.
package sendertest

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/sender"
)

// What the message of every test holds.
const (
	Code = "482913"
	To   = "+15005550006"
	Text = "482913 is your code for login. It is valid for 5 minutes. Do not share it. äöü & <b>"
	Key  = "ch_01J8ZK3V5Q-1"
)

// Message returns the message of the tests, on a channel.
func Message(c otp.Channel) otp.Message {
	return otp.Message{
		Key: Key, Channel: c, Usage: "login", To: To, Code: otp.NewSecret(Code), Locale: "en-US",
		TTL: 5 * time.Minute, ExpiresAt: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		Content: otp.Content{Subject: "Your code", Text: Text, HTML: "<p>" + Text + "</p>"},
	}
}

// A Suite is what there is to check of one sender.
type Suite struct {
	New     func(baseURL string) (otp.Sender, error)
	Message otp.Message
	Secrets []string // the credentials, which no error may show
	Request string   // file of a [Description] in testdata
	Answers string   // file of an [AnswerSet] in testdata
	// StatusOnly is for providers whose answer has no body that counts.
	StatusOnly bool
}

// A Description says what a request must look like.
type Description struct {
	Provenance string            `json:"provenance"`
	Path       string            `json:"path"`
	Headers    map[string]string `json:"headers"`
	Body       *Schema           `json:"body"`
	Example    any               `json:"example"` // the body of this message, whole
}

// An AnswerSet says what the provider answers, and what that means.
type AnswerSet struct {
	Provenance string   `json:"provenance"`
	Answers    []Answer `json:"answers"`
}

// An Answer is one of them. Want is accepted, later, refused, undeliverable or unknown.
type Answer struct {
	Name   string          `json:"name"`
	Status int             `json:"status"`
	Body   json.RawMessage `json:"body"`
	Want   string          `json:"want"`
	ID     string          `json:"id"`   // of an accepted message
	Says   string          `json:"says"` // what the error must show
}

// Load reads a file of testdata.
func Load[T any](t *testing.T, name string) T {
	t.Helper()
	var v T
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// Run runs all checks. S-78, S-81, S-83: what can go wrong with a provider, and that no
// error shows a code, a recipient or a credential.
func Run(t *testing.T, s Suite) {
	t.Run("request", s.request)
	t.Run("answers", s.answers)
	t.Run("faults", s.faults)
	t.Run("echo", s.echo)
	t.Run("together", s.together)
	t.Run("print", s.print)
}

// sender returns a sender to a server that runs h.
func (s Suite) sender(t *testing.T, h http.HandlerFunc) otp.Sender {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return s.at(t, server.URL)
}

func (s Suite) at(t *testing.T, url string) otp.Sender {
	t.Helper()
	to, err := s.New(url)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func (s Suite) accepted(t *testing.T) Answer {
	t.Helper()
	for _, a := range Load[AnswerSet](t, s.Answers).Answers {
		if a.Want == "accepted" {
			return a
		}
	}
	t.Fatal("no answer is an acceptance")
	return Answer{}
}

func (a Answer) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body)
}

// request checks names, types, required fields, encoding and credentials.
func (s Suite) request(t *testing.T) {
	want, yes := Load[Description](t, s.Request), s.accepted(t)
	if want.Provenance == "" || want.Body == nil {
		t.Fatal("the description does not say where it is from, or what the body is")
	}
	calls := 0
	to := s.sender(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		for _, finding := range want.check(r, body) {
			t.Error(finding)
		}
		yes.write(w)
	})
	receipt, err := to.Send(t.Context(), s.Message)
	switch {
	case err != nil:
		t.Error(err)
	case receipt.Provider == "" || receipt.MessageID != yes.ID:
		t.Errorf("receipt is %+v, want ID %q", receipt, yes.ID)
	}
	s.cleanID(t, receipt.MessageID)
	if calls != 1 {
		t.Errorf("%d requests, want one", calls)
	}
}

// answers checks what each answer means.
func (s Suite) answers(t *testing.T) {
	set := Load[AnswerSet](t, s.Answers)
	if set.Provenance == "" || len(set.Answers) < 4 {
		t.Fatal("the answers do not say where they are from, or are too few")
	}
	for _, a := range set.Answers {
		t.Run(a.Name, func(t *testing.T) {
			to := s.sender(t, func(w http.ResponseWriter, _ *http.Request) { a.write(w) })
			receipt, err := to.Send(t.Context(), s.Message)
			s.check(t, a.Want, err)
			if receipt.MessageID != a.ID {
				t.Errorf("ID is %q, want %q", receipt.MessageID, a.ID)
			}
			s.cleanID(t, receipt.MessageID)
			if err != nil && !strings.Contains(err.Error(), a.Says) {
				t.Errorf("%q does not show %q", err, a.Says)
			}
		})
	}
}

// check compares what err says with want, and that it shows nothing.
func (s Suite) check(t *testing.T, want string, err error) {
	t.Helper()
	got := "unknown"
	switch {
	case err == nil:
		got = "accepted"
	case errors.Is(err, otp.ErrUndeliverable):
		got = "undeliverable"
	case errors.Is(err, sender.ErrTryLater):
		got = "later"
	case errors.Is(err, otp.ErrNotAccepted):
		got = "refused"
	}
	if got != want {
		t.Errorf("%s, want %s: %v", got, want, err)
	}
	if err != nil {
		s.clean(t, err.Error())
	}
}

// clean checks that a text shows no secret, nor most of one.
func (s Suite) clean(t *testing.T, text string) {
	t.Helper()
	if len(text) > 400 {
		t.Errorf("the text has %d bytes", len(text))
	}
	for _, secret := range append([]string{Code, s.Message.To, s.Message.Content.Text}, s.Secrets...) {
		for i := 0; i+min(len(secret), 8) <= len(secret); i++ {
			if part := secret[i : i+min(len(secret), 8)]; strings.Contains(text, part) {
				t.Errorf("%q shows a secret", text)
			}
		}
	}
}

// cleanID checks the same of a message's ID, which gets into logs, and of what its parts are
// the base64 of.
func (s Suite) cleanID(t *testing.T, id string) {
	t.Helper()
	s.clean(t, id)
	for _, part := range strings.FieldsFunc(id, func(r rune) bool { return strings.ContainsRune(".,:;=<>@", r) }) {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			decoded, _ := encoding.DecodeString(part) // as far as it is base64
			s.clean(t, string(decoded))
		}
	}
}

// print checks that a sender that gets into a log shows none of its credentials.
func (s Suite) print(t *testing.T) {
	to := s.at(t, "https://127.0.0.1:1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		text := fmt.Sprintf(verb, to)
		for _, secret := range s.Secrets {
			for _, shown := range []string{secret, hex.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprintf("%d", []byte(secret)), "[]")} {
				if strings.Contains(text, shown[:min(len(shown), 12)]) {
					t.Errorf("%s shows a credential", verb)
				}
			}
		}
	}
}

// together is for the race detector, and checks that concurrent messages do not mix.
func (s Suite) together(t *testing.T) {
	yes := s.accepted(t)
	to := s.sender(t, func(w http.ResponseWriter, _ *http.Request) { yes.write(w) })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := to.Send(t.Context(), s.Message); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
