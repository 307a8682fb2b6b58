package totp_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/otptest"
	"otp.example/otp/totp"
)

// A person has an app, and answers to a verifier on a virtual clock.
type person struct {
	t      testing.TB
	svc    *otp.Service
	v      *totp.Verifier
	clock  *otptest.Clock
	id     string
	o      totp.Options
	events []otp.EventType
}

const period = 30 * time.Second

func newPerson(t testing.TB, o totp.Options, edit ...func(*otp.Config)) *person {
	t.Helper()
	p := &person{t: t, o: o}
	var mu sync.Mutex
	p.svc, _, p.clock = otptest.NewService(t, append([]func(*otp.Config){func(c *otp.Config) {
		c.GuessLimits = []otp.Limit{{N: 1_000_000, Per: time.Minute}} // the streak alone counts
		c.OnEvent = func(_ context.Context, e otp.Event) {
			mu.Lock()
			defer mu.Unlock()
			p.events = append(p.events, e.Type)
		}
	}}, edit...)...)
	var err error
	p.v, err = totp.NewVerifier(p.svc, totp.Config{Issuer: "Example"})
	require.NoError(t, err)
	p.id, err = p.v.Import(t.Context(), "ada", "", rfcSecrets[o.Algorithm], o)
	require.NoError(t, err)
	return p
}

// code is what an app shows whose clock is ahead by some time.
func (p *person) code(ahead time.Duration) string {
	p.t.Helper()
	code, err := totp.Code(rfcSecrets[p.o.Algorithm], p.clock.Now().Add(ahead), p.o)
	require.NoError(p.t, err)
	return code
}

func (p *person) verify(code string) error {
	_, err := p.v.Verify(p.t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: code})
	return err
}

// proof is one of another factor.
func (p *person) proof() otp.Proof {
	p.t.Helper()
	svc, box, _ := otptest.NewService(p.t, func(c *otp.Config) { c.Now = p.clock.Now })
	ch, err := svc.Request(p.t.Context(), otp.Request{Channel: otp.Email, Usage: "change", Subject: "ada", To: "ada@example.com"})
	require.NoError(p.t, err)
	proof, err := svc.Verify(p.t.Context(), otp.Answer{ID: ch.ID, Code: box.Code("ada@example.com"), Usage: "change"})
	require.NoError(p.t, err)
	return proof
}

// S-22 S-55 FM-03 FM-30: for every window, every step in it and every two times, no step is accepted
// twice, nor one before it, also across the border of a step.
func TestVerifierBurnsSteps(t *testing.T) {
	t.Parallel()
	for window := 1; window <= 3; window++ {
		for back := range window {
			for later := time.Duration(0); later <= 4*period; later += period / 3 {
				p := newPerson(t, totp.Options{Window: window})
				begun := p.clock.Now().Sub(p.clock.Now().Truncate(period)) // how far the step has gone
				codes := make([]string, window)
				for i := range codes {
					codes[i] = p.code(-time.Duration(i) * period)
				}
				require.NoError(t, p.verify(codes[back]), "window %d, step -%d", window, back)
				p.clock.Advance(later)
				for i := back; i < window; i++ {
					require.ErrorIs(t, p.verify(codes[i]), otp.ErrRejected, "window %d: step -%d after -%d, %v later", window, i, back, later)
				}
				for i := back - 1; i >= 0; i-- { // those after it are fresh, oldest first, while they are in the window
					gone := i+int((begun+later)/period) >= window
					err := p.verify(codes[i])
					require.Equal(t, gone, err != nil, "window %d: step -%d after -%d, %v later: %v", window, i, back, later, err)
				}
			}
		}
	}
}

// S-55 FM-03: the codes of two steps that are both in the window, in both orders and at once: each is
// accepted once at most, and the older one only before the newer one.
func TestVerifierBothSteps(t *testing.T) {
	t.Parallel()
	p := newPerson(t, totp.Options{})
	older, newer := p.code(-period), p.code(0)
	require.NoError(t, p.verify(older))
	require.NoError(t, p.verify(newer))
	require.ErrorIs(t, p.verify(older), otp.ErrAlreadyVerified)
	require.ErrorIs(t, p.verify(newer), otp.ErrAlreadyVerified)

	p = newPerson(t, totp.Options{})
	older, newer = p.code(-period), p.code(0)
	require.NoError(t, p.verify(newer))
	require.ErrorIs(t, p.verify(older), otp.ErrAlreadyVerified)

	for range 30 {
		p := newPerson(t, totp.Options{})
		codes := [2]string{p.code(-period), p.code(0)}
		var yes [2]atomic.Int64
		var done sync.WaitGroup
		for i := range 16 {
			done.Go(func() {
				if p.verify(codes[i%2]) == nil {
					yes[i%2].Add(1)
				}
			})
		}
		done.Wait()
		assert.LessOrEqual(t, yes[0].Load(), int64(1))
		assert.Equal(t, int64(1), yes[1].Load())
	}
}

