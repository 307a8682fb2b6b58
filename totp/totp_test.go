package totp_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"otp.example/otp/hotp"
	"otp.example/otp/totp"
)

// rfcSecrets are the seeds of RFC 6238, Appendix B. Its text gives twenty bytes for
// all three; by erratum 2866 they are as long as the hash, as in its Java code.
var rfcSecrets = map[totp.Algorithm][]byte{
	totp.SHA1:   []byte("12345678901234567890"),
	totp.SHA256: []byte("12345678901234567890123456789012"),
	totp.SHA512: []byte("1234567890123456789012345678901234567890123456789012345678901234"),
}

var secret = rfcSecrets[totp.SHA1]

func at(seconds int64) time.Time { return time.Unix(seconds, 0) }

// S-54: the eighteen vectors of RFC 6238, Appendix B. The last time is in 2603,
// beyond 32 bits of seconds.
func TestRFC6238(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		seconds int64
		utc     string
		step    uint64
		codes   [3]string // SHA1, SHA256, SHA512
	}{
		{59, "1970-01-01 00:00:59", 0x1, [3]string{"94287082", "46119246", "90693936"}},
		{1111111109, "2005-03-18 01:58:29", 0x23523EC, [3]string{"07081804", "68084774", "25091201"}},
		{1111111111, "2005-03-18 01:58:31", 0x23523ED, [3]string{"14050471", "67062674", "99943326"}},
		{1234567890, "2009-02-13 23:31:30", 0x273EF07, [3]string{"89005924", "91819424", "93441116"}},
		{2000000000, "2033-05-18 03:33:20", 0x3F940AA, [3]string{"69279037", "90698825", "38618901"}},
		{20000000000, "2603-10-11 11:33:20", 0x27BC86AA, [3]string{"65353130", "77737706", "47863826"}},
	} {
		now := at(tt.seconds)
		require.Equal(t, tt.utc, now.UTC().Format(time.DateTime))
		for algorithm, want := range tt.codes {
			o := totp.Options{Digits: 8, Algorithm: totp.Algorithm(algorithm), Window: 1}
			seed := rfcSecrets[o.Algorithm]

			step, err := totp.Step(now, o)
			require.NoError(t, err)
			require.Equal(t, tt.step, step)

			code, err := totp.Code(seed, now, o)
			require.NoError(t, err)
			require.Equal(t, want, code, "%s, %v", tt.utc, o.Algorithm)

			step, err = totp.Match(seed, want, now, o)
			require.NoError(t, err)
			require.Equal(t, tt.step, step)
		}
	}
}

// S-54: steps and seconds have 64 bits. The borders are those of signed and unsigned
// 32-bit seconds (2038, 2106) and of 32-bit steps.
func TestLateTimes(t *testing.T) {
	t.Parallel()
	for _, seconds := range []int64{
		1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1,
		30 * (1<<31 - 1), 30 * (1 << 31), 30*(1<<32) - 1, 30 * (1 << 32), 30 * (1<<33 + 7), 1 << 50,
	} {
		now := at(seconds)
		step, err := totp.Step(now, totp.Options{})
		require.NoError(t, err)
		require.Equal(t, uint64(seconds)/30, step)

		want, err := hotp.Code(secret, uint64(seconds)/30, hotp.Options{})
		require.NoError(t, err)
		code, err := totp.Code(secret, now, totp.Options{})
		require.NoError(t, err)
		require.Equal(t, want, code)
		step, err = totp.Match(secret, code, now, totp.Options{})
		require.NoError(t, err)
		require.Equal(t, uint64(seconds)/30, step)

		if step > math.MaxUint32 {
			wrapped, err := hotp.Code(secret, step&math.MaxUint32, hotp.Options{})
			require.NoError(t, err)
			require.NotEqual(t, wrapped, code, "the step was cut to 32 bits")
		}
	}
}

