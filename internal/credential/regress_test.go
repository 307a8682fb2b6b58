package credential_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/totp"
)

// S-55 S-58: a secret that is registered twice would accept each of its codes twice.
func TestSecretsAreUnique(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		_, err := w.imports(f, "ada", "", d.secret)
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
		_, _, err = w.begin(f, "ada", "", w.proof("ada"), d.secret)
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
		code := d.right()
		require.NoError(t, d.verify(code))
		require.ErrorIs(t, d.verify(code), otp.ErrRejected)

		// Another person may have it: which secrets there are is told to nobody.
		_, err = w.imports(f, "bob", "", d.secret)
		require.NoError(t, err)

		// A token that guesses disabled is enrolled anew, with the secret that it has.
		for i := range 100 {
			if err := d.verify(d.miss()); errors.Is(err, otp.ErrAttemptsExceeded) {
				break
			}
			require.Less(t, i, 99)
			w.clock.Advance(3 * 24 * time.Hour)
		}
		again, first, err := w.begin(f, "ada", "", w.proof("ada"), d.secret)
		require.NoError(t, err)
		if f == otp.FactorHOTP {
			require.ErrorIs(t, w.manager(f).Confirm(t.Context(), "ada", again.id, first), otp.ErrMismatch, "it was used")
			again.next = d.next
			first = again.right()
		}
		require.NoError(t, w.manager(f).Confirm(t.Context(), "ada", again.id, first))
		require.NoError(t, again.verify(again.right()))
	})
}

// importWindow imports a secret with another window than the others have.
func (w *world) importWindow(f otp.Factor, secret []byte, window int) (d *device, err error) {
	d = &device{w: w, factor: f, subject: "ada", verifier: w.manager(f), secret: secret}
	if f == otp.FactorTOTP {
		d.id, err = w.totp.Import(w.t.Context(), d.subject, "", secret, totp.Options{Window: window})
	} else {
		d.id, err = w.hotp.Import(w.t.Context(), d.subject, "", secret, 0, hotp.Options{Window: window})
	}
	return d, w.say(err)
}

// halfDisabled returns two credentials of one subject, of which guesses at the second have disabled the
// first, whose window is longer.
func (w *world) halfDisabled(f otp.Factor) (disabled, live *device) {
	w.t.Helper()
	disabled, err := w.importWindow(f, w.newSecret(), 3)
	require.NoError(w.t, err)
	require.NoError(w.t, disabled.verify(disabled.right()))
	live, err = w.importWindow(f, w.newSecret(), 2)
	require.NoError(w.t, err)
	for range 49 { // of 50
		_, err := live.answer(otp.Answer{ID: live.id, Code: live.miss()})
		require.ErrorIs(w.t, err, otp.ErrMismatch)
	}
	list, err := w.manager(f).List(w.t.Context(), "ada")
	require.NoError(w.t, err)
	require.Equal(w.t, []bool{true, false}, []bool{list[0].Disabled, list[1].Disabled})
	return disabled, live
}

// S-22 S-55 S-58: a secret that is imported while its credential is disabled takes its place, with what was
// used of it. Beside it each code would be accepted twice as soon as the streak has ended.
func TestImportTakesThePlace(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		old, live := w.halfDisabled(f)
		code := old.right()
		_, err := live.answer(otp.Answer{ID: live.id, Code: live.right()}) // which ends the streak
		require.NoError(t, err)
		require.NoError(t, old.verify(code))
		for range 49 {
			_, err := live.answer(otp.Answer{ID: live.id, Code: live.miss()})
			require.ErrorIs(t, err, otp.ErrMismatch)
		}

		fresh, err := w.importWindow(f, old.secret, 2)
		require.NoError(t, err)
		list, err := w.manager(f).List(t.Context(), "ada")
		require.NoError(t, err)
		require.Equal(t, []string{live.id, fresh.id}, []string{list[0].ID, list[1].ID})
		_, err = live.answer(otp.Answer{ID: live.id, Code: live.right()})
		require.NoError(t, err)
		_, err = fresh.answer(otp.Answer{ID: fresh.id, Code: code})
		require.ErrorIs(t, err, otp.ErrRejected, "it was used before")

		fresh.next = old.next
		code = fresh.right()
		_, err = fresh.answer(otp.Answer{ID: fresh.id, Code: code})
		require.NoError(t, err)
		for _, id := range []string{old.id, fresh.id, ""} {
			_, err = fresh.answer(otp.Answer{ID: id, Code: code})
			require.ErrorIs(t, err, otp.ErrRejected)
		}
	})
}

