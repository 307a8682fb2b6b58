package linear

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"otp.example/otp"
)

// A history is what all clients did, from the first call to the last.
type history struct {
	ops     []*op            // those that tell something
	objects map[string][]*op // the calls of the store, by what they are on
	end     int64            // behind all that was answered

	readsBack, chargesApart bool // see Target
}

func newHistory(ops []*op, target *Target) *history {
	h := &history{objects: map[string][]*op{}, readsBack: target.ReadsBack, chargesApart: target.ChargesApart}
	for _, o := range ops {
		h.end = max(h.end, o.from+1, o.to+1)
		if (o.Method == get || o.Method == load) && o.ambiguous() {
			continue // it did nothing, and saw nothing
		}
		h.ops = append(h.ops, o)
		if !o.Service {
			h.objects[o.Of] = append(h.objects[o.Of], o)
		}
	}
	return h
}

// A callID is a call of any process.
type callID struct{ process, seq int }

// confirmed leaves out the calls that changed nothing, and the calls of the service that
// made them, if they saw what nobody was told to have done and what was not there any
// more after the server was killed. See Target.ShowsEarly.
func confirmed(ops []*op, killed int64) (rest []*op) {
	made, remade, seen := map[version]bool{}, map[version]bool{}, map[version]bool{}
	counters := map[string]uint64{} // the highest that somebody was told to have used
	for _, o := range ops {
		if o.Service || o.ambiguous() {
			continue
		}
		v := versionOf(o.answer.Record)
		switch {
		case o.Method == advance:
			if o.from < killed && o.answer.Applied {
				counters[o.Of] = max(counters[o.Of], o.Counter)
			}
		case o.from < killed:
			made[v] = made[v] || o.answer.Applied
		case o.answer.Applied:
			remade[v] = true
		default:
			seen[v] = true
		}
	}
	unsure := func(o *op) bool {
		if o.Service || o.ambiguous() || o.answer.Applied || o.from > killed {
			return false
		}
		if o.Method == load || o.Method == swap {
			return true // there may have been more than one that is gone
		}
		v := versionOf(o.answer.Record)
		return o.Method == advance && o.Counter > counters[o.Of] || o.answer.Record != nil && !made[v] && (remade[v] || !seen[v])
	}
	callers := map[callID]bool{}
	for _, o := range ops {
		if unsure(o) && o.Parent != 0 {
			callers[callID{o.process, o.Parent}] = true
		}
	}
	for _, o := range ops {
		if !unsure(o) && !callers[callID{o.process, o.seq}] {
			rest = append(rest, o)
		}
	}
	return rest
}

// check returns what is wrong with the history.
func (h *history) check() (wrong []string) {
	for _, name := range slices.Sorted(maps.Keys(h.objects)) {
		if result := h.linearizable(h.objects[name]); result != porcupine.Ok {
			wrong = append(wrong, fmt.Sprintf("the calls on %s are not linearizable (%s):\n%s", name, result, text(h.objects[name])))
		}
	}
	return slices.Concat(h.acceptances(), h.overdrafts(), wrong)
}

// acceptances is what callers of the service would notice. It asks no model.
func (h *history) acceptances() (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	requests, accepted := map[string]*op{}, map[string]*op{} // by the name of the challenge
	cancels := map[string][]*op{}                            // by lane
	spends := map[callID][]*op{}                             // by the call of the service that made them
	for _, o := range h.ops {
		switch {
		case o.Method == serviceRequest:
			requests[o.Challenge] = o
		case o.Method == serviceCancel && o.yes():
			cancels[o.Of] = append(cancels[o.Of], o)
		case o.Method == spend:
			by := callID{o.process, o.Parent}
			spends[by] = append(spends[by], o)
		}
	}
	for _, o := range h.ops {
		if o.Method != serviceVerify || o.answer == nil {
			continue
		}
		// What the store could not tell is a no.
		said := slices.ContainsFunc(spends[callID{o.process, o.seq}], func(s *op) bool { return s.outcome() == "spend: verified" })
		if said != o.yes() {
			say("an answer is not the store's:\n%s", text(append([]*op{o}, spends[callID{o.process, o.seq}]...)))
		}
		if !o.yes() {
			continue
		}
		name := o.answer.Challenge
		if first := accepted[name]; first != nil {
			say("a challenge was accepted twice:\n%s", text([]*op{first, o}))
		}
		accepted[name] = o
		r := requests[name]
		if r == nil || r.from > o.to {
			say("a challenge was accepted that nobody had requested:\n%s", text([]*op{o}))
			continue
		}
		if !r.yes() {
			continue
		}
		if !o.answer.At.Before(r.answer.Expires) {
			say("a challenge was accepted after its end, at %s:\n%s", o.answer.At.Format(timeFormat), text([]*op{r, o}))
		}
		for _, c := range cancels[o.Of] {
			if r.to < c.from && c.to < o.from {
				say("a challenge was accepted after it was canceled:\n%s", text([]*op{r, c, o}))
			}
		}
	}
	return wrong
}

