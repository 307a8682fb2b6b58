// Weblogin is a login with codes by e-mail or SMS, as net/http handlers and pages that
// need no JavaScript. It prints the codes instead of sending them.
//
//	go run ./examples/weblogin       # serves https://localhost:8443
//	go run ./examples/weblogin -demo # visits itself and ends
//
// Handlers are in app.go, pages in pages.go; this file starts and stops everything.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

func main() {
	addr := flag.String("addr", "localhost:8443", "where to listen")
	demo := flag.Bool("demo", false, "visit the pages without a person, and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout, *addr, *demo)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "weblogin:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends, or until the demo has seen everything.
func run(ctx context.Context, out io.Writer, addr string, demo bool) error {
	sender, box := otp.Console(out), make(mailbox, 10)
	if demo {
		sender, addr = box, "localhost:0"
	}

	// A queue for each channel, so that no answer waits for a provider and a slow one
	// does not hold up the other. They stop after the server, so that what a page has
	// promised is still sent.
	queues := map[otp.Channel]*otp.Queue{otp.SMS: otp.NewQueue(sender, 1000), otp.Email: otp.NewQueue(sender, 1000)}
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	var workers sync.WaitGroup
	for _, q := range queues {
		workers.Go(func() { _ = q.Run(sending) }) // its error is that sending ended
	}
	defer workers.Wait()
	defer stopSending()

	svc, err := newService(queues)
	if err != nil {
		return err
	}
	cert, err := selfSigned()
	if err != nil {
		return err
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           newApp(svc, time.Now).routes(),
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      10 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // browsers complain about the certificate, in production keep it
	}
	served := make(chan error, 1)
	go func() { served <- srv.ServeTLS(ln, "", "") }()

	say := log.New(out, "", 0).Printf
	if demo {
		err = visit(ctx, say, "https://"+ln.Addr().String(), cert.Leaf, box)
	} else {
		say("https://%s (log in as ann@example.com or +12025550100)", addr)
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

func newService(queues map[otp.Channel]*otp.Queue) (*otp.Service, error) {
	secret := make([]byte, 32) // in production: otp.KeyringFromEnv
	if _, err := rand.Read(secret); err != nil {
		return nil, err
	}
	keys, err := otp.NewKeyring(otp.Key{ID: "1", Secret: secret})
	if err != nil {
		return nil, err
	}
	senders := map[otp.Channel]otp.Sender{}
	for channel, q := range queues {
		senders[channel] = q
	}
	policies, err := newPolicies()
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{Store: memstore.New(), Keyring: keys, Senders: senders, Policies: policies})
}

// newPolicies keeps codes to digits, however long they get when somebody guesses: the
// page asks phones for their number pad, which has no letters.
func newPolicies() (*otp.Policies, error) {
	digits := func(lengths ...int) (formats []otp.Format) {
		for _, n := range lengths {
			formats = append(formats, otp.Format{Length: n, Alphabet: otp.Digits})
		}
		return formats
	}
	return otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{
		{Channel: otp.SMS}:   {Formats: digits(6, 8, 14, 20)},
		{Channel: otp.Email}: {Formats: digits(8, 14, 20)},
	})
}

// selfSigned makes a certificate that nobody but this program trusts. The cookies need
// TLS, on localhost too.
func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
