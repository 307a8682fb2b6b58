package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"otp.example/otp"
)

// dead returns contexts that are done, for both reasons that there are.
func dead(ctx context.Context) (all []context.Context, release func()) {
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	late, release := context.WithDeadline(ctx, time.Unix(0, 0))
	return []context.Context{canceled, late}, release
}

// mustFail checks a call that was made with a done context.
func mustFail(call string, err error) error {
	if err == nil {
		return fmt.Errorf("%s with a context that is done: there is no error, so the caller takes what it returned for an answer", call)
	}
	return nil
}

func canceledContext(ctx context.Context, s otp.Store) error {
	contexts, release := dead(ctx)
	defer release()
	for _, done := range contexts {
		c, err := begin(ctx, s, newRecord(now), changing)
		if err != nil {
			return err
		}
		id, code := c.want.ID, c.want.Digests
		absent := newRecord(now)
		_, _, err = s.Put(done, absent, now)
		c.mustFail("Put", err)
		_, _, err = s.Spend(done, id, code, now)
		c.mustFail("Spend", err)
		_, _, err = s.Reissue(done, id, newDigest(), 2, now)
		c.mustFail("Reissue", err)
		_, _, err = s.Cancel(done, id, now)
		c.mustFail("Cancel", err)
		if _, err := s.Get(ctx, absent.ID); !errors.Is(err, otp.ErrNotFound) {
			c.failf("Get after Put with a context that was done: the error is %s and should be otp.ErrNotFound, as nothing was put", errorText(err))
		}
		c.get(ctx, "after Spend, Reissue and Cancel with a context that was done")
		c.spend(ctx, "with the right code, after the same with a context that was done", code, now)
		if err := c.err(); err != nil {
			return err
		}
	}
	return nil
}

func (c *challenge) mustFail(call string, err error) {
	c.errs = append(c.errs, mustFail(call, err))
}

func roundTrip(ctx context.Context, s otp.Store) error {
	typical := newRecord(now)
	typical.SentAt = now.Add(1_234_567 * tick)
	typical.ExpiresAt = now.Add(5*time.Minute + 89*tick)

	full := newRecord(now)
	full.Digests = make([]byte, otp.DigestSize)
	for range otp.MaxDigests - 1 {
		full.Digests = append(full.Digests, newDigest()...)
	}
	full.Sealed = make([]byte, 4<<10)
	for i := range full.Sealed {
		full.Sealed[i] = byte(i) // among them what is special in texts and protocols
	}

	empty := newRecord(now)
	empty.Digests, empty.Sealed = nil, nil

	high := newRecord(farAhead)
	high.Attempts, high.MaxAttempts = math.MaxInt32-3, math.MaxInt32
	high.Sends, high.MaxSends = math.MaxInt32-3, math.MaxInt32

	low := newRecord(now)
	low.MaxAttempts, low.Sends, low.MaxSends = 2, 0, 1

	c, err := begin(ctx, s, newRecord(now), everything)
	if err != nil {
		return err
	}
	c.cancel(ctx, "of a pending record", now)
	c.get(ctx, "after Cancel")
	if err := c.err(); err != nil {
		return err
	}
	for _, r := range []otp.Record{typical, full, empty, low, high} {
		if err := lifeTrip(ctx, s, r); err != nil {
			return err
		}
	}
	return nil
}

// lifeTrip leads r through all that can happen to it.
func lifeTrip(ctx context.Context, s otp.Store, r otp.Record) error {
	start, second := r.CreatedAt, newDigest()
	c, err := begin(ctx, s, r, everything)
	if err != nil {
		return err
	}
	c.get(ctx, "after Put")
	c.reissue(ctx, "of a second code", second, 16, start.Add(7*time.Second+3*tick))
	c.get(ctx, "after Reissue")
	c.spend(ctx, "with a wrong code", newDigest(), start.Add(time.Second))
	c.get(ctx, "after a wrong Spend")
	c.put(ctx, "of the same record again", r, start.Add(time.Second))
	c.spend(ctx, "with the second code", second, start.Add(time.Minute))
	c.get(ctx, "after another Spend")
	c.cancel(ctx, "after that", start.Add(time.Minute))
	c.get(ctx, "after all")
	return c.err()
}

