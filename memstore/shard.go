package memstore

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"otp.example/otp"
)

// shardCount is enough for two calls seldom to wait for each other, and few enough
// for Prune to look at each.
const shardCount = 256

// A kind is what an entry is. The same key may name one entry of each.
type kind = byte

const (
	kindRecord kind = 1 + iota
	kindMeter
	kindCounter
	kindCredentials
)

// An entry begins with its kind, the length of its key and how many bytes of its
// last cell are used; the key and the value follow.
const (
	atKind = iota
	atKeyLen
	atTail
	head
)

// A shard is a hash table of entries in cells, with a heap to find those that
// expired.
type shard struct {
	mu   sync.Mutex
	seed maphash.Seed
	room *room
	slab
	index
	expiry
	scratch []byte // what value and encode return
}

func (s *shard) init(seed maphash.Seed, r *room, soonest *atomic.Int64) {
	s.seed, s.room, s.soonest = seed, r, soonest
	s.slab.init(r.max.Bytes / shardCount)
	s.soonest.Store(never)
}

// find returns the first cell of an entry, by which it goes from then on, or zero.
func (s *shard) find(k kind, key string, h uint64) uint32 {
	return s.confirm(s.candidate(h), k, key, h)
}

// candidate returns the first cell of the entry that is probably meant, without
// looking at it.
func (s *shard) candidate(h uint64) uint32 {
	if s.used == 0 {
		return 0
	}
	return s.slots[s.probe(s.home(tag(h)), tag(h))].cell
}

// confirm returns the candidate if it is the entry, else the one that is.
func (s *shard) confirm(candidate uint32, k kind, key string, h uint64) uint32 {
	if candidate == 0 || s.is(candidate, k, key) {
		return candidate
	}
	j := s.home(tag(h))
	for {
		j = s.probe(j, tag(h))
		if i := s.slots[j].cell; i == 0 || s.is(i, k, key) {
			return i
		}
		j = s.after(j)
	}
}

// tag is the part of a hash that the index takes. The low bits chose the shard.
func tag(h uint64) uint32 { return uint32(h >> 32) }

// is reports whether the entry at i is the one with that kind and key.
func (s *shard) is(i uint32, k kind, key string) bool {
	c := s.at(i)
	if c.data[atKind] != k || int(c.data[atKeyLen]) != len(key) {
		return false
	}
	part := c.data[head:]
	for len(key) > len(part) {
		if string(part) != key[:len(part)] {
			return false
		}
		key, c = key[len(part):], s.at(c.next)
		part = c.data[:]
	}
	return string(part[:len(key)]) == key
}

// value returns the value of the entry at i, nothing if i is zero. It is the
// shard's own memory, good until the entry changes or value or encode is called.
func (s *shard) value(i uint32) []byte {
	if i == 0 {
		return nil
	}
	c := s.at(i)
	start, tail := head+int(c.data[atKeyLen]), int(c.data[atTail])
	if c.next == 0 {
		return c.data[start:tail:tail]
	}
	s.scratch = s.read(s.scratch[:0], i)
	end := len(s.scratch) - cellData + tail
	return s.scratch[start:end:end]
}

// insert adds an entry, for which the caller has taken room.
func (s *shard) insert(k kind, key string, h uint64, value []byte) uint32 {
	var buf [head + maxKey]byte
	i := s.take()
	s.write(i, 0, append(append(buf[:0], k, byte(len(key)), 0), key...))
	s.set(i, value)
	s.put(slot{tag(h), i})
	return i
}

// update replaces the value of an entry. It needs no room to have been taken: what
// is held goes on working in a full store.
func (s *shard) update(i uint32, value []byte) {
	s.room.bytes.Add(int64(s.set(i, value)) * cellSize)
}

// set is update without the accounts. It returns by how many cells there are more.
func (s *shard) set(i uint32, value []byte) (more int) {
	c := s.at(i)
	start := head + int(c.data[atKeyLen])
	c.data[atTail] = byte((start+len(value)-1)%cellData + 1)
	return s.write(i, start, value)
}

// remove forgets an entry.
func (s *shard) remove(i uint32) {
	s.unschedule(i)
	s.delete(slot{tag(s.hash(i)), i})
	s.room.entries.Add(-1)
	s.room.bytes.Add(-entryOverhead - int64(s.drop(i))*cellSize)
}

// hash computes again what the entry was put under.
func (s *shard) hash(i uint32) uint64 {
	c := s.at(i)
	end := head + int(c.data[atKeyLen])
	if end <= cellData {
		return maphash.Bytes(s.seed, c.data[head:end])
	}
	var buf [4 * cellData]byte
	return maphash.Bytes(s.seed, s.read(buf[:0], i)[head:end])
}

// setMeter keeps m as the meter at i or, if i is zero, as a new one. A meter that
// is empty again is forgotten at once, not when its longest window ends: those of
// everybody who got it right would fill the store.
func (s *shard) setMeter(i uint32, key string, h uint64, m otp.Meter) {
	switch {
	case i == 0 && len(m) == 0:
	case i == 0:
		s.schedule(s.insert(kindMeter, key, h, m), m.Expires().UnixMicro())
	case len(m) == 0:
		s.remove(i)
	default:
		s.update(i, m)
	}
}

const counterSize = 8

func appendCounter(b []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(b, n) }
func decodeCounter(b []byte) uint64           { return binary.BigEndian.Uint64(b) }
