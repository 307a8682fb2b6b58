package otp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errReachedStore = errors.New("a store was called")

func (noStore) Put(context.Context, Record, time.Time) (Record, bool, error) {
	return Record{}, false, errReachedStore
}

func (noStore) Get(context.Context, string) (Record, error) { return Record{}, errReachedStore }

func (noStore) Spend(context.Context, string, []byte, time.Time) (Record, bool, error) {
	return Record{}, false, errReachedStore
}

func (noStore) Reissue(context.Context, string, []byte, int, time.Time) (Record, bool, error) {
	return Record{}, false, errReachedStore
}

func (noStore) Cancel(context.Context, string, time.Time) (Record, bool, error) {
	return Record{}, false, errReachedStore
}

func (noStore) Take(context.Context, string, int64, []Limit, time.Time) (Decision, error) {
	return Decision{}, errReachedStore
}

func (noStore) Give(context.Context, string, int64, []Limit, time.Time) error { return errReachedStore }

func repeatedLimit(n int) []Limit { return slices.Repeat([]Limit{{N: 1, Per: time.Hour}}, n) }

// S-03 S-32: a policy out of bounds is refused where it enters, and the error names the
// field.
func TestPolicyBounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		policy    Policy
		wantField string // empty means within bounds
	}{
		{"zero", Policy{}, ""},

		{"five digits", Policy{Formats: []Format{{Length: 5}}}, "Formats"},
		{"unknown alphabet", Policy{Formats: []Format{{Length: 6, Alphabet: "emoji"}}}, "Formats"},
		{"weak second format", Policy{Formats: []Format{{Length: 8}, {Length: 5}}}, "Formats"},
		{"unordered formats", Policy{Formats: []Format{{Length: 8}, {Length: 6}}}, "Formats"},
		{"unordered long formats", Policy{Formats: []Format{{Length: 12}, {Length: 9}}}, "Formats"},
		{"unordered alphabets", Policy{Formats: []Format{{16, Crockford}, {10, Crockford}}}, "Formats"},
		{"unordered beyond 64 bits", Policy{Formats: []Format{{16, Crockford}, {19, Digits}}}, "Formats"},
		{"five formats", Policy{Formats: []Format{{Length: 6}, {Length: 7}, {Length: 8}, {Length: 9}, {Length: 10}}}, "Formats"},
		{"four formats", Policy{Formats: []Format{{Length: 6}, {Length: 7}, {Length: 8}, {Length: 9}}}, ""},
		{"equal formats", Policy{Formats: []Format{{Length: 6}, {Length: 6}}}, ""},
		{"the defaults", Policy{Formats: defaultFormats}, ""},

		{"TTL of 30 seconds", Policy{TTL: 30 * time.Second}, ""},
		{"TTL below", Policy{TTL: 30*time.Second - 1}, "TTL"},
		{"TTL of 24 hours", Policy{TTL: 24 * time.Hour}, ""},
		{"TTL above", Policy{TTL: 24*time.Hour + 1}, "TTL"},
		{"negative TTL", Policy{TTL: -time.Minute}, "TTL"},
		{"longest duration", Policy{TTL: math.MaxInt64}, "TTL"},

		{"1 attempt", Policy{MaxAttempts: 1}, ""},
		{"10 attempts", Policy{MaxAttempts: 10}, ""},
		{"11 attempts", Policy{MaxAttempts: 11}, "MaxAttempts"},
		{"negative attempts", Policy{MaxAttempts: -1}, "MaxAttempts"},
		{"attempts beyond a byte", Policy{MaxAttempts: 257}, "MaxAttempts"},

		{"1 send", Policy{MaxSends: 1}, ""},
		{"10 sends", Policy{MaxSends: 10}, ""},
		{"11 sends", Policy{MaxSends: 11}, "MaxSends"},
		{"negative sends", Policy{MaxSends: -1}, "MaxSends"},

		{"1 live code", Policy{LiveCodes: 1}, ""},
		{"3 live codes", Policy{LiveCodes: 3}, ""},
		{"4 live codes", Policy{LiveCodes: 4}, "LiveCodes"},
		{"negative live codes", Policy{LiveCodes: -1}, "LiveCodes"},

		{"interval of 30 seconds", Policy{ResendInterval: 30 * time.Second}, ""},
		{"interval below", Policy{ResendInterval: 30*time.Second - 1}, "ResendInterval"},
		{"interval of an hour", Policy{ResendInterval: time.Hour}, ""},
		{"interval above", Policy{ResendInterval: time.Hour + 1}, "ResendInterval"},
		{"negative interval", Policy{ResendInterval: -1}, "ResendInterval"},

		{"7 limits", Policy{Limits: Limits{Tenant: repeatedLimit(7)}}, ""},
		{"8 limits", Policy{Limits: Limits{Tenant: repeatedLimit(8)}}, "Limits.Tenant"},
		{"limit of nothing", Policy{Limits: Limits{Recipient: []Limit{{N: 0, Per: time.Hour}}}}, "Limits.Recipient"},
		{"negative limit", Policy{Limits: Limits{Subject: []Limit{{N: -1, Per: time.Hour}}}}, "Limits.Subject"},
		{"limit of 1e9", Policy{Limits: Limits{Client: []Limit{{N: 1e9, Per: time.Hour}}}}, ""},
		{"limit above", Policy{Limits: Limits{Client: []Limit{{N: 1e9 + 1, Per: time.Hour}}}}, "Limits.Client"},
		{"limit without a window", Policy{Limits: Limits{Prefix: []Limit{{N: 1}}}}, "Limits.Prefix"},
		{"window of a second", Policy{Limits: Limits{Prefix: []Limit{{N: 1, Per: time.Second}}}}, ""},
		{"window below", Policy{Limits: Limits{Prefix: []Limit{{N: 1, Per: time.Second - 1}}}}, "Limits.Prefix"},
		{"window of 31 days", Policy{Limits: Limits{Tenant: []Limit{{N: 1, Per: 31 * day}}}}, ""},
		{"window above", Policy{Limits: Limits{Tenant: []Limit{{N: 1, Per: 31*day + 1}}}}, "Limits.Tenant"},
		{"negative window", Policy{Limits: Limits{Tenant: []Limit{{N: 1, Per: -day}}}}, "Limits.Tenant"},
		{"second limit is wrong", Policy{Limits: Limits{Tenant: []Limit{{N: 1, Per: day}, {N: 0, Per: day}}}}, "Limits.Tenant"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.NotPanics(t, func() {
				key := PolicyKey{Channel: Email, Usage: ConfirmAddress} // where most is allowed
				err := tt.policy.Validate()
				_, newErr := NewPolicies(Default, map[PolicyKey]Policy{key: tt.policy})
				_, sourceErr := serviceWith(t, fixedSource{p: tt.policy}).policy(t.Context(), key.Channel, key.Usage)
				if tt.wantField == "" {
					require.NoError(t, err)
					require.NoError(t, newErr)
					require.NoError(t, sourceErr)
					return
				}
				for _, err := range []error{err, newErr, sourceErr} {
					require.ErrorContains(t, err, "Policy."+tt.wantField)
				}
			})
		})
	}
}

