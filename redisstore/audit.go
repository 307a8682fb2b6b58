package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
)

// AuditOptions are what [NewAudit] may be told.
type AuditOptions struct {
	// Stream is the key of the stream. Empty means "otp:audit". On a cluster it is on one
	// node.
	Stream string

	// MaxLen is about how many events are kept. Zero means a million.
	MaxLen int64

	// MaxAge is about how long they are kept. Zero means 30 days.
	MaxAge time.Duration

	// OnError is told of events that were not written: by OnEvent, on the request's path, if
	// there is no room, and by Run. It must not block. Nil means that they are lost without a
	// word.
	OnError func(ctx context.Context, e otp.Event, err error)
}

// An Audit writes the events of a service to a Redis stream, which is read with XRANGE or
// XREAD. It is bounded, so it is a window on what happens and no archive. Its fields are those
// of [otp.LogEvents]: neither codes, nor handles, nor whole recipients.
//
// No request waits for the stream: OnEvent only keeps the event, and Run writes it. A request
// that conceals tells more events where it was limited, and would show that by how long it
// takes. What waits when the process dies is lost.
//
// Events are in about the order in which they happened; "at" says when. Each is written once,
// but a client that got no answer and asks again after 64 others have been written makes it
// two. An Audit is safe for concurrent use.
type Audit struct {
	client  redis.UniversalClient
	o       AuditOptions
	waiting chan otp.Event

	mu     sync.RWMutex // held for writing while it is closed
	closed bool
}

const (
	defaultStream = "otp:audit"
	defaultMaxLen = 1_000_000
	defaultMaxAge = 30 * 24 * time.Hour

	auditTimeout = time.Second // for one event
	auditWriters = 16
	auditWaiting = 1024
)

var (
	errAuditFull    = errors.New("too many events wait to be written")
	errAuditStopped = errors.New("the audit has stopped")
)

// NewAudit returns an Audit on the server of client, which need not be that of a store.
func NewAudit(client redis.UniversalClient, o AuditOptions) *Audit {
	o.Stream = cmp.Or(o.Stream, defaultStream)
	o.MaxLen = cmp.Or(max(o.MaxLen, 0), defaultMaxLen)
	o.MaxAge = cmp.Or(max(o.MaxAge, 0), defaultMaxAge)
	return &Audit{client: client, o: o, waiting: make(chan otp.Event, auditWaiting)}
}

// OnEvent keeps e for Run. It is what Config.OnEvent of a service takes. It has room for 1024
// events; without Run, and after it, nothing is written.
func (a *Audit) OnEvent(ctx context.Context, e otp.Event) {
	if err := a.put(e); err != nil {
		a.fail(ctx, e, err)
	}
}

func (a *Audit) put(e otp.Event) error {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed {
		return errAuditStopped
	}
	select {
	case a.waiting <- e:
		return nil
	default:
		return errAuditFull
	}
}

// Run writes what OnEvent keeps, up to 16 events at once, until ctx ends. Then it takes no
// more, writes what is left, and returns the reason of ctx when all is done. It gives each
// event a second if the client's ContextTimeoutEnabled is true, which [New] asks of a store's
// client, and otherwise until the client gives up. It may be called once, and is to end after
// whatever tells events, such as [otp.Queue.Run].
func (a *Audit) Run(ctx context.Context) error {
	calls := context.WithoutCancel(ctx)
	var writers sync.WaitGroup
	for range auditWriters {
		writers.Go(func() {
			for e := range a.waiting {
				if err := a.write(calls, &e); err != nil {
					a.fail(calls, e, err)
				}
			}
		})
	}
	<-ctx.Done()
	a.mu.Lock()
	if !a.closed {
		a.closed = true
		close(a.waiting)
	}
	a.mu.Unlock()
	writers.Wait()
	return context.Cause(ctx)
}

func (a *Audit) fail(ctx context.Context, e otp.Event, err error) {
	if a.o.OnError != nil {
		a.o.OnError(ctx, e, fmt.Errorf("redisstore: audit: %w", err))
	}
}

func (a *Audit) write(ctx context.Context, e *otp.Event) error {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	fields := make([]string, 0, 30)
	add := func(name, value string) {
		if value != "" {
			fields = append(fields, name, value)
		}
	}
	add("event", string(e.Type))
	add("at", e.Time.UTC().Format(time.RFC3339Nano))
	add("tenant", e.Tenant)
	add("challenge", e.Challenge)
	add("subject", e.Subject)
	add("factor", string(e.Factor))
	add("credential", e.Credential)
	add("to", e.MaskedTo)
	add("channel", string(e.Channel))
	add("usage", string(e.Usage))
	add("provider", e.Receipt.Provider)
	add("message_id", e.Receipt.MessageID)
	add("reason", e.Reason)
	if e.Err != nil {
		add("error", e.Err.Error())
	}
	if e.Took > 0 {
		add("took", e.Took.String())
	}
	args := make([][]byte, 0, 3+len(fields))
	args = append(args, newOperation(), strconv.AppendInt(nil, a.o.MaxLen, 10), strconv.AppendInt(nil, a.o.MaxAge.Milliseconds(), 10))
	for _, f := range fields {
		args = append(args, []byte(f))
	}
	s := Store{client: a.client}
	_, err := s.runOnce(ctx, &auditScript, []string{a.o.Stream}, args)
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
