package otp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func TestVerifyOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	to := number()
	ch := w.request(otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: to, Extra: []byte("x"), Client: netip.MustParseAddr("192.0.2.1")})
	require.Equal(t, otp.StatusPending, ch.Status)
	require.Equal(t, 5, ch.AttemptsLeft)
	require.Equal(t, 2, ch.SendsLeft)
	require.Equal(t, w.clock.Now().Add(5*time.Minute), ch.ExpiresAt)
	require.Equal(t, w.clock.Now().Add(30*time.Second), ch.ResendAt)
	require.Equal(t, "m1", ch.Receipt.MessageID)

	p, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	require.True(t, p.Valid())
	require.Equal(t, "alice", p.Subject())
	require.Equal(t, to, p.Recipient())
	require.Equal(t, otp.SMS, p.Channel())
	require.Equal(t, otp.Usage("login"), p.Usage())
	require.Equal(t, []byte("x"), p.Extra())
	require.Equal(t, otp.FactorDelivered, p.Factor())
	require.Equal(t, w.clock.Now(), p.Time())

	// S-22: used once, never again. S-30: nothing remembers the answer.
	p, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	require.False(t, p.Valid())
	require.Equal(t, []otp.EventType{otp.EventSent, otp.EventVerified, otp.EventRejected}, w.events.types()[1:])
}

// S-22 FM-06: of 64 concurrent right answers one is accepted, a thousand times.
func TestVerifyRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const rounds, clients = 1000, 64
	for range rounds {
		ch := w.request(login(number()))
		code := w.box.code(t)
		var accepted atomic.Int32
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range clients {
			wg.Go(func() {
				<-start
				if _, err := w.Verify(context.Background(), otp.Answer{ID: ch.ID, Code: code, Usage: "login"}); err == nil {
					accepted.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		require.EqualValues(t, 1, accepted.Load())
	}
}

// S-23 FM-07 FM-16: however many guess at once, no more than MaxAttempts are compared.
func TestAttemptsBoundUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	guess := wrong(w.box.code(t))
	var compared, refused atomic.Int32
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			_, err := w.Verify(context.Background(), otp.Answer{ID: ch.ID, Code: guess, Usage: "login"})
			switch {
			case errors.Is(err, otp.ErrMismatch):
				compared.Add(1)
			case errors.Is(err, otp.ErrAttemptsExceeded):
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 5, compared.Load())
	require.EqualValues(t, 995, refused.Load())
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrAttemptsExceeded, "S-40: the right code is not told from a wrong one")
}

func TestWrongCodeCountsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	for left := 4; left >= 0; left-- {
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(w.box.code(t)), Usage: "login"})
		var mismatch *otp.MismatchError
		require.ErrorAs(t, err, &mismatch)
		require.ErrorIs(t, err, otp.ErrRejected)
		require.Equal(t, left, mismatch.AttemptsLeft)
	}
	st, err := w.Status(t.Context(), ch.ID)
	require.NoError(t, err)
	require.Equal(t, otp.StatusMaxAttempts, st.Status)
}

// S-33 FM-27: valid at t < exp, invalid at t = exp, with no sweeper.
func TestExpiryIsExact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		at   time.Duration
		want error
	}{
		{"before", 5*time.Minute - time.Nanosecond, nil},
		{"at", 5 * time.Minute, otp.ErrExpired},
		{"after", 5*time.Minute + time.Nanosecond, otp.ErrExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ch := w.request(login(number()))
			w.clock.advance(tt.at)
			_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
			require.ErrorIs(t, err, tt.want)
			if tt.want != nil {
				_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
				require.ErrorIs(t, err, tt.want)
			}
		})
	}
}

