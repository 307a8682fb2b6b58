package vonage_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/vonage"
)

const secret = "secret-of-the-account"

func config(base string) vonage.Config {
	return vonage.Config{
		APIKey: "abcd1234", APISecret: otp.NewSecret(secret), From: "Acme", BaseURL: base,
		Template: "login_code", Languages: []string{"en_US"},
	}
}

func TestVonage(t *testing.T) {
	for _, channel := range []otp.Channel{otp.SMS, otp.WhatsApp, otp.Messenger, otp.Viber} {
		t.Run(string(channel), func(t *testing.T) {
			m := sendertest.Message(channel)
			if channel == otp.Messenger {
				m.To = "3958812345678"
			}
			sendertest.Run(t, sendertest.Suite{
				New:     func(base string) (otp.Sender, error) { return vonage.New(config(base)) },
				Message: m,
				Secrets: []string{secret},
				Request: string(channel) + ".request.json",
				Answers: "answers.json",
			})
		})
	}
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := vonage.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"no text", func(m *otp.Message) { m.Content.Text = "" }},
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To += "," + m.To }},
		{"long text", func(m *otp.Message) { m.Content.Text = strings.Repeat("ä", 1001) }},
		{"long text to Messenger", func(m *otp.Message) { m.Channel, m.Content.Text = otp.Messenger, strings.Repeat("ä", 641) }},
		{"long text to Viber", func(m *otp.Message) { m.Channel, m.Content.Text = otp.Viber, strings.Repeat("ä", 1001) }},
		{"long code to WhatsApp", func(m *otp.Message) { m.Channel, m.Code = otp.WhatsApp, otp.NewSecret("1234567890123456") }},
		{"another channel", func(m *otp.Message) { m.Channel = otp.Voice }},
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

func TestWhatsAppNeedsATemplate(t *testing.T) {
	for _, empty := range []func(*vonage.Config){
		func(c *vonage.Config) { c.Template = "" },
		func(c *vonage.Config) { c.Languages = nil },
	} {
		c := config("http://127.0.0.1:1")
		empty(&c)
		s, err := vonage.New(c)
		require.NoError(t, err)
		_, err = s.Send(t.Context(), sendertest.Message(otp.WhatsApp))
		require.ErrorIs(t, err, otp.ErrNotAccepted)
		assert.ErrorContains(t, err, "missing")
	}
}

func TestConfig(t *testing.T) {
	for field, empty := range map[string]func(*vonage.Config){
		"APIKey":    func(c *vonage.Config) { c.APIKey = "" },
		"APISecret": func(c *vonage.Config) { c.APISecret = otp.Secret{} },
		"From":      func(c *vonage.Config) { c.From = "" },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := vonage.New(c)
		require.ErrorContains(t, err, "otp/vonage: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := vonage.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := vonage.New(vonage.Config{
		APIKey:    "abcd1234",
		APISecret: otp.NewSecret("from your vault"),
		From:      "Acme",
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
