package sqlstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"otp.example/otp"
)

// Policies are the rows of the table otp_policy: an [otp.PolicySource] that administrators
// can change while the service runs. Look-up goes as in [otp.Policies]: from the
// exact key to the usage alone, the channel alone and the zero key, first among those of the
// tenant, then among those of no tenant. It is safe for concurrent use; make it with
// [Store.Policies].
//
// The first Policy for a channel that no row is for makes one, with the values of the
// preset, so that there is something to edit. It counts less than every row that somebody wrote,
// even one for all channels, and nothing where the preset has changed since and does not
// allow it: then the values of the preset hold.
//
// The rows are read again when they are two seconds old and asked for, by one caller while
// the others go on with what there is, and nothing older than five seconds is used. So a
// change reaches every process within five seconds, and a table that cannot be read for
// longer denies. Age is counted in real time, from before the reading: a
// Config.Now that stands still must not keep a policy for ever. All rows are read at once,
// so the table is for hundreds of them, not for one for each customer.
//
// A row of somebody that is malformed or out of bounds denies whatever it is for, and nothing
// else. The error names its key and field.
type Policies struct {
	store    *Store
	preset   otp.Preset
	defaults *otp.Policies

	mu      sync.Mutex
	rows    *policyRows   // nil after a change of our own
	changes int           // of our own
	reading chan struct{} // closed when the reading that is under way ends; nil if there is none
}

const (
	policyFresh = 2 * time.Second
	policyOld   = 5 * time.Second
)

// byDefaults is the author of rows that nobody wrote.
const byDefaults = "defaults"

// policyRows are what was read at once.
type policyRows struct {
	at time.Time
	m  map[otp.PolicyKey]*policyRow
}

type policyRow struct {
	change PolicyChange
	text   string
	source *otp.Policies // the row alone, under its preset; nil if it is removed or bad
}

// A PolicyChange is one row: what somebody set or removed.
type PolicyChange struct {
	Key     otp.PolicyKey
	Policy  otp.Policy // zero if Removed or Err
	Removed bool
	By      string    // who; "defaults" for a row that was made because there was none
	At      time.Time // by the database's clock, in UTC
	Err     error     // why the row cannot be used; it denies what it is for, unless it is By "defaults"
}