// S-32: a resend does not extend the challenge.
func TestResend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	first := w.box.code(t)
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(first), Usage: "login"})
	require.Error(t, err)

	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	var limited *otp.RateLimitError
	require.ErrorAs(t, err, &limited)
	require.Equal(t, "recipient", limited.Scope)
	require.Equal(t, 30*time.Second, limited.RetryAfter)

	w.clock.advance(30 * time.Second)
	again, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	require.Equal(t, ch.ID, again.ID)
	require.Equal(t, ch.ExpiresAt, again.ExpiresAt)
	require.Equal(t, 4, again.AttemptsLeft, "attempts are not given back")
	require.Equal(t, 1, again.SendsLeft)
	require.NotEqual(t, first, w.box.code(t))
	require.NotEqual(t, w.box.sent[0].Key, w.box.sent[1].Key)

	w.clock.advance(30 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	w.clock.advance(30 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.ErrorAs(t, err, &limited)
	require.Equal(t, "sends", limited.Scope)
	require.Zero(t, limited.RetryAfter)

	// S-12: with two live codes the first of three is dead and the others live.
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: first, Usage: "login"})
	require.ErrorIs(t, err, otp.ErrMismatch)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.sent[1].Code.Reveal(), Usage: "login"})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.sent[2].Code.Reveal(), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrAlreadyVerified, "success burns all")
}

func TestOneLiveCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(otp.Policy{LiveCodes: 1}))
	ch := w.request(login(number()))
	first := w.box.code(t)
	w.clock.advance(30 * time.Second)
	_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: first, Usage: "login"})
	require.ErrorIs(t, err, otp.ErrMismatch)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
}

func policy(p otp.Policy) func(*otp.Config) {
	return func(c *otp.Config) {
		policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{{}: p})
		if err != nil {
			panic(err)
		}
		c.Policies = policies
	}
}

// The proof names the recipient of the route that was answered, and the index of the
// route is part of the digest. FM-25
func TestFallbackRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sms, wa := number(), number()
	ch := w.request(otp.Request{
		Channel: otp.SMS, Usage: "login", Subject: "alice", To: sms,
		Fallback: []otp.Route{{Channel: otp.WhatsApp, To: wa}, {Channel: otp.Email, To: "Alice@Example.COM"}},
	})
	smsCode := w.box.code(t)
	got, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID, Channel: otp.Email})
	require.NoError(t, err)
	require.Equal(t, otp.Email, got.Channel)
	require.Equal(t, "Alice@example.com", w.box.last(t).To, "case of the local part is kept for sending")
	emailCode := w.box.code(t)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID, Channel: otp.Voice})
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	require.Len(t, emailCode, 6, "a challenge keeps its format")

	p, err := w.answer(otp.Answer{ID: ch.ID, Code: emailCode, Usage: "login"})
	require.NoError(t, err)
	require.Equal(t, "Alice@example.com", p.Recipient())
	require.Equal(t, otp.Email, p.Channel())
	require.NotEqual(t, smsCode, emailCode)
}

func TestCancelAndStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	st, err := w.Status(t.Context(), ch.ID)
	require.NoError(t, err)
	st.Receipt = ch.Receipt
	require.Equal(t, ch, st)

	require.NoError(t, w.Cancel(t.Context(), ch.ID))
	require.NoError(t, w.Cancel(t.Context(), ch.ID), "canceling twice is no error")
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrCanceled)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.ErrorIs(t, err, otp.ErrCanceled)
	st, err = w.Status(t.Context(), ch.ID)
	require.NoError(t, err)
	require.Equal(t, otp.StatusCanceled, st.Status)

	other := w.request(login(number()))
	_, err = w.answer(otp.Answer{ID: other.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	require.ErrorIs(t, w.Cancel(t.Context(), other.ID), otp.ErrAlreadyVerified)
}

// S-75: a handle of one tenant does not exist for another, and costs no store call.
func TestTenants(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch, err := w.Tenant("a").Request(t.Context(), login(number()))
	require.NoError(t, err)
	w.store.take()
	for _, other := range []*otp.Service{w.Service, w.Tenant("b"), w.Tenant("")} {
		_, err := other.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.ErrorIs(t, err, otp.ErrNotFound)
		_, err = other.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.ErrorIs(t, err, otp.ErrNotFound)
		require.ErrorIs(t, other.Cancel(t.Context(), ch.ID), otp.ErrNotFound)
		_, err = other.Status(t.Context(), ch.ID)
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
	require.Empty(t, w.store.take())
	p, err := w.Tenant("a").Verify(t.Context(), otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	require.Equal(t, "a", p.Tenant())

	// Limits are per tenant, too: b may send to the number that a has just sent to.
	to := number()
	for _, name := range []string{"a", "b", ""} {
		_, err := w.Tenant(name).Request(t.Context(), login(to))
		require.NoError(t, err, name)
	}
	_, err = w.Tenant(strings.Repeat("x", 65)).Request(t.Context(), login(to))
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
}

// S-71 FM-34: only the diagonal of usages, tenants and bindings verifies.
func TestVerifyMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type scope struct {
		tenant  string
		usage   otp.Usage
		binding string
	}
	var scopes []scope
	for _, tenant := range []string{"", "a", "ab"} {
		for _, usage := range []otp.Usage{"login", "payment", "password_reset"} {
			for _, binding := range []string{"", "10 EUR", "100 EUR"} {
				scopes = append(scopes, scope{tenant, usage, binding})
			}
		}
	}
	for i, made := range scopes {
		ch, err := w.Tenant(made.tenant).Request(t.Context(), otp.Request{
			Channel: otp.SMS, Usage: made.usage, To: number(), Binding: made.binding,
			Policy: &otp.Policy{MaxAttempts: 5},
		})
		require.NoError(t, err)
		code, tries := w.box.code(t), 0
		for j, used := range scopes {
			if i == j || made.tenant != used.tenant && tries > 3 {
				continue
			}
			if made.tenant == used.tenant {
				if tries++; tries > 4 {
					continue // the last attempt is for the right one
				}
			}
			_, err := w.Tenant(used.tenant).Verify(t.Context(), otp.Answer{ID: ch.ID, Code: code, Usage: used.usage, Binding: used.binding})
			require.ErrorIs(t, err, otp.ErrRejected)
		}
		p, err := w.Tenant(made.tenant).Verify(t.Context(), otp.Answer{ID: ch.ID, Code: code, Usage: made.usage, Binding: made.binding})
		require.NoError(t, err)
		require.Equal(t, made.binding, p.Binding())
	}
}

// S-70: a binding is compared byte for byte. What a person would take for the same is another
// transaction, and its code a wrong one.
func TestBindingIsExact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(otp.Request{Channel: otp.SMS, Usage: "payment", To: number(), Binding: "10 EUR to Jos\u00e9"})
	require.Contains(t, w.box.last(t).Content.Text, "10 EUR to Jos\u00e9", "the data is in the message")
	for _, other := range []string{"10 EUR to Jose\u0301", "10 EUR to Jos\u00e9 ", "10\u00a0EUR to Jos\u00e9", "10 eur to Jos\u00e9"} {
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "payment", Binding: other})
		require.ErrorIs(t, err, otp.ErrMismatch)
	}
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "payment", Binding: "10 EUR to Jos\u00e9"})
	require.NoError(t, err)
}

// FM-10: the subject, if the caller names it, must be the challenge's; it costs nothing.
func TestAnswerSubject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: number()})
	w.store.take()
	_, err := w.answer(otp.Answer{ID: ch.ID, Subject: "bob", Code: w.box.code(t), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrMismatch)
	require.Empty(t, w.store.take())
	_, err = w.answer(otp.Answer{ID: ch.ID, Subject: "alice", Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
}

// S-36 FM-40: whoever only knows the address cannot spend, replace or end anything.
func TestStrangerCannotDisturb(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	victim := login(number())
	ch := w.request(victim)
	code := w.box.code(t)
	for range 10_000 {
		other, err := w.Request(t.Context(), victim)
		if err == nil {
			_, _ = w.Verify(t.Context(), otp.Answer{ID: other.ID, Code: wrong(w.box.code(t)), Usage: "login"})
		}
		w.clock.advance(25 * time.Millisecond)
	}
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: code, Usage: "login"})
	require.NoError(t, err)
}

func TestIssue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch, code, err := w.Issue(t.Context(), otp.Request{Channel: "carrier-pigeon", Usage: "login", Subject: "alice", To: "coop-7"})
	require.NoError(t, err)
	require.Zero(t, w.box.count())
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"})
	require.NoError(t, err)
	_, _, err = w.Issue(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: number(), IdempotencyKey: "k"})
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	_, _, err = w.Issue(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: number(), Conceal: true})
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
}

func TestOwnCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(otp.Request{Channel: otp.SMS, Usage: "login", To: number(), Code: otp.NewSecret("123-456")})
	require.Equal(t, "123456", w.box.code(t))
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: " 123 456 ", Usage: "login"})
	require.NoError(t, err)
	for _, weak := range []string{"12345", "1234567", "abcdef"} {
		_, err := w.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: number(), Code: otp.NewSecret(weak)})
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
		require.ErrorContains(t, err, "Code")
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: number(), IdempotencyKey: "session-1/step-2"}
	first := w.request(r)
	second := w.request(r)
	require.Equal(t, 1, w.box.count(), "a double click is one message")
	require.Equal(t, first.ExpiresAt, second.ExpiresAt)
	_, err := w.answer(otp.Answer{ID: second.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: first.ID, Code: w.box.code(t), Usage: "login"})
	require.ErrorIs(t, err, otp.ErrAlreadyVerified, "both handles are one challenge")

	// A repeat that differs in anything that matters is another challenge.
	for name, change := range map[string]func(*otp.Request){
		"usage":   func(r *otp.Request) { r.Usage = "payment" },
		"subject": func(r *otp.Request) { r.Subject = "bob" },
		"to":      func(r *otp.Request) { r.To = number() },
		"binding": func(r *otp.Request) { r.Binding = "x" },
		"decoy":   func(r *otp.Request) { r.Decoy = true },
		"key":     func(r *otp.Request) { r.IdempotencyKey += "x" },
	} {
		r := r
		r.To, r.Subject = number(), name
		base := w.request(r)
		w.clock.advance(31 * time.Second)
		other := r
		change(&other)
		n := w.box.count()
		ch := w.request(other)
		require.NotEqual(t, base.CreatedAt, ch.CreatedAt, name)
		if name != "decoy" {
			require.Equal(t, n+1, w.box.count(), name)
		}
	}
}

// S-76: a challenge that has the name of one before it is another, so providers must not take
// its message for a repeat. A resend is another message, too.
func TestMessageKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	keys := map[string]bool{}
	n := 0
	sent := func() {
		t.Helper()
		keys[w.box.last(t).Key] = true
		n++
		require.Len(t, keys, n, "a key came twice")
	}
	for i := range 4 {
		r := otp.Request{Channel: otp.SMS, Usage: "login", To: number()}
		if i%2 == 0 {
			r.IdempotencyKey = "k"
		} else {
			r.Reference = "order 9"
		}
		for range 2 {
			ch := w.request(r)
			sent()
			w.clock.advance(31 * time.Second)
			_, err := w.Resend(t.Context(), otp.Resend{ID: ch.ID})
			require.NoError(t, err)
			sent()
			w.clock.advance(15 * time.Minute) // so that the next one is another challenge
		}
	}
}

// S-19: a repeat after a rotation gets a handle of the newer key, and both handles are one
// challenge: whichever asks for another code, it is verified by the newer. Once the key of
// the live challenge is gone a repeat fails; that is no answer to a code.
func TestRepeatAfterRotation(t *testing.T) {
	t.Parallel()
	var keys *otp.Keyring
	w := newWorld(t, func(c *otp.Config) { keys = c.Keyring })
	r := login(number())
	r.IdempotencyKey = "k"
	first := w.request(r)
	require.NoError(t, keys.Rotate(otp.Key{ID: "k2", Secret: keyNo(2)}))
	second := w.request(r)
	require.Equal(t, 1, w.box.count())
	for _, id := range []string{first.ID, second.ID} {
		w.clock.advance(31 * time.Second)
		_, err := w.Resend(t.Context(), otp.Resend{ID: id})
		require.NoError(t, err)
	}
	_, err := w.answer(otp.Answer{ID: second.ID, Code: w.box.code(t), Usage: "login"})
	require.NoError(t, err)

	w.clock.advance(31 * time.Second)
	r.To = number()
	w.request(r)
	require.NoError(t, keys.Rotate(otp.Key{ID: "k3", Secret: keyNo(3)}))
	require.NoError(t, keys.Retire("k2"))
	_, err = w.Request(t.Context(), r)
	require.ErrorContains(t, seen.err(err), "retired")
	require.NotErrorIs(t, err, otp.ErrRejected)
	require.Len(t, w.events.of(otp.EventFault), 1)
}

