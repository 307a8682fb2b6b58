package memstore

import (
	"cmp"
	"sync/atomic"
)

// Bounds say how much a [Store] holds.
//
// They are exact for what is new, under any concurrency. What is held already may
// grow past Bytes, as a person who asks for a second code must not be turned away
// because strangers filled the store: a record grows by the digests of its
// resends, a meter by its charges.
type Bounds struct {
	// Entries is how many records, meters, counters and keys of credentials are held.
	// Zero means 1 Mi, some two hundred thousand challenges.
	Entries int64

	// Bytes is how much memory they take: 64 bytes for each 56 bytes of key and
	// value, and 32 for each entry. Beside it the store needs 1 percent of Bytes,
	// and 1 MiB. Zero means 256 MiB.
	Bytes int64
}

// withDefaults has no way to say "unbounded".
func (b Bounds) withDefaults() Bounds {
	return Bounds{
		Entries: cmp.Or(max(0, b.Entries), 1<<20),
		Bytes:   cmp.Or(max(0, b.Bytes), 256<<20),
	}
}

// entryOverhead is what an entry takes beside its cells: its place in the expiry
// heap, 12 bytes and the room that a slice keeps to grow, and its slot, 11 to 16.
const entryOverhead = 32

// entryCost is what an entry with size bytes of key and value takes.
func entryCost(size int) int64 {
	return entryOverhead + int64(cells(head+size))*cellSize
}

// A room counts what all shards hold together.
type room struct {
	max            Bounds
	entries, bytes atomic.Int64
}

// take reports whether there is room for so many new entries of so many bytes, and
// takes it.
func (r *room) take(entries, bytes int64) bool {
	if entries == 0 {
		return true // though what is held may have grown past the bound
	}
	if !add(&r.entries, entries, r.max.Entries) {
		return false
	}
	if !add(&r.bytes, bytes, r.max.Bytes) {
		r.entries.Add(-entries)
		return false
	}
	return true
}

// add does not add first and look then: that would refuse others for room that
// nobody gets.
func add(n *atomic.Int64, more, limit int64) bool {
	for {
		old := n.Load()
		if more > limit-old {
			return false
		}
		if n.CompareAndSwap(old, old+more) {
			return true
		}
	}
}
