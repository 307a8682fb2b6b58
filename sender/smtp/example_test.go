package smtp_test

import (
	"context"
	"fmt"
	"os"

	"otp.example/otp"
	"otp.example/otp/sender/smtp"
)

// The queue keeps the mail server off the path of a request, and tries again when it is
// busy.
func ExampleNew() {
	mail, err := smtp.New(smtp.Config{
		Host:     "smtp.example.com",
		From:     "Example <login@example.com>",
		Username: "login@example.com",
		Password: otp.NewSecret("from the environment, " + os.Getenv("SMTP_PASSWORD")),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mail.Close()
	queue := otp.NewQueue(mail, 1000)
	_ = otp.Config{
		Senders:   map[otp.Channel]otp.Sender{otp.Email: queue},
		Normalize: smtp.Normalize,
	}
	fmt.Println("ready")
	// Output: ready
}

func ExampleNormalize() {
	to, err := smtp.Normalize(context.Background(), otp.Email, "Ann@Bücher.example")
	fmt.Println(to, err)
	_, err = smtp.Normalize(context.Background(), otp.Email, "ann＠example.org")
	fmt.Println(err)
	// Output:
	// Ann@xn--bcher-kva.example <nil>
	// otp/smtp: not an e-mail address
}
