package memstore_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// A service calls the store; this is what happens in it.
func ExampleNew() {
	ctx, now := context.Background(), time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	right, wrong := sha256.Sum256([]byte("right")), sha256.Sum256([]byte("wrong"))

	store := memstore.New()
	_, put, _ := store.Put(ctx, otp.Record{
		ID: "unguessable", Digests: right[:], State: otp.StatePending,
		MaxAttempts: 5, Sends: 1, MaxSends: 3,
		CreatedAt: now, SentAt: now, ExpiresAt: now.Add(5 * time.Minute),
	}, now)
	fmt.Println("put:", put)

	for _, digest := range [][]byte{wrong[:], right[:], right[:]} {
		r, counted, err := store.Spend(ctx, "unguessable", digest, now.Add(time.Minute))
		fmt.Println("counted:", counted, "attempts:", r.Attempts, "verified:", r.State == otp.StateVerified, err)
	}
	// Output:
	// put: true
	// counted: true attempts: 1 verified: false <nil>
	// counted: true attempts: 2 verified: true <nil>
	// counted: false attempts: 2 verified: true <nil>
}

// A store that is full turns away who is new, and nobody else.
func ExampleNewBounded() {
	ctx, now := context.Background(), time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	limits := []otp.Limit{{N: 2, Per: time.Hour}}

	store := memstore.NewBounded(memstore.Bounds{Entries: 1})
	for _, key := range []string{"ann", "bob", "ann", "ann"} {
		d, err := store.Take(ctx, key, 1, limits, now)
		fmt.Println(key, d.OK, err)
	}
	// Output:
	// ann true <nil>
	// bob false memstore: full
	// ann true <nil>
	// ann false <nil>
}

func ExampleStore_Prune() {
	ctx, now := context.Background(), time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	store := memstore.New()
	for i := range 5 {
		_, _, _ = store.Put(ctx, otp.Record{
			ID: fmt.Sprint(i), State: otp.StatePending, MaxAttempts: 5,
			ExpiresAt: now.Add(time.Duration(i) * time.Minute),
		}, now)
	}

	// In small steps, until nothing is left to forget.
	for {
		n, err := store.Prune(ctx, now.Add(3*time.Minute), 3)
		if err != nil {
			fmt.Println(err)
		}
		if n == 0 {
			break
		}
		fmt.Println("forgot", n)
	}
	fmt.Println("still there:", store.Used().Entries)
	// Output:
	// forgot 3
	// forgot 1
	// still there: 1
}