// What cannot be sent is refused before the code that the person has is replaced.
func TestResendWithoutSender(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(otp.Policy{LiveCodes: 1}))
	ch, code, err := w.Issue(t.Context(), otp.Request{Channel: "letter", Usage: "login", To: "12-Main-Street"})
	require.NoError(t, err)
	w.clock.advance(31 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.ErrorIs(t, seen.err(err), otp.ErrInvalidRequest)
	require.ErrorContains(t, err, "Channel")
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"})
	require.NoError(t, err)
}

// 64 concurrent repeats are one challenge and one message.
func TestIdempotencyRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := login(number())
	r.IdempotencyKey = "k"
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			_, err := w.Request(context.Background(), r)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	require.Equal(t, 1, w.box.count())
}

func TestReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := otp.Request{Channel: otp.SMS, Usage: "payment", To: number(), Reference: "order 7"}
	ch := w.request(r)
	require.Equal(t, w.Reference("payment", "order 7"), ch.ID)
	code := w.box.code(t)

	other := r
	other.To = number()
	_, err := w.Request(t.Context(), other)
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	require.ErrorContains(t, err, "Reference")
	require.Equal(t, 1, w.box.count())

	for _, id := range []string{w.Reference("login", "order 7"), w.Reference("payment", "order 8"), w.Tenant("b").Reference("payment", "order 7")} {
		_, err := w.answer(otp.Answer{ID: id, Code: code, Usage: "payment"})
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
	_, err = w.Tenant("b").Verify(t.Context(), otp.Answer{ID: ch.ID, Code: code, Usage: "payment"})
	require.ErrorIs(t, err, otp.ErrNotFound)

	st, err := w.Status(t.Context(), ch.ID)
	require.NoError(t, err)
	require.Equal(t, otp.StatusPending, st.Status)
	w.clock.advance(30 * time.Second)
	_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: w.Reference("payment", "order 7"), Code: w.box.code(t), Usage: "payment"})
	require.NoError(t, err)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "payment"})
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)

	// A dead one makes room for the next.
	w.clock.advance(time.Minute)
	w.request(r)
	_, err = w.answer(otp.Answer{ID: ch.ID, Code: code, Usage: "payment"})
	require.ErrorIs(t, err, otp.ErrMismatch, "the old code is of another challenge")
}

