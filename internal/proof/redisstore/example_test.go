package redisstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
	"otp.example/otp/internal/proof/servers"
	"otp.example/otp/redisstore"
)

// serverAddress is where an empty server is for an example, which is no test that could
// start one. It ends with the test binary.
func serverAddress() string {
	o, err := redis.ParseURL(servers.StartRedis(example{}, servers.RedisServer, "--appendonly", "yes").DSN)
	if err != nil {
		log.Fatal(err)
	}
	return o.Addr
}

type example struct{ testing.TB }

func (example) Helper()           {}
func (example) Cleanup(func())    {}
func (example) Name() string      { return "Example" }
func (example) Skip(args ...any)  { log.Fatal(args...) }
func (example) Fatal(args ...any) { log.Fatal(args...) }

// A service on one server. For a cluster only the client differs: redis.NewClusterClient.
func Example() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: serverAddress(), ContextTimeoutEnabled: true})
	defer client.Close()
	store, err := redisstore.New(ctx, client, redisstore.Options{})
	if err != nil {
		log.Fatal(err)
	}

	secret := make([]byte, 32)
	rand.Read(secret) // a real one comes from where secrets are kept
	keys, err := otp.NewKeyring(otp.Key{ID: "2026", Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{Store: store, Keyring: keys, Senders: map[otp.Channel]otp.Sender{otp.SMS: printer{}}})
	if err != nil {
		log.Fatal(err)
	}
	ch, code, err := svc.Issue(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: "+12025550100"})
	if err != nil {
		log.Fatal(err)
	}
	proof, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"})
	fmt.Println(proof.Subject(), err)
	// Output: ann <nil>
}

// A printer delivers to nobody.
type printer struct{}

func (printer) Send(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, nil }

// A server that may forget is refused, with the setting and what accepts it.
func ExampleNew() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: serverAddress()})
	defer client.Close()
	_, err := redisstore.New(ctx, client, redisstore.Options{})
	fmt.Println(err)
	// Output: redisstore: the client's option ContextTimeoutEnabled is false, so calls outlast the deadlines of their contexts: set it to true
}

// A limiter of one's own, for what is not a challenge.
func ExampleStore_Take() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: serverAddress(), ContextTimeoutEnabled: true})
	defer client.Close()
	store, err := redisstore.New(ctx, client, redisstore.Options{Prefix: "example:"})
	if err != nil {
		log.Fatal(err)
	}
	limits := []otp.Limit{{N: 2, Per: time.Hour}}
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for i := range 3 {
		d, err := store.Take(ctx, "reports of ann", 1, limits, now.Add(time.Duration(i)*time.Minute))
		fmt.Println(d.OK, d.RetryAfter, err)
	}
	// Output:
	// true 0s <nil>
	// true 0s <nil>
	// false 58m0s <nil>
}

// The events of a service, in a stream.
func ExampleAudit() {
	ctx := context.Background()
	client := redis.NewClient(&redis.Options{Addr: serverAddress(), ContextTimeoutEnabled: true})
	defer client.Close()
	audit := redisstore.NewAudit(client, redisstore.AuditOptions{
		Stream: "example:audit",
		OnError: func(_ context.Context, e otp.Event, err error) {
			log.Print("not written: ", e.Type, ": ", err)
		},
	})
	running, stop := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- audit.Run(running) }()
	audit.OnEvent(ctx, otp.Event{Type: otp.EventVerified, Time: time.Now(), Usage: "login"}) // as Config.OnEvent does
	stop()
	fmt.Println(<-ended) // all is written
	entries, err := client.XRange(ctx, "example:audit", "-", "+").Result()
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Values["event"], e.Values["usage"])
	}
	// Output:
	// context canceled
	// verified login
}
