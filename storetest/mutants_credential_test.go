package storetest

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"otp.example/otp"
)

// A brokenWallet does some things to its calls.
type brokenWallet struct {
	*reference
	loads   func(s *reference, ctx context.Context, key string) ([]byte, error)
	swaps   func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error)
	lists   func(s *reference, ctx context.Context, cursor string, limit int) ([]string, string, error)
	reopens func(*reference) *reference
}

func (b brokenWallet) make() otp.CredentialStore {
	b.reference = newReference()
	return b
}

func (b brokenWallet) LoadCredentials(ctx context.Context, key string) ([]byte, error) {
	if b.loads == nil {
		return b.reference.LoadCredentials(ctx, key)
	}
	return b.loads(b.reference, ctx, key)
}

func (b brokenWallet) SwapCredentials(ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
	if b.swaps == nil {
		return b.reference.SwapCredentials(ctx, key, old, value, until)
	}
	return b.swaps(b.reference, ctx, key, old, value, until)
}

func (b brokenWallet) ListCredentials(ctx context.Context, cursor string, limit int) ([]string, string, error) {
	if b.lists == nil {
		return b.reference.ListCredentials(ctx, cursor, limit)
	}
	return b.lists(b.reference, ctx, cursor, limit)
}

func (b brokenWallet) Reopen() (any, error) {
	b.reference = b.reopened()
	if b.reopens != nil {
		b.reference = b.reopens(b.reference)
	}
	return b, nil
}

// swapIf swaps if same says so.
func swapIf(same func(held, old []byte) bool) func(*reference, context.Context, string, []byte, []byte, time.Time) (bool, error) {
	return func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
		held, err := s.LoadCredentials(ctx, key)
		if err != nil || !same(held, old) {
			return false, err
		}
		return s.SwapCredentials(ctx, key, held, value, until)
	}
}

func mapped(f func(string) string) func() otp.CredentialStore {
	return brokenWallet{
		loads: func(s *reference, ctx context.Context, key string) ([]byte, error) {
			return s.LoadCredentials(ctx, f(key))
		},
		swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			return s.SwapCredentials(ctx, f(key), old, value, until)
		},
		lists: func(s *reference, ctx context.Context, _ string, _ int) ([]string, string, error) {
			return s.everyKey(ctx)
		},
	}.make
}

// everyKey lists keys as they were before they were mapped.
func (s *reference) everyKey(ctx context.Context) ([]string, string, error) {
	return s.ListCredentials(ctx, "", 1<<30)
}

var walletMeeting = newMeeting()

