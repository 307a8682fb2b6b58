package otp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

var (
	errTimeout = errors.New("i/o timeout")
	errFull    = fmt.Errorf("%w: 550 mailbox full", otp.ErrNotAccepted)
	errGone    = fmt.Errorf("%w: 550 no such user", otp.ErrUndeliverable)
	errBoth    = fmt.Errorf("%w: %w: not a mobile number", otp.ErrNotAccepted, otp.ErrUndeliverable)
)

// sends returns a sender that answers with err and counts its calls.
func sends(calls *int, err error) otp.Sender {
	return otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
		*calls++
		if err != nil {
			return otp.Receipt{}, err
		}
		return otp.Receipt{Provider: "good"}, nil
	})
}

func panics() otp.Sender {
	return otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) { panic(m.Code.Reveal() + m.To) })
}

// S-76: the next sender is tried after a definite refusal only. After anything else the
// message may be on its way, and a second one would be a second message.
func TestFailover(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		first    error
		wantNext bool
	}{
		{"accepted", nil, false},
		{"refused", errFull, true},
		{"wrapped refusal", fmt.Errorf("provider: %w", errFull), true},
		{"unknown", errTimeout, false},
		{"deadline", context.DeadlineExceeded, false},
		{"undeliverable", errGone, false},
		{"refused and undeliverable", errBoth, false},
		{"failed over to a refusal", &otp.DeliveryError{Errs: []error{errFull, errFull}}, true},
		{"failed over to an unknown outcome", &otp.DeliveryError{Errs: []error{errFull, errTimeout}}, false},
		{"failed over to an undeliverable", &otp.DeliveryError{Errs: []error{errFull, errGone}}, false},
		{"an empty delivery error says nothing", &otp.DeliveryError{}, false},
		{"breaker is open", fmt.Errorf("%w: left alone", otp.ErrNotAccepted), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var first, second, third int
			s := otp.Failover(sends(&first, tt.first), sends(&second, nil), sends(&third, nil))
			receipt, err := s.Send(t.Context(), otp.Message{})
			require.Equal(t, 1, first)
			require.Zero(t, third)
			if tt.wantNext || tt.first == nil {
				require.NoError(t, err)
				require.Equal(t, "good", receipt.Provider)
			} else {
				require.ErrorIs(t, err, otp.ErrDelivery)
				require.ErrorIs(t, err, tt.first)
				require.Zero(t, receipt)
			}
			require.Equal(t, tt.wantNext, second == 1)
		})
	}
}

// A failover inside of a failover is one: an unknown outcome ends both.
func TestNestedFailover(t *testing.T) {
	t.Parallel()
	var refused, unknown, last int
	inner := otp.Failover(sends(&refused, errFull), sends(&unknown, errTimeout))
	_, err := otp.Failover(inner, sends(&last, nil)).Send(t.Context(), otp.Message{})
	require.ErrorIs(t, err, errTimeout)
	require.Equal(t, 1, unknown)
	require.Zero(t, last, "the second sender may have sent it")

	inner = otp.Failover(sends(&refused, errFull), sends(&refused, errFull))
	_, err = otp.Failover(inner, sends(&last, nil)).Send(t.Context(), otp.Message{})
	require.NoError(t, err)
	require.Equal(t, 1, last)
}

func TestFailoverErrors(t *testing.T) {
	t.Parallel()
	var calls int
	_, err := otp.Failover(sends(&calls, errFull), sends(&calls, errBoth), sends(&calls, nil)).Send(t.Context(), otp.Message{})
	delivery, ok := errors.AsType[*otp.DeliveryError](err)
	require.True(t, ok)
	require.Equal(t, []error{errFull, errBoth}, delivery.Errs, "one for each that was tried, in order")
	require.Equal(t, 2, calls)

	_, err = otp.Failover().Send(t.Context(), otp.Message{})
	require.ErrorIs(t, err, otp.ErrDelivery)
	require.ErrorIs(t, err, otp.ErrNotAccepted, "nobody has taken it")
}

func TestFailoverStopsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var second int
	first := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
		cancel()
		return otp.Receipt{}, errFull
	})
	_, err := otp.Failover(first, sends(&second, nil)).Send(ctx, otp.Message{})
	require.ErrorIs(t, err, errFull)
	require.Zero(t, second)
}

