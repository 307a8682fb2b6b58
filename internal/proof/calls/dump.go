package calls

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
)

// UseAll makes a service do all it does to a store, and returns what must not be there.
func UseAll(t *testing.T, svc *otp.Service, outbox *otptest.Outbox, clock *otptest.Clock) map[string]string {
	t.Helper()
	secrets := map[string]string{"extra data": "extra-data-kept", "the binding": "binding-of-it"}
	for i := range 4 {
		to, subject := fmt.Sprintf("+1555010123%d", i), fmt.Sprintf("subject-of-person-%d", i)
		ch, err := svc.Request(t.Context(), otp.Request{
			Channel: otp.SMS, Usage: "login", Subject: subject, To: to, Extra: []byte("extra-data-kept"), Binding: "binding-of-it",
			Policy: &otp.Policy{Formats: []otp.Format{{Length: 12}}},
		})
		require.NoError(t, err)
		code := outbox.Code(to)
		answer := otp.Answer{ID: ch.ID, Usage: "login", Binding: "binding-of-it", Code: strings.Repeat("0", len(code))}
		_, err = svc.Verify(t.Context(), answer)
		require.ErrorIs(t, err, otp.ErrRejected)
		clock.Advance(time.Minute)
		_, err = svc.Resend(t.Context(), otp.Resend{ID: ch.ID})
		require.NoError(t, err)
		secrets["a code of "+to], secrets["a second code of "+to] = code, outbox.Code(to)
		secrets["the handle of "+to], secrets["the recipient "+to], secrets["the subject of "+to] = ch.ID, strings.TrimPrefix(to, "+"), subject
		switch i {
		case 0:
			answer.Code = outbox.Code(to)
			proof, err := svc.Verify(t.Context(), answer)
			require.NoError(t, err)
			token, err := svc.Token(proof, time.Minute)
			require.NoError(t, err)
			_, err = svc.Redeem(t.Context(), token.Reveal(), "login")
			require.NoError(t, err)
			secrets["a token"] = token.Reveal()
		case 1:
			require.NoError(t, svc.Cancel(t.Context(), ch.ID))
		}
	}
	return secrets
}

// Holds looks in a dump for the encodings in which a secret may be written.
func Holds(dump, secret []byte) bool {
	reversed := slices.Clone(secret)
	slices.Reverse(reversed)
	var wide []byte
	for _, u := range utf16.Encode([]rune(string(secret))) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	lower := bytes.ToLower(dump)
	for _, form := range [][]byte{
		secret, reversed, wide,
		[]byte(hex.EncodeToString(secret)),
		[]byte(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret)),
		[]byte(base64.RawStdEncoding.EncodeToString(secret)),
		[]byte(base64.RawURLEncoding.EncodeToString(secret)),
	} {
		if bytes.Contains(dump, form) || bytes.Contains(lower, bytes.ToLower(form)) {
			return true
		}
	}
	return false
}
