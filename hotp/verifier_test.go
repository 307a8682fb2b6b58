package hotp_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/otptest"
)

var seed = []byte("12345678901234567890")

// A person has a token, and answers to a verifier.
type person struct {
	t     testing.TB
	v     *hotp.Verifier
	clock *otptest.Clock
	id    string
	o     hotp.Options
}

func newPerson(t testing.TB, counter uint64, o hotp.Options) *person {
	t.Helper()
	p := &person{t: t, o: o}
	svc, _, clock := otptest.NewService(t, func(c *otp.Config) {
		c.GuessLimits = []otp.Limit{{N: 1_000_000, Per: time.Minute}} // the streak alone counts
	})
	p.clock = clock
	var err error
	p.v, err = hotp.NewVerifier(svc, hotp.Config{Issuer: "Example"})
	require.NoError(t, err)
	p.id, err = p.v.Import(t.Context(), "ada", "", seed, counter, o)
	require.NoError(t, err)
	return p
}

func (p *person) code(counter uint64) string {
	p.t.Helper()
	code, err := hotp.Code(seed, counter, p.o)
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

// S-64: the next code and those in the look-ahead are accepted, and nothing else. Then the counter is
// after the one that was, and none before it is ever accepted.
func TestVerifierLookAhead(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ window, want int }{{0, 3}, {1, 1}, {3, 3}, {10, 10}} {
		for ahead := range tt.want + 3 {
			p := newPerson(t, 7, hotp.Options{Window: tt.window})
			err := p.verify(p.code(7 + uint64(ahead)))
			require.Equal(t, ahead < tt.want, err == nil, "window %d, %d ahead: %v", tt.window, ahead, err)
			if err != nil {
				require.NoError(t, p.verify(p.code(7)), "a code that is too far ahead changes nothing")
				continue
			}
			if tt.window != 3 {
				continue
			}
			for c := range uint64(8 + ahead) {
				require.ErrorIs(t, p.verify(p.code(c)), otp.ErrMismatch, "%d after %d", c, 7+ahead)
			}
			require.NoError(t, p.verify(p.code(uint64(8+ahead))))
		}
	}
}

// S-22 S-64 FM-05: whatever comes in at once, each counter is used once at most, and what was accepted
// later is later.
func TestVerifierCountsUp(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := newPerson(t, 0, hotp.Options{Digits: 8})
		var yes [3]atomic.Int64
		var done sync.WaitGroup
		for i := range 48 {
			done.Go(func() {
				if p.verify(p.code(uint64(i%3))) == nil {
					yes[i%3].Add(1)
				}
			})
		}
		done.Wait()
		total := int64(0)
		for i := range yes {
			require.LessOrEqual(t, yes[i].Load(), int64(1))
			total += yes[i].Load()
		}
		require.Positive(t, total)
		for i := range uint64(3) {
			require.ErrorIs(t, p.verify(p.code(i)), otp.ErrRejected)
		}
	}
}

// S-65 S-74: a token that ran ahead is found by two codes in a row and another factor's proof, up to a
// hundred codes ahead, and never behind.
func TestVerifierResync(t *testing.T) {
	t.Parallel()
	for _, ahead := range []uint64{0, 5, 99, 100, 101, 5000} {
		p := newPerson(t, 7, hotp.Options{})
		first, second := p.code(7+ahead), p.code(8+ahead)
		require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, otp.Proof{}, first, second), otp.ErrProofRequired)
		proof := p.proof()
		for _, pair := range [][2]string{{second, first}, {first, first}, {first, "000000"}, {first, ""}, {first, p.code(9 + ahead)}} {
			require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, proof, pair[0], pair[1]), otp.ErrMismatch)
		}
		err := p.v.Resync(t.Context(), "ada", p.id, proof, first, second)
		if ahead > 99 {
			require.ErrorIs(t, err, otp.ErrMismatch)
			require.NoError(t, p.verify(p.code(7)))
			continue
		}
		require.NoError(t, err)
		for c := range 9 + ahead {
			if c%10 == 0 || c > 5+ahead {
				require.ErrorIs(t, p.verify(p.code(c)), otp.ErrMismatch)
			}
		}
		require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, proof, first, second), otp.ErrMismatch)
		require.NoError(t, p.verify(p.code(9+ahead)))
	}
	p := newPerson(t, 7, hotp.Options{})
	proof, err := p.v.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: p.code(7)})
	require.NoError(t, err)
	require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, proof, p.code(20), p.code(21)), otp.ErrProofRequired, "the factor itself proves nothing here")
	require.ErrorIs(t, p.v.Resync(t.Context(), "ada", p.id, p.proof(), p.code(6), p.code(7)), otp.ErrMismatch, "the past is not looked at")
}

