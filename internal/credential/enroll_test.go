package credential_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/otptest"
	"otp.example/otp/recovery"
	"otp.example/otp/totp"
)

// A manager is what the verifiers of authenticators have in common.
type manager interface {
	otp.Verifier
	Confirm(ctx context.Context, subject, id, code string) error
	Resync(ctx context.Context, subject, id string, proof otp.Proof, first, second string) error
	List(ctx context.Context, subject string) ([]otp.Credential, error)
	Rename(ctx context.Context, subject, id, name string) error
	Revoke(ctx context.Context, subject, id string, proof otp.Proof) error
	RevokeAll(ctx context.Context, subject string) error
}

var authenticators = []otp.Factor{otp.FactorTOTP, otp.FactorHOTP}

func eachAuthenticator(t *testing.T, test func(*testing.T, otp.Factor)) {
	t.Helper()
	for _, f := range authenticators {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			test(t, f)
		})
	}
}

func (w *world) manager(f otp.Factor) manager {
	if f == otp.FactorTOTP {
		return w.totp
	}
	return w.hotp
}

// begin begins an enrollment, and returns the device that scanned it.
func (w *world) begin(f otp.Factor, subject, name string, p otp.Proof, secret []byte) (d *device, first string, err error) {
	var e otp.Enrollment
	if f == otp.FactorTOTP {
		e, err = w.totp.Begin(w.t.Context(), totp.Enroll{Subject: subject, Account: subject, Name: name, Proof: p, Secret: secret})
	} else {
		e, err = w.hotp.Begin(w.t.Context(), hotp.Enroll{Subject: subject, Account: subject, Name: name, Proof: p, Secret: secret})
	}
	if w.say(err) != nil {
		require.Empty(w.t, e.ID)
		require.Empty(w.t, e.URI.Reveal()+e.Key.Reveal())
		return nil, "", err
	}
	d = &device{w: w, factor: f, subject: subject, verifier: w.manager(f)}
	return d, d.scan(e), nil
}

func (w *world) imports(f otp.Factor, subject, name string, secret []byte) (d *device, err error) {
	d = &device{w: w, factor: f, subject: subject, verifier: w.manager(f), secret: secret}
	if f == otp.FactorTOTP {
		d.id, err = w.totp.Import(w.t.Context(), subject, name, secret, totp.Options{})
	} else {
		d.id, err = w.hotp.Import(w.t.Context(), subject, name, secret, 0, hotp.Options{})
	}
	if err != nil {
		require.Empty(w.t, d.id, "an ID beside an error")
	}
	return d, w.say(err)
}

// S-55 S-60 FM-41: a credential verifies nothing until a code has confirmed it, and not with that code.
func TestEnrollment(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		v := w.manager(f)
		d, first, err := w.begin(f, "ada", "phone", otp.Proof{}, nil)
		require.NoError(t, err)
		require.Empty(t, w.told(), "nothing is enrolled yet")
		require.ErrorIs(t, d.verify(first), otp.ErrNotFound)
		list, err := v.List(t.Context(), "ada")
		require.NoError(t, err)
		require.Equal(t, []otp.Credential{{ID: d.id, Factor: f, Name: "phone", CreatedAt: list[0].CreatedAt, Pending: true}}, list)

		w.told()
		for _, code := range []string{d.miss(), "", "12345", "1234567", " ", "１２３４５６"} {
			require.ErrorIs(t, w.say(v.Confirm(t.Context(), "ada", d.id, code)), otp.ErrMismatch, "%q", code)
		}
		require.ErrorIs(t, v.Confirm(t.Context(), "ada", "", first), otp.ErrRejected)
		require.ErrorIs(t, v.Confirm(t.Context(), "bob", d.id, first), otp.ErrRejected)
		require.NoError(t, v.Confirm(t.Context(), "ada", d.id, first))
		require.Equal(t, 1, w.count(otp.EventEnrolled))
		require.ErrorIs(t, v.Confirm(t.Context(), "ada", d.id, first), otp.ErrAlreadyVerified)
		require.ErrorIs(t, d.verify(first), otp.ErrRejected, "the code that confirmed is used up")
		require.NoError(t, d.verify(d.right()))
		list, err = v.List(t.Context(), "ada")
		require.NoError(t, err)
		require.False(t, list[0].Pending)
		require.Equal(t, w.clock.Now(), list[0].UsedAt)
	})
}

