package otp

import (
	"context"
	"log/slog"
	"time"
)

// An EventType says what happened.
type EventType string

// The types of events.
const (
	EventRequested  EventType = "requested"   // a challenge exists and its limits are charged
	EventSent       EventType = "sent"        // a sender accepted a message
	EventSendFailed EventType = "send_failed" // no sender did, or it is not known
	EventResent     EventType = "resent"      // a send was counted against a live challenge
	EventVerified   EventType = "verified"    // a right code was used up
	EventRejected   EventType = "rejected"    // an answer was no, or a challenge was not live; Reason says why
	EventLimited    EventType = "limited"     // a limit refused; Reason names it
	EventRefused    EventType = "refused"     // a Guard, a preset or a check of the request refused
	EventEscalated  EventType = "escalated"   // guesses ran low, so the code is longer
	EventThreshold  EventType = "threshold"   // the same, once in 24 hours for each subject and recipient: tell the owner
	EventCanceled   EventType = "canceled"    // a challenge was ended
	EventRedeemed   EventType = "redeemed"    // a token was used up
	EventFault      EventType = "fault"       // a store, policy source or hook failed

	EventReplayed    EventType = "replayed"     // a code of a credential was right, but had been used
	EventEnrolled    EventType = "enrolled"     // a credential was confirmed or a set of recovery codes made: tell the owner
	EventRevoked     EventType = "revoked"      // a credential was taken away: tell the owner
	EventResynced    EventType = "resynced"     // the counter or clock of a token was found again
	EventDisabled    EventType = "disabled"     // too many guesses at a factor, which is disabled now: tell the owner
	EventRecoveryLow EventType = "recovery_low" // two recovery codes are left, or fewer
)

// An Event is one audit fact. It never holds a code, a handle or a full
// recipient, and is safe to log. What is not known, or was never checked, is empty.
type Event struct {
	Type       EventType
	Time       time.Time // UTC
	Tenant     string
	Challenge  string // stable pseudonym of the handle, useless as a handle
	Subject    string // pseudonym; see Service.SubjectPseudonym
	Factor     Factor // of a credential; empty for what was sent
	Credential string // its ID
	MaskedTo   string
	Channel    Channel
	Usage      Usage
	Receipt    Receipt       // of the sender; only EventSent has one
	Reason     string        // for what is not plain from Type, of a small fixed set: the rejection, "limited_by_" and a scope, …
	Err        error         // without codes, handles and recipients
	Took       time.Duration // of EventSent and EventSendFailed: from before rendering to the sender's answer, the wait in a Queue included; else zero
}

// LogEvents returns an OnEvent that writes to l: faults as errors, what was refused
// as warnings, the rest as information.
func LogEvents(l *slog.Logger) func(context.Context, Event) {
	return func(ctx context.Context, e Event) {
		level := slog.LevelInfo
		switch e.Type {
		case EventFault:
			level = slog.LevelError
		case EventSendFailed, EventRejected, EventLimited, EventRefused, EventThreshold, EventReplayed, EventDisabled, EventRecoveryLow:
			level = slog.LevelWarn
		}
		if !l.Enabled(ctx, level) {
			return
		}
		attrs := make([]slog.Attr, 0, 14)
		add := func(key, value string) {
			if value != "" {
				attrs = append(attrs, slog.String(key, printable(value)))
			}
		}
		add("event", string(e.Type))
		attrs = append(attrs, slog.Time("at", e.Time))
		add("tenant", e.Tenant)
		add("challenge", e.Challenge)
		add("subject", e.Subject)
		add("factor", string(e.Factor))
		add("credential", e.Credential)
		add("to", e.MaskedTo)
		add("channel", string(e.Channel))
		add("usage", string(e.Usage))
		add("provider", e.Receipt.Provider)
		add("message_id", e.Receipt.MessageID)
		add("reason", e.Reason)
		if e.Err != nil {
			add("error", e.Err.Error())
		}
		if e.Took > 0 {
			attrs = append(attrs, slog.Duration("took", e.Took))
		}
		l.LogAttrs(ctx, level, "otp", attrs...)
	}
}