// S-32: the longest lifetime depends on what the code is for and on how it is sent.
func TestTTLCaps(t *testing.T) {
	t.Parallel()
	tests := []struct {
		key  PolicyKey
		want time.Duration
	}{
		{PolicyKey{"", Email, ConfirmAddress}, 24 * time.Hour},
		{PolicyKey{"", Email, Recovery}, 24 * time.Hour},
		{PolicyKey{"shop", Email, Recovery}, 24 * time.Hour},
		{PolicyKey{"", Email, "login"}, 10 * time.Minute},
		{PolicyKey{"", Email, Payment}, 10 * time.Minute},
		{PolicyKey{"", Email, ""}, 10 * time.Minute},
		{PolicyKey{"", "", ConfirmAddress}, 10 * time.Minute}, // would hold for SMS, too
		{PolicyKey{"", "", Recovery}, 10 * time.Minute},
		{PolicyKey{"", SMS, ConfirmAddress}, 10 * time.Minute},
		{PolicyKey{"", SMS, Recovery}, 10 * time.Minute},
		{PolicyKey{"", Voice, Recovery}, 10 * time.Minute},
		{PolicyKey{"", WhatsApp, Recovery}, 10 * time.Minute},
		{PolicyKey{"", SMS, "login"}, 10 * time.Minute},
		{PolicyKey{"", "push", "login"}, 10 * time.Minute},
		{PolicyKey{}, 10 * time.Minute},
	}
	for _, tt := range tests {
		for _, preset := range []Preset{Default, PSD2} { // the others do not allow all of the keys
			_, err := NewPolicies(preset, map[PolicyKey]Policy{tt.key: {TTL: tt.want}})
			require.NoError(t, err, "%v", tt.key)
			_, err = NewPolicies(preset, map[PolicyKey]Policy{tt.key: {TTL: tt.want + time.Microsecond}})
			require.ErrorContains(t, err, "Policy.TTL", "%v", tt.key)
		}
	}
}

