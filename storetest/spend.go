package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"otp.example/otp"
)

func spendOnce(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	older, newer := r.Digests, newDigest()
	r.Digests = slices.Concat(older, newer)
	c, err := begin(ctx, s, r, state)
	if err != nil {
		return err
	}
	c.spend(ctx, "with a wrong code", newDigest(), now)
	c.spend(ctx, "with the codes of three routes, the second of them right", slices.Concat(newDigest(), newer, newDigest()), now)
	c.spend(ctx, "with the same code again", newer, now.Add(tick))
	c.spend(ctx, "with the other live code", older, now.Add(time.Second))
	c.get(ctx, "after all that")
	if err := c.err(); err != nil {
		return err
	}
	if err := spendPlaces(ctx, s); err != nil {
		return err
	}
	return repeat(func() error { return spendRace(ctx, s) })
}

// spendPlaces spends each of the most codes that there can be, each by another one of as many
// candidates.
func spendPlaces(ctx context.Context, s otp.Store) error {
	for i := range otp.MaxDigests {
		r := newRecord(now)
		var candidates []byte
		for range otp.MaxDigests - 1 {
			r.Digests = append(r.Digests, newDigest()...)
			candidates = append(candidates, newDigest()...)
		}
		place := otp.MaxDigests - 1 - i
		right := r.Digests[i*otp.DigestSize:][:otp.DigestSize]
		candidates = slices.Insert(candidates, place*otp.DigestSize, right...)
		c, err := begin(ctx, s, r, state)
		if err != nil {
			return err
		}
		c.spend(ctx, fmt.Sprintf("with %d candidates, of which number %d is code %d of %[1]d", otp.MaxDigests, place+1, i+1), candidates, now)
		if err := c.err(); err != nil {
			return err
		}
	}
	return nil
}