// S-22: an enrollment is confirmed once, whoever confirms it at the same time.
func TestConfirmedOnce(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d, first, err := w.begin(f, "ada", "", otp.Proof{}, nil)
		require.NoError(t, err)
		var yes, verified atomic.Int64
		together(64, func(i int) {
			switch {
			case i%2 == 1:
				if d.verify(first) == nil {
					verified.Add(1)
				}
			case w.manager(f).Confirm(t.Context(), "ada", d.id, first) == nil:
				yes.Add(1)
			}
		})
		require.EqualValues(t, 1, yes.Load())
		require.Zero(t, verified.Load(), "the code that confirms lets nobody in")
	})
}

// S-60 S-74: who has a credential adds one with a fresh proof only; one that is not confirmed in time is
// gone, and what was there goes on working.
func TestSecondEnrollment(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		v := w.manager(f)
		old := w.enroll(f, "ada")
		held := w.store.held()
		past := w.proof("ada")
		w.clock.Advance(10*time.Minute + time.Microsecond)
		for name, p := range map[string]otp.Proof{"none": {}, "somebody else's": w.proof("bob"), "old": past} {
			_, _, err := w.begin(f, "ada", "", p, nil)
			require.ErrorIs(t, err, otp.ErrProofRequired, name)
		}
		require.Equal(t, held, w.store.held())

		d, first, err := w.begin(f, "ada", "", w.proof("ada"), nil)
		require.NoError(t, err)
		again, second, err := w.begin(f, "ada", "", w.proof("ada"), nil)
		require.NoError(t, err)
		require.ErrorIs(t, v.Confirm(t.Context(), "ada", d.id, first), otp.ErrExpired, "one at a time is pending")
		require.NoError(t, old.verify(old.right()))
		w.clock.Advance(9 * time.Minute)
		require.NoError(t, old.verify(old.right()))
		if f == otp.FactorTOTP {
			w.clock.Advance(-30 * time.Second) // right moves it
			second = again.right()
		}
		w.clock.Advance(time.Minute)
		require.ErrorIs(t, v.Confirm(t.Context(), "ada", again.id, second), otp.ErrExpired)
		list, err := v.List(t.Context(), "ada")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.NoError(t, old.verify(old.right()))
	})
}

// The last microsecond of ten minutes is in time, and the next is not. (S-33)
func TestPendingEnds(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{-time.Microsecond, 0} {
		w := newWorld(t)
		d, first, err := w.begin(otp.FactorHOTP, "ada", "", otp.Proof{}, nil)
		require.NoError(t, err)
		w.clock.Advance(10*time.Minute + late)
		err = w.hotp.Confirm(t.Context(), "ada", d.id, first)
		if late < 0 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, otp.ErrExpired)
		list, err := w.hotp.List(t.Context(), "ada")
		require.NoError(t, err)
		require.Empty(t, list)
	}
}

// Several credentials of a subject: a code is tried against all of them, or against the one that is
// named; it costs one swap, and leaves the others as they were.
func TestSeveralCredentials(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		v := w.manager(f)
		var all []*device
		for i := range 3 {
			d, err := w.imports(f, "ada", fmt.Sprint("device ", i), w.newSecret())
			require.NoError(t, err)
			all = append(all, d)
			w.clock.Advance(time.Second)
		}
		list, err := v.List(t.Context(), "ada")
		require.NoError(t, err)
		for i, c := range list {
			require.Equal(t, all[i].id, c.ID)
			require.Equal(t, fmt.Sprint("device ", i), c.Name)
		}
		for _, d := range all {
			others, err := v.List(t.Context(), "ada")
			require.NoError(t, err)
			code := d.right()
			w.store.reset()
			require.NoError(t, d.verify(code))
			require.Equal(t, 2, w.store.applied)
			now, err := v.List(t.Context(), "ada")
			require.NoError(t, err)
			for i := range now {
				if now[i].ID != d.id {
					require.Equal(t, others[i], now[i])
				}
			}
			require.ErrorIs(t, d.verify(code), otp.ErrRejected)
		}
		// All of them, in one step of time.
		codes := make([]string, 3)
		for i, d := range all {
			codes[i] = d.right()
			if f == otp.FactorTOTP && i < 2 {
				w.clock.Advance(-30 * time.Second)
			}
		}
		_, err = all[0].answer(otp.Answer{ID: all[1].id, Code: codes[0]})
		require.ErrorIs(t, err, otp.ErrMismatch, "it is the code of another")
		for i, d := range all {
			w.told()
			_, err := d.answer(otp.Answer{ID: d.id, Code: codes[i]})
			require.NoError(t, err)
			require.Equal(t, d.id, w.events[0].Credential)
		}
		w.store.reset()
		require.ErrorIs(t, all[0].verify("000000"), otp.ErrMismatch)
		require.Equal(t, 1, w.store.applied, "one code is one attempt")
	})
}