// Every bad input names its field, changes nothing and sends nothing. S-03 S-86 S-87
func TestInvalidRequest(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, field string
		change      func(*otp.Request)
	}{
		{"no channel", "Channel", func(r *otp.Request) { r.Channel = "" }},
		{"unknown channel", "Channel", func(r *otp.Request) { r.Channel = "fax" }},
		{"malformed channel", "Channel", func(r *otp.Request) { r.Channel = "SMS\n" }},
		{"no usage", "Usage", func(r *otp.Request) { r.Usage = "" }},
		{"long usage", "Usage", func(r *otp.Request) { r.Usage = otp.Usage(long) }},
		{"usage with newline", "Usage", func(r *otp.Request) { r.Usage = "log\nin" }},
		{"no recipient", "To", func(r *otp.Request) { r.To = "" }},
		{"national number", "To", func(r *otp.Request) { r.To = "030123456" }},
		{"two recipients", "To", func(r *otp.Request) { r.To = "+4930123456,+4930123457" }},
		{"newline in recipient", "To", func(r *otp.Request) { r.To = "+4930123456\r\n" }},
		{"NUL in recipient", "To", func(r *otp.Request) { r.To = "+493012\x003456" }},
		{"long recipient", "To", func(r *otp.Request) { r.To = "+" + strings.Repeat("1", 1<<20) }},
		{"list of e-mail addresses", "To", func(r *otp.Request) { r.Channel, r.To = otp.Email, "a@example.com,b@example.com" }},
		{"long subject", "Subject", func(r *otp.Request) { r.Subject = long }},
		{"subject with control", "Subject", func(r *otp.Request) { r.Subject = "a\x1b[31m" }},
		{"subject not UTF-8", "Subject", func(r *otp.Request) { r.Subject = "\xff" }},
		{"long binding", "Binding", func(r *otp.Request) { r.Binding = long }},
		{"binding with newline", "Binding", func(r *otp.Request) { r.Binding = "1 EUR\n@evil #123456" }},
		{"long extra", "Extra", func(r *otp.Request) { r.Extra = []byte(long) }},
		{"bad locale", "Locale", func(r *otp.Request) { r.Locale = "../de" }},
		{"long reference", "Reference", func(r *otp.Request) { r.Reference = long }},
		{"long idempotency key", "IdempotencyKey", func(r *otp.Request) { r.IdempotencyKey = long }},
		{"key and reference", "IdempotencyKey", func(r *otp.Request) { r.IdempotencyKey, r.Reference = "k", "r" }},
		{"fallback without sender", "Fallback.Channel", func(r *otp.Request) { r.Fallback = []otp.Route{{Channel: "fax", To: "1"}} }},
		{"bad fallback", "Fallback.To", func(r *otp.Request) { r.Fallback = []otp.Route{{Channel: otp.Email, To: "x"}} }},
		{"channel twice", "Fallback", func(r *otp.Request) { r.Fallback = []otp.Route{{Channel: otp.SMS, To: r.To}} }},
		{"many fallbacks", "Fallback", func(r *otp.Request) { r.Fallback = make([]otp.Route, 5) }},
		{"conceal without queue", "Conceal", func(r *otp.Request) { r.Conceal = true }},
		{"looser policy", "Policy.MaxAttempts", func(r *otp.Request) { r.Policy = &otp.Policy{MaxAttempts: 6} }},
		{"short override", "Policy", func(r *otp.Request) { r.Policy = &otp.Policy{TTL: time.Second} }},
		{"negative override", "Policy", func(r *otp.Request) { r.Policy = &otp.Policy{MaxAttempts: -1} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := login("+4930123456")
			tt.change(&r)
			_, err := w.Request(t.Context(), r)
			require.ErrorIs(t, seen.err(err), otp.ErrInvalidRequest)
			require.ErrorContains(t, err, tt.field+" ")
			require.NotContains(t, err.Error(), "4930")
			require.Empty(t, w.store.take())
			require.Zero(t, w.box.count())
			require.Equal(t, []otp.EventType{otp.EventRefused}, w.events.types())
		})
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *otp.Config) {
		c.Normalize = func(_ context.Context, _ otp.Channel, to string) (string, error) {
			switch to {
			case "030 123456":
				return "+4930123456", nil
			case "bad":
				return "+49 30 123456", nil
			}
			return "", errors.New("cannot read " + to)
		}
	})
	w.request(otp.Request{Channel: otp.SMS, Usage: "login", To: "030 123456"})
	require.Equal(t, "+4930123456", w.box.last(t).To)
	for _, to := range []string{"bad", "worse"} {
		_, err := w.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: to})
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
		require.NotContains(t, err.Error(), to)
	}
}

// S-46: a number that is not allowed gets nothing, on whichever channel it is asked for: a failover may
// make a text message of it.
func TestGuard(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *otp.Config) {
		c.Senders[otp.Telegram] = otp.Failover(otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
			return otp.Receipt{}, otp.ErrNotAccepted // the number is not on Telegram
		}), c.Senders[otp.SMS])
	})
	for _, r := range []otp.Request{
		{Channel: otp.SMS, Usage: "login", To: "+8811234567"},
		{Channel: otp.Email, Usage: "login", To: "a@example.com", Fallback: []otp.Route{{Channel: otp.Voice, To: "+19005550100"}}},
		{Channel: otp.Telegram, Usage: "login", To: "+8811234567"},
	} {
		_, err := w.Request(t.Context(), r)
		require.ErrorIs(t, err, otp.ErrRefused)
	}
	require.Empty(t, w.store.take())
	require.Zero(t, w.box.count())
	require.NoError(t, otp.DefaultGuard().Check(t.Context(), otp.Request{Channel: otp.Email, To: "+800@example.com"}))
	w.request(otp.Request{Channel: otp.Telegram, Usage: "login", To: "+4930123456"})
	require.Equal(t, 1, w.box.count())
}

