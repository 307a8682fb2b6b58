package otp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

var eventTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func logEvent(t *testing.T, e otp.Event, o *slog.HandlerOptions) (entry map[string]any) {
	t.Helper()
	var b bytes.Buffer
	otp.LogEvents(slog.New(slog.NewJSONHandler(&b, o)))(t.Context(), e)
	if b.Len() == 0 {
		return nil
	}
	require.NoError(t, json.Unmarshal(b.Bytes(), &entry))
	return entry
}

// S-84: faults are errors, what was refused is a warning, the rest is information.
func TestEventLevels(t *testing.T) {
	t.Parallel()
	levels := map[otp.EventType]string{
		otp.EventRequested: "INFO", otp.EventSent: "INFO", otp.EventResent: "INFO", otp.EventVerified: "INFO", otp.EventEscalated: "INFO",
		otp.EventCanceled: "INFO", otp.EventRedeemed: "INFO", otp.EventEnrolled: "INFO", otp.EventRevoked: "INFO", otp.EventResynced: "INFO",
		otp.EventSendFailed: "WARN", otp.EventRejected: "WARN", otp.EventLimited: "WARN", otp.EventRefused: "WARN", otp.EventThreshold: "WARN",
		otp.EventReplayed: "WARN", otp.EventDisabled: "WARN", otp.EventRecoveryLow: "WARN",
		otp.EventFault: "ERROR",
	}
	source, err := os.ReadFile("event.go")
	require.NoError(t, err)
	require.Len(t, levels, bytes.Count(source, []byte(` EventType = "`)), "an event has no level here")
	for eventType, want := range levels {
		entry := logEvent(t, otp.Event{Type: eventType, Time: eventTime}, nil)
		require.Equal(t, want, entry["level"], eventType)
		require.Equal(t, string(eventType), entry["event"])
		require.Equal(t, "otp", entry["msg"])
		require.Equal(t, "2026-03-01T12:00:00Z", entry["at"])
		require.Len(t, entry, 5, "what is empty is left out")
	}
	quiet := &slog.HandlerOptions{Level: slog.LevelError}
	require.Nil(t, logEvent(t, otp.Event{Type: otp.EventRejected}, quiet))
	require.NotNil(t, logEvent(t, otp.Event{Type: otp.EventFault}, quiet))
}

// S-84: every field of an event is logged under its name.
func TestEventFields(t *testing.T) {
	t.Parallel()
	entry := logEvent(t, otp.Event{
		Type: otp.EventSendFailed, Time: eventTime, Tenant: "shop", Challenge: "c", Subject: "s", Factor: otp.FactorTOTP, Credential: "d", MaskedTo: "+49***12", Channel: otp.SMS, Usage: "login",
		Receipt: otp.Receipt{Provider: "p", MessageID: "m"}, Reason: "delivery_failed", Err: errors.New("550 no"), Took: 1500 * time.Millisecond,
	}, nil)
	delete(entry, "time")
	require.Equal(t, map[string]any{
		"level": "WARN", "msg": "otp", "event": "send_failed", "at": "2026-03-01T12:00:00Z", "tenant": "shop", "challenge": "c", "subject": "s", "factor": "totp", "credential": "d", "to": "+49***12",
		"channel": "sms", "usage": "login", "provider": "p", "message_id": "m", "reason": "delivery_failed", "error": "550 no", "took": 1.5e9,
	}, entry)
}

// hostile are texts of people and providers that would change how a log reads.
var hostile = map[string]string{
	"line feed":           "x\nlevel=INFO msg=otp event=verified",
	"carriage return":     "x\rlevel=INFO msg=otp event=verified",
	"JSON":                `x","event":"verified","y":"`,
	"JSON on a new line":  "x\"}\n{\"event\":\"verified\"}",
	"key and value":       "x event=verified",
	"quoted":              `x" event="verified`,
	"backslash":           `x\`,
	"NUL":                 "x\x00y",
	"backspace":           "x\b\b\b\by",
	"delete":              "x\x7fy",
	"color":               "\x1b[31mx\x1b[0m",
	"cursor up":           "\x1b[1A\x1b[2Kevent=verified",
	"title":               "\x1b]0;x\x07",
	"8-bit control":       "\u009b31mx",
	"next line":           "x\u0085event=verified",
	"line separator":      "x\u2028event=verified",
	"paragraph separator": "x\u2029event=verified",
	"bidi override":       "x\u202edeifirev=tneve",
	"bidi embedding":      "x\u202bdeifirev\u202c",
	"bidi isolate":        "x\u2067deifirev\u2069",
	"right-to-left mark":  "x\u200fy",
	"Arabic letter mark":  "x\u061cy",
	"invalid UTF-8":       "x\xff\xfey",
	"overlong line feed":  "x\xc0\x8ay",
}

// S-85: whatever stands in an event, one event is one line, every field stands where it
// belongs, and nothing in it moves the cursor or the reading direction.
func TestHostileEvents(t *testing.T) {
	t.Parallel()
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := otp.Event{
				Type: otp.EventRejected, Time: eventTime, Tenant: text, Challenge: text, Subject: text, Factor: otp.Factor(text), Credential: text, MaskedTo: text,
				Channel: otp.Channel(text), Usage: otp.Usage(text), Receipt: otp.Receipt{Provider: text, MessageID: text}, Reason: text, Err: errors.New(text),
			}
			var js, plain bytes.Buffer
			otp.LogEvents(slog.New(slog.NewJSONHandler(&js, nil)))(t.Context(), e)
			otp.LogEvents(slog.New(slog.NewTextHandler(&plain, nil)))(t.Context(), e)
			for _, out := range []string{js.String(), plain.String()} {
				line, found := strings.CutSuffix(out, "\n")
				require.True(t, found)
				for _, r := range line {
					require.False(t, unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp), "%q in %q", r, line)
				}
			}
			var entry map[string]any
			require.NoError(t, json.Unmarshal(js.Bytes(), &entry))
			require.Equal(t, "rejected", entry["event"])
			require.Len(t, entry, 17)
			require.Equal(t, "rejected", textFields(t, plain.String())["event"])
			require.Len(t, textFields(t, plain.String()), 17)
		})
	}
}

// textFields reads a line of a slog.TextHandler, in which a value with a space is quoted.
func textFields(t *testing.T, line string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for rest := strings.TrimSuffix(line, "\n"); rest != ""; {
		key, after, found := strings.Cut(rest, "=")
		require.True(t, found, "%q", rest)
		require.NotContains(t, key, `"`)
		end := strings.IndexByte(after, ' ')
		if strings.HasPrefix(after, `"`) {
			for end = 1; after[end] != '"'; end++ {
				if after[end] == '\\' {
					end++
				}
			}
			end++
		}
		if end < 0 {
			end = len(after)
		}
		_, repeated := fields[key]
		require.False(t, repeated, "%s stands twice in %q", key, line)
		fields[key] = after[:end]
		rest = strings.TrimPrefix(after[end:], " ")
	}
	return fields
}

// Ordinary text of any language stays as it is.
func TestEventsKeepOrdinaryText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"shop 1", "Größe", "東京", "שלום", "a/b:c@d", "550 5.1.1 no such user", `say "hi"`, `C:\x`} {
		entry := logEvent(t, otp.Event{Type: otp.EventFault, Time: eventTime, Tenant: text, Err: errors.New(text)}, nil)
		require.Equal(t, text, entry["tenant"])
		require.Equal(t, text, entry["error"])
	}
}
