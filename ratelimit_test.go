package otp_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp"
)

var meterStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// meterModel is what a limit means, without an encoding, rounding or forgetting.
type meterModel struct {
	charges []modelCharge
	total   int64
}

type modelCharge struct {
	at   time.Time
	cost int64
}

// used is what counts against a window that ends at t. A window of length Per does not
// hold its own beginning.
func (m *meterModel) used(per time.Duration, t time.Time) (sum int64) {
	for _, c := range m.charges {
		if c.at.After(t.Add(-per)) {
			sum += c.cost
		}
	}
	return sum
}

func (m *meterModel) fits(cost int64, limits []otp.Limit, t time.Time) bool {
	for _, l := range limits {
		used := m.total
		if l.Per > 0 {
			used = m.used(l.Per, t)
		}
		if used+cost > l.N {
			return false
		}
	}
	return true
}

// retry is the earliest time from which cost fits, or never.
func (m *meterModel) retry(cost int64, limits []otp.Limit, t time.Time) (at time.Time, ok bool) {
	for _, c := range m.charges {
		for _, l := range limits {
			leaves := c.at.Add(l.Per)
			if l.Per > 0 && leaves.After(t) && m.fits(cost, limits, leaves) && (!ok || leaves.Before(at)) {
				at, ok = leaves, true
			}
		}
	}
	return at, ok
}

func (m *meterModel) take(cost int64, limits []otp.Limit, t time.Time) {
	m.charges = append(m.charges, modelCharge{t, cost})
	for _, l := range limits {
		if l.Per == 0 {
			m.total += cost
		}
	}
}

func (m *meterModel) give(i int, limits []otp.Limit) modelCharge {
	c := m.charges[i]
	m.charges = slices.Delete(m.charges, i, i+1)
	for _, l := range limits {
		if l.Per == 0 {
			m.total = max(0, m.total-c.cost)
		}
	}
	return c
}

// requireWindowBound looks at every window: one that holds more than N would still
// hold it if it ended with a charge.
func (m *meterModel) requireWindowBound(t *testing.T, limits []otp.Limit) {
	t.Helper()
	for _, l := range limits {
		for _, end := range m.charges {
			var sum int64
			for _, c := range m.charges {
				if l.Per > 0 && !c.at.After(end.at) && c.at.After(end.at.Add(-l.Per)) {
					sum += c.cost
				}
			}
			require.LessOrEqual(t, sum, l.N, "in the %s before %s", l.Per, end.at)
		}
	}
}

var exactLimits = map[string][]otp.Limit{
	"one":             {{N: 3, Per: 10 * time.Minute}},
	"the defaults":    {{N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}, {N: 10, Per: 24 * time.Hour}},
	"with a cooldown": {{N: 1, Per: 30 * time.Second}, {N: 3, Per: 10 * time.Minute}, {N: 5, Per: time.Hour}},
	"a total":         {{N: 7}},
	"both":            {{N: 4, Per: time.Minute}, {N: 40}},
	"unordered":       {{N: 20, Per: time.Hour}, {N: 100}, {N: 2, Per: time.Second}, {N: 9, Per: time.Minute}},
	"64 at once":      {{N: 64, Per: time.Minute}},
	"the same twice":  {{N: 5, Per: time.Minute}, {N: 4, Per: time.Minute}},
	"odd lengths":     {{N: 3, Per: 7*time.Second + 3*time.Microsecond}, {N: 11, Per: 61*time.Second + 999*time.Microsecond}},
	"inverted":        {{N: 10, Per: time.Minute}, {N: 5, Per: time.Hour}},
	"eight":           {{N: 9, Per: 1e9}, {N: 10, Per: 2e9}, {N: 11, Per: 3e9}, {N: 12, Per: 4e9}, {N: 13, Per: 5e9}, {N: 14, Per: 6e9}, {N: 15, Per: 7e9}, {N: 90}},
}

