package linear

import (
	"bufio"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// A reply is dropped when the server has done what it was asked, a request before.
func TestProxy(t *testing.T) {
	for _, test := range []struct {
		name string
		cut  func(*proxy) *cuts
		seen int // by the server, of the requests that were made
	}{
		{"nothing", func(*proxy) *cuts { return &cuts{} }, greeting + cutEvery},
		{"reply", func(p *proxy) *cuts { return &p.replies }, greeting + cutEvery},
		{"request", func(p *proxy) *cuts { return &p.requests }, greeting + cutEvery - 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			served := make(chan int)
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer c.Close()
				n := 0
				for lines := bufio.NewReader(c); ; n++ {
					line, err := lines.ReadString('\n')
					if err != nil {
						break
					}
					io.WriteString(c, line) //nolint:errcheck // the proxy may have gone
				}
				served <- n
			}()

			p, err := startProxy(l.Addr().String())
			require.NoError(t, err)
			test.cut(p).left.Store(1)
			c, err := net.Dial("tcp", p.addr())
			require.NoError(t, err)
			lines, answered := bufio.NewReader(c), 0
			for range greeting + cutEvery {
				if _, err := io.WriteString(c, "hello\n"); err != nil {
					break
				}
				if _, err := lines.ReadString('\n'); err != nil {
					break
				}
				answered++
			}
			c.Close()
			require.Equal(t, test.seen, <-served)
			if test.name == "nothing" {
				require.Equal(t, greeting+cutEvery, answered)
			} else {
				require.Equal(t, greeting+cutEvery-1, answered)
			}
			p.close()
		})
	}
}
