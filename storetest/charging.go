package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"otp.example/otp"
)

var chargingCases = []clause[otp.ChargingStore]{
	{"ChargeAllOrNone", "all charges are made and the change, or nothing", chargeAllOrNone},
	{"LiveWinsOverRefusal", "a live record (Put), and one that is dead or has no sends left (Reissue), wins over a refused charge: Refused is then nil", liveWinsOverRefusal},
	{"SilentRefusal", "if only Silent charges refuse, the change is made without its digest and without any Silent charge", silentRefusal},
	{"GiveAllReturns", "GiveAll is Give for each charge", giveAllReturns},
	{"ChargedWindowBound", "charges keep their limits under any concurrency, those of one call with the same key together, and count from Charge.At", chargedWindowBound},
	{"CanceledContext", "a call whose context is done changes nothing and returns an error", chargingCanceledContext},
	{"KeepsStoreClauses", "PutCharged and ReissueCharged keep every clause of Put and Reissue", keepsStoreClauses},
	{"KeepsLimiterClauses", "charges and GiveAll keep every clause of Take and Give", keepsLimiterClauses},
}

// An account is a charge that is made again and again, and how much of its limit must be
// used by now.
type account struct {
	*meter
	limit otp.Limit
	used  int64
}

// newAccount returns an account of which so much is used.
func newAccount(ctx context.Context, s otp.ChargingStore, n, used int64) *account {
	a := &account{meter: newMeter(s), limit: otp.Limit{N: n, Per: time.Hour}}
	if used > 0 {
		a.take(ctx, "to begin with", true, used, a.limits(), now)
	}
	a.used = used
	return a
}

func (a *account) limits() []otp.Limit { return []otp.Limit{a.limit} }

func (a *account) scope() string { return a.key[:8] }

func (a *account) charge(cost int64) otp.Charge {
	return otp.Charge{Scope: a.scope(), Key: a.key, Cost: cost, Limits: a.limits(), At: now}
}

// settle checks what is used, which uses up the rest, and returns all that was wrong.
func settle(ctx context.Context, what string, all ...*account) error {
	var errs []error
	for i, a := range all {
		a.holds(ctx, fmt.Sprintf("from the meter of charge %d, after %s", i+1, what), a.limit, a.used, now)
		errs = append(errs, a.err())
	}
	return errors.Join(errs...)
}

// A change is a PutCharged or a ReissueCharged, so that cases can be about both.
type change struct {
	*challenge
	name   string
	absent bool   // the store does not hold the record yet
	digest []byte // what the change brings
	call   func(ctx context.Context, c []otp.Charge) (otp.Outcome, error)
	apply  func(digest []byte) // does it to what is wanted
}

// changes returns a PutCharged of a new record, one over a dead record, and a
// ReissueCharged.
func changes(ctx context.Context, s otp.ChargingStore, l look) ([]*change, error) {
	absent := &challenge{store: s, want: newRecord(now), look: l}
	ended, err := begin(ctx, s, newRecord(now), l)
	if err != nil {
		return nil, err
	}
	ended.cancel(ctx, "of a pending record", now)
	live, err := begin(ctx, s, newRecord(now), l)
	if err != nil {
		return nil, err
	}
	return []*change{
		putting("PutCharged of a new record", absent, true),
		putting("PutCharged over a canceled record", ended, false),
		reissuing("ReissueCharged", live),
	}, ended.err()
}

func putting(name string, c *challenge, absent bool) *change {
	r := sameID(c, newRecord(now))
	return &change{
		challenge: c, name: name, absent: absent, digest: r.Digests,
		call: func(ctx context.Context, charges []otp.Charge) (otp.Outcome, error) {
			return c.store.(otp.ChargingStore).PutCharged(ctx, clone(r), charges, now)
		},
		apply: func(digest []byte) {
			c.want = clone(r)
			c.want.Digests = digest
		},
	}
}

func reissuing(name string, c *challenge) *change {
	digest, at := newDigest(), now.Add(time.Minute)
	return &change{
		challenge: c, name: name, digest: digest,
		call: func(ctx context.Context, charges []otp.Charge) (otp.Outcome, error) {
			return c.store.(otp.ChargingStore).ReissueCharged(ctx, c.want.ID, digest, 2, charges, at)
		},
		apply: func(digest []byte) { c.want.Reissue(digest, 2, at) },
	}
}

