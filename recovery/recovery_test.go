package recovery_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
	"otp.example/otp/memstore"
	"otp.example/otp/otptest"
	"otp.example/otp/recovery"
)

// A person has a set of codes on paper.
type person struct {
	t      testing.TB
	v      *recovery.Verifier
	store  *store
	clock  *otptest.Clock
	codes  []otp.Secret
	mu     sync.Mutex
	events []otp.Event
}

func newPerson(t testing.TB, cfg recovery.Config) *person {
	t.Helper()
	p := &person{t: t, store: &store{Store: memstore.New()}}
	svc, _, clock := otptest.NewService(t, func(c *otp.Config) {
		c.Store = p.store
		c.OnEvent = func(_ context.Context, e otp.Event) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.events = append(p.events, e)
		}
	})
	p.clock = clock
	var err error
	p.v, err = recovery.NewVerifier(svc, cfg)
	require.NoError(t, err)
	p.codes, err = p.v.Generate(t.Context(), "ada", otp.Proof{})
	require.NoError(t, err)
	return p
}

func (p *person) answer(code string) (otp.Proof, error) {
	return p.v.Verify(p.t.Context(), otp.Answer{Subject: "ada", Usage: "login", Code: code})
}

func (p *person) verify(code string) error {
	_, err := p.answer(code)
	return err
}

func (p *person) told() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var types []string
	for _, e := range p.events {
		types = append(types, string(e.Type))
	}
	p.events = nil
	return strings.Join(types, " ")
}

func (p *person) remaining() int {
	p.t.Helper()
	n, err := p.v.Remaining(p.t.Context(), "ada")
	require.NoError(p.t, err)
	return n
}

// A store counts its calls.
type store struct {
	*memstore.Store
	mu    sync.Mutex
	calls int
	lose  int // how many swaps somebody else comes before
}

func (s *store) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
}

func (s *store) lost() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = max(0, s.lose-1)
	return s.lose > 0
}

func (s *store) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	s.count()
	return s.Store.LoadCredentials(ctx, key)
}

func (s *store) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	s.count()
	if s.lost() {
		return false, nil
	}
	return s.Store.SwapCredentials(ctx, key, old, value, until)
}

// S-67: ten codes, all different, each accepted once, in any order. The last two are told.
func TestSet(t *testing.T) {
	t.Parallel()
	p := newPerson(t, recovery.Config{})
	require.Len(t, p.codes, 10)
	require.Equal(t, "enrolled", p.told())
	seen := map[string]bool{}
	for _, c := range p.codes {
		require.Regexp(t, `^([0-9A-HJKMNP-TV-Z]{4}-){5}[0-9A-HJKMNP-TV-Z]{4}$`, c.Reveal())
		seen[c.Reveal()] = true
	}
	require.Len(t, seen, 10)
	for left := 9; left >= 0; left-- {
		i := (left * 7) % 10
		proof, err := p.answer(p.codes[i].Reveal())
		require.NoError(t, err)
		require.Equal(t, otp.FactorRecovery, proof.Factor())
		require.Equal(t, "ada", proof.Subject())
		require.Equal(t, left, p.remaining())
		want := "verified"
		if left <= 2 {
			want = "recovery_low verified"
		}
		require.Equal(t, want, p.told())
		require.ErrorIs(t, p.verify(p.codes[i].Reveal()), otp.ErrRejected)
		require.Equal(t, "rejected", strings.TrimPrefix(p.told(), "threshold "))
	}
	require.ErrorIs(t, p.verify(p.codes[0].Reveal()), otp.ErrRejected)
}

// S-69: typos cost no call of a store and no guess, however many there are.
func TestTyposAreFree(t *testing.T) {
	t.Parallel()
	p := newPerson(t, recovery.Config{})
	code := p.codes[0].Reveal()
	p.store.calls = 0
	for i := range 1000 {
		typo := []byte(strings.ReplaceAll(code, "-", ""))
		c := &typo[i%len(typo)]
		for old := *c; *c == old; {
			*c = crockford[(strings.IndexByte(crockford, *c)+1+i%30)%32]
		}
		require.ErrorIs(t, p.verify(string(typo)), otp.ErrMismatch)
	}
	require.Zero(t, p.store.calls)
	for range 20 {
		require.ErrorIs(t, p.verify("0000-0000-0000-0000-0000-0000"), otp.ErrMismatch, "the check symbol of zeros is right")
	}
	require.ErrorIs(t, p.verify(code), otp.ErrRateLimited)
	p.clock.Advance(25 * time.Hour)
	require.NoError(t, p.verify(code))
}

