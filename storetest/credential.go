package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"otp.example/otp"
)

var credentialCases = []clause[otp.CredentialStore]{
	{"SwapOnce", "of any number of concurrent swaps of one value, exactly one is applied", swapOnce},
	{"SwapNeedsOld", "a swap is applied only if the value held is the old one, to the byte", swapNeedsOld},
	{"EmptyIsAbsent", "a key without a value, a new one and a forgotten one are the same", emptyIsAbsent},
	{"KeepsUntil", "a value is not forgotten before until, and never if that is zero", keepsUntil},
	{"ListFindsAll", "a walk finds every key that was there from its beginning to its end", listFindsAll},
	{"CanceledContext", "a call whose context is done changes nothing and returns an error", credentialCanceledContext},
	{"BytewiseKeys", "keys that differ in any byte, case and trailing spaces included, name different values, up to 128 bytes", credentialBytewiseKeys},
	{"NoAliasing", "the store does not keep or change the slices that it is given, and the caller may change those that it returns", credentialNoAliasing},
	{"Durable", "an applied swap survives whatever the store survives", credentialDurable},
}

// A wallet is one key of a credential store.
type wallet struct {
	store otp.CredentialStore
	key   string
	errs  []error
}

func newWallet(s otp.CredentialStore) *wallet { return &wallet{store: s, key: newName()} }

func (w *wallet) err() error { return some(w.errs) }

func (w *wallet) load(ctx context.Context, what string, want []byte) {
	got, err := w.store.LoadCredentials(ctx, w.key)
	switch {
	case err != nil:
		w.errs = append(w.errs, fmt.Errorf("LoadCredentials %s: the error is %w and should be nil", what, err))
	case !bytes.Equal(got, want):
		w.errs = append(w.errs, fmt.Errorf("LoadCredentials %s: returned %d bytes that differ from the %d which should be there", what, len(got), len(want)))
	}
}

func (w *wallet) swap(ctx context.Context, what string, old, value []byte, until time.Time, want bool) {
	applied, err := w.store.SwapCredentials(ctx, w.key, old, value, until)
	switch {
	case err != nil:
		w.errs = append(w.errs, fmt.Errorf("SwapCredentials %s: the error is %w and should be nil", what, err))
	case applied != want:
		w.errs = append(w.errs, fmt.Errorf("SwapCredentials %s: was %s and should be %s", what, doneName(applied), doneName(want)))
	}
}

// newValue returns a value that nothing else has, with bytes that are no text.
func newValue() []byte { return append([]byte{0, 0xff, 0x80, '\''}, newName()...) }

func swapOnce(ctx context.Context, s otp.CredentialStore) error {
	return repeat(func() error {
		w := newWallet(s)
		var old []byte
		for _, what := range []string{"of a new key", "of a held key", "of a held key, again"} {
			var applied atomic.Int64
			values := make([][]byte, crowd)
			err := together(crowd, func(i int) error {
				values[i] = newValue()
				ok, err := s.SwapCredentials(ctx, w.key, old, values[i], time.Time{})
				if ok {
					applied.Add(1)
				} else {
					values[i] = nil
				}
				return err
			})
			what = fmt.Sprintf("%d goroutines swap the value %s", crowd, what)
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			if n := applied.Load(); n != 1 {
				return fmt.Errorf("%s: %d were applied and 1 should be", what, n)
			}
			old = slices.Concat(values...)
			w.load(ctx, "after "+what, old)
			if err := w.err(); err != nil {
				return err
			}
		}
		return nil
	})
}

func swapNeedsOld(ctx context.Context, s otp.CredentialStore) error {
	w := newWallet(s)
	a, b := newValue(), newValue()
	w.swap(ctx, "of a new key from a value", a, b, time.Time{}, false)
	w.load(ctx, "after a swap that was refused", nil)
	w.swap(ctx, "of a new key", nil, a, time.Time{}, true)
	w.load(ctx, "after a swap", a)
	for _, old := range [][]byte{nil, b, a[:len(a)-1], append(bytes.Clone(a), 0), append(bytes.Clone(a), ' '), bytes.ToLower(a), {0}} {
		w.swap(ctx, "from another value than the one held", old, b, time.Time{}, false)
	}
	w.load(ctx, "after swaps that were refused", a)
	w.swap(ctx, "from the value held to itself", a, a, time.Time{}, true)
	w.swap(ctx, "from the value held", a, b, time.Time{}, true)
	w.swap(ctx, "from the value before", a, b, time.Time{}, false)
	long := bytes.Repeat([]byte{0xa5}, otp.MaxCredentials)
	w.swap(ctx, "to the longest value", b, long, time.Time{}, true)
	w.load(ctx, "of the longest value", long)
	other := bytes.Clone(long)
	other[len(other)-1]++
	w.swap(ctx, "from a value that differs from the longest in its last byte", other, b, time.Time{}, false)
	w.swap(ctx, "from the longest value", long, b, time.Time{}, true)
	w.load(ctx, "after the longest value", b)
	return w.err()
}

func emptyIsAbsent(ctx context.Context, s otp.CredentialStore) error {
	w := newWallet(s)
	a := newValue()
	for _, empty := range [][]byte{nil, {}} {
		w.load(ctx, "of a key that is not held", nil)
		w.swap(ctx, "of nothing by nothing", empty, empty, time.Time{}, true)
		w.swap(ctx, "of nothing by a value", empty, a, time.Time{}, true)
		w.swap(ctx, "of nothing by a value, while one is held", empty, a, time.Time{}, false)
		w.swap(ctx, "of a value by nothing", a, empty, time.Time{}, true)
		w.swap(ctx, "of a value by nothing, again", a, empty, time.Time{}, false)
	}
	return w.err()
}

