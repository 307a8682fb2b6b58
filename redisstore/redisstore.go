package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"otp.example/otp"
)

// Options are what [New] may be told.
type Options struct {
	// Prefix begins all keys, at most 32 bytes of printable ASCII without braces. Empty
	// means "otp:".
	Prefix string

	// WaitReplicas is how many replicas must have a change before it is acknowledged. A
	// change that they do not confirm within a second is an error, and the service
	// denies, although the change was made. Zero means none: a primary that is lost
	// takes with it what it had not sent yet.
	WaitReplicas int

	// InsecureAcceptLoss lets New accept a server that may forget what it has
	// acknowledged. After a crash of such a server a code that was used can be used
	// again, and attempts and limits that were spent are open again.
	InsecureAcceptLoss bool
}

// A Store keeps records, meters, counters and credentials in Redis. It is safe for concurrent use, by
// many processes too. Make one with [New].
type Store struct {
	client   redis.UniversalClient
	cluster  *redis.ClusterClient // the same, if it is one
	prefix   string
	replicas int
}

var (
	_ otp.ChargingStore   = (*Store)(nil)
	_ otp.CounterStore    = (*Store)(nil)
	_ otp.CredentialStore = (*Store)(nil)
)

const defaultPrefix = "otp:"

// New returns a Store on the servers of client. It asks them, and the client, for the
// settings that the package comment lists, and returns an error that names what is wrong.
// It does not take over client: the caller closes that.
func New(ctx context.Context, client redis.UniversalClient, o Options) (*Store, error) {
	s := &Store{client: client, prefix: o.Prefix, replicas: o.WaitReplicas}
	if s.prefix == "" {
		s.prefix = defaultPrefix
	}
	if !isPrefix(s.prefix) {
		return nil, fmt.Errorf("redisstore: Options.Prefix %q is not printable ASCII without braces, of at most 32 bytes", s.prefix)
	}
	if s.replicas < 0 {
		return nil, errors.New("redisstore: Options.WaitReplicas is negative")
	}
	var err error
	if s.cluster, err = checkClient(client); err != nil {
		return nil, err
	}
	if err := s.checkServers(ctx, o.InsecureAcceptLoss); err != nil {
		return nil, err
	}
	return s, nil
}

// isPrefix leaves out braces, which say what decides the slot of a key.
func isPrefix(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 127 || s[i] == '{' || s[i] == '}' {
			return false
		}
	}
	return len(s) <= 32
}

func (s *Store) recordKey(id string) string   { return s.prefix + "r:" + id }
func (s *Store) meterKey(key string) string   { return s.prefix + "m:" + key }
func (s *Store) counterKey(key string) string { return s.prefix + "c:" + key }

// Put stores r unless a live record has its ID.
func (s *Store) Put(ctx context.Context, r otp.Record, now time.Time) (otp.Record, bool, error) {
	out, err := s.PutCharged(ctx, r, nil, now)
	return out.Record, out.Applied, err
}

// Get returns the record with the given ID.
func (s *Store) Get(ctx context.Context, id string) (otp.Record, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Record{}, err
	}
	value, err := s.runOnce(ctx, &getScript, []string{s.recordKey(id)}, nil)
	if err != nil {
		return otp.Record{}, fault("get", err)
	}
	return decodeRecord(id, value)
}

// Spend counts one attempt against a live record and verifies it if one of the
// candidates is right.
func (s *Store) Spend(ctx context.Context, id string, candidates []byte, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, "spend", &spendScript, id, now, candidates)
}

// Cancel ends a live record.
func (s *Store) Cancel(ctx context.Context, id string, now time.Time) (otp.Record, bool, error) {
	return s.change(ctx, "cancel", &cancelScript, id, now)
}

// change runs a script on one record.
func (s *Store) change(ctx context.Context, what string, sc *script, id string, now time.Time, args ...[]byte) (otp.Record, bool, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Record{}, false, err
	}
	if err := checkTime("now", now); err != nil {
		return otp.Record{}, false, err
	}
	op := operationAt(now)
	reply, err := s.run(ctx, sc, []string{s.recordKey(id)}, append([][]byte{op}, args...)...)
	if err != nil {
		return otp.Record{}, false, fault(what, err)
	}
	out, err := decodeOutcome(id, reply, op, nil)
	return out.Record, out.Applied, err
}

