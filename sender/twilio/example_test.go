package twilio_test

import (
	"fmt"
	"net/http"

	"otp.example/otp"
	"otp.example/otp/sender/twilio"
)

func ExampleNewMessages() {
	sms, err := twilio.NewMessages(twilio.Config{
		AccountSID: "AC00112233445566778899aabbccddeeff",
		APIKey:     "SK00112233445566778899aabbccddeeff",
		Secret:     otp.NewSecret("from your vault"),
		From:       "+15005550010",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	// A queue, so that answers do not wait for Twilio.
	senders := map[otp.Channel]otp.Sender{otp.SMS: otp.NewQueue(sms, 1000)}
	fmt.Println(len(senders))
	// Output: 1
}

func ExampleNewVoice() {
	voice, err := twilio.NewVoice(twilio.VoiceConfig{
		Config: twilio.Config{
			AccountSID: "AC00112233445566778899aabbccddeeff",
			Secret:     otp.NewSecret("from your vault"),
			From:       "+15005550010",
		},
		KeyURL: "https://login.example.com/otp/voice",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	http.Handle("POST /otp/voice", voice)
	fmt.Println(voice != nil)
	// Output: true
}