// The numbers here are those that the doc comments of Policy give.
func TestPolicyDefaults(t *testing.T) {
	t.Parallel()
	want := Policy{
		Formats: []Format{{6, Digits}, {8, Digits}, {10, Crockford}, {16, Crockford}}, TTL: 5 * time.Minute,
		MaxAttempts: 5, MaxSends: 3, LiveCodes: 2, ResendInterval: 30 * time.Second,
		Limits: Limits{
			Recipient: []Limit{{3, 10 * time.Minute}, {5, time.Hour}, {10, day}},
			Subject:   []Limit{{5, 10 * time.Minute}, {10, time.Hour}, {20, day}},
			Client:    []Limit{{10, time.Hour}, {30, day}},
			Prefix:    []Limit{{20, time.Hour}, {60, day}},
		},
	}
	for _, c := range []Channel{SMS, Voice, WhatsApp, Viber, Telegram, Messenger, "push", ""} {
		require.Equal(t, want, Policy{}.withDefaults(c), "%s", c)
	}
	want.Formats, want.TTL = want.Formats[1:], 10*time.Minute
	require.Equal(t, want, Policy{}.withDefaults(Email))

	set := Policy{
		Formats: []Format{{7, Digits}}, TTL: time.Minute, MaxAttempts: 3, MaxSends: 2, LiveCodes: 1, ResendInterval: time.Minute,
		Limits: Limits{
			Recipient: repeatedLimit(1), Subject: repeatedLimit(2), Client: repeatedLimit(3), Prefix: repeatedLimit(4), Tenant: repeatedLimit(5),
		},
		RequireBinding: true,
	}
	requireEveryFieldSet(t, set)
	require.Equal(t, set, set.withDefaults(Email), "what is set stays")
}

func requireEveryFieldSet(t *testing.T, p Policy) {
	t.Helper()
	for _, v := range []reflect.Value{reflect.ValueOf(p), reflect.ValueOf(p.Limits)} {
		for i := range v.NumField() {
			require.False(t, v.Field(i).IsZero(), "%s is new: add it to the tests of policies", v.Type().Field(i).Name)
		}
	}
}