// S-74: names change at will, credentials go with a proof, and the rest stays.
func TestManage(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		v := w.manager(f)
		a, b := w.enroll(f, "ada"), w.enroll(f, "ada")
		require.NoError(t, v.Rename(t.Context(), "ada", a.id, "<Ada's> \u202fphone ✓"))
		for _, name := range []string{strings.Repeat("x", 65), "line\nbreak", "\xff", "\u202eright to left"} {
			require.ErrorIs(t, v.Rename(t.Context(), "ada", a.id, name), otp.ErrInvalidRequest)
			_, err := w.imports(f, "ada", name, w.newSecret())
			require.ErrorIs(t, err, otp.ErrInvalidRequest)
			_, _, err = w.begin(f, "ada", name, w.proof("ada"), nil)
			require.ErrorIs(t, err, otp.ErrInvalidRequest)
		}
		require.ErrorIs(t, v.Rename(t.Context(), "ada", "X", "y"), otp.ErrNotFound)
		require.ErrorIs(t, v.Rename(t.Context(), "bob", a.id, "y"), otp.ErrNotFound)
		list, err := v.List(t.Context(), "ada")
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.Equal(t, "<Ada's> \u202fphone ✓", list[0].Name)
		require.Equal(t, "device", list[1].Name)

		w.told()
		require.ErrorIs(t, v.Revoke(t.Context(), "ada", a.id, otp.Proof{}), otp.ErrProofRequired)
		require.ErrorIs(t, v.Revoke(t.Context(), "ada", a.id, w.proof("bob")), otp.ErrProofRequired)
		require.ErrorIs(t, v.Revoke(t.Context(), "bob", a.id, w.proof("bob")), otp.ErrNotFound)
		require.NoError(t, a.verify(a.right()))
		own, err := b.answer(otp.Answer{Code: b.right()})
		require.NoError(t, err)
		require.NoError(t, v.Revoke(t.Context(), "ada", a.id, own), "any factor's proof will do")
		require.Equal(t, 1, w.count(otp.EventRevoked))
		require.ErrorIs(t, a.verify(a.right()), otp.ErrMismatch)
		require.NoError(t, b.verify(b.right()))
		require.ErrorIs(t, v.Revoke(t.Context(), "ada", a.id, own), otp.ErrNotFound)

		// Who has not confirmed one yet may give it up.
		d, first, err := w.begin(f, "ada", "", own, nil)
		require.NoError(t, err)
		require.NoError(t, v.Revoke(t.Context(), "ada", d.id, otp.Proof{}))
		require.ErrorIs(t, v.Confirm(t.Context(), "ada", d.id, first), otp.ErrExpired)

		require.NoError(t, v.RevokeAll(t.Context(), "ada"))
		require.ErrorIs(t, b.verify(b.right()), otp.ErrNotFound)
		list, err = v.List(t.Context(), "ada")
		require.NoError(t, err)
		require.Empty(t, list)
		require.Empty(t, w.store.held(), "nothing is left of an account that was closed")
	})
}

// guessAll makes wrong guesses at one device until no more are taken, and returns how many were.
func (d *device) guessAll() (n int) {
	d.w.t.Helper()
	for ; n < 1000; n++ {
		if _, err := d.answer(otp.Answer{ID: d.id, Code: d.miss()}); !errors.Is(err, otp.ErrMismatch) {
			break
		}
	}
	return n
}