// S-32: no route of a challenge has codes that live longer than its channel allows.
func TestFallbackHasItsOwnLifetime(t *testing.T) {
	t.Parallel()
	p, err := otp.NewPolicies(otp.NIST, map[otp.PolicyKey]otp.Policy{{Channel: otp.Email, Usage: otp.Recovery}: {TTL: 24 * time.Hour}})
	require.NoError(t, err)
	w := newWorld(t, func(c *otp.Config) { c.Policies = p })
	r := otp.Request{Channel: otp.Email, Usage: otp.Recovery, To: "a@example.com"}
	w.request(r)
	r.To, r.Fallback = "b@example.com", []otp.Route{{Channel: otp.SMS, To: number()}}
	_, err = w.Request(t.Context(), r)
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	require.ErrorContains(t, err, "Fallback.Channel")
	r.Policy = &otp.Policy{TTL: 10 * time.Minute}
	w.request(r)
}

// S-83: whatever a guard says in its error, neither its text nor events show whom it is about.
func TestGuardErrorsAreClean(t *testing.T) {
	t.Parallel()
	deny := false
	w := newWorld(t, func(c *otp.Config) {
		c.Guard = guard(func(r otp.Request) error {
			if !deny {
				return nil
			}
			return fmt.Errorf("%w: %s of %s, by %s", otp.ErrRefused, r.To, r.Subject, r.Fallback)
		})
	})
	r := otp.Request{
		Channel: otp.SMS, Usage: "login", Subject: "account-4711", To: number(),
		Fallback: []otp.Route{{Channel: otp.Email, To: "somebody@example.com"}},
	}
	ch := w.request(r)
	w.clock.advance(31 * time.Second)
	deny = true
	_, asked := w.Request(t.Context(), r)
	_, again := w.Resend(t.Context(), otp.Resend{ID: ch.ID, Channel: otp.Email})
	events := w.events.of(otp.EventRefused)
	require.Len(t, events, 2)
	for _, err := range []error{asked, again, events[0].Err, events[1].Err} {
		require.ErrorIs(t, seen.err(err), otp.ErrRefused)
		for _, secret := range []string{r.To, r.To[5:], r.Subject, "somebody"} {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), secret)
		}
	}
	for _, subject := range []string{"李小龙", "Zoë"} {
		other := login(number())
		other.Subject = subject
		_, err := w.Request(t.Context(), other)
		require.ErrorIs(t, err, otp.ErrRefused)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), subject)
	}
}

type guard func(otp.Request) error

func (g guard) Check(_ context.Context, r otp.Request) error { return g(r) }

// A form chooses its input field by the format, which has no empty alphabet, whoever wrote the policy.
func TestCodeFormat(t *testing.T) {
	t.Parallel()
	for _, p := range []otp.Policy{{}, {Formats: []otp.Format{{Length: 6}}}, {Formats: []otp.Format{{Length: 6, Alphabet: otp.Digits}}}} {
		w := newWorld(t, policy(p))
		ch := w.request(login(number()))
		status, err := w.Status(t.Context(), ch.ID)
		require.NoError(t, err)
		for _, f := range []otp.Format{ch.CodeFormat, status.CodeFormat} {
			require.Equal(t, otp.Format{Length: 6, Alphabet: otp.Digits}, f)
		}
	}
}

// S-70: what nobody can see confirms nothing.
func TestBlankBinding(t *testing.T) {
	t.Parallel()
	w := newWorld(t, policy(otp.Policy{RequireBinding: true}))
	for _, blank := range []string{"", " ", "\u200b", "\u00a0\u2060", "\u3000"} {
		r := login(number())
		r.Binding = blank
		_, err := w.Request(t.Context(), r)
		require.ErrorIs(t, seen.err(err), otp.ErrInvalidRequest)
		require.ErrorContains(t, err, "Binding")
	}
	require.Empty(t, w.store.take())
}

