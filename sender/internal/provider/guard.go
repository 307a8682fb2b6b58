package provider

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// A Guard dials public addresses only. It looks a name up itself, checks what comes back
// and connects to exactly that, so that a name which resolves to something else a moment
// later (DNS rebinding) changes nothing.
type Guard struct {
	Allowed []netip.Prefix // reached although they are not public

	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
}

var errNotPublic = errors.New("the host has an address that is not public")

// Dial is for Config.Dial.
func (g Guard) Dial(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	lookup := g.lookup
	if lookup == nil {
		lookup = net.DefaultResolver.LookupNetIP
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	addrs, err := lookup(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	// One bad address is enough: a name that has both kinds was made to be tried often.
	if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return !g.allows(a) }) {
		return nil, errNotPublic
	}
	err = errors.New("the host has no address")
	for _, a := range addrs {
		var conn net.Conn
		d := net.Dialer{Timeout: dialTimeout}
		conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort(a.Unmap().String(), port))
		if err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// Check returns what is wrong with a host that is written as an IP address, and nil for
// names, of which nothing is known before they are looked up.
func (g Guard) Check(host string) error {
	a, err := netip.ParseAddr(host)
	switch {
	case err == nil && !g.allows(a):
		return errNotPublic
	case err != nil && isOddIP(host):
		return errors.New("the host is an IP address in an odd form")
	}
	return nil
}

func (g Guard) allows(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if slices.ContainsFunc(g.Allowed, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return true
	}
	if nat64.Contains(a) { // the address that the network translates it to counts
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.Is6() && !globalIPv6.Contains(a) {
		return false
	}
	return a.IsGlobalUnicast() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	globalIPv6 = netip.MustParsePrefix("2000::/3")
	special    = prefixes(
		// The IANA special-purpose registry, RFC 6890.
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
		"168.63.129.16/32", // Azure's metadata has an address that looks public
	)
)

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// isOddIP reports whether some software takes host for an IPv4 address that is not in
// dotted decimal, as in 2130706433, 0x7f000001, 127.1 and 0177.0.0.1. Its last label is a
// number then (WHATWG URL, "ends in a number").
func isOddIP(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	last := host[strings.LastIndexByte(host, '.')+1:]
	hex, found := strings.CutPrefix(last, "0x")
	return isDigits(last) || found && strings.Trim(hex, "0123456789abcdef") == ""
}
