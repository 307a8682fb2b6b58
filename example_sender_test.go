package otp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"time"

	"otp.example/otp"
	"otp.example/otp/sender"
)

// A gateway hands messages to a provider of text messages over HTTP.
type gateway struct {
	client *http.Client
	url    string
	token  otp.Secret
}

func newGateway(url string, token otp.Secret) *gateway {
	return &gateway{url: url, token: token, client: &http.Client{
		// No code goes to wherever an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (g *gateway) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	// Not in a header Idempotency-Key: net/http would try again by itself then, and could end
	// with a refused connection although the first request had arrived.
	body, err := json.Marshal(map[string]string{"id": m.Key, "to": m.To, "text": m.Content.Text})
	if err != nil {
		return otp.Receipt{}, fmt.Errorf("%w: %w", otp.ErrNotAccepted, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url, bytes.NewReader(body))
	if err != nil {
		return otp.Receipt{}, fmt.Errorf("%w: %w", otp.ErrNotAccepted, err)
	}
	r.Header.Set("Authorization", "Bearer "+g.token.Reveal())
	r.Header.Set("Content-Type", "application/json")

	answer, err := g.client.Do(r)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return otp.Receipt{}, fmt.Errorf("%w: %w", otp.ErrNotAccepted, err)
	}
	if err != nil {
		return otp.Receipt{}, err // the request may have arrived
	}
	defer answer.Body.Close()
	switch status := answer.StatusCode; {
	case status/100 == 2:
		return otp.Receipt{Provider: "gateway", MessageID: answer.Header.Get("Message-Id"), At: time.Now()}, nil
	case status == http.StatusTooManyRequests:
		return otp.Receipt{}, fmt.Errorf("gateway: %w", sender.ErrTryLater) // not accepted either
	case status/100 == 4: // if the provider says so
		return otp.Receipt{}, fmt.Errorf("%w: gateway: %s", otp.ErrNotAccepted, answer.Status)
	default:
		return otp.Receipt{}, errors.New("gateway: " + answer.Status) // the message may be on its way
	}
}

// A sender for a provider of your own. What counts is which errors say that the message was
// certainly not taken: only then does a [otp.Failover] go on and are limits given back.
func ExampleSender() {
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		w.WriteHeader(status)
	}))
	send := func(status string) {
		_, err := newGateway(provider.URL+"?status="+status, otp.NewSecret("token")).Send(context.Background(), otp.Message{})
		fmt.Println(status, "accepted:", err == nil, "certainly not:", errors.Is(err, otp.ErrNotAccepted))
	}
	for _, status := range []string{"202", "400", "429", "500"} {
		send(status)
	}
	provider.Close()
	send("gone")
	// Output:
	// 202 accepted: true certainly not: false
	// 400 accepted: false certainly not: true
	// 429 accepted: false certainly not: true
	// 500 accepted: false certainly not: false
	// gone accepted: false certainly not: true
}
