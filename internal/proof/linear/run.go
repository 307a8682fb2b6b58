package linear

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

// A run is one history while it happens.
type run struct {
	target Target
	random random

	proxy     *proxy // nil where there is no server
	processes []*process
	killed    int64 // when the server was; zero if it was not

	mu      sync.Mutex
	made    int  // calls, by clients
	over    bool // there will be no more
	changed *sync.Cond
}

// record lets clients use the target while a fault happens, and returns all calls, at the
// end those that look at what is left.
func record(t *testing.T, target Target, f *fault, seed uint64) *history {
	t.Helper()
	r := &run{target: target, random: random{seed}}
	r.changed = sync.NewCond(&r.mu)
	begin := virtualClock{Epoch: time.Now(), Start: clock()}
	plan := task{
		Opener: target.Opener, Address: target.Address, History: fmt.Sprintf("h%x", begin.Start),
		Seed: seed, Deadline: cmp.Or(f.deadline, patience), Clock: begin,
	}
	if target.Server != nil {
		var err error
		r.proxy, err = startProxy(target.Server.Addr())
		require.NoError(t, err)
		defer r.proxy.close()
		plan.Address = strings.ReplaceAll(target.Address, target.Server.Addr(), r.proxy.addr())
		require.NotEqual(t, target.Address, plan.Address, "the address of the server is not in that of the store")
	}
	defer r.stop()
	for i := range processes {
		own := plan
		own.Process = i
		if f.skew {
			own.Clock.Skew = maxSkew * time.Duration(2*i-(processes-1)) / (processes - 1)
		}
		p, err := start(own, r.progress)
		require.NoError(t, err)
		r.processes = append(r.processes, p)
	}
	require.NoError(t, r.clients(f), "OTP_SEED=%d %s", seed, f.name)
	var ops []*op
	for _, p := range r.processes {
		ops = append(ops, p.ops...)
	}
	last, err := lastCalls(t.Context(), target, ops)
	require.NoError(t, err, "OTP_SEED=%d %s", seed, f.name)
	ops = append(ops, last...)
	if target.ShowsEarly && r.killed != 0 {
		ops = confirmed(ops, r.killed)
	}
	return newHistory(ops, &target)
}

// clients lets the clients begin, all at once, and waits for them and for the fault.
func (r *run) clients(f *fault) (err error) {
	for _, p := range r.processes {
		<-p.ready
	}
	for _, p := range r.processes {
		err = errors.Join(err, p.begin())
	}
	injected := make(chan error, 1)
	go func() {
		if f.inject == nil {
			injected <- nil
			return
		}
		injected <- f.inject(r)
	}()
	for _, p := range r.processes {
		<-p.ended
		err = errors.Join(err, p.err)
	}
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	r.changed.Broadcast()
	return errors.Join(err, <-injected)
}

// stop ends what has not ended by itself.
func (r *run) stop() {
	for _, p := range r.processes {
		p.kill()
	}
}

// progress counts a call.
func (r *run) progress() {
	r.mu.Lock()
	r.made++
	r.mu.Unlock()
	r.changed.Broadcast()
}

// reached waits until so many percent of all calls have been made. It reports false if
// there will not be so many.
func (r *run) reached(percent int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.made*100 < percent*processes*crowd*steps && !r.over {
		r.changed.Wait()
	}
	return !r.over
}

// pick returns n of the processes.
func (r *run) pick(n int) []*process {
	first := r.random.below(processes)
	var list []*process
	for i := range n {
		list = append(list, r.processes[(first+i)%processes])
	}
	return list
}

// lastCalls asks the server itself what is left of every record, and whether the highest
// use of every counter is known, so that what was forgotten last is found, too.
func lastCalls(ctx context.Context, t Target, ops []*op) (last []*op, err error) {
	store, err := openers[t.Opener](ctx, t.Address)
	if err != nil {
		return nil, err
	}
	defer closeStore(store) //nolint:errcheck // nothing depends on it
	highest, records, credentials := map[string]uint64{}, map[string]bool{}, map[string]bool{}
	for _, o := range ops {
		switch {
		case o.Service:
		case o.Method == load, o.Method == swap:
			credentials[o.Of] = true
		case o.Method != advance:
			records[o.Of] = true
		case !o.ambiguous() && o.answer.Applied:
			highest[o.Of] = max(highest[o.Of], o.Counter)
		}
	}
	note := func(c call, do func() answer) error {
		o := &op{call: c, process: processes, seq: len(last) + 1, from: clock()}
		a := do()
		o.to, o.answer = clock(), &a
		last = append(last, o)
		if a.Fault != "" {
			return errors.New(a.Fault)
		}
		return nil
	}
	for id := range records {
		err = errors.Join(err, note(call{Method: get, Of: id}, func() answer {
			r, err := store.Get(ctx, id)
			return answerOf(r, false, err)
		}))
	}
	for key, n := range highest {
		err = errors.Join(err, note(call{Method: advance, Of: key, Counter: n}, func() answer {
			applied, err := store.(otp.CounterStore).Advance(ctx, key, n)
			return answerOf(otp.Record{}, applied, err)
		}))
	}
	for key := range credentials {
		err = errors.Join(err, note(call{Method: load, Of: key}, func() answer { return answerOfLoad(store.(otp.CredentialStore).LoadCredentials(ctx, key)) }))
	}
	return last, err
}
