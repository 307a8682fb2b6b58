package aws

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"sync/atomic"
	"time"
)

// An attempt is the HTTP client of one call. It bounds the answer and notes whether there
// was a connection, without which nothing was sent.
type attempt struct {
	client    *http.Client
	connected atomic.Bool
}

const maxAnswer = 64 << 10 // bytes of a body, and of headers

// newClient follows no redirects and takes no proxy from the environment: each would show
// codes to somebody whom the configuration does not name. It is as the client of
// sender/internal/provider, which is of another module and may change with any version.
func newClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:    3 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
			MaxConnsPerHost:        32,
			MaxIdleConnsPerHost:    32,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // an answer is small, and a bomb stays as large as it is
		},
	}
}

var (
	errNotHTTPS = errors.New("endpoint is not https")
	errTooLong  = errors.New("answer is too long")
)

// Do implements the SDK's HTTPClient.
func (a *attempt) Do(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLocal(r.URL.Hostname()) {
		return nil, errNotHTTPS
	}
	ctx := httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { a.connected.Store(true) },
	})
	res, err := a.client.Do(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	res.Body = &bounded{res.Body, maxAnswer}
	return res, nil
}

// isLocal reports whether host is this machine, where http shows codes to nobody else.
func isLocal(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// bounded is a body that fails, instead of ending, when it is too long.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
