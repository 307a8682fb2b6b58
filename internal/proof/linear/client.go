package linear

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"otp.example/otp"
)

const (
	processes = 4
	crowd     = 16 // clients of one process
	steps     = 6  // of one client
	lanes     = 4  // records that clients meet at, of either kind

	taskEnv = "OTP_LINEAR_TASK"
	ready   = "ready\n"
)

// A task is what a client process is told.
type task struct {
	Opener   string
	Address  string
	History  string // begins every name, so that histories share nothing
	Process  int
	Seed     uint64
	Deadline time.Duration // of one call
	Clock    virtualClock
}

// clients are those of one process. They know the same handles.
type clients struct {
	task
	*journal
	store   recording
	service *otp.Service

	mu      sync.Mutex
	random  random
	named   int
	handles map[string]string // by lane
}

// runTask is the life of a client process.
func runTask(text string) error {
	p := &clients{journal: &journal{out: os.Stdout}, handles: map[string]string{}}
	if err := json.Unmarshal([]byte(text), &p.task); err != nil {
		return err
	}
	p.random.state = p.Seed + uint64(p.Process)<<32
	ctx := context.Background()
	store, err := openers[p.Opener](ctx, p.Address)
	if err != nil {
		return err
	}
	defer closeStore(store) //nolint:errcheck // nothing depends on it
	p.store = recorded(store, p.journal)
	if p.service, err = p.newService(); err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString(ready); err != nil {
		return err
	}
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	errs := make(chan error)
	for i := range crowd {
		go func() { errs <- p.client(withCaller(ctx, caller{client: i + 1})) }()
	}
	for range crowd {
		err = errors.Join(err, <-errs)
	}
	return err
}

func closeStore(s Store) error {
	if c, ok := s.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

func (p *clients) client(ctx context.Context) error {
	for range steps {
		if err := p.step(ctx); err != nil {
			if err := p.await(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// step makes one call. The error is for a fault.
func (p *clients) step(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.Deadline)
	defer cancel()
	if p.below(2) == 0 {
		return p.useService(ctx)
	}
	if err := p.useStore(ctx); !errors.Is(err, otp.ErrNotFound) {
		return err
	}
	return nil
}

// await reads until the store answers again: a client that went on while its server is
// away would only make calls of which nobody learns anything. What it reads then is what
// the fault has left.
func (p *clients) await(ctx context.Context) error {
	const outage = 2 * time.Minute // more than a server may take to start
	ctx, cancel := context.WithTimeout(ctx, outage)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := p.store.Get(ctx, p.lane(storeLane))
		if err == nil || errors.Is(err, otp.ErrNotFound) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("no answer for %s: %w", outage, err)
		}
	}
}

// useStore makes a call of the store itself.
func (p *clients) useStore(ctx context.Context) (err error) {
	id, now := p.lane(storeLane), p.Clock.now()
	charging, _ := p.store.(otp.ChargingStore)
	switch method := p.pick(put, putCharged, spend, spend, spend, spend, reissue, reissueCharged, cancel, get, advance, swap); method {
	case put, putCharged:
		r := otp.Record{
			ID: id, Digests: p.digest(), Sealed: []byte(p.newName()), State: otp.StatePending,
			MaxAttempts: 3 + p.below(4), Sends: 1, MaxSends: 2 + p.below(3),
			CreatedAt: now, SentAt: now, ExpiresAt: now.Add(p.ttl()),
		}
		if method == putCharged && charging != nil {
			_, err = charging.PutCharged(ctx, r, p.charges(id, now), now)
		} else {
			_, _, err = p.store.Put(ctx, r, now)
		}
	case reissue, reissueCharged:
		if method == reissueCharged && charging != nil {
			_, err = charging.ReissueCharged(ctx, id, p.digest(), 1+p.below(2), p.charges(id, now), now)
		} else {
			_, _, err = p.store.Reissue(ctx, id, p.digest(), 1+p.below(2), now)
		}
	case spend:
		_, _, err = p.store.Spend(ctx, id, p.digest(), now)
	case cancel:
		_, _, err = p.store.Cancel(ctx, id, now)
	case get:
		_, err = p.store.Get(ctx, id)
	case advance:
		// The time steps of an authenticator app: this one or the one before.
		_, err = p.store.Advance(ctx, "counter-"+id, uint64(now.Unix())/30-uint64(p.below(2)))
	case swap:
		err = p.store.replace(ctx, "credential-"+id, p.newName(), p.below(4) == 0)
	}
	return err
}

// digest returns one of few, so that many guesses are right.
func (p *clients) digest() []byte {
	d := make([]byte, otp.DigestSize)
	for i, n := 0, p.below(3); i < len(d); i++ {
		d[i] = byte(n + 1)
	}
	return d
}

// ttl is long enough to outlast a fault, or so short that some expire.
func (p *clients) ttl() time.Duration { return []time.Duration{lasting, lasting, brief}[p.below(3)] }

const (
	lasting = 24 * time.Hour
	brief   = 90 * time.Second
)

// charges are of a meter of the lane and of one that all lanes share. Both are full before
// the history ends, and nothing leaves their windows.
func (p *clients) charges(lane string, now time.Time) []otp.Charge {
	const month = 31 * 24 * time.Hour
	return []otp.Charge{
		{Scope: scopeLane, Key: "meter-" + lane, Cost: 1, Limits: []otp.Limit{{N: 4, Per: month}}, At: now},
		{Scope: scopeAll, Key: "meter-" + p.History, Cost: 1 + int64(p.below(2)), Limits: []otp.Limit{{N: 12, Per: month}}, At: now},
	}
}

// Scopes that no service has.
const (
	scopeLane = "lane"
	scopeAll  = "all"
)

// The kinds of lanes: records of which a client knows the ID, and challenges of a service
// that it finds by a handle or by a reference.
const (
	storeLane     = "store"
	handleLane    = "handle"
	referenceLane = "reference"
)

// lane names one of the records that all clients use.
func (p *clients) lane(kind string) string {
	n := lanes
	if kind != storeLane {
		n /= 2
	}
	return fmt.Sprintf("%s-%s-%d", p.History, kind, p.below(n))
}

// newName is one that nothing else has.
func (p *clients) newName() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.named++
	return fmt.Sprintf("%s.%d.%d", p.History, p.Process, p.named)
}

func (p *clients) below(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.random.below(n)
}

func (p *clients) pick(list ...string) string { return list[p.below(len(list))] }