// Reissue counts one send against a live record and adds digest. It keeps sixteen
// digests at most.
func (s *Store) Reissue(ctx context.Context, id string, digest []byte, live int, now time.Time) (otp.Record, bool, error) {
	out, err := s.ReissueCharged(ctx, id, digest, live, nil, now)
	return out.Record, out.Applied, err
}

// PutCharged is Put together with the charges c: all of it happens or none, but for what
// [otp.Charge.Silent] says. On a cluster it is a series of steps: see the package comment.
func (s *Store) PutCharged(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := done(ctx); err != nil {
		return otp.Outcome{}, err
	}
	if err := errors.Join(checkRecord(&r), checkTime("now", now), checkCharges(c)); err != nil {
		return otp.Outcome{}, err
	}
	r = detached(r)
	if s.cluster != nil && len(c) > 0 {
		return s.slotBySlot(ctx, r.ID, c, now, true, func(silenced bool) (otp.Outcome, error) {
			if silenced {
				r.Digests = nil
			}
			return s.put(ctx, r, nil, now)
		}, func(rec *otp.Record) bool { return rec.Live(now) })
	}
	return s.put(ctx, r, c, now)
}

func (s *Store) put(ctx context.Context, r otp.Record, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	first := appendFields(appendInt(operationAt(now), keptFor(&r, now)), &r)
	head := appendHead(make([]byte, 0, headSize+len(r.Sealed)), &r)
	reply, err := s.runCharged(ctx, &putScript, r.ID, c, first, head, r.Digests)
	if err != nil {
		return otp.Outcome{}, fault("put", err)
	}
	out, err := decodeOutcome(r.ID, reply, first, c)
	if err == nil && out.Applied {
		out.Record = r
		if out.Refused != nil {
			out.Record.Digests = nil
		}
	}
	return out, err
}

// ReissueCharged is Reissue together with the charges c: all of it happens or none, but
// for what [otp.Charge.Silent] says. On a cluster it is a series of steps: see the package
// comment.
func (s *Store) ReissueCharged(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	if err := lookup(ctx, id); err != nil {
		return otp.Outcome{}, err
	}
	if err := errors.Join(checkReissue(digest, live), checkTime("now", now), checkCharges(c)); err != nil {
		return otp.Outcome{}, err
	}
	if s.cluster != nil && len(c) > 0 {
		return s.slotBySlot(ctx, id, c, now, false, func(silenced bool) (otp.Outcome, error) {
			if silenced {
				digest = nil
			}
			return s.reissue(ctx, id, digest, live, nil, now)
		}, func(rec *otp.Record) bool { return !rec.Live(now) || rec.Sends >= rec.MaxSends })
	}
	return s.reissue(ctx, id, digest, live, c, now)
}

func (s *Store) reissue(ctx context.Context, id string, digest []byte, live int, c []otp.Charge, now time.Time) (otp.Outcome, error) {
	first := binary.BigEndian.AppendUint32(operationAt(now), uint32(min(live, maxDigests)))
	reply, err := s.runCharged(ctx, &reissueScript, id, c, first, digest)
	if err != nil {
		return otp.Outcome{}, fault("reissue", err)
	}
	return decodeOutcome(id, reply, first, c)
}

// runCharged runs a script on a record and on the meters of c.
func (s *Store) runCharged(ctx context.Context, sc *script, id string, c []otp.Charge, args ...[]byte) (string, error) {
	keys := make([]string, 1, 1+len(c))
	keys[0] = s.recordKey(id)
	if len(c) > 0 {
		g, err := takes(c, 2)
		if err != nil {
			return "", err
		}
		for _, m := range g.meters {
			keys = append(keys, s.meterKey(m))
		}
		args = append(args, g.args)
	}
	return s.run(ctx, sc, keys, args...)
}

// Take charges cost to every limit of key, or to none.
func (s *Store) Take(ctx context.Context, key string, cost int64, limits []otp.Limit, now time.Time) (otp.Decision, error) {
	if err := done(ctx); err != nil {
		return otp.Decision{}, err
	}
	c := []otp.Charge{{Key: key, Cost: cost, Limits: limits, At: now}}
	if err := checkCharges(c); err != nil {
		return otp.Decision{}, err
	}
	refused, err := s.take(ctx, c, now)
	switch {
	case err != nil:
		return otp.Decision{}, err
	case refused != nil:
		return otp.Decision{RetryAfter: refused.RetryAfter}, nil
	}
	return otp.Decision{OK: true}, nil
}

