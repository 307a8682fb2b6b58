package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

func TestURLs(t *testing.T) {
	for _, good := range []string{"https://example.com", "https://example.com/a/", "http://127.0.0.1:80", "http://[::1]:80/x", "https://10.0.0.1"} {
		_, err := New(Config{Name: "x", BaseURL: good})
		require.NoError(t, err, good)
	}
	for _, bad := range []string{
		"", "example.com", "https:", "https://", "https:example.com", "http://example.com", "http://10.0.0.1", "http://localhost:80",
		"http://127.0.0.1.example.com", "ftp://127.0.0.1", "file:///etc/passwd", "https://u:p@example.com", "https://example.com?a=b",
		"https://example.com#a", "https://exa mple.com", "https://[::1", "HTTP://example.com", "//example.com",
	} {
		_, err := New(Config{Name: "x", BaseURL: bad})
		require.ErrorContains(t, err, "otp/x: BaseURL", bad)
	}
	_, err := New(Config{Name: "x", BaseURL: "http://example.com", Field: "URL"})
	assert.EqualError(t, err, "otp/x: URL is not https")
}

// S-81: the environment of a process must not be able to reroute its codes.
func TestClientTakesNoProxy(t *testing.T) {
	c, err := New(Config{Name: "x", BaseURL: "https://example.com"})
	require.NoError(t, err)
	tr, ok := c.http.Transport.(*http.Transport)
	require.True(t, ok)
	assert.Nil(t, tr.Proxy)
	assert.Nil(t, c.http.Jar)
	assert.Positive(t, c.http.Timeout)
	assert.Positive(t, tr.TLSHandshakeTimeout)
	assert.Positive(t, tr.MaxConnsPerHost)
	assert.Nil(t, tr.TLSClientConfig, "certificates are verified as Go does it")
}

type reply struct {
	ID   string `json:"id"`
	Code Scalar `json:"code"`
}

func (r *reply) Outcome() Outcome { return Outcome{ID: r.ID, Code: string(r.Code)} }

// One slow call must not let the others pile up without end, and those that never got a
// connection have certainly not been sent.
func TestConnectionsAreBounded(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan struct{}, 2*maxConns)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		_, _ = w.Write([]byte(`{"id":"1"}`))
	}))
	defer server.Close()
	c, err := New(Config{Name: "x", BaseURL: server.URL})
	require.NoError(t, err)
	done := make(chan error, maxConns)
	for range maxConns {
		go func() {
			_, err := c.Send(context.Background(), otp.Message{}, JSON("/", 1), &reply{})
			done <- err
		}()
	}
	for range maxConns {
		<-arrived
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = c.Send(ctx, otp.Message{}, JSON("/", 1), &reply{})
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	assert.Empty(t, arrived)
	close(release)
	for range maxConns {
		assert.NoError(t, <-done)
	}
}

// S-78: of an answer without end only the beginning is read.
func TestAnswersAreBounded(t *testing.T) {
	const endless = 256 << 20 // more than all buffers on the way hold
	written := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := 0
		for n < endless {
			m, err := w.Write(make([]byte, 1<<16))
			if n += m; err != nil {
				break
			}
		}
		written <- n
	}))
	defer server.Close()
	c, err := New(Config{Name: "x", BaseURL: server.URL})
	require.NoError(t, err)
	_, err = c.Send(t.Context(), otp.Message{}, JSON("/", 1), &reply{})
	require.EqualError(t, err, "otp/x: HTTP 200 with an answer that cannot be read")
	assert.Less(t, <-written, endless)
}

// A caller without a deadline has one all the same.
func TestCallsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Name: "x", BaseURL: "http://127.0.0.1"})
		require.NoError(t, err)
		tr, ok := c.http.Transport.(*http.Transport)
		require.True(t, ok)
		tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { _, _ = io.Copy(io.Discard, server) }() // which never answers
			return client, nil
		}
		begun := time.Now()
		_, err = c.Send(context.Background(), otp.Message{}, JSON("/", 1), &reply{})
		require.EqualError(t, err, "otp/x: no answer in time")
		require.Equal(t, callTimeout, time.Since(begun))
	})
}

func TestErrorsShowShortCodesOnly(t *testing.T) {
	m := otp.Message{To: "+15005550006", Code: otp.NewSecret("4821")}
	tests := []struct{ name, code, want string }{
		{"number", "21211", "otp/x: HTTP 400, code 21211: otp: message not accepted"},
		{"word", "ACCESS_TOKEN_INVALID", "otp/x: HTTP 400, code ACCESS_TOKEN_INVALID: otp: message not accepted"},
		{"none", "", "otp/x: HTTP 400: otp: message not accepted"},
		{"sentence", "the number is bad", "otp/x: HTTP 400: otp: message not accepted"},
		{"lines", "1\nERROR forged", "otp/x: HTTP 400: otp: message not accepted"},
		{"long", strings.Repeat("1", 65), "otp/x: HTTP 400: otp: message not accepted"},
		{"not ASCII", "ü", "otp/x: HTTP 400: otp: message not accepted"},
		{"the code", "4821", "otp/x: HTTP 400: otp: message not accepted"},
		{"the code, spelled", "4-8-2-1", "otp/x: HTTP 400: otp: message not accepted"},
		{"the recipient", "to=15005550006", "otp/x: HTTP 400: otp: message not accepted"},
		{"the national number", "5005550006", "otp/x: HTTP 400: otp: message not accepted"},
		{"less of the recipient", "555000", "otp/x: HTTP 400, code 555000: otp: message not accepted"},
		{"the token", "x-s3cr3t-T0KEN-x", "otp/x: HTTP 400: otp: message not accepted"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				b, err := json.Marshal(map[string]string{"code": tt.code})
				assert.NoError(t, err)
				_, _ = w.Write(b)
			}))
			defer server.Close()
			c, err := New(Config{Name: "x", BaseURL: server.URL, Secrets: []otp.Secret{otp.NewSecret("s3cr3t-t0ken")}})
			require.NoError(t, err)
			_, err = c.Send(t.Context(), m, JSON("/", 1), &reply{})
			assert.EqualError(t, err, tt.want)
		})
	}
}