// A request may only be stricter than its policy, in every field.
func TestOverride(t *testing.T) {
	t.Parallel()
	base := Policy{
		Formats: []Format{{8, Digits}, {10, Crockford}}, TTL: 5 * time.Minute, MaxAttempts: 5, MaxSends: 3, LiveCodes: 2,
		ResendInterval: time.Minute, RequireBinding: true,
	}.withDefaults(SMS)
	long := base
	long.Formats = []Format{{12, Digits}}
	tests := []struct {
		name      string
		base      Policy
		override  Policy
		wantField string        // empty means accepted
		want      func(*Policy) // what changes
	}{
		{"nothing", base, Policy{}, "", func(*Policy) {}},
		{"longer codes", base, Policy{Formats: []Format{{9, Digits}}}, "", func(p *Policy) { p.Formats = []Format{{9, Digits}} }},
		{"the same length", base, Policy{Formats: []Format{{8, Digits}}}, "", func(p *Policy) { p.Formats = []Format{{8, Digits}} }},
		{"shorter codes", base, Policy{Formats: []Format{{6, Digits}}}, "Formats", nil},
		{"shorter codes later", base, Policy{Formats: []Format{{9, Digits}, {6, Digits}}}, "Formats", nil},
		{"shorter codes, both beyond 1e9", long, Policy{Formats: []Format{{10, Digits}}}, "Formats", nil},
		{"another alphabet of fewer codes", long, Policy{Formats: []Format{{7, Crockford}}}, "Formats", nil},
		{"unknown alphabet", base, Policy{Formats: []Format{{9, "emoji"}}}, "Formats", nil},

		{"everything as it is", base, Policy{
			Formats: []Format{{8, Digits}}, TTL: 5 * time.Minute, MaxAttempts: 5, MaxSends: 3, LiveCodes: 2,
		}, "", func(p *Policy) { p.Formats = []Format{{8, Digits}} }},
		{"shorter TTL", base, Policy{TTL: time.Minute}, "", func(p *Policy) { p.TTL = time.Minute }},
		{"longer TTL", base, Policy{TTL: 5*time.Minute + 1}, "TTL", nil},
		{"TTL out of bounds", base, Policy{TTL: time.Second}, "TTL", nil},
		{"negative TTL", base, Policy{TTL: -1}, "TTL", nil},

		{"fewer attempts", base, Policy{MaxAttempts: 1}, "", func(p *Policy) { p.MaxAttempts = 1 }},
		{"more attempts", base, Policy{MaxAttempts: 6}, "MaxAttempts", nil},
		{"negative attempts", base, Policy{MaxAttempts: -1}, "MaxAttempts", nil},
		{"fewer sends", base, Policy{MaxSends: 1}, "", func(p *Policy) { p.MaxSends = 1 }},
		{"more sends", base, Policy{MaxSends: 4}, "MaxSends", nil},
		{"negative sends", base, Policy{MaxSends: -1}, "MaxSends", nil},
		{"one live code", base, Policy{LiveCodes: 1}, "", func(p *Policy) { p.LiveCodes = 1 }},
		{"more live codes", base, Policy{LiveCodes: 3}, "LiveCodes", nil},
		{"negative live codes", base, Policy{LiveCodes: -1}, "LiveCodes", nil},
		{"an interval, which later sends would not know", base, Policy{ResendInterval: time.Hour}, "ResendInterval", nil},
		{"binding", base, Policy{RequireBinding: true}, "", func(*Policy) {}},

		{"recipient limits", base, Policy{Limits: Limits{Recipient: repeatedLimit(1)}}, "Limits", nil},
		{"subject limits", base, Policy{Limits: Limits{Subject: repeatedLimit(1)}}, "Limits", nil},
		{"client limits", base, Policy{Limits: Limits{Client: repeatedLimit(1)}}, "Limits", nil},
		{"prefix limits", base, Policy{Limits: Limits{Prefix: repeatedLimit(1)}}, "Limits", nil},
		{"tenant limits", base, Policy{Limits: Limits{Tenant: repeatedLimit(1)}}, "Limits", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.NotPanics(t, func() {
				svc := serviceWith(t, fixedSource{p: tt.base})
				d, err := svc.draft(t.Context(), Request{
					Channel: SMS, Usage: "login", To: "+4930123456", Binding: "x", Policy: &tt.override,
				}, true)
				if tt.wantField != "" {
					require.ErrorIs(t, err, ErrInvalidRequest)
					require.ErrorContains(t, err, "Policy")
					require.ErrorContains(t, err, tt.wantField)
					return
				}
				require.NoError(t, err)
				want := tt.base
				tt.want(&want)
				require.Equal(t, want, d.policy)
			})
		})
	}
	none, err := base.override(nil)
	require.NoError(t, err)
	require.Equal(t, base, none)
	unbound := base
	unbound.RequireBinding = false
	bound, err := unbound.override(&Policy{RequireBinding: true})
	require.NoError(t, err)
	require.True(t, bound.RequireBinding)
}

