package whatsapp_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/whatsapp"
)

const secret = "token-of-the-system-user"

func config(base string) whatsapp.Config {
	return whatsapp.Config{
		PhoneNumberID: "105954558954427", AccessToken: otp.NewSecret(secret), BaseURL: base,
		Template: "login_code", Languages: []string{"en_US", "de"},
	}
}

func TestWhatsApp(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return whatsapp.New(config(base + "/v23.0")) },
		Message: sendertest.Message(otp.WhatsApp),
		Secrets: []string{secret},
		Request: "request.json",
		Answers: "answers.json",
	})
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := whatsapp.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"no code", func(m *otp.Message) { m.Code = otp.Secret{} }},
		{"long code", func(m *otp.Message) { m.Code = otp.NewSecret("1234567890123456") }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sendertest.Message(otp.WhatsApp)
			tt.edit(&m)
			_, err := s.Send(t.Context(), m)
			require.ErrorIs(t, err, otp.ErrNotAccepted)
			assert.NotContains(t, err.Error(), "connection")
		})
	}
}

func TestLanguage(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body = string(b)
		_, _ = w.Write([]byte(`{"messages":[{"id":"wamid.1"}]}`))
	}))
	defer server.Close()
	s, err := whatsapp.New(config(server.URL))
	require.NoError(t, err)
	for locale, want := range map[string]string{"de-AT": "de", "en-GB": "en_US", "fr": "en_US", "": "en_US"} {
		m := sendertest.Message(otp.WhatsApp)
		m.Locale = locale
		_, err = s.Send(t.Context(), m)
		require.NoError(t, err)
		assert.Contains(t, body, `"language":{"code":"`+want+`"}`, locale)
	}
}

// S-83: receipts get into logs, and WhatsApp's own IDs have the number in them.
func TestMessageID(t *testing.T) {
	assert.Empty(t, whatsapp.MessageID(""))
	const wamid = "wamid.HBgLMTUwMDU1NTAwMDYVAgARGBI="
	id := whatsapp.MessageID(wamid)
	assert.Regexp(t, "^[0-9a-f]{32}$", id)
	assert.Equal(t, id, whatsapp.MessageID(wamid))
	assert.NotEqual(t, id, whatsapp.MessageID(wamid[1:]))
}

func TestConfig(t *testing.T) {
	for field, empty := range map[string]func(*whatsapp.Config){
		"PhoneNumberID": func(c *whatsapp.Config) { c.PhoneNumberID = "" },
		"AccessToken":   func(c *whatsapp.Config) { c.AccessToken = otp.Secret{} },
		"Template":      func(c *whatsapp.Config) { c.Template = "" },
		"Languages":     func(c *whatsapp.Config) { c.Languages = nil },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := whatsapp.New(c)
		require.ErrorContains(t, err, "otp/whatsapp: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := whatsapp.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := whatsapp.New(whatsapp.Config{
		PhoneNumberID: "105954558954427",
		AccessToken:   otp.NewSecret("from your vault"),
		Template:      "login_code",
		Languages:     []string{"en_US", "de"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A queue, so that answers do not wait for the provider.
	senders := map[otp.Channel]otp.Sender{otp.WhatsApp: otp.NewQueue(sender, 1000)}
	fmt.Println(len(senders))
	// Output: 1
}
