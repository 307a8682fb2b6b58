package sendertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const (
	patience = 20 * time.Millisecond // of the caller of a server that hangs, once it has the request
	limit    = 9 * time.Second       // by when every call has returned: less than the sender's own deadline
)

// faults checks what a sender makes of a server that does not answer as it should.
func (s Suite) faults(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("a redirect was followed")
	}))
	t.Cleanup(other.Close) // the parallel tests run after this function
	broken := "unknown"
	if s.StatusOnly {
		broken = "accepted"
	}
	type fault struct {
		name, want string
		handler    http.HandlerFunc
	}
	hanging := []fault{
		{"hangs", "unknown", func(_ http.ResponseWriter, r *http.Request) { wait(r) }},
		{"hangs in the body", broken, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{`))
			_ = http.NewResponseController(w).Flush()
			wait(r)
		}},
		{"drips", broken, func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := w.Write([]byte(" ")); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		}},
	}
	cases := []fault{
		{"huge body", broken, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"x":"` + strings.Repeat("x", 1<<20) + `"}`))
		}},
		{"huge header", "unknown", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Huge", strings.Repeat("x", 1<<20))
		}},
		{"no body", broken, func(http.ResponseWriter, *http.Request) {}},
		{"no JSON", broken, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>OK</html>")) }},
		{"another JSON", broken, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`[1]`)) }},
		{"half a body", broken, raw("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")},
		{"closes", "unknown", raw("")},
		{"no HTTP", "unknown", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			raw(fmt.Sprintf("%s %s %s\r\n\r\n", Code, r.Header, body))(w, r)
		}},
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		cases = append(cases, fault{fmt.Sprint("redirects with ", status), "unknown", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", other.URL)
			w.WriteHeader(status)
		}})
	}
	for status, want := range map[int]string{
		400: "refused", 401: "refused", 403: "refused", 404: "refused", 429: "later",
		408: "unknown", 409: "unknown", 500: "unknown", 502: "unknown", 503: "unknown", 504: "unknown",
	} {
		cases = append(cases, fault{fmt.Sprint("a proxy's ", status), want, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("<html>no</html>"))
		}})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s.fail(t.Context(), t, c.want, serve(t, c.handler).URL)
		})
	}
	for _, c := range hanging {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if c.want == "unknown" { // else the status is enough, and nobody waits for the rest
					time.AfterFunc(patience, cancel)
				}
				c.handler(w, r)
			})
			s.fail(ctx, t, c.want, server.URL)
		})
	}

	t.Run("nobody listens", func(t *testing.T) {
		gone := httptest.NewServer(nil)
		gone.Close()
		s.fail(t.Context(), t, "later", gone.URL)
	})
	t.Run("stranger's certificate", func(t *testing.T) {
		stranger := httptest.NewUnstartedServer(nil)
		stranger.Config.ErrorLog = quiet
		stranger.StartTLS()
		defer stranger.Close()
		s.fail(t.Context(), t, "refused", stranger.URL)
	})
	t.Run("no TLS", func(t *testing.T) {
		plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a code went over http") })
		s.fail(t.Context(), t, "refused", "https"+strings.TrimPrefix(plain.URL, "http"))
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.at(t, other.URL).Send(ctx, s.Message)
		s.check(t, "refused", err)
	})
}

// fail sends to a server and checks what became of it, and when.
func (s Suite) fail(ctx context.Context, t *testing.T, want, url string) {
	t.Helper()
	late, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := s.at(t, url).Send(late, s.Message)
	s.check(t, want, err)
	if errors.Is(late.Err(), context.DeadlineExceeded) {
		t.Errorf("it took longer than %v", limit)
	}
}

var quiet = log.New(io.Discard, "", 0)

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.ErrorLog = quiet
	server.Start()
	t.Cleanup(server.Close)
	return server
}

// wait reads the request, so that the server sees the client leave, and waits for that.
func wait(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// raw returns a handler that writes what it likes and closes.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		var conn net.Conn
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// echo checks that nothing that a provider repeats gets into an error, in whatever
// field of its answer it does so.
func (s Suite) echo(t *testing.T) {
	values := append([]string{Code, s.Message.To, s.Message.To[1:], "4 8 2 9 1 3", "x " + s.Message.Content.Text}, s.Secrets...)
	for _, value := range values {
		for _, status := range []int{200, 400, 500} {
			for _, nested := range []bool{false, true} {
				sender := s.sender(t, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Echo", value)
					w.WriteHeader(status)
					_, _ = w.Write(echoOf(value, r.Header.Get("Authorization"), nested))
				})
				if _, err := sender.Send(t.Context(), s.Message); err != nil {
					s.clean(t, err.Error())
				}
			}
		}
	}
}

// echoOf is an answer with a value in every field that any provider has.
func echoOf(value, authorization string, nested bool) []byte {
	errorField := any(value)
	if nested {
		errorField = map[string]any{"code": value, "message": authorization, "type": value}
	}
	status := map[string]any{"groupId": 5, "groupName": value, "id": value, "name": value, "description": value}
	b, err := json.Marshal(map[string]any{
		"ok": false, "code": value, "error": errorField, "errorCode": value, "type": "https://x/#" + value, "title": value,
		"detail": value, "message": value, "more_info": authorization, "status": value, "result": nil,
		"errors": []any{value}, "messages": []any{map[string]any{"status": status}},
	})
	if err != nil {
		panic(err)
	}
	return b
}
