package sqlstore

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

var dialects = []Dialect{PostgreSQL, MySQL, SQLite}

// Every statement that the code asks for must exist, and the prefix must be in all.
func TestStatementsExist(t *testing.T) {
	t.Parallel()
	every := []string{
		"get", "spend", "cancel", "prune_challenges", "prune_meters", "policies", "policy_history", "set_policy", "add_policy",
		"log", "audit_challenge", "audit_subject", "audit_recipient", "prune_audit",
		"credentials", "new_credentials", "swap_credentials", "drop_credentials", "list_credentials", "prune_credentials",
	}
	transactions := []string{"hold", "insert", "replace", "rewrite", "lock_meters", "save_meters"}
	names := map[Dialect][]string{
		PostgreSQL: slices.Concat(every, []string{
			"put", "reissue", "take", "put_charged", "reissue_charged", "take_known", "put_charged_known", "reissue_charged_known",
			"look", "new_meters", "lock_meters", "advance", "logged",
		}),
		MySQL:  slices.Concat(every, transactions, []string{"new_meters", "raise_counter", "new_counter"}),
		SQLite: slices.Concat(every, transactions, []string{"put", "reissue", "advance"}),
	}
	for _, d := range dialects {
		s, err := newStatements(d, "x9_", 0)
		require.NoError(t, err)
		assert.ElementsMatch(t, names[d], slices.Collect(maps.Keys(s.texts)), d)
		for _, name := range names[d] {
			text := s.list(name, 1)
			assert.Contains(t, text, "x9_", "%s %s", d, name)
			assert.NotContains(t, text, defaultPrefix, "%s %s", d, name)
			assert.NotContains(t, text, ";", "%s %s", d, name)
			assert.NotContains(t, text, "--", "%s %s", d, name)
			assert.NotContains(t, strings.ToLower(text), "now()", "stores do not look at a clock")
			if strings.HasSuffix(name, known) {
				assert.NotContains(t, text, "inserted", name)
				assert.Contains(t, text, "updated", name)
			}
		}
	}
}

func TestSchemasHaveTheVersion(t *testing.T) {
	t.Parallel()
	for _, d := range dialects {
		files, err := fs.Glob(Schema(), d.String()+"/*.sql")
		require.NoError(t, err)
		assert.Len(t, files, schemaVersion, d)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := &statements{texts: map[string]string{"a": "x IN ({{?}}) y"}}
	assert.Equal(t, "x IN (?) y", s.list("a", 1))
	assert.Equal(t, "x IN (?, ?, ?) y", s.list("a", 3))
	assert.Equal(t, []int{1, 2, 3, 3}, padded([]int{1, 2, 3}))
	assert.Equal(t, []int{7}, padded([]int{7}))
}

// A prefix goes into statements as it is, so nothing but an identifier may pass.
func TestPrefix(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"otp_", "_", "a1", "app_otp_"} {
		assert.True(t, isPrefix(good), good)
	}
	for _, bad := range []string{"", "1a", "a.b", "a b", "a;", `a"`, "A", "ä", "a-", "a'", strings.Repeat("a", 33)} {
		assert.False(t, isPrefix(bad), bad)
		if bad != "" {
			_, err := New(t.Context(), nil, Options{Prefix: bad})
			require.ErrorContains(t, err, "Options.Prefix")
		}
	}
	_, err := New(t.Context(), nil, Options{Dialect: 9})
	require.ErrorContains(t, err, "Options.Dialect")
}

func TestTextArray(t *testing.T) {
	t.Parallel()
	assert.Equal(t, `{}`, textArray(nil))
	assert.Equal(t, `{"a","","b,\"c\\{}"}`, textArray([]string{"a", "", `b,"c\{}`}))
}

type stateError string

func (stateError) Error() string      { return "state" }
func (s stateError) SQLState() string { return string(s) }

func TestKind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want fault
	}{
		{stateError("40P01"), faultRetry},
		{fmt.Errorf("wrapped: %w", stateError("23505")), faultRetry},
		{stateError("57014"), faultOther},
		{errors.New("Error 1213 (40001): Deadlock found when trying to get lock"), faultRetry},
		{errors.New("Error 1467 (HY000): Failed to read auto-increment value from storage engine"), faultRetry},
		{errors.New("database is locked (5) (SQLITE_BUSY)"), faultBusy},
		{errors.New("cannot rollback - no transaction is active"), faultDone},
		{errors.New("connection refused"), faultOther},
	}
	for _, test := range tests {
		assert.Equal(t, test.want, kind(test.err), test.err)
	}
}

func TestCheckRecordNamesTheCount(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(r *otp.Record, n int){
		"Attempts":    func(r *otp.Record, n int) { r.Attempts = n },
		"MaxAttempts": func(r *otp.Record, n int) { r.MaxAttempts = n },
		"Sends":       func(r *otp.Record, n int) { r.Sends = n },
		"MaxSends":    func(r *otp.Record, n int) { r.MaxSends = n },
	} {
		for n, valid := range map[int]bool{-1: false, 0: true, maxCount: true, maxCount + 1: false} {
			r := otp.Record{ID: "id"}
			change(&r, n)
			err := checkRecord(&r)
			if valid {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, fmt.Sprintf("record %s is %d ", name, n))
			}
		}
	}
}

// Candidates that are none must not be equal to a slot that is empty.
func TestSplit(t *testing.T) {
	t.Parallel()
	assert.Equal(t, [][]byte{{0}}, split(nil))
	assert.Equal(t, [][]byte{{0}}, split(make([]byte, 31)))
	assert.Len(t, split(make([]byte, 65)), 2)
}

