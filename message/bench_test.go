package message_test

import (
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/message"
)

// BenchmarkRender: the floor is otp.DefaultRender, which formats one sentence.
func BenchmarkRender(b *testing.B) {
	r, err := message.New(message.Config{App: "Example", Host: "example.com"})
	if err != nil {
		b.Fatal(err)
	}
	var floor time.Duration
	for _, bench := range []struct {
		name    string
		channel otp.Channel
		render  func(otp.Message) (otp.Content, error)
	}{
		{"floor", otp.SMS, func(m otp.Message) (otp.Content, error) { return otp.DefaultRender(b.Context(), m) }},
		{"sms", otp.SMS, func(m otp.Message) (otp.Content, error) { return r.Render(b.Context(), m) }},
		{"email", otp.Email, func(m otp.Message) (otp.Content, error) { return r.Render(b.Context(), m) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			m := sms(func(m *otp.Message) { m.Channel, m.Locale = bench.channel, "de-AT" })
			for b.Loop() {
				if _, err := bench.render(m); err != nil {
					b.Fatal(err)
				}
			}
			each := b.Elapsed() / time.Duration(b.N)
			if bench.name == "floor" {
				floor = each
			}
			b.ReportMetric(float64(each)/float64(max(floor, 1)), "x-floor")
		})
	}
}