func noClock(ctx context.Context, s otp.Store) error {
	// The far future first: a store that remembers the latest now would find the rest
	// expired.
	for _, start := range []time.Time{farAhead, longAgo, now} {
		year := start.Format(" in 2006")
		var all [3]*challenge
		for i := range all {
			c, err := begin(ctx, s, newRecord(start), state)
			if err != nil {
				return fmt.Errorf("%s: %w", year[1:], err)
			}
			all[i] = c
		}
		c := all[0]
		c.spend(ctx, "with a wrong code, late"+year, newDigest(), start.Add(lifetime-time.Second))
		c.spend(ctx, "with the right code and an earlier now"+year, c.want.Digests, start.Add(time.Second))
		c = all[1]
		c.reissue(ctx, "late"+year, newDigest(), 2, start.Add(lifetime-tick))
		c.cancel(ctx, "with an earlier now"+year, start)
		c = all[2]
		c.put(ctx, "over a live record"+year, c.want, start.Add(lifetime-tick))
		c.spend(ctx, "with the right code of an expired record"+year, c.want.Digests, start.Add(lifetime+time.Hour))
		if err := errors.Join(all[0].err(), all[1].err(), all[2].err()); err != nil {
			return err
		}
	}
	return nil
}

// churn makes a store work on many other records, so that one that keeps only the
// latest shows it.
func churn(ctx context.Context, s otp.Store) error {
	return together(crowd, func(int) error {
		for i := range 3 {
			r := newRecord(now)
			_, _, err := s.Put(ctx, r, now)
			if i == 0 && err == nil {
				_, _, err = s.Spend(ctx, r.ID, r.Digests, now)
			}
			if err != nil {
				return fmt.Errorf("a call for another record: %w", err)
			}
		}
		return nil
	})
}

// reopen returns what s kept, if it can be asked for that, and else s, and when what is
// looked at then happens.
func reopen[S any](s S) (again S, after string, err error) {
	r, ok := any(s).(Reopener)
	if !ok {
		return s, "after many other calls", nil
	}
	opened, err := r.Reopen()
	if err != nil {
		return s, "", fmt.Errorf("Reopen: %w", err)
	}
	again, ok = opened.(S)
	if !ok {
		return s, "", fmt.Errorf("Reopen returned a %T, which does not implement what the suite is about", opened)
	}
	return again, "after Reopen", nil
}

func durable(ctx context.Context, s otp.Store) error {
	var all [5]*challenge
	for i := range all {
		r := newRecord(now)
		r.MaxAttempts = 2
		c, err := begin(ctx, s, r, changing)
		if err != nil {
			return err
		}
		all[i] = c
	}
	pending, sentAgain, verified, canceled, exhausted := all[0], all[1], all[2], all[3], all[4]
	first, second := sentAgain.want.Digests, newDigest()
	pending.spend(ctx, "with a wrong code", newDigest(), now)
	sentAgain.reissue(ctx, "of a second code", second, 1, now.Add(time.Second))
	verified.spend(ctx, "with the right code", verified.want.Digests, now)
	canceled.cancel(ctx, "of a pending record", now)
	exhausted.spend(ctx, "with a wrong code", newDigest(), now)
	exhausted.spend(ctx, "with a wrong code", newDigest(), now)
	for _, c := range all {
		if err := c.err(); err != nil {
			return err
		}
	}
	if err := churn(ctx, s); err != nil {
		return err
	}
	s, after, err := reopen(s)
	if err != nil {
		return err
	}
	for _, c := range all {
		c.store = s
		c.get(ctx, after)
	}
	late := now.Add(lifetime - tick)
	verified.spend(ctx, "with a used code, "+after, verified.want.Digests, late)
	canceled.spend(ctx, "of a canceled record, "+after, canceled.want.Digests, late)
	exhausted.spend(ctx, "without attempts left, "+after, exhausted.want.Digests, late)
	sentAgain.spend(ctx, "with the code that was replaced, "+after, first, late)
	sentAgain.spend(ctx, "with the newest code, "+after, second, late)
	pending.spend(ctx, "with the last attempt, "+after, newDigest(), late)
	pending.spend(ctx, "with no attempt left, "+after, pending.want.Digests, late)
	var errs []error
	for _, c := range all {
		errs = append(errs, c.err())
	}
	return some(errs)
}

func unknownID(ctx context.Context, s otp.Store) error {
	id := newName()
	_, getErr := s.Get(ctx, id)
	_, spent, spendErr := s.Spend(ctx, id, newDigest(), now)
	_, sent, reissueErr := s.Reissue(ctx, id, newDigest(), 2, now)
	_, ended, cancelErr := s.Cancel(ctx, id, now)
	var errs []error
	for _, c := range []struct {
		name    string
		applied bool
		err     error
	}{{"Get", false, getErr}, {"Spend", spent, spendErr}, {"Reissue", sent, reissueErr}, {"Cancel", ended, cancelErr}} {
		if c.applied || !errors.Is(c.err, otp.ErrNotFound) {
			errs = append(errs, fmt.Errorf("%s of an ID that was never put: was %s with error %s; it should be refused with otp.ErrNotFound", c.name, doneName(c.applied), errorText(c.err)))
		}
	}
	return errors.Join(errs...)
}

