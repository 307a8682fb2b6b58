package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/otptest"
	"otp.example/otp/sqlstore"
)

const ann = "ann"

func policies(t *testing.T, s *sqlstore.Store, preset otp.Preset) *sqlstore.Policies {
	t.Helper()
	p, err := s.Policies(t.Context(), preset)
	require.NoError(t, err)
	return p
}

func ttl(t *testing.T, p otp.PolicySource, k otp.PolicyKey) time.Duration {
	t.Helper()
	policy, err := p.Policy(t.Context(), k)
	require.NoError(t, err)
	return policy.WithDefaults(k.Channel).TTL
}

func minutes(n int) otp.Policy { return otp.Policy{TTL: time.Duration(n) * time.Minute} }

// insert is what an administrator types.
func insert(t *testing.T, db *sql.DB, prefix, channel, policy string) {
	t.Helper()
	_, err := db.Exec("INSERT INTO " + prefix + "policy (channel, code_usage, policy, changed_by) VALUES ('" + channel + "', 'login', '" + policy + "', 'ann')")
	require.NoError(t, err)
}

// The look-up is that of otp.Policies, for every key.
func TestPolicyLookUp(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		p := policies(t, openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{}), otp.Default)
		rows := map[otp.PolicyKey]otp.Policy{}
		n := 0
		for _, tenant := range []string{"", "t"} {
			for _, key := range []otp.PolicyKey{{}, {Channel: otp.SMS}, {Usage: "login"}, {Channel: otp.SMS, Usage: "login"}} {
				key.Tenant = tenant
				n++
				rows[key] = minutes(n)
				require.NoError(t, p.Set(t.Context(), key, rows[key], ann))
			}
		}
		// One is taken away after the other, so that each is the answer once.
		for range n + 1 {
			model, err := otp.NewPolicies(otp.Default, rows)
			require.NoError(t, err)
			var last otp.PolicyKey
			for _, tenant := range []string{"", "t", "u"} {
				for _, channel := range []otp.Channel{otp.SMS, otp.Email} {
					for _, usage := range []otp.Usage{"login", "signup"} {
						key := otp.PolicyKey{Tenant: tenant, Channel: channel, Usage: usage}
						require.Equal(t, ttl(t, model, key), ttl(t, p, key), key)
					}
				}
			}
			for last = range rows {
				break
			}
			if len(rows) > 0 {
				delete(rows, last)
				require.NoError(t, p.Remove(t.Context(), last, ann))
			}
		}
	})
}

// The first look-up for a channel that no row is for makes one, and it never wins against
// what somebody wrote.
func TestDefaultPolicies(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db)}
		s := openStore(t, db, o)
		p := policies(t, s, otp.PSD2)
		login := otp.PolicyKey{Tenant: "t", Channel: otp.SMS, Usage: otp.Payment}
		var wg sync.WaitGroup
		for range 32 {
			other := policies(t, s, otp.PSD2)
			wg.Go(func() {
				policy, err := other.Policy(t.Context(), login)
				assert.True(t, err == nil && policy.RequireBinding, err)
			})
		}
		wg.Wait()
		list, err := p.List(t.Context())
		require.NoError(t, err)
		require.NotEmpty(t, list)
		for _, c := range list { // more than one only if they came at the same moment
			require.Equal(t, otp.PolicyKey{Channel: otp.SMS}, c.Key)
			require.Equal(t, "defaults", c.By)
			require.Equal(t, 1, c.Policy.LiveCodes)
			require.False(t, c.Policy.RequireBinding, "that is for payments alone")
			require.WithinDuration(t, time.Now(), c.At, time.Hour)
		}

		// One that is found is not made again, one that was removed neither.
		_, err = p.Policy(t.Context(), login)
		require.NoError(t, err)
		again, err := p.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, list, again)
		require.NoError(t, p.Remove(t.Context(), otp.PolicyKey{Channel: otp.SMS}, ann))
		_, err = p.Policy(t.Context(), login)
		require.NoError(t, err)
		again, err = p.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, again)

		// Made by another process a moment after somebody set one.
		key := otp.PolicyKey{Channel: otp.Voice}
		require.NoError(t, p.Set(t.Context(), key, minutes(3), ann))
		_, err = db.Exec("INSERT INTO " + o.Prefix + "policy (channel, policy, changed_by) VALUES ('voice', '{}', 'defaults')")
		require.NoError(t, err)
		require.Equal(t, 3*time.Minute, ttl(t, policies(t, s, otp.Default), key))
	})
}

