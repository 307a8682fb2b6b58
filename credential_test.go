package otp_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/hotp"
	"otp.example/otp/memstore"
	"otp.example/otp/totp"
)

// A vault is a store of credentials that counts, and does what a test wants before each call.
type vault struct {
	*memstore.Store
	mu     sync.Mutex
	swaps  int
	before func(call string) error
	deaf   bool // to contexts that end
	keys   []string
}

func (v *vault) hears(ctx context.Context) context.Context {
	if v.deaf {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

func (v *vault) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	if v.before != nil {
		if err := v.before("load"); err != nil {
			return nil, err
		}
	}
	return v.Store.LoadCredentials(v.hears(ctx), key)
}

func (v *vault) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	if v.before != nil {
		if err := v.before("swap"); err != nil {
			return false, err
		}
	}
	v.mu.Lock()
	v.swaps++
	v.keys = append(v.keys, key)
	v.mu.Unlock()
	return v.Store.SwapCredentials(v.hears(ctx), key, old, value, until)
}

func (v *vault) ListCredentials(ctx context.Context, cursor string, n int) ([]string, string, error) {
	if v.before != nil {
		if err := v.before("list"); err != nil {
			return nil, "", err
		}
	}
	return v.Store.ListCredentials(v.hears(ctx), cursor, n)
}

// resealing is a service with people in two tenants who have credentials under the key k1, and that key
// rotated away.
func resealing(t *testing.T, people int) (*otp.Service, *otp.Keyring, *vault, func(i int) error) {
	t.Helper()
	v := &vault{Store: memstore.New()}
	keys := newKeyring(t)
	w := newWorld(t, func(c *otp.Config) { c.Store, c.Keyring = v, keys })
	secret := []byte("12345678901234567890")
	tokens := map[int]*hotp.Verifier{}
	for i := range people {
		svc := w.Service
		if i%2 == 1 {
			svc = svc.Tenant("other")
		}
		token, err := hotp.NewVerifier(svc, hotp.Config{})
		require.NoError(t, err)
		_, err = token.Import(t.Context(), fmt.Sprint(i), "", secret, 0, hotp.Options{})
		require.NoError(t, err)
		tokens[i] = token
	}
	require.NoError(t, keys.Rotate(otp.Key{ID: "k2", Secret: keyNo(2)}))
	v.swaps = 0
	verify := func(i int) error {
		code, err := hotp.Code(secret, 0, hotp.Options{})
		require.NoError(t, err)
		_, err = tokens[i].Verify(t.Context(), otp.Answer{Subject: fmt.Sprint(i), Usage: "login", Code: code})
		return err
	}
	return w.Service, keys, v, verify
}

// S-19 S-59: after Reseal the older key is not needed any more, by no tenant. What was used in the meantime
// is under the new key already, and a second run changes nothing.
func TestReseal(t *testing.T) {
	t.Parallel()
	const people = 1000
	svc, keys, v, verify := resealing(t, people)
	require.NoError(t, verify(0))
	v.swaps = 0
	n, err := svc.Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, people-1, n)
	require.Equal(t, people-1, v.swaps)
	n, err = svc.Tenant("other").Reseal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	require.NoError(t, keys.Retire("k1"))
	forgotten, err := v.Prune(t.Context(), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), 10*people)
	require.NoError(t, err)
	require.Zero(t, forgotten, "what has to be kept still has to be")
	for i := 1; i < people; i++ {
		require.NoError(t, verify(i))
	}
	require.ErrorIs(t, verify(0), otp.ErrRejected, "it was used")
}

