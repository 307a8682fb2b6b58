package redisstore_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"sync"
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

// tell tells events to an Audit and has them written.
func tell(t *testing.T, client redis.UniversalClient, o redisstore.AuditOptions, events ...otp.Event) {
	t.Helper()
	a := redisstore.NewAudit(client, o)
	for _, e := range events {
		a.OnEvent(t.Context(), e)
	}
	finish(t, a)
}

// finish has written what waits.
func finish(t *testing.T, a *redisstore.Audit) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, a.Run(ended), context.Canceled)
}

// S-84: an event is an entry, with what it tells, once, also if the client asks twice.
func TestAudit(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		network := &lossy{}
		network.once.Store(true)
		client := network.connect(t, servers.Redis(t, k), 5)
		e := otp.Event{
			Type: otp.EventRejected, Time: now, Tenant: "t", Challenge: "c", Subject: "s", Factor: otp.FactorTOTP, Credential: "phone",
			MaskedTo: "+1•••3", Channel: otp.SMS, Usage: "login", Receipt: otp.Receipt{Provider: "p", MessageID: "m"}, Reason: "mismatch",
			Err: errors.New("broken"), Took: time.Millisecond,
		}
		stream := onTime(t, func(o redisstore.AuditOptions) {
			tell(t, client, o, e)
			for range greeting {
				require.NoError(t, client.Ping(t.Context()).Err())
			}
			network.every.Store(1)
			tell(t, client, o, otp.Event{Type: otp.EventVerified, Time: now})
			network.every.Store(0)
		})
		require.Positive(t, network.lost.Load())

		entries, err := client.XRange(t.Context(), stream, "-", "+").Result()
		require.NoError(t, err)
		require.Len(t, entries, 2)
		for i := range entries {
			assert.Len(t, entries[i].Values["op"], 8)
			delete(entries[i].Values, "op")
		}
		at := now.Format(time.RFC3339Nano)
		assert.Equal(t, map[string]any{
			"event": "rejected", "at": at, "tenant": "t", "challenge": "c", "subject": "s", "factor": "totp", "credential": "phone",
			"to": "+1•••3", "channel": "sms", "usage": "login", "provider": "p", "message_id": "m", "reason": "mismatch",
			"error": "broken", "took": "1ms",
		}, entries[0].Values)
		assert.Equal(t, map[string]any{"event": "verified", "at": at}, entries[1].Values)
	})
}

// The request that tells an event waits for nothing: how long it takes would tell how many
// there are, and so whom it conceals. What there is no room for is told, and so is what comes
// too late.
func TestAuditKeeps(t *testing.T) {
	const room = 1024
	client := connect(t, servers.Redis(t, servers.RedisServer))
	var sent trips
	client.AddHook(&sent)
	var mu sync.Mutex
	var told []error
	a := redisstore.NewAudit(client, redisstore.AuditOptions{
		Stream: rand.Text(),
		OnError: func(_ context.Context, _ otp.Event, err error) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, err)
		},
	})
	e := otp.Event{Type: otp.EventSent}
	for range room {
		a.OnEvent(t.Context(), e)
	}
	require.Empty(t, told)
	a.OnEvent(t.Context(), e)
	require.Len(t, told, 1)
	require.ErrorContains(t, told[0], "too many events wait")
	require.Zero(t, sent.Load())
	finish(t, a)
	require.GreaterOrEqual(t, sent.Load(), int64(room))
	a.OnEvent(t.Context(), e)
	require.ErrorContains(t, told[len(told)-1], "has stopped")
}

// onTime calls write with a stream of its own until each of its events was written within
// the second that it has, which a busy machine may take. It returns the stream.
func onTime(t *testing.T, write func(redisstore.AuditOptions)) string {
	t.Helper()
	for range 100 {
		var late atomic.Bool
		o := redisstore.AuditOptions{Stream: rand.Text(), OnError: func(_ context.Context, _ otp.Event, err error) {
			late.Store(true)
			var timeout interface{ Timeout() bool }
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Error(err)
			}
		}}
		if write(o); !late.Load() {
			return o.Stream
		}
	}
	t.Fatal("no event is written in time")
	return ""
}

// S-87: the stream is bounded by length and by age, up to what Redis trims at once.
func TestAuditIsBounded(t *testing.T) {
	client := connect(t, servers.Redis(t, servers.RedisServer))
	const atOnce = 100 // entries of one node of a stream
	long := onTime(t, func(o redisstore.AuditOptions) {
		o.MaxLen = 10
		tell(t, client, o, slices.Repeat([]otp.Event{{Type: otp.EventSent, Time: now}}, 500)...)
	})
	assert.LessOrEqual(t, client.XLen(t.Context(), long).Val(), int64(10+atOnce))

	aged := onTime(t, func(o redisstore.AuditOptions) {
		hour := 3_600_000
		old := time.Now().UnixMilli() - int64(2*hour)
		for i := range 500 {
			require.NoError(t, client.Do(t.Context(), "XADD", o.Stream, strconv.FormatInt(old+int64(i), 10)+"-1", "event", "old").Err())
		}
		o.MaxAge = time.Hour
		tell(t, client, o, otp.Event{Type: otp.EventSent, Time: now})
	})
	assert.LessOrEqual(t, client.XLen(t.Context(), aged).Val(), int64(1+atOnce))
}

// A server that hangs keeps an event for a second, not until the client gives up.
func TestAuditDeadline(t *testing.T) {
	server := servers.StartRedis(t, servers.RedisServer)
	o, err := redis.ParseURL(server.DSN)
	require.NoError(t, err)
	o.ContextTimeoutEnabled, o.ReadTimeout = true, busy
	client := redis.NewClient(o)
	defer client.Close()
	var told error
	options := redisstore.AuditOptions{OnError: func(_ context.Context, _ otp.Event, err error) { told = err }}
	eventually(t, func() bool { // a busy machine may take the second
		told = nil
		tell(t, client, options, otp.Event{Type: otp.EventSent})
		return told == nil
	})
	server.Pause()
	defer server.Resume()
	begin := time.Now()
	tell(t, client, options, otp.Event{Type: otp.EventSent})
	require.ErrorIs(t, told, context.DeadlineExceeded)
	require.Less(t, time.Since(begin), busy/2)
}

// What is not written is told.
func TestAuditFails(t *testing.T) {
	var told error
	tell(t, connect(t, "redis://127.0.0.1:1"), redisstore.AuditOptions{
		OnError: func(_ context.Context, e otp.Event, err error) {
			assert.Equal(t, otp.EventSent, e.Type)
			told = err
		},
	}, otp.Event{Type: otp.EventSent})
	require.ErrorContains(t, told, "redisstore: audit: ")
}
