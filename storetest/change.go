package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"otp.example/otp"
)

func putKeepsLive(ctx context.Context, s otp.Store) error {
	for _, end := range []struct {
		name string
		do   func(*challenge)
	}{
		{"a verified one", func(c *challenge) { c.spend(ctx, "with the right code", c.want.Digests, now) }},
		{"a canceled one", func(c *challenge) { c.cancel(ctx, "of a pending record", now) }},
		{"one without attempts left", func(c *challenge) {
			for c.want.Live(now) {
				c.spend(ctx, "with a wrong code", newDigest(), now)
			}
		}},
	} {
		c, err := begin(ctx, s, newRecord(now), state|attempts|sealed|digests)
		if err != nil {
			return err
		}
		c.put(ctx, "of a new record over a live one", sameID(c, newRecord(now)), now)
		c.get(ctx, "after that")
		c.spend(ctx, "with a wrong code of a live record that was put again", newDigest(), now)
		end.do(c)
		c.put(ctx, "of a new record over "+end.name, sameID(c, newRecord(now)), now)
		c.get(ctx, "after that")
		c.spend(ctx, "with the right code of the new record", c.want.Digests, now)
		if err := c.err(); err != nil {
			return err
		}
	}
	return repeat(func() error {
		dead, err := begin(ctx, s, newRecord(now), state)
		if err != nil {
			return err
		}
		dead.cancel(ctx, "of a pending record", now)
		if err := errors.Join(dead.err(), putRace(ctx, s, newName(), "a new ID")); err != nil {
			return err
		}
		return putRace(ctx, s, dead.want.ID, "the ID of a canceled one")
	})
}