// S-59: people who use their codes while all is encrypted anew lose nothing, and no code is accepted twice.
func TestResealUnderLoad(t *testing.T) {
	t.Parallel()
	const people = 100
	svc, keys, _, verify := resealing(t, people)
	var group sync.WaitGroup
	accepted := make([]int, people)
	for range 2 {
		group.Go(func() {
			if _, err := svc.Reseal(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	var mu sync.Mutex
	for i := range people * 2 {
		group.Go(func() {
			if verify(i%people) == nil {
				mu.Lock()
				accepted[i%people]++
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for i, n := range accepted {
		require.Equal(t, 1, n, "of person %d", i)
	}
	require.NoError(t, keys.Retire("k1"))
	n, err := svc.Reseal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
}

// A swap that somebody else came before is made again, with what is there then.
func TestResealLosesNothing(t *testing.T) {
	t.Parallel()
	svc, keys, v, verify := resealing(t, 1)
	came := false
	v.before = func(call string) error {
		if call == "swap" && !came {
			came = true
			return verify(0) // itself two swaps
		}
		return nil
	}
	_, err := svc.Reseal(t.Context())
	require.NoError(t, err)
	require.True(t, came)
	v.before = nil
	require.NoError(t, keys.Retire("k1"))
	require.ErrorIs(t, verify(0), otp.ErrMismatch, "what was used stays used")
}

// What a store cannot do is an error, and what was done until then is reported. So the older key stays.
func TestResealFaults(t *testing.T) {
	t.Parallel()
	gone := errors.New("the store is gone")
	for _, call := range []string{"list", "load", "swap"} {
		svc, _, v, verify := resealing(t, 10)
		left := 4
		v.before = func(c string) error {
			if c == call {
				left--
			}
			if left < 0 {
				return gone
			}
			return nil
		}
		n, err := svc.Reseal(t.Context())
		require.ErrorIs(t, err, gone, call)
		require.Equal(t, v.swaps, n, call)
		v.before = nil
		m, err := svc.Reseal(t.Context())
		require.NoError(t, err)
		require.Equal(t, 10, n+m)
		require.NoError(t, verify(3))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	svc, _, _, _ := resealing(t, 1)
	_, err := svc.Reseal(ctx)
	require.ErrorIs(t, err, context.Canceled)

	// A walk that was cut short does not look complete, whenever that was.
	for last := range 9 { // one list, and a load and a swap of each
		svc, _, v, _ := resealing(t, 4)
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		v.before = func(string) error {
			if calls++; calls > last {
				cancel()
			}
			return nil
		}
		v.deaf = true
		n, err := svc.Reseal(ctx)
		require.Equal(t, v.swaps, n)
		require.ErrorIs(t, err, context.Canceled, "during call %d", last)
		cancel()
	}

	svc, keys, _, _ := resealing(t, 1)
	require.NoError(t, keys.Retire("k1")) // too early
	n, err := svc.Reseal(t.Context())
	require.Error(t, err)
	require.Zero(t, n)
}

// A store that keeps no credentials is refused where they are asked for.
func TestStoreWithoutCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *otp.Config) {
		m := memstore.New()
		c.Store, c.Limiter = struct{ otp.Store }{m}, m
	})
	_, err := w.Reseal(t.Context())
	require.ErrorContains(t, err, "CredentialStore")
	_, err = totp.NewVerifier(w.Service, totp.Config{})
	require.ErrorContains(t, err, "CredentialStore")
}

// S-49: the keys of credentials are pseudonyms, different for each tenant, subject and factor, and stay
// when keys rotate.
func TestCredentialKeys(t *testing.T) {
	t.Parallel()
	v := &vault{Store: memstore.New()}
	keys := newKeyring(t)
	w := newWorld(t, func(c *otp.Config) { c.Store, c.Keyring = v, keys })
	put := func() (names []string) {
		v.keys = nil
		for _, svc := range []*otp.Service{w.Service, w.Tenant("other")} {
			app, err := totp.NewVerifier(svc, totp.Config{})
			require.NoError(t, err)
			token, err := hotp.NewVerifier(svc, hotp.Config{})
			require.NoError(t, err)
			for _, subject := range []string{"ada", "Ada", "ada "} {
				require.NoError(t, app.RevokeAll(t.Context(), subject))
				require.NoError(t, token.RevokeAll(t.Context(), subject))
			}
		}
		return v.keys
	}
	first := put()
	seen := map[string]bool{}
	for _, key := range first {
		require.Regexp(t, `^c[A-Za-z0-9_-]{22}$`, key)
		seen[key] = true
	}
	require.Len(t, seen, 12)
	require.NoError(t, keys.Rotate(otp.Key{ID: "k2", Secret: keyNo(2)}))
	require.Equal(t, first, put())
}
