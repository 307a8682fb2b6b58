package linear

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"otp.example/otp"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// fresh is a record with a name, as it is put.
func fresh(name string) *otp.Record {
	return &otp.Record{
		ID: "id", Digests: digestOf(1), Sealed: []byte(name), State: otp.StatePending, MaxAttempts: 3, Sends: 1, MaxSends: 3,
		CreatedAt: noon, SentAt: noon, ExpiresAt: noon.Add(time.Hour),
	}
}

// after is what becomes of a record.
func after(r *otp.Record, do ...func(*otp.Record)) *otp.Record {
	next := *r
	for _, f := range do {
		f(&next)
	}
	return &next
}

func wrong(r *otp.Record) { r.Spend(digestOf(9), noon) }
func right(r *otp.Record) { r.Spend(digestOf(1), noon) }
func again(r *otp.Record) { r.Reissue(digestOf(2), 2, noon) }

func digestOf(n byte) []byte { return bytes.Repeat([]byte{n}, otp.DigestSize) }

// calls on one record, each from one time to another. A nil record in an answer means
// that there is none.

func puts(from, to int64, r *otp.Record) *op {
	return &op{call: call{Method: put, Of: "id", Record: r, Now: noon}, from: from, to: to, answer: &answer{Applied: true, Record: r}}
}

func reads(from, to int64, r *otp.Record) *op {
	return &op{call: call{Method: get, Of: "id"}, from: from, to: to, answer: &answer{Record: r, Absent: r == nil}}
}

func spends(from, to int64, guess byte, applied bool, r *otp.Record) *op {
	return &op{
		call: call{Method: spend, Of: "id", Candidates: digestOf(guess), Now: noon}, from: from, to: to,
		answer: &answer{Applied: applied, Record: r},
	}
}

func reissues(from, to int64, applied bool, r *otp.Record) *op {
	return &op{
		call: call{Method: reissue, Of: "id", Digest: digestOf(2), Live: 2, Now: noon}, from: from, to: to,
		answer: &answer{Applied: applied, Record: r},
	}
}

func advances(from, to int64, n uint64, applied bool) *op {
	return &op{call: call{Method: advance, Of: "c", Counter: n}, from: from, to: to, answer: &answer{Applied: applied}}
}

// lost is a call whose answer was lost.
func lost(o *op) *op {
	o.to, o.answer = 0, nil
	return o
}