// A row that was made as a default hides nothing that somebody writes later, however general.
func TestDefaultPolicyCountsLast(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		s := openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{})
		p := policies(t, s, otp.Default)
		key := otp.PolicyKey{Tenant: "t", Channel: otp.SMS, Usage: "login"}
		preset := ttl(t, p, key)
		list, err := p.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)

		require.NoError(t, p.Set(t.Context(), otp.PolicyKey{}, minutes(3), ann))
		require.Equal(t, 3*time.Minute, ttl(t, p, key))
		require.Equal(t, 3*time.Minute, ttl(t, policies(t, s, otp.Default), key), "in another process")
		require.NoError(t, p.Set(t.Context(), otp.PolicyKey{Channel: otp.SMS}, minutes(4), ann))
		require.Equal(t, 4*time.Minute, ttl(t, p, key), "the default was written over")
		require.NoError(t, p.Remove(t.Context(), otp.PolicyKey{Channel: otp.SMS}, ann))
		require.NoError(t, p.Remove(t.Context(), otp.PolicyKey{}, ann))
		require.Equal(t, preset, ttl(t, p, key))
	})
}

// A preset that does not allow a channel for most usages has a default for it all the same.
func TestDefaultPolicyOfPreset(t *testing.T) {
	s := openStore(t, openDB(t, "sqlite", sqliteFile(t)), sqlstore.Options{})
	p := policies(t, s, otp.NIST)
	_, err := p.Policy(t.Context(), otp.PolicyKey{Channel: otp.Email, Usage: "login"})
	require.ErrorIs(t, err, otp.ErrRefused)
	policy, err := p.Policy(t.Context(), otp.PolicyKey{Channel: otp.Email, Usage: otp.Recovery})
	require.NoError(t, err)
	require.Equal(t, 1, policy.LiveCodes)
	_, err = s.Policies(t.Context(), 99)
	require.ErrorContains(t, err, "Preset 99")
}

// A default of a preset that allowed more does not deny when the preset is changed: nobody
// wrote it, so the values of the new one hold.
func TestDefaultPolicyOfAnotherPreset(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		s := openStore(t, openDB(t, k.driver, k.dsn(t)), sqlstore.Options{})
		key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
		_, err := policies(t, s, otp.Default).Policy(t.Context(), key)
		require.NoError(t, err)
		p := policies(t, s, otp.NIST)
		policy, err := p.Policy(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, 1, policy.WithDefaults(otp.SMS).LiveCodes)
		list, err := p.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.ErrorContains(t, list[0].Err, "Policy.LiveCodes", "it is there to be seen")
	})
}

