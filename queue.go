package otp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	queueWorkers = 16
	queueTries   = 4
	queuePause   = time.Second // before the second try; doubled before each further one
)

var (
	errQueueFull   = fmt.Errorf("%w: queue is full", ErrNotAccepted)
	errQueueClosed = fmt.Errorf("%w: queue is closed", ErrNotAccepted)
	errTooLate     = &DeliveryError{Errs: []error{fmt.Errorf("%w: message has expired", ErrNotAccepted)}}
)

// A Queue is a [Sender] that takes messages at once and sends them from the workers
// that Run starts, so that a caller's answer does not depend on the provider. It holds
// a bounded number of messages, in memory only: what is waiting when the process dies
// is lost, and the person asks again. Without Run nothing is sent, and nobody is told until
// the queue is full.
//
// A message that was certainly not taken is tried again up to three times, with the same
// Message.Key, as long as it is valid; after [ErrUndeliverable] it is not. After an unknown
// outcome it may be on its way, and a second one would be sent and charged. It is safe for
// concurrent use.
type Queue struct {
	to      Sender
	waiting chan queued
	again   chan queued   // to be tried again now
	pausing chan struct{} // room for those that wait for it, which hold no worker

	mu     sync.RWMutex // held for writing while the queue is opened or closed
	closed bool
}

type queued struct {
	m        Message
	deadline time.Time                             // by the process's own clock
	done     func(context.Context, Receipt, error) // nil for messages that nobody waits for
	drop     bool                                  // a decoy, which takes a place and is not sent
	tries    int
	last     error // of the try before
}

// NewQueue returns a queue that holds up to size messages for s, and as many again that wait
// for their next try. Sizes below 1 are taken as 1. It sends nothing before Run.
func NewQueue(s Sender, size int) *Queue {
	size = max(1, size)
	return &Queue{to: s, waiting: make(chan queued, size), again: make(chan queued), pausing: make(chan struct{}, size)}
}

// Send puts m into the queue. The receipt is empty, since no provider has seen the
// message yet. A full queue and one that has stopped refuse with [ErrNotAccepted].
func (q *Queue) Send(_ context.Context, m Message) (Receipt, error) {
	return Receipt{}, q.put(queued{m: m})
}

func (q *Queue) put(e queued) error {
	e.deadline = time.Now().Add(e.m.TTL)
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.closed {
		return errQueueClosed
	}
	select {
	case q.waiting <- e:
		return nil
	default:
		return errQueueFull
	}
}

// Run sends what is in the queue, with 16 workers, until ctx ends. Then it takes no more,
// tries what is left once each, and returns the reason of ctx when all is done: that takes
// up to 10 seconds for every 16 messages that wait. It may be called once.
func (q *Queue) Run(ctx context.Context) error {
	var workers, pauses sync.WaitGroup
	for range queueWorkers {
		workers.Go(func() {
			for {
				select {
				case e := <-q.again:
					q.deliver(ctx, e, &pauses)
				case e, open := <-q.waiting:
					if !open {
						return
					}
					q.deliver(ctx, e, &pauses)
				}
			}
		})
	}
	<-ctx.Done()
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.waiting)
	}
	q.mu.Unlock()
	workers.Wait()
	pauses.Wait()
	return context.Cause(ctx)
}

// deliver tries e. If it is to be tried again it waits for that without a worker. What has
// begun is not cut off by the end of ctx.
func (q *Queue) deliver(ctx context.Context, e queued, pauses *sync.WaitGroup) {
	calls := context.WithoutCancel(ctx)
	var receipt Receipt
	var err error
	finish := func() {
		if e.done != nil {
			e.done(calls, receipt, err)
		}
	}
	if e.drop {
		finish()
		return
	}
	if !time.Now().Before(e.deadline) {
		err = cmp.Or(e.last, error(errTooLate))
		finish()
		return
	}
	c, cancel := context.WithDeadline(calls, e.deadline)
	e.m.TTL = max(time.Second, time.Until(e.deadline).Round(time.Second)) // what providers are told; the text has been rendered
	receipt, err = send(c, q.to, e.m)
	cancel()
	e.tries++
	if err == nil || e.tries == queueTries || !notTaken(err) || errors.Is(err, ErrUndeliverable) || ctx.Err() != nil {
		finish()
		return
	}
	e.last = err
	select {
	case q.pausing <- struct{}{}:
	default: // too many wait already
		finish()
		return
	}
	pauses.Go(func() {
		again := sleep(ctx, queuePause<<(e.tries-1))
		<-q.pausing
		if again {
			select {
			case q.again <- e:
				return
			case <-ctx.Done():
			}
		}
		finish()
	})
}

// sleep returns false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const (
	breakerFailures = 5
	breakerPause    = 30 * time.Second
)

var errBreakerOpen = fmt.Errorf("%w: provider failed and is left alone for a while", ErrNotAccepted)

// Breaker returns a Sender that, after 5 failures of s in a row, refuses with
// [ErrNotAccepted] for 30 seconds, then lets one message through to see. So a provider
// that hangs does not hold up those behind it in a [Failover]. Recipients that cannot
// be reached and callers that go away are no failures of a provider.
func Breaker(s Sender) Sender {
	var mu sync.Mutex
	failures, shut := 0, time.Time{}
	allowed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if failures < breakerFailures {
			return true
		}
		if time.Now().Before(shut) {
			return false
		}
		shut = time.Now().Add(breakerPause) // the one that looks; the others wait for it
		return true
	}
	return SenderFunc(func(ctx context.Context, m Message) (Receipt, error) {
		if !allowed() {
			return Receipt{}, errBreakerOpen
		}
		receipt, err := safeSend(ctx, s, m)
		mu.Lock()
		defer mu.Unlock()
		if err == nil || errors.Is(err, ErrUndeliverable) {
			failures = 0
			return receipt, err
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			if failures >= breakerFailures {
				shut = time.Time{} // this one saw nothing: the next looks
			}
			return receipt, err // whoever asked has gone, which says nothing of the provider
		}
		failures++
		shut = time.Now().Add(breakerPause)
		return receipt, err
	})
}