// FM-29 FM-01 S-56: what cannot be a code costs no store call and no attempt.
func TestImpossibleCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ch := w.request(login(number()))
	code := w.box.code(t)
	w.store.take()
	for _, typed := range []string{
		"", "1", code[:5], code + "0", code + "a", "+" + code, "\u00a0" + code, code + "\u200b", "\t" + code,
		strings.Repeat(code, 1<<18), "１２３４５６", code[:5] + "O",
	} {
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: typed, Usage: "login"})
		require.ErrorIs(t, err, otp.ErrMismatch)
	}
	for _, id := range []string{"", ".", "k1.", "k1." + strings.Repeat("A", 116), ch.ID[:len(ch.ID)-1], ch.ID + "A", "k2" + ch.ID[2:], "ref:", "ref:AAAA", strings.Repeat("x", 1<<20)} {
		_, err := w.answer(otp.Answer{ID: id, Code: code, Usage: "login"})
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
	require.Empty(t, w.store.take())
	_, err := w.answer(otp.Answer{ID: ch.ID, Code: " " + code[:3] + "-" + code[3:] + " ", Usage: "login"})
	require.NoError(t, err)
}

func TestNewNamesTheField(t *testing.T) {
	t.Parallel()
	store := memstore.New()
	kr := newKeyring(t)
	senders := map[otp.Channel]otp.Sender{otp.SMS: &outbox{}}
	for _, tt := range []struct {
		field string
		cfg   otp.Config
	}{
		{"Config.Store", otp.Config{Keyring: kr, Senders: senders}},
		{"Config.Limiter", otp.Config{Store: struct{ otp.Store }{store}, Keyring: kr, Senders: senders}},
		{"Config.Keyring", otp.Config{Store: store, Senders: senders}},
		{"Config.Keyring", otp.Config{Store: store, Senders: senders, Keyring: &otp.Keyring{}}},
		{"Config.Senders", otp.Config{Store: store, Keyring: kr}},
		{"Config.Senders", otp.Config{Store: store, Keyring: kr, Senders: map[otp.Channel]otp.Sender{otp.SMS: nil}}},
		{"Config.Senders", otp.Config{Store: store, Keyring: kr, Senders: map[otp.Channel]otp.Sender{"S M S": &outbox{}}}},
		{"Config.GuessLimits", otp.Config{Store: store, Keyring: kr, Senders: senders, GuessLimits: []otp.Limit{{N: 2_000_000, Per: time.Hour}}}},
		{"Config.GuessLimits", otp.Config{Store: store, Keyring: kr, Senders: senders, GuessLimits: make([]otp.Limit, 9)}},
		{"Config.TenantGuessLimit", otp.Config{Store: store, Keyring: kr, Senders: senders, TenantGuessLimit: otp.Limit{N: -1, Per: time.Hour}}},
		// A number of challenges, taken for parts.
		{"Config.TenantGuessLimit is not N of 1e5 to 1e9 (parts per 1e9", otp.Config{Store: store, Keyring: kr, Senders: senders, TenantGuessLimit: otp.Limit{N: 99_999, Per: 24 * time.Hour}}},
	} {
		_, err := otp.New(tt.cfg)
		require.ErrorContains(t, err, tt.field)
	}
}

func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	box := &outbox{}
	senders := map[otp.Channel]otp.Sender{otp.SMS: box}
	svc, err := otp.New(otp.Config{Store: memstore.New(), Keyring: newKeyring(t), Senders: senders})
	require.NoError(t, err)
	delete(senders, otp.SMS)
	_, err = svc.Request(t.Context(), login(number()))
	require.NoError(t, err)
}

func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 1500 {
		w.request(otp.Request{Channel: otp.SMS, Usage: "login", To: number()})
	}
	n, err := w.Prune(t.Context(), w.clock.Now())
	require.NoError(t, err)
	require.Zero(t, n, "nothing has expired")
	n, err = w.Prune(t.Context(), w.clock.Now().Add(5*time.Minute))
	require.NoError(t, err)
	require.Equal(t, 1500, n, "the challenges, but no limit and no ledger")
}
