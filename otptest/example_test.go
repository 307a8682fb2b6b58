package otptest_test

import (
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/otptest"
)

// The code under test: an app that sends a code and lets in whoever returns it.
type app struct{ otp *otp.Service }

func (a *app) send(t *testing.T, phone string) (handle string, err error) {
	ch, err := a.otp.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", Subject: "ann", To: phone})
	return ch.ID, err
}

func (a *app) verify(t *testing.T, handle, code string) (user string, err error) {
	proof, err := a.otp.Verify(t.Context(), otp.Answer{ID: handle, Code: code, Usage: "login"})
	return proof.Subject(), err
}

// The test of an app's login flow.
func TestLogin(t *testing.T) {
	svc, outbox, clock := otptest.NewService(t)
	a := &app{svc}
	handle, err := a.send(t, "+12025550100")
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(4 * time.Minute)
	user, err := a.verify(t, handle, outbox.Code("+12025550100"))
	if err != nil || user != "ann" {
		t.Errorf("got %q, %v", user, err)
	}
}

// The same with a fixed code, as for a browser test that cannot read the outbox.
func TestLoginWithTestNumber(t *testing.T) {
	svc, _, _ := otptest.NewService(t, otptest.TestNumbers(t, map[string]string{"+12025550100": "424242"}))
	a := &app{svc}
	for range 10 { // no limit is in the way
		handle, err := a.send(t, "+12025550100")
		if err != nil {
			t.Fatal(err)
		}
		if user, err := a.verify(t, handle, "424242"); err != nil || user != "ann" {
			t.Errorf("got %q, %v", user, err)
		}
	}
}
