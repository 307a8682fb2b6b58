package linear

import (
	"fmt"
	"strings"
	"time"
)

// A tally is what the histories of one target come to.
type tally struct {
	name      string
	begin     time.Time
	histories int
	calls     int
	objects   int
	unknown   int
	faults    map[string]int
	bites     map[string]int
	outcomes  map[string]int
}

func newTally(name string) *tally {
	return &tally{name: name, begin: time.Now(), faults: map[string]int{}, bites: map[string]int{}, outcomes: map[string]int{}}
}

func (t *tally) add(f *fault, h *history) {
	t.histories++
	t.calls += len(h.ops)
	t.objects += len(h.objects)
	t.unknown += h.unanswered()
	t.faults[f.name]++
	t.bites[f.name] += f.bites(h)
	for _, o := range h.ops {
		t.outcomes[o.outcome()]++
	}
}

// table is in the form in which the documentation has it.
func (t *tally) table() string {
	var kinds []string
	for i := range faults {
		if n := t.faults[faults[i].name]; n > 0 {
			kinds = append(kinds, fmt.Sprintf("%s %d (%d)", faults[i].name, n, t.bites[faults[i].name]))
		}
	}
	return "| store | histories | calls | changes of unknown outcome | records, counters and credentials checked | histories of each fault (how often it bit) | duration |\n" +
		"|---|---|---|---|---|---|---|\n" +
		fmt.Sprintf("| %s | %d | %d | %d | %d | %s | %s |\n", t.name, t.histories, t.calls, t.unknown, t.objects,
			strings.Join(kinds, ", "), time.Since(t.begin).Round(time.Second))
}

// outcome is what a call came to, in few words.
func (o *op) outcome() string {
	return o.Method + ": " + func(a *answer) string {
		switch {
		case o.ambiguous():
			return "unknown"
		case a.Absent:
			return "absent"
		case a.Rejected != "":
			return "no"
		case o.Service:
			return "yes"
		case a.Refused != "":
			return "limited by " + a.Refused
		case !a.Applied:
			return "no"
		case o.Method == spend:
			return stateNames[a.Record.State]
		default:
			return "yes"
		}
	}(o.answer)
}

// missing returns the faults that did nothing, and what could have been answered and never
// was: a crowd that does not meet proves nothing.
func (t *tally) missing(kinds []*fault) (list []string) {
	for _, f := range kinds {
		if t.bites[f.name] == 0 {
			list = append(list, f.name+" did nothing")
		}
	}
	want := []string{
		"put: yes", "put: no", "spend: pending", "spend: verified", "spend: no", "spend: absent", "reissue: yes", "reissue: no",
		"cancel: yes", "cancel: no", "get: no", "Request: yes", "Request: no", "Verify: yes", "Verify: no", "Resend: yes", "Resend: no",
		"Cancel: yes", "Cancel: no", "Status: yes", "swap: yes", "swap: no",
	}
	if t.outcomes["put charged: yes"] > 0 {
		want = append(want, "put charged: no", "put charged: limited by all", "reissue charged: yes", "reissue charged: no")
	}
	if t.outcomes["advance: yes"] > 0 {
		want = append(want, "advance: no")
	}
	for _, w := range want {
		if t.outcomes[w] == 0 {
			list = append(list, "no "+w)
		}
	}
	return list
}
