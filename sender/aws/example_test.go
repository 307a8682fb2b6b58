package aws_test

import (
	"context"
	"fmt"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"otp.example/otp"
	"otp.example/otp/sender/aws"
)

// load stands for LoadDefaultConfig of github.com/aws/aws-sdk-go-v2/config.
func load(context.Context) (sdk.Config, error) { return config("https://aws.example.com"), nil }

// Texts go by End User Messaging, and by SNS if that refuses.
func ExampleNewSMS() {
	cfg, err := load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	sms, err := aws.NewSMS(aws.SMSConfig{AWS: cfg, From: "pool-0123456789abcdef", MaxPrice: "0.10"})
	if err != nil {
		fmt.Println(err)
		return
	}
	backup, err := aws.NewSNS(aws.SNSConfig{AWS: cfg, MaxPrice: "0.10"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = otp.Config{Senders: map[otp.Channel]otp.Sender{otp.SMS: otp.Failover(sms, backup)}}
	fmt.Println("ready")
	// Output: ready
}

func ExampleNewVoice() {
	cfg, err := load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = aws.NewVoice(aws.VoiceConfig{AWS: cfg, From: "+12025550100", Voice: "VICKI", MaxPrice: "0.2 USD"})
	fmt.Println(err)
	// Output: otp/aws: Config.MaxPrice is not an amount such as 0.05
}

func ExampleNewSES() {
	cfg, err := load(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	mail, err := aws.NewSES(aws.SESConfig{AWS: cfg, From: "Example <login@example.com>"})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = mail.Send(context.Background(), otp.Message{To: "ann@example.org, bob@example.org"})
	fmt.Println(err)
	// Output: otp/aws: recipient is not an e-mail address: otp: message not accepted
}