func TestLinearizable(t *testing.T) {
	a, b := fresh("a"), fresh("b")
	tests := []struct {
		name string
		ok   bool
		ops  []*op
	}{
		{"in a row", true, []*op{reads(1, 2, nil), puts(3, 4, a), spends(5, 6, 9, true, after(a, wrong)), reads(7, 8, after(a, wrong))}},
		{"at the same time", true, []*op{puts(1, 2, a), reads(3, 9, after(a, wrong)), reads(3, 9, a), spends(3, 9, 9, true, after(a, wrong))}},
		{"a stale read", false, []*op{puts(1, 2, a), spends(3, 4, 9, true, after(a, wrong)), reads(5, 6, a)}},
		{"a read of what is not yet", false, []*op{puts(1, 2, a), reads(3, 4, after(a, wrong)), spends(5, 6, 9, true, after(a, wrong))}},
		{"one attempt counted for two", false, []*op{puts(1, 2, a), spends(3, 5, 9, true, after(a, wrong)), spends(4, 6, 9, true, after(a, wrong))}},
		{"accepted twice", false, []*op{puts(1, 2, a), spends(3, 5, 1, true, after(a, right)), spends(4, 6, 1, true, after(a, right))}},
		{"the loser is told", true, []*op{puts(1, 2, a), spends(3, 5, 1, true, after(a, right)), spends(4, 6, 1, false, after(a, right))}},
		{"put over a live one", false, []*op{puts(1, 2, a), puts(3, 4, b)}},
		{"put over a dead one", true, []*op{puts(1, 2, a), spends(3, 4, 1, true, after(a, right)), puts(5, 6, b)}},
		{"forgotten", false, []*op{puts(1, 2, a), reads(3, 4, nil)}},

		{"a lost spend that was made", true, []*op{puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), reads(5, 6, after(a, wrong))}},
		{"a lost spend that was not", true, []*op{puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), reads(5, 6, a)}},
		{"a lost spend that was made late", true, []*op{puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), reads(5, 6, a), reads(7, 8, after(a, wrong))}},
		{"a lost spend that was taken back", false, []*op{puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), reads(5, 6, after(a, wrong)), reads(7, 8, a)}},
		{"a lost spend that was made twice", false, []*op{puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), reads(5, 6, after(a, wrong, wrong))}},
		{"a lost spend that was made before", false, []*op{puts(1, 2, a), reads(3, 4, after(a, wrong)), lost(spends(5, 0, 9, true, nil))}},
		{"a lost success and another", false, []*op{puts(1, 2, a), lost(spends(3, 0, 1, true, nil)), reads(5, 6, after(a, right)), spends(7, 8, 1, true, after(a, right))}},
		{"a lost success that nobody saw", true, []*op{puts(1, 2, a), lost(spends(3, 0, 1, true, nil)), puts(5, 6, b)}},
		{"a lost put that was made", true, []*op{lost(puts(1, 0, a)), spends(3, 4, 9, true, after(a, wrong))}},
		{"attempts lost and used up that nobody saw", true, []*op{
			puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), lost(spends(3, 0, 9, true, nil)), lost(spends(3, 0, 9, true, nil)), puts(5, 6, b),
		}},
		{"too few attempts lost", false, []*op{puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), lost(spends(3, 0, 9, true, nil)), puts(5, 6, b)}},

		{"a later resend in what a spend returns", false, []*op{
			puts(1, 2, a), spends(3, 9, 9, true, after(a, wrong, again)), reads(4, 5, after(a, wrong)), reissues(6, 7, true, after(a, wrong, again)),
		}},
		{"read back: a later resend in what a spend returns", true, []*op{
			puts(1, 2, a), spends(3, 9, 9, true, after(a, wrong, again)), reads(4, 5, after(a, wrong)), reissues(6, 7, true, after(a, wrong, again)),
		}},
		{"read back: a later attempt in what a spend returns", false, []*op{
			puts(1, 2, a), spends(3, 9, 9, true, after(a, wrong, wrong, again)), spends(4, 5, 9, true, after(a, wrong, wrong)),
			reissues(6, 7, true, after(a, wrong, wrong, again)),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory(test.ops, &Target{ReadsBack: strings.HasPrefix(test.name, "read back")})
			assert.Equal(t, test.ok, len(h.check()) == 0, text(test.ops))
		})
	}
}

// What was seen and not answered may be gone after a kill, and nothing else may.
func TestConfirmed(t *testing.T) {
	a := fresh("a")
	const killed = 10
	tests := []struct {
		name string
		ok   bool
		ops  []*op
	}{
		{"seen and gone", true, []*op{puts(1, 2, a), lost(spends(3, 0, 1, true, nil)), reads(4, 5, after(a, right)), reads(11, 12, a)}},
		{"refused for what is gone", true, []*op{
			puts(1, 2, a), lost(spends(3, 0, 1, true, nil)), spends(4, 5, 1, false, after(a, right)), spends(11, 12, 1, true, after(a, right)),
		}},
		{"seen and there", true, []*op{puts(1, 2, a), lost(spends(3, 0, 1, true, nil)), reads(4, 5, after(a, right)), reads(11, 12, after(a, right))}},
		{"answered and gone", false, []*op{puts(1, 2, a), spends(3, 4, 1, true, after(a, right)), reads(11, 12, a)}},
		{"followed by what was answered, and gone", false, []*op{
			puts(1, 2, a), lost(spends(3, 0, 9, true, nil)), spends(4, 5, 9, true, after(a, wrong, wrong)), reads(11, 12, after(a, wrong)),
		}},
		{"a counter, seen and gone", true, []*op{lost(advances(1, 0, 7, true)), advances(2, 3, 7, false), advances(11, 12, 7, true)}},
		{"a counter, answered and gone", false, []*op{advances(1, 2, 7, true), advances(3, 4, 7, false), advances(11, 12, 7, true)}},
		{"gone after it was seen again", false, []*op{
			puts(1, 2, a), lost(spends(3, 0, 1, true, nil)), reads(11, 12, after(a, right)), reads(13, 14, a),
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory(confirmed(test.ops, killed), &Target{})
			assert.Equal(t, test.ok, len(h.check()) == 0, text(test.ops))
		})
	}

	// What a service made of it is left out, too.
	s := spends(4, 5, 1, false, after(a, right))
	s.Parent = 7
	v := &op{call: call{Method: serviceVerify, Service: true}, seq: 7, from: 3, to: 6, answer: &answer{Rejected: "no"}}
	assert.Empty(t, confirmed([]*op{v, s}, killed))
}

