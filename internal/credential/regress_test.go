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
			again.next = d.next
		}
		require.NoError(t, w.manager(f).Confirm(t.Context(), "ada", again.id, first))
		require.NoError(t, again.verify(again.right()))
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
	for _, tt := range []struct{ window, want int }{{0, 6}, {5, 4}, {10, 2}} { // with 2e-5 a day
		w := newWorld(t)
		var all []*device
		for {
			d := &device{w: w, factor: otp.FactorHOTP, subject: "ada", verifier: w.hotp, secret: newSecret()}
			var err error
			d.id, err = w.hotp.Import(t.Context(), "ada", "", d.secret, 0, hotp.Options{Window: tt.window})
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

// S-41 S-62: the guess that was the last to fit tells the owner, also when it was a used code or the
// store failed after it.
func TestLimitIsToldWhateverReachedIt(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"wrong", "used", "fault"} {
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
	secret := newSecret()
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