// A step begins at its first second and ends before the next, wherever the clock's
// time zone and fractions are.
func TestStep(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 5*3600+45*60)
	for _, tt := range []struct {
		now    time.Time
		period time.Duration
		want   uint64
	}{
		{at(0), 0, 0},
		{at(29), 0, 0},
		{time.Unix(29, 999_999_999), 0, 0},
		{at(30), 0, 1},
		{at(59), 0, 1},
		{at(60), 0, 2},
		{at(60).In(zone), 0, 2},
		{at(59), 30 * time.Second, 1},
		{at(59), 60 * time.Second, 0},
		{at(59), 15 * time.Second, 3},
		{at(119), 120 * time.Second, 0},
		{at(120), 120 * time.Second, 1},
		{at(1234), 37 * time.Second, 33},
	} {
		got, err := totp.Step(tt.now, totp.Options{Period: tt.period})
		require.NoError(t, err)
		require.Equal(t, tt.want, got, "%v, %v", tt.now, tt.period)
	}
}

func TestTimesBefore1970(t *testing.T) {
	t.Parallel()
	for _, now := range []time.Time{{}, at(-1), time.Unix(0, -1), at(-30), at(math.MinInt64 / 2)} {
		_, err := totp.Step(now, totp.Options{})
		require.ErrorContains(t, err, "time", "%v", now)
		_, err = totp.Code(secret, now, totp.Options{})
		require.ErrorContains(t, err, "time", "%v", now)
		_, err = totp.Match(secret, "123456", now, totp.Options{})
		require.ErrorContains(t, err, "time", "%v", now)
		require.NotErrorIs(t, err, totp.ErrMismatch)
		_, err = totp.Resync(secret, "123456", "123456", now, totp.Options{})
		require.ErrorContains(t, err, "time", "%v", now)
		require.NotErrorIs(t, err, totp.ErrMismatch)
	}
}

// S-57: by default the current step and the one before, at most three, and never
// one to come. FM-42: a library's default was ten minutes.
func TestWindow(t *testing.T) {
	t.Parallel()
	for _, period := range []time.Duration{0, 15 * time.Second, 30 * time.Second, 60 * time.Second, 120 * time.Second} {
		length := period
		if length == 0 {
			length = 30 * time.Second
		}
		for window, size := range map[int]int{0: 2, 1: 1, 2: 2, 3: 3} {
			o := totp.Options{Digits: 8, Period: period, Window: window}
			start := at(0).Add(1_000_000 * length)
			// The first and the last moment of the server's step.
			for _, now := range []time.Time{start, start.Add(length - 1)} {
				for shift := -6; shift <= 6; shift++ {
					code, err := totp.Code(secret, now.Add(time.Duration(shift)*length), o)
					require.NoError(t, err)
					step, err := totp.Match(secret, code, now, o)
					if shift > 0 || shift <= -size {
						require.ErrorIs(t, err, totp.ErrMismatch, "window %d, shift %d", window, shift)
						require.Zero(t, step)
						continue
					}
					require.NoError(t, err, "window %d, shift %d", window, shift)
					require.Equal(t, uint64(1_000_000+shift), step)
				}
			}
		}
	}
}

// In 1970 the window is cut off at step zero and does not wrap.
func TestWindowAtZero(t *testing.T) {
	t.Parallel()
	o := totp.Options{Digits: 8, Window: 3}
	for now := range int64(4) {
		for step := range uint64(6) {
			code, err := hotp.Code(secret, step, hotp.Options{Digits: 8})
			require.NoError(t, err)
			got, err := totp.Match(secret, code, at(30*now), o)
			if step > uint64(now) || int64(step) < now-2 {
				require.ErrorIs(t, err, totp.ErrMismatch)
				continue
			}
			require.NoError(t, err)
			require.Equal(t, step, got)
		}
	}
	for _, before := range []uint64{math.MaxUint64, math.MaxUint64 - 1} {
		code, err := hotp.Code(secret, before, hotp.Options{Digits: 8})
		require.NoError(t, err)
		_, err = totp.Match(secret, code, at(0), o)
		require.ErrorIs(t, err, totp.ErrMismatch)
		_, err = totp.Resync(secret, code, code, at(0), o)
		require.ErrorIs(t, err, totp.ErrMismatch)
	}
}

// A learned drift moves the window: here to what others call a skew of one.
func TestDrift(t *testing.T) {
	t.Parallel()
	o := totp.Options{Window: 3}
	now := at(1_700_000_000)
	current, err := totp.Step(now, o)
	require.NoError(t, err)
	for shift := -3; shift <= 3; shift++ {
		code, err := totp.Code(secret, now.Add(time.Duration(shift)*30*time.Second), o)
		require.NoError(t, err)
		step, err := totp.Match(secret, code, now.Add(30*time.Second), o)
		if shift < -1 || shift > 1 {
			require.ErrorIs(t, err, totp.ErrMismatch, "shift %d", shift)
			continue
		}
		require.NoError(t, err, "shift %d", shift)
		require.Equal(t, current+uint64(shift), step)
	}
}

