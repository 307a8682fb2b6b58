package redisstore

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"otp.example/otp"
)

// A charging is charges as scripts take them: see lua/meter.lua.
type charging struct {
	meters []string // their names, each once
	args   []byte
}

// The size of one charge without its limits, and of one limit.
const (
	chargeSize = 6 + 5*8
	limitSize  = 2 * 8
)

// takes prepares charges. Their meters are the keys from first on, counted from one, and
// they are numbered from one. What each does to an empty meter is asked of otp.Meter, so
// the rounding of times, and what a charge is at all, is decided there. What does not fit
// even then never does.
func takes(c []otp.Charge, first int) (charging, error) {
	size := 0
	for i := range c {
		size += chargeSize + limitSize*len(c[i].Limits)
	}
	g := charging{meters: make([]string, 0, len(c)), args: make([]byte, 0, size)}
	for i := range c {
		m, d := otp.Meter(nil).Take(c[i].Cost, c[i].Limits, c[i].At)
		fits := d.OK && checkTime("charge", c[i].At) == nil
		if fits && len(m) == 0 {
			continue // it costs nothing
		}
		var e entry
		limits := c[i].Limits
		if fits {
			var err error
			if e, err = readEntry(m); err != nil {
				return charging{}, err
			}
		} else {
			limits = nil
		}
		key := slices.Index(g.meters, c[i].Key)
		if key < 0 {
			key = len(g.meters)
			g.meters = append(g.meters, c[i].Key)
		}
		g.args = append(g.args, byte(i+1), byte(first+key), bit(c[i].Silent), bit(!fits), bit(e.windows), byte(len(limits)))
		for _, v := range [...]int64{c[i].Cost, c[i].At.UnixMicro(), e.at, e.keep, e.total} {
			g.args = binary.BigEndian.AppendUint64(g.args, uint64(v))
		}
		for _, l := range limits {
			g.args = binary.BigEndian.AppendUint64(g.args, uint64(l.N))
			g.args = binary.BigEndian.AppendUint64(g.args, uint64(micros(l.Per)))
		}
	}
	return g, nil
}

// gives prepares charges to be given back, for each meter one argument: see lua/give.lua.
// What is given may be more than a limit admits, to clear it.
func gives(c []otp.Charge) (meters []string, args [][]byte, err error) {
	meters, args = make([]string, 0, len(c)), make([][]byte, 0, len(c)+1)
	var buf [otp.MaxLimits]otp.Limit
	for i := range c {
		limits := buf[:0]
		for _, l := range c[i].Limits {
			limits = append(limits, otp.Limit{N: max(l.N, c[i].Cost), Per: l.Per})
		}
		m, d := otp.Meter(nil).Take(c[i].Cost, limits, c[i].At)
		if !d.OK || len(m) == 0 || checkTime("charge", c[i].At) != nil {
			continue // it was never taken, or cost nothing
		}
		e, err := readEntry(m)
		if err != nil {
			return nil, nil, err
		}
		key := slices.Index(meters, c[i].Key)
		if key < 0 {
			key = len(meters)
			meters, args = append(meters, c[i].Key), append(args, make([]byte, 8, 8+2*8))
		}
		arg := args[key]
		total := int64(binary.BigEndian.Uint64(arg)) + e.total
		binary.BigEndian.PutUint64(arg, uint64(min(total, maxExact)))
		if e.windows {
			args[key] = appendInt(appendInt(arg, e.at), c[i].Cost)
		}
	}
	return meters, args, nil
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// micros rounds up: a window may be longer than asked for, never shorter.
func micros(d time.Duration) int64 {
	us := int64(d / time.Microsecond)
	if d%time.Microsecond > 0 {
		us++
	}
	return us
}

// An entry is what one charge adds to a meter.
type entry struct {
	keep    int64 // its longest window
	total   int64 // what is added to limits without a window
	windows bool  // whether there is an entry in the log
	at      int64 // its time, rounded up
}

var errMeter = errors.New("redisstore: otp.Meter has a layout that is not known here")

// readEntry reads a meter that was charged once. It is written as unsigned varints: the
// longest window, the total and, if there is one, its time, then time and cost.
func readEntry(m otp.Meter) (e entry, err error) {
	next := func() int64 {
		v, size := binary.Uvarint(m)
		if size <= 0 {
			m, err = nil, errMeter
			return 0
		}
		m = m[size:]
		return int64(v)
	}
	e.keep, e.total = next(), next()
	if e.total > 0 {
		next()
	}
	if len(m) > 0 {
		e.windows, e.at = true, next()
		next()
	}
	if len(m) > 0 {
		err = errMeter
	}
	return e, err
}
