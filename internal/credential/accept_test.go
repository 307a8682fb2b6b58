package credential_test

import (
	"context"
	"errors"
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

// S-22 S-55 S-67 FM-02 FM-05 FM-08 FM-09 FM-30: of 64 calls at once with one code, by any factor, one
// is told yes, and nobody is later.
func TestAcceptedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		for range 3 {
			w := newWorld(t, wide)
			d := w.enroll(f, "ada")
			code := d.right()
			var yes, fault atomic.Int64
			together(64, func(int) {
				switch err := d.verify(code); {
				case err == nil:
					yes.Add(1)
				case !rejected(err):
					fault.Add(1)
					assert.NoError(t, err)
				}
			})
			require.EqualValues(t, 1, yes.Load())
			require.Zero(t, fault.Load())
			require.ErrorIs(t, d.verify(code), otp.ErrRejected)
			require.Equal(t, 1, w.count(otp.EventVerified))
		}
	})
}

// S-56 FM-01: no other spelling of a used code is a fresh one, and what is no spelling costs
// no call of a store.
func TestSpellingsOfUsedCode(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		d := w.enroll(f, "ada")
		code := d.right()
		require.NoError(t, d.verify(code))
		for _, s := range []string{code, code + " ", " " + code, code[:3] + " " + code[3:], code[:3] + "-" + code[3:], code + "        "} {
			require.ErrorIs(t, d.verify(s), otp.ErrRejected, "%q", s)
		}
		w.store.reset()
		for _, s := range []string{
			"", " ", "-", "+" + code, "-+" + code, "0x" + code, code + "\n", "\t" + code, code + "\r\n", code + "\x00",
			"\u00a0" + code, code + "\u200b", "\ufeff" + code, "\u2007" + code, wide1(code), arabic(code),
			code + ".0", code + "e0", code[1:], "0" + code, code + code, code[:len(code)-1] + "\xff",
			code[:len(code)-1] + "O\u0301",
		} {
			if err := d.verify(s); !errors.Is(err, otp.ErrRejected) {
				t.Errorf("%q: %v", s, err)
			}
			if f == otp.FactorRecovery && len(s) > 0 {
				continue // a space more is no matter on paper
			}
		}
		if f == otp.FactorRecovery {
			return
		}
		// "0"+code has seven digits, which others could have: the store is asked, and nothing is
		// charged.
		require.Zero(t, w.store.applied)
		w.store.reset()
		require.ErrorIs(t, d.verify("+"+code), otp.ErrMismatch)
		require.Zero(t, w.store.calls())
	})
}

// wide1 writes ASCII in the full-width forms of Unicode.
func wide1(s string) string {
	var r []rune
	for _, c := range s {
		r = append(r, c-'!'+'！')
	}
	return string(r)
}

func arabic(s string) string {
	var r []rune
	for _, c := range s {
		if c >= '0' && c <= '9' {
			c += '\u0660' - '0'
		}
		r = append(r, c)
	}
	return string(r) + "\u0660"
}

// S-56: separators that are documented are none of the code's business.
func TestSeparators(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		for _, form := range []func(string) string{
			func(s string) string { return s[:3] + " " + s[3:] },
			func(s string) string { return s[:2] + "-" + s[2:4] + "-" + s[4:] },
			func(s string) string { return " " + s + " " },
		} {
			require.NoError(t, d.verify(form(d.right())))
		}
	})
}

// S-06 S-23 S-24 S-66 FM-17: of a thousand wrong codes at once no more are compared than the budget
// admits. Each that is compared was stored before; the rest is refused, and so is the right
// code then, which nothing uses up (S-40). The owner is told once (S-41).
func TestParallelGuesses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		d.right()
		code := d.miss()
		w.store.reset()
		w.told()
		var compared, limited atomic.Int64
		together(1000, func(int) {
			switch err := d.verify(code); {
			case errors.Is(err, otp.ErrMismatch):
				compared.Add(1)
			case errors.Is(err, otp.ErrRateLimited):
				limited.Add(1)
			default:
				assert.NoError(t, err)
			}
		})
		require.Equal(t, budgets[f].day, w.store.applied, "charges")
		require.EqualValues(t, budgets[f].day, compared.Load())
		require.EqualValues(t, 1000-budgets[f].day, limited.Load())
		require.Equal(t, 1, w.count(otp.EventThreshold))
		require.Zero(t, w.count(otp.EventDisabled))

		right := d.right()
		require.ErrorIs(t, d.verify(right), otp.ErrRateLimited)
		if f == otp.FactorTOTP {
			w.clock.Advance(25 * time.Hour)
			right = d.right()
		} else {
			w.clock.Advance(25 * time.Hour)
		}
		require.NoError(t, d.verify(right))
	})
}