// S-68 S-74: a set is replaced as a whole, with a proof, which may be that of one of its codes.
func TestRegenerate(t *testing.T) {
	t.Parallel()
	p := newPerson(t, recovery.Config{})
	_, err := p.v.Generate(t.Context(), "ada", otp.Proof{})
	require.ErrorIs(t, err, otp.ErrProofRequired)
	require.Equal(t, 10, p.remaining())
	proof, err := p.answer(p.codes[4].Reveal())
	require.NoError(t, err)
	fresh, err := p.v.Generate(t.Context(), "ada", proof)
	require.NoError(t, err)
	require.Equal(t, 10, p.remaining())
	for _, c := range p.codes {
		require.ErrorIs(t, p.verify(c.Reveal()), otp.ErrRejected)
	}
	for _, c := range fresh {
		require.NoError(t, p.verify(c.Reveal()))
	}
	_, err = p.v.Generate(t.Context(), "bob", proof)
	require.NoError(t, err, "the first set needs none")
	_, err = p.v.Generate(t.Context(), "bob", proof)
	require.ErrorIs(t, err, otp.ErrProofRequired, "it is somebody else's")
	require.NoError(t, p.v.RevokeAll(t.Context(), "bob"))
	n, err := p.v.Remaining(t.Context(), "bob")
	require.NoError(t, err)
	require.Zero(t, n)
	for _, subject := range []string{"", "a\nb", "\xff", strings.Repeat("a", 10_000)} {
		_, err = p.v.Generate(t.Context(), subject, proof)
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
		_, err = p.v.Remaining(t.Context(), subject)
		require.ErrorIs(t, err, otp.ErrInvalidRequest)
	}
}

// S-87: the short form costs one slow hash for a code however many are left, and none for what is mistyped,
// unknown or beyond the limits.
func TestSlowHashes(t *testing.T) {
	t.Parallel()
	p := newPerson(t, recovery.Config{Short: true})
	n := p.v.Slow()
	cost := func(what string, want int64, do func() error, errs ...error) {
		t.Helper()
		n.Store(0)
		err := do()
		for _, is := range errs {
			require.ErrorIs(t, err, is, what)
		}
		require.Equal(t, len(errs) == 0, err == nil, "%s: %v", what, err)
		require.Equal(t, want, n.Load(), what)
	}
	right, used := p.codes[0].Reveal(), p.codes[1].Reveal()
	cost("right", 1, func() error { return p.verify(right) })
	cost("right", 1, func() error { return p.verify(used) })
	cost("used", 1, func() error { return p.verify(used) }, otp.ErrMismatch)
	cost("wrong", 1, func() error { return p.verify(samples()[34]) }, otp.ErrMismatch)
	cost("mistyped", 0, func() error { return p.verify(used[1:]) }, otp.ErrMismatch)
	cost("of the long form", 0, func() error { return p.verify(samples()[0]) }, otp.ErrMismatch)
	cost("of nobody", 0, func() error {
		_, err := p.v.Verify(t.Context(), otp.Answer{Subject: "nobody", Usage: "login", Code: used})
		return err
	}, otp.ErrNotFound)
	generate := func(subject string, proof otp.Proof) func() error {
		return func() error {
			_, err := p.v.Generate(t.Context(), subject, proof)
			return err
		}
	}
	cost("a set without a proof", 0, generate("ada", otp.Proof{}), otp.ErrProofRequired)
	cost("a set of nobody", 0, generate("", otp.Proof{}), otp.ErrInvalidRequest)
	cost("a first set", 10, generate("bob", otp.Proof{}))
	proof, err := p.answer(p.codes[2].Reveal())
	require.NoError(t, err)
	p.store.lose = 3 // somebody else comes in between, and what was hashed is still good
	cost("a new set", 10, generate("ada", proof))
	require.Zero(t, p.store.lose)
	require.Equal(t, 10, p.remaining())
}

// S-87: at most four slow hashes at a time take memory, of all tenants of a service together.
func TestSlowHashesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		svc, _, _ := otptest.NewService(t)
		first, err := recovery.NewVerifier(svc, recovery.Config{Short: true})
		require.NoError(t, err)
		second, err := recovery.NewVerifier(svc.Tenant("second"), recovery.Config{Short: true})
		require.NoError(t, err)
		require.Equal(t, 4, first.Room())
		release := first.Occupy()
		made := make(chan error, 1)
		go func() {
			_, err := second.Generate(t.Context(), "ada", otp.Proof{})
			made <- err
		}()
		synctest.Wait()
		require.Empty(t, made, "it was hashed beyond the bound")
		release()
		require.NoError(t, <-made)
	})
}

