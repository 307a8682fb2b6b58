package linear

import (
	"bytes"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"otp.example/otp"
)

// A recordModel is what the calls on one record are checked against. It has no rules of
// its own: those of otp.Record are what a store is compared with.
type recordModel struct {
	readsBack bool // see Target
	readers   map[version]int
	turn      map[*op]int              // of a reader, among those of the same version
	seen      map[string][]*otp.Record // by what is sealed
	unseen    bool                     // see linearizable
}

// A version is what a record is from one change to the next. What is sealed in it has a
// name that no other has, and its counts only grow, so no version ever comes back.
type version struct {
	sealed          string
	state           otp.State
	attempts, sends int
}

func versionOf(r *otp.Record) version {
	if r == nil {
		return version{}
	}
	return version{string(r.Sealed), r.State, r.Attempts, r.Sends}
}

// A recordState is what there is while an order is searched for.
type recordState struct {
	record *otp.Record // nil where there is none

	// read is how many of the readers of this version have had their turn: of those who
	// saw it and changed nothing. Since it does not come back they all come before the
	// next change, and one order of them is as good as another. Without this the search
	// would try them all.
	read int

	// over is set by the mark behind everything that was answered. A call that was not
	// may take effect at any time after it was made, or never, which is the same as behind
	// the mark, where nobody looks. Before the mark it must change something. Without this
	// the search would use it up where it makes no difference.
	over bool
}

// mark is the method of no call.
const mark = "mark"

func newRecordModel(ops []*op, readsBack bool) *recordModel {
	m := &recordModel{readsBack: readsBack, readers: map[version]int{}, turn: map[*op]int{}, seen: map[string][]*otp.Record{}}
	for _, o := range byCall(ops) {
		if o.ambiguous() {
			continue
		}
		if r := o.answer.Record; r != nil {
			m.seen[string(r.Sealed)] = append(m.seen[string(r.Sealed)], r)
		}
		if !o.answer.Applied {
			v := versionOf(o.answer.Record)
			m.turn[o] = m.readers[v]
			m.readers[v]++
		}
	}
	return m
}

func (m *recordModel) porcupine() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return recordState{} },
		Step: func(s, input, output any) (bool, any) { return m.step(s.(recordState), input.(*op), output.(*answer)) },
		Equal: func(a, b any) bool {
			x, y := a.(recordState), b.(recordState)
			return x.read == y.read && x.over == y.over && same(x.record, y.record)
		},
		Hash: func(s any) uint64 {
			v := versionOf(s.(recordState).record)
			return uint64(v.state)<<32 ^ uint64(v.attempts)<<40 ^ uint64(v.sends)<<48 ^ uint64(s.(recordState).read)
		},
	}
}

// step reports whether o may be next, and what is there then. A nil answer may be any.
func (m *recordModel) step(s recordState, o *op, a *answer) (bool, recordState) {
	if s.over || o.Method == mark {
		return a == nil, recordState{over: true}
	}
	next, changed := effect(s.record, o)
	if a != nil {
		if !m.explains(s.record, next, changed, o, a) {
			return false, s
		}
		changed = a.Applied // a charge may have refused
	}
	if !changed {
		turn, reads := m.turn[o]
		return reads && turn == s.read, recordState{record: s.record, read: s.read + 1}
	}
	if a == nil && !m.matters(next) {
		return false, s
	}
	return s.read == m.readers[versionOf(s.record)], recordState{record: next}
}

// effect is what o makes of r if no charge refuses.
func effect(r *otp.Record, o *op) (next *otp.Record, changed bool) {
	if o.puts() {
		if r != nil && r.Live(o.Now) {
			return r, false
		}
		return o.Record, true
	}
	if r == nil {
		return nil, false
	}
	was := *r
	switch o.Method {
	case spend:
		changed = was.Spend(o.Candidates, o.Now)
	case reissue, reissueCharged:
		changed = was.Reissue(o.Digest, o.Live, o.Now)
	case cancel:
		changed = was.Cancel(o.Now)
	}
	if !changed {
		return r, false
	}
	return &was, true
}

