package provider

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// S-81: what an attacker who chooses a URL, or the addresses of a name, could aim at.
func TestGuardAllowsPublicAddressesOnly(t *testing.T) {
	for _, a := range []string{
		"8.8.8.8", "1.1.1.1", "99.255.255.255", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15",
		"2606:4700:4700::1111", "2a00:1450:4001::8a",
		"::ffff:8.8.8.8",         // IPv4-mapped
		"64:ff9b::808:808",       // NAT64 of 8.8.8.8
		"2001:200::1", "2003::1", // beside the special ones
	} {
		assert.True(t, Guard{}.allows(addr(a)), a)
	}
	for _, a := range []string{
		"0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255",
		"100.100.100.200", // metadata of Alibaba
		"127.0.0.1", "127.255.255.254", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255",
		"192.0.0.192", // metadata of Oracle
		"192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1",
		"224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
		"168.63.129.16", // metadata of Azure
		"::", "::1", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1",
		"::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:10.0.0.1", "::127.0.0.1", "::ffff:0:7f00:1",
		"64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::808:808",
		"2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:808:808::1", // 6to4
		"2001::1", "2001:0:7f00:1::", "2001:db8::1", "3fff::1", "100::1", "5f00::1", "4000::1",
	} {
		assert.False(t, Guard{}.allows(addr(a)), a)
	}
	private := Guard{Allowed: prefixes("10.1.0.0/16", "::1/128")}
	assert.True(t, private.allows(addr("10.1.2.3")))
	assert.True(t, private.allows(addr("::ffff:10.1.2.3")))
	assert.True(t, private.allows(addr("::1")))
	assert.False(t, private.allows(addr("10.2.0.1")))
	assert.False(t, private.allows(addr("64:ff9b::a01:203")), "by another way than the one that is allowed")
	assert.False(t, Guard{}.allows(netip.Addr{}))
}

func TestGuardCheck(t *testing.T) {
	for _, host := range []string{"example.com", "8.8.8.8", "2606:4700:4700::1111", "1.example", "0x.com", "beef", "a.0x1g"} {
		require.NoError(t, Guard{}.Check(host), host)
	}
	for _, host := range []string{
		"127.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254",
		"2130706433", "0x7f000001", "0x7f.0.0.1", "127.1", "0177.0.0.1", "127.0.0.1.", "1.2.3.4.5", "0x", "a.0X7F", "010.8.8.8",
	} {
		require.Error(t, Guard{}.Check(host), host)
	}
}

// listener accepts and counts connections on the loopback interface.
func listener(t *testing.T) (port string, connections func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	n := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n <- struct{}{}
			_ = c.Close()
		}
	}()
	return port, func() int { return len(n) }
}

// S-81: a name that answers with something else every time it is asked. The guard asks
// once, and what it has checked is what it connects to.
func TestGuardAgainstRebinding(t *testing.T) {
	port, connections := listener(t)
	answers := [][]netip.Addr{{addr("127.0.0.1")}, {addr("127.0.0.2")}}
	asked := 0
	g := Guard{
		Allowed: prefixes("127.0.0.1/32"),
		lookup: func(_ context.Context, _, host string) ([]netip.Addr, error) {
			assert.Equal(t, "rebind.example", host)
			asked++
			return answers[(asked-1)%2], nil
		},
	}
	conn, err := g.Dial(t.Context(), "tcp", "rebind.example:"+port)
	require.NoError(t, err)
	assert.Equal(t, "127.0.0.1:"+port, conn.RemoteAddr().String())
	_ = conn.Close()
	assert.Equal(t, 1, asked, "a second question could have a second answer")

	_, err = g.Dial(t.Context(), "tcp", "rebind.example:"+port)
	require.ErrorIs(t, err, errNotPublic)

	answers = [][]netip.Addr{{addr("127.0.0.1"), addr("169.254.169.254")}}
	asked = 0
	before := connections()
	_, err = g.Dial(t.Context(), "tcp", "rebind.example:"+port)
	require.ErrorIs(t, err, errNotPublic, "one bad address is enough")
	assert.Equal(t, before, connections())
}

func TestGuardTriesEachAddress(t *testing.T) {
	port, _ := listener(t)
	g := Guard{Allowed: prefixes("127.0.0.0/8", "::1/128"), lookup: func(context.Context, string, string) ([]netip.Addr, error) {
		return []netip.Addr{addr("127.0.0.3"), addr("::ffff:127.0.0.1")}, nil
	}}
	conn, err := g.Dial(t.Context(), "tcp", "two.example:"+port)
	require.NoError(t, err)
	_ = conn.Close()
}

func TestGuardFailures(t *testing.T) {
	down := errors.New("no such host")
	g := Guard{lookup: func(context.Context, string, string) ([]netip.Addr, error) { return nil, down }}
	_, err := g.Dial(t.Context(), "tcp", "x.example:443")
	require.ErrorIs(t, err, down)
	g.lookup = func(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
	_, err = g.Dial(t.Context(), "tcp", "x.example:443")
	require.ErrorContains(t, err, "no address")
	_, err = g.Dial(t.Context(), "tcp", "x.example")
	require.Error(t, err)
	// Without a lookup of its own it asks the system, which knows what a literal is.
	_, err = Guard{}.Dial(t.Context(), "tcp", "169.254.169.254:80")
	require.ErrorIs(t, err, errNotPublic)
}
