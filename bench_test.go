package otp_test

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// The floors are the same cryptography through the standard library and x/crypto, keys
// prepared once, with nothing around it: what no implementation of this design can do
// without. Each benchmark times both in turn and reports their ratio.

type floor struct {
	mac     hash.Hash
	aead    cipher.AEAD
	nonce   []byte
	buf     []byte
	message [96]byte
	sealed  []byte
	opened  []byte // the nonce of sealed
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

func newFloor(b *testing.B) *floor {
	f := &floor{mac: hmac.New(sha256.New, randomBytes(32)), nonce: randomBytes(chacha20poly1305.NonceSizeX), buf: make([]byte, 0, 512)}
	var err error
	if f.aead, err = chacha20poly1305.NewX(randomBytes(32)); err != nil {
		b.Fatal(err)
	}
	f.opened = bytes.Clone(f.nonce)
	f.sealed = f.aead.Seal(nil, f.nonce, f.message[:], nil)
	return f
}

// hmacs, sums and seals are what one operation needs.
func (f *floor) run(hmacs, sums, seals, opens int) {
	for range hmacs {
		f.mac.Reset()
		f.mac.Write(f.message[:])
		f.buf = f.mac.Sum(f.buf[:0])
	}
	for range sums {
		s := sha256.Sum256(f.message[:])
		f.buf = append(f.buf[:0], s[:]...)
	}
	for range seals {
		_, _ = rand.Read(f.nonce)
		f.buf = f.aead.Seal(f.buf[:0], f.nonce, f.message[:], nil)
	}
	for range opens {
		f.buf, _ = f.aead.Open(f.buf[:0], f.opened, f.sealed, nil)
	}
}

func benchService(b testing.TB, box otp.Sender) (svc *otp.Service, now *time.Time) {
	kr, err := otp.NewKeyring(otp.Key{ID: "k", Secret: randomBytes(32)})
	if err != nil {
		b.Fatal(err)
	}
	many := []otp.Limit{{N: 1e9, Per: time.Second}}
	policies, err := otp.NewPolicies(otp.Default, map[otp.PolicyKey]otp.Policy{{}: {Limits: otp.Limits{Recipient: many, Subject: many, Client: many, Prefix: many}}})
	if err != nil {
		b.Fatal(err)
	}
	now = new(time.Now())
	svc, err = otp.New(otp.Config{
		Store: memstore.New(), Keyring: kr, Senders: map[otp.Channel]otp.Sender{otp.SMS: box}, Policies: policies, Now: func() time.Time { return *now },
		TenantGuessLimit: otp.Limit{N: 1e9, Per: time.Hour},
	})
	if err != nil {
		b.Fatal(err)
	}
	return svc, now
}

const benchBatch = 4096

// later forgets a batch. Otherwise what is measured would depend on how long it is: the
// tenant's guesses run out, and the store grows.
func later(b testing.TB, svc *otp.Service, now *time.Time) {
	*now = now.Add(400 * 24 * time.Hour)
	if _, err := svc.Prune(b.Context(), *now); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	var code otp.Secret
	box := otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		code = m.Code
		return otp.Receipt{}, nil
	})
	f := newFloor(b)
	type made struct {
		first    int // of its batch
		id, code string
	}
	for _, right := range []bool{false, true} {
		name, guesses := "wrong", 5
		if right {
			name, guesses = "right", 1
		}
		b.Run(name, func(b *testing.B) {
			svc, now := benchService(b, box)
			var batch []made
			next := func(i int) made {
				if len(batch) == 0 || i%benchBatch == 0 && batch[0].first != i {
					b.StopTimer()
					later(b, svc, now)
					batch = batch[:0]
					for j := range benchBatch {
						ch, err := svc.Request(b.Context(), otp.Request{Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("s", i+j), To: fmt.Sprintf("+49%09d", 100000000+i+j)})
						if err != nil {
							b.Fatal(err)
						}
						batch = append(batch, made{i, ch.ID, code.Reveal()})
					}
					b.StartTimer()
				}
				return batch[i%benchBatch]
			}
			var took, least time.Duration
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				m := next(i / guesses)
				a := otp.Answer{ID: m.id, Code: m.code, Usage: "login"}
				if !right {
					a.Binding = "x"
				}
				start := time.Now()
				_, err := svc.Verify(b.Context(), a)
				took += time.Since(start)
				if (err == nil) != right {
					b.Fatal(err)
				}
				start = time.Now()
				if right {
					// Handle, record, digest; then the payload, and the name of the proof.
					f.run(1, 2, 0, 2)
				} else {
					f.run(1, 1, 0, 1)
				}
				least += time.Since(start)
				i++
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(i), "op-ns")
			b.ReportMetric(float64(took)/float64(least), "x-floor")
		})
	}
}

func BenchmarkRequest(b *testing.B) {
	box := otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, nil })
	f := newFloor(b)
	client := netip.MustParseAddr("192.0.2.1")
	svc, now := benchService(b, box)
	var took, least time.Duration
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if i%benchBatch == 0 {
			b.StopTimer()
			later(b, svc, now)
			b.StartTimer()
		}
		r := otp.Request{Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("s", i), To: fmt.Sprintf("+49%09d", 100000000+i), Client: client}
		start := time.Now()
		_, err := svc.Request(b.Context(), r)
		took += time.Since(start)
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		// Pseudonyms of subject, recipient, client, prefix and client's share, and the
		// digest; the record; payload and handle; nonce and code.
		f.run(6, 1, 2, 0)
		_ = randomBytes(16)
		_, _ = rand.Read(f.message[:8])
		least += time.Since(start)
		i++
	}
	b.ReportMetric(float64(took.Nanoseconds())/float64(i), "op-ns")
	b.ReportMetric(float64(took)/float64(least), "x-floor")
}

// BenchmarkVerifyParallel is for -cpu 1,2: how much a second core adds.
func BenchmarkVerifyParallel(b *testing.B) {
	svc, _ := benchService(b, otp.SenderFunc(func(context.Context, otp.Message) (otp.Receipt, error) { return otp.Receipt{}, nil }))
	ids := make([]string, 1024)
	for i := range ids {
		ch, err := svc.Request(b.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: fmt.Sprintf("+49%09d", 100000000+i)})
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = ch.ID
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, err := svc.Verify(context.Background(), otp.Answer{ID: ids[i%len(ids)], Code: "000000", Usage: "none"}); err == nil {
				b.Error("verified")
			}
		}
	})
}
