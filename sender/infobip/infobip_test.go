package infobip_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/infobip"
	"otp.example/otp/sender/internal/sendertest"
)

const secret = "key-of-the-account"

func config(base string) infobip.Config {
	return infobip.Config{BaseURL: base, APIKey: otp.NewSecret(secret), From: "Acme"}
}

func TestInfobip(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return infobip.New(config(base)) },
		Message: sendertest.Message(otp.SMS),
		Secrets: []string{secret},
		Request: "request.json",
		Answers: "answers.json",
	})
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := infobip.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"no text", func(m *otp.Message) { m.Content.Text = "" }},
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To += "," + m.To }},
		{"long text", func(m *otp.Message) { m.Content.Text = strings.Repeat("ä", 1001) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sendertest.Message(otp.SMS)
			tt.edit(&m)
			_, err := s.Send(t.Context(), m)
			require.ErrorIs(t, err, otp.ErrNotAccepted)
			assert.NotContains(t, err.Error(), "connection")
		})
	}
}

func TestNoLifetime(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body = string(b)
	}))
	defer server.Close()
	s, err := infobip.New(config(server.URL))
	require.NoError(t, err)
	m := sendertest.Message(otp.SMS)
	m.TTL, m.Key, m.Content.Text = 0, "", "x"
	_, err = s.Send(t.Context(), m)
	require.Error(t, err, "the answer is empty")
	assert.JSONEq(t, `{"messages":[{"sender":"Acme","destinations":[{"to":"15005550006"}],"content":{"text":"x"}}]}`, body)
}

func TestConfig(t *testing.T) {
	for field, empty := range map[string]func(*infobip.Config){
		"BaseURL": func(c *infobip.Config) { c.BaseURL = "" },
		"APIKey":  func(c *infobip.Config) { c.APIKey = otp.Secret{} },
		"From":    func(c *infobip.Config) { c.From = "" },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := infobip.New(c)
		require.ErrorContains(t, err, "otp/infobip: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := infobip.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := infobip.New(infobip.Config{
		BaseURL: "https://xxxxx.api.infobip.com",
		APIKey:  otp.NewSecret("from your vault"),
		From:    "Acme",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A queue, so that answers do not wait for the provider.
	senders := map[otp.Channel]otp.Sender{otp.SMS: otp.NewQueue(sender, 1000)}
	fmt.Println(len(senders))
	// Output: 1
}