// explains reports whether a store that holds r, of which o makes next, may answer so.
func (m *recordModel) explains(r, next *otp.Record, changed bool, o *op, a *answer) bool {
	switch {
	case a.Absent:
		return r == nil && !o.puts()
	case a.Refused != "":
		// A refused charge changes nothing, and is not told where the record refuses.
		return changed && !a.Applied && same(a.Record, r)
	case a.Applied != changed || a.Record == nil || next == nil:
		return false
	case m.readsBack && o.Method == spend && changed && next.State == otp.StatePending && a.Record.Sends > next.Sends:
		got := *a.Record
		got.Sends, got.SentAt, got.Digests = next.Sends, next.SentAt, next.Digests
		return same(&got, next)
	default:
		return same(a.Record, next)
	}
}

// matters reports whether it makes a difference that there was such a record: somebody saw
// it or what became of it, or it is dead, so that another can take its place.
func (m *recordModel) matters(r *otp.Record) bool {
	if m.unseen || r.State != otp.StatePending || r.Attempts >= r.MaxAttempts {
		return true
	}
	return slices.ContainsFunc(m.seen[string(r.Sealed)], func(later *otp.Record) bool {
		return later.Attempts >= r.Attempts && later.Sends >= r.Sends
	})
}

func same(a, b *otp.Record) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.ID == b.ID && a.State == b.State && a.Attempts == b.Attempts && a.MaxAttempts == b.MaxAttempts &&
		a.Sends == b.Sends && a.MaxSends == b.MaxSends &&
		a.CreatedAt.Equal(b.CreatedAt) && a.SentAt.Equal(b.SentAt) && a.ExpiresAt.Equal(b.ExpiresAt) &&
		bytes.Equal(a.Digests, b.Digests) && bytes.Equal(a.Sealed, b.Sealed)
}

// counterModel is what the calls on one counter are checked against: the highest that was
// used. It knows the mark, too.
var counterModel = porcupine.Model{
	Init: func() any { return counterState{} },
	Step: func(s, input, output any) (bool, any) {
		state, o, a := s.(counterState), input.(*op), output.(*answer)
		if state.over || o.Method == mark {
			return a == nil, counterState{over: true}
		}
		changed := o.Counter > state.highest
		next := counterState{highest: max(state.highest, o.Counter)}
		if a == nil {
			return changed, next
		}
		return a.Applied == changed, next
	},
}

type counterState struct {
	highest uint64 // no real one is zero
	over    bool
}

// valueModel is what the calls on one credential are checked against: what it was changed
// to last. It knows the mark, too.
var valueModel = porcupine.Model{
	Init: func() any { return valueState{} },
	Step: func(s, input, output any) (bool, any) {
		state, o, a := s.(valueState), input.(*op), output.(*answer)
		switch {
		case state.over || o.Method == mark:
			return a == nil, valueState{over: true}
		case o.Method == load:
			return a.Value == state.value, state
		case o.Old != state.value:
			return a != nil && !a.Applied, state
		default:
			return a == nil || a.Applied, valueState{value: o.New}
		}
	},
}

type valueState struct {
	value string // empty where there is none
	over  bool
}

// checkTimeout is far above what a check takes. What takes longer is not proved.
const checkTimeout = 5 * time.Minute

// linearizable looks for an order of the calls on one record, counter or credential. Of those that
// were not answered it first does without the effects that nobody saw: an order that it
// finds so is an order, and most of the others would be of no use.
func (h *history) linearizable(ops []*op) porcupine.CheckResult {
	list := operations(ops, h.end)
	switch ops[0].Method {
	case advance:
		return porcupine.CheckOperationsTimeout(counterModel, list, checkTimeout)
	case load, swap:
		return porcupine.CheckOperationsTimeout(valueModel, list, checkTimeout)
	}
	m := newRecordModel(ops, h.readsBack)
	result := porcupine.CheckOperationsTimeout(m.porcupine(), list, checkTimeout)
	if m.unseen = true; result != porcupine.Ok {
		result = porcupine.CheckOperationsTimeout(m.porcupine(), list, checkTimeout)
	}
	return result
}

// operations are the calls with the mark behind those that were answered.
func operations(ops []*op, end int64) []porcupine.Operation {
	list := []porcupine.Operation{{Input: &op{call: call{Method: mark}}, Output: (*answer)(nil), Call: end, Return: end}}
	for _, o := range ops {
		p := porcupine.Operation{Input: o, Call: o.from, Output: o.answer, Return: o.to}
		if o.ambiguous() {
			p.Output, p.Return = (*answer)(nil), end+1
		}
		list = append(list, p)
	}
	return list
}