// S-84: who changed what and when.
func TestPolicyHistory(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db)}
		p := policies(t, openStore(t, db, o), otp.Default)
		key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
		full := otp.Policy{
			Formats: []otp.Format{{Length: 8, Alphabet: otp.Digits}, {Length: 10, Alphabet: otp.Crockford}},
			TTL:     90 * time.Second, MaxAttempts: 3, MaxSends: 2, LiveCodes: 1, ResendInterval: time.Minute, RequireBinding: true,
			Limits: otp.Limits{
				Recipient: []otp.Limit{{N: 1, Per: time.Minute}, {N: 5, Per: 24 * time.Hour}}, Subject: []otp.Limit{{N: 2, Per: time.Hour}},
				Client: []otp.Limit{{N: 3, Per: time.Hour}}, Prefix: []otp.Limit{{N: 4, Per: time.Hour}}, Tenant: []otp.Limit{{N: 5, Per: time.Hour}},
			},
		}
		require.NoError(t, p.Set(t.Context(), key, full, ann))
		require.NoError(t, p.Set(t.Context(), otp.PolicyKey{}, minutes(9), ann)) // another
		insert(t, db, o.Prefix, "sms", `{"ttl": "4m"}`)
		require.NoError(t, p.Remove(t.Context(), key, "bob"))
		history, err := p.History(t.Context(), key)
		require.NoError(t, err)
		for i := range history {
			assert.WithinDuration(t, time.Now(), history[i].At, time.Hour)
			history[i].At = time.Time{}
		}
		require.Equal(t, []sqlstore.PolicyChange{
			{Key: key, Policy: full, By: ann},
			{Key: key, Policy: minutes(4), By: ann},
			{Key: key, Removed: true, By: "bob"},
		}, history)
	})
}

// What an administrator may get wrong is an error that says where, and stops nothing else.
func TestBadPolicies(t *testing.T) {
	tests := map[string]string{
		`{"ttl": "5 minutes"}`:   `field "ttl"`,
		`{"ttl": 300}`:           `field "ttl" is of the wrong type`,
		`{"ttl": "1s"}`:          "Policy.TTL is not 30s to 10m0s",
		`{"lifetime": "5m"}`:     `unknown field "lifetime"`,
		`{"max_attempts": 1000}`: "Policy.MaxAttempts is not 1 to 10",
		`{"live_codes": 2}`:      "Policy.LiveCodes is weaker than preset NIST allows",
		`{"limits": {"recipient": [{"n": 1, "per": "x"}]}}`: `field "limits.recipient.per"`,
		`{"limits": {"client": [{"n": -1, "per": "1h"}]}}`:  "Policy.Limits.Client",
		`{"formats": [{"length": 4}]}`:                      "Policy.Formats has a format of fewer than 1e6 codes",
		`[]`:                                                "wrong type",
		`"6 digits"`:                                        "wrong type",
	}
	everyServer(t, func(t *testing.T, k server) {
		db := openDB(t, k.driver, k.dsn(t))
		o := sqlstore.Options{Prefix: fresh(t, db)}
		s := openStore(t, db, o)
		for text, want := range tests {
			insert(t, db, o.Prefix, "sms", text)
			p := policies(t, s, otp.NIST)
			_, err := p.Policy(t.Context(), otp.PolicyKey{Channel: otp.SMS, Usage: "login"})
			require.ErrorContains(t, err, want)
			require.ErrorContains(t, err, `policy of tenant "" channel "sms" usage "login"`)
			_, err = p.Policy(t.Context(), otp.PolicyKey{Channel: otp.SMS, Usage: "signup"})
			require.NoError(t, err)
			list, err := p.List(t.Context())
			require.NoError(t, err)
			i := slices.IndexFunc(list, func(c sqlstore.PolicyChange) bool { return c.Key.Usage == "login" })
			require.ErrorContains(t, list[i].Err, want)
		}
		// S-26: and the service denies.
		insert(t, db, o.Prefix, "sms", `{"ttl": "1s"}`)
		defaults := policies(t, s, otp.Default)
		svc, outbox, _ := otptest.NewService(t, func(c *otp.Config) { c.Store, c.Limiter, c.Policies = s, s, defaults })
		_, err := svc.Request(t.Context(), otp.Request{Channel: otp.SMS, Usage: "login", To: "+12025550100"})
		require.ErrorContains(t, err, "Policy.TTL")
		require.Empty(t, outbox.Messages())
		// What is not JSON the server itself does not take.
		_, err = db.Exec("INSERT INTO " + o.Prefix + "policy (policy, changed_by) VALUES ('{ttl: 5m}', 'ann')")
		require.Error(t, err)

		p := policies(t, s, otp.NIST)
		require.ErrorContains(t, p.Set(t.Context(), otp.PolicyKey{}, otp.Policy{TTL: 1}, ann), "Policy.TTL")
		require.ErrorContains(t, p.Set(t.Context(), otp.PolicyKey{}, otp.Policy{LiveCodes: 2}, ann), "NIST")
		require.ErrorContains(t, p.Set(t.Context(), otp.PolicyKey{Channel: "a b"}, otp.Policy{}, ann), "malformed channel")
		for _, by := range []string{"", "defaults", fmt.Sprintf("%129d", 1)} {
			require.ErrorContains(t, p.Set(t.Context(), otp.PolicyKey{}, otp.Policy{}, by), "by is")
			require.ErrorContains(t, p.Remove(t.Context(), otp.PolicyKey{}, by), "by is")
		}
	})
}

