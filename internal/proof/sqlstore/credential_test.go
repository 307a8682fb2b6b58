package sqlstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
	"otp.example/otp/sqlstore"
	"otp.example/otp/totp"
)

var seed = []byte("a seed of 20 bytes..")

// newPhone imports an authenticator app for alice.
func newPhone(t testing.TB, s otp.Store) (*totp.Verifier, *otptest.Clock) {
	t.Helper()
	svc, _, clock := otptest.NewService(t, func(c *otp.Config) { c.Store = s })
	v, err := totp.NewVerifier(svc, totp.Config{})
	require.NoError(t, err)
	_, err = v.Import(t.Context(), "alice", "phone", seed, totp.Options{})
	require.NoError(t, err)
	return v, clock
}

// S-29 S-55: a wrong code of an authenticator is two statements, a right one three.
func TestAuthenticatorStatements(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		r, db := record(t, k.driver, k.dsn(t))
		db.SetMaxOpenConns(1) // what is prepared for one connection is so for all
		s := openStore(t, db, sqlstore.Options{})
		v, clock := newPhone(t, s)
		verify := func(code string) ([]string, error) {
			_, err := v.Verify(t.Context(), otp.Answer{Subject: "alice", Code: code, Usage: "login"})
			var said []string
			for _, text := range r.take() {
				if !strings.HasPrefix(text, "PREPARE ") {
					said = append(said, strings.Fields(text)[0])
				}
			}
			return said, err
		}
		code := func() string {
			c, err := totp.Code(seed, clock.Now(), totp.Options{})
			require.NoError(t, err)
			return c
		}
		r.take()
		wrong := fmt.Sprintf("%06d", (number(t, code())+1)%1_000_000)
		for range 2 { // nothing is kept from one to the next
			said, err := verify(wrong)
			require.ErrorIs(t, err, otp.ErrMismatch)
			assert.Equal(t, []string{"SELECT", "UPDATE"}, said)
		}
		right := code()
		said, err := verify(right)
		require.NoError(t, err)
		assert.Equal(t, []string{"SELECT", "UPDATE", "UPDATE"}, said)

		said, err = verify(right)
		require.ErrorIs(t, err, otp.ErrAlreadyVerified)
		assert.Equal(t, []string{"SELECT", "UPDATE", "UPDATE"}, said)

		said, err = verify("12345")
		require.ErrorIs(t, err, otp.ErrMismatch)
		assert.Empty(t, said)
	})
}

func number(t testing.TB, code string) int {
	t.Helper()
	var n int
	_, err := fmt.Sscanf(code, "%d", &n)
	require.NoError(t, err)
	return n
}

// BenchmarkAuthenticator times a wrong and a right code in turns with one guarded update of
// a value of the same length: what a verification cannot do without.
func BenchmarkAuthenticator(b *testing.B) {
	for _, k := range serverKinds {
		b.Run(k.name, func(b *testing.B) {
			s := openStore(b, openDB(b, k.driver, k.dsn(b)), sqlstore.Options{})
			v, clock := newPhone(b, s)
			value := [2][]byte{make([]byte, 400), make([]byte, 400)}
			value[1][0] = 1
			_, err := s.SwapCredentials(b.Context(), "floor", nil, value[0], time.Time{})
			require.NoError(b, err)
			var spent [3]time.Duration
			timed := func(i int, f func() error) error {
				start := time.Now()
				err := f()
				spent[i] += time.Since(start)
				return err
			}
			verify := func(code string) error {
				_, err := v.Verify(b.Context(), otp.Answer{Subject: "alice", Code: code, Usage: "login"})
				return err
			}
			for b.Loop() {
				clock.Advance(24 * time.Hour) // so that wrong codes are not refused
				code, err := totp.Code(seed, clock.Now(), totp.Options{})
				require.NoError(b, err)
				wrong := fmt.Sprintf("%06d", (number(b, code)+1)%1_000_000)
				require.ErrorIs(b, timed(0, func() error { return verify(wrong) }), otp.ErrRejected)
				require.NoError(b, timed(1, func() error { return verify(code) }))
				require.NoError(b, timed(2, func() error {
					_, err := s.SwapCredentials(b.Context(), "floor", value[0], value[1], time.Time{})
					return err
				}))
				value[0], value[1] = value[1], value[0]
			}
			b.ReportMetric(0, "ns/op") // of the three together: says nothing
			b.ReportMetric(float64(spent[0])/float64(spent[2]), "wrong-x-update")
			b.ReportMetric(float64(spent[1])/float64(spent[2]), "right-x-update")
		})
	}
}
