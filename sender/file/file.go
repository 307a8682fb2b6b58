// Package file writes messages into a file instead of sending them, for development and for
// tests of whole programs, which read the code from it. It is not for production: whoever
// can read the file can sign in as anybody.
//
// Every message is a line of JSON:
//
//	{"channel":"sms","usage":"login","to":"+15005550006","code":"482913","key":"…","expires_at":"…","subject":"Your code","text":"…"}
package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"otp.example/otp"
)

// A Sender appends to a file. It is safe for concurrent use, also by several processes on
// one machine: a line is written at once.
type Sender struct {
	path string
	mu   sync.Mutex
}

var _ otp.Sender = (*Sender)(nil)

// New returns a sender that appends to the file at path. It is made with the first
// message, for its owner only, and may be removed at any time.
func New(path string) (*Sender, error) {
	if path == "" {
		return nil, errors.New("otp/file: path is missing")
	}
	return &Sender{path: path}, nil
}

type line struct {
	Channel   otp.Channel `json:"channel"`
	Usage     otp.Usage   `json:"usage"`
	To        string      `json:"to"`
	Code      string      `json:"code"`
	Key       string      `json:"key"`
	ExpiresAt time.Time   `json:"expires_at"`
	Subject   string      `json:"subject"`
	Text      string      `json:"text"`
}

// Send appends m.
func (s *Sender) Send(ctx context.Context, m otp.Message) (otp.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return otp.Receipt{}, fmt.Errorf("otp/file: %w: %w", otp.ErrNotAccepted, err)
	}
	b, err := json.Marshal(line{
		Channel: m.Channel, Usage: m.Usage, To: m.To, Code: m.Code.Reveal(), Key: m.Key,
		ExpiresAt: m.ExpiresAt, Subject: m.Content.Subject, Text: m.Content.Text,
	})
	if err != nil {
		return otp.Receipt{}, fmt.Errorf("otp/file: the message has no encoding: %w", otp.ErrNotAccepted)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return otp.Receipt{}, fmt.Errorf("otp/file: %w: %w", otp.ErrNotAccepted, err)
	}
	defer f.Close()
	if _, err := f.Write(append(b, '\n')); err != nil {
		return otp.Receipt{}, fmt.Errorf("otp/file: %w", err)
	}
	return otp.Receipt{Provider: "file", MessageID: m.Key}, nil
}
