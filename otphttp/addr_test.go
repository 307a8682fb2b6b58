package otphttp_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otphttp"
	"otp.example/otp/otptest"
)

func request(peer string, forwarded ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.RemoteAddr = peer
	r.Header["X-Forwarded-For"] = forwarded
	return r
}

func prefixes(s ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// S-45 and FM-14: the address is that of the nearest hop that is not trusted.
func TestClientAddr(t *testing.T) {
	proxies := prefixes("10.0.0.0/8", "fd00::/8")
	tests := []struct {
		name      string
		peer      string
		forwarded []string
		trusted   []netip.Prefix
		want      string
	}{
		{"no proxy", "192.0.2.1:1234", nil, nil, "192.0.2.1"},
		{"no trusted list", "10.0.0.1:1234", []string{"192.0.2.1"}, nil, "10.0.0.1"},
		{"peer is not trusted", "192.0.2.9:1234", []string{"192.0.2.1"}, proxies, "192.0.2.9"},
		{"no header", "10.0.0.1:1234", nil, proxies, "10.0.0.1"},
		{"one proxy", "10.0.0.1:1234", []string{"192.0.2.1"}, proxies, "192.0.2.1"},
		{"two proxies", "10.0.0.1:1234", []string{"192.0.2.1, 10.0.0.2"}, proxies, "192.0.2.1"},
		{"all are trusted", "10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, proxies, "10.0.0.3"},

		{"forged", "10.0.0.1:1234", []string{"8.8.8.8, 192.0.2.1"}, proxies, "192.0.2.1"},
		{"forged as a proxy", "10.0.0.1:1234", []string{"8.8.8.8, 10.0.0.2, 192.0.2.1"}, proxies, "192.0.2.1"},
		{"forged line", "10.0.0.1:1234", []string{"8.8.8.8", "192.0.2.1"}, proxies, "192.0.2.1"},
		{"lines are one list", "10.0.0.1:1234", []string{"8.8.8.8, 192.0.2.1", "10.0.0.3,10.0.0.2"}, proxies, "192.0.2.1"},
		{"three lines", "10.0.0.1:1234", []string{"192.0.2.1", "10.0.0.3", "10.0.0.2"}, proxies, "192.0.2.1"},

		{"spaces and tabs", "10.0.0.1:1234", []string{"8.8.8.8 ,\t192.0.2.1 "}, proxies, "192.0.2.1"},
		{"port", "10.0.0.1:1234", []string{"192.0.2.1:5678"}, proxies, "192.0.2.1"},
		{"IPv6", "[fd00::1]:1234", []string{"2001:db8::1"}, proxies, "2001:db8::1"},
		{"IPv6 in brackets", "[fd00::1]:1234", []string{"[2001:db8::1]"}, proxies, "2001:db8::1"},
		{"IPv6 with port", "[fd00::1]:1234", []string{"[2001:db8::1]:443"}, proxies, "2001:db8::1"},
		{"IPv6 spelled out", "[fd00::1]:1234", []string{"2001:DB8:0:0:0:0:0:1"}, proxies, "2001:db8::1"},
		{"zone", "[fe80::2%eth0]:1234", []string{"fe80::1%1"}, prefixes("fe80::2/128"), "fe80::1"},
		{"mapped peer", "[::ffff:10.0.0.1]:1234", []string{"192.0.2.1"}, proxies, "192.0.2.1"},
		{"mapped client", "10.0.0.1:1234", []string{"::ffff:192.0.2.1"}, proxies, "192.0.2.1"},
		{"mapped client in brackets", "10.0.0.1:1234", []string{"[::ffff:c000:201]:80"}, proxies, "192.0.2.1"},
		{"mapped proxy", "10.0.0.1:1234", []string{"192.0.2.1, ::ffff:10.0.0.2"}, proxies, "192.0.2.1"},
		{"mapped prefix", "10.0.0.1:1234", []string{"192.0.2.1"}, prefixes("::ffff:10.0.0.0/104"), "192.0.2.1"},
		{"IPv6 prefix of everything", "10.0.0.1:1234", []string{"192.0.2.1"}, prefixes("::/0"), "10.0.0.1"},
		{"zero prefix", "10.0.0.1:1234", []string{"192.0.2.1"}, []netip.Prefix{{}}, "10.0.0.1"},

		// What is no address ends the search at the hop that said so.
		{"unknown", "10.0.0.1:1234", []string{"8.8.8.8, unknown"}, proxies, "10.0.0.1"},
		{"unknown behind two", "10.0.0.1:1234", []string{"8.8.8.8, unknown, 10.0.0.2"}, proxies, "10.0.0.2"},
		{"empty header", "10.0.0.1:1234", []string{""}, proxies, "10.0.0.1"},
		{"empty element", "10.0.0.1:1234", []string{"8.8.8.8,,10.0.0.2"}, proxies, "10.0.0.2"},
		{"empty last element", "10.0.0.1:1234", []string{"8.8.8.8, "}, proxies, "10.0.0.1"},
		{"empty last line", "10.0.0.1:1234", []string{"8.8.8.8", ""}, proxies, "10.0.0.1"},
		{"host name", "10.0.0.1:1234", []string{"8.8.8.8, localhost"}, proxies, "10.0.0.1"},
		{"leading zero", "10.0.0.1:1234", []string{"192.0.2.01"}, proxies, "10.0.0.1"},
		{"number", "10.0.0.1:1234", []string{"3221225985"}, proxies, "10.0.0.1"},
		{"bad port", "10.0.0.1:1234", []string{"192.0.2.1:port"}, proxies, "10.0.0.1"},
		{"open bracket", "10.0.0.1:1234", []string{"[2001:db8::1"}, proxies, "10.0.0.1"},
		{"closed bracket", "10.0.0.1:1234", []string{"2001:db8::1]"}, proxies, "10.0.0.1"},
		{"IPv4 in brackets", "10.0.0.1:1234", []string{"[192.0.2.1]"}, proxies, "10.0.0.1"},
		{"prefix", "10.0.0.1:1234", []string{"192.0.2.0/24"}, proxies, "10.0.0.1"},
		{"quotes", "10.0.0.1:1234", []string{`"192.0.2.1"`}, proxies, "10.0.0.1"},
		{"Forwarded syntax", "10.0.0.1:1234", []string{"for=192.0.2.1"}, proxies, "10.0.0.1"},
		{"full-width digits", "10.0.0.1:1234", []string{"192.0.2.\uff11"}, proxies, "10.0.0.1"},

		{"peer without port", "192.0.2.1", nil, nil, "192.0.2.1"},
		{"Unix socket", "@", []string{"192.0.2.1"}, proxies, "invalid IP"},
		{"no peer", "", []string{"192.0.2.1"}, proxies, "invalid IP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := otphttp.ClientAddr(request(tt.peer, tt.forwarded...), tt.trusted)
			assert.Equal(t, tt.want, got.String())
		})
	}
}

// S-45: no other header counts.
func TestClientAddrIgnoresOtherHeaders(t *testing.T) {
	r := request("10.0.0.1:1234", "192.0.2.1")
	for _, h := range []string{"Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Client-Ip"} {
		r.Header.Set(h, "8.8.8.8")
	}
	r.Header.Set("Forwarded", "for=8.8.8.8")
	require.Equal(t, "192.0.2.1", otphttp.ClientAddr(r, prefixes("10.0.0.0/8")).String())
}

// S-45 and FM-14: whatever a client writes, it is limited as one client. Each request
// comes with another forged header, and the limit of ten in an hour still holds.
func TestForgedHeadersShareOneLimit(t *testing.T) {
	svc, _, _ := otptest.NewService(t)
	send := func(i int, client netip.Addr) error {
		_, err := svc.Request(t.Context(), otp.Request{
			Channel: otp.Email, Usage: "login", To: fmt.Sprintf("person-%d@example.com", i), Client: client,
		})
		return err
	}
	forged := []string{
		"8.8.8.8", "8.8.4.4:80", "2001:db8:1::1", "[2001:db8:2::1]:80", "10.0.0.7", "garbage", "", "::ffff:1.1.1.1", "a,b,c", "1.2.3.4, 5.6.7.8",
	}
	for i, f := range forged {
		client := otphttp.ClientAddr(request("10.0.0.1:1234", f, "2001:db8::1"), prefixes("10.0.0.0/8"))
		require.NoError(t, send(i, client))
	}
	// The eleventh, from another address of the same /64.
	client := otphttp.ClientAddr(request("10.0.0.1:1234", "9.9.9.9, 2001:db8::ffff:1"), prefixes("10.0.0.0/8"))
	require.ErrorIs(t, send(len(forged), client), otp.ErrRateLimited)
	// The next network has its own limit.
	client = otphttp.ClientAddr(request("10.0.0.1:1234", "2001:db8:0:1::1"), prefixes("10.0.0.0/8"))
	require.NoError(t, send(len(forged)+1, client))
}

// S-45: for any chain of proxies, the result is the hop before them, whatever stands to
// its left and however it is spelled.
func TestClientAddrDependsOnTheNearestUntrustedHop(t *testing.T) {
	proxies := prefixes("10.0.0.0/8", "fd00::/8")
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }

	for range 2000 {
		client := pick("192.0.2.1", "192.0.2.1:4711", "::ffff:192.0.2.1", "[::ffff:192.0.2.1]:4711", "[::ffff:192.0.2.1]")
		var hops []string
		for range rnd.IntN(4) {
			hops = append(hops, pick("8.8.8.8", "10.0.0.9", "unknown", "", "2001:db8::1", ",", "192.0.2.7, 10.1.1.1", "for=1.1.1.1"))
		}
		hops = append(hops, client)
		for range rnd.IntN(4) {
			hops = append(hops, pick("10.0.0.9", "10.255.0.1:80", "fd00::5", "[fd00::6]:443", "::ffff:10.0.0.3"))
		}
		// Any two neighbors may stand in one line or in two.
		var lines []string
		for i, h := range hops {
			if i == 0 || rnd.IntN(2) == 0 {
				lines = append(lines, h)
			} else {
				lines[len(lines)-1] += pick(",", ", ", " ,\t") + h
			}
		}
		r := request(pick("10.0.0.1:1234", "[fd00::1]:1234", "[::ffff:10.0.0.1]:1234"), lines...)
		require.Equal(t, "192.0.2.1", otphttp.ClientAddr(r, proxies).String(), "%q", lines)
	}
}