func TestCounterIsLinearizable(t *testing.T) {
	tests := []struct {
		name string
		ok   bool
		ops  []*op
	}{
		{"up", true, []*op{advances(1, 2, 7, true), advances(3, 4, 8, true), advances(5, 6, 8, false)}},
		{"down", false, []*op{advances(1, 2, 7, true), advances(3, 4, 6, true)}},
		{"both ways at once", true, []*op{advances(1, 4, 7, true), advances(2, 3, 6, true)}},
		{"twice", false, []*op{advances(1, 4, 7, true), advances(2, 3, 7, true)}},
		{"refused without a reason", false, []*op{advances(1, 2, 7, true), advances(3, 4, 8, false)}},
		{"refused for a lost one", true, []*op{lost(advances(1, 0, 8, true)), advances(3, 4, 8, false)}},
		{"in spite of a lost one", true, []*op{lost(advances(1, 0, 8, true)), advances(3, 4, 8, true), advances(5, 6, 8, false)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory(test.ops, &Target{})
			assert.Equal(t, test.ok, len(h.check()) == 0, text(test.ops))
		})
	}
}

func TestCredentialIsLinearizable(t *testing.T) {
	swaps := func(from, to int64, old, value string, yes bool) *op {
		return &op{call: call{Method: swap, Of: "k", Old: old, New: value}, from: from, to: to, answer: &answer{Applied: yes}}
	}
	loads := func(from, to int64, value string) *op {
		return &op{call: call{Method: load, Of: "k"}, from: from, to: to, answer: &answer{Value: value}}
	}
	tests := []struct {
		name string
		ok   bool
		ops  []*op
	}{
		{"made, changed and removed", true, []*op{swaps(1, 2, "", "a", true), swaps(3, 4, "a", "b", true), swaps(5, 6, "b", "", true), loads(7, 8, "")}},
		{"twice", false, []*op{swaps(1, 4, "", "a", true), swaps(2, 3, "", "b", true)}},
		{"refused in favor of another", true, []*op{swaps(1, 4, "", "a", true), swaps(2, 3, "", "b", false), loads(5, 6, "a")}},
		{"refused without a reason", false, []*op{swaps(1, 2, "", "a", true), swaps(3, 4, "a", "b", false)}},
		{"refused and done", false, []*op{swaps(1, 2, "", "a", false), loads(3, 4, "a")}},
		{"stale", false, []*op{swaps(1, 2, "", "a", true), swaps(3, 4, "a", "b", true), loads(5, 6, "a")}},
		{"a lost one", true, []*op{lost(swaps(1, 0, "", "a", true)), loads(2, 3, ""), loads(4, 5, "a"), swaps(6, 7, "a", "b", true)}},
		{"a lost one, undone", false, []*op{lost(swaps(1, 0, "", "a", true)), loads(2, 3, "a"), loads(4, 5, "")}},
		{"a load that was lost", true, []*op{lost(loads(1, 0, "b")), loads(2, 3, "")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHistory(test.ops, &Target{})
			assert.Equal(t, test.ok, len(h.check()) == 0, text(test.ops))
		})
	}
}