func TestNoEncoding(t *testing.T) {
	c, err := New(Config{Name: "x", BaseURL: "https://example.com"})
	require.NoError(t, err)
	_, err = c.Send(t.Context(), otp.Message{}, JSON("/", func() {}), nil)
	require.EqualError(t, err, "otp/x: the message has no encoding: otp: message not accepted")
}

// An ID goes into logs and stores, so it is a word or nothing.
func TestIDIsAWord(t *testing.T) {
	for id, want := range map[string]string{"SM1": "SM1", "wamid.HBgL==": "wamid.HBgL==", "a\nb": "", "a b": "", strings.Repeat("x", 257): ""} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, json.NewEncoder(w).Encode(map[string]string{"id": id}))
		}))
		c, err := New(Config{Name: "x", BaseURL: server.URL})
		require.NoError(t, err)
		receipt, err := c.Send(t.Context(), otp.Message{}, JSON("/", 1), &reply{})
		assert.Equal(t, want, receipt.MessageID)
		assert.Equal(t, want == "", err != nil)
		server.Close()
	}
}

func TestScalar(t *testing.T) {
	for in, want := range map[string]Scalar{`"a"`: "a", `1150`: "1150", `-1.5`: "-1.5", `true`: "true", `null`: "", `{"a":1}`: "", `[1]`: ""} {
		var s Scalar
		require.NoError(t, json.Unmarshal([]byte(in), &s), in)
		assert.Equal(t, want, s, in)
	}
}

func TestNumber(t *testing.T) {
	c, err := New(Config{Name: "x", BaseURL: "https://example.com"})
	require.NoError(t, err)
	n, err := c.Number("+15005550006")
	require.NoError(t, err)
	assert.Equal(t, "15005550006", n)
	for _, bad := range []string{
		"", "+", "15005550006", "+05005550006", "+150055", "+1500555000600000", "+1500555000６", "+1500 5550006",
		"+15005550006,+15005550007", "+15005550006<15005550007", "ann@example.com", "++15005550006", "+15005550006\n",
	} {
		_, err := c.Number(bad)
		require.ErrorIs(t, err, otp.ErrNotAccepted, bad)
		assert.NotErrorIs(t, err, otp.ErrUndeliverable, bad)
	}
}

func TestSeconds(t *testing.T) {
	assert.Equal(t, 0, Seconds(0, 30, 3600))
	assert.Equal(t, 0, Seconds(-time.Second, 30, 3600))
	assert.Equal(t, 30, Seconds(time.Millisecond, 30, 3600))
	assert.Equal(t, 299, Seconds(5*time.Minute-1, 30, 3600))
	assert.Equal(t, 3600, Seconds(24*time.Hour, 30, 3600))
}

func TestLanguage(t *testing.T) {
	have := []string{"en_US", "de", "pt_PT", "pt_BR"}
	for locale, want := range map[string]string{
		"": "en_US", "en": "en_US", "en-GB": "en_US", "de-AT": "de", "DE": "de", "pt-BR": "pt_BR", "pt_br": "pt_BR",
		"pt": "pt_PT", "pt-AO": "pt_PT", "fr": "en_US", "d": "en_US",
	} {
		assert.Equal(t, want, Language(have, locale), locale)
	}
	assert.Empty(t, Language(nil, "en"))
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whatever a provider answers, an error has at most a short word of it, and never the code.
func FuzzAnswer(f *testing.F) {
	f.Add(200, []byte(`{"id":"1"}`))
	f.Add(400, []byte(`{"code":21211}`))
	f.Add(429, []byte(`{"code":"482913"}`))
	f.Add(500, []byte(`{"code":{"a":[4,8,2,9,1,3]},"id":null}`))
	f.Add(301, []byte(``))
	m := otp.Message{To: "+15005550006", Code: otp.NewSecret("482913")}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c, err := New(Config{Name: "x", BaseURL: "https://example.com"})
		if err != nil {
			t.Fatal(err)
		}
		c.http.Transport = tripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body))}, nil
		})
		receipt, err := c.Send(t.Context(), m, JSON("/", 1), &reply{})
		switch {
		case err == nil && (status/100 != 2 || receipt.MessageID == ""):
			t.Errorf("%d is taken for an acceptance", status)
		case err != nil && (len(err.Error()) > 200 || strings.Contains(err.Error(), "482913")):
			t.Errorf("%q", err)
		case err != nil && status/100 != 4 && errors.Is(err, otp.ErrNotAccepted):
			t.Errorf("%d is no refusal: %v", status, err)
		}
	})
}