// Policies returns the policies in the database, under the rules of a preset. The error is
// a fault, or that the preset is unknown; a bad row is none yet.
func (s *Store) Policies(ctx context.Context, preset otp.Preset) (*Policies, error) {
	defaults, err := otp.NewPolicies(preset, nil)
	if err != nil {
		return nil, err
	}
	p := &Policies{store: s, preset: preset, defaults: defaults}
	if _, err := p.current(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Policy implements [otp.PolicySource]. Its error wraps [otp.ErrRefused] where the preset
// does not allow the channel for the usage.
func (p *Policies) Policy(ctx context.Context, k otp.PolicyKey) (otp.Policy, error) {
	rows, err := p.current(ctx)
	if err != nil {
		return otp.Policy{}, err
	}
	row := rows.find(k)
	switch {
	case row == nil:
		policy, err := p.defaults.Policy(ctx, k)
		if err == nil && k.Channel != "" && rows.m[otp.PolicyKey{Channel: k.Channel}] == nil {
			err = p.addDefault(ctx, k.Channel)
		}
		return policy, err
	case row.change.Err != nil:
		return otp.Policy{}, row.change.Err
	}
	return row.source.Policy(ctx, k)
}

// find returns the row for k. One that was made as a default counts less than any that somebody
// wrote, however general.
func (r *policyRows) find(k otp.PolicyKey) *policyRow {
	var made *policyRow
	for _, tenant := range []string{k.Tenant, ""} {
		for _, key := range []otp.PolicyKey{
			{Tenant: tenant, Channel: k.Channel, Usage: k.Usage},
			{Tenant: tenant, Usage: k.Usage},
			{Tenant: tenant, Channel: k.Channel},
			{Tenant: tenant},
		} {
			row := r.m[key]
			switch {
			case row == nil || row.change.Removed:
			case row.change.By == byDefaults && row.change.Err != nil: // of another preset: this one's values hold
			case row.change.By == byDefaults:
				made = cmp.Or(made, row)
			default:
				return row
			}
		}
	}
	return made
}

// addDefault adds a row for a channel that has none. Whatever somebody sets at the same
// time counts more.
func (p *Policies) addDefault(ctx context.Context, c otp.Channel) error {
	// It is the usage of which every preset has the same to say as of any.
	policy, err := p.defaults.Policy(ctx, otp.PolicyKey{Channel: c, Usage: otp.ConfirmAddress})
	if err != nil {
		return err
	}
	policy = policy.WithDefaults(c) // so that there is something to see
	return p.write(ctx, "add_policy", otp.PolicyKey{Channel: c}, &policy, byDefaults)
}

// Set makes a policy the one for k. An empty field of k matches everything. The error names
// the field that is out of bounds or weaker than the preset allows; by, who it is that
// sets it, is kept in the history and required.
func (p *Policies) Set(ctx context.Context, k otp.PolicyKey, policy otp.Policy, by string) error {
	return p.change(ctx, k, &policy, by)
}

// Remove takes away the policy for k, so that a more general one holds.
func (p *Policies) Remove(ctx context.Context, k otp.PolicyKey, by string) error {
	return p.change(ctx, k, nil, by)
}

func (p *Policies) change(ctx context.Context, k otp.PolicyKey, policy *otp.Policy, by string) error {
	if by == "" || by == byDefaults || len(by) > maxKey {
		return fmt.Errorf("sqlstore: by is empty, %q or longer than %d bytes", byDefaults, maxKey)
	}
	checked := otp.Policy{}
	if policy != nil {
		checked = *policy
	}
	if _, err := otp.NewPolicies(p.preset, map[otp.PolicyKey]otp.Policy{k: checked}); err != nil {
		return err
	}
	return p.write(ctx, "set_policy", k, policy, by)
}

func (p *Policies) write(ctx context.Context, statement string, k otp.PolicyKey, policy *otp.Policy, by string) error {
	text := "null"
	if policy != nil {
		var err error
		if text, err = encodePolicy(*policy); err != nil {
			return call("policy").fault(err)
		}
	}
	err := p.store.b.use(ctx, func(run runner) error {
		return retried(func() error {
			_, err := run.ExecContext(ctx, p.store.text.get(statement), k.Tenant, string(k.Channel), string(k.Usage), text, by)
			return err
		})
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rows = nil // even after an error: it may have been written
	p.changes++
	return call("policy").fault(err)
}

// List returns the policies that hold, by the order in which they were set.
func (p *Policies) List(ctx context.Context) ([]PolicyChange, error) {
	changes, err := p.query(ctx, "policies")
	return slices.DeleteFunc(changes, func(c PolicyChange) bool { return c.Removed }), err
}

// History returns all that was ever set for k, oldest first.
func (p *Policies) History(ctx context.Context, k otp.PolicyKey) ([]PolicyChange, error) {
	return p.query(ctx, "policy_history", k.Tenant, string(k.Channel), string(k.Usage))
}

func (p *Policies) query(ctx context.Context, statement string, args ...any) ([]PolicyChange, error) {
	rows, err := p.read(ctx, statement, nil, args...)
	if err != nil {
		return nil, err
	}
	changes := make([]PolicyChange, len(rows))
	for i, r := range rows {
		changes[i] = r.change
	}
	return changes, nil
}

// current returns rows that are not too old.
func (p *Policies) current(ctx context.Context) (*policyRows, error) {
	for {
		p.mu.Lock()
		now, age := time.Now(), policyOld
		rows, reading := p.rows, p.reading
		if rows != nil {
			age = now.Sub(rows.at)
		}
		switch {
		case age < policyFresh, age < policyOld && reading != nil:
			p.mu.Unlock()
			return rows, nil
		case reading == nil:
			changes := p.changes
			p.reading = make(chan struct{})
			p.mu.Unlock()
			read, err := p.refresh(ctx, now, rows, changes)
			if err != nil && age < policyOld {
				return rows, nil // the next caller tries again
			}
			return read, err
		}
		p.mu.Unlock()
		select {
		case <-reading: // if that failed, perhaps because its caller left, it is our turn
		case <-ctx.Done():
			return nil, call("policy").fault(ctx.Err())
		}
	}
}

// refresh reads all rows, for all who wait. What was changed meanwhile may not be in them,
// so then they are for this caller only, who began before.
func (p *Policies) refresh(ctx context.Context, now time.Time, old *policyRows, changes int) (*policyRows, error) {
	rows := &policyRows{at: now, m: map[otp.PolicyKey]*policyRow{}}
	list, err := p.read(ctx, "policies", old)
	for _, r := range list {
		rows.m[r.change.Key] = r
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.reading)
	p.reading = nil
	if err != nil {
		return nil, err
	}
	if p.changes == changes {
		p.rows = rows
	}
	return rows, nil
}

// read reads rows. Those that have not changed since old need not be understood again.
func (p *Policies) read(ctx context.Context, statement string, old *policyRows, args ...any) ([]*policyRow, error) {
	var list []*policyRow
	err := p.store.b.use(ctx, func(run runner) error {
		list = nil
		found, err := run.QueryContext(ctx, p.store.text.get(statement), args...)
		if err != nil {
			return err
		}
		var c PolicyChange
		var text []byte
		var at int64
		return each(found, func() error {
			c.At = time.UnixMicro(at).UTC()
			var row *policyRow
			if old != nil {
				row = old.m[c.Key]
			}
			if row == nil || row.text != string(text) || row.change.By != c.By || !row.change.At.Equal(c.At) {
				row = p.understand(c, text)
			}
			list = append(list, row)
			return nil
		}, &c.Key.Tenant, &c.Key.Channel, &c.Key.Usage, &text, &c.By, &at)
	})
	return list, call("policy").fault(err)
}

// understand reads the text of one row and checks it.
func (p *Policies) understand(c PolicyChange, text []byte) *policyRow {
	r := &policyRow{change: c, text: string(text)}
	if isNull(text) {
		r.change.Removed = true
		return r
	}
	policy, err := decodePolicy(r.text)
	if err == nil {
		r.source, err = otp.NewPolicies(p.preset, map[otp.PolicyKey]otp.Policy{c.Key: policy})
	} else {
		err = fmt.Errorf("%w (policy of %s)", err, c.Key)
	}
	if err != nil {
		r.change.Err = fmt.Errorf("sqlstore: table of policies: %w", err)
		return r
	}
	r.change.Policy = policy
	return r
}