// serviceWith has no store: whoever calls it fails.
func serviceWith(t *testing.T, s PolicySource) *Service {
	t.Helper()
	svc, err := New(Config{
		Store: noStore{}, Keyring: payloadKeys(t), Policies: s,
		Senders: map[Channel]Sender{SMS: SenderFunc(nil), Email: SenderFunc(nil), Voice: SenderFunc(nil), "push": SenderFunc(nil)},
	})
	require.NoError(t, err)
	return svc
}

type fixedSource struct {
	p   Policy
	err error
}

func (s fixedSource) Policy(context.Context, PolicyKey) (Policy, error) { return s.p, s.err }

// A source of the caller's own is not believed: what is out of bounds refuses the call
// before anything is stored.
func TestPolicySourceIsChecked(t *testing.T) {
	t.Parallel()
	ask := func(s PolicySource) error {
		_, err := serviceWith(t, s).Request(t.Context(), Request{Channel: SMS, Usage: "login", To: "+4930123456"})
		require.Error(t, err)
		return err
	}
	require.ErrorContains(t, ask(fixedSource{p: Policy{MaxAttempts: 1000}}), "Policy.MaxAttempts")
	require.ErrorContains(t, ask(fixedSource{p: Policy{TTL: 24 * time.Hour}}), "Policy.TTL")
	require.ErrorContains(t, ask(fixedSource{p: Policy{Formats: []Format{{Length: 4}}}}), "Policy.Formats")
	broken := errors.New("table is gone")
	require.ErrorIs(t, ask(fixedSource{err: broken}), broken)
	require.ErrorIs(t, ask(fixedSource{err: fmt.Errorf("%w: no", ErrRefused)}), ErrRefused)
	require.ErrorIs(t, ask(fixedSource{}), errReachedStore, "the zero policy is good")

	own, err := NewPolicies(Default, nil)
	require.NoError(t, err)
	require.ErrorContains(t, ask(struct{ loosened }{loosened{own}}), "Policy.LiveCodes", "who embeds Policies is checked, too")
}

// loosened is a Policies that somebody has changed on the way out.
type loosened struct{ *Policies }

func (l loosened) Policy(ctx context.Context, k PolicyKey) (Policy, error) {
	p, err := l.Policies.Policy(ctx, k)
	p.LiveCodes = 9
	return p, err
}

// marked is a policy that can be told by its MaxSends.
func marked(n int) Policy { return Policy{MaxSends: n} }

func TestLookUpOrder(t *testing.T) {
	t.Parallel()
	ask := PolicyKey{Tenant: "shop", Channel: SMS, Usage: "login"}
	order := []PolicyKey{ // the most exact first
		ask,
		{Tenant: "shop", Usage: "login"},
		{Tenant: "shop", Channel: SMS},
		{Tenant: "shop"},
		{Channel: SMS, Usage: "login"},
		{Usage: "login"},
		{Channel: SMS},
		{},
	}
	others := []PolicyKey{ // none of these is ever taken
		{Tenant: "other", Channel: SMS, Usage: "login"},
		{Tenant: "shop", Channel: Voice, Usage: "login"},
		{Tenant: "shop", Channel: SMS, Usage: "signup"},
		{Tenant: "other"},
		{Usage: "signup"},
		{Channel: Voice},
		{Tenant: "sho"},
		{Tenant: "shop", Usage: "logi"},
	}
	for from := range len(order) + 1 {
		m := map[PolicyKey]Policy{}
		for _, k := range others {
			m[k] = marked(10)
		}
		for i, k := range order[from:] {
			m[k] = marked(from + i + 1)
		}
		p, err := NewPolicies(Default, m)
		require.NoError(t, err)
		got, err := p.Policy(t.Context(), ask)
		require.NoError(t, err)
		want := from + 1
		if from == len(order) {
			want = 0
		}
		require.Equal(t, want, got.MaxSends, "with %v and less exact ones", order[from:])
	}
	// Without a tenant there are no others to look among.
	p, err := NewPolicies(Default, map[PolicyKey]Policy{{Tenant: "shop"}: marked(1), {Channel: SMS}: marked(2)})
	require.NoError(t, err)
	got, err := p.Policy(t.Context(), PolicyKey{Channel: SMS, Usage: "login"})
	require.NoError(t, err)
	require.Equal(t, 2, got.MaxSends)
}

