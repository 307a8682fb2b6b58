// Email sends a code by e-mail, as text and as HTML, and asks for it. It uses the mail
// server that the environment names, or else one that it starts and that shows the mail.
//
//	go run ./examples/email       # a mail server of its own
//	go run ./examples/email -demo # the same, and types the code in itself
//
//	export SMTP_HOST=smtp.example.com SMTP_FROM='Example <login@example.com>'
//	export SMTP_USERNAME=login@example.com SMTP_PASSWORD=…
//	go run ./examples/email -to ann@example.org
//
// SMTP_PORT is 587 unless it is set; 465 is TLS from the first byte. The server that the
// program starts is in server.go.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"os"
	"strconv"
	"strings"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/sender/smtp"
)

func main() {
	to := flag.String("to", "ann@example.org", "who gets the mail")
	demo := flag.Bool("demo", false, "send to a server of its own, type the code in, and end")
	flag.Parse()
	if err := run(context.Background(), os.Stdin, os.Stdout, os.Getenv, *to, *demo); err != nil {
		fmt.Fprintln(os.Stderr, "email:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer, getenv func(string) string, to string, demo bool) error {
	say := log.New(out, "", 0).Printf
	var cfg smtp.Config
	var local *server // unless the environment names one
	if getenv("SMTP_HOST") == "" || demo {
		var err error
		if local, err = listen(ctx); err != nil {
			return err
		}
		defer local.close()
		cfg = local.config()
		say("A mail server of our own listens at %s:%d.", cfg.Host, cfg.Port)
	} else {
		port, err := strconv.Atoi(cmp.Or(getenv("SMTP_PORT"), "587"))
		if err != nil {
			return errors.New("SMTP_PORT is not a number")
		}
		cfg = smtp.Config{
			Host: getenv("SMTP_HOST"), Port: port, ImplicitTLS: port == 465,
			From:     getenv("SMTP_FROM"),
			Username: getenv("SMTP_USERNAME"), Password: otp.NewSecret(getenv("SMTP_PASSWORD")),
		}
	}

	mail, err := smtp.New(cfg)
	if err != nil {
		return err
	}
	defer mail.Close()
	svc, err := newService(mail)
	if err != nil {
		return err
	}
	// Without a queue, which a real program has, the answer says whether the server took
	// the mail.
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.Email, Usage: "login", To: to})
	if err != nil {
		return err
	}
	say("The mail is on its way as %s.", ch.Receipt.MessageID)

	code := ""
	if local != nil {
		got := <-local.mails
		say("The server got:\n\n%s\n", indent(got))
		code = digits.FindString(got)
	}
	if !demo {
		say("What is the code?")
		typed := bufio.NewScanner(in)
		if !typed.Scan() {
			return errors.Join(errors.New("no code was typed in"), typed.Err())
		}
		code = typed.Text()
	}
	proof, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Usage: "login", Code: code})
	if err != nil {
		return err
	}
	say("Right: whoever typed it in reads the mail of %s.", proof.Recipient())
	return nil
}

func newService(mail otp.Sender) (*otp.Service, error) {
	secret := make([]byte, 32) // in production: otp.KeyringFromEnv
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{
		Store:     memstore.New(),
		Keyring:   keys,
		Senders:   map[otp.Channel]otp.Sender{otp.Email: mail},
		Normalize: smtp.Normalize, // so that ann@bücher.example can be typed
		Render:    render,
	})
}

// page is the mail for those who see HTML. It has no pictures and no links: a mail with a
// code that asks for a click looks like one that steals it.
var page = template.Must(template.New("").Parse(`<p>Your code is</p>
<p style="font: bold 2em monospace">{{.Code}}</p>
<p>It is for this login only. Do not share it.</p>
`))

// render adds HTML to the text that every mail has.
func render(ctx context.Context, m otp.Message) (otp.Content, error) {
	content, err := otp.DefaultRender(ctx, m)
	if err != nil {
		return otp.Content{}, err
	}
	var html bytes.Buffer
	if err := page.Execute(&html, struct{ Code string }{m.Code.Reveal()}); err != nil {
		return otp.Content{}, err
	}
	content.HTML = html.String()
	return content, nil
}

func indent(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r", ""), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}