// S-66: guesses are at a secret. Whoever enrolls a new device, when none of the old ones is left, is not
// refused for them, and has all of the budget.
func TestNewDeviceBeginsAnew(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		for name, renew := range map[string]func(*world, *device) (*device, string, error){
			"revoked": func(w *world, old *device) (*device, string, error) {
				require.Equal(t, budgets[f].day, old.guessAll())
				p := w.proof("ada")
				require.NoError(t, w.manager(f).Revoke(t.Context(), "ada", old.id, p))
				return w.begin(f, "ada", "", p, nil)
			},
			"begun before the guesses": func(w *world, old *device) (d *device, first string, err error) {
				p := w.proof("ada")
				d, first, err = w.begin(f, "ada", "", p, nil)
				require.Equal(t, budgets[f].day, old.guessAll())
				require.NoError(t, w.manager(f).Revoke(t.Context(), "ada", old.id, p))
				return d, first, err
			},
			"disabled": func(w *world, old *device) (*device, string, error) {
				for n := 0; n < budgets[f].streak; {
					n += old.guessAll()
					w.clock.Advance(24 * time.Hour)
				}
				return w.begin(f, "ada", "", w.proof("ada"), nil)
			},
			"imported": func(w *world, old *device) (d *device, first string, err error) {
				require.Equal(t, budgets[f].day, old.guessAll())
				require.NoError(t, w.manager(f).Revoke(t.Context(), "ada", old.id, w.proof("ada")))
				d, err = w.imports(f, "ada", "", w.newSecret())
				return d, "", err
			},
			"imported after it was disabled": func(w *world, old *device) (d *device, first string, err error) {
				for n := 0; n < budgets[f].streak; {
					n += old.guessAll()
					w.clock.Advance(24 * time.Hour)
				}
				require.NoError(t, w.manager(f).Revoke(t.Context(), "ada", old.id, w.proof("ada")))
				d, err = w.imports(f, "ada", "", w.newSecret())
				return d, "", err
			},
		} {
			w := newWorld(t)
			d, first, err := renew(w, w.enroll(f, "ada"))
			require.NoError(t, err, name)
			if first != "" {
				require.NoError(t, w.manager(f).Confirm(t.Context(), "ada", d.id, first), name)
			}
			require.NoError(t, d.verify(d.right()), name)
			require.Equal(t, budgets[f].day, d.guessAll(), name)
			require.ErrorIs(t, d.verify(d.right()), otp.ErrRateLimited, name)
		}
	})
}

// S-06 S-08: no device that comes, goes or waits to be confirmed gives one that stays its guesses back.
func TestGuessesStayWithTheDevice(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		v := w.manager(f)
		d := w.enroll(f, "ada")
		p := w.proof("ada")
		before, first, err := w.begin(f, "ada", "", p, nil)
		require.NoError(t, err)
		require.Equal(t, budgets[f].day, d.guessAll())
		stays := func(what string) {
			t.Helper()
			_, err := d.answer(otp.Answer{ID: d.id, Code: d.right()})
			require.ErrorIs(t, err, otp.ErrRateLimited, what)
		}
		require.NoError(t, v.Confirm(t.Context(), "ada", before.id, first))
		stays("one that had begun before")
		require.NoError(t, v.Revoke(t.Context(), "ada", before.id, p))
		stays("one that is gone again")
		after, first, err := w.begin(f, "ada", "", p, nil)
		require.NoError(t, err)
		stays("one that is pending")
		require.NoError(t, v.Confirm(t.Context(), "ada", after.id, first))
		stays("one that began after them")
		third, err := w.imports(f, "ada", "", w.newSecret())
		require.NoError(t, err)
		stays("one that is imported")

		// The others had them, too, as long as one of them is there.
		require.NoError(t, v.Revoke(t.Context(), "ada", d.id, p))
		require.NoError(t, v.Revoke(t.Context(), "ada", after.id, p))
		d = third
		stays("all others are gone")
		_, _, err = w.begin(f, "ada", "", p, nil)
		require.NoError(t, err)
		require.NoError(t, v.Revoke(t.Context(), "ada", d.id, p))
		d, err = w.imports(f, "ada", "", w.newSecret())
		require.NoError(t, err)
		require.Equal(t, budgets[f].day, d.guessAll(), "one that is pending was not guessed at")
	})
}

// S-06 S-08: a secret that is imported in the place of its disabled credential has been guessed at, and
// nobody was asked for a proof.
func TestImportInPlaceKeepsGuesses(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		old, err := w.importWindow(f, w.newSecret(), 3)
		require.NoError(t, err)
		require.Equal(t, 33, old.guessAll(), "which leaves a hundredth")
		d, err := w.importWindow(f, old.secret, 1)
		require.NoError(t, err)
		list, err := w.manager(f).List(t.Context(), "ada")
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, 1, d.guessAll())
		require.ErrorIs(t, d.verify(d.right()), otp.ErrAttemptsExceeded)
	})
}

// S-66 S-68 S-74: a fresh set of recovery codes begins anew, and without a fresh proof there is none.
func TestNewSetBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.enroll(otp.FactorRecovery, "ada")
	w.enroll(otp.FactorTOTP, "ada")
	require.Equal(t, budgets[d.factor].day, d.guessAll())
	old := w.proof("ada")
	w.clock.Advance(10*time.Minute + time.Microsecond)
	held := w.store.held()
	for _, p := range []otp.Proof{{}, old, w.proof("bob")} {
		_, err := w.paper.Generate(t.Context(), "ada", p)
		require.ErrorIs(t, err, otp.ErrProofRequired)
	}
	require.Equal(t, held, w.store.held())
	require.ErrorIs(t, d.verify(d.codes[0].Reveal()), otp.ErrRateLimited)
	codes, err := w.paper.Generate(t.Context(), "ada", w.proof("ada"))
	require.NoError(t, err)
	d.codes = codes
	require.NoError(t, d.verify(d.right()))
	require.Equal(t, budgets[d.factor].day, d.guessAll())
	require.ErrorIs(t, d.verify(d.right()), otp.ErrRateLimited)
}

