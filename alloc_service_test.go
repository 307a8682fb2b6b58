package otp_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"otp.example/otp"
)

// What whole operations on memstore allocate, so that it does not creep up: those of
// BenchmarkVerify and BenchmarkRequest.
func TestServiceAllocations(t *testing.T) {
	if otp.RaceEnabled {
		return
	}
	var code otp.Secret
	svc, now := benchService(t, otp.SenderFunc(func(_ context.Context, m otp.Message) (otp.Receipt, error) {
		code = m.Code
		return otp.Receipt{}, nil
	}))
	ctx, client := t.Context(), netip.MustParseAddr("192.0.2.1")

	const runs = 200
	requests := make([]otp.Request, runs+1) // AllocsPerRun makes one call more
	answers := make([]otp.Answer, len(requests))
	for i := range requests {
		requests[i] = otp.Request{Channel: otp.SMS, Usage: "login", Subject: fmt.Sprint("s", i), To: fmt.Sprintf("+49%09d", 100000000+i), Client: client}
	}
	count := func(f func(i int) error) float64 {
		i := 0
		return testing.AllocsPerRun(runs, func() {
			if err := f(i); err != nil {
				t.Fatal(err)
			}
			i++
		})
	}
	atMost := func(want float64, what string, got float64) {
		t.Helper()
		if got > want {
			t.Errorf("%s: %v allocations, want at most %v", what, got, want)
		}
	}

	var request float64
	for range 10 { // until the store does not grow any more
		later(t, svc, now)
		request = count(func(i int) error {
			ch, err := svc.Request(ctx, requests[i])
			answers[i] = otp.Answer{ID: ch.ID, Code: code.Reveal(), Usage: "login"}
			return err
		})
	}
	atMost(49, "Request with 7 charges", request)
	atMost(6, "Verify, wrong code", count(func(i int) error {
		a := answers[i]
		a.Binding = "x"
		if _, err := svc.Verify(ctx, a); !errors.Is(err, otp.ErrMismatch) {
			return fmt.Errorf("the error is %w", err)
		}
		return nil
	}))
	atMost(22, "Verify, right code", count(func(i int) error {
		_, err := svc.Verify(ctx, answers[i])
		return err
	}))
}
