// Totp is a site with an authenticator app as the second factor: it enrolls one with a QR
// code, asks for its codes, refuses one that was used, and gives recovery codes for the day
// on which the phone is lost.
//
//	go run ./examples/totp       # serves http://localhost:8080
//	go run ./examples/totp -demo # visits itself and ends
//
// Handlers are in app.go, pages in pages.go; this file starts and stops everything.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/recovery"
	"otp.example/otp/totp"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "where to listen")
	demo := flag.Bool("demo", false, "visit the pages without a person, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *addr, *demo)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "totp:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, or until the demo has seen everything.
func run(ctx context.Context, out io.Writer, addr string, demo bool) error {
	// The demo does not wait half a minute for each next code.
	clock := &clock{}
	a, err := newApp(clock.now)
	if err != nil {
		return err
	}
	if demo {
		addr = "localhost:0"
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()

	site := "http://" + ln.Addr().String()
	if demo {
		err = visit(ctx, out, site, clock)
	} else {
		fmt.Fprintf(out, "%s (the password is %q)\n", site, password)
		select {
		case <-ctx.Done():
		case err = <-served:
			return err
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, srv.Shutdown(ending))
}

func newApp(now func() time.Time) (*app, error) {
	secret := make([]byte, 32) // in production: otp.KeyringFromEnv
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return nil, err
	}
	svc, err := otp.New(otp.Config{
		Store:   memstore.New(), // in production a store that outlives the process: with this one used codes would come back
		Keyring: keys,
		// A service sends codes, too. This site sends none.
		Senders: map[otp.Channel]otp.Sender{otp.Email: otp.Console(os.Stderr)},
		Now:     now,
	})
	if err != nil {
		return nil, err
	}
	app := &app{sessions: sessions{m: map[string]*session{}}}
	if app.totp, err = totp.NewVerifier(svc, totp.Config{Issuer: "Example"}); err != nil {
		return nil, err
	}
	app.recovery, err = recovery.NewVerifier(svc, recovery.Config{})
	return app, err
}