// S-06 S-43: while N is at most 64 times the cost, a meter decides as the model does, to
// the microsecond, and says when to come back.
func TestMeterIsExact(t *testing.T) {
	t.Parallel()
	for name, limits := range exactLimits {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(6, uint64(len(name))))
			longest := slices.MaxFunc(limits, func(a, b otp.Limit) int { return int(a.Per - b.Per) })
			for range 8 {
				var m otp.Meter
				var model meterModel
				now := meterStart
				for range 150 {
					step := time.Duration(random.Int64N(int64(max(longest.Per, time.Minute)) / 8))
					if random.IntN(3) == 0 {
						step /= 1000 // a burst, or the same microsecond
					}
					now = now.Add(step.Truncate(time.Microsecond))
					if len(model.charges) > 0 && random.IntN(8) == 0 {
						c := model.give(random.IntN(len(model.charges)), limits)
						m = m.Give(c.cost, limits, c.at)
						continue
					}
					cost := max(1+random.Int64N(2), (longest.N+63)/64)
					next, d := m.Take(cost, limits, now)
					require.Equal(t, model.fits(cost, limits, now), d.OK)
					if d.OK {
						require.Zero(t, d.RetryAfter)
						model.take(cost, limits, now)
						m = next
						continue
					}
					require.Equal(t, m, next, "a refused charge changes nothing")
					requireRetry(t, m, &model, cost, limits, now, d.RetryAfter)
				}
				model.requireWindowBound(t, limits)
			}
		})
	}
}

// requireRetry checks that RetryAfter is the earliest time.
func requireRetry(t *testing.T, m otp.Meter, model *meterModel, cost int64, limits []otp.Limit, now time.Time, after time.Duration) {
	t.Helper()
	want, ok := model.retry(cost, limits, now)
	if !ok {
		require.Zero(t, after, "waiting does not help")
		_, d := m.Take(cost, limits, now.AddDate(100, 0, 0))
		require.False(t, d.OK)
		return
	}
	require.Equal(t, want.Sub(now), after)
	_, d := m.Take(cost, limits, now.Add(after))
	require.True(t, d.OK, "not admitted when it was told to be")
	_, d = m.Take(cost, limits, now.Add(after-time.Microsecond))
	require.False(t, d.OK, "admitted a microsecond before it was told to be")
}

// S-43: beyond 64 times the cost a meter may refuse early, by a 64th of the shortest
// window, and never admits more.
func TestMeterRoundsTowardsRefusing(t *testing.T) {
	t.Parallel()
	tests := map[string][]otp.Limit{
		"one":         {{N: 200, Per: time.Minute}},
		"two":         {{N: 70, Per: 10 * time.Second}, {N: 150, Per: time.Minute}},
		"odd":         {{N: 130, Per: 61*time.Second + 7*time.Microsecond}},
		"tiny window": {{N: 100, Per: 30 * time.Microsecond}},
		"one charge":  {{N: 65, Per: time.Minute}},
	}
	for name, limits := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(43, 1))
			shortest := slices.MinFunc(limits, func(a, b otp.Limit) int { return int(a.Per - b.Per) })
			longest := slices.MaxFunc(limits, func(a, b otp.Limit) int { return int(a.Per - b.Per) })
			early := max(time.Microsecond, shortest.Per/64)
			var m otp.Meter
			var model meterModel
			now := meterStart
			refused := 0
			for range 1000 {
				now = now.Add(time.Duration(random.Int64N(max(1000, int64(longest.Per)/longest.N))).Truncate(time.Microsecond))
				if random.IntN(50) == 0 && len(model.charges) > 0 {
					c := model.give(random.IntN(len(model.charges)), limits)
					m = m.Give(c.cost, limits, c.at)
				}
				next, d := m.Take(1, limits, now)
				if d.OK {
					require.True(t, model.fits(1, limits, now), "more than N")
					model.take(1, limits, now)
					m = next
					continue
				}
				refused++
				require.Positive(t, d.RetryAfter)
				stretched := slices.Clone(limits)
				for i := range stretched {
					stretched[i].Per += early
				}
				require.False(t, model.fits(1, stretched, now), "refused more than %s early", early)
				_, d = m.Take(1, limits, now.Add(d.RetryAfter))
				require.True(t, d.OK)
			}
			require.Positive(t, refused)
			model.requireWindowBound(t, limits)
		})
	}
}

