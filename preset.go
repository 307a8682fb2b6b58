package otp

import (
	"cmp"
	"errors"
	"fmt"
)

// A Preset is a set of rules that policies keep, taken from a standard. A policy's
// zero fields mean the preset's values; a field that is weaker than the preset allows
// is an error. The zero Preset is Default.
type Preset uint8

// The presets. docs/presets.md traces each rule to its clause.
const (
	// Default is the values given at each field of Policy.
	Default Preset = iota

	// NIST keeps SP 800-63B-4: no e-mail but for ConfirmAddress and Recovery
	// (3.1.3.1), one live code (3.1.3.2).
	NIST

	// PSD2 keeps the RTS of Regulation (EU) 2018/389: at most 5 attempts (article
	// 4(3)(b)), one live code (4(1)), a Binding for every Payment (5(1)).
	PSD2

	// ASVSL3 keeps OWASP ASVS 5.0 level 3: no telephone network (6.6.1), no e-mail but
	// for ConfirmAddress and Recovery (6.3.6), one live code (6.6.2).
	ASVSL3
)

func (s Preset) String() string {
	if int(s) < len(presets) {
		return presets[s].name
	}
	return fmt.Sprintf("Preset(%d)", uint8(s))
}

// A presetRules is one row of the table that docs/presets.md explains.
type presetRules struct {
	name           string
	liveCodes      int
	maxAttempts    int
	noEmail        bool // but for ConfirmAddress and Recovery
	noPhoneNetwork bool
	bindPayments   bool
}

var presets = [...]presetRules{
	Default: {name: "Default", liveCodes: maxLiveCodes, maxAttempts: maxAttempts},
	NIST:    {name: "NIST", liveCodes: 1, maxAttempts: maxAttempts, noEmail: true},
	PSD2:    {name: "PSD2", liveCodes: 1, maxAttempts: 5, bindPayments: true},
	ASVSL3:  {name: "ASVSL3", liveCodes: 1, maxAttempts: maxAttempts, noEmail: true, noPhoneNetwork: true},
}

// check reports a policy that is out of bounds or weaker than s allows.
func (s Preset) check(k PolicyKey, p Policy) error {
	if int(s) >= len(presets) {
		return fmt.Errorf("otp: Preset %d is unknown", uint8(s))
	}
	at := func(err error) error { return fmt.Errorf("%w (policy of %s)", err, k) }
	if (k.Channel != "" && !isLabel(string(k.Channel))) || (k.Usage != "" && !isLabel(string(k.Usage))) {
		return at(errors.New("otp: PolicyKey has a malformed channel or usage"))
	}
	if problem := checkText(k.Tenant, maxTenant); problem != "" {
		return at(errors.New("otp: PolicyKey has a tenant that " + problem))
	}
	if err := p.validate(k); err != nil {
		return at(err)
	}
	rules := presets[s]
	weaker := func(field string) error { return at(badPolicy(field, "is weaker than preset "+rules.name+" allows")) }
	switch {
	case p.LiveCodes > rules.liveCodes:
		return weaker("LiveCodes")
	case p.MaxAttempts > rules.maxAttempts:
		return weaker("MaxAttempts")
	}
	if k.Channel != "" && k.Usage != "" {
		if err := s.allows(k); err != nil {
			return at(err)
		}
	}
	return nil
}

// apply fills in what s decides, or refuses a channel that s does not allow.
func (s Preset) apply(k PolicyKey, p Policy) (Policy, error) {
	if err := s.allows(k); err != nil {
		return Policy{}, err
	}
	rules := presets[s]
	if rules.liveCodes == 1 {
		p.LiveCodes = 1
	}
	p.MaxAttempts = min(cmp.Or(p.MaxAttempts, 5), rules.maxAttempts)
	p.RequireBinding = p.RequireBinding || rules.bindPayments && k.Usage == Payment
	return p, nil
}

func (s Preset) allows(k PolicyKey) error {
	rules := presets[s]
	switch {
	case rules.noEmail && k.Channel == Email && k.Usage != ConfirmAddress && k.Usage != Recovery:
		return fmt.Errorf("%w: preset %s does not allow e-mail for usage %s", ErrRefused, rules.name, k.Usage)
	case rules.noPhoneNetwork && (k.Channel == SMS || k.Channel == Voice):
		return fmt.Errorf("%w: preset %s does not allow channel %s", ErrRefused, rules.name, k.Channel)
	}
	return nil
}

// String names the key in errors.
func (k PolicyKey) String() string {
	return fmt.Sprintf("tenant %q channel %q usage %q", k.Tenant, string(k.Channel), string(k.Usage))
}
