package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
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

	// OnError is told of events that were not written. Nil means that they are lost
	// without a word.
	OnError func(ctx context.Context, e otp.Event, err error)
}

// An Audit writes the events of a service to a Redis stream, each once: the stream is read
// with XRANGE or XREAD. It is bounded, so it is a window on what happens and no archive.
// Its fields are those of [otp.LogEvents]: neither codes, nor handles, nor whole
// recipients. An Audit is safe for concurrent use.
type Audit struct {
	client redis.UniversalClient
	o      AuditOptions
}

const (
	defaultStream = "otp:audit"
	defaultMaxLen = 1_000_000
	defaultMaxAge = 30 * 24 * time.Hour

	// auditTimeout is how long an event may keep the request that it tells of.
	auditTimeout = time.Second
)

// NewAudit returns an Audit on the server of client, which need not be that of a store.
func NewAudit(client redis.UniversalClient, o AuditOptions) *Audit {
	o.Stream = cmp.Or(o.Stream, defaultStream)
	o.MaxLen = cmp.Or(max(o.MaxLen, 0), defaultMaxLen)
	o.MaxAge = cmp.Or(max(o.MaxAge, 0), defaultMaxAge)
	return &Audit{client: client, o: o}
}

// OnEvent writes e. It is what Config.OnEvent of a service takes. It waits for the server,
// also when ctx is done: what has happened is told. It waits a second at most if the
// client's ContextTimeoutEnabled is true, which [New] asks of a store's client, and
// otherwise until the client gives up.
func (a *Audit) OnEvent(ctx context.Context, e otp.Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := a.write(ctx, &e); err != nil && a.o.OnError != nil {
		a.o.OnError(ctx, e, fmt.Errorf("redisstore: audit: %w", err))
	}
}

func (a *Audit) write(ctx context.Context, e *otp.Event) error {
	fields := make([]string, 0, 26)
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