// S-34 FM-43: the slower of two processes opens no window that was full, as long as
// their clocks are less than a minute and less than a window apart.
func TestMeterWhenClocksDiffer(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(34, 43))
	for _, per := range []time.Duration{10 * time.Second, time.Minute, time.Hour} {
		skew := min(per, time.Minute)
		for n := int64(1); n <= 5; n++ {
			limits := []otp.Limit{{N: n, Per: per}}
			for range 50 {
				var m otp.Meter
				var model meterModel
				now := meterStart
				for range 40 {
					now = now.Add(time.Duration(random.Int64N(int64(per*4/3) / n)).Truncate(time.Microsecond))
					at := now
					if random.IntN(2) == 0 {
						at = now.Add(-time.Duration(random.Int64N(int64(skew))).Truncate(time.Microsecond))
					}
					next, d := m.Take(1, limits, at)
					if d.OK {
						m = next
						model.take(1, limits, at)
					}
				}
				model.requireWindowBound(t, limits)
			}
		}
	}
}

// FM-43: whoever sets the clock back waits until it is where it was.
func TestMeterWhenTheClockGoesBack(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 2, Per: time.Minute}}
	m := otp.Meter(nil)
	for range 2 {
		m, _ = m.Take(1, limits, meterStart)
	}
	for _, back := range []time.Duration{time.Microsecond, time.Minute, time.Hour, 365 * 24 * time.Hour} {
		_, d := m.Take(1, limits, meterStart.Add(-back))
		require.False(t, d.OK)
		require.Equal(t, back+time.Minute, d.RetryAfter)
	}
}

// The smallest case of the above: the process whose clock is a second behind takes a
// third charge in the minute that holds two.
func TestMeterOfTwoProcesses(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 2, Per: time.Minute}}
	var m otp.Meter
	var model meterModel
	for _, at := range []time.Duration{0, 500 * time.Millisecond, 60_900 * time.Millisecond, 59_900 * time.Millisecond} {
		next, d := m.Take(1, limits, meterStart.Add(at))
		if d.OK {
			m = next
			model.take(1, limits, meterStart.Add(at))
		}
	}
	model.requireWindowBound(t, limits)
}

// Times have nanoseconds. What is rounded is rounded towards refusing.
func TestMeterBelowMicroseconds(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 1, Per: time.Second}}
	at := meterStart.Add(1) // a nanosecond after the second
	m, d := otp.Meter(nil).Take(1, limits, at)
	require.True(t, d.OK)
	_, d = m.Take(1, limits, at.Add(time.Second-1))
	require.False(t, d.OK)
	_, d = m.Take(1, limits, at.Add(time.Second+time.Microsecond))
	require.True(t, d.OK)

	short := []otp.Limit{{N: 1, Per: 1}} // of a nanosecond
	m, d = otp.Meter(nil).Take(1, short, meterStart)
	require.True(t, d.OK)
	_, d = m.Take(1, short, meterStart)
	require.False(t, d.OK)
	_, d = m.Take(1, short, meterStart.Add(time.Microsecond))
	require.True(t, d.OK)
	require.Empty(t, m.Give(1, short, meterStart))
}

// A window is open at its beginning: N charges at one instant are followed by N more
// exactly Per later.
func TestMeterSeam(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 3, Per: time.Minute}}
	fill := func(m otp.Meter, at time.Time) (otp.Meter, int) {
		for n := 0; ; n++ {
			next, d := m.Take(1, limits, at)
			if !d.OK {
				return m, n
			}
			m = next
		}
	}
	m, n := fill(nil, meterStart.Add(59*time.Second))
	require.Equal(t, 3, n)
	m, n = fill(m, meterStart.Add(61*time.Second))
	require.Zero(t, n, "no 2N at the seam")
	_, n = fill(m, meterStart.Add(119*time.Second-time.Microsecond))
	require.Zero(t, n)
	_, n = fill(m, meterStart.Add(119*time.Second))
	require.Equal(t, 3, n)
}

