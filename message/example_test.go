package message_test

import (
	"context"
	"fmt"
	"testing/fstest"
	"time"

	"otp.example/otp"
	"otp.example/otp/message"
)

func ExampleNew() {
	r, err := message.New(message.Config{App: "Example", Host: "example.com"})
	if err != nil {
		fmt.Println(err)
		return
	}
	// In a program: otp.New(otp.Config{Render: r.Render, …}).
	c, err := r.Render(context.Background(), otp.Message{
		Channel: otp.SMS, Usage: "login", Locale: "de-AT", Code: otp.NewSecret("493817"), TTL: 5 * time.Minute,
	})
	fmt.Println(c.Text, err)
	// Output:
	// Example: 493817 ist Ihr Code zum Anmelden. Er gilt 5 Minuten. Geben Sie ihn nicht weiter.
	//
	// @example.com #493817 <nil>
}

// A template of your own for one channel and language; in a program it comes from an
// embed.FS or os.DirFS.
func ExampleConfig() {
	own := fstest.MapFS{
		"en/email.txt": {Data: []byte("Subject: Welcome back\n\nType {{.Code}} within {{.Lifetime}}.\n")},
		"email.html":   {Data: []byte(`<html lang="{{.Lang}}" dir="{{.Dir}}">{{range .Paragraphs}}<p>{{.}}</p>{{end}}</html>`)},
	}
	r, err := message.New(message.Config{Templates: own})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := r.Render(context.Background(), otp.Message{
		Channel: otp.Email, Usage: "login", Code: otp.NewSecret("49381726"), TTL: 10 * time.Minute,
	})
	fmt.Println(c.Subject, c.HTML, err)
	// Output: Welcome back <html lang="en" dir="ltr"><p>Type 49381726 within 10 minutes.</p></html> <nil>
}

func ExampleRenderer_Render() {
	r, err := message.New(message.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	c, err := r.Render(context.Background(), otp.Message{
		Channel: otp.Voice, Usage: otp.Payment, Binding: "120 euros to Bob", Code: otp.NewSecret("493817"), TTL: 5 * time.Minute,
	})
	fmt.Println(c.Text, err)
	// Output: Here is your code for a payment. It confirms: 120 euros to Bob. The code is: 4, 9, 3, 8, 1, 7. Once more: 4, 9, 3, 8, 1, 7. It is valid for 5 minutes. Do not share it. <nil>
}

func ExampleSegments() {
	fmt.Println(message.Segments("493817 ist Ihr Code für Müller & Söhne."), message.Segments("493817 е вашият код. Валиден е пет минути. Не го споделяйте с никого, моля."))
	// Output: 1 2
}
