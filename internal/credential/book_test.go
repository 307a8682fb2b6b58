package credential_test

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/internal/credential"
	"otp.example/otp/totp"
)

// S-17 S-58 S-59: a value that was edited anywhere, moved to another person, factor or tenant, or cut off
// is a fault, lets nobody in, and is left as it is.
func TestForgedValues(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		own := w.store.held()
		var foreign [][]byte
		for _, other := range factors {
			if other != f {
				w.enroll(other, "ada")
			}
		}
		w.enroll(f, "bob")
		w.enrollAt(w.svc.Tenant("other"), f, "ada")
		var value []byte
		for key, v := range w.store.held() {
			if own[key] != nil {
				value = v
			} else {
				foreign = append(foreign, v)
			}
		}
		require.Len(t, foreign, 4)
		held := w.store.held()
		code := d.right()
		try := func(forged []byte) {
			t.Helper()
			w.store.reset()
			w.store.change = func(string, []byte) []byte { return forged }
			err := d.verify(code)
			require.Error(t, err)
			require.False(t, rejected(err), "a fault, since nobody can say")
			_, err = w.svc.Reseal(t.Context())
			require.Error(t, w.say(err))
		}
		for _, v := range foreign {
			try(v)
		}
		for i := range value {
			forged := bytes.Clone(value)
			forged[i] ^= 1 << (i % 8)
			try(forged)
		}
		for _, n := range []int{1, 2, 10, 30, len(value) - 1} {
			try(value[:n])
		}
		try(append(bytes.Clone(value), 0))
		require.Equal(t, held, w.store.held())
		w.store.reset()
		require.NoError(t, d.verify(code))
	})
}

// S-13 S-59: what a store is given holds no secret and no subject in any common encoding.
func TestStoreLearnsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var dump strings.Builder
	for range 2 {
		for _, f := range factors {
			d := w.enroll(f, "subject-of-nobody")
			if f == otp.FactorRecovery {
				require.NoError(t, w.paper.RevokeAll(t.Context(), d.subject))
				continue
			}
			require.NoError(t, d.verify(d.right()))
		}
		for key, value := range w.store.held() {
			fmt.Fprintf(&dump, "%s %s\n", key, value)
		}
	}
	text := dump.String()
	require.NotEmpty(t, text)
	for _, s := range append(w.hide, "subject-of-nobody", "device") {
		if len(s) <= 8 {
			continue // codes may be there by chance, in random bytes
		}
		for _, form := range []string{
			s, hex.EncodeToString([]byte(s)), base64.StdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)),
			base32.StdEncoding.EncodeToString([]byte(s)),
		} {
			require.NotContains(t, text, form)
		}
	}
}

// S-59: no two values are the same, though nothing in them changed: nonces are fresh.
func TestSealedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.enroll(otp.FactorHOTP, "ada")
	seen := map[string]bool{}
	for range 1000 {
		require.NoError(t, w.hotp.Rename(t.Context(), "ada", d.id, "same"))
		for _, v := range w.store.held() {
			require.False(t, seen[string(v)])
			seen[string(v)] = true
		}
	}
}

// S-59: a value under an older key is put under the new one by whatever writes it; one under a key that
// was retired denies.
func TestRotationWhenUsed(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d, lost := w.enroll(f, "ada"), w.enroll(f, "bob")
		require.NoError(t, w.keys.Rotate(otp.Key{ID: "next", Secret: append(w.newSecret(), w.newSecret()...)}))
		require.NoError(t, d.verify(d.right()))
		require.NoError(t, w.keys.Retire("test"))
		require.NoError(t, d.verify(d.right()))
		code := lost.right()
		err := lost.verify(code)
		require.Error(t, err)
		require.False(t, rejected(err))
		_, err = w.svc.Reseal(t.Context())
		require.Error(t, w.say(err))
	})
}