// S-22 S-55 S-58: the same if it is enrolled, and its credential verifies again before the enrollment is
// confirmed.
func TestConfirmTakesThePlace(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		old, live := w.halfDisabled(f)
		fresh, _, err := w.begin(f, "ada", "", w.proof("ada"), old.secret)
		require.NoError(t, err)
		_, err = live.answer(otp.Answer{ID: live.id, Code: live.right()}) // which ends the streak
		require.NoError(t, err)
		code := old.right()
		_, err = old.answer(otp.Answer{ID: old.id, Code: code})
		require.NoError(t, err, "it is not disabled any more")

		require.ErrorIs(t, w.manager(f).Confirm(t.Context(), "ada", fresh.id, code), otp.ErrMismatch, "it was used")
		fresh.next = old.next
		require.NoError(t, w.manager(f).Confirm(t.Context(), "ada", fresh.id, fresh.right()))
		code = fresh.right()
		_, err = fresh.answer(otp.Answer{ID: fresh.id, Code: code})
		require.NoError(t, err)
		for _, id := range []string{old.id, fresh.id, ""} {
			_, err = fresh.answer(otp.Answer{ID: id, Code: code})
			require.ErrorIs(t, err, otp.ErrRejected)
		}
	})
}

// S-22 S-55 S-58: the same if its credential is revoked before the enrollment is confirmed.
func TestPendingTakesThePlaceOfRevoked(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		old := w.enroll(f, "ada")
		code := old.right()
		require.NoError(t, old.verify(code))
		require.Equal(t, budgets[f].streak, old.guessAll())
		p := w.proof("ada")
		fresh, _, err := w.begin(f, "ada", "", p, old.secret)
		require.NoError(t, err)
		if f == otp.FactorTOTP {
			w.clock.Advance(-30 * time.Second) // scan moves it
		}
		require.NoError(t, w.manager(f).Revoke(t.Context(), "ada", old.id, p))
		require.ErrorIs(t, w.manager(f).Confirm(t.Context(), "ada", fresh.id, code), otp.ErrMismatch, "it was used")
		fresh.next = old.next
		require.NoError(t, w.manager(f).Confirm(t.Context(), "ada", fresh.id, fresh.right()))
		require.NoError(t, fresh.verify(fresh.right()))
	})
}

// S-66: what is imported while the factor is disabled would be told as enrolled, and verify nothing.
func TestImportWhereDisabled(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		d := w.enroll(f, "ada")
		for range budgets[f].streak {
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		}
		held := w.store.held()
		w.told()
		for _, secret := range [][]byte{w.newSecret(), d.secret} {
			_, err := w.imports(f, "ada", "", secret)
			require.ErrorIs(t, err, otp.ErrInvalidRequest)
		}
		require.Zero(t, w.count(otp.EventEnrolled))
		require.Equal(t, held, w.store.held())
		require.NoError(t, w.manager(f).RevokeAll(t.Context(), "ada"))
		d, err := w.imports(f, "ada", "", w.newSecret())
		require.NoError(t, err)
		require.NoError(t, d.verify(d.right()))
	})
}

// S-22 S-55: when two credentials happen to have one code, it is used up in both. Else whoever saw it
// could use it once more.
func TestCodeOfTwoCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Two secrets whose codes of counter 0 are the same; found by trying.
	a, b := []byte("first secret, 20 b.."), []byte("other secret 0337269")
	code, err := hotp.Code(a, 0, hotp.Options{})
	require.NoError(t, err)
	same, err := hotp.Code(b, 0, hotp.Options{})
	require.NoError(t, err)
	require.Equal(t, code, same)
	x, err := w.imports(otp.FactorHOTP, "ada", "", a)
	require.NoError(t, err)
	y, err := w.imports(otp.FactorHOTP, "ada", "", b)
	require.NoError(t, err)
	require.NoError(t, x.verify(code))
	require.ErrorIs(t, x.verify(code), otp.ErrRejected)
	x.next, y.next = 1, 1
	require.NoError(t, x.verify(x.right()))
	require.NoError(t, y.verify(y.right()))
}

// A subject cannot get so many credentials that a single code costs more than the limits ever admit:
// then no code would be accepted again.
func TestCredentialsFitTheLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		factor       otp.Factor
		window, want int
	}{ // with 2e-5 a day
		{otp.FactorHOTP, 0, 6},
		{otp.FactorHOTP, 5, 4},
		{otp.FactorHOTP, 10, 2},
		{otp.FactorTOTP, 0, 6}, // two steps, and one more for an app that goes slow
		{otp.FactorTOTP, 1, 8},
	} {
		w := newWorld(t)
		var all []*device
		for {
			d, err := w.importWindow(tt.factor, w.newSecret(), tt.window)
			if err != nil {
				require.ErrorIs(t, err, otp.ErrInvalidRequest)
				break
			}
			all = append(all, d)
		}
		require.Len(t, all, tt.want)
		for _, d := range all {
			require.NoError(t, d.verify(d.right()))
		}
	}
}

