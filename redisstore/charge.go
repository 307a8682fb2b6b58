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
// they are numbered from one.
func takes(c []otp.Charge, first int) (charging, error) {
	return prepare(c, first, func(c *otp.Charge) (otp.Meter, bool) {
		m, d := otp.Meter(nil).Take(c.Cost, c.Limits, c.At)
		return m, d.OK
	})
}

// gives prepares charges to be given back. What is given may be more than a limit admits,
// to clear it.
func gives(c []otp.Charge) (charging, error) {
	limits := make([]otp.Limit, 0, otp.MaxLimits)
	return prepare(c, 1, func(c *otp.Charge) (otp.Meter, bool) {
		limits = limits[:0]
		for _, l := range c.Limits {
			limits = append(limits, otp.Limit{N: max(l.N, c.Cost), Per: l.Per})
		}
		m, d := otp.Meter(nil).Take(c.Cost, limits, c.At)
		return m, d.OK
	})
}

// prepare asks otp.Meter what each charge does to an empty meter, so the rounding of
// times, and what a charge is at all, is decided there. What does not fit even then never
// does.
func prepare(c []otp.Charge, first int, fresh func(*otp.Charge) (otp.Meter, bool)) (charging, error) {
	size := 0
	for i := range c {
		size += chargeSize + limitSize*len(c[i].Limits)
	}
	g := charging{meters: make([]string, 0, len(c)), args: make([]byte, 0, size)}
	for i := range c {
		m, fits := fresh(&c[i])
		fits = fits && checkTime("charge", c[i].At) == nil
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