// S-55 FM-43: a clock that is set back accepts nothing twice, and nothing from before.
func TestVerifierClockSetBack(t *testing.T) {
	t.Parallel()
	p := newPerson(t, totp.Options{})
	var used []string
	for range 5 {
		p.clock.Advance(period)
		used = append(used, p.code(0))
		require.NoError(t, p.verify(p.code(0)))
	}
	for range 6 {
		p.clock.Advance(-period)
		require.ErrorIs(t, p.verify(p.code(0)), otp.ErrAlreadyVerified)
		require.ErrorIs(t, p.verify(p.code(-period)), otp.ErrAlreadyVerified)
		for _, code := range used {
			require.ErrorIs(t, p.verify(code), otp.ErrRejected)
		}
	}
}

// S-57 FM-42: by default the current step and the one before; at most three; never the future.
func TestVerifierWindow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ window, oldest int }{{0, 1}, {1, 0}, {2, 1}, {3, 2}} {
		for ahead := -4; ahead <= 4; ahead++ {
			p := newPerson(t, totp.Options{Window: tt.window})
			err := p.verify(p.code(time.Duration(ahead) * period))
			require.Equal(t, ahead <= 0 && -ahead <= tt.oldest, err == nil, "window %d, %d steps ahead: %v", tt.window, ahead, err)
		}
	}
}

// Every algorithm, length and period does, in this century and the next ones: 2038, 2106, and beyond 32
// bits of steps. A credential keeps the options that it was made with.
func TestVerifierOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []totp.Options{
		{},
		{Digits: 7},
		{Digits: 8, Algorithm: totp.SHA256},
		{Algorithm: totp.SHA512, Period: 15 * time.Second},
		{Digits: 8, Algorithm: totp.SHA1, Period: 120 * time.Second, Window: 3},
		{Period: 61 * time.Second, Window: 1},
	} {
		for _, seconds := range []int64{59, 1 << 31, 1<<32 + 3, 30 * (1 << 32), 253402300000} {
			at := time.Unix(seconds, 0)
			p := newPerson(t, o, func(c *otp.Config) { c.Now = func() time.Time { return at } })
			code, err := totp.Code(rfcSecrets[o.Algorithm], at, o)
			require.NoError(t, err)
			require.NoError(t, p.verify(code), "%+v at %v", o, at)
			require.ErrorIs(t, p.verify(code), otp.ErrAlreadyVerified)
		}
	}
}

// The enrollment is what the configuration says, and its URI and typed secret are the same key.
func TestVerifierEnrollment(t *testing.T) {
	t.Parallel()
	svc, _, clock := otptest.NewService(t)
	for _, tt := range []struct {
		o    totp.Options
		size int // in base32
		tail string
	}{
		{totp.Options{}, 32, "&issuer=Example"},
		{totp.Options{Algorithm: totp.SHA256, Digits: 8}, 52, "&issuer=Example&algorithm=SHA256&digits=8"},
		{totp.Options{Algorithm: totp.SHA512, Period: 60 * time.Second}, 103, "&issuer=Example&algorithm=SHA512&period=60"},
	} {
		v, err := totp.NewVerifier(svc, totp.Config{Issuer: "Example", Options: tt.o})
		require.NoError(t, err)
		subject := fmt.Sprintf("%+v", tt.o)
		e, err := v.Begin(t.Context(), totp.Enroll{Subject: subject, Account: "ada@example.com"})
		require.NoError(t, err)
		key := strings.ReplaceAll(e.Key.Reveal(), " ", "")
		require.Len(t, key, tt.size)
		require.Equal(t, "otpauth://totp/Example:ada%40example.com?secret="+key+tt.tail, e.URI.Reveal())
		require.ErrorIs(t, v.Confirm(t.Context(), subject, e.ID, "000000"), otp.ErrMismatch)
	}
	v, err := totp.NewVerifier(svc, totp.Config{Issuer: "Example"})
	require.NoError(t, err)
	e, err := v.Begin(t.Context(), totp.Enroll{Subject: "ada", Account: "ada", Secret: secret})
	require.NoError(t, err)
	code, err := totp.Code(secret, clock.Now(), totp.Options{})
	require.NoError(t, err)

	// An other configuration, later, changes nothing for whoever has enrolled.
	v, err = totp.NewVerifier(svc, totp.Config{Options: totp.Options{Digits: 8, Algorithm: totp.SHA512, Window: 1}})
	require.NoError(t, err)
	require.NoError(t, v.Confirm(t.Context(), "ada", e.ID, code))
	clock.Advance(2 * period)
	code, err = totp.Code(secret, clock.Now().Add(-period), totp.Options{})
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: code})
	require.NoError(t, err)
}