// An administrator's change is seen whole or not at all.
func TestReplaceIsAtomic(t *testing.T) {
	t.Parallel()
	generation := func(n int) map[PolicyKey]Policy {
		return map[PolicyKey]Policy{
			{}:                                {MaxSends: n, MaxAttempts: n, TTL: time.Duration(n) * time.Minute},
			{Channel: SMS}:                    {MaxSends: n, MaxAttempts: n, TTL: time.Duration(n) * time.Minute},
			{Channel: SMS, Usage: "login"}:    {MaxSends: n, MaxAttempts: n, TTL: time.Duration(n) * time.Minute},
			{Tenant: fmt.Sprint("tenant", n)}: {MaxSends: n, MaxAttempts: n, TTL: time.Duration(n) * time.Minute},
		}
	}
	p, err := NewPolicies(Default, generation(1))
	require.NoError(t, err)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				got, err := p.Policy(context.Background(), PolicyKey{Channel: SMS, Usage: "login"})
				if err != nil || got.MaxAttempts != got.MaxSends || got.TTL != time.Duration(got.MaxSends)*time.Minute {
					t.Errorf("%v of two generations, %v", got, err)
					return
				}
			}
		})
	}
	for i := range 500 {
		if err := p.Replace(generation(1 + i%10)); err != nil {
			t.Error(err)
		}
		bad := generation(2)
		bad[PolicyKey{Tenant: "x"}] = Policy{MaxSends: 99}
		if p.Replace(bad) == nil {
			t.Error("a policy out of bounds was accepted")
		}
	}
	stop.Store(true)
	wg.Wait()
	got, err := p.Policy(t.Context(), PolicyKey{Channel: SMS, Usage: "login"})
	require.NoError(t, err)
	require.Equal(t, 10, got.MaxSends, "a refused map changes nothing")

	require.NoError(t, p.Replace(nil))
	got, err = p.Policy(t.Context(), PolicyKey{Channel: SMS, Usage: "login"})
	require.NoError(t, err)
	require.Zero(t, got.MaxSends, "nil means the preset's values for everything")
}

// What a caller does to its map, to its slices or to a policy that it was given does not
// change the policies.
func TestPoliciesShareNoMemory(t *testing.T) {
	t.Parallel()
	limits := func() Limits {
		return Limits{Recipient: repeatedLimit(1), Subject: repeatedLimit(1), Client: repeatedLimit(1), Prefix: repeatedLimit(1), Tenant: repeatedLimit(1)}
	}
	want := Policy{Formats: []Format{{8, Digits}}, MaxAttempts: 5, Limits: limits()}
	given := Policy{Formats: []Format{{8, Digits}}, Limits: limits()}
	m := map[PolicyKey]Policy{{}: given}
	p, err := NewPolicies(Default, m)
	require.NoError(t, err)
	policy := func() Policy {
		got, err := p.Policy(t.Context(), PolicyKey{Channel: SMS, Usage: "login"})
		require.NoError(t, err)
		return got
	}
	spoil := func(p Policy) {
		p.Formats[0] = Format{Length: 1}
		for _, l := range [][]Limit{p.Limits.Recipient, p.Limits.Subject, p.Limits.Client, p.Limits.Prefix, p.Limits.Tenant} {
			l[0] = Limit{N: 1e18}
		}
	}
	require.Equal(t, want, policy())
	spoil(given)
	m[PolicyKey{}] = marked(1)
	m[PolicyKey{Channel: SMS, Usage: "login"}] = marked(2)
	require.Equal(t, want, policy(), "the caller's map and slices")
	spoil(policy())
	require.Equal(t, want, policy(), "a policy that was returned")
}

