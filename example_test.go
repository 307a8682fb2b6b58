package otp_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// A phone keeps the last message, as the person's telephone would.
type phone struct{ last otp.Message }

func (p *phone) Send(_ context.Context, m otp.Message) (otp.Receipt, error) {
	p.last = m
	return otp.Receipt{Provider: "example"}, nil
}

func (p *phone) code() string { return p.last.Code.Reveal() }

func exampleKeyring() *otp.Keyring {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	kr, err := otp.NewKeyring(otp.Key{ID: "k1", Secret: secret}, otp.Key{ID: otp.IndexKeyID, Secret: secret})
	if err != nil {
		panic(err)
	}
	return kr
}

func exampleService(p *phone, edit ...func(*otp.Config)) *otp.Service {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cfg := otp.Config{
		Store: memstore.New(), Keyring: exampleKeyring(), Now: func() time.Time { return now },
		Senders: map[otp.Channel]otp.Sender{otp.SMS: p, otp.Email: p},
	}
	for _, f := range edit {
		f(&cfg)
	}
	svc, err := otp.New(cfg)
	if err != nil {
		panic(err)
	}
	return svc
}

func ExampleNew() {
	_, err := otp.New(otp.Config{Store: memstore.New()})
	fmt.Println(err)
	// Output: otp: Config.Keyring is required
}

func ExampleService_Request() {
	var p phone
	svc := exampleService(&p)
	ch, err := svc.Request(context.Background(), otp.Request{
		Channel: otp.SMS, Usage: "login", Subject: "alice", To: "+4930123456", Client: netip.MustParseAddr("192.0.2.7"),
	})
	fmt.Println(err, ch.Status, "until", ch.ExpiresAt.Format(time.TimeOnly), "with", ch.AttemptsLeft, "attempts")
	fmt.Println(strings.Replace(p.last.Content.Text, p.code(), "NNNNNN", 1))

	_, err = svc.Request(context.Background(), otp.Request{Channel: otp.SMS, Usage: "login", To: "030 123456"})
	fmt.Println(err)
	// Output:
	// <nil> pending until 12:05:00 with 5 attempts
	// NNNNNN is your code for login. It is valid for 5 minutes. Do not share it.
	// otp: invalid request: To is not an E.164 number such as +12025550100
}

func ExampleService_Verify() {
	var p phone
	svc, ctx := exampleService(&p), context.Background()
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: "+4930123456"})
	if err != nil {
		panic(err)
	}
	for _, usage := range []otp.Usage{"payment", "login", "login"} {
		proof, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: p.code(), Usage: usage})
		switch {
		case err == nil:
			fmt.Println("yes:", proof.Subject(), "has", proof.Recipient())
		case errors.Is(err, otp.ErrRejected):
			fmt.Println("no:", err)
		default:
			fmt.Println("could not tell, so no:", err)
		}
	}
	// Output:
	// no: otp: rejected
	// yes: alice has +4930123456
	// no: otp: rejected
}

func ExampleService_Issue() {
	svc, ctx := exampleService(&phone{}), context.Background()
	ch, code, err := svc.Issue(ctx, otp.Request{Channel: "letter", Usage: "login", Subject: "alice", To: "customer-7"})
	fmt.Println(err, len(code.Reveal()), code) // a Secret does not print
	_, err = svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"})
	fmt.Println(err)
	// Output:
	// <nil> 6 [redacted]
	// <nil>
}

func ExampleService_Resend() {
	var p phone
	svc, ctx := exampleService(&p), context.Background()
	ch, err := svc.Request(ctx, otp.Request{
		Channel: otp.SMS, Usage: "login", Subject: "alice", To: "+4930123456",
		Fallback: []otp.Route{{Channel: otp.Email, To: "alice@example.com"}},
	})
	if err != nil {
		panic(err)
	}
	_, err = svc.Resend(ctx, otp.Resend{ID: ch.ID})
	var limited *otp.RateLimitError
	fmt.Println(errors.As(err, &limited), limited.Scope, limited.RetryAfter)
	_, err = svc.Resend(ctx, otp.Resend{ID: ch.ID, Channel: otp.Email})
	fmt.Println(err, p.last.To)
	// Output:
	// true recipient 30s
	// <nil> alice@example.com
}

