package sender

import (
	"context"
	"fmt"
	"maps"
	"strings"

	"otp.example/otp"
)

var errNoRoute = fmt.Errorf("%w: no route for this message", otp.ErrNotAccepted)

// RouteBy returns a Sender that hands a message to the sender that routes has for the
// first of the message's keys, and otherwise to that of the key "". Without that one, it
// refuses with [otp.ErrNotAccepted]. The map is copied.
//
// Keys are [Channel], [Country], [Tenant], [Locale], or any function that returns a
// message's keys with the most specific first.
func RouteBy(keys func(otp.Message) []string, routes map[string]otp.Sender) otp.Sender {
	routes = maps.Clone(routes)
	return otp.SenderFunc(func(ctx context.Context, m otp.Message) (otp.Receipt, error) {
		for _, key := range keys(m) {
			if s, ok := routes[key]; ok {
				return s.Send(ctx, m)
			}
		}
		if s, ok := routes[""]; ok {
			return s.Send(ctx, m)
		}
		return otp.Receipt{}, errNoRoute
	})
}

// Channel routes by channel: "sms", "voice", ….
func Channel(m otp.Message) []string { return []string{string(m.Channel)} }

// Tenant routes by tenant.
func Tenant(m otp.Message) []string { return []string{m.Tenant} }

// Country routes by the longest prefix of the recipient's number: "+49", "+1", or
// "+1787" for a part of a country code. A recipient that is no number has no prefix.
func Country(m otp.Message) []string {
	var keys []string
	if strings.HasPrefix(m.To, "+") {
		for n := len(m.To); n > 1; n-- {
			keys = append(keys, m.To[:n])
		}
	}
	return keys
}

// Locale routes by language tag, in lower case: "zh-hant-tw", else "zh-hant", else "zh"
// (RFC 4647 section 3.4). "pt_BR" is "pt-br".
func Locale(m otp.Message) []string {
	var keys []string
	for tag := strings.ReplaceAll(strings.ToLower(m.Locale), "_", "-"); tag != ""; {
		keys = append(keys, tag)
		tag = tag[:max(0, strings.LastIndexByte(tag, '-'))]
	}
	return keys
}