// putRace puts records with the same ID, which only one can win. The others must be
// shown the winner's: an idempotent Request answers with it.
func putRace(ctx context.Context, s otp.Store, id, name string) error {
	var put, got [crowd]otp.Record
	var won atomic.Int64
	err := together(crowd, func(i int) error {
		put[i] = newRecord(now)
		put[i].ID = id
		rec, applied, err := s.Put(ctx, clone(put[i]), now)
		got[i] = rec
		if applied {
			won.Add(1)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines Put a record with %s", crowd, name)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n := won.Load(); n != 1 {
		return fmt.Errorf("%s: %d were applied and 1 should be", what, n)
	}
	final, err := s.Get(ctx, id)
	if err != nil {
		return fmt.Errorf("%s, then Get: %w", what, err)
	}
	for i := range got {
		if d := (sealed | digests).diff(got[i], final); d != "" {
			return fmt.Errorf("%s: of a record returned %s, as in the one that was applied", what, d)
		}
	}
	return nil
}

func reissueBound(ctx context.Context, s otp.Store) error {
	const fields = attempts | sends | sent | expires
	r := newRecord(now)
	r.MaxSends = 3
	c, err := begin(ctx, s, r, fields)
	if err != nil {
		return err
	}
	c.spend(ctx, "with a wrong code", newDigest(), now)
	c.reissue(ctx, "of the second of 3 sends", newDigest(), 2, now.Add(time.Minute))
	c.get(ctx, "after that")
	c.spend(ctx, "with another wrong code", newDigest(), now.Add(time.Minute))
	c.reissue(ctx, "without a code, of the last of 3 sends", nil, 2, now.Add(2*time.Minute))
	c.reissue(ctx, "after 3 of 3 sends", newDigest(), 2, now.Add(3*time.Minute))
	c.get(ctx, "after that")
	if err := c.err(); err != nil {
		return err
	}
	for _, end := range []struct {
		name string
		code func(r otp.Record) []byte
	}{
		{"of a verified record", func(r otp.Record) []byte { return r.Digests }},
		{"of a record without attempts left", func(otp.Record) []byte { return newDigest() }},
	} {
		r := newRecord(now)
		r.MaxAttempts = 1
		c, err := begin(ctx, s, r, fields)
		if err != nil {
			return err
		}
		c.spend(ctx, "with the only attempt", end.code(r), now)
		c.reissue(ctx, end.name, newDigest(), 2, now)
		c.get(ctx, "after that")
		if err := c.err(); err != nil {
			return err
		}
	}
	return repeat(func() error { return reissueRace(ctx, s) })
}

// reissueRace sends and guesses at once. No send may be lost, or somebody gets too many
// messages, and no attempt, or somebody gets too many guesses.
func reissueRace(ctx context.Context, s otp.Store) error {
	const guesses = crowd / 2
	r := newRecord(now)
	r.MaxAttempts = crowd
	r.MaxSends = r.Sends + crowd/4 + 1 // about half of those that try; odd, as races come in pairs
	if _, err := begin(ctx, s, r, attempts); err != nil {
		return err
	}
	var sent, guessed atomic.Int64
	err := together(crowd, func(i int) error {
		if i%2 == 0 {
			_, applied, err := s.Reissue(ctx, r.ID, newDigest(), 2, now)
			if applied {
				sent.Add(1)
			}
			return err
		}
		_, applied, err := s.Spend(ctx, r.ID, newDigest(), now)
		if applied {
			guessed.Add(1)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines Reissue, with %d sends left, while %d Spend wrong codes", crowd/2, r.MaxSends-r.Sends, guesses)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	got, err := s.Get(ctx, r.ID)
	switch {
	case err != nil:
		return fmt.Errorf("%s, then Get: %w", what, err)
	case sent.Load() != int64(r.MaxSends-r.Sends) || got.Sends != r.MaxSends:
		return fmt.Errorf("%s: %d were applied and Sends is %d; %d should be applied and Sends should be %d",
			what, sent.Load(), got.Sends, r.MaxSends-r.Sends, r.MaxSends)
	case guessed.Load() != guesses || got.Attempts != guesses:
		return fmt.Errorf("%s: %d Spends were applied and Attempts is %d; both should be %d", what, guessed.Load(), got.Attempts, guesses)
	}
	return nil
}

func reissueKeeps(ctx context.Context, s otp.Store) error {
	for live := 1; live <= 3; live++ {
		// Each code is tried on a record of its own, since the first right one ends it.
		for try := range 4 {
			r := newRecord(now)
			codes := [][]byte{r.Digests, newDigest(), newDigest(), newDigest()}
			c, err := begin(ctx, s, r, state)
			if err != nil {
				return err
			}
			for i, code := range codes[1:] {
				c.reissue(ctx, fmt.Sprintf("of code %d, keeping %d", i+2, live), code, live, now)
			}
			c.spend(ctx, fmt.Sprintf("with code %d of 4, with %d live", try+1, live), codes[try], now)
			if err := c.err(); err != nil {
				return err
			}
		}
	}
	// There is no room for more than otp.MaxDigests, however many are to live.
	r := newRecord(now)
	for range otp.MaxDigests - 1 {
		r.Digests = append(r.Digests, newDigest()...)
	}
	full, err := begin(ctx, s, r, digests)
	if err != nil {
		return err
	}
	full.reissue(ctx, "of one code more than there is room for, keeping all", newDigest(), otp.MaxDigests+1, now)
	full.get(ctx, "after that")
	if err := full.err(); err != nil {
		return err
	}
	// A send without a code leaves those that work.
	c, err := begin(ctx, s, newRecord(now), state)
	if err != nil {
		return err
	}
	c.reissue(ctx, "without a code", nil, 2, now)
	c.spend(ctx, "with the code from before", c.want.Digests, now)
	if err := c.err(); err != nil {
		return err
	}
	return repeat(func() error { return keepRace(ctx, s) })
}

// keepRace adds codes at once, of which none may be lost: it is on its way to somebody.
func keepRace(ctx context.Context, s otp.Store) error {
	const live = otp.MaxDigests
	r := newRecord(now)
	r.MaxSends = 2 * live
	if _, err := begin(ctx, s, r, state); err != nil {
		return err
	}
	codes := make([][]byte, live)
	for i := range codes {
		codes[i] = newDigest()
	}
	err := together(live, func(i int) error {
		_, _, err := s.Reissue(ctx, r.ID, codes[i], live, now)
		return err
	})
	what := fmt.Sprintf("%d goroutines Reissue, keeping as many codes", live)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	got, err := s.Get(ctx, r.ID)
	if err != nil {
		return fmt.Errorf("%s, then Get: %w", what, err)
	}
	working := 0
	for _, code := range codes {
		if got.Matches(code) >= 0 {
			working++
		}
	}
	if working != live || len(got.Digests) != live*otp.DigestSize {
		return fmt.Errorf("%s: then %d of their codes work, and Digests are %d bytes; all should work, and Digests should be %d bytes",
			what, working, len(got.Digests), live*otp.DigestSize)
	}
	return nil
}