// There is room for eight, also for those with the longest names and secrets, in what every store keeps,
// beside the most guesses that are remembered: by default, and of the widest limits that NewVerifier takes.
func TestLargestBook(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*otp.Config){
		"default": func(*otp.Config) {},
		"widest": func(c *otp.Config) {
			c.GuessLimits = []otp.Limit{{N: 128_000, Per: time.Minute}, {N: 128_000, Per: 31 * 24 * time.Hour}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, edit)
			d := &device{w: w, factor: otp.FactorTOTP, subject: "ada", verifier: w.totp}
			o := totp.Options{Algorithm: totp.SHA512, Period: 119 * time.Second, Window: 3}
			for i := range 8 {
				d.secret, o.Digits = append(w.newSecret(), make([]byte, 108)...), 8-i/7
				_, err := w.totp.Import(t.Context(), "ada", strings.Repeat("<", 64), d.secret, o)
				require.NoError(t, err)
			}
			_, err := w.imports(otp.FactorTOTP, "ada", "", w.newSecret())
			require.ErrorIs(t, err, otp.ErrInvalidRequest)
			longest := 0
			for i := range 500 {
				code := fmt.Sprintf("%07d", d.misses)
				if i%90 == 89 && name == "widest" { // or the streak would end it
					code, err = totp.Code(d.secret, w.clock.Now(), o)
					require.NoError(t, err)
				}
				err := d.verify(code)
				require.True(t, err == nil || rejected(err), "%v", err)
				for _, value := range w.store.held() {
					longest = max(longest, len(value))
				}
				w.clock.Advance(5*time.Hour + 49*time.Minute + 13*time.Second)
				d.misses++
			}
			require.LessOrEqual(t, longest, otp.MaxCredentials)
			t.Logf("%d bytes", longest)
		})
	}
}

// S-22 S-74: a credential that is revoked while its code is verified is either used before that or not
// at all.
func TestRevokeVsVerify(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		for range 20 {
			w := newWorld(t)
			d := w.enroll(f, "ada")
			p, code := w.proof("ada"), d.right()
			w.told()
			together(16, func(i int) {
				if i == 0 {
					if err := w.manager(f).Revoke(t.Context(), "ada", d.id, p); err != nil {
						t.Error(err)
					}
					return
				}
				if err := d.verify(code); err != nil && !rejected(err) {
					t.Error(err)
				}
			})
			revoked := false
			for _, e := range w.told() {
				revoked = revoked || e == otp.EventRevoked
			}
			require.True(t, revoked)
			require.ErrorIs(t, d.verify(code), otp.ErrNotFound)
		}
	})
}

// S-68 FM-08 FM-09: whoever redeems a code while the set is made anew either was first or is refused, and
// no code of the old set is accepted once the new one is there.
func TestRegenerateVsRedeem(t *testing.T) {
	t.Parallel()
	for range 20 {
		w := newWorld(t)
		d := w.enroll(otp.FactorRecovery, "ada")
		p := w.proof("ada")
		var fresh atomic.Pointer[[]otp.Secret]
		old := d.codes
		together(11, func(i int) {
			if i == 10 {
				codes, err := w.paper.Generate(t.Context(), "ada", p)
				if err != nil {
					t.Error(err)
				}
				fresh.Store(&codes)
				return
			}
			made := fresh.Load() != nil
			err := d.verify(old[i].Reveal())
			assert.True(t, err == nil || rejected(err), "%v", err)
			assert.False(t, made && err == nil, "an old code was accepted after the new set was returned")
		})
		for _, c := range old {
			require.ErrorIs(t, d.verify(c.Reveal()), otp.ErrRejected)
		}
		w.clock.Advance(31 * 24 * time.Hour)
		for _, c := range *fresh.Load() {
			require.NoError(t, d.verify(c.Reveal()), "the new set is whole")
		}
	}
}

