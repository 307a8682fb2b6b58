package redisstore_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// A lossy network loses replies: the server has done what it was asked, and nobody learns
// of it. Then the connection breaks.
type lossy struct {
	every atomic.Int64 // loses one reply of so many; zero means none
	once  atomic.Bool  // and then no other
	seen  atomic.Int64
	lost  atomic.Int64

	meanwhile func() // what happens until the client asks again; nil means nothing
}

type lossyConn struct {
	net.Conn
	network *lossy
	reads   int
	broken  bool
}

// greeting is how many replies are left alone at the start of a connection.
const greeting = 4

func (c *lossyConn) Read(b []byte) (int, error) {
	if c.broken {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b)
	l := c.network
	c.reads++
	if every := l.every.Load(); err == nil && every > 0 && c.reads > greeting && l.seen.Add(1)%every == 0 {
		l.lost.Add(1)
		c.broken = true
		if l.once.Load() {
			l.every.Store(0)
		}
		if l.meanwhile != nil {
			l.meanwhile()
		}
		return 0, io.EOF
	}
	return n, err
}

// connect returns a client that asks again, up to so many times.
func (l *lossy) connect(t testing.TB, url string, retries int) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	require.NoError(t, err)
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = retries, time.Microsecond, time.Millisecond
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return &lossyConn{Conn: c, network: l}, err
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

// S-22 S-26: what a client asks for again, because it got no answer, is done once, and the
// answer is the first one.
func TestRetriesChangeNothing(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		l := &lossy{}
		client := l.connect(t, servers.Redis(t, k), 20)
		require.NoError(t, client.Ping(t.Context()).Err())
		l.every.Store(3)
		sameAsMemory(t, client, 3_000, false)
		require.Greater(t, l.lost.Load(), int64(500))
	})
}

// The same from many goroutines.
func TestConformanceWithRetries(t *testing.T) {
	l := &lossy{}
	conformance(t, func(t testing.TB) redis.UniversalClient {
		l.every.Store(0)
		client := l.connect(t, servers.Redis(t, servers.RedisServer), 20)
		require.NoError(t, client.Ping(t.Context()).Err())
		l.every.Store(7)
		return client
	})
	require.Greater(t, l.lost.Load(), int64(500))
}

// S-26: whatever others have done meanwhile, a repetition changes nothing. What was charged
// and given back since is not all that there was.
func TestRepeatedAfterOthers(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		url := servers.Redis(t, k)
		now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
		streak := []otp.Limit{{N: 10}}
		tests := []struct {
			name      string
			repeated  func(context.Context, *redisstore.Store) (bool, error)
			meanwhile int64 // given back by others before they take 10
		}{
			{"Give", func(ctx context.Context, s *redisstore.Store) (bool, error) {
				return true, s.Give(ctx, "k", 4, streak, now)
			}, 4},
			{"LastGive", func(ctx context.Context, s *redisstore.Store) (bool, error) {
				return true, s.Give(ctx, "k", 8, streak, now)
			}, 0},
			{"Take", func(ctx context.Context, s *redisstore.Store) (bool, error) {
				d, err := s.Take(ctx, "k", 2, streak, now)
				return d.OK, err
			}, 10},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				l := &lossy{}
				prefix := redisstore.Options{Prefix: k.String() + test.name + ":"}
				s, others := open(t, l.connect(t, url, 20), prefix), open(t, connect(t, url), prefix)
				take := func(cost int64) bool {
					d, err := others.Take(t.Context(), "k", cost, streak, now)
					require.NoError(t, err)
					return d.OK
				}
				require.NoError(t, others.Give(t.Context(), "k", 1, streak, now)) // the script is there now
				require.True(t, take(8))
				for range greeting {
					_, err := s.LoadCredentials(t.Context(), "none")
					require.NoError(t, err)
				}
				l.meanwhile = func() {
					if test.meanwhile > 0 {
						require.NoError(t, others.Give(t.Context(), "k", test.meanwhile, streak, now))
					}
					require.True(t, take(10))
				}
				l.once.Store(true)
				l.every.Store(1)
				done, err := test.repeated(t.Context(), s)
				require.NoError(t, err)
				require.True(t, done)
				require.EqualValues(t, 1, l.lost.Load())
				require.False(t, take(1), "it was done twice")
				require.NoError(t, others.Give(t.Context(), "k", 10, streak, now))
				require.True(t, take(10), "it was charged twice")
			})
		}
	})
}

// S-26: an answer that never comes is a fault, and the attempt is spent.
func TestLostAnswerDenies(t *testing.T) {
	l := &lossy{}
	url := servers.Redis(t, servers.RedisServer)
	s := open(t, l.connect(t, url, -1), redisstore.Options{Prefix: "lost:"})
	direct := open(t, connect(t, url), redisstore.Options{Prefix: "lost:"})
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	r := record("lost", now)
	_, _, err := s.Put(t.Context(), r, now)
	require.NoError(t, err)
	_, err = s.Get(t.Context(), r.ID)
	require.NoError(t, err)
	_, _, err = s.Spend(t.Context(), r.ID, make([]byte, otp.DigestSize), now) // the script is there now
	require.NoError(t, err)

	l.every.Store(1)
	_, applied, err := s.Spend(t.Context(), r.ID, r.Digests, now)
	l.every.Store(0)
	require.Error(t, err)
	assert.False(t, applied)
	got, err := direct.Get(t.Context(), r.ID)
	require.NoError(t, err)
	assert.Equal(t, otp.StateVerified, got.State)
	_, applied, err = s.Spend(t.Context(), r.ID, r.Digests, now)
	require.NoError(t, err)
	assert.False(t, applied, "the code was accepted a second time")
}

// record returns a live record with one code.
func record(id string, now time.Time) otp.Record {
	digest := make([]byte, otp.DigestSize)
	copy(digest, id)
	return otp.Record{
		ID: id, Digests: digest, Sealed: make([]byte, 200), State: otp.StatePending,
		MaxAttempts: 5, Sends: 1, MaxSends: 3, CreatedAt: now, SentAt: now, ExpiresAt: now.Add(5 * time.Minute),
	}
}
