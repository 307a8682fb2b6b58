package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
)

const (
	// patience is how long credentials are kept after the last change at least, even if
	// they might be forgotten: nobody tells the time, and clocks differ.
	patience = 24 * time.Hour

	// retryTime is how long an empty value is kept, for clients that ask again.
	retryTime = 2 * time.Minute

	// operations is the size of what stands before a value: see lua/swap.lua.
	operations = 16 * operation

	// scanned is how many keys the server looks at for one part of a list. Few of them
	// are of credentials.
	scanned = 1000
)

func (s *Store) credentialKey(key string) string { return s.prefix + "k:" + key }

// LoadCredentials returns the value of a key, empty if there is none.
func (s *Store) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	if err := errors.Join(done(ctx), checkKey(key)); err != nil {
		return nil, err
	}
	v, err := s.runOnce(ctx, &getScript, []string{s.credentialKey(key)}, nil)
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, fault("load credentials", err)
	case len(v) < operations:
		return nil, errors.New("redisstore: what is stored are no credentials")
	}
	return []byte(v[operations:]), nil
}

// SwapCredentials replaces old by value if old is what is held, and reports whether it
// did. They are kept until the time given, by the clock of this process, or for a day,
// whichever is longer.
func (s *Store) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	if err := errors.Join(done(ctx), checkKey(key)); err != nil {
		return false, err
	}
	if len(value) > otp.MaxCredentials {
		return false, fmt.Errorf("redisstore: credentials are longer than %d bytes", otp.MaxCredentials)
	}
	var kept []byte
	switch {
	case len(value) == 0:
		kept = strconv.AppendInt(nil, retryTime.Milliseconds(), 10)
	case !until.IsZero():
		left := max(time.Until(until), 0) // at most 292 years, which patience would be too much for
		kept = strconv.AppendInt(nil, left.Milliseconds()+patience.Milliseconds(), 10)
	}
	reply, err := s.run(ctx, &swapScript, []string{s.credentialKey(key)}, newOperation(), old, value, kept)
	if err != nil {
		return false, fault("swap credentials", err)
	}
	return reply == "\x01", nil
}

// ListCredentials walks over all keys of the server, which takes long where there are
// many, or of the primaries of a cluster, one after the other. While slots move between
// nodes, or a replica takes over, it may miss some. How many it returns does not depend
// on max.
func (s *Store) ListCredentials(ctx context.Context, cursor string, _ int) (keys []string, next string, err error) {
	if err := done(ctx); err != nil {
		return nil, "", err
	}
	nodes, err := s.nodes(ctx)
	if err != nil {
		return nil, "", fault("list credentials", err)
	}
	addr, from, ok := strings.Cut(cursor, " ")
	at := slices.IndexFunc(nodes, func(n node) bool { return n.addr == addr })
	if cursor == "" {
		from, ok, at = "0", true, 0
	}
	position, err := strconv.ParseUint(from, 10, 64)
	if err != nil || !ok || at < 0 {
		return nil, "", errors.New("redisstore: cursor malformed, or of a node that has gone")
	}
	prefix := s.credentialKey("")
	found, position, err := nodes[at].client.Scan(ctx, position, glob(prefix)+"*", scanned).Result()
	if err != nil {
		return nil, "", fault("list credentials", err)
	}
	sizes := make([]*redis.IntCmd, len(found))
	_, _ = nodes[at].client.Pipelined(ctx, func(p redis.Pipeliner) error { // each has its own error
		for i, k := range found {
			sizes[i] = p.StrLen(ctx, k)
		}
		return nil
	})
	for i, k := range found {
		// What was removed is kept for a while, without a value.
		if size, err := sizes[i].Result(); err != nil || size > operations {
			keys = append(keys, strings.TrimPrefix(k, prefix))
		}
	}
	if position == 0 {
		if at++; at == len(nodes) {
			return keys, "", nil
		}
	}
	return keys, nodes[at].addr + " " + strconv.FormatUint(position, 10), nil
}

// A node is a primary.
type node struct {
	addr   string
	client redis.UniversalClient
}

// nodes returns the primaries in an order that is the same each time.
func (s *Store) nodes(ctx context.Context) ([]node, error) {
	if s.cluster == nil {
		return []node{{"", s.client}}, nil
	}
	var mu sync.Mutex
	var nodes []node
	err := s.cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		nodes = append(nodes, node{c.Options().Addr, c})
		return nil
	})
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.addr, b.addr) })
	return nodes, err
}

// glob returns a pattern that only s matches.
func glob(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(`*?[]^-\`, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