// S-65: attempts to resynchronize are guesses.
func TestVerifierResyncIsCharged(t *testing.T) {
	t.Parallel()
	p := newPerson(t, 0, hotp.Options{})
	proof, n := p.proof(), 0
	for ; n < 100; n++ {
		if err := p.v.Resync(t.Context(), "ada", p.id, proof, "000000", "000000"); !errors.Is(err, otp.ErrMismatch) {
			require.ErrorIs(t, err, otp.ErrAttemptsExceeded)
			break
		}
	}
	require.Equal(t, 33, n)
	require.ErrorIs(t, p.verify(p.code(0)), otp.ErrAttemptsExceeded)
}

// The largest counter that there can be at first has room for all codes that a token ever shows.
func TestVerifierLargeCounters(t *testing.T) {
	t.Parallel()
	p := newPerson(t, math.MaxInt64, hotp.Options{})
	for c := uint64(math.MaxInt64); c < math.MaxInt64+9; c += 3 {
		require.NoError(t, p.verify(p.code(c+2)))
		require.ErrorIs(t, p.verify(p.code(c)), otp.ErrMismatch)
	}
	require.NoError(t, p.v.Resync(t.Context(), "ada", p.id, p.proof(), p.code(math.MaxInt64+50), p.code(math.MaxInt64+51)))
}

// The enrollment is what the configuration says, and a hardware token may bring its own secret and counter.
func TestVerifierEnrollment(t *testing.T) {
	t.Parallel()
	svc, _, _ := otptest.NewService(t)
	for _, tt := range []struct {
		o    hotp.Options
		tail string
	}{
		{hotp.Options{}, "&issuer=Example&counter=41"},
		{hotp.Options{Algorithm: hotp.SHA512, Digits: 8}, "&issuer=Example&algorithm=SHA512&digits=8&counter=41"},
	} {
		v, err := hotp.NewVerifier(svc, hotp.Config{Issuer: "Example", Options: tt.o})
		require.NoError(t, err)
		subject := fmt.Sprintf("%+v", tt.o)
		e, err := v.Begin(t.Context(), hotp.Enroll{Subject: subject, Account: "ada", Secret: seed, Counter: 41})
		require.NoError(t, err)
		key := strings.ReplaceAll(e.Key.Reveal(), " ", "")
		require.Equal(t, "otpauth://hotp/Example:ada?secret="+key+tt.tail, e.URI.Reveal())
		code := func(counter uint64) string {
			code, err := hotp.Code(seed, counter, tt.o)
			require.NoError(t, err)
			return code
		}
		require.ErrorIs(t, v.Confirm(t.Context(), subject, e.ID, code(40)), otp.ErrMismatch)
		require.NoError(t, v.Confirm(t.Context(), subject, e.ID, code(42)))
		for _, counter := range []uint64{41, 42} {
			_, err = v.Verify(t.Context(), otp.Answer{Subject: subject, Usage: "login", Code: code(counter)})
			require.ErrorIs(t, err, otp.ErrMismatch)
		}
		_, err = v.Verify(t.Context(), otp.Answer{Subject: subject, Usage: "login", Code: code(43)})
		require.NoError(t, err)
	}
}