var credentialMutants = []mutant[otp.CredentialStore]{
	{
		rejectedBy: "SwapOnce", mistake: "reads the value and writes it later",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			held, err := s.LoadCredentials(ctx, key)
			if err != nil || !bytes.Equal(held, old) {
				return false, err
			}
			walletMeeting.meet(key)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.books[key] = book{bytes.Clone(value), until}
			if len(value) == 0 {
				delete(s.books, key)
			}
			return true, nil
		}}.make,
	},
	{
		rejectedBy: "SwapNeedsOld", mistake: "does not look at the old value",
		also: "SwapOnce EmptyIsAbsent",
		make: brokenWallet{swaps: swapIf(func(_, _ []byte) bool { return true })}.make,
	},
	{
		rejectedBy: "SwapNeedsOld", mistake: "takes an empty old value for any",
		also: "SwapOnce EmptyIsAbsent",
		make: brokenWallet{swaps: swapIf(func(held, old []byte) bool { return len(old) == 0 || bytes.Equal(held, old) })}.make,
	},
	{
		rejectedBy: "SwapNeedsOld", mistake: "trims what it compares",
		make: brokenWallet{swaps: swapIf(func(held, old []byte) bool {
			return bytes.Equal(bytes.TrimRight(held, " "), bytes.TrimRight(old, " "))
		})}.make,
	},
	{
		rejectedBy: "SwapNeedsOld", mistake: "compares the beginnings",
		make: brokenWallet{swaps: swapIf(func(held, old []byte) bool {
			n := min(len(held), len(old), 20)
			return (len(held) == 0) == (len(old) == 0) && bytes.Equal(held[:n], old[:n])
		})}.make,
	},
	{
		rejectedBy: "SwapNeedsOld", mistake: "compares the beginnings of long values",
		make: brokenWallet{swaps: swapIf(func(held, old []byte) bool {
			return len(held) == len(old) && bytes.Equal(held[:min(len(held), 255)], old[:min(len(old), 255)])
		})}.make,
	},
	{
		rejectedBy: "SwapNeedsOld", mistake: "cuts long values",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			return s.SwapCredentials(ctx, key, old, value[:min(len(value), 4096)], until)
		}}.make,
	},
	{
		rejectedBy: "EmptyIsAbsent", mistake: "refuses to replace nothing by nothing",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			ok, err := s.SwapCredentials(ctx, key, old, value, until)
			return ok && len(old)+len(value) > 0, err
		}}.make,
	},
	{
		rejectedBy: "EmptyIsAbsent", mistake: "does not tell an empty slice from none",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			if old != nil && len(old) == 0 {
				return false, ctx.Err()
			}
			return s.SwapCredentials(ctx, key, old, value, until)
		}}.make,
	},
	{
		rejectedBy: "KeepsUntil", mistake: "keeps the first until",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			s.mu.Lock()
			if b, ok := s.books[key]; ok {
				until = b.until
			}
			s.mu.Unlock()
			return s.SwapCredentials(ctx, key, old, value, until)
		}}.make,
	},
	{
		rejectedBy: "KeepsUntil", mistake: "forgets an hour early",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			if !until.IsZero() {
				until = until.Add(-time.Hour)
			}
			return s.SwapCredentials(ctx, key, old, value, until)
		}}.make,
	},
	{
		rejectedBy: "ListFindsAll", mistake: "returns the first page only",
		make: brokenWallet{lists: func(s *reference, ctx context.Context, cursor string, limit int) ([]string, string, error) {
			keys, _, err := s.ListCredentials(ctx, cursor, limit)
			return keys, "", err
		}}.make,
	},
	{
		rejectedBy: "ListFindsAll", mistake: "loses the last of each page",
		make: brokenWallet{lists: func(s *reference, ctx context.Context, cursor string, limit int) ([]string, string, error) {
			keys, next, err := s.ListCredentials(ctx, cursor, limit)
			return keys[:max(0, len(keys)-1)], next, err
		}}.make,
	},
	{
		rejectedBy: "ListFindsAll", mistake: "counts how many it has returned",
		make: brokenWallet{lists: func(s *reference, ctx context.Context, cursor string, limit int) ([]string, string, error) {
			all, _, err := s.everyKey(ctx)
			from, _ := strconv.Atoi(cursor)
			from = min(from, len(all))
			to := min(from+limit, len(all))
			if to == len(all) {
				return all[from:], "", err
			}
			return all[from:to], strconv.Itoa(to), err
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "swaps",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			return s.SwapCredentials(context.WithoutCancel(ctx), key, old, value, until)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "calls it a refusal",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			ok, _ := s.SwapCredentials(ctx, key, old, value, until)
			return ok, nil
		}}.make,
	},
	{
		rejectedBy: "BytewiseKeys", mistake: "takes no notice of case",
		make: mapped(folded),
		also: "ListFindsAll",
	},
	{
		rejectedBy: "BytewiseKeys", mistake: "trims spaces",
		make: mapped(trimmed),
	},
	{
		rejectedBy: "NoAliasing", mistake: "keeps the slice that it is given",
		make: brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
			ok, err := s.SwapCredentials(ctx, key, old, value, until)
			if ok && len(value) > 0 {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.books[key] = book{value, until}
			}
			return ok, err
		}}.make,
	},
	{
		rejectedBy: "NoAliasing", mistake: "hands its own slice out",
		make: brokenWallet{loads: func(s *reference, ctx context.Context, key string) ([]byte, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.books[key].value, ctx.Err()
		}}.make,
	},
	{
		rejectedBy: "Durable", mistake: "keeps nothing",
		make: brokenWallet{reopens: func(*reference) *reference { return newReference() }}.make,
	},
	{
		rejectedBy: "Durable", mistake: "forgets the key that was not used for longest",
		make: func() otp.CredentialStore {
			used := &latest{}
			return struct{ otp.CredentialStore }{brokenWallet{swaps: func(s *reference, ctx context.Context, key string, old, value []byte, until time.Time) (bool, error) {
				forget := used.use(key)
				s.mu.Lock()
				delete(s.books, forget)
				s.mu.Unlock()
				return s.SwapCredentials(ctx, key, old, value, until)
			}}.make()}
		},
		also: "ListFindsAll",
	},
}