func ExampleService_Cancel() {
	var p phone
	svc, ctx := exampleService(&p), context.Background()
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", To: "+4930123456"})
	if err != nil {
		panic(err)
	}
	fmt.Println(svc.Cancel(ctx, ch.ID))
	_, err = svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: p.code(), Usage: "login"})
	fmt.Println(errors.Is(err, otp.ErrCanceled))
	// Output:
	// <nil>
	// true
}

func ExampleService_Status() {
	svc, ctx := exampleService(&phone{}), context.Background()
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", To: "+4930123456"})
	if err != nil {
		panic(err)
	}
	st, err := svc.Status(ctx, ch.ID)
	fmt.Println(err, st.Status, st.SendsLeft, "more sends from", st.ResendAt.Format(time.TimeOnly))
	// Output: <nil> pending 2 more sends from 12:00:30
}

func ExampleService_Canonical() {
	svc := exampleService(&phone{})
	to, err := svc.Canonical(context.Background(), otp.Email, "Alice@Example.COM")
	fmt.Println(to, err)
	_, err = svc.Canonical(context.Background(), otp.Email, "alice@example.com,bob@example.com")
	fmt.Println(err)
	// Output:
	// Alice@example.com <nil>
	// otp: invalid request: To does not have exactly one @
}

func ExampleService_Reference() {
	var p phone
	svc, ctx := exampleService(&p), context.Background()
	_, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "pickup", To: "+4930123456", Reference: "order 7"})
	if err != nil {
		panic(err)
	}
	proof, err := svc.Verify(ctx, otp.Answer{ID: svc.Reference("pickup", "order 7"), Code: p.code(), Usage: "pickup"})
	fmt.Println(err, proof.Recipient())
	// Output: <nil> +4930123456
}

func ExampleService_Tenant() {
	var p phone
	svc, ctx := exampleService(&p), context.Background()
	ch, err := svc.Tenant("acme").Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", To: "+4930123456"})
	if err != nil {
		panic(err)
	}
	_, err = svc.Tenant("other").Verify(ctx, otp.Answer{ID: ch.ID, Code: p.code(), Usage: "login"})
	fmt.Println(errors.Is(err, otp.ErrNotFound))
	proof, err := svc.Tenant("acme").Verify(ctx, otp.Answer{ID: ch.ID, Code: p.code(), Usage: "login"})
	fmt.Println(err, proof.Tenant())
	// Output:
	// true
	// <nil> acme
}

func ExampleService_Token() {
	var p phone
	svc, ctx := exampleService(&p), context.Background()
	ch, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "password_reset", Subject: "alice", To: "+4930123456"})
	if err != nil {
		panic(err)
	}
	proof, err := svc.Verify(ctx, otp.Answer{ID: ch.ID, Code: p.code(), Usage: "password_reset"})
	if err != nil {
		panic(err)
	}
	token, err := svc.Token(proof, 10*time.Minute) // goes into the form that asks for the new password
	fmt.Println(err, token)
	for range 2 {
		again, err := svc.Redeem(ctx, token.Reveal(), "password_reset")
		fmt.Println(again.Subject(), err)
	}
	// Output:
	// <nil> [redacted]
	// alice <nil>
	//  otp: rejected
}

func ExampleService_Redeem() {
	svc := exampleService(&phone{})
	_, err := svc.Redeem(context.Background(), "made up", "password_reset")
	fmt.Println(errors.Is(err, otp.ErrRejected))
	// Output: true
}

func ExampleService_Prune() {
	svc, ctx := exampleService(&phone{}), context.Background()
	if _, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", To: "+4930123456"}); err != nil {
		panic(err)
	}
	n, err := svc.Prune(ctx, time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)) // from a timer of yours
	fmt.Println(n, err)
	// Output: 1 <nil>
}

