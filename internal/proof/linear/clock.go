package linear

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock is the time since the machine started, in nanoseconds. It is the same clock in
// every process and never steps back, so what returned before something else was called
// in another process has the smaller time. A call's time is taken before it is made and
// a return's after it: an interval that is too wide may hide a violation, but makes none.
func clock() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		panic(err) // unreachable: every Unix has it
	}
	return t.Nano()
}

// A virtualClock is what a service is given for its clock. It runs so fast that the
// shortest lifetimes and waits of a policy pass within a history.
type virtualClock struct {
	Epoch time.Time // by the wall
	Start int64     // the same by the machine's clock
	Skew  time.Duration
}

// speed makes half a minute, which a person waits for a second message, 13 milliseconds: a
// history of a fast store takes some 100.
const speed = 2400

// maxSkew is how far the clocks of processes may be off, either way.
const maxSkew = 30 * time.Second

func (c virtualClock) now() time.Time {
	return c.Epoch.Add(time.Duration(clock()-c.Start)*speed + c.Skew).UTC().Truncate(time.Microsecond)
}

// A random is a source that a seed repeats. Nothing secret is made of it. (splitmix64)
type random struct{ state uint64 }

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (r *random) below(n int) int { return int(r.next() % uint64(n)) }
