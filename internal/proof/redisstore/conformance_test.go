package redisstore_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
	"otp.example/otp/storetest"
)

// reopening is a Store whose process ends and starts anew.
type reopening struct {
	*redisstore.Store
	t       testing.TB
	connect func(testing.TB) redis.UniversalClient
	client  redis.UniversalClient
	o       redisstore.Options
}

func (r *reopening) Reopen() (any, error) {
	if err := r.client.Close(); err != nil {
		return nil, err
	}
	client := r.connect(r.t)
	s, err := redisstore.New(r.t.Context(), client, r.o)
	return &reopening{Store: s, t: r.t, connect: r.connect, client: client, o: r.o}, err
}

// S-22 S-23 S-29 S-33: every clause.
func TestConformance(t *testing.T) {
	everyServer(t, func(t *testing.T, k servers.RedisKind) {
		conformance(t, func(t testing.TB) redis.UniversalClient { return connect(t, servers.Redis(t, k)) })
	})
}

func TestConformanceOnCluster(t *testing.T) {
	c := servers.StartRedisCluster(t, servers.RedisServer, 3, 0)
	conformance(t, func(t testing.TB) redis.UniversalClient { return connectCluster(t, c.Addrs...) })
}

func conformance(t *testing.T, connect func(testing.TB) redis.UniversalClient) {
	t.Helper()
	o := redisstore.Options{Prefix: "conformance:"}
	open := func(t testing.TB) *reopening {
		t.Helper()
		client := connect(t)
		return &reopening{Store: open(t, client, o), t: t, connect: connect, client: client, o: o}
	}
	t.Run("Store", func(t *testing.T) {
		storetest.Run(t, func(t testing.TB) otp.Store { return open(t) })
	})
	t.Run("Limiter", func(t *testing.T) {
		storetest.RunLimiter(t, func(t testing.TB) otp.Limiter { return open(t) })
	})
	t.Run("Counter", func(t *testing.T) {
		storetest.RunCounter(t, func(t testing.TB) otp.CounterStore { return open(t) })
	})
	t.Run("Credential", func(t *testing.T) {
		storetest.RunCredential(t, func(t testing.TB) otp.CredentialStore { return open(t) })
	})
	t.Run("Charging", func(t *testing.T) {
		storetest.RunCharging(t, func(t testing.TB) otp.ChargingStore { return open(t) })
	})
}
