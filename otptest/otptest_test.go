package otptest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
)

const (
	ann = "+12025550100"
	bob = "+12025550101"
)

func login(to string) otp.Request {
	return otp.Request{Channel: otp.SMS, Usage: "login", Subject: "user of " + to, To: to}
}

func answer(ch otp.Challenge, code string) otp.Answer {
	return otp.Answer{ID: ch.ID, Code: code, Usage: "login"}
}

// wrong returns a code of the same format that is not the one given.
func wrong(code string) string {
	last := code[len(code)-1]
	return code[:len(code)-1] + string('0'+(last-'0'+1)%10)
}

func TestClock(t *testing.T) {
	var c otptest.Clock
	require.Equal(t, "2026-01-02T03:04:05Z", c.Now().Format(time.RFC3339Nano))
	c.Advance(90 * time.Minute)
	require.Equal(t, "2026-01-02T04:34:05Z", c.Now().Format(time.RFC3339Nano))
	c.Advance(-time.Minute)
	require.Equal(t, "2026-01-02T04:33:05Z", c.Now().Format(time.RFC3339Nano))
}

func TestOutbox(t *testing.T) {
	var o otptest.Outbox
	require.Empty(t, o.Messages())
	require.Empty(t, o.Code(ann))
	require.Equal(t, otp.Channel(""), o.Last(ann).Channel)

	for i, to := range []string{ann, bob, ann} {
		receipt, err := o.Send(t.Context(), otp.Message{To: to, Code: otp.NewSecret(fmt.Sprint(i))})
		require.NoError(t, err)
		require.Equal(t, otp.Receipt{Provider: "outbox", MessageID: fmt.Sprint(i + 1)}, receipt)
	}
	require.Equal(t, "2", o.Code(ann))
	require.Equal(t, "1", o.Code(bob))
	require.Len(t, o.Messages(), 3)

	o.Messages()[0].To = "changed by the caller"
	require.Equal(t, ann, o.Messages()[0].To)

	done, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := o.Send(done, otp.Message{To: ann})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, o.Messages(), 3)
}

func TestOutboxAndClockAreSafeForConcurrentUse(t *testing.T) {
	var (
		o       otptest.Outbox
		c       otptest.Clock
		workers sync.WaitGroup
	)
	start := c.Now()
	for range 8 {
		workers.Go(func() {
			for range 50 {
				if _, err := o.Send(t.Context(), otp.Message{To: ann}); err != nil {
					t.Error(err)
				}
				c.Advance(time.Second)
				_, _, _ = o.Last(ann), o.Messages(), c.Now()
				o.Fail(nil)
			}
		})
	}
	o.Wait(t, 400)
	workers.Wait()
	require.Len(t, o.Messages(), 400)
	require.Equal(t, 400*time.Second, c.Now().Sub(start))
}

// What an app sees of a provider that fails, by what is known of the message.
func TestFail(t *testing.T) {
	svc, outbox, _ := otptest.NewService(t)

	outbox.Fail(otp.ErrNotAccepted)
	_, err := svc.Request(t.Context(), login(ann))
	require.ErrorIs(t, err, otp.ErrDelivery)
	require.ErrorIs(t, err, otp.ErrNotAccepted)

	outbox.Fail(nil)
	_, err = svc.Request(t.Context(), login(ann))
	require.NoError(t, err, "what was certainly not sent is not charged")
	require.Len(t, outbox.Messages(), 1)

	outbox.Fail(errors.New("connection reset"))
	_, err = svc.Request(t.Context(), login(bob))
	require.ErrorIs(t, err, otp.ErrDelivery)
	outbox.Fail(nil)
	_, err = svc.Request(t.Context(), login(bob))
	require.ErrorIs(t, err, otp.ErrRateLimited, "it may be on its way, so it stays charged")
}

func TestNewService(t *testing.T) {
	svc, outbox, clock := otptest.NewService(t)
	for channel, to := range map[otp.Channel]string{otp.SMS: "+12025550100", otp.Voice: "+12025550101", otp.WhatsApp: "+12025550102", otp.Email: "ann@example.com"} {
		ch, err := svc.Request(t.Context(), otp.Request{Channel: channel, Usage: "login", To: to})
		require.NoError(t, err, channel)
		require.Equal(t, clock.Now(), ch.CreatedAt)
		m := outbox.Last(to)
		require.Equal(t, channel, m.Channel)
		require.Contains(t, m.Content.Text, "your code for login")

		proof, err := svc.Verify(t.Context(), answer(ch, outbox.Code(to)))
		require.NoError(t, err, channel)
		require.Equal(t, to, proof.Recipient())
		require.Equal(t, clock.Now(), proof.Time())
	}
}

