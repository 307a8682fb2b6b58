package kaleyra_test

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
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/kaleyra"
)

const secret = "key-of-the-account"

func config(base string) kaleyra.Config {
	return kaleyra.Config{
		APIKey: otp.NewSecret(secret), SID: "HXIN0011IN", From: "ACMEIN", BaseURL: base,
		Template: "1107160000000000001", EntityID: "1101000000000000001",
	}
}

func TestSMS(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return kaleyra.New(config(base)) },
		Message: sendertest.Message(otp.SMS),
		Secrets: []string{secret},
		Request: "sms.request.json",
		Answers: "answers.json",
	})
}

func whatsAppConfig(base string) kaleyra.Config {
	c := config(base)
	c.From, c.Template, c.EntityID = "918060000081", "login_code", ""
	return c
}

func TestWhatsApp(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return kaleyra.New(whatsAppConfig(base)) },
		Message: sendertest.Message(otp.WhatsApp),
		Secrets: []string{secret},
		Request: "whatsapp.request.json",
		Answers: "answers.json",
	})
}

// The port is nobody's: what gets as far as a connection has another error.
func TestRefusesBeforeSending(t *testing.T) {
	s, err := kaleyra.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"no text", func(m *otp.Message) { m.Content.Text = "" }},
		{"an address", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To += "," + m.To }},
		{"long text", func(m *otp.Message) { m.Content.Text = strings.Repeat("ä", 1001) }},
		{"no code to WhatsApp", func(m *otp.Message) { m.Channel, m.Code = otp.WhatsApp, otp.Secret{} }},
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

func TestOptionalFields(t *testing.T) {
	var body string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		body = string(b)
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	c := config(server.URL)
	c.Template, c.EntityID = "", ""
	s, err := kaleyra.New(c)
	require.NoError(t, err)
	m := sendertest.Message(otp.SMS)
	m.Content.Text = "x"
	receipt, err := s.Send(t.Context(), m)
	require.NoError(t, err)
	assert.Equal(t, otp.Receipt{Provider: "kaleyra"}, receipt)
	assert.Equal(t, "body=x&sender=ACMEIN&to=%2B15005550006&type=OTP", body)

	_, err = s.Send(t.Context(), sendertest.Message(otp.WhatsApp))
	require.ErrorIs(t, err, otp.ErrNotAccepted, "WhatsApp needs a template")
}

func TestConfig(t *testing.T) {
	for field, empty := range map[string]func(*kaleyra.Config){
		"APIKey": func(c *kaleyra.Config) { c.APIKey = otp.Secret{} },
		"SID":    func(c *kaleyra.Config) { c.SID = "" },
		"From":   func(c *kaleyra.Config) { c.From = "" },
	} {
		c := config("https://api.example.com")
		empty(&c)
		_, err := kaleyra.New(c)
		require.ErrorContains(t, err, "otp/kaleyra: "+field+" is missing")
		assert.NotContains(t, err.Error(), secret)
	}
	_, err := kaleyra.New(config("http://api.example.com"))
	require.ErrorContains(t, err, "BaseURL is not https")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, config("")), secret)
	}
}

func ExampleNew() {
	sender, err := kaleyra.New(kaleyra.Config{
		APIKey:   otp.NewSecret("from your vault"),
		SID:      "HXIN0011IN",
		From:     "ACMEIN",
		Template: "1107160000000000001",
		EntityID: "1101000000000000001",
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