// Every sender gets the same message: the same code, under the same key.
func TestFailoverKeepsTheMessage(t *testing.T) {
	t.Parallel()
	var keys, codes []string
	note := func(err error) otp.Sender {
		return otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
			keys, codes = append(keys, m.Key), append(codes, m.Code.Reveal())
			return otp.Receipt{}, err
		})
	}
	_, err := otp.Failover(note(errFull), note(errFull), note(nil)).Send(t.Context(), otp.Message{Key: "k-1", Code: otp.NewSecret("012345")})
	require.NoError(t, err)
	require.Equal(t, []string{"k-1", "k-1", "k-1"}, keys)
	require.Equal(t, []string{"012345", "012345", "012345"}, codes)
}

// S-31 S-78: a sender that panics is one that nobody knows what it did, and its panic
// may hold anything.
func TestPanickingSender(t *testing.T) {
	t.Parallel()
	var next int
	m := otp.Message{Code: otp.NewSecret("492817"), To: "+4930123456"}
	for _, s := range []otp.Sender{panics(), otp.SenderFunc(nil)} {
		_, err := otp.Failover(s, sends(&next, nil)).Send(t.Context(), m)
		require.ErrorIs(t, err, otp.ErrDelivery)
		require.NotErrorIs(t, err, otp.ErrNotAccepted)
		require.False(t, otp.NotTaken(err))
		requireClean(t, err, m)

		_, err = otp.Send(t.Context(), s, m)
		require.ErrorIs(t, err, otp.ErrDelivery)
		requireClean(t, err, m)
	}
	require.Zero(t, next)
}

// Limits are given back only if no sender can have taken the message.
func TestNotTaken(t *testing.T) {
	t.Parallel()
	wrap := func(errs ...error) error { return &otp.DeliveryError{Errs: errs} }
	for _, err := range []error{
		errFull, errGone, errBoth, wrap(errFull), wrap(errFull, errGone), wrap(wrap(errFull), errGone), fmt.Errorf("x: %w", wrap(errFull)),
	} {
		require.True(t, otp.NotTaken(err), "%v", err)
	}
	for _, err := range []error{
		errTimeout, context.Canceled, wrap(errTimeout), wrap(errFull, errTimeout), wrap(errTimeout, errFull), wrap(wrap(errFull, errTimeout), errFull),
		wrap(), fmt.Errorf("%w: %w", otp.ErrNotAccepted, wrap(errTimeout)),
	} {
		require.False(t, otp.NotTaken(err), "%v", err)
	}
}

// S-78: no call of a sender is without an end.
func TestSendHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left time.Duration
		s := otp.SenderFunc(func(ctx context.Context, _ otp.Message) (otp.Receipt, error) {
			deadline, ok := ctx.Deadline()
			if ok {
				left = time.Until(deadline)
			}
			return otp.Receipt{MessageID: "7"}, nil
		})
		receipt, err := otp.Send(t.Context(), s, otp.Message{})
		require.NoError(t, err)
		require.Equal(t, "7", receipt.MessageID)
		require.Equal(t, 10*time.Second, left)

		near, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = otp.Send(near, s, otp.Message{})
		require.NoError(t, err)
		require.Equal(t, time.Second, left)
	})
}

// requireClean looks for what a delivery error must not tell.
func requireClean(t *testing.T, err error, m otp.Message) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%v %+v %#v %q", err, err, err, err), encodedErrs(err)} {
		plain := strings.ToLower(text)
		squeezed := strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, plain)
		if code := strings.ToLower(m.Code.Reveal()); code != "" {
			require.NotContains(t, squeezed, code, "the code")
		}
		local, domain, isEmail := strings.Cut(strings.ToLower(m.To), "@")
		if isEmail && len(local) > 2 {
			require.NotContains(t, plain, local, "the local part")
			require.NotContains(t, plain, local+"@"+domain)
		}
		if number, found := strings.CutPrefix(m.To, "+"); found {
			require.NotContains(t, squeezed, number, "the number")
		}
		for _, r := range text {
			require.False(t, unicode.IsControl(r), "%q in %q", r, text)
		}
	}
}

