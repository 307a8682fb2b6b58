package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"otp.example/otp"
)

// An AuditEntry is one call that was about one challenge, whether or not it changed
// that. Pseudonyms are empty where a call does not name whom it is about: of an attempt
// they are those of the entry with which its challenge began.
type AuditEntry struct {
	Seq int64     // greater than those of entries that were there before; see AuditQuery.After
	At  time.Time // the now of the call, in UTC

	// Operation is the call: "put" (Request, Issue, Redeem), "spend" (Verify),
	// "reissue" (Resend) or "cancel".
	Operation string

	// Outcome is "applied", or "verified" or "mismatch" for an attempt that was
	// counted. If nothing was changed it says why: "live" (there was such a challenge
	// already), "limited" (Scope names the limit), "already_verified", "canceled",
	// "expired" or "attempts_exceeded".
	Outcome string

	Challenge string    // its otp.Record.ID, which events show as Event.Challenge
	CreatedAt time.Time // of the challenge: a reference may have several, one after the other
	State     otp.State // of the challenge after the call; zero, like the next two, if none was made
	Attempts  int
	Sends     int

	Subject   string // as Service.SubjectPseudonym returns it; empty also where nothing was charged to a subject
	Recipient string // likewise of the recipient
	Client    string // likewise of the client's address

	// Scope is the charge that refused, "sends" if there were none left. If the
	// outcome is "applied", it refused in silence, and the message had no code.
	Scope string
}

// An AuditQuery says which entries [Store.Audit] returns. Exactly one of Challenge, Subject
// and Recipient is required.
type AuditQuery struct {
	Challenge string // otp.Event.Challenge
	Subject   string // otp.Service.SubjectPseudonym: everything about challenges that were made for it
	Recipient string // otp.Service.RecipientPseudonym: everything about challenges that were sent to it

	// After returns only entries with a greater Seq: for the next page that of the last entry.
	// Entries written at the same time may appear out of order: whoever follows a trail asks
	// again from the last one that is a minute old.
	After int64
	Limit int // at most so many. Zero means 1000.
}

// Audit returns what happened to a challenge, a subject or a recipient, oldest first.
// Without Options.AuditFor nothing is written, but what was written before is found.
func (s *Store) Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	if err := done(ctx); err != nil {
		return nil, err
	}
	name, who, given := "", "", 0
	for _, about := range []struct{ name, who string }{
		{"audit_challenge", q.Challenge}, {"audit_subject", q.Subject}, {"audit_recipient", q.Recipient},
	} {
		if about.who != "" {
			name, who = about.name, about.who
			given++
		}
	}
	if given != 1 {
		return nil, errors.New("sqlstore: AuditQuery needs one of Challenge, Subject and Recipient")
	}
	if !isKey(who) {
		return nil, nil
	}
	limit := q.Limit
	if limit <= 0 {
		limit = 1000
	}
	var entries []AuditEntry
	err := s.b.use(ctx, func(run runner) error {
		entries = nil
		rows, err := run.QueryContext(ctx, s.text.get(name), who, q.After, limit)
		if err != nil {
			return err
		}
		var e AuditEntry
		var at, created, state int64
		return each(rows, func() error {
			e.At, e.CreatedAt, e.State = time.UnixMicro(at).UTC(), time.UnixMicro(created).UTC(), otp.State(state)
			entries = append(entries, e)
			return nil
		}, &e.Seq, &at, &e.Operation, &e.Outcome, &e.Challenge, &created, &state, &e.Attempts, &e.Sends,
			&e.Subject, &e.Recipient, &e.Client, &e.Scope)
	})
	if err != nil {
		return nil, fmt.Errorf("sqlstore: audit: %w", err)
	}
	return entries, nil
}

// An act is a call as the audit will tell it.
type act struct {
	operation                  string
	at                         time.Time
	id                         string    // of the challenge that is to be made, if one is
	created                    time.Time // when that is
	subject, recipient, client string
}

func putAct(r *otp.Record, at time.Time, charges []otp.Charge) act {
	a := newAct("put", at, charges)
	a.id, a.created = r.ID, r.CreatedAt
	return a
}

// newAct finds whom a call is about in what it charges.
func newAct(operation string, at time.Time, charges []otp.Charge) act {
	a := act{operation: operation, at: at}
	for i := range charges {
		var who *string
		switch charges[i].Scope {
		case "subject":
			who = &a.subject
		case "recipient":
			who = &a.recipient
		case "client":
			who = &a.client
		}
		if who != nil && *who == "" {
			// The key of who is counted for messages is an s and the pseudonym.
			*who = strings.TrimPrefix(charges[i].Key, "s")
		}
	}
	return a
}

// maxScope is for how much of a scope the column has room.
const maxScope = 64

func scopeOf(refused *otp.Refusal) string {
	if refused == nil {
		return ""
	}
	return refused.Scope[:min(len(refused.Scope), maxScope)]
}

// auditParameters is the number of values in args.
const auditParameters = 6

// args are what a statement gets that writes its own row.
func (a *act) args(refused *otp.Refusal) []any {
	return []any{a.at.UnixMicro(), a.operation, a.subject, a.recipient, a.client, scopeOf(refused)}
}

// log writes a row for a call, if there is an audit.
func (s *statements) log(ctx context.Context, run runner, a act, out otp.Outcome) error {
	if s.auditFor == 0 {
		return nil
	}
	r := out.Record
	if a.operation == "put" && !out.Applied { // that is another challenge, or none
		r = otp.Record{ID: a.id, CreatedAt: a.created}
	}
	outcome, scope := a.outcome(&out)
	_, err := run.ExecContext(ctx, s.get("log"), a.at.UnixMicro(), a.operation, outcome, r.ID, r.CreatedAt.UnixMicro(),
		int64(r.State), int64(r.Attempts), int64(r.Sends), a.subject, a.recipient, a.client, scope)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

func (a *act) outcome(out *otp.Outcome) (outcome, scope string) {
	r := &out.Record
	scope = scopeOf(out.Refused)
	switch {
	case out.Applied && a.operation != "spend":
		return "applied", scope
	case out.Applied && r.State == otp.StateVerified:
		return "verified", ""
	case out.Applied:
		return "mismatch", ""
	case out.Refused != nil:
		return "limited", scope
	case a.operation == "put":
		return "live", ""
	case r.State == otp.StateVerified:
		return "already_verified", ""
	case r.State == otp.StateCanceled:
		return "canceled", ""
	case !a.at.Before(r.ExpiresAt):
		return "expired", ""
	case r.Attempts >= r.MaxAttempts:
		return "attempts_exceeded", ""
	default:
		return "limited", "sends"
	}
}