func keepsUntil(ctx context.Context, s otp.CredentialStore) error {
	always, once, longer := newWallet(s), newWallet(s), newWallet(s)
	a, b := newValue(), newValue()
	until := pruneEpoch.Add(time.Hour)
	always.swap(ctx, "without until", nil, a, time.Time{}, true)
	once.swap(ctx, "with until", nil, a, until, true)
	longer.swap(ctx, "with until", nil, a, until, true)
	longer.swap(ctx, "to a value without until", a, b, time.Time{}, true)
	pruner, prunes := s.(otp.Pruner)
	if prunes {
		if _, err := pruner.Prune(ctx, until.Add(-tick), 1000); err != nil {
			return fmt.Errorf("Prune: %w", err)
		}
	}
	once.load(ctx, "just before until", a)
	if prunes {
		if _, err := pruner.Prune(ctx, until.Add(300*day), 1000); err != nil {
			return fmt.Errorf("Prune: %w", err)
		}
	}
	always.load(ctx, "without until, long after", a)
	longer.load(ctx, "whose until was taken back, long after", b)
	return errors.Join(always.err(), once.err(), longer.err())
}

func listFindsAll(ctx context.Context, s otp.CredentialStore) error {
	missing, gone := map[string]*wallet{}, map[string]bool{}
	value := newValue()
	add := func() *wallet {
		w := newWallet(s)
		w.swap(ctx, "of a new key", nil, value, time.Time{}, true)
		missing[w.key] = w
		return w
	}
	forget := func(w *wallet) error {
		w.swap(ctx, "by nothing", value, nil, time.Time{}, true)
		gone[w.key] = true
		delete(missing, w.key)
		return w.err()
	}
	for range 3 * crowd {
		if err := add().err(); err != nil {
			return err
		}
	}
	if err := forget(add()); err != nil {
		return err
	}
	cursor := ""
	for range 1_000_000 {
		keys, next, err := s.ListCredentials(ctx, cursor, 10)
		if err != nil {
			return fmt.Errorf("ListCredentials: the error is %w and should be nil", err)
		}
		for _, key := range keys {
			if gone[key] {
				return errors.New("ListCredentials: returned a key that has no value any more")
			}
		}
		// What was found is forgotten, so the rest moves up where positions are counted.
		for _, key := range keys {
			if w := missing[key]; w != nil {
				if err := forget(w); err != nil {
					return err
				}
			}
		}
		if next == "" {
			if len(missing) > 0 {
				return fmt.Errorf("a walk with ListCredentials: %d keys of %d were not found", len(missing), 3*crowd)
			}
			return nil
		}
		cursor = next
	}
	return errors.New("a walk with ListCredentials does not end")
}

func credentialCanceledContext(ctx context.Context, s otp.CredentialStore) error {
	contexts, release := dead(ctx)
	defer release()
	w := newWallet(s)
	a := newValue()
	w.swap(ctx, "of a new key", nil, a, time.Time{}, true)
	for _, done := range contexts {
		_, err := s.SwapCredentials(done, w.key, a, newValue(), time.Time{})
		w.errs = append(w.errs, mustFail("SwapCredentials", err))
		_, err = s.LoadCredentials(done, w.key)
		w.errs = append(w.errs, mustFail("LoadCredentials", err))
		_, _, err = s.ListCredentials(done, "", 10)
		w.errs = append(w.errs, mustFail("ListCredentials", err))
		w.load(ctx, "after a swap with a context that was done", a)
	}
	return w.err()
}

func credentialBytewiseKeys(ctx context.Context, s otp.CredentialStore) error {
	var errs []error
	for _, key := range variants() {
		w := &wallet{store: s, key: key}
		value := newValue()
		w.swap(ctx, fmt.Sprintf("of new key %q, while others like it are held", key), nil, value, time.Time{}, true)
		w.load(ctx, fmt.Sprintf("of key %q", key), value)
		errs = append(errs, w.err())
	}
	return some(errs)
}

func credentialNoAliasing(ctx context.Context, s otp.CredentialStore) error {
	w := newWallet(s)
	want := newValue()
	given := bytes.Clone(want)
	w.swap(ctx, "of a new key", nil, given, time.Time{}, true)
	clear(given)
	w.load(ctx, "after the caller changed what it had given", want)
	got, err := s.LoadCredentials(ctx, w.key)
	if err != nil {
		return fmt.Errorf("LoadCredentials: the error is %w and should be nil", err)
	}
	clear(got)
	w.load(ctx, "after the caller changed what it had got", want)
	return w.err()
}

func credentialDurable(ctx context.Context, s otp.CredentialStore) error {
	kept, gone := newWallet(s), newWallet(s)
	a, b := newValue(), newValue()
	kept.swap(ctx, "of a new key", nil, a, time.Time{}, true)
	kept.swap(ctx, "to another value", a, b, time.Time{}, true)
	gone.swap(ctx, "of a new key", nil, a, time.Time{}, true)
	gone.swap(ctx, "by nothing", a, nil, time.Time{}, true)
	err := together(crowd, func(int) error {
		for range 3 {
			if _, err := s.SwapCredentials(ctx, newName(), nil, newValue(), time.Time{}); err != nil {
				return fmt.Errorf("SwapCredentials of another key: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s, after, err := reopen(s)
	if err != nil {
		return err
	}
	kept.store, gone.store = s, s
	kept.load(ctx, after, b)
	gone.load(ctx, after, nil)
	return errors.Join(kept.err(), gone.err())
}
