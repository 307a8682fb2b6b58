package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/sender/internal/sendertest"
	"otp.example/otp/sender/webhook"
)

const secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

var (
	secret   = otp.NewSecret(secretText)
	loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	sentAt   = time.Unix(1763735400, 0)
)

func newSender(url string) (otp.Sender, error) {
	s, err := webhook.New(webhook.Config{URL: url, Secret: secret, Private: loopback})
	if err == nil {
		webhook.SetNow(s, sentAt)
	}
	return s, err
}

func TestWebhook(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secretText, "whsec_"))
	require.NoError(t, err)
	sendertest.Run(t, sendertest.Suite{
		New:        func(base string) (otp.Sender, error) { return newSender(base + "/hook/") },
		Message:    sendertest.Message(otp.SMS),
		Secrets:    []string{secretText, string(key)},
		Request:    "request.json",
		Answers:    "answers.json",
		StatusOnly: true,
	})
}

// A recorded is a request as a receiver sees it.
type recorded struct {
	header http.Header
	body   []byte
}

func record(t *testing.T, m otp.Message) recorded {
	t.Helper()
	var r recorded
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		assert.NoError(t, err)
		r = recorded{req.Header, body}
	}))
	defer server.Close()
	s, err := newSender(server.URL)
	require.NoError(t, err)
	_, err = s.Send(t.Context(), m)
	require.NoError(t, err)
	return r
}

func TestVerifyReturnsTheMessage(t *testing.T) {
	m := sendertest.Message(otp.Email)
	m.Tenant, m.Binding = "acme", "100 EUR to Bob"
	r := record(t, m)
	got, err := webhook.Verify(secret, r.header, r.body, sentAt)
	require.NoError(t, err)
	assert.Equal(t, sendertest.Code, got.Code.Reveal())
	got.Code, m.Code = otp.Secret{}, otp.Secret{}
	assert.Equal(t, m, got)
}

// The vector is the one that the specification's own libraries are tested with:
// libraries/go/webhook_test.go, TestWebhookSign. Its body is no message of ours.
func TestSignatureVector(t *testing.T) {
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	_, err := webhook.Verify(secret, h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0))
	require.ErrorContains(t, err, "the body is no otp.message")
	_, err = webhook.Verify(secret, h, []byte(`{"test": 2432232315}`), time.Unix(1614265330, 0))
	require.ErrorIs(t, err, webhook.ErrSignature)
}

// S-81: what is not exactly what was sent, now, by who has the secret, is refused.
func TestVerifyRefuses(t *testing.T) {
	r := record(t, sendertest.Message(otp.SMS))
	other := otp.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24)))
	tests := []struct {
		name   string
		secret otp.Secret
		now    time.Time
		edit   func(h http.Header, body []byte)
	}{
		{"another secret", other, sentAt, nil},
		{"replay", secret, sentAt.Add(5*time.Minute + time.Second), nil},
		{"from the future", secret, sentAt.Add(-5*time.Minute - time.Second), nil},
		{"body", secret, sentAt, func(_ http.Header, body []byte) { body[len(body)-3]++ }},
		{"id", secret, sentAt, func(h http.Header, _ []byte) { h.Set("webhook-id", "ch_2") }},
		{"no id", secret, sentAt, func(h http.Header, _ []byte) { h.Del("webhook-id") }},
		{"timestamp", secret, sentAt, func(h http.Header, _ []byte) { h.Set("webhook-timestamp", "1763735401") }},
		{"no timestamp", secret, sentAt, func(h http.Header, _ []byte) { h.Del("webhook-timestamp") }},
		{"least timestamp", secret, sentAt, func(h http.Header, _ []byte) { h.Set("webhook-timestamp", "-9223372036854775808") }},
		{"word as timestamp", secret, sentAt, func(h http.Header, _ []byte) { h.Set("webhook-timestamp", "now") }},
		{"no signature", secret, sentAt, func(h http.Header, _ []byte) { h.Del("webhook-signature") }},
		{"empty signature", secret, sentAt, func(h http.Header, _ []byte) { h.Set("webhook-signature", "v1,") }},
		{"another version", secret, sentAt, func(h http.Header, _ []byte) {
			h.Set("webhook-signature", "v1a"+strings.TrimPrefix(h.Get("webhook-signature"), "v1"))
		}},
		{"no version", secret, sentAt, func(h http.Header, _ []byte) {
			h.Set("webhook-signature", strings.TrimPrefix(h.Get("webhook-signature"), "v1,"))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, body := r.header.Clone(), append([]byte(nil), r.body...)
			if tt.edit != nil {
				tt.edit(h, body)
			}
			m, err := webhook.Verify(tt.secret, h, body, tt.now)
			require.ErrorIs(t, err, webhook.ErrSignature)
			assert.Empty(t, m.To)
		})
	}
	for _, now := range []time.Time{sentAt.Add(5 * time.Minute), sentAt.Add(-5 * time.Minute)} {
		_, err := webhook.Verify(secret, r.header, r.body, now)
		require.NoError(t, err, "the window is five minutes")
	}
	// One who signs with an old and a new secret is believed for either.
	h := r.header.Clone()
	h.Set("webhook-signature", "v1,AAAA v1a,BBBB "+h.Get("webhook-signature"))
	_, err := webhook.Verify(secret, h, r.body, sentAt)
	require.NoError(t, err)
}