// Nothing makes room for more than N: no Give of what was never taken, none that comes
// twice, too late or with another cost.
func TestMeterGiveNeverOverfills(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	limits := []otp.Limit{{N: 10, Per: time.Minute}, {N: 25}}
	for range 300 {
		var m otp.Meter
		now := meterStart
		for range 30 {
			now = now.Add(time.Duration(random.Int64N(int64(10 * time.Second))))
			switch at := now.Add(-time.Duration(random.Int64N(int64(time.Minute)))); random.IntN(3) {
			case 0:
				m = m.Give(random.Int64N(20)-2, limits, at)
			case 1:
				m = m.Give(1, limits[:1+random.IntN(2)], now)
			default:
				m, _ = m.Take(1+random.Int64N(5), limits, now)
			}
		}
		room := 0
		for at := now; ; room++ {
			next, d := m.Take(1, limits, at)
			if !d.OK {
				break
			}
			m = next
		}
		require.LessOrEqual(t, room, 10)
	}
}

func TestMeterGiveReturns(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 2, Per: time.Minute}, {N: 3, Per: time.Hour}, {N: 50}}
	at := meterStart.Add(123)
	one, d := otp.Meter(nil).Take(2, limits, at)
	require.True(t, d.OK)
	require.Empty(t, one.Give(2, limits, at), "nothing is left")

	_, d = one.Take(1, limits, at.Add(time.Second))
	require.False(t, d.OK)
	_, d = one.Give(1, limits, at).Take(1, limits, at.Add(time.Second))
	require.True(t, d.OK, "half of it")
	_, d = one.Give(2, limits, at.Add(time.Second)).Take(1, limits[:2], at.Add(time.Second))
	require.False(t, d.OK, "another charge than the one that was made")
	require.Equal(t, one, one.Give(0, limits, at))
	require.Equal(t, one, one.Give(-1, limits, at))

	streak := limits[2:]
	m := one
	for i := range 10 {
		m, d = m.Take(1, streak, at.Add(time.Duration(i)*time.Minute))
		require.True(t, d.OK)
	}
	m = m.Give(50, streak, at)
	_, d = m.Take(50, streak, at.Add(time.Hour))
	require.True(t, d.OK, "giving N clears a total")
	_, d = m.Take(1, limits[:1], at.Add(time.Second))
	require.False(t, d.OK, "and nothing but the total")
}

// A refusal charges none of the limits, whichever refuses.
func TestMeterAllOrNone(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 5, Per: time.Minute}, {N: 5, Per: time.Hour}, {N: 5}}
	for refusing := range limits {
		with := slices.Clone(limits)
		with[refusing].N = 1
		m, d := otp.Meter(nil).Take(1, with, meterStart)
		require.True(t, d.OK)
		for range 10 {
			next, d := m.Take(1, with, meterStart.Add(time.Second))
			require.False(t, d.OK)
			require.Equal(t, m, next)
			m = next
		}
		_, d = m.Take(4, limits, meterStart.Add(time.Second))
		require.True(t, d.OK, "four of five are left")
	}
}

// Calls with other windows on the same key do not forget what the longest has to know.
func TestMeterKeepsTheLongestWindow(t *testing.T) {
	t.Parallel()
	long := []otp.Limit{{N: 3, Per: 24 * time.Hour}}
	short := []otp.Limit{{N: 3, Per: time.Minute}}
	m, d := otp.Meter(nil).Take(2, long, meterStart)
	require.True(t, d.OK)
	for i := range 5 {
		m, d = m.Take(1, short, meterStart.Add(time.Duration(i+1)*time.Hour))
		require.True(t, d.OK)
	}
	_, d = m.Take(1, long, meterStart.Add(7*time.Hour))
	require.False(t, d.OK, "seven are in the day")
	require.Equal(t, meterStart.Add(29*time.Hour+time.Minute), m.Expires(), "five hours, a day, and what clocks may be apart")
}