// S-57: a clock that is late gets one step more after sixteen late codes in a row, and no further; a
// single code in time takes it away again, and never one that shows the right time is shut out.
func TestVerifierLearnsDrift(t *testing.T) {
	t.Parallel()
	p := newPerson(t, totp.Options{})
	login := func(behind int) error {
		p.clock.Advance(10 * period)
		return p.verify(p.code(-time.Duration(behind) * period))
	}
	for i := range 100 { // fifteen late ones, and one in time
		require.NoError(t, login(min(1, i%16)), "%d", i)
	}
	require.Error(t, login(2))
	for range 16 {
		require.NoError(t, login(1))
	}
	for range 40 {
		require.NoError(t, login(2), "one step was learned")
		require.Error(t, login(3), "and no more")
		p.clock.Advance(24 * time.Hour)
	}
	require.NoError(t, login(0), "the clock was mended")
	require.Error(t, login(2))
	require.NoError(t, login(1))
}

// With a window of one step there is no late one, so nothing is learned.
func TestVerifierLearnsNothingOfOneStep(t *testing.T) {
	t.Parallel()
	p := newPerson(t, totp.Options{Window: 1})
	for range 50 {
		p.clock.Advance(period)
		require.NoError(t, p.verify(p.code(0)))
	}
}

// S-57 S-74: a token whose clock is far off is found by two codes in a row and another factor's proof, up
// to fifty steps either way. The two codes are used up, and it goes on with its own time.
func TestVerifierResync(t *testing.T) {
	t.Parallel()
	for _, ahead := range []int{-49, -10, -1, 1, 7, 50} {
		p := newPerson(t, totp.Options{})
		off := time.Duration(ahead) * period
		first, second := p.code(off-period), p.code(off)
		_ = p.verify(second)
		own := otp.Proof{}
		if ahead == -1 {
			var err error
			own, err = p.v.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: p.code(0)})
			require.NoError(t, err)
			// It has burnt the steps of the pair.
			require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, p.proof(), first, second), otp.ErrAlreadyVerified)
		}
		require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, own, first, second), otp.ErrProofRequired, "the factor itself proves nothing here")
		if ahead == -1 {
			continue
		}
		proof := p.proof()
		for _, pair := range [][2]string{{second, first}, {first, first}, {second, second}, {first, "000000"}, {first, ""}, {"x", second}, {first, p.code(off + period)}} {
			require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, proof, pair[0], pair[1]), otp.ErrMismatch, "%d: %q", ahead, pair)
		}
		require.ErrorIs(t, p.v.Resync(t.Context(), "bob", p.id, proof, first, second), otp.ErrProofRequired)
		require.NoError(t, p.v.Resync(t.Context(), "ada", p.id, proof, first, second), "%d", ahead)
		require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, proof, first, second), otp.ErrRejected, "once")
		require.ErrorIs(t, p.verify(first), otp.ErrRejected)
		require.ErrorIs(t, p.verify(second), otp.ErrRejected)
		p.clock.Advance(period)
		require.NoError(t, p.verify(p.code(off)))
		require.Equal(t, 1, strings.Count(fmt.Sprint(p.events), "resynced"))
	}
	for _, ahead := range []int{-51, 51, 1000} {
		p := newPerson(t, totp.Options{})
		off := time.Duration(ahead) * period
		require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, p.proof(), p.code(off-period), p.code(off)), otp.ErrMismatch)
	}
}

// S-65: attempts to resynchronize are guesses.
func TestVerifierResyncIsCharged(t *testing.T) {
	t.Parallel()
	p := newPerson(t, totp.Options{})
	proof, n := p.proof(), 0
	for ; n < 100; n++ {
		if err := p.v.Resync(t.Context(), "ada", p.id, proof, "000000", "000000"); !errors.Is(err, otp.ErrMismatch) {
			require.ErrorIs(t, err, otp.ErrAttemptsExceeded)
			break
		}
	}
	require.Equal(t, 50, n)
	require.ErrorIs(t, p.verify(p.code(0)), otp.ErrAttemptsExceeded)
	require.True(t, slices.Contains(p.events, otp.EventDisabled))
}

// S-63: nobody but the service says what time it is.
func TestVerifierTakesNoTime(t *testing.T) {
	t.Parallel()
	for _, typ := range []reflect.Type{reflect.TypeFor[otp.Answer](), reflect.TypeFor[totp.Enroll](), reflect.TypeFor[totp.Config](), reflect.TypeFor[hotp.Enroll]()} {
		for f := range typ.Fields() {
			require.NotEqual(t, reflect.TypeFor[time.Time](), f.Type, "%v.%s", typ, f.Name)
		}
	}
	for m := range reflect.TypeFor[*totp.Verifier]().Methods() {
		for in := range m.Type.Ins() {
			require.NotEqual(t, reflect.TypeFor[time.Time](), in, m.Name)
		}
	}
}