// Bad input is an error that names it, and changes nothing.
func TestBadEnrollments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, e := range map[string]totp.Enroll{
		"no subject":    {Account: "ada"},
		"no account":    {Subject: "ada"},
		"short secret":  {Subject: "ada", Account: "ada", Secret: make([]byte, 15)},
		"empty secret":  {Subject: "ada", Account: "ada", Secret: []byte{}},
		"long secret":   {Subject: "ada", Account: "ada", Secret: make([]byte, 129)},
		"colon":         {Subject: "ada", Account: "a:da"},
		"line break":    {Subject: "ada", Account: "a\nda"},
		"long account":  {Subject: "ada", Account: strings.Repeat("a", 257)},
		"long subject":  {Subject: strings.Repeat("a", 10_000), Account: "ada"},
		"hostile bytes": {Subject: "\xff\xfe", Account: "ada"},
	} {
		_, err := w.totp.Begin(t.Context(), e)
		require.ErrorContains(t, w.say(err), "otp: ", name)
		_, err = w.hotp.Begin(t.Context(), hotp.Enroll{Subject: e.Subject, Account: e.Account, Secret: e.Secret})
		require.ErrorContains(t, w.say(err), "otp: ", name)
	}
	_, err := w.hotp.Begin(t.Context(), hotp.Enroll{Subject: "ada", Account: "ada", Counter: 1 << 63})
	require.ErrorContains(t, err, "Counter")
	for name, o := range map[string]totp.Options{
		"digits 5": {Digits: 5}, "digits 9": {Digits: 9}, "digits -6": {Digits: -6}, "algorithm": {Algorithm: 3},
		"period 14": {Period: 14 * time.Second}, "period 121": {Period: 121 * time.Second}, "period -30": {Period: -30 * time.Second},
		"period 30.5": {Period: 30500 * time.Millisecond}, "window 4": {Window: 4}, "window -1": {Window: -1},
	} {
		_, err := totp.NewVerifier(w.svc, totp.Config{Options: o})
		require.ErrorContains(t, err, "otp: ", name)
		_, err = w.totp.Import(t.Context(), "ada", "", w.newSecret(), o)
		require.ErrorContains(t, err, "otp: ", name)
	}
	for name, o := range map[string]hotp.Options{
		"digits 5": {Digits: 5}, "digits 9": {Digits: 9}, "algorithm": {Algorithm: 3}, "window 11": {Window: 11}, "window -1": {Window: -1},
	} {
		_, err := hotp.NewVerifier(w.svc, hotp.Config{Options: o})
		require.ErrorContains(t, err, "otp: ", name)
		_, err = w.hotp.Import(t.Context(), "ada", "", w.newSecret(), 0, o)
		require.ErrorContains(t, err, "otp: ", name)
	}
	_, err = w.hotp.Import(t.Context(), "ada", "", w.newSecret(), 1<<63, hotp.Options{})
	require.ErrorContains(t, err, "Counter")
	for _, n := range []int{0, 15, 129} {
		_, err = w.totp.Import(t.Context(), "ada", "", make([]byte, n), totp.Options{})
		require.ErrorContains(t, err, "secret")
		_, err = w.hotp.Import(t.Context(), "ada", "", make([]byte, n), 0, hotp.Options{})
		require.ErrorContains(t, err, "secret")
	}
	for _, issuer := range []string{"a:b", "a\nb", " a", strings.Repeat("a", 129), "\xff"} {
		_, err := totp.NewVerifier(w.svc, totp.Config{Issuer: issuer})
		require.ErrorContains(t, err, "Issuer")
		_, err = hotp.NewVerifier(w.svc, hotp.Config{Issuer: issuer})
		require.ErrorContains(t, err, "Issuer")
	}
	require.Empty(t, w.store.held())
}

// What cannot be enrolled is named once, with one prefix.
func TestEnrollErrors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	noApps, err := totp.NewVerifier(w.svc, totp.Config{})
	require.NoError(t, err)
	noTokens, err := hotp.NewVerifier(w.svc, hotp.Config{})
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		totp totp.Enroll
		hotp hotp.Enroll
		want string
	}{
		{
			"no account",
			totp.Enroll{Subject: "ada"},
			hotp.Enroll{Subject: "ada"},
			"otp: invalid request: Account is empty",
		},
		{
			"short secret",
			totp.Enroll{Subject: "ada", Account: "ada", Secret: []byte("x")},
			hotp.Enroll{Subject: "ada", Account: "ada", Secret: []byte("x")},
			"otp: invalid request: secret has 1 bytes, must have 16 to 128",
		},
		{"no subject", totp.Enroll{Account: "ada"}, hotp.Enroll{Account: "ada"}, "otp: invalid request: Subject is empty"},
	} {
		_, err := w.totp.Begin(t.Context(), tt.totp)
		require.EqualError(t, err, tt.want, tt.name)
		require.ErrorIs(t, err, otp.ErrInvalidRequest, tt.name)
		_, err = w.hotp.Begin(t.Context(), tt.hotp)
		require.EqualError(t, err, tt.want, tt.name)
		require.ErrorIs(t, err, otp.ErrInvalidRequest, tt.name)
	}
	_, err = w.hotp.Begin(t.Context(), hotp.Enroll{Subject: "ada", Account: "ada", Counter: 1 << 63})
	require.EqualError(t, err, "otp: invalid request: Counter is larger than 2^63-1")
	_, err = noApps.Begin(t.Context(), totp.Enroll{Subject: "ada", Account: "ada"})
	require.EqualError(t, err, "otp: totp.Config.Issuer is required to enroll")
	_, err = noTokens.Begin(t.Context(), hotp.Enroll{Subject: "ada", Account: "ada"})
	require.EqualError(t, err, "otp: hotp.Config.Issuer is required to enroll")
}