func TestAcceptances(t *testing.T) {
	requested := func(from, to int64) *op {
		return &op{
			call: call{Method: serviceRequest, Service: true, Of: "lane", Challenge: "c"}, seq: int(from), from: from, to: to,
			answer: &answer{Expires: noon.Add(time.Hour)},
		}
	}
	canceled := func(from, to int64) *op {
		return &op{call: call{Method: serviceCancel, Service: true, Of: "lane"}, seq: int(from), from: from, to: to, answer: &answer{}}
	}
	verified := func(from, to int64, a answer, said *otp.Record) []*op {
		s := spends(from, to, 1, true, said)
		s.Parent, s.Of = int(from), ""
		if said == nil {
			s.answer = &answer{Fault: "lost"}
		}
		return []*op{{call: call{Method: serviceVerify, Service: true, Of: "lane"}, seq: int(from), from: from, to: to, answer: &a}, s}
	}
	yes, no := after(fresh("a"), right), after(fresh("a"), wrong)
	accepted := answer{Challenge: "c", At: noon}
	tests := []struct {
		name, says string
		ops        []*op
	}{
		{"once", "", append(verified(3, 4, accepted, yes), requested(1, 2))},
		{"of a lost request", "", append(verified(3, 4, accepted, yes), lost(requested(1, 0)))},
		{"canceled at the same time", "", append(verified(3, 6, accepted, yes), requested(1, 2), canceled(4, 5))},
		{"canceled for what was before", "", append(verified(5, 6, accepted, yes), requested(2, 4), canceled(1, 3))},
		{"twice", "accepted twice", append(append(verified(3, 4, accepted, yes), verified(5, 6, accepted, yes)...), requested(1, 2))},
		{"out of nothing", "nobody had requested", verified(3, 4, accepted, yes)},
		{"before the request", "nobody had requested", append(verified(3, 4, accepted, yes), requested(5, 6))},
		{"after a cancel", "after it was canceled", append(verified(5, 6, accepted, yes), requested(1, 2), canceled(3, 4))},
		{"at its end", "after its end", append(verified(3, 4, answer{Challenge: "c", At: noon.Add(time.Hour)}, yes), requested(1, 2))},
		{"of an unknown outcome", "not the store's", append(verified(3, 4, accepted, nil), requested(1, 2))},
		{"of a wrong code", "not the store's", append(verified(3, 4, accepted, no), requested(1, 2))},
		{"not, of a right code", "not the store's", append(verified(3, 4, answer{Rejected: "no"}, yes), requested(1, 2))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := newHistory(test.ops, &Target{}).acceptances()
			if test.says == "" {
				assert.Empty(t, found)
			} else if assert.Len(t, found, 1) {
				assert.Contains(t, found[0], test.says)
			}
		})
	}
}

func TestOverdrafts(t *testing.T) {
	charges := func(from, to, cost int64, a *answer) *op {
		return &op{
			call: call{
				Method: putCharged, Of: "id", Record: fresh("a"), Now: noon,
				Charges: []otp.Charge{{Scope: scopeAll, Key: "k", Cost: cost, Limits: []otp.Limit{{N: 5, Per: time.Hour}}}},
			},
			from: from, to: to, answer: a,
		}
	}
	done := &answer{Applied: true, Record: fresh("a")}
	refused, elsewhere := &answer{Refused: scopeAll}, &answer{Refused: scopeLane}
	tests := []struct {
		name, says string
		ops        []*op
	}{
		{"full", "", []*op{charges(1, 2, 2, done), charges(3, 4, 3, done), charges(5, 6, 1, refused)}},
		{"too much", "admitted 6 of 5", []*op{charges(1, 2, 3, done), charges(3, 4, 3, done)}},
		{"refused too early", "at most 3 of 5 were charged, refused 2", []*op{charges(1, 2, 3, done), charges(3, 4, 2, refused)}},
		{"refused for one at the same time", "", []*op{charges(1, 4, 3, done), charges(2, 3, 3, refused)}},
		{"refused for one that comes later", "refused 3", []*op{charges(1, 2, 3, refused), charges(3, 4, 3, done)}},
		{"refused for a lost one", "", []*op{lost(charges(1, 0, 3, done)), charges(3, 4, 3, refused)}},
		{"in spite of a lost one", "", []*op{lost(charges(1, 0, 3, done)), charges(3, 4, 5, done)}},
		{"refused for one that was refused", "at most 0 of 5 were charged, refused 3", []*op{charges(1, 4, 3, elsewhere), charges(2, 3, 3, refused)}},
		{"apart: refused for one that was refused", "", []*op{charges(1, 4, 3, elsewhere), charges(2, 3, 3, refused)}},
		{"apart: refused for one that had been refused", "at most 0 of 5 were charged, refused 3", []*op{charges(1, 2, 3, elsewhere), charges(3, 4, 3, refused)}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := newHistory(test.ops, &Target{ChargesApart: strings.HasPrefix(test.name, "apart")}).overdrafts()
			if test.says == "" {
				assert.Empty(t, found)
			} else if assert.Len(t, found, 1) {
				assert.Contains(t, found[0], test.says)
			}
		})
	}
}

// Only what was done and not answered bites.
func TestEffective(t *testing.T) {
	a := fresh("a")
	h := newHistory([]*op{
		lost(puts(1, 0, a)),
		spends(2, 3, 9, true, after(a, wrong)),
		lost(spends(4, 0, 9, true, nil)),
		lost(reissues(5, 0, true, nil)),
		reads(6, 7, after(a, wrong, wrong, again)),
		lost(spends(8, 0, 9, true, nil)),
		lost(puts(9, 0, fresh("b"))),
	}, &Target{})
	assert.Equal(t, 3, h.effective())
	assert.Equal(t, 5, h.unanswered())
}
