package twilioverify_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/twilioverify"
)

const (
	token        = "token-of-the-account"
	loginService = "VA00112233445566778899aabbccddeeff"
	resetService = "VAffeeddccbbaa99887766554433221100"
)

func config(base string) twilioverify.Config {
	return twilioverify.Config{
		AccountSID: "AC00112233445566778899aabbccddeeff", Secret: otp.NewSecret(token), BaseURL: base,
		ServiceSIDs: map[otp.Usage]string{"login": loginService, "reset": resetService},
	}
}

// The code of the message is in no request: its description has no field for it.
func TestSend(t *testing.T) {
	sendertest.Run(t, sendertest.Suite{
		New:     func(base string) (otp.Sender, error) { return twilioverify.New(config(base)) },
		Message: sendertest.Message(otp.SMS),
		Secrets: []string{token},
		Request: "verifications.request.json",
		Answers: "verifications.answers.json",
	})
}

func TestChannels(t *testing.T) {
	last := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseForm())
		clear(last)
		for name := range r.PostForm {
			last[name] = r.PostForm.Get(name)
		}
		user, _, _ := r.BasicAuth()
		last["user"], last["path"] = user, r.URL.Path
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"sid":"VE1"}`))
	}))
	defer server.Close()
	c := config(server.URL)
	c.APIKey, c.AccountSID = "SK1", ""
	p, err := twilioverify.New(c)
	require.NoError(t, err)
	for channel, want := range map[otp.Channel]string{otp.SMS: "sms", otp.Voice: "call", otp.WhatsApp: "whatsapp", otp.Email: "email"} {
		m := sendertest.Message(channel)
		m.Usage = "reset"
		if channel == otp.Email {
			m.To = "ann@example.com"
		}
		receipt, err := p.Send(t.Context(), m)
		require.NoError(t, err)
		assert.Equal(t, otp.Receipt{Provider: "twilioverify", MessageID: "VE1"}, receipt)
		assert.Equal(t, map[string]string{
			"To": m.To, "Channel": want, "user": "SK1", "path": "/v2/Services/" + resetService + "/Verifications",
		}, last)
	}
}

// The port is nobody's: what gets as far as a connection has another error.
func TestSendRefuses(t *testing.T) {
	p, err := twilioverify.New(config("http://127.0.0.1:1"))
	require.NoError(t, err)
	tests := []struct {
		name string
		edit func(*otp.Message)
	}{
		{"another channel", func(m *otp.Message) { m.Channel = otp.Telegram }},
		{"another usage", func(m *otp.Message) { m.Usage = "payment" }},
		{"a binding", func(m *otp.Message) { m.Binding = "100 EUR to Ann" }},
		{"a longer format", func(m *otp.Message) { m.Code = otp.NewSecret("12345678") }},
		{"a shorter format", func(m *otp.Message) { m.Code = otp.NewSecret("12345") }},
		{"letters", func(m *otp.Message) { m.Code = otp.NewSecret("12345A") }},
		{"no code", func(m *otp.Message) { m.Code = otp.Secret{} }},
		{"no number", func(m *otp.Message) { m.To = "ann@example.com" }},
		{"two numbers", func(m *otp.Message) { m.To += "," + m.To }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := sendertest.Message(otp.SMS)
			tt.edit(&m)
			_, err := p.Send(t.Context(), m)
			require.ErrorIs(t, err, otp.ErrNotAccepted)
			assert.NotContains(t, err.Error(), "connection")
		})
	}
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name, want string
		edit       func(*twilioverify.Config)
	}{
		{"no account", "AccountSID or APIKey is missing", func(c *twilioverify.Config) { c.AccountSID = "" }},
		{"no secret", "Secret is missing", func(c *twilioverify.Config) { c.Secret = otp.Secret{} }},
		{"no services", "ServiceSIDs is missing", func(c *twilioverify.Config) { c.ServiceSIDs = nil }},
		{"empty service", `ServiceSIDs has an empty one for usage "login"`, func(c *twilioverify.Config) { c.ServiceSIDs["login"] = "" }},
		{"the name of a service", `ServiceSIDs has one for usage "login" that is not VA and 32 hex digits`, func(c *twilioverify.Config) { c.ServiceSIDs["login"] = "Logins" }},
		{"an account as a service", `ServiceSIDs has one for usage "login" that is not VA and 32 hex digits`, func(c *twilioverify.Config) { c.ServiceSIDs["login"] = c.AccountSID }},
		{"a short service", `ServiceSIDs has one for usage "login" that is not VA and 32 hex digits`, func(c *twilioverify.Config) { c.ServiceSIDs["login"] = loginService[:33] }},
		{"no hex digit", `ServiceSIDs has one for usage "login" that is not VA and 32 hex digits`, func(c *twilioverify.Config) { c.ServiceSIDs["login"] = loginService[:33] + "g" }},
		{"a service twice in two spellings", `ServiceSIDs has the same one for usages "login" and "reset"`, func(c *twilioverify.Config) {
			c.ServiceSIDs["login"], c.ServiceSIDs["reset"] = resetService, "VA"+strings.ToUpper(resetService[2:])
		}},
		{"a service twice", `ServiceSIDs has the same one for usages "login" and "reset"`, func(c *twilioverify.Config) { c.ServiceSIDs["reset"] = loginService }},
		{"short codes", "CodeLength is not 6 to 10", func(c *twilioverify.Config) { c.CodeLength = 5 }},
		{"long codes", "CodeLength is not 6 to 10", func(c *twilioverify.Config) { c.CodeLength = 11 }},
		{"http", "BaseURL is not https", func(c *twilioverify.Config) { c.BaseURL = "http://verify.twilio.com" }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := config("")
			tt.edit(&c)
			_, err := twilioverify.New(c)
			require.ErrorContains(t, err, "otp/twilioverify: "+tt.want)
			assert.NotContains(t, err.Error(), token)
		})
	}
}

// A check is asked for as documented, and what it answers is read as documented.
func TestCheck(t *testing.T) {
	want := sendertest.Load[sendertest.Description](t, "check.request.json")
	set := sendertest.Load[sendertest.AnswerSet](t, "check.answers.json")
	require.NotEmpty(t, want.Provenance)
	require.NotEmpty(t, set.Provenance)
	for _, a := range set.Answers {
		t.Run(a.Name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "POST "+want.Path, r.Method+" "+r.URL.RequestURI())
				for name, value := range want.Headers {
					assert.Equal(t, value, r.Header.Get(name))
				}
				assert.NoError(t, r.ParseForm())
				form := map[string]any{}
				for name, values := range maps.All(r.PostForm) {
					form[name] = strings.Join(values, " and ")
				}
				assert.Equal(t, want.Example, form)
				w.Header().Set("Location", "/")
				w.WriteHeader(a.Status)
				_, _ = w.Write(a.Body)
			}))
			defer server.Close()
			right, err := check(t.Context(), t, server.URL)
			switch a.Want {
			case "right":
				require.NoError(t, err)
				assert.True(t, right)
			case "wrong":
				require.NoError(t, err)
				assert.False(t, right)
			default:
				isFault(t, right, err)
				assert.ErrorContains(t, err, a.Says)
			}
		})
	}
}

// S-78: whatever a server does that is not an answer of Twilio's denies, and in time.
func TestCheckFaults(t *testing.T) {
	const approved = `{"status":"approved","valid":true}`
	tests := []struct {
		name    string
		handler http.HandlerFunc
	}{
		{"no body", func(http.ResponseWriter, *http.Request) {}},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("approved")) }},
		{"more than JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(approved + approved)) }},
		{"half a body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(approved))
		}},
		{"huge", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"status":"approved","valid":true,"x":"` + strings.Repeat("x", 1<<20) + `"}`))
		}},
		{"panics", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(tt.handler)
			defer server.Close()
			right, err := check(t.Context(), t, server.URL)
			isFault(t, right, err)
		})
	}
	t.Run("hangs", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.ParseForm()) // which reads the body, so that the server sees the client go
			cancel()
			<-r.Context().Done()
		}))
		defer server.Close()
		right, err := check(ctx, t, server.URL)
		isFault(t, right, err)
	})
	t.Run("nobody listens", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		right, err := check(t.Context(), t, gone.URL)
		isFault(t, right, err)
	})
}

func check(ctx context.Context, t *testing.T, base string) (bool, error) {
	t.Helper()
	p, err := twilioverify.New(config(base))
	require.NoError(t, err)
	return twilioverify.Check(ctx, p, sendertest.To, otp.Answer{Usage: "login", Code: "482913"})
}

// isFault requires an error that says no more than that nobody could tell.
func isFault(t *testing.T, right bool, err error) {
	t.Helper()
	require.Error(t, err)
	assert.False(t, right)
	assert.False(t, errors.Is(err, otp.ErrRejected) || errors.Is(err, otp.ErrNotAccepted), "%v", err)
	assert.NotContains(t, err.Error(), otp.ErrNotAccepted.Error())
	assert.True(t, strings.HasPrefix(err.Error(), "otp/twilioverify: "), err.Error())
	for _, secret := range []string{sendertest.Code, sendertest.To, sendertest.To[1:], token} {
		assert.NotContains(t, err.Error(), secret)
	}
}
