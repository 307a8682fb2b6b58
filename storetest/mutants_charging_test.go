package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"otp.example/otp"
)

// A brokenCharging does some calls in its own way.
type brokenCharging struct {
	*reference
	puts     func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error)
	reissues func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error)
	gives    func(s *reference, ctx context.Context, c []otp.Charge) error
}

func (b brokenCharging) make() otp.ChargingStore {
	b.reference = newReference()
	if b.puts == nil {
		b.puts = (*reference).PutCharged
	}
	if b.reissues == nil {
		b.reissues = (*reference).ReissueCharged
	}
	if b.gives == nil {
		b.gives = (*reference).GiveAll
	}
	return b
}

func (b brokenCharging) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	return b.puts(b.reference, ctx, r, c, now)
}

func (b brokenCharging) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	return b.reissues(b.reference, ctx, id, digest, live, c, now)
}

func (b brokenCharging) GiveAll(ctx context.Context, c []otp.Charge) error {
	return b.gives(b.reference, ctx, c)
}

// charging returns a store that does something to the charges of PutCharged.
func charging(edit func(c []otp.Charge, now time.Time) []otp.Charge) func() otp.ChargingStore {
	return brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
		return s.PutCharged(ctx, r, edit(slices.Clone(c), now), now)
	}}.make
}

// takeAll makes charges without any change.
func (s *reference) takeAll(ctx context.Context, c []otp.Charge) error {
	for _, charge := range c {
		if _, err := s.Take(ctx, charge.Key, charge.Cost, charge.Limits, charge.At); err != nil {
			return err
		}
	}
	return nil
}

// refusal asks what the meters say now.
func (s *reference) refusal(c []otp.Charge, silent bool) *otp.Refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, refused := charged(s.meters, map[string]otp.Meter{}, c, silent)
	return refused
}

func silentOf(c []otp.Charge, silent bool) []otp.Charge {
	return slices.DeleteFunc(slices.Clone(c), func(c otp.Charge) bool { return c.Silent != silent })
}

// lastOfKeys returns the last charge of each key.
func lastOfKeys(c []otp.Charge) []otp.Charge {
	last := map[string]int{}
	for i := range c {
		last[c[i].Key] = i
	}
	var kept []otp.Charge
	for i := range c {
		if last[c[i].Key] == i {
			kept = append(kept, c[i])
		}
	}
	return kept
}

// silenced reports whether only a Silent charge was refused.
func silenced(out otp.Outcome) bool { return out.Applied && out.Refused != nil }

var chargingMeeting = newMeeting()