// The short form: sixteen symbols. What would be hashed waits for its turn, as long as its context lasts.
func TestShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPerson(t, recovery.Config{Short: true})
		require.Regexp(t, `^([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}$`, p.codes[0].Reveal())
		require.NoError(t, p.verify(p.codes[3].Reveal()))
		require.ErrorIs(t, p.verify(p.codes[3].Reveal()), otp.ErrRejected)

		release := p.v.Occupy() // whatever hashes now waits
		require.ErrorIs(t, p.verify(samples()[0]), otp.ErrMismatch, "no code of this set is so long")
		for range 30 {
			require.ErrorIs(t, p.verify(p.codes[0].Reveal()[1:]), otp.ErrMismatch)
		}
		_, err := p.v.Verify(t.Context(), otp.Answer{Subject: "nobody", Usage: "login", Code: p.codes[0].Reveal()})
		require.ErrorIs(t, err, otp.ErrNotFound)
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() {
			_, err := p.v.Verify(ctx, otp.Answer{Subject: "ada", Usage: "login", Code: p.codes[0].Reveal()})
			answered <- err
		}()
		synctest.Wait()
		require.Empty(t, answered, "it was hashed beyond the bound")
		cancel()
		require.ErrorIs(t, <-answered, context.Canceled)
		release()
		require.Equal(t, 9, p.remaining())
		require.NoError(t, p.verify(strings.ToLower(p.codes[0].Reveal())))
		for i := 0; ; i++ {
			err := p.verify(samples()[33+i])
			if errors.Is(err, otp.ErrRateLimited) {
				break
			}
			require.ErrorIs(t, err, otp.ErrMismatch)
		}
		release = p.v.Occupy()
		require.ErrorIs(t, p.verify(p.codes[1].Reveal()), otp.ErrRateLimited, "what is refused is not hashed")
		release()
	})
}

// S-21: what can be searched is kept under Argon2id with a salt, and what cannot under a salted hash; both
// are encrypted as well. Golden, since a hash that changes would take everybody's codes away.
func TestHashes(t *testing.T) {
	t.Parallel()
	svc, _, _ := otptest.NewService(t)
	v, err := recovery.NewVerifier(svc, recovery.Config{})
	require.NoError(t, err)
	salt := []byte("sixteen bytes...")
	for _, tt := range []struct {
		short      bool
		code, want string
	}{
		// echo -n "sixteen bytes...7K2MQ9XF0TWB4HNC6RJEVA8F" | sha256sum
		{false, "7K2MQ9XF0TWB4HNC6RJEVA8F", "ae5dc742fff7c377ed3b4754542f6a65c907a07a8f93233942094e9042ebd13e"},
		// echo -n 7K2MQ9XF0TWB4HNC | argon2 sixteen\ bytes... -id -t 2 -k 19456 -p 1 -l 32 -r
		{true, "7K2MQ9XF0TWB4HNC", "010196836050ac61fda80f676def9b6024af2ee1ff095eb4924adf6782910c2e"},
	} {
		hash, err := v.Hash(t.Context(), tt.short, salt, []byte(tt.code))
		require.NoError(t, err)
		require.Equal(t, tt.want, hex.EncodeToString(hash))
	}
}

// A verifier of the other form verifies the sets that there are.
func TestFormsMix(t *testing.T) {
	t.Parallel()
	svc, _, _ := otptest.NewService(t)
	long, err := recovery.NewVerifier(svc, recovery.Config{})
	require.NoError(t, err)
	short, err := recovery.NewVerifier(svc, recovery.Config{Short: true})
	require.NoError(t, err)
	for i, pair := range [][2]*recovery.Verifier{{long, short}, {short, long}} {
		subject := fmt.Sprint(i)
		codes, err := pair[0].Generate(t.Context(), subject, otp.Proof{})
		require.NoError(t, err)
		_, err = pair[1].Verify(t.Context(), otp.Answer{Subject: subject, Usage: "login", Code: codes[0].Reveal()})
		require.NoError(t, err)
	}
}

// S-01: every symbol comes at every place, none more often than chance has it.
func TestCodesAreUniform(t *testing.T) {
	t.Parallel()
	svc, _, _ := otptest.NewService(t)
	v, err := recovery.NewVerifier(svc, recovery.Config{})
	require.NoError(t, err)
	var counts [23][256]int
	const sets = 300
	for i := range sets {
		codes, err := v.Generate(t.Context(), fmt.Sprint(i), otp.Proof{})
		require.NoError(t, err)
		for _, c := range codes {
			for place, symbol := range []byte(strings.ReplaceAll(c.Reveal(), "-", "")[:23]) {
				counts[place][symbol]++
			}
		}
	}
	// Chi-squared with 23·31 degrees of freedom: its mean is 713, and it is above 920 once in 10^6.
	chi := 0.0
	for place := range counts {
		for _, symbol := range []byte(crockford) {
			d := float64(counts[place][symbol]) - sets*10/32.0
			chi += d * d / (sets * 10 / 32.0)
		}
	}
	require.Less(t, chi, 920.0)
}