// S-41 S-62: the guess that was the last to fit tells the owner, also when it was a used code that stays
// charged or the store failed after it. One that comes back reaches no limit.
func TestLimitIsToldWhateverReachedIt(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"wrong", "used", "used and charged", "fault"} {
		w := newWorld(t)
		d := w.enroll(otp.FactorTOTP, "ada")
		code := d.right()
		require.NoError(t, d.verify(code))
		for range budgets[otp.FactorTOTP].day - 1 {
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		}
		require.Zero(t, w.count(otp.EventThreshold))
		switch last {
		case "wrong":
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		case "used":
			require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
			require.Equal(t, 1, w.count(otp.EventReplayed))
			require.Zero(t, w.count(otp.EventThreshold))
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		case "used and charged":
			w.store.reset()
			w.store.lose = func(call int) bool { return call == 3 }
			require.ErrorIs(t, d.verify(code), otp.ErrAlreadyVerified)
			require.Equal(t, 1, w.count(otp.EventReplayed))
		default:
			code = d.right()
			w.store.reset()
			w.store.before = func(call int) error {
				if call == 3 {
					return errStore
				}
				return nil
			}
			require.ErrorIs(t, d.verify(code), errStore)
		}
		require.Equal(t, 1, w.count(otp.EventThreshold), last)
		w.store.reset()
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrRateLimited)
		require.Equal(t, 1, w.count(otp.EventThreshold), last)
	}
}

// S-41: with several credentials a limit is reached when nothing more fits, and not when a guess at all of
// them does not: it would be told too early, and once more by the last guess at one.
func TestLimitIsToldOnceForAll(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		event     otp.EventType
		edit      []func(*otp.Config)
		all, each int // guesses of 6000 and 2000
		then      error
	}{
		{otp.EventThreshold, nil, 3, 1, otp.ErrRateLimited},
		{otp.EventDisabled, []func(*otp.Config){wide}, 16, 2, otp.ErrAttemptsExceeded},
	} {
		w := newWorld(t, tt.edit...)
		var d *device
		for range 3 {
			d = w.enroll(otp.FactorTOTP, "ada")
		}
		for range tt.all {
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		}
		require.ErrorIs(t, d.verify(d.miss()), tt.then, "one at all does not fit")
		require.Zero(t, w.count(tt.event), "one at each does")
		for range tt.each {
			require.Zero(t, w.count(tt.event))
			_, err := d.answer(otp.Answer{ID: d.id, Code: d.miss()})
			require.ErrorIs(t, err, otp.ErrMismatch)
		}
		require.Equal(t, 1, w.count(tt.event))
		_, err := d.answer(otp.Answer{ID: d.id, Code: d.miss()})
		require.ErrorIs(t, err, tt.then)
		require.Equal(t, 1, w.count(tt.event))
	}
}

// S-85: what a client says is the ID of its credential is not told on, unless it is one.
func TestEventsEchoNothing(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		w.enroll(f, "ada")
		said := "said by a client"
		v := w.manager(f)
		require.Error(t, v.Confirm(t.Context(), "ada", said, "123456"))
		require.Error(t, v.Revoke(t.Context(), "ada", said, w.proof("ada")))
		require.Error(t, v.Rename(t.Context(), "ada", said, "name"))
		require.Error(t, v.Resync(t.Context(), "ada", said, w.proof("ada"), "123456", "123456"))
		_, err := v.Verify(t.Context(), otp.Answer{Subject: "ada", ID: said, Usage: "login", Code: "123456"})
		require.Error(t, err)
		if strings.Contains(w.log.String(), said) {
			t.Error("it is told")
		}
	})
}

// A window that has learned to be longer gets no longer, however many codes come late.
func TestDriftIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := w.newSecret()
	_, err := w.totp.Import(t.Context(), "ada", "", secret, totp.Options{})
	require.NoError(t, err)
	late := func(steps int) error {
		w.clock.Advance(5 * time.Minute)
		code, err := totp.Code(secret, w.clock.Now().Add(-time.Duration(steps)*30*time.Second), totp.Options{})
		require.NoError(t, err)
		_, err = w.totp.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: code})
		return err
	}
	for range 16 {
		require.NoError(t, late(1))
	}
	for range 100 {
		require.NoError(t, late(2))
	}
	require.ErrorIs(t, late(3), otp.ErrMismatch)
}
