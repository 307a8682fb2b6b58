package credential_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/totp"
)

// S-66: who sends a right code twice is not locked out for it, however often: nobody learns anything by
// it. Nor does it give back any other guess.
func TestReplaysCostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.enroll(otp.FactorTOTP, "ada")
	code := d.right()
	require.NoError(t, d.verify(code))
	replays := func() {
		t.Helper()
		held := w.store.held()
		for range 60 {
			require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
		}
		require.NotEqual(t, held, w.store.held(), "each is charged before it is compared")
	}
	replays()
	for range budgets[d.factor].day {
		replays() // the same time as the guesses have
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
	}
	require.ErrorIs(t, d.verify(d.miss()), otp.ErrRateLimited)
	require.ErrorIs(t, d.verify(code), otp.ErrRateLimited)
}

// S-06 S-66: a replay is charged to no streak, and ends none.
func TestReplaysAndTheStreak(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wide)
	d := w.enroll(otp.FactorTOTP, "ada")
	code := d.right()
	require.NoError(t, d.verify(code))
	for range budgets[d.factor].streak {
		require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
	}
	require.ErrorIs(t, d.verify(code), otp.ErrAttemptsExceeded)
}

// S-06: the used code of one app is a wrong code of another, and is charged as such. The digits are eight,
// whose charges have other quanta of time the smaller they are.
func TestReplayAtOneOfSeveral(t *testing.T) {
	t.Parallel()
	for _, digits := range []int{6, 8} {
		w := newWorld(t)
		o := totp.Options{Digits: digits}
		var secrets [][]byte
		for range 2 {
			secrets = append(secrets, w.newSecret())
			_, err := w.totp.Import(t.Context(), "ada", "", secrets[len(secrets)-1], o)
			require.NoError(t, err)
		}
		list, err := w.totp.List(t.Context(), "ada")
		require.NoError(t, err)
		verify := func(id, code string) error {
			_, err := w.totp.Verify(t.Context(), otp.Answer{Subject: "ada", ID: id, Usage: "login", Code: code})
			return w.say(err)
		}
		code, err := totp.Code(secrets[0], w.clock.Now(), o)
		require.NoError(t, err)
		require.NoError(t, verify("", code))
		day := map[int]int{6: 10, 8: 20}[digits]
		for range day - 1 {
			require.ErrorIs(t, verify("", code), otp.ErrAlreadyVerified)
		}
		require.Zero(t, w.count(otp.EventThreshold))
		require.ErrorIs(t, verify("", code), otp.ErrRateLimited, "both of them do not fit")
		require.ErrorIs(t, verify(list[0].ID, code), otp.ErrAlreadyVerified, "one does, and comes back")
		require.ErrorIs(t, verify(list[1].ID, code), otp.ErrMismatch)
		require.Equal(t, 1, w.count(otp.EventThreshold))
		require.ErrorIs(t, verify(list[0].ID, code), otp.ErrRateLimited)
	}
}

// A racer lets a test come in between before a swap.
type racer struct {
	*store
	swap    int
	between func(swap int)
}

func (r *racer) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	r.swap++
	if r.between != nil {
		r.between(r.swap)
	}
	return r.store.SwapCredentials(ctx, key, old, value, until)
}

// S-09 S-22 S-66: of two calls with one code, the one that comes too late costs nothing, whether it finds
// out at once or when it is about to use the code up. What came between them stays charged.
func TestLateReplays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		r := &racer{}
		w := newWorld(t, func(c *otp.Config) {
			r.store = c.Store.(*store)
			c.Store = r
		})
		d := w.enroll(f, "ada")
		code := d.right()
		at := r.swap + 2 // after it was compared
		r.between = func(swap int) {
			if swap == at {
				require.NoError(t, d.verify(code))
				for range budgets[f].day - 2 {
					require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
				}
			}
		}
		w.told()
		require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
		require.Equal(t, 1, w.count(otp.EventReplayed))
		for range 2 {
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		}
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrRateLimited)
	})
}

// S-06: a code that comes too late gives nothing of the streak back that began in between.
func TestLateReplayAndTheNextStreak(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		r := &racer{}
		w := newWorld(t, wide, func(c *otp.Config) {
			r.store = c.Store.(*store)
			c.Store = r
		})
		d := w.enroll(f, "ada")
		code := d.right()
		at := r.swap + 2
		r.between = func(swap int) {
			if swap == at {
				require.NoError(t, d.verify(code))
				for range budgets[f].streak {
					require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
				}
			}
		}
		require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrAttemptsExceeded)
	})
}

// S-24 S-26: when what a replay was charged cannot be given back it stays charged, and the answer is no.
func TestReplayFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.enroll(otp.FactorTOTP, "ada")
	code := d.right()
	require.NoError(t, d.verify(code))
	for i := range budgets[d.factor].day {
		w.store.reset()
		w.told()
		if i%2 == 0 {
			w.store.lose = func(call int) bool { return call == 3 }
			require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
			require.Equal(t, otp.EventReplayed, w.told()[0])
			continue
		}
		w.store.before = func(call int) error {
			if call == 3 {
				return errStore
			}
			return nil
		}
		err := d.verify(code)
		require.ErrorIs(t, err, errStore)
		require.False(t, rejected(err), "a fault is no rejection")
		require.Contains(t, w.told(), otp.EventFault)
	}
	w.store.reset()
	require.ErrorIs(t, d.verify(code), otp.ErrRateLimited)
}

// A resynchronization with codes that were used is a replay as well.
func TestReplayedResync(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.enroll(otp.FactorTOTP, "ada")
	first, second := d.right(), d.right()
	require.NoError(t, d.verify(second))
	for range 30 {
		require.ErrorIs(t, w.totp.Resync(t.Context(), "ada", d.id, w.proof("ada"), first, second), otp.ErrAlreadyVerified)
	}
	require.NoError(t, d.verify(d.right()))
}
