package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// checkClient refuses a client that makes calls outlast their context, or that the keys
// of one call would be scattered by. It returns the client if it is one of a cluster.
func checkClient(client redis.UniversalClient) (*redis.ClusterClient, error) {
	if client == nil {
		return nil, errors.New("redisstore: client is nil")
	}
	var honors bool
	var read, write time.Duration
	cluster, _ := client.(*redis.ClusterClient)
	switch c := client.(type) {
	case interface{ Options() *redis.Options }:
		o := c.Options()
		honors, read, write = o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout
	case interface{ Options() *redis.ClusterOptions }:
		o := c.Options()
		honors, read, write = o.ContextTimeoutEnabled, o.ReadTimeout, o.WriteTimeout
	default:
		return nil, fmt.Errorf("redisstore: the client is a %T, and it must be a *redis.Client or a *redis.ClusterClient", client)
	}
	if !honors {
		return nil, errors.New("redisstore: the client's option ContextTimeoutEnabled is false, so calls outlast the deadlines of their contexts: set it to true")
	}
	if read < 0 || write < 0 { // -1, which is only that go-redis adds no deadline of its own, is 0 by now
		return nil, errors.New("redisstore: the client's option ReadTimeout or WriteTimeout is -2, so calls have no deadline at all: leave it out")
	}
	return cluster, nil
}

// A setting is what must hold for a server to keep what it has acknowledged. A store that
// forgets accepts used codes again, and admits what limits refused.
type setting struct {
	name string
	info string // what INFO calls it, for services that forbid CONFIG
	keep func(value string) bool
	want string
}

var settings = []setting{
	{"appendonly", "aof_enabled", func(v string) bool { return v == "yes" || v == "1" }, "yes"},
	{"appendfsync", "", func(v string) bool { return v != "no" }, "always or everysec"},
	{"no-appendfsync-on-rewrite", "", func(v string) bool { return v != "yes" }, "no"},
	{"maxmemory-policy", "maxmemory_policy", func(v string) bool { return v == "noeviction" }, "noeviction"},
}

// checkServers asks each primary.
func (s *Store) checkServers(ctx context.Context, acceptLoss bool) error {
	if s.cluster == nil {
		return s.checkServer(ctx, s.client, acceptLoss)
	}
	return s.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		return s.checkServer(ctx, c, acceptLoss)
	})
}

func (s *Store) checkServer(ctx context.Context, c redis.UniversalClient, acceptLoss bool) error {
	text, err := c.Info(ctx).Result()
	if err != nil {
		return fmt.Errorf("redisstore: INFO: %w", err)
	}
	info := parseInfo(text)
	if v := info["redis_version"]; !atLeast(v, 6, 2) {
		return fmt.Errorf("redisstore: the server is Redis %s, and it must be 6.2 or later", v)
	}
	if info["role"] == "slave" {
		return errors.New("redisstore: the server is a replica: connect to the primary")
	}
	if info["cluster_enabled"] == "1" && s.cluster == nil {
		return errors.New("redisstore: the server is part of a cluster: use a *redis.ClusterClient")
	}
	if acceptLoss {
		return nil
	}
	for _, set := range settings {
		value, err := ask(ctx, c, set, info)
		if err != nil {
			return err
		}
		if !set.keep(value) {
			return fmt.Errorf("redisstore: the server's setting %s is %s, so it may forget used codes and limits: set it to %s, or accept that with Options.InsecureAcceptLoss", set.name, value, set.want)
		}
	}
	return nil
}

// ask returns a setting by CONFIG, or where a service forbids that, by INFO.
func ask(ctx context.Context, c redis.UniversalClient, set setting, info map[string]string) (string, error) {
	values, err := c.ConfigGet(ctx, set.name).Result()
	if err == nil {
		return strings.ToLower(values[set.name]), nil
	}
	if _, refused := errors.AsType[redis.Error](err); !refused {
		return "", fmt.Errorf("redisstore: CONFIG GET %s: %w", set.name, err)
	}
	return info[set.info], nil
}

func parseInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err == nil && err2 == nil && (a > major || a == major && b >= minor)
}
