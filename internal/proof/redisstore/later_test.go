package redisstore_test

import (
	"context"
	"crypto/rand"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// A tape keeps the last command of a client, to send it again.
type tape struct {
	args  []any
	reply string
}

func (p *tape) DialHook(next redis.DialHook) redis.DialHook { return next }
func (p *tape) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (p *tape) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if c, ok := cmd.(*redis.StringCmd); ok {
			p.args, p.reply = c.Args(), c.Val()
		}
		return err
	}
}

// S-22 S-26: a command that is sent again changes nothing and gets its first answer, also
// after others have changed the same thing, or put another record in its place.
func TestAskedAgainLater(t *testing.T) {
	client := connect(t, servers.Redis(t, servers.RedisServer))
	last := &tape{}
	client.AddHook(last)
	prefix := rand.Text() + ":"
	s := open(t, client, redisstore.Options{Prefix: prefix})
	ctx, r := t.Context(), record("later", now)
	charges := []otp.Charge{{Scope: "a", Key: "later", Cost: 1, Limits: meterLimit, At: now}}

	var said []tape
	record := func(err error) {
		t.Helper()
		require.NoError(t, err)
		said = append(said, *last)
	}
	_, err := s.PutCharged(ctx, r, charges, now)
	record(err)
	_, err = s.ReissueCharged(ctx, r.ID, nil, 2, charges, now)
	record(err)
	_, err = s.Take(ctx, "later", 1, meterLimit, now)
	record(err)
	record(s.Give(ctx, "later", 1, meterLimit, now))
	_, err = s.Advance(ctx, "later", 5)
	record(err)
	_, err = s.SwapCredentials(ctx, "later", nil, []byte("new"), now)
	record(err)
	_, _, err = s.Spend(ctx, r.ID, r.Digests, now)
	record(err)

	again := func(i int) (string, error) { return client.Do(ctx, said[i].args...).Text() }
	state := func() (all []string) {
		for _, kind := range []string{"r:", "m:", "c:", "k:"} {
			all = append(all, client.Get(ctx, prefix+kind+"later").Val())
		}
		return all
	}
	for range 3 { // others
		_, err = s.Take(ctx, "later", 1, meterLimit, now)
		require.NoError(t, err)
		_, err = s.Advance(ctx, "later", 6)
		require.NoError(t, err)
	}
	before := state()
	for i := range said {
		reply, err := again(i)
		require.NoError(t, err)
		assert.Equal(t, said[i].reply, reply, "call %d", i)
		assert.Equal(t, before, state(), "call %d", i)
	}

	// In the place of the dead record.
	_, applied, err := s.Put(ctx, r, now)
	require.NoError(t, err)
	require.True(t, applied)
	before = state()
	reply, err := again(0)
	require.NoError(t, err)
	assert.Equal(t, said[0].reply, reply)
	_, err = again(len(said) - 1)
	require.ErrorContains(t, err, "is gone")
	assert.Equal(t, before, state())
}