func TestNewServiceObeysTheClock(t *testing.T) {
	svc, outbox, clock := otptest.NewService(t)
	ch, err := svc.Request(t.Context(), login(ann))
	require.NoError(t, err)
	_, err = svc.Request(t.Context(), login(ann))
	require.ErrorIs(t, err, otp.ErrRateLimited)

	clock.Advance(30 * time.Second)
	_, err = svc.Request(t.Context(), login(ann))
	require.NoError(t, err)

	clock.Advance(5*time.Minute - 30*time.Second)
	_, err = svc.Verify(t.Context(), answer(ch, outbox.Messages()[0].Code.Reveal()))
	require.ErrorIs(t, err, otp.ErrExpired)
}

func TestNewServiceAppliesEditsInOrder(t *testing.T) {
	var seen []string
	svc, outbox, _ := otptest.NewService(
		t,
		func(c *otp.Config) {
			c.OnEvent = func(context.Context, otp.Event) { t.Error("was replaced") }
		},
		func(c *otp.Config) {
			c.OnEvent = func(_ context.Context, e otp.Event) { seen = append(seen, string(e.Type)) }
			c.Senders = map[otp.Channel]otp.Sender{otp.Telegram: c.Senders[otp.SMS]}
		},
	)
	_, err := svc.Request(t.Context(), login(ann))
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	_, err = svc.Request(t.Context(), otp.Request{Channel: otp.Telegram, Usage: "login", To: "42"})
	require.NoError(t, err)
	require.NotEmpty(t, outbox.Code("42"))
	require.Equal(t, []string{"refused", "requested", "sent"}, seen)
}

func TestServicesShareNothing(t *testing.T) {
	one, outbox, _ := otptest.NewService(t)
	other, _, _ := otptest.NewService(t)
	ch, err := one.Request(t.Context(), login(ann))
	require.NoError(t, err)
	_, err = other.Verify(t.Context(), answer(ch, outbox.Code(ann)))
	require.ErrorIs(t, err, otp.ErrNotFound)
	_, err = other.Request(t.Context(), login(ann))
	require.NoError(t, err)
}

func TestQueued(t *testing.T) {
	svc, outbox, _ := otptest.NewService(t, otptest.Queued(t))
	r := login(ann)
	r.Conceal = true
	ch, err := svc.Request(t.Context(), r)
	require.NoError(t, err)
	outbox.Wait(t, 1)
	_, err = svc.Verify(t.Context(), answer(ch, outbox.Code(ann)))
	require.NoError(t, err)

	decoy := otp.Request{Channel: otp.SMS, Usage: "login", To: bob, Conceal: true, Decoy: true}
	_, err = svc.Request(t.Context(), decoy)
	require.NoError(t, err)
	r = login("+12025550102")
	_, err = svc.Request(t.Context(), r)
	require.NoError(t, err)
	outbox.Wait(t, 2)
	require.Empty(t, outbox.Code(bob))
}

func TestQueuedInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		svc, outbox, _ := otptest.NewService(t, otptest.Queued(t))
		outbox.Fail(otp.ErrNotAccepted)
		_, err := svc.Request(t.Context(), login(ann))
		require.NoError(t, err)
		synctest.Wait()
		require.Empty(t, outbox.Messages())

		outbox.Fail(nil)
		outbox.Wait(t, 1) // the queue tries again after a second of the bubble's time
		require.NotEmpty(t, outbox.Code(ann))
	})
}

func TestWaitEndsTheTest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &fakeTB{TB: t}
		(&otptest.Outbox{}).Wait(tb, 1)
		require.Contains(t, tb.fatal, "otptest: 0 of 1 messages were sent")
	})
}

// Fixed codes work again and again, and no limit of sends or guesses ever refuses.
func TestTestNumbersSkipLimits(t *testing.T) {
	const code = "123456"
	svc, outbox, _ := otptest.NewService(t, otptest.TestNumbers(t, map[string]string{ann: code}))
	for range 30 {
		ch, err := svc.Request(t.Context(), login(ann))
		require.NoError(t, err)
		require.Equal(t, code, outbox.Code(ann))

		// The attempts of one challenge are bounded for everybody.
		for range 4 {
			_, err := svc.Verify(t.Context(), answer(ch, wrong(code)))
			require.ErrorIs(t, err, otp.ErrMismatch)
		}
		_, err = svc.Verify(t.Context(), answer(ch, code))
		require.NoError(t, err)
		_, err = svc.Verify(t.Context(), answer(ch, code))
		require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	}
}

