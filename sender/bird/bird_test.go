package bird_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/bird"
	"otp.example/otp/sender/internal/sendertest"
)

const secret = "key-of-the-workspace"

func config(base string) bird.Config {
	return bird.Config{
		AccessKey: otp.NewSecret(secret), BaseURL: base,
		WorkspaceID: "6c8f0b3e-0000-4000-8000-000000000001", ChannelID: "6c8f0b3e-0000-4000-8000-000000000002",
	}
}

func TestBird(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return bird.New(config(base)) },
		Message: sendertest.Message(otp.SMS),
		Secrets: []string{secret},
		Request: "request.json",
		Answers: "answers.json",
	})
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := bird.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"no text", func(m *otp.Message) { m.Content.Text = "" }},
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To += "," + m.To }},
		{"long text", func(m *otp.Message) { m.Content.Text = strings.Repeat("ä", 1601) }},
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
	for field, empty := range map[string]func(*bird.Config){
		"AccessKey":   func(c *bird.Config) { c.AccessKey = otp.Secret{} },
		"WorkspaceID": func(c *bird.Config) { c.WorkspaceID = "" },
		"ChannelID":   func(c *bird.Config) { c.ChannelID = "" },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := bird.New(c)
		require.ErrorContains(t, err, "otp/bird: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := bird.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := bird.New(bird.Config{
		AccessKey:   otp.NewSecret("from your vault"),
		WorkspaceID: "6c8f0b3e-0000-4000-8000-000000000001",
		ChannelID:   "6c8f0b3e-0000-4000-8000-000000000002",
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