// expect makes the change. It must be applied or not, and name the account whose charge
// was refused, if any.
func (c *change) expect(ctx context.Context, what string, applied bool, digest []byte, refused *account, charges ...otp.Charge) {
	what = c.name + " " + what
	if applied {
		c.apply(digest)
		c.absent = false
	}
	out, err := c.call(ctx, charges)
	if c.absent {
		out.Record = c.want // there is none to compare
	}
	c.compare(what, now, applied, out.Record, out.Applied, err)
	if err == nil {
		c.refusal(ctx, what, out.Refused, refused)
	}
	c.held(ctx, what)
}

// refusal checks which charge was refused, and that it says when to come back as Take
// does.
func (c *change) refusal(ctx context.Context, what string, got *otp.Refusal, refused *account) {
	switch {
	case refused == nil && got != nil:
		c.failf("%s: Refused is %+v and should be nil", what, *got)
	case refused == nil:
	case got == nil:
		c.failf("%s: Refused is nil and should name the scope %q", what, refused.scope())
	case got.Scope != refused.scope():
		c.failf("%s: Refused names the scope %q and should name %q", what, got.Scope, refused.scope())
	case refused.used == refused.limit.N:
		d := refused.take(ctx, "when all is used", false, 1, refused.limits(), now)
		if got.RetryAfter != d.RetryAfter {
			c.failf("%s: RetryAfter is %v and should be %v, as Take says it", what, got.RetryAfter, d.RetryAfter)
		}
	}
}

// held compares what the store holds.
func (c *change) held(ctx context.Context, what string) {
	if !c.absent {
		c.get(ctx, "after "+what)
	} else if _, err := c.store.Get(ctx, c.want.ID); !errors.Is(err, otp.ErrNotFound) {
		c.failf("Get after %s: the error is %s and should be otp.ErrNotFound", what, errorText(err))
	}
}

func chargeAllOrNone(ctx context.Context, s otp.ChargingStore) error {
	var errs []error
	check := func(c *change, what string, all ...*account) {
		errs = append(errs, c.err(), settle(ctx, c.name+" "+what, all...))
	}
	all, err := changes(ctx, s, changing)
	if err != nil {
		return err
	}
	for _, c := range all {
		for position := range 3 { // of the charge that refuses
			a, b, full := newAccount(ctx, s, 3, 0), newAccount(ctx, s, 3, 1), newAccount(ctx, s, 2, 2)
			charges := []otp.Charge{a.charge(1), b.charge(1)}
			charges = append(charges[:position:position], append([]otp.Charge{full.charge(1)}, charges[position:]...)...)
			what := fmt.Sprintf("with 3 charges, of which number %d refuses", position+1)
			c.expect(ctx, what, false, nil, full, charges...)
			check(c, what, a, b, full)
		}
		a, b := newAccount(ctx, s, 3, 0), newAccount(ctx, s, 3, 1)
		c.expect(ctx, "with 2 charges that fit", true, c.digest, nil, a.charge(1), b.charge(1))
		a.used, b.used = 1, 2
		check(c, "with 2 charges that fit", a, b)
	}

	// Charges that fit are not made when there is nothing to change.
	put, again := all[0], all[2]
	a := newAccount(ctx, s, 3, 0)
	put.expect(ctx, "again, over the live record", false, nil, nil, a.charge(1))
	check(put, "again, over the live record", a)
	a = newAccount(ctx, s, 3, 0)
	again.cancel(ctx, "of a pending record", now)
	again.expect(ctx, "of a canceled record", false, nil, nil, a.charge(1))
	check(again, "of a canceled record", a)
	a = newAccount(ctx, s, 3, 0)
	full := newAccount(ctx, s, 2, 2)
	for what, charges := range map[string][]otp.Charge{
		"with a charge that fits":         {a.charge(1)},
		"with a charge that does not fit": {full.charge(1)},
		"with both":                       {a.charge(1), full.charge(1)},
	} {
		what = "ReissueCharged of an ID that was never put, " + what
		out, err := s.ReissueCharged(ctx, newName(), newDigest(), 2, charges, now)
		if out.Applied || !errors.Is(err, otp.ErrNotFound) {
			errs = append(errs, fmt.Errorf("%s: was %s with error %s; it should be refused with otp.ErrNotFound", what, doneName(out.Applied), errorText(err)))
		}
	}
	errs = append(errs, settle(ctx, "ReissueCharged of an ID that was never put", a, full))
	if err := some(errs); err != nil {
		return err
	}
	return repeat(func() error { return chargeRace(ctx, s) })
}