// Two steps of the RFC's secret with one code, found by search. The later one must
// be burnt: FM-03 and FM-30 are what happens else.
func TestEqualCodes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		algorithm   totp.Algorithm
		early, late uint64
		window      int
	}{
		{"adjacent, SHA1", totp.SHA1, 910737, 910738, 0},
		{"one apart, SHA1", totp.SHA1, 153567, 153569, 3},
		{"adjacent, SHA256", totp.SHA256, 137690, 137691, 2},
		{"one apart, SHA256", totp.SHA256, 172319, 172321, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := totp.Options{Algorithm: tt.algorithm, Window: tt.window}
			early, late := at(int64(tt.early)*30), at(int64(tt.late)*30)
			code, err := totp.Code(secret, early, o)
			require.NoError(t, err)
			same, err := totp.Code(secret, late, o)
			require.NoError(t, err)
			require.Equal(t, code, same)

			// Before the later step begins, only the earlier one can match.
			step, err := totp.Match(secret, code, late.Add(-time.Second), o)
			require.NoError(t, err)
			require.Equal(t, tt.early, step)

			// While both are in the window, nothing is left of the code afterwards:
			// whatever time it is given again, the step is not greater than the burnt one.
			burnt, err := totp.Match(secret, code, late, o)
			require.NoError(t, err)
			require.Equal(t, tt.late, burnt)
			for s := range int64(300) {
				step, err := totp.Match(secret, code, late.Add(time.Duration(s)*time.Second), o)
				if err == nil {
					require.LessOrEqual(t, step, burnt)
				}
			}
		})
	}
}

// S-55: for all moments in the window and all matched offsets, a step that was
// burnt is not matched by a greater one later: each code is accepted once.
func TestReplay(t *testing.T) {
	t.Parallel()
	o := totp.Options{Window: 3}
	start := at(1_700_000_010)
	for offset := range 3 {
		for first := int64(0); first < 30; first += 7 {
			now := start.Add(time.Duration(first) * time.Second)
			code, err := totp.Code(secret, now.Add(-time.Duration(offset)*30*time.Second), o)
			require.NoError(t, err)
			burnt, err := totp.Match(secret, code, now, o)
			require.NoError(t, err)
			for s := range int64(150) {
				step, err := totp.Match(secret, code, now.Add(time.Duration(s)*time.Second), o)
				if err != nil {
					require.ErrorIs(t, err, totp.ErrMismatch)
					continue
				}
				require.Equal(t, burnt, step, "offset %d, %d s later", offset, s)
			}
		}
	}
}