func TestLedger(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	charge := func(key string, n int64, silent bool) otp.Charge {
		return otp.Charge{Scope: key, Key: key, Cost: 1, Limits: []otp.Limit{{N: n, Per: time.Minute}}, At: now, Silent: silent}
	}
	names := func(rows []meterRow) (names []string) {
		for _, m := range rows {
			names = append(names, m.name)
		}
		return names
	}
	t.Run("sorted, each once", func(t *testing.T) {
		t.Parallel()
		l := newLedger([]otp.Charge{charge("b", 9, false), charge("a", 9, false), charge("b", 9, true)})
		assert.Equal(t, []string{"a", "b"}, l.names())
		assert.Equal(t, []int{1, 0, 1}, l.at)
	})
	t.Run("a refusal charges nothing", func(t *testing.T) {
		t.Parallel()
		l := newLedger([]otp.Charge{charge("a", 9, false), charge("b", 0, false)})
		out := l.put(otp.Record{}, otp.Record{ID: "r"}, now)
		assert.False(t, out.Applied)
		assert.Equal(t, "b", out.Refused.Scope)
	})
	t.Run("a silent refusal charges the others", func(t *testing.T) {
		t.Parallel()
		l := newLedger([]otp.Charge{charge("c", 9, true), charge("a", 9, false), charge("b", 0, true)})
		out := l.put(otp.Record{}, otp.Record{ID: "r", Digests: make([]byte, otp.DigestSize)}, now)
		assert.True(t, out.Applied)
		assert.Equal(t, "b", out.Refused.Scope)
		assert.Empty(t, out.Record.Digests)
		assert.Equal(t, []string{"a", "b", "c"}, names(l.changes()), "the rest is written as it is, so that it takes as long")
		for i, taken := range []bool{true, false, false} {
			assert.Equal(t, taken, len(l.meters[i].now) > 0)
		}
	})
}

// PostgreSQL's memory of meters is bounded, and what goes is what came first. A meter that is there
// takes nobody's place, and is as it was written last.
func TestRemember(t *testing.T) {
	t.Parallel()
	p := newPostgres(nil, nil)
	remember := func(name string, m otp.Meter) {
		s := &swap{ledger: newLedger([]otp.Charge{{Key: name}})}
		s.meters[0].now, s.meters[0].dirty = m, true
		p.remember(s)
	}
	name := func(i int) string { return fmt.Sprint("meter ", i) }
	for i := range maxLast {
		remember(name(i), otp.Meter{1})
	}
	remember(name(0), otp.Meter{2})
	assert.Equal(t, otp.Meter{2}, p.last[name(0)])
	for i := range 2 * maxLast {
		remember(name(maxLast+i), otp.Meter{1})
		_, oldest := p.last[name(i)]
		_, next := p.last[name(i+1)]
		if len(p.last) != maxLast || oldest || !next { // quicker, and shorter, than to show what is there
			t.Fatal(i, len(p.last), oldest, next)
		}
	}
}

// Whatever a policy is, an administrator can read it, and what is read is the same.
func TestPolicyText(t *testing.T) {
	t.Parallel()
	for _, p := range []otp.Policy{
		{},
		{TTL: 5 * time.Minute, ResendInterval: 90 * time.Second, MaxAttempts: 3, MaxSends: 1, LiveCodes: 2, RequireBinding: true},
		{Formats: []otp.Format{{Length: 6}, {Length: 10, Alphabet: otp.Crockford}}},
		{Limits: otp.Limits{Recipient: []otp.Limit{{N: 3, Per: 10 * time.Minute}}, Tenant: []otp.Limit{{N: 1, Per: 744 * time.Hour}}}},
		{TTL: -1, MaxAttempts: -1},
	} {
		text, err := encodePolicy(p)
		require.NoError(t, err)
		got, err := decodePolicy(text)
		require.NoError(t, err, text)
		assert.Equal(t, p, got, text)
	}
	text, err := encodePolicy(otp.Policy{
		TTL: 10 * time.Minute, ResendInterval: 30 * time.Second,
		Limits: otp.Limits{Client: []otp.Limit{{N: 10, Per: time.Hour}, {N: 30, Per: 90 * time.Minute}}},
	})
	require.NoError(t, err)
	assert.JSONEq(t, `{"ttl": "10m", "resend_interval": "30s", "limits": {"client": [{"n": 10, "per": "1h"}, {"n": 30, "per": "1h30m"}]}}`, text)
}

// FuzzPolicyText looks for a text that stops the process, or that is read as another policy than
// it is written as.
func FuzzPolicyText(f *testing.F) {
	for _, text := range []string{
		`{}`, `null`, `{"ttl": "5m", "max_attempts": 3}`, `{"ttl": 5}`, `{"ttl": "-5m"} {}`, `{"limits": {"client": [{"n": 1, "per": "1h"}]}}`,
		`{"formats": [{"length": 6, "alphabet": "digits"}], "require_binding": true}`, `{"ttl": "9999999h"}`, `[`,
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := decodePolicy(text)
		if err != nil {
			return
		}
		again, err := encodePolicy(p)
		if err != nil {
			t.Fatal(err)
		}
		q, err := decodePolicy(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		third, err := encodePolicy(q)
		if err != nil || third != again {
			t.Fatalf("%s became %s: %v", again, third, err)
		}
	})
}