func TestTestNumbersSkipLimitsOfResend(t *testing.T) {
	svc, outbox, _ := otptest.NewService(t, otptest.TestNumbers(t, map[string]string{ann: "123456"}))
	ch, err := svc.Request(t.Context(), login(ann))
	require.NoError(t, err)
	for range 2 {
		_, err = svc.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
	}
	_, err = svc.Resend(t.Context(), otp.Resend{ID: ch.ID})
	require.ErrorIs(t, err, otp.ErrRateLimited, "the sends of one challenge are bounded for everybody")
	require.Len(t, outbox.Messages(), 3)
	_, err = svc.Verify(t.Context(), answer(ch, "123456"))
	require.NoError(t, err)
}

func TestTestNumbersLeaveOthersAlone(t *testing.T) {
	svc, outbox, _ := otptest.NewService(t, otptest.TestNumbers(t, map[string]string{ann: "123456"}))
	var codes []string
	ch, err := svc.Request(t.Context(), login(bob))
	require.NoError(t, err)
	codes = append(codes, outbox.Code(bob))
	_, err = svc.Request(t.Context(), login(bob))
	require.ErrorIs(t, err, otp.ErrRateLimited)

	other, err := svc.Request(t.Context(), login("+12025550102"))
	require.NoError(t, err)
	codes = append(codes, outbox.Code("+12025550102"))
	require.NotEqual(t, codes[0], codes[1])

	// The fixed code is nobody else's, and nobody else's code is that of the number.
	if codes[0] != "123456" {
		_, err = svc.Verify(t.Context(), answer(ch, "123456"))
		require.ErrorIs(t, err, otp.ErrMismatch)
	}
	_, err = svc.Verify(t.Context(), answer(other, codes[1]))
	require.NoError(t, err)
}

func TestTestNumbersCopiesTheMap(t *testing.T) {
	codes := map[string]string{ann: "123456"}
	edit := otptest.TestNumbers(t, codes)
	codes[bob] = "654321"
	svc, _, _ := otptest.NewService(t, edit)
	_, err := svc.Request(t.Context(), login(bob))
	require.NoError(t, err)
	_, err = svc.Request(t.Context(), login(bob))
	require.ErrorIs(t, err, otp.ErrRateLimited)
}

// A fixed code has to be one that the policy could have made.
func TestTestNumbersKeepThePolicy(t *testing.T) {
	svc, _, _ := otptest.NewService(t, otptest.TestNumbers(t, map[string]string{ann: "1234", "ann@example.com": "12345678"}))
	_, err := svc.Request(t.Context(), login(ann))
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	_, err = svc.Request(t.Context(), otp.Request{Channel: otp.Email, Usage: "login", To: "ann@example.com"})
	require.NoError(t, err)
}

// A fakeTB is a testing.TB whose Fatal goes on, as a program could make one.
type fakeTB struct {
	testing.TB
	fatal string
}

func (*fakeTB) Helper()                        {}
func (f *fakeTB) Fatal(args ...any)            { f.fatal = fmt.Sprint(args...) }
func (f *fakeTB) Fatalf(s string, args ...any) { f.fatal = fmt.Sprintf(s, args...) }

func TestTestNumbersRefuse(t *testing.T) {
	tests := []struct {
		name   string
		inTest bool
		codes  map[string]string
		want   string
	}{
		{"outside a test", false, map[string]string{ann: "123456"}, "otptest: TestNumbers is for tests only"},
		{"no recipient", true, map[string]string{"": "123456"}, "otptest: TestNumbers got an empty recipient or code"},
		{"no code", true, map[string]string{ann: ""}, "otptest: TestNumbers got an empty recipient or code"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tb := &fakeTB{TB: t}
			var cfg otp.Config
			otptest.TestNumbersAs(tb, tt.inTest, tt.codes)(&cfg)
			assert.Equal(t, tt.want, tb.fatal)
			assert.Nil(t, cfg.InsecureTestNumbers)
		})
	}
}

func TestNewServiceReportsABadConfiguration(t *testing.T) {
	tb := &fakeTB{TB: t}
	svc, _, _ := otptest.NewService(tb, func(c *otp.Config) { c.Store = nil })
	require.Nil(t, svc)
	require.Equal(t, "otptest: otp: Config.Store is required", tb.fatal)
}
