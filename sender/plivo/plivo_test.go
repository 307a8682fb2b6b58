package plivo_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/plivo"
)

const secret = "token-of-the-account"

func config(base string) plivo.Config {
	return plivo.Config{AuthID: "MA0011", AuthToken: otp.NewSecret(secret), From: "+15005550010", BaseURL: base}
}

func TestPlivo(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return plivo.New(config(base)) },
		Message: sendertest.Message(otp.SMS),
		Secrets: []string{secret},
		Request: "request.json",
		Answers: "answers.json",
	})
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := plivo.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"no text", func(m *otp.Message) { m.Content.Text = "" }},
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To += "," + m.To }},
		{"long text", func(m *otp.Message) { m.Content.Text = strings.Repeat("ä", 738) }},
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

func TestConfig(t *testing.T) {
	for field, empty := range map[string]func(*plivo.Config){
		"AuthID":    func(c *plivo.Config) { c.AuthID = "" },
		"AuthToken": func(c *plivo.Config) { c.AuthToken = otp.Secret{} },
		"From":      func(c *plivo.Config) { c.From = "" },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := plivo.New(c)
		require.ErrorContains(t, err, "otp/plivo: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := plivo.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := plivo.New(plivo.Config{
		AuthID:    "MA00112233445566778899",
		AuthToken: otp.NewSecret("from your vault"),
		From:      "+15005550010",
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