func encodedErrs(err error) string {
	d, ok := errors.AsType[*otp.DeliveryError](err)
	if !ok {
		return ""
	}
	var b strings.Builder
	for _, e := range d.Errs {
		fmt.Fprintf(&b, "%v %+v %#v %s", e, e, e, errors.Unwrap(e))
	}
	return b.String()
}

var (
	smsMessage = otp.Message{
		Channel: otp.SMS, Usage: "login", To: "+4930123456", Code: otp.NewSecret("492817"),
		Content: otp.Content{Text: "492817 is your code for login.", HTML: "<b>492817</b> is your code."},
	}
	mailMessage = otp.Message{
		Channel: otp.Email, Usage: "login", To: "Anna.Ng+shop@example.com", Code: otp.NewSecret("7K3M9QXW2D"),
		Content: otp.Content{Subject: "7K3M9QXW2D", Text: "7K3M9QXW2D is your code.", HTML: "<p>7K3M9QXW2D</p>"},
	}
)

// S-78 S-83: whatever a provider puts into its error, code and recipient are not in ours.
func TestDeliveryErrorsAreClean(t *testing.T) {
	t.Parallel()
	apart := func(s, sep string) string { return strings.Join(strings.Split(s, ""), sep) }
	grouped := func(s string, n int, sep string) string {
		var groups []string
		for ; len(s) > n; s = s[n:] {
			groups = append(groups, s[:n])
		}
		return strings.Join(append(groups, s), sep)
	}
	for name, m := range map[string]otp.Message{"SMS": smsMessage, "e-mail": mailMessage} {
		code := m.Code.Reveal()
		content, err := otp.DefaultRender(t.Context(), otp.Message{Channel: otp.Voice, Usage: "login", Code: m.Code, TTL: time.Minute})
		require.NoError(t, err)
		local, _, _ := strings.Cut(m.To, "@")
		texts := map[string]string{
			"the code":                  "cannot send " + code + " now",
			"twice":                     code + code,
			"in a word":                 "code=" + code + ";x",
			"small letters":             strings.ToLower(code),
			"mixed case":                strings.ToLower(code[:3]) + code[3:],
			"spaced":                    apart(code, " "),
			"spoken":                    apart(code, ", "),
			"hyphens between":           apart(code, "-"),
			"dots between":              apart(code, "."),
			"halves with a space":       grouped(code, len(code)/2, " "),
			"halves with a hyphen":      grouped(code, len(code)/2, "-"),
			"small halves":              strings.ToLower(grouped(code, len(code)/2, "-")),
			"pairs":                     grouped(code, 2, " "),
			"threes":                    grouped(code, 3, " "),
			"fours":                     grouped(code, 4, "-"),
			"no-break space":            grouped(code, len(code)/2, "\u00a0"),
			"on two lines":              grouped(code, len(code)/2, "\r\n"),
			"marked up":                 "<b>" + apart(code, "</b><b>") + "</b>",
			"the recipient":             "no route to " + m.To,
			"in angle brackets":         "550 5.1.1 <" + m.To + ">: unknown",
			"recipient in small":        "550 5.1.1 <" + strings.ToLower(m.To) + ">: unknown",
			"recipient in capitals":     strings.ToUpper(m.To),
			"query-escaped":             "POST https://api.example/send?to=" + url.QueryEscape(m.To) + "&text=" + url.QueryEscape(m.Content.Text) + ": EOF",
			"path-escaped":              "GET https://api.example/" + url.PathEscape(m.To) + ": EOF",
			"without a plus":            strings.TrimPrefix(m.To, "+"),
			"international prefix":      "00" + strings.TrimPrefix(m.To, "+"),
			"local part":                "user " + local + " unknown",
			"local part in small":       "user " + strings.ToLower(local) + " unknown",
			"text":                      "invalid body: " + m.Content.Text,
			"HTML":                      "invalid body: " + m.Content.HTML,
			"voice text":                "cannot say " + content.Text,
			"quoted":                    fmt.Sprintf("%q", m.Content.Text+m.To),
			"header":                    "550\r\nTo: " + m.To + "\r\n\r\n" + m.Content.Text,
			"control characters":        "550\x00\x1b[31m\x07\x7f no",
			"8-bit control characters":  "550 \u009b31m\u0085",
			"long":                      strings.Repeat("x", 100_000) + code + m.To,
			"long text before":          strings.Repeat(m.Content.Text+" ", 3000),
			"invalid UTF-8":             "\xff\xfe" + code + "\xc3",
			"empty":                     "",
			"only the code":             code,
			"everything":                m.To + code + m.Content.Text + local + apart(code, " "),
			"already redacted":          "[redacted]",
			"code around a redaction":   code[:3] + m.To + code[3:],
			"recipient around the code": m.To[:4] + code + m.To[4:],
		}
		if name == "SMS" {
			texts["number with spaces"] = "+49 30 123456 is no mobile"
			texts["number with hyphens"] = "+49-30-123456"
			texts["number as a URI"] = "tel:+49-30-123-456"
		}
		for what, text := range texts {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				cause := errors.New("cause")
				s := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
					return otp.Receipt{}, fmt.Errorf("%s: %w", text, errors.Join(otp.ErrNotAccepted, cause))
				})
				for _, s := range []otp.Sender{s, otp.Failover(s), otp.Failover(s, s)} {
					_, err := otp.Send(t.Context(), s, m)
					require.ErrorIs(t, err, otp.ErrDelivery)
					require.ErrorIs(t, err, otp.ErrNotAccepted, "it still matches")
					require.ErrorIs(t, err, cause)
					require.NotErrorIs(t, err, otp.ErrUndeliverable)
					requireClean(t, err, m)
					require.Less(t, len(err.Error()), 2000)
				}
			})
		}
	}
}