func TestMeterTotal(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 3}}
	var m otp.Meter
	var d otp.Decision
	at := meterStart
	for range 3 {
		at = at.AddDate(0, 10, 0)
		m, d = m.Take(1, limits, at)
		require.True(t, d.OK)
	}
	_, d = m.Take(1, limits, at.AddDate(50, 0, 0))
	require.Equal(t, otp.Decision{}, d, "nothing comes back by itself, and waiting does not help")
	require.Equal(t, at.Add(366*24*time.Hour), m.Expires(), "from the last charge")
	m = m.Give(1, limits, at)
	m, d = m.Take(1, limits, at)
	require.True(t, d.OK)
	_, d = m.Take(1, []otp.Limit{{N: 1, Per: time.Minute}}, at)
	require.True(t, d.OK, "totals and windows are counted apart")
}

// At Expires a meter decides as if it were empty, and not before.
func TestMeterExpires(t *testing.T) {
	t.Parallel()
	require.Zero(t, otp.Meter(nil).Expires())
	random := rand.New(rand.NewPCG(9, 9))
	for name, limits := range exactLimits {
		var m otp.Meter
		now := meterStart
		for range 40 {
			now = now.Add(time.Duration(random.Int64N(int64(time.Minute))))
			m, _ = m.Take(1, limits, now)
		}
		expires := m.Expires()
		windows := slices.DeleteFunc(slices.Clone(limits), func(l otp.Limit) bool { return l.Per == 0 })
		if len(windows) < len(limits) {
			require.True(t, expires.After(now.AddDate(1, 0, 0)), name)
			expires = m.Give(1<<40, []otp.Limit{{N: 1 << 40}}, now).Expires() // without the total
		}
		for _, l := range windows {
			_, d := m.Take(l.N, []otp.Limit{l}, expires)
			require.True(t, d.OK, "%s: %v still refuses", name, l)
		}
		if len(windows) > 0 {
			longest := slices.MaxFunc(windows, func(a, b otp.Limit) int { return int(a.Per - b.Per) })
			_, d := m.Take(longest.N, []otp.Limit{longest}, expires.Add(-min(longest.Per, time.Minute)-time.Microsecond))
			require.False(t, d.OK, "%s: could have been forgotten sooner", name)
		}
	}
}

// S-49 S-87: however much is charged, a meter stays small.
func TestMeterSizeIsBounded(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 1e6, Per: 30 * 24 * time.Hour}}
	var m otp.Meter
	largest := 0
	for i := range 100_000 {
		next, d := m.Take(1, limits, meterStart.Add(time.Duration(i)*26*time.Second))
		require.True(t, d.OK)
		m = next
		largest = max(largest, len(m))
	}
	require.Less(t, largest, 1024)

	many := []otp.Limit{{N: 64, Per: time.Hour}}
	m = nil
	for i := range 10_000 {
		m, _ = m.Take(1, many, meterStart.Add(time.Duration(i)*time.Second))
		require.Less(t, len(m), 1024)
	}
}

