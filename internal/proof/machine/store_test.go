package machine_test

import (
	"context"
	"maps"
	"slices"
	"time"

	"otp.example/otp"
)

// A plain store is a map of records and one of meters, and one bug, if it is given the
// name of one. It does what it is told in order, for one caller at a time.
type plain struct {
	bug     string
	records map[string]otp.Record
	meters  map[string]otp.Meter
	last    map[string]time.Time // when a meter was last charged
	ledger  map[string][]otp.Charge
}

// Each bug is one that a store, or the service, could have.
const (
	acceptsTwice     = "accepts a code twice"
	forgetsAttempts  = "forgets attempts at a restart"
	oneMoreAttempt   = "compares once more than it may"
	attemptsOnResend = "gives attempts back with a resend"
	endsEarly        = "refuses a code in its last moment"
	windowsAligned   = "starts limits anew with the hour"
	ledgerOnExpiry   = "gives guesses back when a code expires"
	ledgerOnSuccess  = "gives all guesses back on a success"
	ledgerOnRestart  = "forgets the ledger at a restart"
	streakGoesOn     = "gives a streak back with time"
	keepsAllCodes    = "keeps every code of a challenge"
	newestOnly       = "keeps the newest code only"
	overwritesLive   = "overwrites a live record"
	lateSubject      = "does not charge the subject"
	speaksUp         = "takes a silent charge for a loud one"
	silentCode       = "stores the code of a silent refusal"
	prolongs         = "prolongs a challenge with a resend"
	matchesAny       = "takes any candidate once"
)

func newPlain(bug string) *plain {
	return &plain{
		bug: bug, records: map[string]otp.Record{}, meters: map[string]otp.Meter{},
		last: map[string]time.Time{}, ledger: map[string][]otp.Charge{},
	}
}

func (s *plain) is(bug string) bool { return s.bug == bug }

// restart is called when the process ends.
func (s *plain) restart() {
	for id, r := range s.records {
		if s.is(forgetsAttempts) {
			r.Attempts = 0
			s.records[id] = r
		}
	}
	if s.is(ledgerOnRestart) {
		clear(s.meters)
	}
}

func (s *plain) Get(_ context.Context, id string) (otp.Record, error) {
	r, ok := s.records[id]
	if !ok {
		return r, otp.ErrNotFound
	}
	return r, nil
}

func (s *plain) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	out, err := s.PutCharged(ctx, r, nil, now)
	return out.Record, out.Applied, err
}

func (s *plain) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	r, err := s.Get(ctx, id)
	if err != nil {
		return r, false, err
	}
	right := r.Matches(candidates) >= 0
	var applied bool
	switch {
	case s.is(acceptsTwice) && r.State == otp.StateVerified && right:
		applied = true
	case s.is(oneMoreAttempt) && r.State == otp.StatePending && r.Attempts == r.MaxAttempts && now.Before(r.ExpiresAt):
		r.Attempts--
		applied = r.Spend(candidates, now)
	case s.is(endsEarly):
		applied = r.Spend(candidates, now.Add(time.Microsecond))
	case s.is(matchesAny) && r.Live(now) && r.Attempts == 0 && len(r.Digests) > 0:
		copy(r.Digests, candidates)
		applied = r.Spend(candidates, now)
	default:
		applied = r.Spend(candidates, now)
	}
	s.records[id] = r
	return r, applied, nil
}

func (s *plain) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	out, err := s.ReissueCharged(ctx, id, digest, live, nil, now)
	return out.Record, out.Applied, err
}

func (s *plain) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	r, err := s.Get(ctx, id)
	applied := err == nil && r.Cancel(now)
	if applied {
		s.records[id] = r
	}
	return r, applied, err
}

func (s *plain) PutCharged(_ context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	old := s.records[r.ID]
	if old.Live(now) && !s.is(overwritesLive) {
		return otp.Outcome{Record: old}, nil
	}
	refused, done := s.charge(c, now)
	if !done {
		return otp.Outcome{Record: old, Refused: refused}, nil
	}
	if refused != nil && !s.is(silentCode) {
		r.Digests = nil
	}
	r.Digests = slices.Clone(r.Digests)
	s.records[r.ID] = r
	for _, one := range c {
		if one.Scope == "guesses" {
			s.ledger[r.ID] = append(s.ledger[r.ID], one)
		}
	}
	return otp.Outcome{Record: r, Applied: true, Refused: refused}, nil
}