// A verifier cannot be made of what it cannot work with.
func TestNewVerifierRefuses(t *testing.T) {
	t.Parallel()
	makers := map[otp.Factor]func(*otp.Service) error{
		otp.FactorTOTP:     func(s *otp.Service) error { _, err := totp.NewVerifier(s, totp.Config{}); return err },
		otp.FactorHOTP:     func(s *otp.Service) error { _, err := hotp.NewVerifier(s, hotp.Config{}); return err },
		otp.FactorRecovery: func(s *otp.Service) error { _, err := recovery.NewVerifier(s, recovery.Config{}); return err },
	}
	plain, _, _ := otptest.NewService(t, func(c *otp.Config) {
		c.Limiter = c.Store.(otp.Limiter)
		c.Store = struct{ otp.Store }{c.Store}
	})
	for name, newVerifier := range makers {
		require.ErrorContains(t, newVerifier(nil), "service", name)
		require.ErrorContains(t, newVerifier(plain), "CredentialStore", name)
	}
	good, _, _ := otptest.NewService(t)
	v, err := totp.NewVerifier(good, totp.Config{})
	require.NoError(t, err)
	_, err = v.Begin(t.Context(), totp.Enroll{Subject: "ada", Account: "ada"})
	require.ErrorContains(t, err, "Issuer")

	const day = 24 * time.Hour
	var many []otp.Limit
	for i := range 8 {
		many = append(many, otp.Limit{N: 100_000, Per: time.Duration(i+1) * time.Hour})
	}
	for _, tt := range []struct {
		name   string
		limits []otp.Limit
		taken  []otp.Factor
	}{
		{"more than can be charged at once", many, nil},
		{"less than any code", []otp.Limit{{N: 999, Per: time.Hour}}, nil},
		{"less than two steps, and one more for an app that goes slow", []otp.Limit{{N: 1e6, Per: time.Hour}, {N: 2999, Per: day}}, []otp.Factor{otp.FactorRecovery}},
		{"just enough", []otp.Limit{{N: 3000, Per: time.Hour}}, factors},
		{"a streak alone", []otp.Limit{{N: 60_000}}, factors},
		{"more guesses than have room", []otp.Limit{{N: 1e6, Per: day}, {N: 1e6, Per: 30 * day}}, nil},
		{"one more than has room", []otp.Limit{{N: 128_001, Per: 30 * day}, {N: 128_000, Per: day}}, nil},
		{"as many as have room", []otp.Limit{{N: 128_000, Per: 30 * day}, {N: 1e6, Per: time.Minute}}, factors},
		{"many in one window", []otp.Limit{{N: 1e6, Per: 31 * day}}, factors},
		{"many in two that are alike", []otp.Limit{{N: 1e6, Per: day}, {N: 1e6, Per: 2 * day}}, factors},
	} {
		svc, _, _ := otptest.NewService(t, func(c *otp.Config) { c.GuessLimits = tt.limits })
		for f, newVerifier := range makers {
			if slices.Contains(tt.taken, f) {
				require.NoError(t, newVerifier(svc), "%s: %s", tt.name, f)
			} else {
				require.ErrorContains(t, newVerifier(svc), "Config.GuessLimits", "%s: %s", tt.name, f)
			}
		}
	}
	svc, _, _ := otptest.NewService(t, func(c *otp.Config) { c.GuessLimits = []otp.Limit{{N: 9999, Per: time.Hour}} })
	_, err = hotp.NewVerifier(svc, hotp.Config{Options: hotp.Options{Window: 10}})
	require.ErrorContains(t, err, "Config.GuessLimits admits 9999, and one code of a credential costs 10000")
}