// S-83 FM-41: what programs print of the types that pass secrets on says nothing, and the seed is in no
// answer after the first.
func TestNothingPrintsSecrets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	secret := w.newSecret()
	e, err := w.totp.Begin(t.Context(), totp.Enroll{Subject: "ada", Account: "ada", Secret: secret})
	require.NoError(t, err)
	codes, err := w.paper.Generate(t.Context(), "ada", otp.Proof{})
	require.NoError(t, err)
	list, err := w.totp.List(t.Context(), "ada")
	require.NoError(t, err)
	key := strings.ReplaceAll(e.Key.Reveal(), " ", "")
	require.Contains(t, e.URI.Reveal(), key)
	var said strings.Builder
	for _, v := range []any{
		e, &e, codes, list, w.totp, w.hotp, w.paper, *w.totp, *w.hotp, *w.paper,
		totp.Enroll{Subject: "ada", Secret: secret},
		hotp.Enroll{Subject: "ada", Secret: secret},
		otp.Answer{Code: "918273"},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&said, verb+"\n", v)
		}
		b, err := json.Marshal(v)
		fmt.Fprintln(&said, string(b), err)
	}
	for _, s := range []string{
		string(secret), hex.EncodeToString(secret), strings.Trim(fmt.Sprintf("%d", secret), "[]"), fmt.Sprintf("%#v", secret), base64.StdEncoding.EncodeToString(secret),
		key, e.Key.Reveal(), e.URI.Reveal(), codes[0].Reveal(), "918273",
	} {
		require.NotContains(t, said.String(), s)
	}
	require.Contains(t, said.String(), "[redacted]")
}

// S-66: how many guesses there are in a row follows from digits and window, and from nothing else.
func TestMass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ digits, window, guesses int }{
		{6, 1, 100},
		{6, 2, 50},
		{6, 3, 33},
		{6, 4, 25},
		{6, 10, 10},
		{7, 1, 100},
		{7, 2, 100},
		{7, 10, 100}, // 1000 at 2 of 1e7, and NIST stops at 100
		{8, 1, 100},
		{8, 3, 100},
		{8, 10, 100},
	} {
		mass := credential.Mass(tt.digits, tt.window)
		require.EqualValues(t, tt.guesses, 100_000/mass, "%+v", tt)
		require.GreaterOrEqual(t, float64(mass), 1e9*float64(tt.window)/pow10(tt.digits), "no less than the chance")
	}
}

func pow10(n int) float64 {
	v := 1.0
	for range n {
		v *= 10
	}
	return v
}

// The last counter is not accepted, since nothing is after it; none before the next one is.
func TestBurn(t *testing.T) {
	t.Parallel()
	const last = 1<<64 - 1
	for _, tt := range []struct {
		next, counter, then uint64
		want                bool
	}{
		{0, 0, 1, true},
		{1, 0, 1, false},
		{5, 4, 5, false},
		{5, 5, 6, true},
		{5, 9, 10, true},
		{0, last - 1, last, true},
		{0, last, 0, false},
		{last, last, last, false},
		{last, last - 1, last, false},
	} {
		c := credential.Credential{Next: tt.next}
		require.Equal(t, tt.want, c.Burn(tt.counter), "%+v", tt)
		require.Equal(t, tt.then, c.Next, "%+v", tt)
	}
}