var chargingMutants = []mutant[otp.ChargingStore]{
	{
		rejectedBy: "ChargeAllOrNone", mistake: "charges although there is nothing to put",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if err == nil && !out.Applied && out.Refused == nil {
				err = s.takeAll(ctx, c)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "ChargeAllOrNone", mistake: "charges although there is nothing to reissue",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.ReissueCharged(ctx, id, digest, live, c, now)
			if !out.Applied && out.Refused == nil && ctx.Err() == nil {
				_ = s.takeAll(ctx, c)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "ChargeAllOrNone", mistake: "puts although a charge is refused",
		also: "SilentRefusal ChargedWindowBound KeepsLimiterClauses",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if err == nil && out.Refused != nil && !out.Applied {
				_, _, err = s.Put(ctx, r, now)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "ChargeAllOrNone", mistake: "keeps what it charged before the refusal",
		also: "SilentRefusal ChargedWindowBound",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if err == nil && out.Refused != nil && !out.Applied {
				i := slices.IndexFunc(c, func(c otp.Charge) bool { return c.Scope == out.Refused.Scope })
				err = s.takeAll(ctx, c[:i])
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "ChargeAllOrNone", mistake: "makes one of many charges only",
		also: "SilentRefusal ChargedWindowBound GiveAllReturns",
		make: charging(func(c []otp.Charge, _ time.Time) []otp.Charge { return c[:min(1, len(c))] }),
	},
	{
		rejectedBy: "ChargeAllOrNone", mistake: "asks the charges before it looks for the record",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.ReissueCharged(ctx, id, digest, live, c, now)
			if errors.Is(err, otp.ErrNotFound) {
				if refused := s.refusal(c, false); refused != nil {
					return otp.Outcome{Refused: refused}, nil
				}
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "LiveWinsOverRefusal", mistake: "asks the charges before the live record",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if !out.Applied && out.Refused == nil {
				out.Refused = s.refusal(c, false)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "LiveWinsOverRefusal", mistake: "tells of a Silent charge when there is nothing to put",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if !out.Applied && out.Refused == nil {
				out.Refused = s.refusal(c, true)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "LiveWinsOverRefusal", mistake: "asks the charges before the dead record",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.ReissueCharged(ctx, id, digest, live, c, now)
			if !out.Applied && out.Refused == nil {
				out.Refused = s.refusal(c, false)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "makes the Silent charges that fit although one is refused",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if err == nil && silenced(out) {
				err = s.takeAll(ctx, silentOf(c, true))
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "keeps the digest of what was put",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if silenced(out) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.records[r.ID], out.Record = clone(r), clone(r)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "adds the digest of what was reissued",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.ReissueCharged(ctx, id, digest, live, c, now)
			if silenced(out) {
				s.mu.Lock()
				defer s.mu.Unlock()
				out.Record.Digests = slices.Concat(out.Record.Digests, digest)
				s.records[id] = clone(out.Record)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "drops all digests of what was reissued",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.ReissueCharged(ctx, id, digest, live, c, now)
			if silenced(out) {
				s.mu.Lock()
				defer s.mu.Unlock()
				out.Record.Digests = nil
				s.records[id] = clone(out.Record)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "refuses the change",
		make: charging(func(c []otp.Charge, _ time.Time) []otp.Charge {
			for i := range c {
				c[i].Silent = false
			}
			return c
		}),
	},
	{
		rejectedBy: "SilentRefusal", mistake: "makes no charge if a Silent one is refused",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if err == nil && silenced(out) {
				err = s.GiveAll(ctx, silentOf(c, false))
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "does not tell the service that a Silent charge was refused",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if silenced(out) {
				out.Refused = nil
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "SilentRefusal", mistake: "names a Silent charge although another is refused",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.ReissueCharged(ctx, id, digest, live, c, now)
			if !out.Applied && out.Refused != nil {
				if r := s.refusal(c, true); r != nil {
					out.Refused = r
				}
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "GiveAllReturns", mistake: "gives the first charge",
		make: brokenCharging{gives: func(s *reference, ctx context.Context, c []otp.Charge) error {
			return s.GiveAll(ctx, c[:min(1, len(c))])
		}}.make,
	},
	{
		rejectedBy: "GiveAllReturns", mistake: "gives one charge for each key",
		make: brokenCharging{gives: func(s *reference, ctx context.Context, c []otp.Charge) error {
			return s.GiveAll(ctx, slices.CompactFunc(slices.Clone(c), func(a, b otp.Charge) bool { return a.Key == b.Key }))
		}}.make,
	},
	{
		rejectedBy: "GiveAllReturns", mistake: "gives no Silent charges",
		make: brokenCharging{gives: func(s *reference, ctx context.Context, c []otp.Charge) error {
			return s.GiveAll(ctx, silentOf(c, false))
		}}.make,
	},
	{
		rejectedBy: "ChargedWindowBound", mistake: "writes a meter once for each charge that it read it for",
		also: "SilentRefusal",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			for i := range c {
				if s.refusal(c[i:i+1], c[i].Silent) != nil {
					return s.PutCharged(ctx, r, c, now)
				}
			}
			return s.PutCharged(ctx, r, lastOfKeys(c), now)
		}}.make,
	},
	{
		rejectedBy: "ChargedWindowBound", mistake: "makes one of several charges with the same key",
		make: charging(func(c []otp.Charge, _ time.Time) []otp.Charge {
			if len(silentOf(c, true)) > 0 {
				return c
			}
			return lastOfKeys(c)
		}),
	},
	{
		rejectedBy: "ChargedWindowBound", mistake: "counts charges from the time of the call",
		also: "GiveAllReturns",
		make: charging(func(c []otp.Charge, now time.Time) []otp.Charge {
			for i := range c {
				c[i].At = now
			}
			return c
		}),
	},
	{
		rejectedBy: "ChargedWindowBound", mistake: "asks the meters and charges them later",
		also: "ChargeAllOrNone KeepsLimiterClauses",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			if len(c) == 0 {
				return s.PutCharged(ctx, r, c, now)
			}
			s.mu.Lock()
			meters, refused := charged(s.meters, map[string]otp.Meter{}, c, false)
			old := s.records[r.ID]
			s.mu.Unlock()
			if refused != nil || len(silentOf(c, true)) > 0 || old.Live(now) {
				return s.PutCharged(ctx, r, c, now)
			}
			chargingMeeting.meet(c[0].Key)
			out, err := s.PutCharged(ctx, r, nil, now)
			if out.Applied {
				s.mu.Lock()
				defer s.mu.Unlock()
				maps.Copy(s.meters, meters)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "puts and charges",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			return s.PutCharged(context.WithoutCancel(ctx), r, c, now)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "reissues",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			return s.ReissueCharged(context.WithoutCancel(ctx), id, digest, live, c, now)
		}}.make,
	},
	{
		rejectedBy: "CanceledContext", mistake: "gives",
		make: brokenCharging{gives: func(s *reference, ctx context.Context, c []otp.Charge) error {
			return s.GiveAll(context.WithoutCancel(ctx), c)
		}}.make,
	},
	{
		rejectedBy: "KeepsStoreClauses", mistake: "puts over a record that is still live",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			s.mu.Lock()
			if old, ok := s.records[r.ID]; ok && now.Equal(old.ExpiresAt.Add(-tick)) {
				delete(s.records, r.ID)
			}
			s.mu.Unlock()
			return s.PutCharged(ctx, r, c, now)
		}}.make,
	},
	{
		rejectedBy: "KeepsStoreClauses", mistake: "keeps one code too many",
		make: brokenCharging{reissues: func(s *reference, ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			if live > 1 {
				live++
			}
			return s.ReissueCharged(ctx, id, digest, live, c, now)
		}}.make,
	},
	{
		rejectedBy: "KeepsLimiterClauses", mistake: "says whole seconds in a Refusal",
		make: brokenCharging{puts: func(s *reference, ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
			out, err := s.PutCharged(ctx, r, c, now)
			if out.Refused != nil {
				out.Refused.RetryAfter = (out.Refused.RetryAfter + time.Second - 1).Truncate(time.Second)
			}
			return out, err
		}}.make,
	},
	{
		rejectedBy: "KeepsLimiterClauses", mistake: "loses a Give that comes during another",
		make: brokenCharging{gives: func(s *reference, ctx context.Context, c []otp.Charge) error {
			if len(c) != 1 || ctx.Err() != nil {
				return s.GiveAll(ctx, c)
			}
			s.mu.Lock()
			m := s.meters[c[0].Key]
			s.mu.Unlock()
			chargingMeeting.meet(c[0].Key)
			s.mu.Lock()
			defer s.mu.Unlock()
			// It does not try again. A write of m would lose Takes, too, and they make up for Gives.
			if bytes.Equal(m, s.meters[c[0].Key]) {
				s.meters[c[0].Key] = m.Give(c[0].Cost, c[0].Limits, c[0].At)
			}
			return nil
		}}.make,
	},
}
