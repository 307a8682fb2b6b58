package linear

import (
	"net"
	"sync"
	"sync/atomic"
)

// A proxy stands between the clients and their server and breaks connections when it is
// told to: before a request reaches the server, or after it has read the reply, when the
// server has done what it was asked and nobody learns of it.
type proxy struct {
	listener net.Listener
	server   string
	requests cuts
	replies  cuts
	wg       sync.WaitGroup
}

// cuts are the connections to be broken, in one direction.
type cuts struct {
	left atomic.Int64
	seen atomic.Int64
}

const (
	// greeting is how many packets of a connection are let through: they change nothing.
	greeting = 3

	// cutEvery spreads the cuts over packets.
	cutEvery = 10
)

// now reports whether this packet, the nth of its connection, shall be lost.
func (c *cuts) now(n int) bool {
	return n >= greeting && c.left.Load() > 0 && c.seen.Add(1)%cutEvery == 0 && c.left.Add(-1) >= 0
}

func startProxy(server string) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, server: server}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			p.wg.Go(func() { p.serve(c) })
		}
	})
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		client.Close() // as a server that is away would
		return
	}
	p.wg.Go(func() { pipe(server, client, &p.requests) })
	pipe(client, server, &p.replies)
}

// pipe forwards until either side ends or the connection is cut. Then it ends both.
func pipe(to, from net.Conn, c *cuts) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for i := 0; ; i++ {
		n, err := from.Read(buf)
		if err != nil || c.now(i) {
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// close waits for the connections, which end with the clients.
func (p *proxy) close() {
	p.listener.Close() // it has nothing to lose
	p.wg.Wait()
}