// S-62 S-84: each outcome is told once, as what it was.
func TestEvents(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, f otp.Factor) {
		w := newWorld(t)
		d := w.enroll(f, "ada")
		require.Equal(t, []otp.EventType{otp.EventEnrolled}, w.told())
		code := d.right()
		want := otp.EventReplayed
		if f != otp.FactorTOTP {
			want = otp.EventRejected // what was used before is not looked for
		}
		for _, tt := range []struct {
			what string
			do   func() error
			want otp.EventType
			why  string
		}{
			{"right", func() error { return d.verify(code) }, otp.EventVerified, ""},
			{"used", func() error { return d.verify(code) }, want, map[bool]string{true: "already_verified", false: "mismatch"}[f == otp.FactorTOTP]},
			{"wrong", func() error { return d.verify(d.miss()) }, otp.EventRejected, "mismatch"},
			{"malformed", func() error { return d.verify("x") }, otp.EventRejected, "mismatch"},
			{"no such ID", func() error { _, err := d.answer(otp.Answer{ID: "X", Code: d.miss()}); return err }, otp.EventRejected, "not_found"},
			{"binding", func() error { _, err := d.answer(otp.Answer{Binding: "x", Code: d.miss()}); return err }, otp.EventRefused, "invalid_request"},
			{"limited", func() error {
				for range 2 * budgets[f].day { // at most
					if w.count(otp.EventThreshold) > 0 {
						break
					}
					w.told()
					require.ErrorIs(t, d.verify(d.miss()), otp.ErrMismatch)
				}
				w.told()
				return d.verify(d.miss())
			}, otp.EventLimited, "limited_by_guesses"},
		} {
			w.told()
			_ = tt.do()
			require.Len(t, w.events, 1, tt.what)
			e := w.events[0]
			require.Equal(t, tt.want, e.Type, tt.what)
			require.Equal(t, tt.why, e.Reason, tt.what)
			require.Equal(t, f, e.Factor)
			require.Equal(t, w.svc.SubjectPseudonym("ada"), e.Subject)
			require.Equal(t, w.clock.Now(), e.Time)
			if tt.what == "right" && f != otp.FactorRecovery {
				require.Equal(t, d.id, e.Credential)
			}
			if tt.want == otp.EventVerified {
				require.Equal(t, otp.Usage("login"), e.Usage)
			}
		}
		w.told()
		w.clock.Advance(31 * 24 * time.Hour)
		if f == otp.FactorRecovery {
			require.NoError(t, w.paper.RevokeAll(t.Context(), "ada"))
		} else {
			require.ErrorIs(t, w.manager(f).Revoke(t.Context(), "ada", d.id, otp.Proof{}), otp.ErrProofRequired)
			require.Equal(t, []otp.EventType{otp.EventRefused}, w.told())
			require.NoError(t, w.manager(f).Revoke(t.Context(), "ada", d.id, w.proof("ada")))
		}
		require.Equal(t, []otp.EventType{otp.EventRevoked}, w.told())
	})
}

// S-56: what is typed becomes ASCII digits or nothing, and it becomes the same whatever separates them.
func FuzzTyped(f *testing.F) {
	for _, s := range []string{"123456", "123 456", "12-34-56-78", " 1234567 ", "+123456", "１２３４５６", "12345", "123456789", "", "12345\u0660", "1 2 3 4 5 6 7 8", "----------------", "0000000000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		code, ok := credential.Typed(typed)
		if !ok {
			return
		}
		want := strings.NewReplacer(" ", "", "-", "").Replace(typed)
		if code != want || len(code) < 6 || len(code) > 8 || strings.Trim(code, "0123456789") != "" {
			t.Fatalf("%q became %q", typed, code)
		}
		if again, ok := credential.Typed(code); !ok || again != code {
			t.Fatalf("%q became %q, and that %q", typed, code, again)
		}
	})
}

// S-17: whatever a store returns, nothing panics, and only what was written is believed.
func FuzzSealed(f *testing.F) {
	w := newWorld(f)
	w.enroll(otp.FactorTOTP, "ada")
	var value []byte
	for _, value = range w.store.held() {
		f.Add(value)
		f.Add(value[:len(value)/2])
	}
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	f.Add([]byte("\x04test"))
	f.Fuzz(func(t *testing.T, b []byte) {
		w.store.reset()
		w.store.change = func(string, []byte) []byte { return b }
		list, err := w.totp.List(t.Context(), "ada")
		switch {
		case len(b) == 0 && (err != nil || len(list) != 0):
			t.Fatalf("nothing is %v, %v", list, err)
		case len(b) > 0 && bytes.Equal(b, value) && err != nil:
			t.Fatal(err)
		case len(b) > 0 && !bytes.Equal(b, value) && err == nil:
			t.Fatalf("%x was believed", b)
		}
		if _, err := w.svc.Reseal(t.Context()); err != nil && len(b) == 0 {
			t.Fatal(err)
		}
		if !bytes.Equal(b, value) {
			if _, err := w.totp.Verify(t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: "123456"}); err == nil {
				t.Fatal("verified")
			}
		}
	})
}
