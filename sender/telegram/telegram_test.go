package telegram_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/telegram"
)

const secret = "token-of-the-account"

func config(base string) telegram.Config {
	return telegram.Config{AccessToken: otp.NewSecret(secret), BaseURL: base}
}

func TestTelegram(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return telegram.New(config(base)) },
		Message: sendertest.Message(otp.Telegram),
		Secrets: []string{secret},
		Request: "request.json",
		Answers: "answers.json",
	})
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := telegram.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"a user name", func(m *otp.Message) { m.To = "@ann" }},
		{"short code", func(m *otp.Message) { m.Code = otp.NewSecret("123") }},
		{"long code", func(m *otp.Message) { m.Code = otp.NewSecret("123456789") }},
		{"letters", func(m *otp.Message) { m.Code = otp.NewSecret("ABC123") }},
		{"no code", func(m *otp.Message) { m.Code = otp.Secret{} }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sendertest.Message(otp.Telegram)
			tt.edit(&m)
			_, err := s.Send(t.Context(), m)
			require.ErrorIs(t, err, otp.ErrNotAccepted)
			assert.NotContains(t, err.Error(), "connection")
		})
	}
}

// A channel may have recipients that are no numbers: those of a bot of one's own, to which a failover goes on.
func TestFailoverFromWhatIsNoNumber(t *testing.T) {
	gateway, err := telegram.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	bot := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{Provider: "bot"}, nil })
	m := sendertest.Message(otp.Telegram)
	m.To = "@ann"
	receipt, err := otp.Failover(gateway, bot).Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, "bot", receipt.Provider)
}

func TestOptionalFields(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body = string(b)
		_, _ = w.Write([]byte(`{"ok":true,"result":{"request_id":"1"}}`))
	}))
	defer server.Close()
	c := config(server.URL)
	c.From = "acme_codes"
	s, err := telegram.New(c)
	require.NoError(t, err)
	m := sendertest.Message(otp.Telegram)
	m.TTL, m.Key = 0, strings.Repeat("x", 129)
	_, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.JSONEq(t, `{"phone_number":"+15005550006","sender_username":"acme_codes","code":"482913"}`, body)
	m.TTL = 10 * time.Second
	_, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Contains(t, body, `"ttl":30`, "the least that the Gateway takes")
}

func TestConfig(t *testing.T) {
	for field, empty := range map[string]func(*telegram.Config){
		"AccessToken": func(c *telegram.Config) { c.AccessToken = otp.Secret{} },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := telegram.New(c)
		require.ErrorContains(t, err, "otp/telegram: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := telegram.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := telegram.New(telegram.Config{
		AccessToken: otp.NewSecret("from your vault"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A queue, so that answers do not wait for the provider.
	senders := map[otp.Channel]otp.Sender{otp.Telegram: otp.NewQueue(sender, 1000)}
	fmt.Println(len(senders))
	// Output: 1
}