// An id with a dot could have been cut off from what follows it, so even a signature does
// not help it.
func TestVerifyRefusesADotInTheID(t *testing.T) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secretText, "whsec_"))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	_, _ = io.WriteString(mac, `a.b.1763735400.{"type":"otp.message"}`)
	h := http.Header{}
	h.Set("webhook-id", "a.b")
	h.Set("webhook-timestamp", "1763735400")
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	_, err = webhook.Verify(secret, h, []byte(`{"type":"otp.message"}`), sentAt)
	require.ErrorIs(t, err, webhook.ErrSignature)
}

func TestKeysThatCannotBeSigned(t *testing.T) {
	s, err := newSender("http://127.0.0.1:1")
	require.NoError(t, err)
	for _, key := range []string{"", "a.1", "a b", "a\r\nX: y", "ä"} {
		m := sendertest.Message(otp.SMS)
		m.Key = key
		_, err := s.Send(t.Context(), m)
		require.ErrorIs(t, err, otp.ErrNotAccepted)
		assert.ErrorContains(t, err, "key", key)
	}
}

func TestConfig(t *testing.T) {
	key := func(n int) otp.Secret {
		return otp.NewSecret("whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)))
	}
	const url = "https://example.com/hook"
	tests := []struct {
		name, want string
		cfg        webhook.Config
	}{
		{"no secret", "Secret", webhook.Config{URL: url}},
		{"no prefix", "Secret", webhook.Config{URL: url, Secret: otp.NewSecret(strings.TrimPrefix(secretText, "whsec_"))}},
		{"short secret", "Secret", webhook.Config{URL: url, Secret: key(23)}},
		{"long secret", "Secret", webhook.Config{URL: url, Secret: key(65)}},
		{"no base64", "Secret", webhook.Config{URL: url, Secret: otp.NewSecret("whsec_!!!!")}},
		{"no URL", "URL", webhook.Config{Secret: secret}},
		{"http", "URL is not https", webhook.Config{URL: "http://example.com", Secret: secret}},
		{"http to this machine", "URL: the host has an address that is not public", webhook.Config{URL: "http://127.0.0.1", Secret: secret}},
		{"user", "URL", webhook.Config{URL: "https://u@example.com", Secret: secret}},
		{"query", "URL", webhook.Config{URL: "https://example.com/?a", Secret: secret}},
		{"metadata", "not public", webhook.Config{URL: "https://169.254.169.254/", Secret: secret}},
		{"mapped", "not public", webhook.Config{URL: "https://[::ffff:a9fe:a9fe]/", Secret: secret}},
		{"decimal", "odd form", webhook.Config{URL: "https://2852039166/", Secret: secret}},
		{"hexadecimal", "odd form", webhook.Config{URL: "https://0xa9fea9fe/", Secret: secret}},
		{"short", "odd form", webhook.Config{URL: "https://127.1/", Secret: secret}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := webhook.New(tt.cfg)
			require.ErrorContains(t, err, tt.want)
			assert.NotContains(t, err.Error(), secretText)
		})
	}
	for _, n := range []int{24, 64} {
		_, err := webhook.New(webhook.Config{URL: url, Secret: key(n)})
		require.NoError(t, err)
	}
	_, err := webhook.Verify(otp.Secret{}, nil, nil, sentAt)
	require.ErrorContains(t, err, "Secret")
}

// S-81: a name that leads into the own network is found when it is dialed.
func TestNamesOfPrivateAddresses(t *testing.T) {
	s, err := webhook.New(webhook.Config{URL: "https://localhost:9/", Secret: secret})
	require.NoError(t, err)
	_, err = s.Send(t.Context(), sendertest.Message(otp.SMS))
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	assert.ErrorContains(t, err, "not public")
}

func FuzzVerify(f *testing.F) {
	f.Add("id", "1763735400", "v1,AAAA", []byte(`{}`))
	f.Add("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte(`{"test": 2432232314}`))
	f.Fuzz(func(t *testing.T, id, stamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {stamp}, "Webhook-Signature": {signature}}
		if _, err := webhook.Verify(secret, h, body, sentAt); err == nil {
			t.Error("a guess was taken for a signature")
		}
	})
}

func ExampleNew() {
	sender, err := webhook.New(webhook.Config{
		URL:    "https://messages.example.com/otp",
		Secret: otp.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), // from your vault
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A queue, so that answers do not wait for the receiver.
	senders := map[otp.Channel]otp.Sender{otp.SMS: otp.NewQueue(sender, 1000)}
	fmt.Println(len(senders))
	_, err = webhook.New(webhook.Config{URL: "https://169.254.169.254/latest/meta-data", Secret: otp.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")})
	fmt.Println(err)
	// Output:
	// 1
	// otp/webhook: URL: the host has an address that is not public
}

// The receiver of a webhook: it checks, remembers, sends and answers.
func ExampleVerify() {
	secret := otp.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		m, err := webhook.Verify(secret, r.Header, body, time.Now())
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		// Look up m.Key here, and answer 200 if it was sent before.
		fmt.Println("sends", m.Code.Reveal(), "to", m.To)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer receiver.Close()

	sender, err := webhook.New(webhook.Config{
		URL:     receiver.URL,
		Secret:  secret,
		Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, // only because this receiver is local
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := sender.Send(context.Background(), otp.Message{Key: "c1-1", To: "+15005550006", Code: otp.NewSecret("482913")})
	fmt.Println(receipt.MessageID, err)
	// Output:
	// sends 482913 to +15005550006
	// c1-1 <nil>
}