// A long text is cut, and what the cut leaves of a code or recipient is gone, too,
// however much shorter the rest became.
func TestDeliveryErrorsAreCutCleanly(t *testing.T) {
	t.Parallel()
	m := smsMessage
	m.Content.Text = "492817 is your code. " + strings.Repeat("Do not share it. ", 20)
	send := func(text string) string {
		s := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, errors.New(text) })
		_, err := otp.Send(t.Context(), s, m)
		return strings.TrimRight(err.Error(), "….")
	}
	for _, cut := range []int{512, 1024, 4096, 8192, 16384} {
		body := strings.Repeat(m.Content.Text, max(0, cut/len(m.Content.Text)-1)) // becomes short
		for _, what := range []string{"492817", "+4930123456"} {
			for before := cut - len(what); before <= cut; before++ {
				tail := send(body + strings.Repeat("x", before-len(body)) + what)
				for n := 3; n <= len(what); n++ {
					require.False(t, strings.HasSuffix(tail, what[:n]), "%d: …%s", before, tail[max(0, len(tail)-20):])
				}
			}
		}
	}
}

// The cleaned error is found by what it is, and unwraps to nothing that would print it.
func TestCleanErrorMatches(t *testing.T) {
	t.Parallel()
	s := otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		return otp.Receipt{}, fmt.Errorf("to %s: %w", m.To, &url.Error{Op: "Post", URL: "https://api.example", Err: context.DeadlineExceeded})
	})
	_, err := otp.Send(t.Context(), s, smsMessage)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	urlError, ok := errors.AsType[*url.Error](err)
	require.True(t, ok)
	require.True(t, urlError.Timeout())
	d, ok := errors.AsType[*otp.DeliveryError](err)
	require.True(t, ok)
	require.Len(t, d.Errs, 1)
	require.NoError(t, errors.Unwrap(d.Errs[0]))
	require.Contains(t, d.Errs[0].Error(), "Post \"https://api.example\": context deadline exceeded", "ordinary text stays")
}

// S-78: an error that panics, or that is none, does not take the request with it.
func TestBrokenErrors(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]error{
		"panics":        panicError{},
		"typed nil":     (*url.Error)(nil),
		"nil in a list": &otp.DeliveryError{Errs: []error{nil}},
		"empty list":    &otp.DeliveryError{},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NotPanics(t, func() {
				_, err := otp.Send(t.Context(), otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, broken }), smsMessage)
				require.ErrorIs(t, err, otp.ErrDelivery)
				require.False(t, otp.NotTaken(err))
				require.NotEmpty(t, err.Error())
			})
		})
	}
}

type panicError struct{}