// S-45: whatever the headers hold, the result is no trusted address unless the header
// ran out of what could be followed, and what stands left of an untrusted hop is
// never looked at.
func FuzzClientAddr(f *testing.F) {
	f.Add("10.0.0.1:1234", "8.8.8.8, 192.0.2.1", "10.0.0.2")
	f.Add("[::ffff:10.0.0.1]:1", "::ffff:192.0.2.1", "[fd00::1]:443")
	f.Add("10.0.0.1", "unknown,,", "")
	f.Add("@", "192.0.2.1", "10.0.0.1%1")
	f.Add("[fe80::1%eth0]:1", "[", "]")
	f.Add("192.0.2.1:0", ",", "for=\"[2001:db8::1]\"")

	proxies := prefixes("10.0.0.0/8", "fd00::/8")
	f.Fuzz(func(t *testing.T, peer, first, second string) {
		got := otphttp.ClientAddr(request(peer, first, second), proxies)
		if got.Is4In6() || got.Zone() != "" {
			t.Fatalf("not in its one form: %v", got)
		}
		if again := otphttp.ClientAddr(request(got.String()), nil); got.IsValid() && again != got {
			t.Fatalf("%v is read back as %v", got, again)
		}
		if joined := otphttp.ClientAddr(request(peer, first+","+second), proxies); joined != got {
			t.Fatalf("%v in two lines, %v in one", got, joined)
		}
		trusted := false
		for _, p := range proxies {
			trusted = trusted || p.Contains(got)
		}
		if !trusted && got.IsValid() {
			if forged := otphttp.ClientAddr(request(peer, "8.8.8.8, 10.0.0.7", first, second), proxies); forged != got {
				t.Fatalf("%v, and with a forged header %v", got, forged)
			}
		}
		if direct := otphttp.ClientAddr(request(peer, first, second), nil); direct != otphttp.ClientAddr(request(peer), nil) {
			t.Fatalf("without a trusted list the header changed the result to %v", direct)
		}
		if n := strings.Count(first+second, ","); n == 0 && first == "" && second == "" && got != otphttp.ClientAddr(request(peer), nil) {
			t.Fatalf("empty headers changed the result to %v", got)
		}
	})
}