// take makes charges on one meter, all or none.
func (s *Store) take(ctx context.Context, c []otp.Charge, now time.Time) (*otp.Refusal, error) {
	g, err := takes(c, 1)
	if err != nil || len(g.meters) == 0 {
		return nil, err
	}
	op := operationAt(now)
	reply, err := s.run(ctx, &takeScript, []string{s.meterKey(g.meters[0])}, op, g.args)
	if err != nil {
		return nil, fault("take", err)
	}
	out, err := decodeOutcome("", reply, op, c)
	return out.Refused, err
}

// Give returns what a Take charged.
func (s *Store) Give(ctx context.Context, key string, cost int64, limits []otp.Limit, at time.Time) error {
	return s.GiveAll(ctx, []otp.Charge{{Key: key, Cost: cost, Limits: limits, At: at}})
}

// GiveAll is Give for each of c, in one atomic step; on a cluster, one for each meter.
func (s *Store) GiveAll(ctx context.Context, c []otp.Charge) error {
	if err := done(ctx); err != nil {
		return err
	}
	if err := checkCharges(c); err != nil {
		return err
	}
	if s.cluster == nil {
		return s.give(ctx, c)
	}
	c = slices.Clone(c)
	slices.SortStableFunc(c, func(a, b otp.Charge) int { return strings.Compare(a.Key, b.Key) })
	for len(c) > 0 {
		n := slices.IndexFunc(c, func(other otp.Charge) bool { return other.Key != c[0].Key })
		if n < 0 {
			n = len(c)
		}
		if err := s.give(ctx, c[:n]); err != nil {
			return err
		}
		c = c[n:]
	}
	return nil
}

func (s *Store) give(ctx context.Context, c []otp.Charge) error {
	keys, args, err := gives(c)
	if err != nil || len(keys) == 0 {
		return err
	}
	for i, m := range keys {
		keys[i] = s.meterKey(m)
	}
	if _, err := s.run(ctx, &giveScript, keys, append(args, newOperation())...); err != nil {
		return fault("give", err)
	}
	return nil
}

// Advance sets key to counter and reports true if counter is greater than the stored one
// or key is new.
func (s *Store) Advance(ctx context.Context, key string, counter uint64) (bool, error) {
	if err := done(ctx); err != nil {
		return false, err
	}
	if err := checkKey(key); err != nil {
		return false, err
	}
	reply, err := s.run(ctx, &advanceScript, []string{s.counterKey(key)}, newOperation(), binary.BigEndian.AppendUint64(nil, counter))
	if err != nil {
		return false, fault("advance", err)
	}
	return reply == "\x01", nil
}

// decodeOutcome reads what scripts answer to the operation that op begins with: see
// lua/record.lua. A refusal names one of the charges c.
func decodeOutcome(id, reply string, op []byte, c []otp.Charge) (otp.Outcome, error) {
	at := len(reply) - refusedSize - operation
	if at < 0 {
		return otp.Outcome{}, errRecord
	}
	refused, by := reply[at:at+refusedSize], reply[at+refusedSize:]
	out := otp.Outcome{Applied: by == string(op[:operation])}
	if number := int(refused[0]); number > 0 && (out.Applied || by == nobody) {
		if number > len(c) {
			return otp.Outcome{}, errRecord
		}
		after := binary.BigEndian.Uint64([]byte(refused[1:]))
		out.Refused = &otp.Refusal{Scope: c[number-1].Scope, RetryAfter: time.Duration(after) * time.Microsecond}
	}
	var err error
	if at > 0 {
		out.Record, err = decodeRecord(id, reply)
	}
	return out, err
}

// nobody is the operation of a change that was not made because a charge was refused.
const nobody = "\x00\x00\x00\x00\x00\x00\x00\x00"

// fault is an error of the server or of the way to it. Nothing that a script does holds a
// secret, so neither does its error.
func fault(what string, err error) error {
	if errors.Is(err, redis.Nil) {
		return otp.ErrNotFound
	}
	return fmt.Errorf("redisstore: %s: %w", what, err)
}