func TestZeroPolicies(t *testing.T) {
	t.Parallel()
	require.NotPanics(t, func() {
		p, err := new(Policies).Policy(t.Context(), PolicyKey{Channel: SMS, Usage: "login"})
		require.NoError(t, err)
		require.NoError(t, p.Validate())
	})
}

func TestPolicyKeys(t *testing.T) {
	t.Parallel()
	for _, k := range []PolicyKey{
		{Channel: "SMS"},
		{Channel: "s ms"},
		{Usage: "Login"},
		{Usage: "log in"},
		{Usage: "*"},
		{Tenant: "a\nb"},
		{Tenant: string(make([]byte, 65))},
		{Tenant: "\xff"},
	} {
		_, err := NewPolicies(Default, map[PolicyKey]Policy{k: {}})
		require.ErrorContains(t, err, "otp: PolicyKey has a ", "%v", k)
		require.NotContains(t, err.Error(), "\n", "S-85")
	}
}

// The rules of the presets, each beside its clause.
func TestPresetRules(t *testing.T) {
	t.Parallel()
	all := []Preset{Default, NIST, PSD2, ASVSL3}
	only := func(p ...Preset) []Preset { return p }
	tests := []struct {
		name    string
		clause  string
		key     PolicyKey
		policy  Policy
		field   string
		refused []Preset // by NewPolicies; the others accept it
	}{
		{"two live codes", "SP 800-63B-4 3.1.3.2, RTS 4(1), ASVS 6.6.2", PolicyKey{}, Policy{LiveCodes: 2}, "LiveCodes", only(NIST, PSD2, ASVSL3)},
		{"three live codes of a tenant", "the same", PolicyKey{Tenant: "shop", Channel: "push"}, Policy{LiveCodes: 3}, "LiveCodes", only(NIST, PSD2, ASVSL3)},
		{"one live code", "the same", PolicyKey{}, Policy{LiveCodes: 1}, "", nil},
		{"six attempts", "RTS 4(3)(b)", PolicyKey{}, Policy{MaxAttempts: 6}, "MaxAttempts", only(PSD2)},
		{"five attempts", "RTS 4(3)(b)", PolicyKey{}, Policy{MaxAttempts: 5}, "", nil},
		{"login by e-mail", "SP 800-63B-4 3.1.3.1, ASVS 6.3.6", PolicyKey{"", Email, "login"}, Policy{}, "e-mail", only(NIST, ASVSL3)},
		{"address by e-mail", "SP 800-63B-4 3.1.3.1, 4.2.1.2", PolicyKey{"", Email, ConfirmAddress}, Policy{}, "", nil},
		{"recovery by e-mail for a day", "SP 800-63B-4 4.2.1.2", PolicyKey{"", Email, Recovery}, Policy{TTL: 24 * time.Hour}, "", nil},
		{"login by SMS", "ASVS 6.6.1", PolicyKey{"", SMS, "login"}, Policy{}, "sms", only(ASVSL3)},
		{"login by voice", "ASVS 6.6.1", PolicyKey{"", Voice, "login"}, Policy{}, "voice", only(ASVSL3)},
		{"recovery by SMS", "ASVS 6.6.1", PolicyKey{"", SMS, Recovery}, Policy{}, "sms", only(ASVSL3)},
		{"login by WhatsApp", "SP 800-63B-4 3.1.3.1", PolicyKey{"", WhatsApp, "login"}, Policy{}, "", nil},
		{"eleven minutes", "SP 800-63B-4 3.1.3.2", PolicyKey{"", "push", "login"}, Policy{TTL: 11 * time.Minute}, "TTL", all},
		{"recovery by SMS for a day", "SP 800-63B-4 4.2.1.2", PolicyKey{"", SMS, Recovery}, Policy{TTL: 24 * time.Hour}, "TTL", all},
		{"five digits", "SP 800-63B-4 3.1.3.2", PolicyKey{}, Policy{Formats: []Format{{Length: 5}}}, "Formats", all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, preset := range all {
				p, err := NewPolicies(preset, map[PolicyKey]Policy{tt.key: tt.policy})
				if slices.Contains(tt.refused, preset) {
					require.ErrorContains(t, err, tt.field, "%s by %s", preset, tt.clause)
					require.Nil(t, p)
				} else {
					require.NoError(t, err, "%s by %s", preset, tt.clause)
				}
			}
		})
	}
}

