package sqlstore_test

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
	"otp.example/otp/sqlstore"
)

// told is an entry in one line, without what differs from run to run.
func told(e sqlstore.AuditEntry) string {
	words := []string{e.Operation, e.Outcome}
	if e.Scope != "" {
		words = append(words, "by", e.Scope)
	}
	return strings.Join(words, " ")
}

func story(entries []sqlstore.AuditEntry) []string {
	lines := []string{}
	for _, e := range entries {
		lines = append(lines, told(e))
	}
	return lines
}

func audited(t *testing.T, s *sqlstore.Store, q sqlstore.AuditQuery) []sqlstore.AuditEntry {
	t.Helper()
	entries, err := s.Audit(t.Context(), q)
	require.NoError(t, err)
	assert.True(t, slices.IsSortedFunc(entries, func(a, b sqlstore.AuditEntry) int { return int(a.Seq - b.Seq) }))
	return entries
}

// S-84: whatever happens to a challenge is in the audit, and is found by the subject, by the
// recipient and by the challenge that events show.
func TestAudit(t *testing.T) {
	each(t, slices.Concat(serverKinds, otherDrivers, variants), func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		s := openStore(t, db, sqlstore.Options{AuditFor: time.Hour})
		var challenge string
		svc, outbox, clock := otptest.NewService(t, func(c *otp.Config) {
			c.Store, c.Limiter = s, s
			c.OnEvent = func(_ context.Context, e otp.Event) { challenge = e.Challenge }
		})
		ask := func(subject, to string) (otp.Challenge, error) {
			return svc.Request(t.Context(), otp.Request{
				Channel: otp.SMS, Usage: "login", Subject: subject, To: to, Client: netip.MustParseAddr("192.0.2.1"),
			})
		}
		answer := func(ch otp.Challenge, code string) error {
			_, err := svc.Verify(t.Context(), otp.Answer{ID: ch.ID, Usage: "login", Code: code})
			return err
		}
		ann, err := ask("ann", "+15550101")
		require.NoError(t, err)
		code := outbox.Code("+15550101")
		_, err = ask("bob", "+15550102") // somebody else
		require.NoError(t, err)

		_, err = ask("ann", "+15550101")
		require.ErrorIs(t, err, otp.ErrRateLimited)
		end := len(code) - 1
		wrong := code[:end] + string('0'+(code[end]-'0'+1)%10)
		require.ErrorIs(t, answer(ann, wrong), otp.ErrMismatch)
		clock.Advance(time.Minute)
		_, err = svc.Resend(t.Context(), otp.Resend{ID: ann.ID})
		require.NoError(t, err)
		require.NoError(t, answer(ann, outbox.Code("+15550101")))
		verified := challenge
		require.ErrorIs(t, answer(ann, code), otp.ErrAlreadyVerified)

		clock.Advance(time.Minute)
		other, err := ask("ann", "+15550103") // another number of the same person
		require.NoError(t, err)
		require.NoError(t, svc.Cancel(t.Context(), other.ID))
		require.ErrorIs(t, answer(other, code), otp.ErrCanceled)

		want := []string{
			"put applied", "put limited by recipient", "spend mismatch", "reissue applied", "spend verified", "spend already_verified",
			"put applied", "cancel applied", "spend canceled",
		}
		bySubject := audited(t, s, sqlstore.AuditQuery{Subject: svc.SubjectPseudonym("ann")})
		require.Equal(t, want, story(bySubject))
		byChallenge := audited(t, s, sqlstore.AuditQuery{Challenge: verified})
		require.Equal(t, slices.Delete(slices.Clone(want[:6]), 1, 2), story(byChallenge))
		byRecipient := audited(t, s, sqlstore.AuditQuery{Recipient: bySubject[0].Recipient})
		require.Equal(t, want[:6], story(byRecipient))
		require.Equal(t, want[6:], story(audited(t, s, sqlstore.AuditQuery{Recipient: bySubject[6].Recipient})))

		first, last := bySubject[0], bySubject[4]
		assert.Equal(t, svc.SubjectPseudonym("ann"), first.Subject)
		assert.NotEmpty(t, first.Client)
		assert.Equal(t, []any{otp.StatePending, 0, 1}, []any{first.State, first.Attempts, first.Sends})
		assert.Equal(t, []any{otp.StateVerified, 2, 2}, []any{last.State, last.Attempts, last.Sends})
		assert.Equal(t, clock.Now().Add(-2*time.Minute), first.At)
		assert.Equal(t, first.At, first.CreatedAt)
		assert.Equal(t, first.At.Add(time.Minute), last.At)
		assert.Equal(t, first.CreatedAt, last.CreatedAt)
		assert.Empty(t, last.Subject, "an attempt names nobody")

		// Pages are the whole.
		var pages []sqlstore.AuditEntry
		q := sqlstore.AuditQuery{Subject: svc.SubjectPseudonym("ann"), Limit: 4}
		for {
			page := audited(t, s, q)
			if pages = append(pages, page...); len(page) < q.Limit {
				break
			}
			q.After = page[len(page)-1].Seq
		}
		assert.Equal(t, bySubject, pages)

		for _, q := range []sqlstore.AuditQuery{{}, {Subject: "a", Challenge: "b"}} {
			_, err := s.Audit(t.Context(), q)
			require.ErrorContains(t, err, "AuditQuery")
		}
		require.Empty(t, audited(t, s, sqlstore.AuditQuery{Subject: "näh"}))
		require.Empty(t, audited(t, s, sqlstore.AuditQuery{Recipient: "unknown"}))
	})
}