// What a limiter is asked must not overflow into a yes.
func TestMeterRefusesNonsense(t *testing.T) {
	t.Parallel()
	good := []otp.Limit{{N: 10, Per: time.Minute}}
	tests := []struct {
		name   string
		cost   int64
		limits []otp.Limit
		now    time.Time
	}{
		{"no limits", 1, nil, meterStart},
		{"nine limits", 1, slices.Repeat(good, 9), meterStart},
		{"negative cost", -1, good, meterStart},
		{"most negative cost", math.MinInt64, good, meterStart},
		{"largest cost", math.MaxInt64, []otp.Limit{{N: math.MaxInt64, Per: time.Minute}}, meterStart},
		{"cost beyond 2^50", 1<<50 + 1, []otp.Limit{{N: 1<<50 + 1, Per: time.Minute}}, meterStart},
		{"cost above N", 11, good, meterStart},
		{"limit of nothing", 1, []otp.Limit{{N: 0, Per: time.Minute}}, meterStart},
		{"negative limit", 1, []otp.Limit{{N: -1, Per: time.Minute}}, meterStart},
		{"limit beyond 2^50", 1, []otp.Limit{{N: 1<<50 + 1, Per: time.Minute}}, meterStart},
		{"largest limit", 1, []otp.Limit{{N: math.MaxInt64}}, meterStart},
		{"negative window", 1, []otp.Limit{{N: 10, Per: -time.Minute}}, meterStart},
		{"most negative window", 1, []otp.Limit{{N: 10, Per: math.MinInt64}}, meterStart},
		{"zero time", 1, good, time.Time{}},
		{"before 1970", 1, good, time.Unix(-1, 0)},
		{"end of time", 1, good, time.Unix(math.MaxInt64/2, 0)},
		{"far future", 1, good, time.Unix(1<<44, 0)},
	}
	full, d := otp.Meter(nil).Take(1, good, meterStart)
	require.True(t, d.OK)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, m := range []otp.Meter{nil, full} {
				next, d := m.Take(tt.cost, tt.limits, tt.now)
				require.False(t, d.OK)
				require.Equal(t, m, next)
				require.NotPanics(t, func() { m.Give(tt.cost, tt.limits, tt.now) })
			}
		})
	}
	m, d := full.Take(0, good, meterStart)
	require.True(t, d.OK, "what costs nothing is free")
	require.Equal(t, full, m)
	eight, d := otp.Meter(nil).Take(1<<50, slices.Repeat([]otp.Limit{{N: 1 << 50, Per: time.Hour}, {N: 1 << 50}}, 4)[:2], meterStart)
	require.True(t, d.OK, "the largest of everything")
	_, d = eight.Take(1, []otp.Limit{{N: 1 << 50, Per: time.Hour}}, meterStart)
	require.False(t, d.OK)
}

// The longest window there can be is a window, not none.
func TestMeterOfTheLongestWindow(t *testing.T) {
	t.Parallel()
	for _, per := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 - 999, math.MaxInt64 / 2} {
		limits := []otp.Limit{{N: 1, Per: per}}
		m, d := otp.Meter(nil).Take(1, limits, meterStart)
		if !d.OK {
			continue // refused is good, too
		}
		for _, at := range []time.Time{meterStart, meterStart.AddDate(1, 0, 0)} {
			_, d = m.Take(1, limits, at)
			require.False(t, d.OK, "%s", per)
			require.Positive(t, d.RetryAfter, "%s", per)
		}
		require.Empty(t, m.Give(1, limits, meterStart))
	}
}

// A clock that was far ahead once leaves charges that are longer away than a duration
// can tell.
func TestMeterRetryAfterIsNeverNegative(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 1, Per: time.Minute}}
	m, d := otp.Meter(nil).Take(1, limits, meterStart.AddDate(5000, 0, 0))
	require.True(t, d.OK)
	_, d = m.Take(1, limits, meterStart)
	require.False(t, d.OK)
	require.GreaterOrEqual(t, d.RetryAfter, 290*365*24*time.Hour)
}

// A meter that cannot be read refuses, and nobody throws it away.
func TestUnreadableMeter(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 10, Per: time.Minute}, {N: 100}}
	var good otp.Meter
	for i := range 3 {
		good, _ = good.Take(1, limits, meterStart.Add(time.Duration(i)*time.Second))
	}
	number := func(v ...uint64) (m otp.Meter) {
		for _, n := range v {
			m = binary.AppendUvarint(m, n)
		}
		return m
	}
	tests := map[string]otp.Meter{
		"one byte":           {0},
		"unfinished number":  {0x80},
		"number too long":    bytes.Repeat([]byte{0xff}, 11),
		"number too large":   number(1<<60+1, 0),
		"no last":            number(60, 5),
		"time without cost":  number(60, 0, 1000),
		"cost of zero":       number(60, 0, 1000, 0),
		"the same time":      number(60, 0, 1000, 1, 0, 1),
		"cost too large":     number(60, 0, 1000, 1<<61),
		"times beyond bound": number(60, 0, 1<<60, 1, 1<<60, 1, 1<<60, 1),
	}
	for n := 1; n < len(good); n++ {
		tests[fmt.Sprint("first bytes: ", n)] = good[:n]
	}
	for name, m := range tests {
		before := slices.Clone(m)
		if m.Expires() != time.Unix(1<<40, 0).UTC() {
			// Some beginnings of a meter are meters: of fewer charges.
			require.Contains(t, name, "first bytes", "%s can be read", name)
			continue
		}
		next, d := m.Take(1, limits, meterStart)
		require.Equal(t, otp.Decision{}, d, name)
		require.Equal(t, before, next, name)
		require.Equal(t, before, m.Give(1, limits, meterStart), name)
		_, d = m.Take(0, limits, meterStart)
		require.False(t, d.OK, name)
	}
}

