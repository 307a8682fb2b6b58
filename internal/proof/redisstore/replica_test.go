package redisstore_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// TestFailover kills a primary while it is in use and lets its replica take over. What was
// acknowledged and had not been sent yet is lost, unless the store waits for the replica.
func TestFailover(t *testing.T) {
	tests := []struct {
		name string
		o    redisstore.Options
		cut  bool // whether the replica gets nothing any more before the primary dies
	}{
		{"asynchronous", redisstore.Options{}, false}, // how many are lost is up to the machine
		{"asynchronous, cut off", redisstore.Options{}, true},
		{"waiting", redisstore.Options{WaitReplicas: 1}, false},
		{"waiting, cut off", redisstore.Options{WaitReplicas: 1}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.Prefix = "failover:"
			primary, replica, link := startPair(t, servers.RedisServer)
			s := open(t, connect(t, primary.DSN), test.o)
			var acknowledged sync.Map
			var calls, refused atomic.Int64
			var over atomic.Bool
			var wg sync.WaitGroup
			const writers = 16
			for i := range writers {
				wg.Go(func() {
					for n := 0; ; n++ {
						r := record(fmt.Sprintf("r%d-%d", i, n), now)
						_, applied, err := s.Put(t.Context(), r, now)
						if err != nil && over.Load() {
							refused.Add(1)
							return // the server has gone, or nobody confirms
						}
						if err != nil {
							continue // the replica was too slow, as on a busy machine
						}
						if applied {
							acknowledged.Store(r.ID, true)
						}
						calls.Add(1)
					}
				})
			}
			eventually(t, func() bool { return calls.Load() > 200 })
			if test.cut {
				over.Store(test.o.WaitReplicas > 0)
				link.cut.Store(true)
				// Each writer may have one yet to count that the replica has.
				reached := calls.Load() + writers
				eventually(t, func() bool { return calls.Load() > reached+200 || refused.Load() == writers })
			}
			over.Store(true)
			primary.Kill()
			wg.Wait()
			other := connect(t, replica.DSN)
			require.NoError(t, other.Do(t.Context(), "replicaof", "no", "one").Err())
			s = open(t, other, redisstore.Options{Prefix: test.o.Prefix})
			all, lost := 0, 0
			acknowledged.Range(func(id, _ any) bool {
				all++
				_, err := s.Get(t.Context(), id.(string))
				if err != nil {
					assert.ErrorIs(t, err, otp.ErrNotFound)
					lost++
				}
				return true
			})
			t.Logf("%d of %d acknowledged changes are lost", lost, all)
			switch {
			case test.o.WaitReplicas > 0:
				assert.Zero(t, lost)
			case test.cut:
				assert.GreaterOrEqual(t, lost, 200, "a loss is not seen")
			}
		})
	}
}

// S-26: what replicas do not confirm is a fault.
func TestReplicasDoNotConfirm(t *testing.T) {
	primary, replica, _ := startPair(t, servers.RedisServer)
	s := open(t, connect(t, primary.DSN), redisstore.Options{WaitReplicas: 1})
	var r otp.Record
	confirmed(t, func() error {
		r = record(rand.Text(), now)
		_, applied, err := s.Put(t.Context(), r, now)
		assert.Equal(t, err == nil, applied)
		return err
	})
	replica.Pause()
	_, applied, err := s.Spend(t.Context(), r.ID, r.Digests, now)
	require.ErrorContains(t, err, "0 of 1 replicas confirmed")
	assert.False(t, applied)
	replica.Resume()
	confirmed(t, func() error {
		_, applied, err := s.Spend(t.Context(), r.ID, r.Digests, now)
		assert.False(t, applied, "a code that was spent is accepted")
		return err
	})

	_, err = s.Get(t.Context(), "unknown")
	require.ErrorIs(t, err, otp.ErrNotFound)
	_, _, err = s.Cancel(t.Context(), "unknown", now)
	require.ErrorIs(t, err, otp.ErrNotFound)
}

// confirmed calls f until a replica has confirmed it, which on a busy machine may take longer
// than the second that it has.
func confirmed(t *testing.T, f func() error) {
	t.Helper()
	for range 100 {
		err := f()
		if err == nil {
			return
		}
		require.ErrorContains(t, err, "0 of 1 replicas confirmed")
	}
	t.Fatal("the replica never confirms")
}

// A client that asks again does so on another connection, on which nothing was changed. It
// must wait all the same.
func TestRepeatedCallWaitsForReplicas(t *testing.T) {
	everyServer(t, repeatedCalls)
}

func repeatedCalls(t *testing.T, k servers.RedisKind) {
	t.Helper()
	primary, _, between := startPair(t, k)
	network := &lossy{}
	network.once.Store(true)
	s := open(t, network.connect(t, primary.DSN, 5), redisstore.Options{WaitReplicas: 1})
	r := record("repeated", now)
	put := func() error { _, _, err := s.Put(t.Context(), r, now); return err }
	confirmed(t, put)
	calls := map[string]func() error{
		"Spend":   func() error { _, _, err := s.Spend(t.Context(), r.ID, nil, now); return err },
		"Reissue": func() error { _, _, err := s.Reissue(t.Context(), r.ID, r.Digests, 2, now); return err },
		"Take":    func() error { _, err := s.Take(t.Context(), r.ID, 1, meterLimit, now); return err },
		"Give":    func() error { return s.Give(t.Context(), r.ID, 1, meterLimit, now) },
		"Advance": func() error { _, err := s.Advance(t.Context(), r.ID, 1); return err },
		"Cancel":  func() error { _, _, err := s.Cancel(t.Context(), r.ID, now); return err },
	}
	names := []string{"Spend", "Reissue", "Take", "Give", "Advance", "Cancel"}
	for _, name := range names {
		confirmed(t, calls[name]) // the scripts are there from now on
	}
	r.ID = "another"
	confirmed(t, put)
	between.cut.Store(true)
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			lost := network.lost.Load()
			network.every.Store(1)
			require.ErrorContains(t, calls[name](), "0 of 1 replicas confirmed")
			require.Greater(t, network.lost.Load(), lost, "the reply was not lost")
		})
	}
}

// startPair starts a primary and a replica of it, and what is between them.
func startPair(t *testing.T, k servers.RedisKind) (primary, replica *servers.Server, l *link) {
	t.Helper()
	primary = servers.StartRedis(t, k, "--appendonly", "yes", "--repl-diskless-sync-delay", "0")
	l = startLink(t, primary.Addr())
	host, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	replica = servers.StartRedis(t, k, "--appendonly", "yes", "--replicaof", host+" "+port)
	client := connect(t, replica.DSN)
	eventually(t, func() bool {
		return strings.Contains(client.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	return primary, replica, l
}

// A link is a network to a server. While it is cut, what the server sends is lost.
type link struct {
	net.Listener
	cut atomic.Bool
}

func startLink(t *testing.T, server string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{Listener: listener}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				client.Close()
				continue
			}
			go l.pipe(up, client, false)
			go l.pipe(client, up, true)
		}
	}()
	return l
}

func (l *link) pipe(to, from net.Conn, cuts bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		if cuts && l.cut.Load() {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