// S-06 S-38 S-66 FM-04 FM-12: whoever has all the time in the world is stopped at one chance in ten
// thousand, the person has to enroll anew, and is told so once.
func TestDisabled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		compared := 0
		guess := func() error {
			for range 3 {
				err := d.verify(d.miss())
				limited, ok := errors.AsType[*otp.RateLimitError](err)
				if !ok {
					return err
				}
				require.Equal(t, "guesses", limited.Scope)
				require.Positive(t, limited.RetryAfter)
				w.clock.Advance(limited.RetryAfter)
			}
			return errors.New("RetryAfter does not help")
		}
		for ; compared < 1000; compared++ {
			err := guess()
			if errors.Is(err, otp.ErrAttemptsExceeded) {
				break
			}
			require.ErrorIs(t, err, otp.ErrMismatch)
		}
		require.Equal(t, budgets[f].streak, compared)
		require.Equal(t, 1, w.count(otp.EventDisabled))
		w.clock.Advance(1000 * 24 * time.Hour)
		require.ErrorIs(t, d.verify(d.right()), otp.ErrAttemptsExceeded)
		require.Equal(t, 1, w.count(otp.EventDisabled))

		// Neither a process that starts nor time changes that (S-08 FM-11 FM-21).
		w.open()
		require.ErrorIs(t, w.again(d).verify(d.right()), otp.ErrAttemptsExceeded)

		switch f {
		case otp.FactorRecovery:
			codes, err := w.paper.Generate(t.Context(), "ada", w.proof("ada"))
			require.NoError(t, err)
			d.codes = codes
		case otp.FactorTOTP:
			list, err := w.totp.List(t.Context(), "ada")
			require.NoError(t, err)
			require.True(t, list[0].Disabled)
			e, err := w.totp.Begin(t.Context(), totp.Enroll{Subject: "ada", Account: "ada", Proof: w.proof("ada")})
			require.NoError(t, err)
			require.NoError(t, w.totp.Confirm(t.Context(), "ada", e.ID, d.scan(e)))
			list, err = w.totp.List(t.Context(), "ada")
			require.NoError(t, err)
			require.Len(t, list, 1, "the one that was disabled is gone")
			require.False(t, list[0].Disabled)
		default:
			e, err := w.hotp.Begin(t.Context(), hotp.Enroll{Subject: "ada", Account: "ada", Proof: w.proof("ada")})
			require.NoError(t, err)
			require.NoError(t, w.hotp.Confirm(t.Context(), "ada", e.ID, d.scan(e)))
		}
		d = w.again(d)
		require.NoError(t, d.verify(d.right()))
	})
}

// S-39 S-07 FM-20 FM-22: guesses at one factor cost the others nothing, and their success gives it
// nothing back.
func TestFactorsAreIndependent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		devices := map[otp.Factor]*device{}
		for _, f := range factors {
			devices[f] = w.enroll(f, "ada")
		}
		d := devices[f]
		before := w.store.held()
		for range budgets[f].day {
			require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
		}
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrRateLimited)
		changed := 0
		for key, value := range w.store.held() {
			if string(before[key]) != string(value) {
				changed++
			}
		}
		require.Equal(t, 1, changed, "values that guesses at one factor changed")
		for other, o := range devices {
			if other != f {
				require.NoError(t, o.verify(o.right()), "%s", other)
			}
		}
		ch, err := w.svc.Request(t.Context(), otp.Request{Channel: otp.Email, Usage: "login", Subject: "ada", To: "ada@example.com"})
		require.NoError(t, err)
		_, err = w.svc.Verify(t.Context(), otp.Answer{ID: ch.ID, Code: w.box.Code("ada@example.com"), Usage: "login"})
		require.NoError(t, err)
		require.ErrorIs(t, d.verify(d.right()), otp.ErrRateLimited, "no success of another factor helps")
	})
}

// S-67 S-71 S-75 FM-10: a code is accepted for the subject, factor and tenant that it is of, and for no
// other.
func TestCodesAreSomebodys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, wide)
	var devices []*device
	for _, svc := range []*otp.Service{w.svc, w.svc.Tenant("other")} {
		for _, subject := range []string{"ada", "bob", "Ada"} {
			for _, f := range factors {
				devices = append(devices, w.enrollAt(svc, f, subject))
			}
		}
	}
	for i, from := range devices {
		for j, to := range devices {
			if i == j {
				continue
			}
			next, codes := from.next, from.codes
			require.True(t, rejected(to.verify(from.right())), "a code of %v for %v", from.factor, to.factor)
			from.next, from.codes = next, codes // it was not accepted
		}
	}
	for _, d := range devices {
		require.NoError(t, d.verify(d.right()))
	}
	for _, id := range []string{devices[0].id, devices[3].id} { // another subject's
		_, err := devices[1].answer(otp.Answer{ID: id, Code: devices[1].right()})
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
}

