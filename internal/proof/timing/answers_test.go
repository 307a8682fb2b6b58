package timing_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// A class is a kind of person that may stand behind a request.
type class struct {
	name    string
	prepare func(w *world, r *otp.Request)
}

const someone = "+4930123456"

var classes = []class{
	{"known", func(*world, *otp.Request) {}},
	{"unknown", func(_ *world, r *otp.Request) { r.Decoy, r.Subject = true, "" }},
	{"unknown, with a name", func(_ *world, r *otp.Request) { r.Decoy = true }},
	{"not to be sent to", func(_ *world, r *otp.Request) { r.To = "+8811234567" }},
	{"limited", func(w *world, r *otp.Request) { w.use(r.To, 1, 10*time.Second) }},       // within the interval
	{"limited for long", func(w *world, r *otp.Request) { w.use(r.To, 3, time.Minute) }}, // all of ten minutes
}

// use lets somebody get in so many times, the last time so long ago. Only the messages stay
// charged then: guesses that stay charged make codes longer, and that shows.
func (w *world) use(to string, times int, each time.Duration) {
	for i := range times {
		w.now = begin.Add(-time.Duration(times-i) * each)
		ch := w.request(otp.Request{Channel: otp.SMS, Usage: "login", To: to})
		_, err := w.Verify(w.t.Context(), otp.Answer{ID: ch.ID, Code: w.codes[len(w.codes)-1], Usage: "login"})
		require.NoError(w.t, err)
	}
	w.now = begin
}

// An act is what a client sees of one call, and what it cost.
type act struct {
	name  string
	ch    otp.Challenge
	err   string
	left  int // attempts, after a wrong code
	wait  time.Duration
	calls []string
}

// play does everything that a client can do with a challenge.
func (w *world) play(r otp.Request) (acts []act) {
	id := ""
	do := func(name string, f func() (otp.Challenge, error)) {
		w.store.take()
		ch, err := f()
		a := act{name: name, ch: ch, calls: w.store.take()}
		if err != nil {
			a.err = err.Error()
		}
		if m, ok := errors.AsType[*otp.MismatchError](err); ok {
			a.left = m.AttemptsLeft
		}
		if l, ok := errors.AsType[*otp.RateLimitError](err); ok {
			a.wait = l.RetryAfter
		}
		if ch.ID != "" {
			id = ch.ID
			a.ch.ID = fmt.Sprint(len(ch.ID)) // it is random, but no longer for some
		}
		acts = append(acts, a)
		synctest.Wait() // until the queue is idle, or all its workers wait
	}
	ctx := w.t.Context()
	status := func() (otp.Challenge, error) { return w.Status(ctx, id) }
	guess := func(code string, u otp.Usage) func() (otp.Challenge, error) {
		return func() (otp.Challenge, error) {
			_, err := w.Verify(ctx, otp.Answer{ID: id, Code: code, Usage: u})
			return otp.Challenge{}, err
		}
	}
	resend := func() (otp.Challenge, error) { return w.Resend(ctx, otp.Resend{ID: id, Client: client}) }

	do("request", func() (otp.Challenge, error) { return w.Request(ctx, r) })
	code := w.codes[len(w.codes)-1]
	do("status", status)
	do("wrong code", guess(wrong(code), "login"))
	do("wrong usage", guess(code, "signup"))
	do("no code", guess("12", "login"))
	do("resend too early", resend)
	w.now = w.now.Add(30 * time.Second)
	do("resend", resend)
	do("status after resend", status)
	w.now = w.now.Add(30 * time.Second)
	do("resend again", resend)
	w.now = w.now.Add(30 * time.Second)
	do("one resend too many", resend)
	do("wrong code after resend", guess(wrong(code), "login"))
	do("wrong code", guess(wrong(code), "login"))
	do("last wrong code", guess(wrong(code), "login"))
	do("one code too many", guess(code, "login"))
	do("status at the end", status)
	do("cancel", func() (otp.Challenge, error) { return otp.Challenge{}, w.Cancel(ctx, id) })
	w.now = w.now.Add(time.Hour)
	do("status after expiry", status)
	do("code after expiry", guess(code, "login"))
	return acts
}

// S-51 S-52 S-53: every answer is the same for everybody, but for the ID, and costs the same
// store calls. With a provider that hangs it is the same, too, and nobody waits for it.
func TestAnswersDoNotTell(t *testing.T) {
	t.Parallel()
	for _, slow := range []bool{false, true} {
		var want []act
		for _, c := range classes {
			t.Run(fmt.Sprintf("%s, slow provider %v", c.name, slow), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					var sent atomic.Int64
					w := newWorld(t, otp.SenderFunc(func(ctx context.Context, _ otp.Message) (otp.Receipt, error) {
						if slow {
							select {
							case <-release:
							case <-ctx.Done():
								return otp.Receipt{}, ctx.Err()
							}
						}
						sent.Add(1)
						return otp.Receipt{}, nil
					}), 100)
					stop := w.run()
					w.request(concealed("", "+4930999999")) // takes the tenant's lease
					synctest.Wait()
					r := concealed("ann", someone)
					c.prepare(w, &r)
					synctest.Wait()
					start := time.Now()
					got := w.play(r)
					assert.Equal(t, start, time.Now(), "somebody waited")
					if slow {
						assert.Zero(t, sent.Load())
					}
					close(release)
					stop()
					if want == nil {
						want = got
					}
					for i := range want {
						assert.Equal(t, want[i], got[i])
					}
				})
			})
		}
	}
}

// The same person, with and without somebody behind it, many times over: the limits of
// those who do not exist are as real. (S-53)
func TestLimitsDoNotTell(t *testing.T) {
	t.Parallel()
	use := func(decoy bool) (out []act) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, nil }), 100,
				func(c *otp.Config) { c.Policies = nil }) // the default limits, the client's among them
			stop := w.run()
			for range 40 {
				r := concealed("ann", someone)
				if r.Decoy = decoy; decoy {
					r.Subject = ""
				}
				w.store.take()
				ch, err := w.Request(t.Context(), r)
				a := act{ch: ch, calls: w.store.take()}
				a.ch.ID = fmt.Sprint(len(ch.ID))
				if err != nil {
					a.err = err.Error()
				}
				out = append(out, a)
				w.now = w.now.Add(2 * time.Minute)
				synctest.Wait()
			}
			stop()
		})
		return out
	}
	known, unknown := use(false), use(true)
	require.Equal(t, known, unknown)
	limited := 0
	for _, a := range known {
		if a.err != "" {
			limited++
		}
	}
	require.Positive(t, limited, "the client's limit answers for both")
}
