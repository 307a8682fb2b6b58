package totp_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/totp"
)

// A lengths is a store that remembers how long the values are that it is given.
type lengths struct {
	*memstore.Store
	last int
}

func (l *lengths) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	l.last = max(l.last, len(value))
	return l.Store.SwapCredentials(ctx, key, old, value, until)
}

// BenchmarkVerifier times a right and a wrong code in turns with the bare calls of a memstore that they
// make, on a value of the same length: a load and one swap, or two. What is above the floor is encryption,
// JSON, the meter and the HMACs of the window.
func BenchmarkVerifier(b *testing.B) {
	ctx, store := context.Background(), &lengths{Store: memstore.New()}
	svc, _, clock := otptest.NewService(b, func(c *otp.Config) {
		c.Store = store
		// Wide enough for all that are timed, and short enough for the meter to forget them.
		c.GuessLimits = []otp.Limit{{N: 1_000_000, Per: time.Minute}}
	})
	v, err := totp.NewVerifier(svc, totp.Config{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := v.Import(ctx, "ada", "phone", secret, totp.Options{}); err != nil {
		b.Fatal(err)
	}
	verify := func(code string) error {
		_, err := v.Verify(ctx, otp.Answer{Subject: "ada", Usage: "login", Code: code})
		return err
	}
	right := func() {
		code, _ := totp.Code(secret, clock.Now(), totp.Options{})
		if err := verify(code); err != nil {
			b.Fatal(err)
		}
	}
	right()
	key, value := "c"+string(make([]byte, 22)), make([]byte, store.last)
	if _, err := store.Store.SwapCredentials(ctx, key, nil, value, time.Time{}); err != nil {
		b.Fatal(err)
	}
	bare := func(swaps int) {
		if _, err := store.LoadCredentials(ctx, key); err != nil {
			b.Fatal(err)
		}
		for range swaps {
			if ok, err := store.Store.SwapCredentials(ctx, key, value, value, time.Time{}); !ok || err != nil {
				b.Fatal(ok, err)
			}
		}
	}
	subjects := []func(){
		right,
		func() { bare(2) },
		func() { _ = verify("000000") },
		func() { bare(1) },
	}
	times := make([][]time.Duration, len(subjects))
	b.ReportAllocs()
	for b.Loop() {
		clock.Advance(2 * time.Minute) // a step that is not used, and a meter that is empty
		for i, subject := range subjects {
			start := time.Now()
			subject()
			times[i] = append(times[i], time.Since(start))
		}
	}
	ns := make([]float64, len(subjects))
	for i := range times {
		slices.Sort(times[i])
		ns[i] = float64(times[i][len(times[i])/2])
	}
	b.ReportMetric(0, "ns/op") // of the four together: says nothing
	b.ReportMetric(ns[0], "ns/right")
	b.ReportMetric(ns[2], "ns/wrong")
	b.ReportMetric(ns[0]/ns[1], "right-x-floor")
	b.ReportMetric(ns[2]/ns[3], "wrong-x-floor")
	b.ReportMetric(float64(store.last), "bytes")
}
