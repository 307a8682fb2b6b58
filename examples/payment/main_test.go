package main

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"otp.example/otp/otptest"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))

	got := out.String()
	for _, mask := range []struct{ pattern, with string }{
		{`\b\d{6}\b`, "######"},
		{`order [A-Z2-7]{8}\b`, "order ########"},
	} {
		got = regexp.MustCompile(mask.pattern).ReplaceAllString(got, mask.with)
	}
	require.Equal(t, `A code for no payment in particular? Refused.
Ann's phone shows: ###### is your code for payment. It confirms: 49.90 EUR to Blue Bottle Books, order ########. It is valid for 5 minutes. Do not share it.
Her code with another amount? Refused, as a wrong code.
Her code with another payee? Refused, as a wrong code.
Her code with another order? Refused, as a wrong code.
Her code with her transfer? Done: 49.90 EUR to Blue Bottle Books, order ########, confirmed by ann with a code to +12025550100.
The same again? Refused: the code was used.
`, got)
}

// S-70: a payee cannot be named so that two transfers read alike.
func TestBindingIsInjective(t *testing.T) {
	seen := map[string]transfer{}
	for _, cents := range []int64{1, 10, 100, 110} {
		for _, payee := range []string{"A", "A, order X", "A, order X, order Y", "0.01 EUR to A"} {
			for _, order := range []string{"X", "Y"} {
				tr := transfer{cents, payee, order}
				require.NotContains(t, seen, tr.binding())
				seen[tr.binding()] = tr
			}
		}
	}
}

// What the code is bound to, the message shows.
func TestMessageShowsTheTransfer(t *testing.T) {
	var box otptest.Outbox
	svc, err := newService(&box)
	require.NoError(t, err)
	tr := transfer{4990, "Blue Bottle Books", "ABCDEFGH"}
	ch, err := svc.Request(t.Context(), request(tr))
	require.NoError(t, err)
	require.Contains(t, box.Last("+12025550100").Content.Text, "49.90 EUR to Blue Bottle Books, order ABCDEFGH")
	_, err = confirm(t.Context(), svc, ch.ID, box.Code("+12025550100"), tr)
	require.NoError(t, err)
}
