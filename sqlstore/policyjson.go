package sqlstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"otp.example/otp"
)

// A policyText is an otp.Policy as an administrator reads and writes it: the same names
// and shape, but times as "5m".
type policyText struct {
	Formats        []otp.Format `json:"formats,omitempty"`
	TTL            period       `json:"ttl,omitzero"`
	MaxAttempts    int          `json:"max_attempts,omitempty"`
	MaxSends       int          `json:"max_sends,omitempty"`
	LiveCodes      int          `json:"live_codes,omitempty"`
	ResendInterval period       `json:"resend_interval,omitzero"`
	Limits         limitsText   `json:"limits,omitzero"`
	RequireBinding bool         `json:"require_binding,omitempty"`
}

type limitsText struct {
	Recipient []limitText `json:"recipient,omitempty"`
	Subject   []limitText `json:"subject,omitempty"`
	Client    []limitText `json:"client,omitempty"`
	Prefix    []limitText `json:"prefix,omitempty"`
	Tenant    []limitText `json:"tenant,omitempty"`
}

type limitText struct {
	N   int64  `json:"n"`
	Per period `json:"per"`
}

// A period is a duration in words. It is a string until decodePolicy, which knows the
// name of its field.
type period string

func periodOf(d time.Duration) period {
	if d == 0 {
		return ""
	}
	s := d.String() // as 10m0s
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return period(s)
}

func encodePolicy(p otp.Policy) (string, error) {
	limits := func(list []otp.Limit) (out []limitText) {
		for _, l := range list {
			out = append(out, limitText{N: l.N, Per: periodOf(l.Per)})
		}
		return out
	}
	text, err := json.Marshal(policyText{
		Formats: p.Formats, TTL: periodOf(p.TTL), MaxAttempts: p.MaxAttempts, MaxSends: p.MaxSends,
		LiveCodes: p.LiveCodes, ResendInterval: periodOf(p.ResendInterval), RequireBinding: p.RequireBinding,
		Limits: limitsText{
			Recipient: limits(p.Limits.Recipient), Subject: limits(p.Limits.Subject), Client: limits(p.Limits.Client),
			Prefix: limits(p.Limits.Prefix), Tenant: limits(p.Limits.Tenant),
		},
	})
	return string(text), err
}

// decodePolicy reads what a person may have written. The error names the field. Bounds are
// not its concern.
func decodePolicy(text string) (otp.Policy, error) {
	var t policyText
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields() // or a typing error would mean the default
	if err := d.Decode(&t); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return otp.Policy{}, fmt.Errorf("field %q is of the wrong type: %s", wrong.Field, wrong.Value)
		}
		return otp.Policy{}, errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := d.Token(); err != io.EOF {
		return otp.Policy{}, errors.New("there is more than one JSON value")
	}
	p := otp.Policy{
		Formats: t.Formats, MaxAttempts: t.MaxAttempts, MaxSends: t.MaxSends, LiveCodes: t.LiveCodes,
		RequireBinding: t.RequireBinding,
	}
	var err error
	read := func(field string, from period) time.Duration {
		if from == "" || err != nil {
			return 0
		}
		d, e := time.ParseDuration(string(from))
		if e != nil {
			err = fmt.Errorf(`field %q is no time as "90s", "5m" or "24h"`, field)
		}
		return d
	}
	p.TTL = read("ttl", t.TTL)
	p.ResendInterval = read("resend_interval", t.ResendInterval)
	for _, l := range []struct {
		field string
		from  []limitText
		to    *[]otp.Limit
	}{
		{"limits.recipient", t.Limits.Recipient, &p.Limits.Recipient},
		{"limits.subject", t.Limits.Subject, &p.Limits.Subject},
		{"limits.client", t.Limits.Client, &p.Limits.Client},
		{"limits.prefix", t.Limits.Prefix, &p.Limits.Prefix},
		{"limits.tenant", t.Limits.Tenant, &p.Limits.Tenant},
	} {
		for _, limit := range l.from {
			*l.to = append(*l.to, otp.Limit{N: limit.N, Per: read(l.field+".per", limit.Per)})
		}
	}
	return p, err
}

// isNull reports whether a row takes away the policy before it.
func isNull(text []byte) bool { return string(bytes.TrimSpace(text)) == "null" }