// What an audit trail is asked for, when somebody complains about messages.
func ExampleService_RecipientPseudonym() {
	svc := exampleService(&phone{})
	a, err := svc.RecipientPseudonym(context.Background(), otp.Email, "ann+login@example.com")
	b, _ := svc.RecipientPseudonym(context.Background(), otp.Email, "ANN@example.com")
	fmt.Println(len(a), a == b, err)
	// Output: 22 true <nil>
}

func ExampleService_SubjectPseudonym() {
	var shown string
	svc := exampleService(&phone{}, func(c *otp.Config) {
		c.OnEvent = func(_ context.Context, e otp.Event) { shown = e.Subject }
	})
	_, err := svc.Request(context.Background(), otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: "+4930123456"})
	fmt.Println(err, shown == svc.SubjectPseudonym("alice"), shown == "alice")
	// Output: <nil> true false
}

func ExampleNewPolicies() {
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{
		{Usage: "payment"}: {MaxAttempts: 3, RequireBinding: true},
	})
	fmt.Println(err)
	err = policies.Replace(map[otp.PolicyKey]otp.Policy{{}: {TTL: time.Hour}})
	fmt.Println(err)
	_, err = otp.NewPolicies(otp.PSD2, map[otp.PolicyKey]otp.Policy{{Usage: "payment"}: {MaxAttempts: 6}})
	fmt.Println(err)
	// Output:
	// <nil>
	// otp: Policy.TTL is not 30s to 10m0s (policy of tenant "" channel "" usage "")
	// otp: Policy.MaxAttempts is weaker than preset PSD2 allows (policy of tenant "" channel "" usage "payment")
}

func ExamplePolicies_Policy() {
	policies, err := otp.NewPolicies(otp.NIST, nil)
	if err != nil {
		panic(err)
	}
	_, err = policies.Policy(context.Background(), otp.PolicyKey{Channel: otp.Email, Usage: "login"})
	fmt.Println(err)
	// Output: otp: refused: preset NIST does not allow e-mail for usage login
}

func ExamplePolicy_Validate() {
	fmt.Println(otp.Policy{Formats: []otp.Format{{Length: 4}}}.Validate())
	// Output: otp: Policy.Formats has a format of fewer than 1e6 codes
}

func ExampleFailover() {
	down := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
		return otp.Receipt{}, fmt.Errorf("%w: 503", otp.ErrNotAccepted)
	})
	s := otp.Failover(down, &phone{})
	receipt, err := s.Send(context.Background(), otp.Message{To: "+4930123456"})
	fmt.Println(receipt.Provider, err)
	// Output: example <nil>
}

func ExampleNewQueue() {
	var p phone
	q := otp.NewQueue(&p, 1000)
	svc := exampleService(&p, func(c *otp.Config) { c.Senders[otp.SMS] = q })

	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- q.Run(ctx) }()

	// Whether alice exists, can be reached or is limited: the answer is the same.
	_, err := svc.Request(ctx, otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: "+4930123456", Conceal: true})
	fmt.Println(err)
	stop() // what is in the queue is still sent
	fmt.Println(<-stopped, p.last.To)
	// Output:
	// <nil>
	// context canceled +4930123456
}

func ExampleBreaker() {
	calls := 0
	s := otp.Breaker(otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) {
		calls++
		return otp.Receipt{}, errors.New("time-out")
	}))
	for range 100 {
		_, _ = s.Send(context.Background(), otp.Message{})
	}
	fmt.Println(calls)
	// Output: 5
}

func ExampleConsole() {
	s := otp.Console(os.Stdout)
	_, _ = s.Send(context.Background(), otp.Message{
		Channel: otp.SMS, To: "+4930123456", Content: otp.Content{Text: "123456 is your code."},
	})
	// Output: sms to +4930123456: 123456 is your code.
}

func ExampleDefaultRender() {
	c, _ := otp.DefaultRender(context.Background(), otp.Message{
		Channel: otp.Voice, Usage: "payment", Code: otp.NewSecret("123456"), Binding: "10 EUR to Bob", TTL: 5 * time.Minute,
	})
	fmt.Println(c.Text)
	// Output: 1, 2, 3, 4, 5, 6 is your code for payment. It confirms: 10 EUR to Bob. It is valid for 5 minutes. Do not share it.
}

