package otp_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

func (w *world) proof(tenant string, usage otp.Usage) otp.Proof {
	w.t.Helper()
	s := w.Tenant(tenant)
	ch, err := s.Request(w.t.Context(), otp.Request{
		Channel: otp.SMS, Usage: usage, Subject: "alice", To: number(), Binding: "b", Extra: []byte("extra"),
	})
	require.NoError(w.t, err)
	p, err := s.Verify(w.t.Context(), otp.Answer{ID: ch.ID, Code: w.box.code(w.t), Usage: usage, Binding: "b"})
	require.NoError(w.t, err)
	return p
}

func (w *world) token(p otp.Proof, ttl time.Duration) string {
	w.t.Helper()
	token, err := w.Tenant(p.Tenant()).Token(p, ttl)
	require.NoError(w.t, err)
	seen.add(token.Reveal())
	return token.Reveal()
}

// S-72 FM-24: however many tokens are made of one proof, one redemption is accepted.
func TestRedeemOnce(t *testing.T) {
	t.Parallel()
	var cfg otp.Config
	w := newWorld(t, func(c *otp.Config) { cfg = *c })
	p := w.proof("", "password_reset")
	first, second := w.token(p, time.Hour), w.token(p, time.Minute)
	require.NotEqual(t, first, second)

	// A second process has a Service of its own and shares the store and the keys.
	services := []*otp.Service{w.Service, w.new(cfg)}
	var accepted atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			got, err := services[i%2].Redeem(context.Background(), []string{first, second}[i/2%2], "password_reset")
			if err == nil && got.Valid() {
				accepted.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, accepted.Load())
	for _, s := range services {
		_, err := s.Redeem(t.Context(), first, "password_reset")
		require.ErrorIs(t, err, otp.ErrAlreadyVerified)
	}
	require.Len(t, w.events.of(otp.EventRedeemed), 1)

	// Pruning does not make room for another redemption while a token is valid.
	third := w.token(p, time.Hour)
	w.clock.advance(time.Hour - time.Microsecond)
	_, err := w.Prune(t.Context(), w.clock.Now())
	require.NoError(t, err)
	_, err = w.Redeem(t.Context(), third, "password_reset")
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)
}

func TestRedeemedProof(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.proof("a", "password_reset")
	token := w.token(p, time.Minute)
	w.clock.advance(time.Minute - time.Microsecond)
	got, err := w.Tenant("a").Redeem(t.Context(), token, "password_reset")
	require.NoError(t, err)
	require.Equal(t, p.Subject(), got.Subject())
	require.Equal(t, p.Recipient(), got.Recipient())
	require.Equal(t, p.Channel(), got.Channel())
	require.Equal(t, p.Usage(), got.Usage())
	require.Equal(t, p.Binding(), got.Binding())
	require.Equal(t, p.Extra(), got.Extra())
	require.Equal(t, p.Tenant(), got.Tenant())
	require.Equal(t, p.Factor(), got.Factor())
	require.Equal(t, p.Time(), got.Time())
	p.Extra()[0] = 'X'
	require.Equal(t, []byte("extra"), p.Extra(), "callers get copies")
}

// Two challenges of one idempotency key are two proofs.
func TestProofsOfOneNonce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := login(number())
	r.IdempotencyKey = "k"
	for range 2 {
		ch := w.request(r)
		p, err := w.answer(otp.Answer{ID: ch.ID, Code: w.box.code(t), Usage: "login"})
		require.NoError(t, err)
		_, err = w.Redeem(t.Context(), w.token(p, time.Minute), "login")
		require.NoError(t, err)
		w.clock.advance(10 * time.Minute)
	}
}

// S-71: usage × usage and tenant × tenant accept the diagonal only.
func TestTokenMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	type scope struct {
		tenant string
		usage  otp.Usage
	}
	scopes := []scope{{"", "login"}, {"", "payment"}, {"a", "login"}, {"a", "payment"}, {"b", "login"}}
	for _, made := range scopes {
		token := w.token(w.proof(made.tenant, made.usage), time.Minute)
		for _, used := range scopes {
			if made == used {
				continue
			}
			w.store.take()
			_, err := w.Tenant(used.tenant).Redeem(t.Context(), token, used.usage)
			require.ErrorIs(t, seen.err(err), otp.ErrNotFound)
			require.Empty(t, w.store.take())
		}
		_, err := w.Tenant(made.tenant).Redeem(t.Context(), token, made.usage)
		require.NoError(t, err)
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.proof("", "login")
	for _, ttl := range []time.Duration{0, -time.Second, time.Hour + time.Microsecond} {
		_, err := w.Token(p, ttl)
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
	}
	_, err := w.Token(otp.Proof{}, time.Minute)
	require.ErrorIs(t, err, otp.ErrInvalidRequest)
	_, err = w.Tenant("b").Token(p, time.Minute)
	require.ErrorIs(t, err, otp.ErrInvalidRequest)

	token := w.token(p, time.Minute)
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	for _, bad := range []string{"", ".", "k1.", "k2" + token[2:], token[:len(token)-2], string(flipped), token + "AAAA"} {
		_, err := w.Redeem(t.Context(), bad, "login")
		require.ErrorIs(t, err, otp.ErrNotFound)
	}
	// A handle is no token, nor the other way round. S-18
	ch := w.request(login(number()))
	_, err = w.Redeem(t.Context(), ch.ID, "login")
	require.ErrorIs(t, err, otp.ErrNotFound)
	_, err = w.Status(t.Context(), token)
	require.ErrorIs(t, err, otp.ErrNotFound)

	w.clock.advance(time.Minute)
	_, err = w.Redeem(t.Context(), token, "login")
	require.ErrorIs(t, err, otp.ErrExpired)
}

// The mark may have been set by a call whose answer was lost: that is a no. S-26
func TestRedeemFault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token := w.token(w.proof("", "login"), time.Minute)
	w.store.faults(nil, failing("Put"))
	_, err := w.Redeem(t.Context(), token, "login")
	requireFault(t, err)
	w.store.faults(nil, nil)
	_, err = w.Redeem(t.Context(), token, "login")
	require.ErrorIs(t, err, otp.ErrAlreadyVerified)
}

// The zero Proof is nobody's.
func TestZeroProof(t *testing.T) {
	t.Parallel()
	var p otp.Proof
	require.False(t, p.Valid())
	require.Empty(t, p.Subject()+p.Recipient()+string(p.Channel())+string(p.Usage())+p.Binding()+p.Tenant()+string(p.Factor()))
	require.Empty(t, p.Extra())
	require.True(t, p.Time().IsZero())
}