// S-40: limits that are lower than when a credential was enrolled refuse its codes as a fault that names
// them: nobody has guessed, and the owner need not enroll anew.
func TestLoweredLimits(t *testing.T) {
	t.Parallel()
	eachAuthenticator(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d, err := w.importWindow(f, w.newSecret(), 3)
		require.NoError(t, err)
		other, err := w.importWindow(f, w.newSecret(), 1)
		require.NoError(t, err)
		w.open(func(c *otp.Config) { c.GuessLimits = []otp.Limit{{N: 3000, Per: time.Hour}} })
		d, other, held := w.again(d), w.again(other), w.store.held()
		w.told()
		err = d.verify(d.right()) // which is tried against both
		require.ErrorContains(t, err, "Config.GuessLimits admits 3000, and one code of a credential costs 4000")
		require.False(t, rejected(err))
		require.Equal(t, []otp.EventType{otp.EventFault}, w.told())
		require.Equal(t, held, w.store.held())
		list, err := w.manager(f).List(t.Context(), "ada")
		require.NoError(t, err)
		require.False(t, list[0].Disabled || list[1].Disabled)
		_, err = other.answer(otp.Answer{ID: other.id, Code: other.right()})
		require.NoError(t, err)

		// Whoever imports one hears the same, and not that the subject has too many.
		_, err = w.hotp.Import(t.Context(), "bob", "", w.newSecret(), 0, hotp.Options{Window: 4})
		require.ErrorIs(t, w.say(err), otp.ErrInvalidRequest)
		require.EqualError(t, err, "otp: invalid request: Options make a code cost more than Config.GuessLimits admits")

		w.open()
		d = w.again(d)
		require.NoError(t, d.verify(d.right()))
	})
}

// What a store may forget is what nobody misses: an enrollment that was not confirmed, with the guesses
// that count no more. An active credential it keeps for good.
func TestForgotten(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		if f != otp.FactorRecovery {
			_, _, err := w.begin(f, "bob", "", otp.Proof{}, nil)
			require.NoError(t, err)
		}
		prune := func() int {
			n, err := w.store.Prune(t.Context(), w.clock.Now(), 1000)
			require.NoError(t, err)
			return n
		}
		w.clock.Advance(9 * time.Minute)
		require.Zero(t, prune())
		w.clock.Advance(2000 * 24 * time.Hour)
		if f != otp.FactorRecovery {
			require.Equal(t, 1, prune())
		}
		require.Zero(t, prune())
		require.NoError(t, d.verify(d.right()))
	})
}

// S-74: a session that was taken over cannot add a factor of another kind, unless the one that is there has
// just been made: then it belongs to an enrollment that goes on.
func TestAnotherFactorNeedsAProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.enroll(otp.FactorTOTP, "ada")
	_, err := w.paper.Generate(t.Context(), "ada", otp.Proof{})
	require.NoError(t, err, "in the same sitting")
	w.clock.Advance(10*time.Minute + time.Microsecond)
	for name, p := range map[string]otp.Proof{"none": {}, "somebody else's": w.proof("bob")} {
		_, _, err := w.begin(otp.FactorHOTP, "ada", "", p, nil)
		require.ErrorIs(t, err, otp.ErrProofRequired, name)
	}
	_, _, err = w.begin(otp.FactorHOTP, "ada", "", w.proof("ada"), nil)
	require.NoError(t, err)
	_, _, err = w.begin(otp.FactorHOTP, "bob", "", otp.Proof{}, nil)
	require.NoError(t, err, "who has nothing needs no proof of it")
}

// S-74: nor can it when a clock is set back, or a process whose clock is behind is asked: what seems to be
// of the future is not what was made just now. Clocks that are a minute apart are no hindrance.
func TestClockSetBackNeedsAProof(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		age  time.Duration // of the credential that is there
		want error
	}{
		{-25 * time.Hour, otp.ErrProofRequired},
		{-time.Minute - time.Microsecond, otp.ErrProofRequired},
		{-time.Minute, nil},
		{10 * time.Minute, nil},
		{10*time.Minute + time.Microsecond, otp.ErrProofRequired},
	} {
		w := newWorld(t)
		w.enroll(otp.FactorTOTP, "ada")
		w.clock.Advance(tt.age)
		_, err := w.paper.Generate(t.Context(), "ada", otp.Proof{})
		require.ErrorIs(t, w.say(err), tt.want, "%s", tt.age)
		_, _, err = w.begin(otp.FactorHOTP, "ada", "", otp.Proof{}, nil)
		require.ErrorIs(t, err, tt.want, "%s", tt.age)
	}
}
