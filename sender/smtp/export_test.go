package smtp

import (
	"context"
	"net"
	"strconv"

	"otp.example/otp"
)

const Idle = idle

var IsAddress = isAddress

// SetConnect has s talk over what connect returns.
func (s *Sender) SetConnect(connect func(context.Context) (net.Conn, error)) { s.connect = connect }

func (s *Sender) Port() string { return strconv.Itoa(s.cfg.Port) }

// Compose returns the message as it would be sent.
func (s *Sender) Compose(m otp.Message) ([]byte, error) { return s.compose(s.messageID(m.Key), m) }
