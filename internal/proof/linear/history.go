package linear

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"otp.example/otp"
)

// A call is what was asked of a store, or of a service in front of it. The calls of the
// store that a service made name its call as their Parent.
type call struct {
	Method  string
	Service bool `json:",omitzero"`
	Client  int
	Parent  int    `json:",omitzero"`
	Of      string // the record, the counter or, of a service, the lane

	Record     *otp.Record  `json:",omitzero"` // to be put
	Candidates []byte       `json:",omitzero"`
	Digest     []byte       `json:",omitzero"`
	Live       int          `json:",omitzero"`
	Charges    []otp.Charge `json:",omitzero"`
	Counter    uint64       `json:",omitzero"`
	Old, New   string       `json:",omitzero"` // values of a credential
	Now        time.Time    `json:",omitzero"`

	Challenge string `json:",omitzero"` // a name for what a service is asked for
}

// The methods. Those of a service begin with a capital.
const (
	put            = "put"
	putCharged     = "put charged"
	get            = "get"
	spend          = "spend"
	reissue        = "reissue"
	reissueCharged = "reissue charged"
	cancel         = "cancel"
	advance        = "advance"
	load           = "load"
	swap           = "swap"

	serviceRequest = "Request"
	serviceResend  = "Resend"
	serviceVerify  = "Verify"
	serviceCancel  = "Cancel"
	serviceStatus  = "Status"
)

// An answer is what came back. One with a Fault says nothing about what was done.
type answer struct {
	Record  *otp.Record `json:",omitzero"` // nil where there is none
	Applied bool        `json:",omitzero"`
	Refused string      `json:",omitzero"` // the scope of the charge that refused
	Absent  bool        `json:",omitzero"` // there is no such record
	Value   string      `json:",omitzero"` // of a credential that was loaded
	Fault   string      `json:",omitzero"`

	// Of a service.
	Rejected  string    `json:",omitzero"` // how it said no
	Challenge string    `json:",omitzero"` // which one was verified
	At        time.Time `json:",omitzero"` // when, by the clock of the service
	Expires   time.Time `json:",omitzero"` // of the challenge that was requested
}

func answerOf(r otp.Record, applied bool, err error) answer {
	switch {
	case errors.Is(err, otp.ErrNotFound):
		return answer{Absent: true}
	case err != nil:
		return answer{Fault: err.Error()}
	case r.ID == "": // a charge refused to put the first
		return answer{Applied: applied}
	}
	return answer{Applied: applied, Record: &r}
}

func answerOfLoad(value []byte, err error) answer {
	a := answerOf(otp.Record{}, false, err)
	a.Value = string(value)
	return a
}

// A line is what a client process tells of a call: before it is made, and when it has
// returned.
type line struct {
	Seq    int
	At     int64   // by the machine's clock
	Call   *call   `json:",omitzero"`
	Answer *answer `json:",omitzero"`
}

// A journal tells of calls that are made by any number of goroutines.
type journal struct {
	mu  sync.Mutex
	out io.Writer
	seq int
}

// note makes a call and tells of it. The line of the call is written before, and outlives
// the process. So nothing was done that has no call, though it may have no return.
func (j *journal) note(c call, do func(seq int) answer) {
	j.mu.Lock()
	j.seq++
	seq := j.seq
	j.mu.Unlock()
	j.write(line{Seq: seq, At: clock(), Call: &c})
	a := do(seq)
	j.write(line{Seq: seq, At: clock(), Answer: &a})
}

func (j *journal) write(l line) {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // unreachable: it holds nothing that cannot be encoded
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.out.Write(append(b, '\n')); err != nil {
		panic(err) // nobody listens
	}
}

// A caller is who calls a store: a client, or one of its calls of a service.
type caller struct{ client, parent int }

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// An op is a call with its answer, if there is one.
type op struct {
	call
	process int
	seq     int
	from    int64
	to      int64 // zero if it never returned
	answer  *answer
}

// ambiguous reports whether o may have been done at any time after it was called, or never.
func (o *op) ambiguous() bool { return o.answer == nil || o.answer.Fault != "" }

func (o *op) puts() bool { return o.Method == put || o.Method == putCharged }

// yes reports whether a service has done what it was asked.
func (o *op) yes() bool { return !o.ambiguous() && o.answer.Rejected == "" }

func (o *op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d.%02d %s", o.process, o.Client, o.Method)
	switch {
	case o.Record != nil:
		b.WriteString(" " + describe(o.Record))
	case o.Method == spend:
		b.WriteString(" " + digests(o.Candidates))
	case o.Digest != nil:
		fmt.Fprintf(&b, " %s keep %d", digests(o.Digest), o.Live)
	case o.Method == advance:
		fmt.Fprintf(&b, " to %d", o.Counter)
	case o.Method == swap:
		fmt.Fprintf(&b, " %q by %q", o.Old, o.New)
	}
	for _, c := range o.Charges {
		fmt.Fprintf(&b, " %s %d", c.Scope, c.Cost)
	}
	if !o.Now.IsZero() {
		b.WriteString(" at " + o.Now.Format(timeFormat))
	}
	b.WriteString(" " + o.Challenge + " -> ")
	switch a := o.answer; {
	case a == nil:
		b.WriteString("never returned")
	case a.Fault != "":
		b.WriteString(a.Fault)
	default:
		b.WriteString(strings.TrimPrefix(o.outcome(), o.Method+": "))
		if a.Record != nil {
			b.WriteString(" " + describe(a.Record))
		}
		b.WriteString(" " + a.Rejected + a.Challenge + a.Value)
	}
	return b.String()
}

const timeFormat = "15:04:05.000000"

var stateNames = map[otp.State]string{otp.StatePending: "pending", otp.StateVerified: "verified", otp.StateCanceled: "canceled"}

func describe(r *otp.Record) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("{%s, attempt %d of %d, send %d of %d, codes %s, made %s, ends %s}", stateNames[r.State], r.Attempts, r.MaxAttempts,
		r.Sends, r.MaxSends, digests(r.Digests), r.CreatedAt.Format(timeFormat), r.ExpiresAt.Format(timeFormat))
}

// digests shows as much of each as tells them apart.
func digests(d []byte) string {
	var list []string
	for i := 0; i+otp.DigestSize <= len(d); i += otp.DigestSize {
		list = append(list, fmt.Sprintf("%x", d[i:i+2]))
	}
	return "[" + strings.Join(list, " ") + "]"
}