// S-56: other spellings of a code, and other lengths, are not the code. hotp has
// the long list.
func TestOtherSpellings(t *testing.T) {
	t.Parallel()
	now := at(59)
	code, err := totp.Code(secret, now, totp.Options{})
	require.NoError(t, err)
	for _, s := range []string{
		"", " " + code, code + " ", code + "\n", code[:3] + " " + code[3:], code[:5] + " ",
		"\u00a0" + code, code[:4] + "\u00a0", "\u200b" + code, code + "\ufeff",
		"２８７０８２", "２８", "+" + code, "+" + code[1:], "-" + code[1:], "0" + code, code[1:], code + "0",
		strings.Repeat("2", 10<<20),
	} {
		_, err := totp.Match(secret, s, now, totp.Options{})
		require.ErrorIs(t, err, totp.ErrMismatch, "%.20q", s)
	}
	for n := 1; n <= 20; n++ {
		s := (strings.Repeat("0", 20) + "94287082")[28-n:]
		_, err := totp.Match(secret, s, now, totp.Options{Window: 1})
		if n == 6 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, totp.ErrMismatch, "%d digits", n)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	now := at(1_700_000_000)
	for _, tt := range []struct {
		name    string
		secret  []byte
		o       totp.Options
		wantErr string // empty means none
	}{
		{"zero options", secret, totp.Options{}, ""},
		{"five digits", secret, totp.Options{Digits: 5}, "Digits"},
		{"negative digits", secret, totp.Options{Digits: -6}, "Digits"},
		{"eight digits", secret, totp.Options{Digits: 8}, ""},
		{"nine digits", secret, totp.Options{Digits: 9}, "Digits"},
		{"unknown algorithm", secret, totp.Options{Algorithm: 3}, "Algorithm"},
		{"negative period", secret, totp.Options{Period: -30 * time.Second}, "Period"},
		{"seconds without unit", secret, totp.Options{Period: 30}, "Period"},
		{"too short period", secret, totp.Options{Period: 14 * time.Second}, "Period"},
		{"shortest period", secret, totp.Options{Period: 15 * time.Second}, ""},
		{"half a second", secret, totp.Options{Period: 30*time.Second + 500*time.Millisecond}, "Period"},
		{"longest period", secret, totp.Options{Period: 2 * time.Minute}, ""},
		{"too long period", secret, totp.Options{Period: 121 * time.Second}, "Period"},
		{"negative window", secret, totp.Options{Window: -1}, "Window"},
		{"largest window", secret, totp.Options{Window: 3}, ""},
		{"too large window", secret, totp.Options{Window: 4}, "Window"},
		{"nil secret", nil, totp.Options{}, "secret"},
		{"short secret", secret[:15], totp.Options{}, "secret"},
		{"shortest secret", secret[:16], totp.Options{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, errCode := totp.Code(tt.secret, now, tt.o)
			step, errMatch := totp.Match(tt.secret, "x", now, tt.o)
			resynced, errResync := totp.Resync(tt.secret, "x", "y", now, tt.o)
			require.Zero(t, step)
			require.Zero(t, resynced)
			if tt.wantErr == "" {
				require.NoError(t, errCode)
				require.ErrorIs(t, errMatch, totp.ErrMismatch)
				require.ErrorIs(t, errResync, totp.ErrMismatch)
				return
			}
			require.Empty(t, code)
			for _, err := range []error{errCode, errMatch, errResync} {
				require.ErrorContains(t, err, tt.wantErr)
				require.NotErrorIs(t, err, totp.ErrMismatch)
			}
			if tt.wantErr == "Period" || tt.wantErr == "Window" {
				_, err := totp.Step(now, tt.o)
				require.ErrorContains(t, err, tt.wantErr)
			}
		})
	}
}

// S-57: two codes in a row find a clock that is off by up to fifty steps either way.
func TestResync(t *testing.T) {
	t.Parallel()
	now := at(1_700_000_000)
	for _, o := range []totp.Options{{}, {Digits: 8, Algorithm: totp.SHA512, Period: time.Minute}} {
		length := o.Period
		if length == 0 {
			length = 30 * time.Second
		}
		current, err := totp.Step(now, o)
		require.NoError(t, err)
		code := func(shift int) string {
			c, err := totp.Code(secret, now.Add(time.Duration(shift)*length), o)
			require.NoError(t, err)
			return c
		}
		for drift := -53; drift <= 53; drift++ {
			step, err := totp.Resync(secret, code(drift-1), code(drift), now, o)
			if drift < -49 || drift > 50 {
				require.ErrorIs(t, err, totp.ErrMismatch, "drift %d", drift)
				continue
			}
			require.NoError(t, err, "drift %d", drift)
			require.Equal(t, current+uint64(drift), step)

			// What it found is how Match takes it.
			step, err = totp.Match(secret, code(drift), now.Add(time.Duration(drift)*length), o)
			require.NoError(t, err)
			require.Equal(t, current+uint64(drift), step)
		}
		for name, pair := range map[string][2]string{
			"swapped":        {code(3), code(2)},
			"the same twice": {code(3), code(3)},
			"one left out":   {code(3), code(5)},
		} {
			_, err := totp.Resync(secret, pair[0], pair[1], now, o)
			require.ErrorIs(t, err, totp.ErrMismatch, name)
		}
	}
}

// No call puts anything on the heap but the code it returns.
func TestAllocations(t *testing.T) {
	now := at(1_700_000_000)
	for a, seed := range rfcSecrets {
		o := totp.Options{Algorithm: a, Window: 3}
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_, _ = totp.Match(seed, "000000", now, o)
		}), "Match, %v", a)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			_, _ = totp.Step(now, o)
		}), "Step, %v", a)
		require.Equal(t, 1, int(testing.AllocsPerRun(100, func() {
			_, _ = totp.Code(seed, now, o)
		})), "Code, %v", a)
	}
}
