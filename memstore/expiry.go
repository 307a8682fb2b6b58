package memstore

import (
	"math"
	"sync/atomic"

	"otp.example/otp"
)

// never is the expiry of what does not expire.
const never = math.MaxInt64

// An expiry is a heap of entries, the soonest to expire on top. An entry that is
// charged again, and so expires later, stays where it is until it gets to the top:
// then most charges cost nothing here. So no entry expires before the heap says.
type expiry struct {
	heap    []due
	soonest *atomic.Int64 // of the top, or never; read without the lock, to pass over a shard
}

// A due is an entry in the heap. An int64 for the time would pad it to 16 bytes.
type due struct{ low, high, cell uint32 }

func dueAt(micros int64, cell uint32) due { return due{uint32(micros), uint32(micros >> 32), cell} }

// at is in microseconds since 1970.
func (d due) at() int64 { return int64(d.high)<<32 | int64(d.low) }

// schedule adds an entry.
func (s *shard) schedule(i uint32, at int64) {
	s.heap = append(s.heap, due{})
	s.up(len(s.heap)-1, dueAt(at, i))
}

// hasten moves an entry up if it expires earlier than it did.
func (s *shard) hasten(i uint32, at int64) {
	if j := int(s.at(i).due) - 1; j >= 0 && at < s.heap[j].at() {
		s.up(j, dueAt(at, i))
	}
}

// unschedule takes an entry out, if it is in.
func (s *shard) unschedule(i uint32) {
	c := s.at(i)
	if c.due == 0 {
		return
	}
	j, n := int(c.due)-1, len(s.heap)-1
	c.due = 0
	last := s.heap[n]
	s.heap = s.heap[:n]
	switch {
	case n == 0:
		s.soonest.Store(never)
	case j == n:
	case j > 0 && last.at() < s.heap[(j-1)/2].at():
		s.up(j, last)
	default:
		s.down(j, last)
	}
}

// forget looks at no more than max entries of which the heap says that they have
// expired, and forgets those that have. It returns how many it looked at and how
// many it forgot.
func (s *shard) forget(at int64, max int) (seen, forgotten int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ; seen < max && len(s.heap) > 0 && s.heap[0].at() <= at; seen++ {
		i := s.heap[0].cell
		if e := s.expires(i); e > at {
			s.down(0, dueAt(e, i))
			continue
		}
		s.remove(i)
		forgotten++
	}
	return seen, forgotten
}

// expires computes when an entry expires.
func (s *shard) expires(i uint32) int64 {
	v := s.value(i)
	switch s.at(i).data[atKind] {
	case kindMeter:
		return otp.Meter(v).Expires().UnixMicro()
	case kindCredentials:
		return decodeUntil(v)
	}
	return decodeRecord("", v).ExpiresAt.UnixMicro()
}

// up puts d at j or, if it does not belong there, nearer to the top.
func (s *shard) up(j int, d due) {
	for j > 0 && d.at() < s.heap[(j-1)/2].at() {
		s.settle(j, s.heap[(j-1)/2])
		j = (j - 1) / 2
	}
	s.settle(j, d)
}

// down is the same towards the bottom.
func (s *shard) down(j int, d due) {
	for {
		k := 2*j + 1
		if k+1 < len(s.heap) && s.heap[k+1].at() < s.heap[k].at() {
			k++
		}
		if k >= len(s.heap) || d.at() <= s.heap[k].at() {
			break
		}
		s.settle(j, s.heap[k])
		j = k
	}
	s.settle(j, d)
}

func (s *shard) settle(j int, d due) {
	s.heap[j] = d
	s.at(d.cell).due = uint32(j) + 1
	if j == 0 {
		s.soonest.Store(d.at())
	}
}
