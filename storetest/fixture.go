package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"otp.example/otp"
)

// Fixed times, with microseconds that are not round. Cases happen in now, but for those
// that want to be far from every real clock, and those that prune: these leave alone
// what the others do.
var (
	now        = time.Date(2030, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	longAgo    = time.Date(2008, 2, 29, 23, 59, 59, 999_999_000, time.UTC)
	farAhead   = time.Date(2100, 12, 31, 23, 59, 59, 1_000, time.UTC)
	pruneEpoch = time.Date(2003, 4, 5, 6, 7, 8, 9_000, time.UTC)
)

const (
	day  = 24 * time.Hour
	tick = time.Microsecond // the smallest step of a record's times

	lifetime = 5 * time.Minute // of newRecord
)

// crowd is how many goroutines act at once, and rounds how often, for what a race would
// break.
const (
	crowd  = 64
	rounds = 4
)

// newName returns a name that nothing else in a shared database has.
func newName() string { return rand.Text() }

// newDigest returns the digest of a code that nobody else has.
func newDigest() []byte {
	d := make([]byte, otp.DigestSize)
	_, _ = rand.Read(d) // ends the program rather than fail
	return d
}

// newRecord returns a live record as a service puts it, with one code.
func newRecord(at time.Time) otp.Record {
	return otp.Record{
		ID:          newName(),
		Digests:     newDigest(),
		Sealed:      []byte("sealed " + newName()),
		State:       otp.StatePending,
		MaxAttempts: 5,
		Sends:       1,
		MaxSends:    4,
		CreatedAt:   at,
		SentAt:      at,
		ExpiresAt:   at.Add(lifetime),
	}
}

// clone returns r with slices of its own.
func clone(r otp.Record) otp.Record {
	r.Digests, r.Sealed = slices.Clone(r.Digests), slices.Clone(r.Sealed)
	return r
}

// A numbers is a splitmix64 generator. The sequences of calls are to be the same in each
// run, so that a failure can be looked into; math/rand would do, but the repository bans
// it outside tests, so that nobody draws a code from it.
type numbers uint64

func (n *numbers) next() uint64 {
	*n += 0x9e3779b97f4a7c15
	z := uint64(*n)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number from 0 to limit-1.
func (n *numbers) below(limit int64) int64 { return int64(n.next() % uint64(limit)) }

// together calls f from several goroutines that start at the same moment.
func together(goroutines int, f func(i int) error) error {
	start := make(chan struct{})
	errs := make([]error, goroutines)
	var wg sync.WaitGroup
	for i := range goroutines {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return some(errs)
}

// some joins the first few errors: sixty-four of a kind tell no more.
func some(errs []error) error {
	const enough = 3
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if n := len(errs); n > enough {
		errs = append(errs[:enough:enough], fmt.Errorf("… and %d more", n-enough))
	}
	return errors.Join(errs...)
}

// repeat calls f for each round until one fails.
func repeat(f func() error) error {
	for i := range rounds {
		if err := f(); err != nil {
			return fmt.Errorf("in round %d of %d:\n%w", i+1, rounds, err)
		}
	}
	return nil
}

// A look is a set of the fields of a record that a clause is about. Each case looks at
// few, so that its failure means its clause.
type look uint

const (
	state look = 1 << iota
	attempts
	sends
	digests
	sealed
	bounds // MaxAttempts and MaxSends
	created
	sent
	expires
	everything look = 1<<iota - 1

	changing = everything &^ created // what calls change; the rest is RoundTrip's
)

// diff says how got differs from want, or is empty.
func (l look) diff(got, want otp.Record) string {
	var all []string
	add := func(field look, name string, differs bool, got, want any) {
		if l&field != 0 && differs {
			all = append(all, fmt.Sprintf("%s is %v and should be %v", name, got, want))
		}
	}
	add(everything, "ID", got.ID != want.ID, got.ID, want.ID)
	add(state, "State", got.State != want.State, stateName(got.State), stateName(want.State))
	add(attempts, "Attempts", got.Attempts != want.Attempts, got.Attempts, want.Attempts)
	add(bounds, "MaxAttempts", got.MaxAttempts != want.MaxAttempts, got.MaxAttempts, want.MaxAttempts)
	add(sends, "Sends", got.Sends != want.Sends, got.Sends, want.Sends)
	add(bounds, "MaxSends", got.MaxSends != want.MaxSends, got.MaxSends, want.MaxSends)
	add(digests, "Digests", string(got.Digests) != string(want.Digests), short(got.Digests), short(want.Digests))
	add(sealed, "Sealed", string(got.Sealed) != string(want.Sealed), short(got.Sealed), short(want.Sealed))
	for _, t := range [...]struct {
		field     look
		name      string
		got, want time.Time
	}{
		{created, "CreatedAt", got.CreatedAt, want.CreatedAt},
		{sent, "SentAt", got.SentAt, want.SentAt},
		{expires, "ExpiresAt", got.ExpiresAt, want.ExpiresAt},
	} {
		add(t.field, t.name, !t.got.Equal(t.want), stamp(t.got), stamp(t.want))
		if l == everything {
			add(t.field, t.name, t.got.Location() != time.UTC, "in "+t.got.Location().String(), "in UTC")
		}
	}
	return strings.Join(all, ", ")
}

func stamp(t time.Time) string { return t.Format("2006-01-02T15:04:05.999999999Z07:00") }

func short(b []byte) string {
	const enough = 8
	if len(b) <= enough {
		return fmt.Sprintf("%d bytes %x", len(b), b)
	}
	return fmt.Sprintf("%d bytes %x…", len(b), b[:enough])
}

func stateName(s otp.State) string {
	switch s {
	case otp.StatePending:
		return "pending"
	case otp.StateVerified:
		return "verified"
	case otp.StateCanceled:
		return "canceled"
	}
	return fmt.Sprintf("%d, which is none", s)
}

// errorText is for errors that may be nil, which %w does not print.
func errorText(err error) string {
	if err == nil {
		return "nil"
	}
	return err.Error()
}

func doneName(applied bool) string {
	if applied {
		return "applied"
	}
	return "refused"
}

// A challenge is a record in a store together with what it must be by now: the same
// calls are made on a record here, with the methods of otp.Record, which are what the
// methods of a store are defined by.
type challenge struct {
	store otp.Store
	want  otp.Record
	look  look
	errs  []error
}

func (c *challenge) err() error { return some(c.errs) }

// begin puts r, which the store must not hold yet.
func begin(ctx context.Context, s otp.Store, r otp.Record, l look) (*challenge, error) {
	c := &challenge{store: s, want: clone(r), look: l}
	got, applied, err := s.Put(ctx, r, r.CreatedAt)
	c.compare("Put of a new record", r.CreatedAt, true, got, applied, err)
	return c, c.err()
}

func (c *challenge) spend(ctx context.Context, what string, candidates []byte, at time.Time) {
	want := c.want.Spend(candidates, at)
	got, applied, err := c.store.Spend(ctx, c.want.ID, candidates, at)
	c.compare("Spend "+what, at, want, got, applied, err)
}

func (c *challenge) reissue(ctx context.Context, what string, digest []byte, live int, at time.Time) {
	want := c.want.Reissue(digest, live, at)
	got, applied, err := c.store.Reissue(ctx, c.want.ID, digest, live, at)
	c.compare("Reissue "+what, at, want, got, applied, err)
}

func (c *challenge) cancel(ctx context.Context, what string, at time.Time) {
	want := c.want.Cancel(at)
	got, applied, err := c.store.Cancel(ctx, c.want.ID, at)
	c.compare("Cancel "+what, at, want, got, applied, err)
}

func (c *challenge) put(ctx context.Context, what string, r otp.Record, at time.Time) {
	want := !c.want.Live(at)
	if want {
		c.want = clone(r)
	}
	got, applied, err := c.store.Put(ctx, r, at)
	c.compare("Put "+what, at, want, got, applied, err)
}

// get compares what the store holds.
func (c *challenge) get(ctx context.Context, what string) {
	got, err := c.store.Get(ctx, c.want.ID)
	if err != nil {
		c.failf("Get %s: the error is %w and should be nil", what, err)
	} else if d := c.look.diff(got, c.want); d != "" {
		c.failf("Get %s: %s", what, d)
	}
}

func (c *challenge) compare(what string, at time.Time, want bool, got otp.Record, applied bool, err error) {
	what += c.when(at)
	switch {
	case errors.Is(err, otp.ErrNotFound) && !applied && !want && !at.Before(c.want.ExpiresAt):
		return // a store may have forgotten it
	case err != nil:
		c.failf("%s: the error is %w and should be nil", what, err)
		return
	case applied != want:
		c.failf("%s: was %s and should be %s; the record returned is %s with attempts %d of %d and sends %d of %d",
			what, doneName(applied), doneName(want), stateName(got.State), got.Attempts, got.MaxAttempts, got.Sends, got.MaxSends)
		return
	}
	if d := c.look.diff(got, c.want); d != "" {
		c.failf("%s: was rightly %s, but of the record returned %s", what, doneName(applied), d)
	}
}

func (c *challenge) failf(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf(format, args...))
}

// when places at in the life of the record.
func (c *challenge) when(at time.Time) string {
	switch d := at.Sub(c.want.ExpiresAt); {
	case d == 0:
		return " (at ExpiresAt itself)"
	case d > 0:
		return fmt.Sprintf(" (%v after ExpiresAt)", d)
	case -d <= time.Second:
		return fmt.Sprintf(" (%v before ExpiresAt)", -d)
	}
	return ""
}