// Of a change in one process, and of one by hand, the others know within five seconds, and it
// holds for what is asked for next, however long the answer takes.
func TestPolicyReachesEveryProcess(t *testing.T) {
	everyServer(t, func(t *testing.T, k server) {
		dsn := k.dsn(t)
		db := openDB(t, k.driver, dsn)
		o := sqlstore.Options{Prefix: fresh(t, db)}
		here := policies(t, openStore(t, db, o), otp.Default)
		there := policies(t, openStore(t, openDB(t, k.driver, dsn), o), otp.Default)
		key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
		require.Equal(t, 5*time.Minute, ttl(t, there, key))
		change := func(want time.Duration, set func()) {
			t.Helper()
			set()
			changed := time.Now()
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for asked := changed; ttl(t, there, key) != want; asked = <-tick.C {
				require.Less(t, asked.Sub(changed), 5*time.Second)
			}
		}
		change(3*time.Minute, func() {
			require.NoError(t, here.Set(t.Context(), key, minutes(3), ann))
			require.Equal(t, 3*time.Minute, ttl(t, here, key), "its own changes a process knows at once")
		})
		change(4*time.Minute, func() { insert(t, db, o.Prefix, "sms", `{"ttl": "4m"}`) })
	})
}

// A cache serves for two seconds what it has, for five while it cannot be renewed, and then
// denies. Many who ask at once are one reading.
func TestPolicyCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, db := record(t, "sqlite", sqliteFile(t))
		o := sqlstore.Options{Prefix: "cache_"}
		s := openStore(t, db, o)
		p := policies(t, s, otp.Default)
		key := otp.PolicyKey{Channel: otp.SMS, Usage: "login"}
		require.NoError(t, p.Set(t.Context(), key, minutes(3), ann))
		crowd := func() (failed int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range 50 {
				wg.Go(func() {
					policy, err := p.Policy(t.Context(), key)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						failed++
						return
					}
					assert.Equal(t, 3*time.Minute, policy.TTL)
				})
			}
			wg.Wait()
			return failed
		}
		reads := func() int { return len(r.take()) }
		reads()
		require.Zero(t, crowd())
		require.LessOrEqual(t, reads(), 2, "one reading and, the first time, its preparation")
		time.Sleep(2*time.Second - time.Nanosecond)
		require.Zero(t, crowd())
		require.Zero(t, reads())
		time.Sleep(time.Nanosecond)
		require.Zero(t, crowd())
		require.Equal(t, 1, reads())

		// The table is away: what is cached serves for five seconds.
		rename := func(from, to string) {
			_, err := db.Exec("ALTER TABLE cache_" + from + " RENAME TO cache_" + to)
			require.NoError(t, err)
		}
		rename("policy", "away")
		time.Sleep(5*time.Second - time.Nanosecond)
		require.Zero(t, crowd())
		time.Sleep(time.Nanosecond)
		require.Equal(t, 50, crowd())
		rename("away", "policy")
		require.Zero(t, crowd(), "it works again at once")

		// Whoever leaves while it waits for others gets its own error, and they get theirs.
		rename("policy", "away")
		time.Sleep(5 * time.Second)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.Policy(gone, key)
		require.ErrorIs(t, err, context.Canceled)
		rename("away", "policy")
		require.NoError(t, db.Close())
	})
}
