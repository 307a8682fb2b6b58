package redisstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/otptest"
	"otp.example/otp/redisstore"
	"otp.example/otp/totp"
)

// trips counts what a client sends.
type trips struct{ atomic.Int64 }

func (t *trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (t *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.Add(1)
		return next(ctx, cmd)
	}
}

func (t *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		t.Add(1)
		return next(ctx, cmds)
	}
}

// S-29 S-55: a wrong code of an authenticator is two round trips, a right one three.
func TestAuthenticatorTrips(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		client := connect(t, servers.Redis(t, k))
		var sent trips
		client.AddHook(&sent)
		store := open(t, client, redisstore.Options{})
		svc, _, clock := otptest.NewService(t, func(c *otp.Config) { c.Store = store })
		v, err := totp.NewVerifier(svc, totp.Config{})
		require.NoError(t, err)
		seed := []byte("a seed of 20 bytes..")
		_, err = v.Import(t.Context(), "alice", "phone", seed, totp.Options{})
		require.NoError(t, err)

		code, err := totp.Code(seed, clock.Now(), totp.Options{})
		require.NoError(t, err)
		var n int
		_, err = fmt.Sscanf(code, "%d", &n)
		require.NoError(t, err)
		verify := func(code string) (int64, error) {
			sent.Store(0)
			_, err := v.Verify(t.Context(), otp.Answer{Subject: "alice", Code: code, Usage: "login"})
			return sent.Load(), err
		}
		_, err = verify(fmt.Sprintf("%06d", (n+1)%1_000_000)) // the scripts are loaded
		require.ErrorIs(t, err, otp.ErrMismatch)
		for _, step := range []struct {
			code string
			is   error
			sent int64
		}{
			{fmt.Sprintf("%06d", (n+2)%1_000_000), otp.ErrMismatch, 2},
			{code, nil, 3},
			{code, otp.ErrAlreadyVerified, 3},
			{"12345", otp.ErrMismatch, 0},
		} {
			sent, err := verify(step.code)
			require.ErrorIs(t, err, step.is)
			assert.Equal(t, step.sent, sent, "%v", step.is)
		}
	})
}

// Credentials may be kept for longer than a time.Duration can say.
func TestCredentialsForCenturies(t *testing.T) {
	s := open(t, connect(t, servers.Redis(t, servers.RedisServer)), redisstore.Options{})
	ok, err := s.SwapCredentials(t.Context(), "k", nil, []byte("v"), time.Now().AddDate(500, 0, 0))
	require.NoError(t, err)
	require.True(t, ok)
}
