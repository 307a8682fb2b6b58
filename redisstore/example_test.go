package redisstore_test

import (
	"context"
	"log"
	"os"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
	"otp.example/otp/redisstore"
)

// A service on one server, which has appendonly yes and appendfsync always. There is
// nothing to prune.
func Example() {
	client := redis.NewClient(&redis.Options{
		Addr:                  os.Getenv("REDIS_ADDR"),
		ContextTimeoutEnabled: true, // or New refuses the client
	})
	defer client.Close()
	store, err := redisstore.New(context.Background(), client, redisstore.Options{})
	if err != nil {
		log.Fatal(err)
	}

	keys, err := otp.KeyringFromEnv("OTP_KEY")
	if err != nil {
		log.Fatal(err)
	}
	svc, err := otp.New(otp.Config{
		Store: store, Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: otp.Console(os.Stdout)}, // in production: a provider
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = svc // goes to your handlers
}

// For a cluster only the client differs.
func ExampleNew_cluster() {
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 []string{"10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"},
		ContextTimeoutEnabled: true,
	})
	defer client.Close()
	// A change is acknowledged only when a replica has it, too.
	store, err := redisstore.New(context.Background(), client, redisstore.Options{WaitReplicas: 1})
	if err != nil {
		log.Fatal(err)
	}
	_ = store // for otp.Config.Store
}

// The events of a service, in a stream.
func ExampleNewAudit() {
	client := redis.NewClient(&redis.Options{Addr: os.Getenv("REDIS_ADDR"), ContextTimeoutEnabled: true})
	defer client.Close()
	audit := redisstore.NewAudit(client, redisstore.AuditOptions{
		OnError: func(_ context.Context, e otp.Event, err error) {
			log.Print("not written: ", e.Type, ": ", err)
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- audit.Run(ctx) }()
	_ = otp.Config{OnEvent: audit.OnEvent}
	// In the end, after the HTTP server and the queue:
	stop()
	log.Print("audit: ", <-ended)
}
