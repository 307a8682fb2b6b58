package redisstore_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"otp.example/otp/internal/proof/linear"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// S-22 S-23 S-24 S-26: one node of a cluster is killed, hangs, or is cut off its clients,
// and what it and the others answered can still be explained.
func TestClusterLinear(t *testing.T) {
	c := servers.StartRedisCluster(t, servers.RedisServer, 3, 0)
	node := c.Nodes[0]
	// What stands before the bar is replaced by the address of a proxy.
	address := c.Addrs[0] + "|" + strings.TrimPrefix(c.Addrs[0], "127.0.0.1") + "|" + strings.Join(c.Addrs[1:], ",")
	linear.Run(t, linear.Target{
		Name: "Redis Cluster", Opener: "cluster", Address: address, Server: nodeOf{node, c, t.Context()}, ChargesApart: true,
	})
}

// A nodeOf has started when the cluster is whole again.
type nodeOf struct {
	*servers.Server
	cluster *servers.Cluster
	ctx     context.Context // of the test
}

func (n nodeOf) Start() error {
	return errors.Join(n.Server.Start(), n.cluster.WaitUntilWhole(n.ctx))
}

// openCluster opens stores whose clients reach one node by the first part of the address,
// although the cluster tells them another.
func openCluster(ctx context.Context, address string) (linear.Store, error) {
	parts := strings.Split(address, "|")
	proxy, port, rest := parts[0], parts[1], strings.Split(parts[2], ",")
	var dialer net.Dialer
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: append(rest, proxy), ContextTimeoutEnabled: true, MaxRedirects: -1, // none, and so it asks once
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasSuffix(addr, port) {
				addr = proxy
			}
			return dialer.DialContext(ctx, network, addr)
		},
	})
	s, err := redisstore.New(ctx, client, redisstore.Options{})
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &closing{s, client}, nil
}