func (s *plain) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	r, err := s.Get(ctx, id)
	if err != nil {
		return otp.Outcome{}, err
	}
	old := r
	if s.is(keepsAllCodes) {
		live = 100
	}
	if s.is(newestOnly) {
		live = 1
	}
	if !r.Reissue(digest, live, now) {
		return otp.Outcome{Record: old}, nil
	}
	refused, done := s.charge(c, now)
	switch {
	case !done:
		return otp.Outcome{Record: old, Refused: refused}, nil
	case refused != nil && !s.is(silentCode):
		r = old
		r.Reissue(nil, live, now)
	}
	if s.is(attemptsOnResend) {
		r.Attempts = 0
	}
	if s.is(prolongs) {
		r.ExpiresAt = r.ExpiresAt.Add(time.Minute)
	}
	s.records[id] = r
	return otp.Outcome{Record: r, Applied: true, Refused: refused}, nil
}

// charge makes all charges, or all that are not silent, or none. It reports whether the
// change is to be made.
func (s *plain) charge(c []otp.Charge, now time.Time) (refused *otp.Refusal, done bool) {
	s.expire(now)
	meters := maps.Clone(s.meters)
	loud := s.takeAll(c, false)
	if loud != nil {
		s.meters = meters
		return loud, false
	}
	before := maps.Clone(s.meters)
	if silent := s.takeAll(c, true); silent != nil {
		s.meters = before
		return silent, true
	}
	return nil, true
}

func (s *plain) takeAll(c []otp.Charge, silent bool) *otp.Refusal {
	for _, one := range c {
		if (one.Silent && !s.is(speaksUp)) != silent || s.is(lateSubject) && one.Scope == "subject" {
			continue
		}
		if d := s.take(one.Key, one.Cost, one.Limits, one.At); !d.OK {
			return &otp.Refusal{Scope: one.Scope, RetryAfter: d.RetryAfter}
		}
	}
	return nil
}

func (s *plain) take(key string, cost int64, limits []otp.Limit, now time.Time) otp.Decision {
	if s.is(windowsAligned) && !s.last[key].Truncate(time.Hour).Equal(now.Truncate(time.Hour)) {
		delete(s.meters, key)
	}
	if s.is(streakGoesOn) {
		limits = slices.Clone(limits)
		for i := range limits {
			if limits[i].Per == 0 {
				limits[i].Per = day
			}
		}
	}
	m, d := s.meters[key].Take(cost, limits, now)
	if d.OK {
		s.meters[key], s.last[key] = m, now
	}
	return d
}

// expire is what the bug does that gives guesses back too early.
func (s *plain) expire(now time.Time) {
	if !s.is(ledgerOnExpiry) {
		return
	}
	for id, charges := range s.ledger {
		if r := s.records[id]; !now.Before(r.ExpiresAt) && r.State == otp.StatePending {
			for _, c := range charges {
				s.meters[c.Key] = s.meters[c.Key].Give(c.Cost, c.Limits, c.At)
			}
			delete(s.ledger, id)
		}
	}
}

func (s *plain) GiveAll(ctx context.Context, c []otp.Charge) error {
	for _, one := range c {
		if s.is(ledgerOnSuccess) && one.Scope == "guesses" {
			delete(s.meters, one.Key)
			continue
		}
		if err := s.Give(ctx, one.Key, one.Cost, one.Limits, one.At); err != nil {
			return err
		}
	}
	return nil
}

func (s *plain) Take(_ context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	return s.take(key, cost, limits, now), nil
}

func (s *plain) Give(_ context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	s.meters[key] = s.meters[key].Give(cost, limits, at)
	return nil
}

func (s *plain) Prune(_ context.Context, before time.Time, _ int) (int, error) {
	for id, r := range s.records {
		if !before.Before(r.ExpiresAt) {
			s.expire(before)
			delete(s.records, id)
		}
	}
	return 0, nil
}