// What a preset decides holds for every policy that leaves it open, and where a channel
// is not allowed no policy helps.
func TestPresetsApply(t *testing.T) {
	t.Parallel()
	for _, m := range []map[PolicyKey]Policy{nil, {{}: {MaxSends: 2}}, {{Channel: SMS}: {MaxAttempts: 3}, {Usage: Payment}: {TTL: time.Minute}}} {
		for _, preset := range []Preset{Default, NIST, PSD2, ASVSL3} {
			p, err := NewPolicies(preset, m)
			require.NoError(t, err)
			ask := func(c Channel, u Usage) (Policy, error) {
				return p.Policy(t.Context(), PolicyKey{Tenant: "shop", Channel: c, Usage: u})
			}
			for _, c := range []Channel{SMS, Voice, Email, WhatsApp, "push"} {
				for _, u := range []Usage{"login", Payment, ConfirmAddress, Recovery} {
					got, err := ask(c, u)
					noEmail := (preset == NIST || preset == ASVSL3) && c == Email && u != ConfirmAddress && u != Recovery
					noPhone := preset == ASVSL3 && (c == SMS || c == Voice)
					if noEmail || noPhone {
						require.ErrorIs(t, err, ErrRefused, "%s %s %s", preset, c, u)
						require.Zero(t, got)
						continue
					}
					require.NoError(t, err, "%s %s %s", preset, c, u)
					got = got.withDefaults(c)
					require.NoError(t, got.validate(PolicyKey{"", c, u}))
					require.LessOrEqual(t, got.MaxAttempts, 5)
					require.Equal(t, preset == PSD2 && u == Payment, got.RequireBinding, "RTS 5(1): %s %s", preset, u)
					if preset != Default {
						require.Equal(t, 1, got.LiveCodes, "%s", preset)
					} else {
						require.Equal(t, 2, got.LiveCodes)
					}
				}
			}
		}
	}
}

// RTS 5(1): a policy cannot switch off that payments are bound, and a request neither.
func TestPSD2PaymentsAreBound(t *testing.T) {
	t.Parallel()
	p, err := NewPolicies(PSD2, map[PolicyKey]Policy{{Channel: SMS, Usage: Payment}: {RequireBinding: false}})
	require.NoError(t, err)
	r := Request{Channel: SMS, Usage: Payment, To: "+4930123456", Policy: &Policy{RequireBinding: false}}
	svc := serviceWith(t, p)
	_, err = svc.Request(t.Context(), r)
	require.ErrorIs(t, err, ErrInvalidRequest)
	require.ErrorContains(t, err, "Binding")
	r.Binding = "10 EUR to Bob"
	_, err = svc.Request(t.Context(), r)
	require.ErrorIs(t, err, errReachedStore)
}

func TestUnknownPreset(t *testing.T) {
	t.Parallel()
	for _, m := range []map[PolicyKey]Policy{nil, {}, {{}: {}}} {
		require.NotPanics(t, func() {
			p, err := NewPolicies(Preset(4), m)
			if err == nil {
				_, err = p.Policy(t.Context(), PolicyKey{Channel: SMS, Usage: "login"})
			}
			require.Error(t, err)
			require.Nil(t, p, "found when the program starts, not with the first request")
		})
	}
	require.Equal(t, "Preset(4)", Preset(4).String())
	require.Equal(t, "NIST PSD2 ASVSL3 Default", fmt.Sprint(NIST, " ", PSD2, " ", ASVSL3, " ", Default))
}