// variants returns names that a store may take for the same: by a collation, a pattern,
// a padded column, a cut or a path.
func variants() []string {
	n := newName()
	all := []string{n, strings.ToLower(n), n[:len(n)-1], n[1:]}
	for _, end := range []string{
		" ", "  ", "\t", ".", "'", "''", `"`, "`", `\`, `\\`, "%", "_", "*", "?", "[A]", "{a}", "{b}", ":", "/", "/.", "/../" + n,
		"-", "--", ";", "&", "+", "=", "0", "a", "A", "%00", "$1", "(", "~", "#", "|", "^", "@", "!", "<", ">", ",",
	} {
		all = append(all, n+end)
	}
	all = append(all, " "+n, "%"+n, "{"+n+"}")
	long := n + strings.Repeat("x", 128-len(n))
	return append(all, long, long[:127], long[:127]+"y", long[:127]+"X")
}

func bytewiseIDs(ctx context.Context, s otp.Store) error {
	ids := variants()
	all := make([]*challenge, len(ids))
	for i, id := range ids {
		r := newRecord(now)
		r.ID = id
		c, err := begin(ctx, s, r, state|sealed)
		if err != nil {
			return fmt.Errorf("of ID %q, while others like it are held: %w", id, err)
		}
		if all[i] = c; i%2 == 0 {
			c.cancel(ctx, fmt.Sprintf("of ID %q", id), now)
		}
	}
	var errs []error
	for _, c := range all {
		c.get(ctx, fmt.Sprintf("of ID %q, after calls for others like it", c.want.ID))
		errs = append(errs, c.err())
	}
	return some(errs)
}

func noAliasing(ctx context.Context, s otp.Store) error {
	r := newRecord(now)
	r.Digests, r.Sealed = roomy(r.Digests), roomy(r.Sealed)
	c := &challenge{store: s, want: clone(r), look: digests | sealed}
	given := map[string][]byte{"Digests": r.Digests, "Sealed": r.Sealed}
	got, applied, err := s.Put(ctx, r, now)
	c.compare("Put of a new record", now, true, got, applied, err)
	c.untouched("Put", given, map[string][]byte{"Digests": c.want.Digests, "Sealed": c.want.Sealed})
	scribble(r.Digests, r.Sealed)
	c.get(ctx, "after the slices given to Put were changed")
	scribble(got.Digests, got.Sealed)
	c.get(ctx, "after the slices returned by Put were changed")

	got, err = s.Get(ctx, r.ID)
	c.failIf("Get", err)
	scribble(got.Digests, got.Sealed)
	c.get(ctx, "after the slices returned by Get were changed")

	candidates := slices.Concat(newDigest(), newDigest())
	given = map[string][]byte{"candidates": roomy(candidates)}
	got, _, err = s.Spend(ctx, r.ID, given["candidates"], now)
	c.failIf("Spend", err)
	c.untouched("Spend", given, map[string][]byte{"candidates": candidates})
	scribble(got.Digests, got.Sealed)
	c.get(ctx, "after the slices returned by Spend were changed")

	second := newDigest()
	given = map[string][]byte{"digest": roomy(second)}
	got, _, err = s.Reissue(ctx, r.ID, given["digest"], 2, now)
	c.failIf("Reissue", err)
	c.untouched("Reissue", given, map[string][]byte{"digest": second})
	c.want.Reissue(second, 2, now)
	scribble(given["digest"])
	c.get(ctx, "after the slice given to Reissue was changed")
	scribble(got.Digests, got.Sealed)
	c.get(ctx, "after the slices returned by Reissue were changed")

	got, _, err = s.Put(ctx, clone(c.want), now)
	c.failIf("Put over a live record", err)
	scribble(got.Digests, got.Sealed)
	c.get(ctx, "after the slices returned by a refused Put were changed")

	got, _, err = s.Cancel(ctx, r.ID, now)
	c.failIf("Cancel", err)
	scribble(got.Digests, got.Sealed)
	c.get(ctx, "after the slices returned by Cancel were changed")
	return c.err()
}

// untouched checks that a call left alone what it was given, the room behind included.
func (c *challenge) untouched(call string, given, want map[string][]byte) {
	for name, b := range given {
		if b = b[:cap(b)]; !bytes.Equal(b, append(bytes.Clone(want[name]), make([]byte, room)...)) {
			c.failf("%s changed %s that it was given, or the memory behind", call, name)
		}
	}
}

func (c *challenge) failIf(call string, err error) {
	if err != nil {
		c.failf("%s: the error is %w and should be nil", call, err)
	}
}

// room is the spare capacity of what roomy returns: an append of the store's would write
// to it.
const room = 64

func roomy(b []byte) []byte { return append(make([]byte, 0, len(b)+room), b...) }

func scribble(all ...[]byte) {
	for _, b := range all {
		for i := range b {
			b[i] ^= 0xff
		}
	}
}
