package redisstore

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// A script is one atomic step on the server.
type script struct{ text, sha string }

// newScript makes a script of parts: what it shares with others, and what it does.
func newScript(parts ...string) script {
	var s script
	for _, p := range parts {
		s.text += p
	}
	sum := sha1.Sum([]byte(s.text)) // how Redis names a script
	s.sha = hex.EncodeToString(sum[:])
	return s
}

var (
	//go:embed lua/record.lua
	recordLua string
	//go:embed lua/meter.lua
	meterLua string
	//go:embed lua/charge.lua
	chargeLua string
	//go:embed lua/live.lua
	liveLua string
	//go:embed lua/put.lua
	putLua string
	//go:embed lua/spend.lua
	spendLua string
	//go:embed lua/reissue.lua
	reissueLua string
	//go:embed lua/cancel.lua
	cancelLua string
	//go:embed lua/take.lua
	takeLua string
	//go:embed lua/give.lua
	giveLua string
	//go:embed lua/advance.lua
	advanceLua string
	//go:embed lua/swap.lua
	swapLua string
	//go:embed lua/audit.lua
	auditLua string

	// Reading by a script keeps a client that sends reads to replicas from doing so.
	getScript     = newScript("return redis.call('GET', KEYS[1])")
	putScript     = newScript(recordLua, meterLua, chargeLua, putLua)
	spendScript   = newScript(recordLua, liveLua, spendLua)
	reissueScript = newScript(recordLua, meterLua, chargeLua, liveLua, reissueLua)
	cancelScript  = newScript(recordLua, liveLua, cancelLua)
	takeScript    = newScript(meterLua, chargeLua, takeLua)
	giveScript    = newScript(meterLua, giveLua)
	advanceScript = newScript(advanceLua)
	swapScript    = newScript(swapLua)
	auditScript   = newScript(auditLua)
)

// newOperation returns eight bytes that name a change. A client that got no answer sends
// its command again, and go-redis does so by itself: the server, which remembers the name
// in what was changed, then changes nothing and answers as it did before.
func newOperation() []byte {
	b := make([]byte, operation, 64)
	_, _ = rand.Read(b) // ends the program rather than fail
	return b
}

// operationAt is newOperation and the time: the first argument of most scripts.
func operationAt(now time.Time) []byte {
	return appendInt(newOperation(), now.UnixMicro())
}

func appendInt(b []byte, v int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(v)) }

// run runs a script that changes something. It returns redis.Nil if there was nothing to
// change.
func (s *Store) run(ctx context.Context, sc *script, keys []string, args ...[]byte) (string, error) {
	if s.replicas > 0 {
		return s.runReplicated(ctx, sc, keys, args)
	}
	return s.runOnce(ctx, sc, keys, args)
}

// runOnce runs a script without waiting for replicas.
func (s *Store) runOnce(ctx context.Context, sc *script, keys []string, args [][]byte) (string, error) {
	cmd := command(ctx, "evalsha", sc.sha, keys, args)
	err := s.client.Process(ctx, cmd)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		cmd = command(ctx, "eval", sc.text, keys, args)
		err = s.client.Process(ctx, cmd)
	}
	return cmd.Val(), err
}

func command(ctx context.Context, name, script string, keys []string, args [][]byte) *redis.StringCmd {
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, name, script, strconv.Itoa(len(keys)))
	for _, k := range keys {
		all = append(all, k)
	}
	for _, a := range args {
		all = append(all, a)
	}
	return redis.NewStringCmd(ctx, all...)
}

// replicaTimeout is how long replicas may take to confirm a change. It must be below
// the client's ReadTimeout, which is five seconds if nobody changed it.
const replicaTimeout = time.Second

// redirects is how often a command follows a key that moves.
const redirects = 8

// runReplicated runs a script and waits, on the same connection, until replicas have what
// it changed. A client of a cluster cannot be told to send both to one node, so this finds
// the node itself.
func (s *Store) runReplicated(ctx context.Context, sc *script, keys []string, args [][]byte) (string, error) {
	node, err := s.node(ctx, keys[0])
	if err != nil {
		return "", err
	}
	name, text, asking := "evalsha", sc.sha, false
	for try := 0; ; {
		cmd := command(ctx, name, text, keys, args)
		wait := redis.NewIntCmd(ctx, "wait", s.replicas, replicaTimeout.Milliseconds())
		_, err = node.Pipelined(ctx, func(p redis.Pipeliner) error {
			if asking {
				p.Do(ctx, "asking")
			}
			return errors.Join(p.Process(ctx, cmd), p.Process(ctx, wait))
		})
		switch {
		case redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT"):
			name, text = "eval", sc.text
			continue
		case cmd.Err() != nil && s.cluster != nil && try < redirects:
			next, ask, err := s.redirect(ctx, keys[0], cmd.Err(), try)
			if err != nil {
				return "", err
			}
			node, asking = next, ask
			try++
			continue
		case cmd.Err() != nil: // redis.Nil too
			return "", cmd.Err()
		case err != nil:
			return "", err
		case wait.Val() < int64(s.replicas):
			return "", fmt.Errorf("%d of %d replicas confirmed the change within %s", wait.Val(), s.replicas, replicaTimeout)
		}
		return cmd.Val(), nil
	}
}

// redirect returns the node that a command was sent on to by another one, and whether it
// must say that it was. What is no redirection it returns as the error.
func (s *Store) redirect(ctx context.Context, key string, err error, try int) (next redis.UniversalClient, ask bool, _ error) {
	addr, ask := redis.IsAskError(err)
	if ask {
		next, err := s.nodeAt(ctx, addr)
		return next, true, err
	}
	_, moved := redis.IsMovedError(err)
	if !moved && !redis.IsTryAgainError(err) && !redis.IsClusterDownError(err) {
		return nil, false, err
	}
	s.cluster.ReloadState(ctx)
	if err := pause(ctx, try); err != nil {
		return nil, false, err
	}
	next, err = s.node(ctx, key)
	return next, false, err
}

// node returns the client of the server that has a key.
func (s *Store) node(ctx context.Context, key string) (redis.UniversalClient, error) {
	if s.cluster == nil {
		return s.client, nil
	}
	return s.cluster.MasterForKey(ctx, key)
}

// nodeAt returns the client of the server at an address.
func (s *Store) nodeAt(ctx context.Context, addr string) (redis.UniversalClient, error) {
	nodes, err := s.nodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.addr == addr {
			return n.client, nil
		}
	}
	return nil, errors.New("a key moves to a node that is not known yet")
}

// pause waits before another try, longer each time.
func pause(ctx context.Context, try int) error {
	t := time.NewTimer(5 * time.Millisecond << try)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
