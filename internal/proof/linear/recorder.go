package linear

import (
	"context"
	"time"

	"otp.example/otp"
)

// A recording store notes what it is asked.
type recording interface {
	Store
	otp.CounterStore
	replace(ctx context.Context, key, value string, remove bool) error
}

// recorded returns s with its calls noted, but for those of the Limiter alone. It charges
// in the same step if s does.
func recorded(s Store, j *journal) recording {
	r := &recorder{s, j}
	if c, ok := s.(otp.ChargingStore); ok {
		return &chargingRecorder{r, c}
	}
	return r
}

type recorder struct {
	Store
	*journal
}

func (r *recorder) of(ctx context.Context, c call, do func() answer) {
	who := callerOf(ctx)
	c.Client, c.Parent = who.client, who.parent
	r.note(c, func(int) answer { return do() })
}

func (r *recorder) Put(ctx context.Context, rec otp.Record, now time.Time) (out otp.Record, applied bool, err error) {
	r.of(ctx, call{Method: put, Of: rec.ID, Record: &rec, Now: now}, func() answer {
		out, applied, err = r.Store.Put(ctx, rec, now)
		return answerOf(out, applied, err)
	})
	return out, applied, err
}

func (r *recorder) Get(ctx context.Context, id string) (out otp.Record, err error) {
	r.of(ctx, call{Method: get, Of: id}, func() answer {
		out, err = r.Store.Get(ctx, id)
		return answerOf(out, false, err)
	})
	return out, err
}

func (r *recorder) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (out otp.Record, applied bool, err error) {
	r.of(ctx, call{Method: spend, Of: id, Candidates: candidates, Now: now}, func() answer {
		out, applied, err = r.Store.Spend(ctx, id, candidates, now)
		return answerOf(out, applied, err)
	})
	return out, applied, err
}

func (r *recorder) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (out otp.Record, applied bool, err error) {
	r.of(ctx, call{Method: reissue, Of: id, Digest: digest, Live: live, Now: now}, func() answer {
		out, applied, err = r.Store.Reissue(ctx, id, digest, live, now)
		return answerOf(out, applied, err)
	})
	return out, applied, err
}

func (r *recorder) Cancel(ctx context.Context, id string, now time.Time) (out otp.Record, applied bool, err error) {
	r.of(ctx, call{Method: cancel, Of: id, Now: now}, func() answer {
		out, applied, err = r.Store.Cancel(ctx, id, now)
		return answerOf(out, applied, err)
	})
	return out, applied, err
}

// Advance asks a store that has no counters nothing.
func (r *recorder) Advance(ctx context.Context, key string, counter uint64) (applied bool, err error) {
	counters, ok := r.Store.(otp.CounterStore)
	if !ok {
		return false, nil
	}
	r.of(ctx, call{Method: advance, Of: key, Counter: counter}, func() answer {
		applied, err = counters.Advance(ctx, key, counter)
		return answerOf(otp.Record{}, applied, err)
	})
	return applied, err
}

// replace loads a credential and swaps what it was for value, or for nothing. It asks a
// store that has no credentials nothing.
func (r *recorder) replace(ctx context.Context, key, value string, remove bool) (err error) {
	credentials, ok := r.Store.(otp.CredentialStore)
	if !ok {
		return nil
	}
	var old []byte
	r.of(ctx, call{Method: load, Of: key}, func() answer {
		old, err = credentials.LoadCredentials(ctx, key)
		return answerOfLoad(old, err)
	})
	if err != nil {
		return err
	}
	if remove && len(old) > 0 {
		value = ""
	}
	r.of(ctx, call{Method: swap, Of: key, Old: string(old), New: value}, func() answer {
		var applied bool
		applied, err = credentials.SwapCredentials(ctx, key, old, []byte(value), time.Time{})
		return answerOf(otp.Record{}, applied, err)
	})
	return err
}

type chargingRecorder struct {
	*recorder
	charging otp.ChargingStore
}

func (r *chargingRecorder) PutCharged(ctx context.Context, rec otp.Record, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	r.of(ctx, call{Method: putCharged, Of: rec.ID, Record: &rec, Charges: c, Now: now}, func() answer {
		out, err = r.charging.PutCharged(ctx, rec, c, now)
		return answerOfOutcome(out, err)
	})
	return out, err
}

func (r *chargingRecorder) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (out otp.Outcome, err error) {
	r.of(ctx, call{Method: reissueCharged, Of: id, Digest: digest, Live: live, Charges: c, Now: now}, func() answer {
		out, err = r.charging.ReissueCharged(ctx, id, digest, live, c, now)
		return answerOfOutcome(out, err)
	})
	return out, err
}

func (r *chargingRecorder) GiveAll(ctx context.Context, c []otp.Charge) error {
	return r.charging.GiveAll(ctx, c)
}

func answerOfOutcome(out otp.Outcome, err error) answer {
	a := answerOf(out.Record, out.Applied, err)
	if err == nil && out.Refused != nil {
		a.Refused = out.Refused.Scope
	}
	return a
}
