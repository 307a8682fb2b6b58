package twilioverify

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"otp.example/otp"
	"otp.example/otp/sender/internal/provider"
)

// Verifier returns what verifies the answers to those challenges of svc, and of its tenant
// alone, that p has sent. It is safe for concurrent use.
//
// Its errors are those of [otp.Service.Verify]; that Twilio could not tell is a fault. The
// attempt is counted before Twilio is asked.
func (p *Provider) Verifier(svc *otp.Service) otp.Verifier { return &verifier{p, svc} }

// maxID is more than any handle has, in bytes.
const maxID = 4096

type verifier struct {
	provider *Provider
	svc      *otp.Service
}

func (v *verifier) Verify(ctx context.Context, a otp.Answer) (otp.Proof, error) {
	if len(a.ID) <= maxID { // what is longer is refused, and not worth a hash
		// At the same time, right answers would use up the attempts that each needs to succeed.
		leave := v.provider.turns.take(ctx, a.ID)
		defer leave()
	}
	return core.VerifyExternal(ctx, v.svc, a, func(ctx context.Context, to, code string) (bool, error) {
		return v.provider.check(ctx, to, code, &a)
	})
}

// AttemptsLeft is how many answers to a challenge are left. That is one fewer than ch has
// attempts, since a right answer counts as two: MaxAttempts of 5 allows four answers. The
// [otp.MismatchError] of a Verifier counts like this already.
func AttemptsLeft(ch otp.Challenge) int { return max(0, ch.AttemptsLeft-1) }

// check asks Twilio whether a code has come to a recipient. The service has found usage and
// binding to be those of the challenge.
func (p *Provider) check(ctx context.Context, to, code string, a *otp.Answer) (bool, error) {
	service := p.cfg.ServiceSIDs[a.Usage]
	if service == "" || a.Binding != "" || !p.isCode(code) {
		return false, nil // Send refuses such a challenge, which a queue leaves live
	}
	var said checked
	_, err := p.client.Send(ctx, otp.Message{To: to, Code: otp.NewSecret(code)},
		p.request(service, "VerificationCheck", url.Values{"To": {to}, "Code": {code}}), &said)
	switch {
	case err == nil:
		return true, nil
	case said.wrong():
		return false, nil
	}
	// What it says of a message that was not accepted has no meaning for a check.
	text, _, _ := strings.Cut(err.Error(), ": "+otp.ErrNotAccepted.Error())
	return false, errors.New(text)
}

// checked is a verification after an answer, or an error, whose status is a number.
type checked struct {
	Status provider.Scalar `json:"status"`
	Valid  bool            `json:"valid"`
	Code   provider.Scalar `json:"code"`
}

// Outcome accepts a right code and nothing else.
func (a *checked) Outcome() provider.Outcome {
	o := provider.Outcome{Code: string(a.Code), Verdict: provider.Unknown}
	if a.Status == "approved" && a.Valid {
		o.Verdict = provider.Accepted
	}
	return o
}

// wrong reports whether Twilio has said that a code is wrong, or that there is none.
func (a *checked) wrong() bool {
	switch a.Code {
	case "20404", "60202": // no such verification; too many answers
		return true
	case "":
		switch a.Status {
		case "pending", "canceled", "max_attempts_reached", "deleted", "failed", "expired":
			return true
		}
	}
	return false
}