// chargeRace charges one meter that refuses most and one that admits all: the second
// must be charged as often as the first.
func chargeRace(ctx context.Context, s otp.ChargingStore) error {
	narrow, wide := newAccount(ctx, s, 10, 0), newAccount(ctx, s, crowd, 0)
	err := together(crowd, func(i int) error {
		c := []otp.Charge{wide.charge(1), narrow.charge(1)}
		if i%2 == 0 {
			c[0], c[1] = c[1], c[0] // two calls that lock in this order must not wait for each other
		}
		_, err := s.PutCharged(ctx, newRecord(now), c, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("%d goroutines PutCharged with the same two charges, half of them in the other order: %w", crowd, err)
	}
	narrow.used, wide.used = 10, 10
	return settle(ctx, fmt.Sprintf("%d goroutines PutCharged with both, of which the first admits 10", crowd), narrow, wide)
}

func liveWinsOverRefusal(ctx context.Context, s otp.ChargingStore) error {
	var errs []error
	for _, quiet := range []bool{false, true} {
		full := newAccount(ctx, s, 1, 1)
		charge := full.charge(1)
		charge.Silent = quiet
		what := "whose charge is refused"
		if quiet {
			what = "whose Silent charge is refused"
		}
		check := func(c *challenge, call string, out otp.Outcome, err error) {
			c.compare(call+" "+what, now, false, out.Record, out.Applied, err)
			if out.Refused != nil {
				c.failf("%s %s: Refused is %+v and should be nil, since the record alone decides", call, what, *out.Refused)
			}
			errs = append(errs, c.err())
		}

		live, err := begin(ctx, s, newRecord(now), changing)
		if err != nil {
			return err
		}
		out, err := s.PutCharged(ctx, sameID(live, newRecord(now)), []otp.Charge{charge}, now)
		check(live, "PutCharged over a live record", out, err)

		ended, err := begin(ctx, s, newRecord(now), changing)
		if err != nil {
			return err
		}
		ended.spend(ctx, "with the right code", ended.want.Digests, now)
		out, err = s.ReissueCharged(ctx, ended.want.ID, newDigest(), 2, []otp.Charge{charge}, now)
		check(ended, "ReissueCharged of a verified record", out, err)

		r := newRecord(now)
		r.Sends = r.MaxSends
		sent, err := begin(ctx, s, r, changing)
		if err != nil {
			return err
		}
		out, err = s.ReissueCharged(ctx, r.ID, newDigest(), 2, []otp.Charge{charge}, now)
		check(sent, "ReissueCharged of a record without sends left", out, err)

		expired, err := begin(ctx, s, newRecord(now.Add(-lifetime)), changing)
		if err != nil {
			return err
		}
		out, err = s.ReissueCharged(ctx, expired.want.ID, newDigest(), 2, []otp.Charge{charge}, now)
		check(expired, "ReissueCharged of an expired record", out, err)
		errs = append(errs, full.err())
	}
	return some(errs)
}

func giveAllReturns(ctx context.Context, s otp.ChargingStore) error {
	var errs []error
	window, total := otp.Limit{N: 5, Per: time.Hour}, otp.Limit{N: 9}
	both := []otp.Limit{window, total}
	var meters [4]*meter
	var taken []otp.Charge
	for i := range meters {
		meters[i] = newMeter(s)
		// At times of their own, one after and one before now.
		at := now.Add(time.Duration(i-1) * time.Minute)
		taken = append(taken,
			otp.Charge{Scope: "a", Key: meters[i].key, Cost: 2, Limits: both, At: at, Silent: i%2 == 0},
			otp.Charge{Scope: "b", Key: meters[i].key, Cost: 1, Limits: both, At: at.Add(time.Second)},
		)
	}
	out, err := s.PutCharged(ctx, newRecord(now), taken, now)
	if err != nil || !out.Applied || out.Refused != nil {
		return fmt.Errorf("PutCharged with 8 charges that fit: was %s with Refused %v and error %s; it should be applied, with nil and nil", doneName(out.Applied), out.Refused, errorText(err))
	}
	if err := s.GiveAll(ctx, taken); err != nil {
		return fmt.Errorf("GiveAll of 8 charges: the error is %w and should be nil", err)
	}
	for i, m := range meters {
		what := fmt.Sprintf("from meter %d of 4, after GiveAll", i+1)
		m.holds(ctx, what, window, 0, now.Add(10*time.Minute))
		m.holds(ctx, what, total, 0, now.Add(10*time.Minute))
		errs = append(errs, m.err())
	}

	// As a service does it when a code was right: the windows get back what they were
	// charged, and the total is cleared.
	m := newMeter(s)
	m.take(ctx, "of an earlier challenge", true, 2, both, now.Add(-time.Minute))
	m.take(ctx, "of this challenge", true, 2, both, now)
	err = s.GiveAll(ctx, []otp.Charge{
		{Scope: "guesses", Key: m.key, Cost: 2, Limits: []otp.Limit{window}, At: now},
		{Scope: "guesses", Key: m.key, Cost: total.N + 2, Limits: []otp.Limit{total}, At: now},
		{Scope: "guesses", Key: newName(), Cost: 2, Limits: both, At: now}, // never taken, or forgotten
	})
	if err != nil {
		return fmt.Errorf("GiveAll of a window, a total and an unknown key: the error is %w and should be nil", err)
	}
	m.holds(ctx, "from the window, after its latest charge was given back", window, 2, now.Add(tick))
	m.holds(ctx, "from the total, after it was cleared", total, 0, now.Add(tick))
	errs = append(errs, m.err())

	if err := s.GiveAll(ctx, nil); err != nil {
		errs = append(errs, fmt.Errorf("GiveAll of nothing: the error is %w and should be nil", err))
	}
	return some(errs)
}

func chargedWindowBound(ctx context.Context, s otp.ChargingStore) error {
	all, err := changes(ctx, s, state)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range all {
		// Charges with the same key are added up.
		a := newAccount(ctx, s, 5, 2)
		c.expect(ctx, "with two charges of 2 on one meter that has room for 3", false, nil, a, a.charge(2), a.charge(2))
		errs = append(errs, settle(ctx, "that", a))
		a = newAccount(ctx, s, 5, 2)
		c.expect(ctx, "with two charges of 1 on one meter", true, c.digest, nil, a.charge(1), a.charge(1))
		a.used = 4
		errs = append(errs, settle(ctx, "that", a), c.err())
	}

	// What is charged counts from At, whatever the time of the call.
	r := newRecord(now)
	if _, err := begin(ctx, s, r, state); err != nil {
		return err
	}
	for name, call := range map[string]func(...otp.Charge) (otp.Outcome, error){
		"PutCharged":     func(c ...otp.Charge) (otp.Outcome, error) { return s.PutCharged(ctx, newRecord(now), c, now) },
		"ReissueCharged": func(c ...otp.Charge) (otp.Outcome, error) { return s.ReissueCharged(ctx, r.ID, nil, 2, c, now) },
	} {
		a := newAccount(ctx, s, 1, 0)
		charge := a.charge(1)
		charge.At = now.Add(-10 * time.Minute)
		out, err := call(charge)
		if err != nil || !out.Applied {
			errs = append(errs, fmt.Errorf("%s with a charge that fits: was %s with error %s; it should be applied", name, doneName(out.Applied), errorText(err)))
		}
		end := charge.At.Add(time.Hour)
		a.take(ctx, fmt.Sprintf("just before an hour after the At of %s", name), false, 1, a.limits(), end.Add(-tick))
		a.take(ctx, fmt.Sprintf("an hour after the At of %s", name), true, 1, a.limits(), end)
		errs = append(errs, a.err())
	}
	if err := some(errs); err != nil {
		return err
	}
	return repeat(func() error { return chargedRace(ctx, s) })
}

// chargedRace charges one meter in each of the ways that there are.
func chargedRace(ctx context.Context, s otp.ChargingStore) error {
	r := newRecord(now)
	r.MaxSends = 2 * crowd
	if _, err := begin(ctx, s, r, state); err != nil {
		return err
	}
	a := newAccount(ctx, s, 20, 0)
	charges := []otp.Charge{a.charge(1)}
	var admitted atomic.Int64
	err := together(crowd, func(i int) error {
		var out otp.Outcome
		var d otp.Decision
		var err error
		switch i % 4 {
		case 0, 1:
			out, err = s.PutCharged(ctx, newRecord(now), charges, now)
		case 2:
			out, err = s.ReissueCharged(ctx, r.ID, newDigest(), 2, charges, now)
		default:
			d, err = s.Take(ctx, a.key, 1, a.limits(), now)
		}
		if out.Applied || d.OK {
			admitted.Add(1)
		}
		return err
	})
	what := fmt.Sprintf("%d goroutines PutCharged, ReissueCharged and Take on one meter with limit %v", crowd, a.limit)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n := admitted.Load(); n != a.limit.N {
		return fmt.Errorf("%s: %d were admitted and %d should be", what, n, a.limit.N)
	}
	a.used = a.limit.N
	return settle(ctx, what, a)
}

func chargingCanceledContext(ctx context.Context, s otp.ChargingStore) error {
	contexts, release := dead(ctx)
	defer release()
	for _, done := range contexts {
		all, err := changes(ctx, s, changing)
		if err != nil {
			return err
		}
		var errs []error
		for _, c := range all {
			a := newAccount(ctx, s, 5, 2)
			_, err := c.call(done, []otp.Charge{a.charge(1)})
			c.mustFail(c.name, err)
			c.mustFail("GiveAll", s.GiveAll(done, []otp.Charge{a.charge(2)}))
			what := c.name + " and GiveAll with a context that was done"
			c.held(ctx, what)
			errs = append(errs, c.err(), settle(ctx, what, a))
		}
		if err := some(errs); err != nil {
			return err
		}
	}
	return nil
}

func keepsStoreClauses(ctx context.Context, s otp.ChargingStore) error {
	return every(ctx, storeCases, otp.Store(asStore{s}))
}

func keepsLimiterClauses(ctx context.Context, s otp.ChargingStore) error {
	return every(ctx, limiterCases, otp.Limiter(asLimiter{s}))
}

// every checks all clauses on one store, which need not be empty for any.
func every[S any](ctx context.Context, clauses []clause[S], s S) error {
	var errs []error
	for _, c := range clauses {
		if c.name == "CanceledContext" {
			continue // a case of its own here
		}
		if err := c.check(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s.\n%w", c.name, c.text, err))
		}
	}
	return some(errs)
}

// asStore puts and reissues with a charge. Only the methods of Store are passed on, so
// that the store is not reopened: that is for Run.
type asStore struct{ s otp.ChargingStore }

func (a asStore) charge(at time.Time) []otp.Charge {
	return []otp.Charge{{Scope: "any", Key: newName(), Cost: 1, Limits: []otp.Limit{{N: 1, Per: time.Hour}}, At: at}}
}

func (a asStore) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	out, err := a.s.PutCharged(ctx, r, a.charge(now), now)
	return out.Record, out.Applied, err
}

func (a asStore) Get(ctx context.Context, id string) (otp.Record, error) { return a.s.Get(ctx, id) }

func (a asStore) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return a.s.Spend(ctx, id, candidates, now)
}

func (a asStore) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	out, err := a.s.ReissueCharged(ctx, id, digest, live, a.charge(now), now)
	return out.Record, out.Applied, err
}

func (a asStore) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return a.s.Cancel(ctx, id, now)
}

// asLimiter takes by putting a record, and gives with GiveAll.
type asLimiter struct{ s otp.ChargingStore }

func (a asLimiter) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	out, err := a.s.PutCharged(ctx, newRecord(now), []otp.Charge{{Scope: "any", Key: key, Cost: cost, Limits: limits, At: now}}, now)
	d := otp.Decision{OK: out.Applied}
	switch {
	case err != nil:
		return otp.Decision{}, err
	case out.Applied && out.Refused != nil:
		return d, fmt.Errorf("PutCharged was applied although the charge that is not Silent was refused: %+v", *out.Refused)
	case out.Refused != nil:
		d.RetryAfter = out.Refused.RetryAfter
	case !out.Applied:
		return d, errors.New("PutCharged of a new record was refused, but Refused is nil")
	}
	return d, nil
}

func (a asLimiter) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return a.s.GiveAll(ctx, []otp.Charge{{Scope: "any", Key: key, Cost: cost, Limits: limits, At: at}})
}
