package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
	"otp.example/otp/redisstore"
)

const (
	prefix = "otp-example:"
	stream = prefix + "audit"
)

// connect returns a client that ends calls with their contexts, which the store insists on.
func connect(url string) (*redis.Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, err
	}
	o.ContextTimeoutEnabled = true
	return redis.NewClient(o), nil
}

// newAudit returns what writes the events of a process to the stream that all share.
func newAudit(client *redis.Client) *redisstore.Audit {
	return redisstore.NewAudit(client, redisstore.AuditOptions{
		Stream: stream, MaxLen: 10_000, MaxAge: time.Hour,
		OnError: func(_ context.Context, e otp.Event, err error) { log.Print("not written: ", e.Type, ": ", err) },
	})
}

// newService makes the service as every process must: of the same Redis and key.
func newService(ctx context.Context, client *redis.Client, audit *redisstore.Audit, phone otp.Sender) (*otp.Service, error) {
	store, err := redisstore.New(ctx, client, redisstore.Options{Prefix: prefix})
	if err != nil {
		return nil, err
	}
	keys, err := otp.KeyringFromEnv("OTP_KEY")
	if err != nil {
		return nil, err
	}
	return otp.New(otp.Config{
		Store:   store,
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: phone},
		OnEvent: audit.OnEvent,
	})
}

// A question stands for a form that a person sends, an answer for the page that comes back,
// and for the message on the person's phone.
type question struct{ Subject, To, Handle, Code string }

type answer struct {
	Handle, Code string
	Subject      string // who has proved to be there
	Left         int    // attempts
	Wait         int    // seconds
	Fault        string
}

// serve is one process of the service: it answers until there are no more questions, and ends
// when what happened is in the stream.
func serve(ctx context.Context, in io.Reader, out io.Writer) error {
	client, err := connect(os.Getenv("REDIS_URL"))
	if err != nil {
		return err
	}
	defer client.Close()
	audit := newAudit(client)
	running, stop := context.WithCancel(ctx)
	var written sync.WaitGroup
	written.Go(func() { _ = audit.Run(running) }) // it ends for no other reason
	defer written.Wait()
	defer stop()
	var message otp.Message // questions come one after the other
	svc, err := newService(ctx, client, audit, otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		message = m
		return otp.Receipt{Provider: "example"}, nil
	}))
	if err != nil {
		return err
	}
	questions, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a answer
		if q.Handle == "" {
			a = ask(ctx, svc, q, &message)
		} else {
			a = verify(ctx, svc, q)
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

func ask(ctx context.Context, svc *otp.Service, q question, message *otp.Message) answer {
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: q.Subject, To: q.To})
	var limited *otp.RateLimitError
	switch {
	case errors.As(err, &limited):
		return answer{Wait: int(limited.RetryAfter.Seconds()) + 1}
	case err != nil:
		return answer{Fault: err.Error()}
	}
	return answer{Handle: ch.ID, Code: message.Code.Reveal()}
}

func verify(ctx context.Context, svc *otp.Service, q question) answer {
	proof, err := svc.Verify(ctx, otp.Answer{ID: q.Handle, Usage: "login", Code: q.Code})
	var mismatch *otp.MismatchError
	switch {
	case errors.As(err, &mismatch):
		return answer{Left: mismatch.AttemptsLeft}
	case errors.Is(err, otp.ErrRejected):
		return answer{}
	case err != nil:
		return answer{Fault: err.Error()}
	}
	return answer{Subject: proof.Subject()}
}

// tell reads the stream. A person stands in it under a pseudonym, which only who has the
// key can find.
func tell(ctx context.Context, say func(string, ...any), url, subject string) error {
	client, err := connect(url)
	if err != nil {
		return err
	}
	defer client.Close()
	svc, err := newService(ctx, client, newAudit(client), otp.Console(io.Discard)) // does nothing that is told
	if err != nil {
		return err
	}
	entries, err := client.XRange(ctx, stream, "-", "+").Result()
	if err != nil {
		return err
	}
	pseudonym := svc.SubjectPseudonym(subject)
	count := map[string]int{}
	for _, e := range entries {
		if e.Values["subject"] != pseudonym {
			continue
		}
		what, _ := e.Values["event"].(string)
		if reason, ok := e.Values["reason"].(string); ok {
			what += " (" + reason + ")"
		}
		count[what]++
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		say("  %2d %s", count[what], what)
	}
	return nil
}
