package otphttp

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddr returns the address to be limited as the client's: the nearest hop that is
// none of the trusted proxies. It starts at the connection's peer, r.RemoteAddr, and
// follows X-Forwarded-For from its right end for as long as the address it has is
// trusted. Whatever stands further left was written by the client and changes nothing.
//
//   - With no trusted list the headers are ignored and the peer is the client.
//   - Every trusted proxy must append to X-Forwarded-For, as is usual, or replace it. One
//     that passes it on untouched lets clients choose their address, and so does a
//     trusted list that clients' addresses are in.
//   - An element that is no address (empty, "unknown") ends the search at the proxy
//     before it. All clients of that proxy then share its limits.
//   - Ports, brackets and zones are dropped, and IPv4-mapped IPv6 becomes IPv4.
//   - Other headers that name clients, Forwarded (RFC 7239) and X-Real-IP among them, are
//     ignored: a proxy that appends to one header passes the others on as they came.
//
// The result is the zero Addr, and no limit by client applies, if r.RemoteAddr is no
// address, as it is on a Unix socket. Let the proxy connect by TCP instead.
func ClientAddr(r *http.Request, trusted []netip.Prefix) netip.Addr {
	addr, ok := parseHop(r.RemoteAddr)
	if !ok {
		return netip.Addr{}
	}
	for _, line := range slices.Backward(r.Header.Values("X-Forwarded-For")) {
		// From the right and without splitting, so that what a client has written, however
		// long, is not even read.
		for rest, more := line, true; more; {
			if !isTrusted(addr, trusted) {
				return addr
			}
			var hop string
			rest, hop, more = cutLast(rest)
			next, ok := parseHop(hop)
			if !ok {
				return addr
			}
			addr = next
		}
	}
	return addr
}

// cutLast splits the last element off a list.
func cutLast(list string) (rest, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", list, false
	}
	return list[:i], list[i+1:], true
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	for _, p := range trusted {
		// A prefix of mapped addresses means IPv4, as the addresses do; Contains never
		// matches one kind with the other.
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]" and
// "[2001:db8::1]:80".
func parseHop(s string) (netip.Addr, bool) {
	s = strings.Trim(s, " \t")
	addrPort, err := netip.ParseAddrPort(s)
	addr := addrPort.Addr()
	if err != nil {
		bare, bracketed := strings.CutPrefix(s, "[")
		if bracketed {
			if bare, bracketed = strings.CutSuffix(bare, "]"); !bracketed {
				return netip.Addr{}, false
			}
		}
		if addr, err = netip.ParseAddr(bare); err != nil || bracketed && addr.Is4() {
			return netip.Addr{}, false
		}
	}
	return addr.Unmap().WithZone(""), true
}
