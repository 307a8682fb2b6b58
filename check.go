package otp

import (
	"context"
	"slices"
	"strings"
	"unicode"
)

const (
	maxSubject   = 256
	maxBinding   = 1024
	maxExtra     = 1024
	maxReference = 256
	maxFallback  = 4
	maxLocale    = 35
)

// check makes r canonical. Nothing else reads a field before it was here.
func (s *Service) check(ctx context.Context, r *Request, sends bool) error {
	if problem := checkText(s.tenant, maxTenant); problem != "" {
		return invalid("Tenant", problem)
	}
	for _, f := range []struct {
		field, value string
		limit        int
	}{
		{"Subject", r.Subject, maxSubject},
		{"Binding", r.Binding, maxBinding},
		{"Reference", r.Reference, maxReference},
		{"IdempotencyKey", r.IdempotencyKey, maxReference},
	} {
		if problem := checkText(f.value, f.limit); problem != "" {
			return invalid(f.field, problem)
		}
	}
	switch {
	case r.Binding != "" && strings.IndexFunc(r.Binding, isVisible) < 0:
		return invalid("Binding", "has nothing that can be seen")
	case !isLabel(string(r.Usage)):
		return invalid("Usage", "is not 1 to 32 lower-case letters, digits, '.', '-' and '_'")
	case len(r.Extra) > maxExtra:
		return invalid("Extra", "is longer than 1024 bytes")
	case r.Locale != "" && !isName(r.Locale, maxLocale):
		return invalid("Locale", "is not a BCP 47 tag")
	case len(r.Fallback) > maxFallback:
		return invalid("Fallback", "has more than 4 routes")
	case r.Reference != "" && r.IdempotencyKey != "":
		return invalid("IdempotencyKey", "cannot be used together with Reference")
	case !sends && r.IdempotencyKey != "":
		return invalid("IdempotencyKey", "cannot be used with Issue")
	case !sends && r.Conceal:
		return invalid("Conceal", "cannot be used with Issue")
	}
	r.Extra = slices.Clone(r.Extra)
	r.Fallback = slices.Clone(r.Fallback)

	var err error
	if r.To, err = s.checkRoute(ctx, "", Route{Channel: r.Channel, To: r.To}, sends, r.Conceal); err != nil {
		return err
	}
	seen := []Channel{r.Channel}
	for i := range r.Fallback {
		f := &r.Fallback[i]
		if slices.Contains(seen, f.Channel) {
			return invalid("Fallback", "names a channel twice")
		}
		seen = append(seen, f.Channel)
		if f.To, err = s.checkRoute(ctx, "Fallback.", *f, sends, r.Conceal); err != nil {
			return err
		}
	}
	return nil
}

// checkRoute returns the canonical recipient of a route.
func (s *Service) checkRoute(ctx context.Context, field string, route Route, sends, conceal bool) (string, error) {
	if !isLabel(string(route.Channel)) {
		return "", invalid(field+"Channel", "is empty or malformed")
	}
	if sends {
		sender, ok := s.cfg.Senders[route.Channel]
		if !ok {
			return "", invalid(field+"Channel", "has no sender")
		}
		if _, queued := sender.(*Queue); conceal && !queued {
			return "", invalid("Conceal", "needs a Queue as the sender of the channel")
		}
	}
	to := route.To
	if s.cfg.Normalize != nil && len(to) <= maxRecipient {
		var err error
		if to, err = s.cfg.Normalize(ctx, route.Channel, to); err != nil {
			return "", invalid(field+"To", "could not be normalized")
		}
	}
	to, problem := canonicalRecipient(route.Channel, to)
	if problem != "" {
		return "", invalid(field+"To", problem)
	}
	return to, nil
}

func isVisible(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// routes lists all ways of r, the requested one first.
func (r *Request) routes() []Route {
	return append([]Route{{Channel: r.Channel, To: r.To}}, r.Fallback...)
}
