package otp_test

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// S-13 S-49 S-77 FM-44: whatever a store is given, at any call, holds no code, handle,
// recipient or subject in any common encoding, also while a message waits in a queue.
func TestStoreSeesNoSecret(t *testing.T) {
	t.Parallel()
	spy := &spy{ChargingStore: memstore.New()}
	box := &outbox{}
	queue := otp.NewQueue(box, 10) // nobody runs it, so its message waits
	w := newWorld(t, func(c *otp.Config) {
		c.Store = spy
		c.Senders = map[otp.Channel]otp.Sender{otp.SMS: box, otp.Email: box, otp.Voice: queue}
	})
	secrets := []string{"subject-of-nobody", "binding-data", "extra-data", "order-4711", "key-of-a-session"}
	for i, r := range []otp.Request{
		{Channel: otp.SMS, To: "+4930998877", Extra: []byte("extra-data"), Binding: "binding-data"},
		{Channel: otp.Email, To: "Somebody.Else@example.com", Reference: "order-4711"},
		{Channel: otp.SMS, To: "+4930998866", IdempotencyKey: "key-of-a-session", Fallback: []otp.Route{{Channel: otp.Email, To: "other@example.net"}}},
		{Channel: otp.Voice, To: "+4930998855", Conceal: true, Code: otp.NewSecret("918273")},
	} {
		r.Usage, r.Subject, r.Client = "login", "subject-of-nobody", netip.MustParseAddr("198.51.100.77")
		ch := w.request(r)
		secrets = append(secrets, ch.ID, r.To, "198.51.100.77")
		code := "918273"
		if r.Channel != otp.Voice {
			code = box.code(t)
		}
		secrets = append(secrets, code)
		_, err := w.answer(otp.Answer{ID: ch.ID, Code: wrong(code), Usage: "login", Binding: r.Binding})
		require.Error(t, err)
		w.clock.advance(4 * time.Minute)
		_, err = w.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		if i < 2 {
			secrets = append(secrets, box.code(t))
			p, err := w.answer(otp.Answer{ID: ch.ID, Code: code, Usage: "login", Binding: r.Binding})
			require.NoError(t, err)
			_, err = w.Redeem(t.Context(), w.token(p, time.Minute), "login")
			require.NoError(t, err)
		} else {
			require.NoError(t, w.Cancel(t.Context(), ch.ID))
		}
	}
	text := spy.text.String()
	require.NotEmpty(t, text)
	for _, secret := range secrets {
		for name, encoded := range encodings(secret) {
			require.NotContains(t, text, encoded, name)
		}
	}
	require.Contains(t, text, strings.Repeat("A", 8)+"canary", "the search finds what is there")
}

// encodings are the spellings that a dump of a database may show.
func encodings(s string) map[string]string {
	reversed := []byte(s)
	slices.Reverse(reversed)
	wide := make([]byte, 0, 2*len(s))
	for _, b := range []byte(s) {
		wide = append(wide, b, 0)
	}
	return map[string]string{
		"raw": s, "reversed": string(reversed), "UTF-16": string(wide),
		"hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))),
		"base64": base64.RawStdEncoding.EncodeToString([]byte(s)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(s)),
		"base32": strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(s)), "="),
	}
}

// A spy keeps everything that a store is given.
type spy struct {
	otp.ChargingStore
	mu   sync.Mutex
	text strings.Builder
}

func (s *spy) note(values ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		switch v := v.(type) {
		case otp.Record:
			s.text.WriteString(v.ID + "\n")
			s.text.Write(v.Digests)
			s.text.Write(v.Sealed)
		case []otp.Charge:
			for _, c := range v {
				s.text.WriteString(c.Scope + c.Key + "\n")
			}
		case []byte:
			s.text.Write(v)
		case string:
			s.text.WriteString(v)
		}
	}
	s.text.WriteString(strings.Repeat("A", 8) + "canary\n")
}

func (s *spy) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	s.note(r)
	return s.ChargingStore.Put(ctx, r, now)
}

func (s *spy) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	s.note(r, c)
	return s.ChargingStore.PutCharged(ctx, r, c, now)
}

func (s *spy) ReissueCharged(ctx context.Context, id string, d []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	s.note(id, d, c)
	return s.ChargingStore.ReissueCharged(ctx, id, d, live, c, now)
}

func (s *spy) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	s.note(id, candidates)
	return s.ChargingStore.Spend(ctx, id, candidates, now)
}

func (s *spy) GiveAll(ctx context.Context, c []otp.Charge) error {
	s.note(c)
	return s.ChargingStore.GiveAll(ctx, c)
}

func (s *spy) Take(ctx context.Context, key string, cost int64, l []otp.Limit, now time.Time) (otp.Decision, error) {
	s.note(key)
	return s.ChargingStore.Take(ctx, key, cost, l, now)
}
