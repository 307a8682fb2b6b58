package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"regexp"

	"otp.example/otp"
	"otp.example/otp/sender"
)

// answered reports whether err is an answer after which the conversation can go on: any
// but that the connection is closed (421, RFC 5321 section 3.8).
func answered(err error) bool {
	answer, ok := errors.AsType[*textproto.Error](err)
	return ok && answer.Code >= 400 && answer.Code <= 599 && answer.Code != 421
}

// outcome says what err means to who asked for the message.
func outcome(ctx context.Context, at step, err error) error {
	kind := otp.ErrNotAccepted
	answer, ok := errors.AsType[*textproto.Error](err)
	switch {
	case ok && answer.Code >= 400 && answer.Code <= 499:
		kind = sender.ErrTryLater
	case ok && answer.Code >= 500 && answer.Code <= 599:
		if at == rcptTo && noMailbox(answer) {
			kind = otp.ErrUndeliverable
		}
	case at == end:
		return fmt.Errorf("otp/smtp: %s: %w", at, reason(ctx, err))
	case errors.Is(ctx.Err(), context.Canceled): // by whoever wants no more of it
	case ctx.Err() != nil || lost(err):
		kind = sender.ErrTryLater
	}
	return fmt.Errorf("otp/smtp: %s: %w: %w", at, reason(ctx, err), kind)
}

// enhanced is the status code of RFC 3463 at the start of an answer.
var enhanced = regexp.MustCompile(`^5\.(\d{1,3})\.(\d{1,3})\b`)

// noMailbox reports whether the server says of the recipient that there is no such
// mailbox. Servers also answer 550 to senders whom they do not like, who should try
// another way; the enhanced code tells, where there is one.
func noMailbox(answer *textproto.Error) bool {
	if answer.Code != 550 && answer.Code != 551 && answer.Code != 553 {
		return false
	}
	m := enhanced.FindStringSubmatch(answer.Msg)
	if m == nil {
		return true
	}
	switch subject, detail := m[1], m[2]; subject {
	case "1": // addresses, of which these two are the sender's
		return detail != "7" && detail != "8"
	case "2": // mailboxes: this one is disabled
		return detail == "1"
	}
	return false
}

// lost reports whether the connection failed.
func lost(err error) bool {
	_, ok := errors.AsType[net.Error](err)
	return ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// reason puts err into words of our own. What the server wrote may repeat the recipient or
// the credentials, and so may errors that hold it.
func reason(ctx context.Context, err error) error {
	if answer, ok := errors.AsType[*textproto.Error](err); ok {
		if code := enhanced.FindString(answer.Msg); code != "" {
			return fmt.Errorf("server answered %d %s", answer.Code, code)
		}
		return fmt.Errorf("server answered %d", answer.Code)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, known := range []error{errNoTLS, errNoAuth, errTooMuch} {
		if errors.Is(err, known) {
			return known
		}
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return errors.New("certificate is by an unknown authority")
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return errors.New("certificate is for another host")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return errors.New("certificate has expired or is not yet valid")
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return errors.New("certificate is not valid")
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op // addresses of machines, and the system's reason
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("connection was closed")
	}
	return errors.New("server does not follow the protocol")
}