func ExampleDefaultGuard() {
	svc := exampleService(&phone{})
	_, err := svc.Request(context.Background(), otp.Request{Channel: otp.SMS, Usage: "login", To: "+881612345678"})
	fmt.Println(err)
	// Output: otp: refused: numbers of +881 belong to no country
}

func ExampleDefaultGuessLimits() {
	for _, l := range otp.DefaultGuessLimits() {
		fmt.Println(l.N, l.Per)
	}
	// Output:
	// 20000 24h0m0s
	// 80000 720h0m0s
	// 80000 0s
}

func ExampleKeyring_Rotate() {
	random := func() []byte {
		b := make([]byte, 32)
		_, _ = rand.Read(b)
		return b
	}
	first, second := random(), random()
	kr, err := otp.NewKeyring(otp.Key{ID: "k1", Secret: first}, otp.Key{ID: otp.IndexKeyID, Secret: first})
	fmt.Println(err)

	// In every process, before any goes on: what one seals all must be able to open.
	fmt.Println(kr.Add(otp.Key{ID: "k2", Secret: second}))

	// Then in every process. What k1 has sealed still opens.
	fmt.Println(kr.Rotate(otp.Key{ID: "k2", Secret: second}))

	// Here one waits until all have rotated, the last challenge and the last token of k1
	// have expired, which takes an hour, or as long as a policy lets codes by e-mail live,
	// and Service.Reseal has returned nil. Then nothing is left that needs k1.
	fmt.Println(kr.Retire("k1"))

	// A process that starts has its keys from a configuration. The first secret ever used
	// stays in it for good, as the index key: limits, ledgers and credentials are found
	// by pseudonyms made with it.
	_, err = otp.NewKeyring(otp.Key{ID: "k2", Secret: second}, otp.Key{ID: otp.IndexKeyID, Secret: first})
	fmt.Println(err)
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// <nil>
	// <nil>
}

func ExampleKeyringFromEnv() {
	_, err := otp.KeyringFromEnv("OTP_KEY_THAT_IS_NOT_SET")
	fmt.Println(err)
	// Output: otp: Keyring: no key is given (environment variable OTP_KEY_THAT_IS_NOT_SET)
}

func ExampleKeyringFromFile() {
	_, err := otp.KeyringFromFile(filepath.Join("testdata", "no-such-file"))
	fmt.Println(errors.Is(err, os.ErrNotExist))
	// Output: true
}

func ExampleParseKeyring() {
	_, err := otp.ParseKeyring("k1:c2hvcnQ=")
	fmt.Println(err)
	// Output: otp: Key.Secret of "k1" is shorter than 32 bytes
}

func ExampleLogEvents() {
	h := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "at" || a.Key == "challenge" || a.Key == "subject" {
			return slog.Attr{}
		}
		return a
	}})
	svc := exampleService(&phone{}, func(c *otp.Config) { c.OnEvent = otp.LogEvents(slog.New(h)) })
	_, _ = svc.Request(context.Background(), otp.Request{Channel: otp.SMS, Usage: "login", Subject: "alice", To: "+4930123456"})
	// Output:
	// level=INFO msg=otp event=requested to=+49***56 channel=sms usage=login
	// level=INFO msg=otp event=sent to=+49***56 channel=sms usage=login provider=example
}

func ExampleNewSecret() {
	s := otp.NewSecret("123456")
	fmt.Printf("%v %+v %#v %s %q %x\n", s, s, s, s, s, s)
	fmt.Println(s.Reveal())
	// Output:
	// [redacted] [redacted] [redacted] [redacted] [redacted] [redacted]
	// 123456
}

func ExampleMeter() {
	limits := []otp.Limit{{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}}
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var m otp.Meter
	for minute := range 5 {
		var d otp.Decision
		m, d = m.Take(1, limits, start.Add(time.Duration(minute)*time.Minute))
		fmt.Println(d.OK, d.RetryAfter)
	}
	// Output:
	// true 0s
	// true 0s
	// true 0s
	// false 7m0s
	// false 6m0s
}