func (panicError) Error() string { panic("492817") }

func TestConsole(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	receipt, err := otp.Console(&b).Send(t.Context(), smsMessage)
	require.NoError(t, err)
	require.Equal(t, "console", receipt.Provider)
	require.Equal(t, "sms to +4930123456: 492817 is your code for login.\n", b.String())

	closed, w := io.Pipe()
	require.NoError(t, closed.Close())
	_, err = otp.Console(w).Send(t.Context(), smsMessage)
	require.ErrorIs(t, err, otp.ErrNotAccepted)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

// A Sender is safe for concurrent use, whatever it writes to.
func TestConsoleIsConcurrent(t *testing.T) {
	t.Parallel()
	w := &exclusiveWriter{}
	s := otp.Console(w)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				_, _ = s.Send(context.Background(), smsMessage)
			}
		})
	}
	wg.Wait()
	require.Zero(t, w.overlaps.Load())
	require.Equal(t, int64(400), w.writes.Load(), "a line is one write")
}

// An exclusiveWriter counts the calls that come while another is at work.
type exclusiveWriter struct {
	busy             atomic.Bool
	writes, overlaps atomic.Int64
}

func (w *exclusiveWriter) Write(p []byte) (int, error) {
	if !w.busy.CompareAndSwap(false, true) {
		w.overlaps.Add(1)
		return len(p), nil
	}
	runtime.Gosched()
	w.writes.Add(1)
	w.busy.Store(false)
	return len(p), nil
}

func TestDefaultRender(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		m    otp.Message
		want string
	}{
		{"SMS", otp.Message{Channel: otp.SMS, Usage: "login", TTL: 5 * time.Minute}, "012345 is your code for login. It is valid for 5 minutes. Do not share it."},
		{"usage as words", otp.Message{Channel: otp.Email, Usage: "confirm_address-now", TTL: time.Minute}, "012345 is your code for confirm address now. It is valid for 1 minute. Do not share it."},
		{"address", otp.Message{Channel: otp.Email, Usage: otp.ConfirmAddress, TTL: time.Hour}, "012345 is your code for confirming this address. It is valid for 60 minutes. Do not share it."},
		{"recovery", otp.Message{Channel: otp.Email, Usage: otp.Recovery, TTL: time.Hour}, "012345 is your code for recovering your account. It is valid for 60 minutes. Do not share it."},
		{"spoken", otp.Message{Channel: otp.Voice, Usage: "login", TTL: 5 * time.Minute}, "0, 1, 2, 3, 4, 5 is your code for login. It is valid for 5 minutes. Do not share it."},
		// S-70: RTS 5(1), the payer sees amount and payee.
		{"bound", otp.Message{Channel: otp.SMS, Usage: otp.Payment, Binding: "10 EUR to Bob", TTL: 5 * time.Minute}, "012345 is your code for payment. It confirms: 10 EUR to Bob. It is valid for 5 minutes. Do not share it."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.m.Code = otp.NewSecret("012345")
			content, err := otp.DefaultRender(t.Context(), tt.m)
			require.NoError(t, err)
			require.Equal(t, otp.Content{Subject: "Your code", Text: tt.want}, content)
		})
	}
}

// Nobody is promised more time than there is.
func TestRenderedLifetimeRoundsDown(t *testing.T) {
	t.Parallel()
	for ttl, want := range map[time.Duration]string{
		0:                                "0 seconds",
		999 * time.Millisecond:           "0 seconds",
		time.Second:                      "1 second",
		59*time.Second + 999e6:           "59 seconds",
		time.Minute:                      "1 minute",
		119 * time.Second:                "1 minute",
		5*time.Minute - time.Microsecond: "4 minutes",
		90 * time.Minute:                 "90 minutes",
		2*time.Hour - 1:                  "119 minutes",
		2 * time.Hour:                    "2 hours",
		24*time.Hour - 1:                 "23 hours",
		24 * time.Hour:                   "24 hours",
	} {
		content, err := otp.DefaultRender(t.Context(), otp.Message{Channel: otp.SMS, Usage: "login", TTL: ttl})
		require.NoError(t, err)
		require.Contains(t, content.Text, "valid for "+want+".", "%s", ttl)
	}
}