// The price list that Verify promises. What there is nothing to compare with costs as much as
// what is wrong (S-53).
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t, wide)
		d := w.enroll(f, "ada")
		nobody := w.again(d)
		nobody.subject = "nobody"
		used := d.right()
		require.NoError(t, d.verify(used))
		give := map[bool]int{true: 1}[f == otp.FactorTOTP] // others do not know what was used
		for _, tt := range []struct {
			what    string
			verify  func() error
			want    int
			applied int
		}{
			{"right", func() error { return d.verify(d.right()) }, 3, 2},
			{"wrong", func() error { return d.verify(d.miss()) }, 2, 1},
			{"used", func() error { return d.verify(used) }, 2 + give, 1 + give},
			{"of nobody", func() error { return nobody.verify(d.miss()) }, 2, 0},
			{"of no credential", func() error { _, err := d.answer(otp.Answer{ID: "X", Code: d.miss()}); return err }, 2, 0},
			{"malformed", func() error { return d.verify("12345") }, 0, 0},
		} {
			w.store.reset()
			err := tt.verify()
			require.Equal(t, tt.what == "right", err == nil, "%s: %v", tt.what, err)
			require.Equal(t, tt.want, w.store.calls(), tt.what)
			require.Equal(t, tt.applied, w.store.applied, tt.what)
		}
	})
}

// S-73 FM-18: where a code alone is not enough, nothing is done for it without the proof of another
// factor of the same subject, just now.
func TestSecondFactor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.enroll(otp.FactorTOTP, "ada")
	token := w.enroll(otp.FactorHOTP, "ada")
	v, err := totp.NewVerifier(w.svc, totp.Config{SecondFactor: true})
	require.NoError(t, err)
	d.verifier = v
	tenant, _, _ := otptest.NewService(t, func(c *otp.Config) { c.Now = w.clock.Now })
	foreign, err := hotp.NewVerifier(tenant.Tenant("other"), hotp.Config{})
	require.NoError(t, err)
	_, err = foreign.Import(t.Context(), "ada", "", token.secret, 0, hotp.Options{})
	require.NoError(t, err)
	old := w.proof("ada")
	w.clock.Advance(11*time.Minute + time.Microsecond)
	future := w.proof("ada")
	w.clock.Advance(-2 * time.Minute) // and right moves it half a minute, twice
	own, err := w.totp.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: d.right()})
	require.NoError(t, err)
	elsewhere, err := foreign.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: token.right()})
	require.NoError(t, err)
	code := d.right()
	w.store.reset()
	w.told()
	for name, p := range map[string]otp.Proof{
		"none": {}, "of the same factor": own, "of somebody else": w.proof("bob"), "of another tenant": elsewhere,
		"too old": old, "of the future": future, "of nobody": w.proof(""),
	} {
		_, err := d.answer(otp.Answer{Code: code, After: p})
		require.ErrorIs(t, err, otp.ErrProofRequired, name)
	}
	require.Zero(t, w.store.calls())
	require.Equal(t, 7, w.count(otp.EventRefused))

	p, err := d.answer(otp.Answer{Code: code, After: w.proof("ada")})
	require.NoError(t, err)
	require.Equal(t, otp.FactorTOTP, p.Factor())
	require.Equal(t, "ada", p.Subject())
	require.Equal(t, otp.Usage("login"), p.Usage())
	require.Equal(t, w.clock.Now(), p.Time())
	require.Empty(t, p.Recipient())

	after, err := w.hotp.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: token.right()})
	require.NoError(t, err)
	_, err = d.answer(otp.Answer{Code: d.right(), After: after})
	require.NoError(t, err)
}

// A Binding is refused: the code of a device confirms no transaction that it does not show.
func TestAnswersThatCannotBe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		code := d.right()
		w.store.reset()
		for name, a := range map[string]otp.Answer{
			"no usage":        {Subject: "ada", Code: code},
			"malformed usage": {Subject: "ada", Code: code, Usage: "Log In"},
			"binding":         {Subject: "ada", Code: code, Usage: "login", Binding: "1000 EUR"},
			"no subject":      {Code: code, Usage: "login"},
			"line break":      {Subject: "ada\n", Code: code, Usage: "login"},
			"long subject":    {Subject: string(make([]byte, 10_000)), Code: code, Usage: "login"},
		} {
			p, err := d.verifier.Verify(t.Context(), a)
			require.ErrorIs(t, w.say(err), otp.ErrInvalidRequest, name)
			require.False(t, p.Valid())
		}
		require.Zero(t, w.store.calls())
		require.NoError(t, d.verify(code))
	})
}