// overdrafts holds the meters to their limits: what was certainly charged must fit, and a
// refusal must have a reason in what may have been charged by then.
func (h *history) overdrafts() (wrong []string) {
	type charged struct {
		*op
		otp.Charge
	}
	meters := map[string][]charged{}
	for _, o := range h.ops {
		for _, c := range o.Charges {
			if c.Scope == scopeLane || c.Scope == scopeAll {
				meters[c.Key] = append(meters[c.Key], charged{o, c})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(meters)) {
		certain, limit := int64(0), meters[key][0].Limits[0].N
		for _, c := range meters[key] {
			if c.ambiguous() {
				continue
			}
			if c.answer.Applied {
				certain += c.Cost
			}
			if c.answer.Refused != c.Scope {
				continue
			}
			possible := int64(0)
			for _, other := range meters[key] {
				charged := other.ambiguous() || other.answer.Applied || h.chargesApart && other.op != c.op && other.to > c.from
				if charged && other.from < c.to {
					possible += other.Cost
				}
			}
			if possible+c.Cost <= limit {
				wrong = append(wrong, fmt.Sprintf("%s, of which at most %d of %d were charged, refused %d:\n%s", key, possible, limit, c.Cost, c.op))
			}
		}
		if certain > limit {
			wrong = append(wrong, fmt.Sprintf("%s admitted %d of %d", key, certain, limit))
		}
	}
	return wrong
}

// unanswered counts the changes of which nobody knows whether they happened.
func (h *history) unanswered() (n int) {
	for _, o := range h.ops {
		if !o.Service && o.ambiguous() {
			n++
		}
	}
	return n
}

// unreturned counts the calls, of a store or a service, whose client did not live to see
// the answer.
func (h *history) unreturned() (n int) {
	for _, o := range h.ops {
		if o.answer == nil {
			n++
		}
	}
	return n
}

// effective counts the changes that happened and were not answered: what was seen of a
// record less what its answered calls made of it.
func (h *history) effective() (n int) {
	type changes struct{ puts, spends, reissues, cancels int }
	seen, made := map[string]changes{}, map[string]changes{} // by what is sealed in a record
	for _, o := range h.ops {
		if o.Service || o.ambiguous() || o.answer.Record == nil {
			continue
		}
		r := o.answer.Record
		sealed := string(r.Sealed)
		s, m := seen[sealed], made[sealed]
		s.puts, s.spends, s.reissues = 1, max(s.spends, r.Attempts), max(s.reissues, r.Sends-1)
		if r.State == otp.StateCanceled {
			s.cancels = 1
		}
		switch {
		case !o.answer.Applied:
		case o.puts():
			m.puts++
		case o.Method == spend:
			m.spends++
		case o.Method == cancel:
			m.cancels++
		default:
			m.reissues++
		}
		seen[sealed], made[sealed] = s, m
	}
	for sealed, s := range seen {
		m := made[sealed]
		n += s.puts - m.puts + s.spends - m.spends + s.reissues - m.reissues + s.cancels - m.cancels
	}
	return n
}

// long counts the calls that took as long as a pause.
func (h *history) long() (n int) {
	for _, o := range h.ops {
		if o.to-o.from >= int64(pause) {
			n++
		}
	}
	return n
}

// disordered counts the calls that were made at an earlier time than another call on the
// same record that had returned before.
func (h *history) disordered() (n int) {
	for _, ops := range h.objects {
		for _, o := range ops {
			if !o.Now.IsZero() && slices.ContainsFunc(ops, func(other *op) bool {
				return other.to != 0 && other.to < o.from && o.Now.Before(other.Now)
			}) {
				n++
			}
		}
	}
	return n
}

// text lists calls in the order in which they were made, with the milliseconds from the
// first and those that they took.
func text(ops []*op) string {
	sorted := byCall(ops)
	var b strings.Builder
	for _, o := range sorted {
		fmt.Fprintf(&b, "%10.3f %s", float64(o.from-sorted[0].from)/1e6, o)
		if o.to != 0 {
			fmt.Fprintf(&b, " (%.3f)", float64(o.to-o.from)/1e6)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func byCall(ops []*op) []*op {
	return slices.SortedFunc(slices.Values(ops), func(a, b *op) int { return cmp.Compare(a.from, b.from) })
}
