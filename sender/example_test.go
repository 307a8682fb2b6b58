package sender_test

import (
	"context"
	"fmt"
	"time"

	"otp.example/otp"
	"otp.example/otp/sender"
)

// says returns a sender that says who it is, in place of a provider.
func says(name string) otp.Sender {
	return otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
		fmt.Println(name)
		return otp.Receipt{Provider: name}, nil
	})
}

// Numbers of one country go to a provider there, at ten a second, and to the others'
// when it refuses.
func ExampleRouteBy() {
	local, world := says("local"), says("world")
	sms := sender.RouteBy(sender.Country, map[string]otp.Sender{
		"+91": otp.Failover(sender.Smooth(local, time.Second/10), world),
		"":    world,
	})
	for _, to := range []string{"+919810000000", "+4930123456"} {
		if _, err := sms.Send(context.Background(), otp.Message{Channel: otp.SMS, To: to}); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// local
	// world
}

// Any function of a message can choose: here, payments have a provider of their own.
func ExampleRouteBy_usage() {
	byUsage := func(m otp.Message) []string { return []string{string(m.Usage)} }
	sms := sender.RouteBy(byUsage, map[string]otp.Sender{string(otp.Payment): says("costly"), "": says("cheap")})
	if _, err := sms.Send(context.Background(), otp.Message{Usage: otp.Payment}); err != nil {
		fmt.Println(err)
	}
	// Output: costly
}

func ExampleRetry() {
	calls := 0
	busy := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
		calls++
		if calls == 1 {
			return otp.Receipt{}, fmt.Errorf("%w: 429 Too Many Requests", sender.ErrTryLater)
		}
		return otp.Receipt{Provider: "busy"}, nil
	})
	_, err := sender.Retry(busy, 3).Send(context.Background(), otp.Message{})
	fmt.Println(calls, err)
	// Output: 2 <nil>
}

func ExampleSmooth() {
	sms := sender.Smooth(says("provider"), time.Second/30) // 30 messages a second
	if _, err := sms.Send(context.Background(), otp.Message{}); err != nil {
		fmt.Println(err)
	}
	// Output: provider
}