// A proof of a credential goes through a token like any other, and is redeemed once.
func TestProofIsRedeemedOnce(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		p, err := d.answer(otp.Answer{Code: d.right()})
		require.NoError(t, err)
		token, err := w.svc.Token(p, time.Minute)
		require.NoError(t, err)
		got, err := w.svc.Redeem(t.Context(), token.Reveal(), "login")
		require.NoError(t, err)
		require.Equal(t, f, got.Factor())
		require.Equal(t, "ada", got.Subject())
		_, err = w.svc.Redeem(t.Context(), token.Reveal(), "login")
		require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	})
}

// again is a device as it is after open: the same, with the new verifier.
func (w *world) again(d *device) *device {
	c := *d
	switch d.factor {
	case otp.FactorTOTP:
		c.verifier = w.totp
	case otp.FactorHOTP:
		c.verifier = w.hotp
	default:
		c.verifier = w.paper
	}
	return &c
}

// The clock of a server that is set to before 1970, or beyond what dates can say, lets nobody in
// and changes nothing.
func TestImpossibleTimes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		code := d.right()
		for _, at := range []time.Time{{}, time.Unix(-1, 0), time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)} {
			w.open(func(c *otp.Config) { c.Now = func() time.Time { return at } })
			before := w.store.held()
			require.Error(t, w.again(d).verify(code))
			require.Equal(t, before, w.store.held())
		}
		w.open()
		require.NoError(t, w.again(d).verify(code))
	})
}

var errStore = errors.New("the store is gone")

// S-24 S-26: a store that fails before or after any call of a Verify gets no code accepted twice, and
// what may have been used up or charged has been.
func TestStoreFaults(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		for call := 1; call <= 3; call++ {
			for _, after := range []bool{false, true} {
				w := newWorld(t)
				d := w.enroll(f, "ada")
				code := d.right()
				w.store.reset()
				w.told()
				fault := func(c int) error {
					if c == call {
						return errStore
					}
					return nil
				}
				w.store.before = fault
				if after {
					w.store.before, w.store.after = nil, fault
				}
				err := d.verify(code)
				require.ErrorIs(t, err, errStore)
				require.False(t, rejected(err), "a fault is no rejection")
				require.Equal(t, []otp.EventType{otp.EventFault}, w.told())
				w.store.reset()

				err = d.verify(code)
				if call == 3 && after {
					require.ErrorIs(t, err, otp.ErrRejected, "an ambiguous swap has used the code up")
				} else {
					require.NoError(t, err)
				}
				require.ErrorIs(t, d.verify(code), otp.ErrRejected)
				require.NoError(t, d.verify(d.right()))
			}
		}
	})
}

// S-24 S-26: guesses whose charge is not known to be stored are not compared, and those that were stored
// count.
func TestFaultsGiveNoGuesses(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		for i := range budgets[f].day {
			w.store.reset()
			w.store.after = func(call int) error {
				if call == 2 {
					return errStore
				}
				return nil
			}
			code := d.miss()
			if i == 0 {
				code = d.right() // not even the right one
			}
			require.ErrorIs(t, d.verify(code), errStore)
		}
		w.store.reset()
		require.ErrorIs(t, d.verify(d.miss()), otp.ErrRateLimited)
	})
}

// S-25: a swap that somebody else came before is made again with what is there now, and given up after
// a bounded number of times.
func TestLostSwaps(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		w.store.reset()
		w.store.lose = func(call int) bool { return call < 20 }
		require.NoError(t, d.verify(d.right()))

		code := d.right()
		w.store.reset()
		w.store.lose = func(int) bool { return true }
		err := d.verify(code)
		require.Error(t, err)
		require.False(t, rejected(err))
		require.LessOrEqual(t, w.store.calls(), 128)
		w.store.reset()
		require.NoError(t, d.verify(code))
	})
}

// With a context that is done nothing is changed.
func TestCanceled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		code, before := d.right(), w.store.held()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := d.verifier.Verify(ctx, otp.Answer{Subject: "ada", Usage: "login", Code: code})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, w.store.held())
		require.NoError(t, d.verify(code))
	})
}
