package otptest

import (
	"context"
	"crypto/rand"
	"sync"
	"testing"

	"otp.example/otp"
	"otp.example/otp/internal/testnumbers"
	"otp.example/otp/memstore"
)

// queueSize is more than a test sends at once.
const queueSize = 1000

// NewService returns a service with a store in memory, a random key, the default
// policies, the clock that it returns, and the outbox that it returns as the sender of
// SMS, Email, Voice and WhatsApp. Each edit may change the configuration, in order; what
// an edit replaces, like Now, is no longer that which NewService returns. A
// configuration that [otp.New] refuses ends the test.
func NewService(t testing.TB, edit ...func(*otp.Config)) (*otp.Service, *Outbox, *Clock) {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	keys, err := otp.NewKeyring(otp.Key{ID: "test", Secret: secret}, otp.Key{ID: otp.IndexKeyID, Secret: secret})
	if err != nil {
		t.Fatalf("otptest: %v", err)
	}
	outbox, clock := &Outbox{}, &Clock{}
	cfg := otp.Config{
		Store:   memstore.New(),
		Keyring: keys,
		Senders: map[otp.Channel]otp.Sender{otp.SMS: outbox, otp.Email: outbox, otp.Voice: outbox, otp.WhatsApp: outbox},
		Now:     clock.Now,
	}
	for _, e := range edit {
		e(&cfg)
	}
	svc, err := otp.New(cfg)
	if err != nil {
		t.Fatalf("otptest: %v", err)
	}
	return svc, outbox, clock
}

// Queued puts a running [otp.Queue] before every sender that the configuration has, as
// requests with Conceal need. Messages then arrive after the service has answered: see
// [Outbox.Wait], or call Wait of package testing/synctest. The queues end with the test.
func Queued(t testing.TB) func(*otp.Config) {
	t.Helper()
	return func(cfg *otp.Config) {
		// Not the test's own context, which ends before its clean-up does: that may
		// still send.
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		var running sync.WaitGroup
		senders := make(map[otp.Channel]otp.Sender, len(cfg.Senders))
		for channel, sender := range cfg.Senders {
			q := otp.NewQueue(sender, queueSize)
			running.Go(func() { _ = q.Run(ctx) }) // its error is that ctx ended
			senders[channel] = q
		}
		cfg.Senders = senders
		t.Cleanup(func() {
			cancel()
			running.Wait()
		})
	}
}

// TestNumbers gives fixed codes to recipients in their canonical form, for end-to-end
// tests that cannot read an outbox. A code must be of the policy's formats: by default
// 6 digits, for e-mail 8. Messages to these recipients are sent, and neither they nor
// guesses at them count towards any limit, but for a challenge's own attempts and sends.
//
// A fixed code is a back door. So this needs a test: in a program that is not one it
// fails, and nothing outside this module can do the same without it.
func TestNumbers(t testing.TB, codes map[string]string) func(*otp.Config) {
	t.Helper()
	return testNumbers(t, testing.Testing(), codes)
}

func testNumbers(t testing.TB, inTest bool, codes map[string]string) func(*otp.Config) {
	t.Helper()
	none := func(*otp.Config) {}
	if !inTest {
		// A program may have made a testing.TB whose Fatal does nothing.
		t.Fatal("otptest: TestNumbers is for tests only")
		return none
	}
	for to, code := range codes {
		if to == "" || code == "" {
			t.Fatal("otptest: TestNumbers got an empty recipient or code")
			return none
		}
	}
	numbers := testnumbers.New(codes)
	return func(cfg *otp.Config) { cfg.InsecureTestNumbers = numbers }
}