func spendRace(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	codes := [][]byte{r.Digests, newDigest()}
	r.Digests = slices.Concat(codes...)
	r.MaxAttempts = 2 * crowd
	if _, err := begin(ctx, s, r, state); err != nil {
		return err
	}
	var verified atomic.Int64
	err := together(crowd, func(i int) error {
		got, applied, err := s.Spend(ctx, r.ID, codes[i%2], now)
		if err == nil && applied && got.State == otp.StateVerified {
			verified.Add(1)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines Spend one of the two right codes", crowd)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n := verified.Load(); n != 1 {
		return fmt.Errorf("%s: %d verified and 1 should", what, n)
	}
	return nil
}

func ownOutcome(ctx context.Context, s otp.Store) error {
	return errors.Join(
		repeat(func() error { return ownSpend(ctx, s) }),
		repeat(func() error { return ownReissue(ctx, s) }),
	)
}

// ownSpend has one right code among many wrong ones. A store that changes first and
// reads then shows a wrong one the success of the right one; a store that explains a
// refusal by what it had read before shows a live record.
func ownSpend(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	r.MaxAttempts = 2 * crowd
	if _, err := begin(ctx, s, r, state); err != nil {
		return err
	}
	right := crowd / 2
	var counts [crowd]int // attempts that applied Spends were shown
	err := together(crowd, func(i int) error {
		code := newDigest()
		if i == right {
			code = r.Digests
		}
		got, applied, err := s.Spend(ctx, r.ID, code, now)
		if applied {
			counts[i] = got.Attempts
		}
		switch {
		case err != nil:
			return err
		case i == right && (!applied || got.State != otp.StateVerified):
			return fmt.Errorf("the right code was %s and is shown a %s record; it should be applied and shown a verified one", doneName(applied), stateName(got.State))
		case i != right && applied && got.State != otp.StatePending:
			return fmt.Errorf("a wrong code was applied and is shown a %s record; it should be shown a pending one", stateName(got.State))
		case !applied && got.State != otp.StateVerified:
			return fmt.Errorf("a wrong code was refused and is shown a %s record with %d of %d attempts; it should be shown the verified one that refused it",
				stateName(got.State), got.Attempts, got.MaxAttempts)
		}
		return nil
	})
	if err == nil {
		err = consecutive(counts[:], 1, "Attempts")
	}
	if err != nil {
		return fmt.Errorf("%d goroutines Spend, one of them a right code: %w", crowd, err)
	}
	return nil
}

func ownReissue(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	r.MaxSends = 2 * crowd
	if _, err := begin(ctx, s, r, state); err != nil {
		return err
	}
	var counts [crowd]int
	err := together(crowd, func(i int) error {
		code := newDigest()
		got, applied, err := s.Reissue(ctx, r.ID, code, 1, now)
		counts[i] = got.Sends
		switch {
		case err != nil:
			return err
		case !applied:
			return fmt.Errorf("a Reissue was refused at %d of %d sends; it should be applied", got.Sends, got.MaxSends)
		case string(got.Digests) != string(code):
			return errors.New("a Reissue that keeps one code is shown another code than its own")
		}
		return nil
	})
	if err == nil {
		err = consecutive(counts[:], r.Sends+1, "Sends")
	}
	if err != nil {
		return fmt.Errorf("%d goroutines Reissue, keeping one code: %w", crowd, err)
	}
	return nil
}

// consecutive checks that the calls that were applied, those with a count, were shown
// the counts from first on, each once.
func consecutive(counts []int, first int, name string) error {
	counts = slices.DeleteFunc(slices.Clone(counts), func(n int) bool { return n == 0 })
	slices.Sort(counts)
	for i, n := range counts {
		if n != first+i {
			return fmt.Errorf("the calls that were applied are shown these %s: %v; each should be shown its own", name, counts)
		}
	}
	return nil
}

func attemptsBound(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	r.MaxAttempts = 3
	c, err := begin(ctx, s, r, state|attempts)
	if err != nil {
		return err
	}
	c.spend(ctx, "with a wrong code, the first of 3 attempts", newDigest(), now)
	c.spend(ctx, "with no code at all, the second of 3 attempts", nil, now)
	c.spend(ctx, "with a wrong code, the last of 3 attempts", newDigest(), now)
	c.spend(ctx, "with the right code after 3 of 3 attempts", r.Digests, now)
	c.get(ctx, "after 3 of 3 attempts")
	if err := c.err(); err != nil {
		return err
	}
	r = newRecord(now)
	r.MaxAttempts = 2
	if c, err = begin(ctx, s, r, state|attempts); err != nil {
		return err
	}
	c.spend(ctx, "with a wrong code, the first of 2 attempts", newDigest(), now)
	c.spend(ctx, "with the right code, the last of 2 attempts", r.Digests, now)
	c.get(ctx, "after that")
	if err := c.err(); err != nil {
		return err
	}
	return repeat(func() error { return attemptsRace(ctx, s) })
}

func attemptsRace(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	c, err := begin(ctx, s, r, state)
	if err != nil {
		return err
	}
	var counted atomic.Int64
	err = together(crowd, func(int) error {
		_, applied, err := s.Spend(ctx, r.ID, newDigest(), now)
		if applied {
			counted.Add(1)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines Spend a wrong code, with %d attempts allowed", crowd, r.MaxAttempts)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n := counted.Load(); n != int64(r.MaxAttempts) {
		return fmt.Errorf("%s: %d were applied and %d should be", what, n, r.MaxAttempts)
	}
	for range r.MaxAttempts {
		c.want.Spend(nil, now) // what the goroutines did
	}
	c.spend(ctx, "with the right code after all attempts", r.Digests, now)
	return c.err()
}

func expiryIsExclusive(ctx context.Context, s otp.Store) error {
	calls := []func(*challenge, time.Time){
		func(c *challenge, at time.Time) { c.spend(ctx, "with the right code", c.want.Digests, at) },
		func(c *challenge, at time.Time) { c.spend(ctx, "with a wrong code", newDigest(), at) },
		func(c *challenge, at time.Time) { c.reissue(ctx, "of a new code", newDigest(), 2, at) },
		func(c *challenge, at time.Time) { c.cancel(ctx, "of a pending record", at) },
		func(c *challenge, at time.Time) {
			c.put(ctx, "of another record with the same ID", sameID(c, newRecord(at)), at)
		},
	}
	var errs []error
	for _, late := range []time.Duration{-tick, 0, tick, 2 * time.Hour} {
		for _, call := range calls {
			c, err := begin(ctx, s, newRecord(now), state)
			if err != nil {
				return err
			}
			call(c, c.want.ExpiresAt.Add(late))
			errs = append(errs, c.err())
		}
	}
	return errors.Join(errs...)
}

func sameID(c *challenge, r otp.Record) otp.Record {
	r.ID = c.want.ID
	return r
}

func cancelVsSpend(ctx context.Context, s otp.Store) error {
	c, err := begin(ctx, s, newRecord(now), state)
	if err != nil {
		return err
	}
	c.cancel(ctx, "of a pending record", now)
	c.spend(ctx, "with the right code of a canceled record", c.want.Digests, now)
	c.cancel(ctx, "of a canceled record", now)
	c.get(ctx, "after that")
	if err := c.err(); err != nil {
		return err
	}
	if c, err = begin(ctx, s, newRecord(now), state); err != nil {
		return err
	}
	c.spend(ctx, "with the right code", c.want.Digests, now)
	c.cancel(ctx, "of a verified record", now)
	c.get(ctx, "after that")
	if err := c.err(); err != nil {
		return err
	}
	return repeat(func() error { return cancelRace(ctx, s) })
}

// cancelRace lets one Cancel and one right Spend meet on each of many records.
func cancelRace(ctx context.Context, s otp.Store) error {
	var pairs [crowd / 2]struct {
		r               otp.Record
		verified, ended bool
	}
	for i := range pairs {
		pairs[i].r = newRecord(now)
		if _, err := begin(ctx, s, pairs[i].r, state); err != nil {
			return err
		}
	}
	err := together(crowd, func(i int) (err error) {
		p := &pairs[i/2]
		if i%2 == 0 {
			_, p.verified, err = s.Spend(ctx, p.r.ID, p.r.Digests, now)
		} else {
			_, p.ended, err = s.Cancel(ctx, p.r.ID, now)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("a right Spend and a Cancel of the same record at once: %w", err)
	}
	for _, p := range pairs {
		got, err := s.Get(ctx, p.r.ID)
		want := otp.StateCanceled
		if p.verified {
			want = otp.StateVerified
		}
		switch {
		case err != nil:
			return fmt.Errorf("Get after a right Spend and a Cancel: %w", err)
		case p.verified == p.ended:
			return fmt.Errorf("a right Spend and a Cancel of the same record at once: Spend was %s and Cancel was %s; exactly one should be applied",
				doneName(p.verified), doneName(p.ended))
		case got.State != want:
			return fmt.Errorf("a right Spend (%s) and a Cancel (%s) of the same record at once: then it is %s and should be %s",
				doneName(p.verified), doneName(p.ended), stateName(got.State), stateName(want))
		}
	}
	return nil
}