// The result of Take is the caller's: it shares no memory with what it came from.
func TestMeterSharesNoMemory(t *testing.T) {
	t.Parallel()
	limits := []otp.Limit{{N: 10, Per: time.Minute}, {N: 10}}
	m, _ := otp.Meter(nil).Take(1, limits, meterStart)
	before := slices.Clone(m)
	a, _ := m.Take(1, limits, meterStart.Add(time.Second))
	b := m.Give(1, limits[1:], meterStart)
	for _, next := range []otp.Meter{a, b} {
		for i := range next {
			next[i] ^= 0xff
		}
	}
	require.Equal(t, before, m)
}

// Whatever a store returns: no panic, an unreadable meter refuses, and what a charge
// takes is gone.
func FuzzMeter(f *testing.F) {
	limits := []otp.Limit{{N: 100, Per: time.Minute}, {N: 1000}}
	m, _ := otp.Meter(nil).Take(3, limits, meterStart)
	m, _ = m.Take(3, limits, meterStart.Add(time.Second))
	f.Add([]byte(m), int64(1), int64(100), int64(time.Minute), int64(1000), int64(0), meterStart.UnixMicro())
	f.Add([]byte{}, int64(1), int64(1), int64(math.MaxInt64), int64(1), int64(1), int64(0))
	f.Add([]byte("00000"), int64(1), int64(1), int64(math.MaxInt64), int64(1), int64(1), int64(0))
	f.Add([]byte{0xff}, int64(-1), int64(0), int64(-1), int64(5), int64(5), int64(-5))
	f.Add([]byte{0}, int64(1)<<50, int64(1)<<50, int64(1), int64(1)<<50, int64(0), int64(1)<<60)
	f.Fuzz(func(t *testing.T, b []byte, cost, n1, per1, n2, per2, us int64) {
		m, now := otp.Meter(b), time.UnixMicro(us)
		before := slices.Clone(m)
		limits := []otp.Limit{{N: n1, Per: time.Duration(per1)}, {N: n2, Per: time.Duration(per2)}}
		forever := time.Unix(1<<40, 0).UTC()
		unreadable := m.Expires().Equal(forever)
		next, d := m.Take(cost, limits, now)
		given := m.Give(cost, limits, now)
		if !bytes.Equal(m, before) {
			t.Fatal("the meter was written to")
		}
		switch {
		case unreadable && (d != otp.Decision{} || !bytes.Equal(next, m) || !bytes.Equal(given, m)):
			t.Fatalf("an unreadable meter said %v", d)
		case !d.OK && !bytes.Equal(next, m):
			t.Fatal("a refusal changed the meter")
		case d.RetryAfter < 0 || d.OK && d.RetryAfter != 0:
			t.Fatalf("%v", d)
		case d.OK && (cost < 0 || cost > 0 && (cost > n1 || cost > n2 || per1 < 0 || per2 < 0)):
			t.Fatalf("%d was admitted by %v", cost, limits)
		case !unreadable && (next.Expires().Equal(forever) && len(next) > 0 || given.Expires().Equal(forever) && len(given) > 0):
			t.Fatalf("a meter was made that cannot be read: %x, %x", next, given)
		}
		if !d.OK || cost == 0 {
			return
		}
		// Whatever fits twice has cost twice.
		for room := min(n1, n2) / cost; room > 0 && room < 100; room-- {
			if next, d = next.Take(cost, limits, now); !d.OK {
				return
			}
		}
		if room := min(n1, n2) / cost; room < 100 {
			t.Fatalf("%d of %d were admitted at one time by %v", room+1, cost, limits)
		}
	})
}
