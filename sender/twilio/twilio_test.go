package twilio_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/twilio"
)

const (
	sid   = "AC00112233445566778899aabbccddeeff"
	token = "token-of-the-account"
)

func config() twilio.Config {
	return twilio.Config{AccountSID: sid, Secret: otp.NewSecret(token), From: "+15005550010"}
}

func TestMessages(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New: func(base string) (otp.Sender, error) {
			c := config()
			c.BaseURL = base
			return twilio.NewMessages(c)
		},
		Message: sendertest.Message(otp.SMS),
		Secrets: []string{token},
		Request: "messages.request.json",
		Answers: "answers.json",
	})
}

// created answers like Twilio and keeps the form of the last request.
func created(t *testing.T) (base string, last *url.Values) {
	t.Helper()
	last = &url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		*last, err = url.ParseQuery(string(body))
		assert.NoError(t, err)
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"sid":"SM1"}`))
	}))
	t.Cleanup(server.Close)
	return server.URL, last
}

func TestMessagingService(t *testing.T) {
	base, last := created(t)
	c := config()
	c.BaseURL, c.From = base+"/", "MG"+strings.Repeat("0a", 16)
	s, err := twilio.NewMessages(c)
	require.NoError(t, err)
	m := sendertest.Message(otp.SMS)
	m.TTL = 0
	_, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, url.Values{"To": {m.To}, "Body": {sendertest.Text}, "MessagingServiceSid": {c.From}}, *last)
}

func TestMessagesRefuseBeforeSending(t *testing.T) {
	base, last := created(t)
	c := config()
	c.BaseURL = base
	s, err := twilio.NewMessages(c)
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"no text", func(m *otp.Message) { m.Content.Text = "" }},
		{"long text", func(m *otp.Message) { m.Content.Text = strings.Repeat("ä", 1601) }},
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To = "+15005550006,+15005550007" }},
		{"another channel", func(m *otp.Message) { m.To = "whatsapp:+15005550006" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sendertest.Message(otp.SMS)
			tt.edit(&m)
			_, err := s.Send(t.Context(), m)
			require.ErrorIs(t, err, otp.ErrNotAccepted)
			assert.NotContains(t, err.Error(), m.To)
		})
	}
	assert.Empty(t, *last, "nothing may be sent")
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name, want string
		edit       func(*twilio.Config)
	}{
		{"no account", "AccountSID", func(c *twilio.Config) { c.AccountSID = "" }},
		{"no secret", "Secret", func(c *twilio.Config) { c.Secret = otp.Secret{} }},
		{"no sender", "From", func(c *twilio.Config) { c.From = "" }},
		{"http", "BaseURL is not https", func(c *twilio.Config) { c.BaseURL = "http://api.twilio.com" }},
		{"user in the URL", "BaseURL", func(c *twilio.Config) { c.BaseURL = "https://u:p@api.twilio.com" }},
		{"no URL", "BaseURL", func(c *twilio.Config) { c.BaseURL = "api.twilio.com" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config()
			tt.edit(&c)
			_, err := twilio.NewMessages(c)
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), token)
			_, err = twilio.NewVoice(twilio.VoiceConfig{Config: c, InsecureNoKeyPress: true})
			require.ErrorContains(t, err, tt.want)
		})
	}
}