// A reference is used again and again, by different people. What happened to one is not in
// the audit of another.
func TestAuditOfReference(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		s := openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{AuditFor: time.Hour})
		charge := func(subject string, at time.Time) []otp.Charge {
			return []otp.Charge{{Scope: "subject", Key: "s" + subject, Cost: 1, Limits: []otp.Limit{{N: 1, Per: time.Hour}}, At: at}}
		}
		ask := func(subject string, at time.Time) otp.Outcome {
			r := pending("reference")
			r.CreatedAt, r.ExpiresAt = at, at.Add(time.Minute)
			out, err := s.PutCharged(t.Context(), r, charge(subject, at), at)
			require.NoError(t, err)
			return out
		}
		require.True(t, ask("ann", noon).Applied)
		_, _, err := s.Spend(t.Context(), "reference", wrong, noon)
		require.NoError(t, err)
		require.False(t, ask("bob", noon.Add(time.Second)).Applied) // it is Ann's
		require.True(t, ask("bob", noon.Add(time.Minute)).Applied)
		_, _, err = s.Spend(t.Context(), "reference", right, noon.Add(time.Minute))
		require.NoError(t, err)

		require.Equal(t, []string{"put applied", "spend mismatch"}, story(audited(t, s, sqlstore.AuditQuery{Subject: "ann"})))
		require.Equal(t, []string{"put live", "put applied", "spend verified"}, story(audited(t, s, sqlstore.AuditQuery{Subject: "bob"})))
		require.Len(t, audited(t, s, sqlstore.AuditQuery{Challenge: "reference"}), 5)
	})
}

// S-84: every way in which a store refuses is told by its name.
func TestAuditOfRefusals(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		s := openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{AuditFor: time.Hour})
		ctx := t.Context()
		spend := func(id string, digest []byte, at time.Time) {
			t.Helper()
			_, _, err := s.Spend(ctx, id, digest, at)
			require.NoError(t, err)
		}
		reissue := func(id string, charges []otp.Charge) {
			t.Helper()
			_, err := s.ReissueCharged(ctx, id, right, 2, charges, noon)
			require.NoError(t, err)
		}
		full := chargesOf("recipient")
		full[0].Cost = 1000
		silent := slices.Clone(full)
		silent[0].Silent = true

		put(t, s, "a")
		_, _, err := s.Put(ctx, pending("a"), noon)
		require.NoError(t, err)
		reissue("a", full)
		reissue("a", silent)
		reissue("a", nil)
		reissue("a", nil)
		reissue("a", chargesOf("other"))
		for range 5 {
			spend("a", wrong, noon)
		}
		spend("a", right, noon)
		reissue("a", chargesOf("other"))
		_, _, err = s.Cancel(ctx, "a", noon)
		require.NoError(t, err)
		spend("a", right, noon.Add(5*time.Minute))
		require.Equal(t, []string{
			"put applied", "put live", "reissue limited by recipient", "reissue applied by recipient", "reissue applied", "reissue limited by sends",
			"reissue limited by sends", "spend mismatch", "spend mismatch", "spend mismatch", "spend mismatch", "spend mismatch",
			"spend attempts_exceeded", "reissue attempts_exceeded", "cancel attempts_exceeded", "spend expired",
		}, story(audited(t, s, sqlstore.AuditQuery{Challenge: "a"})))

		out, err := s.PutCharged(ctx, pending("b"), full, noon)
		require.NoError(t, err)
		require.False(t, out.Applied)
		out, err = s.PutCharged(ctx, pending("c"), silent, noon)
		require.NoError(t, err)
		require.True(t, out.Applied)
		require.Equal(t, []string{"put limited by recipient"}, story(audited(t, s, sqlstore.AuditQuery{Challenge: "b"})))
		require.Equal(t, []string{"put applied by recipient"}, story(audited(t, s, sqlstore.AuditQuery{Challenge: "c"})))

		// Nothing is known of what is not held.
		_, _, err = s.Spend(ctx, "never", right, noon)
		require.ErrorIs(t, err, otp.ErrNotFound)
		require.Empty(t, audited(t, s, sqlstore.AuditQuery{Challenge: "never"}))
	})
}

// Entries that are written at the same time may appear in another order than that of their Seq:
// who asks again from further back misses none.
func TestAuditOutOfOrder(t *testing.T) {
	each(t, serverKinds[:2], func(t *testing.T, k server) { // SQLite has one writer
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
		s := openStore(t, db, o)
		put(t, s, "a")
		began := audited(t, s, sqlstore.AuditQuery{Challenge: "a"})
		slow, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = slow.Exec("INSERT INTO " + o.Prefix + "audit (at, operation, outcome, challenge, created_at, state, attempts, sends, subject, recipient, client, scope) " +
			"VALUES (0, 'slow', 'applied', 'a', 0, 0, 0, 0, '', '', '', '')")
		require.NoError(t, err)
		_, _, err = s.Spend(t.Context(), "a", wrong, noon)
		require.NoError(t, err)
		seen := audited(t, s, sqlstore.AuditQuery{Challenge: "a", After: began[0].Seq})
		require.Equal(t, []string{"spend mismatch"}, story(seen))
		require.NoError(t, slow.Commit())
		require.Empty(t, audited(t, s, sqlstore.AuditQuery{Challenge: "a", After: seen[0].Seq}))
		again := audited(t, s, sqlstore.AuditQuery{Challenge: "a", After: began[0].Seq})
		require.Equal(t, []string{"slow applied", "spend mismatch"}, story(again))
	})
}

// S-84: a change without its entry is not made.
func TestAuditIsPartOfTheChange(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db), AuditFor: time.Hour}
		s := openStore(t, db, o)
		put(t, s, "a")
		_, err := db.Exec("ALTER TABLE " + o.Prefix + "audit RENAME TO " + o.Prefix + "away")
		require.NoError(t, err)
		for name, do := range map[string]func() error{
			"Spend":  func() error { _, _, err := s.Spend(t.Context(), "a", right, noon); return err },
			"Cancel": func() error { _, _, err := s.Cancel(t.Context(), "a", noon); return err },
			"ReissueCharged": func() error {
				_, err := s.ReissueCharged(t.Context(), "a", right, 2, chargesOf("k"), noon)
				return err
			},
			"PutCharged": func() error { _, err := s.PutCharged(t.Context(), pending("b"), chargesOf("k"), noon); return err },
		} {
			require.Error(t, do(), name)
		}
		_, err = db.Exec("ALTER TABLE " + o.Prefix + "away RENAME TO " + o.Prefix + "audit")
		require.NoError(t, err)

		r, err := s.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, pending("a"), r)
		_, err = s.Get(t.Context(), "b")
		require.ErrorIs(t, err, otp.ErrNotFound)
		c := chargesOf("k")[0]
		d, err := s.Take(t.Context(), "k", 10, c.Limits, noon)
		require.NoError(t, err)
		require.True(t, d.OK, "something was charged")
	})
}

// Prune keeps entries for as long as the options say, and counts them.
func TestAuditPrune(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		s := openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{AuditFor: time.Hour})
		put(t, s, "a")
		for i := range 3 {
			_, _, err := s.Spend(t.Context(), "a", wrong, noon.Add(time.Duration(i)*time.Minute))
			require.NoError(t, err)
		}
		prune := func(before time.Time, most int) int {
			t.Helper()
			n, err := s.Prune(t.Context(), before, most)
			require.NoError(t, err)
			return n
		}
		all := func() int { return len(audited(t, s, sqlstore.AuditQuery{Challenge: "a"})) }
		require.Equal(t, 1, prune(noon.Add(time.Hour-time.Microsecond), 100), "the challenge alone")
		require.Equal(t, 4, all())
		require.Equal(t, 1, prune(noon.Add(time.Hour), 1))
		require.Equal(t, 1, prune(noon.Add(time.Hour), 100), "two are as old")
		require.Equal(t, 2, all())
		require.Equal(t, 2, prune(noon.Add(2*time.Hour), 100))
		require.Zero(t, all())
	})
}

// S-84: of calls that meet, every one is told as it was answered.
func TestAuditUnderConcurrency(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		s := openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{AuditFor: time.Hour})
		put(t, s, "a")
		outcomes := make(chan string)
		for i := range 32 {
			go func() {
				digest := bytes.Repeat([]byte{byte(i % 8)}, otp.DigestSize)
				r, applied, err := s.Spend(t.Context(), "a", digest, noon)
				switch {
				case err != nil:
					outcomes <- err.Error()
				case applied && r.State == otp.StateVerified:
					outcomes <- "spend verified"
				case applied:
					outcomes <- "spend mismatch"
				case r.State == otp.StateVerified:
					outcomes <- "spend already_verified"
				default:
					outcomes <- "spend attempts_exceeded"
				}
			}()
		}
		answered := []string{"put applied"}
		for range 32 {
			answered = append(answered, <-outcomes)
		}
		require.ElementsMatch(t, answered, story(audited(t, s, sqlstore.AuditQuery{Challenge: "a"})))
	})
}
