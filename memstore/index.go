package memstore

// An index finds entries by 32 bits of their keys' hashes: open addressing with
// linear probing. A hit looks at one entry and a miss at none, where memory is far
// away and one look costs as much as all the rest; and to grow it looks at none.
type index struct {
	slots []slot
	used  int
}

// A slot with no cell is free.
type slot struct{ hash, cell uint32 }

// home is where an entry with hash h is or, if others are in the way, after which.
// Slots are in the order of their homes, nearly.
func (x *index) home(h uint32) int { return int(uint64(h) * uint64(len(x.slots)) >> 32) }

func (x *index) after(j int) int {
	if j++; j < len(x.slots) {
		return j
	}
	return 0
}

// probe returns the place of the next slot with hash h from j on or, if there is
// none, of a free one.
func (x *index) probe(j int, h uint32) int {
	for x.slots[j].cell != 0 && x.slots[j].hash != h {
		j = x.after(j)
	}
	return j
}

// put adds a slot. A quarter of them at least stays free, so that probing ends soon.
func (x *index) put(n slot) {
	if 4*(x.used+1) > 3*len(x.slots) {
		old := x.slots
		x.slots, x.used = make([]slot, 4+len(old)*3/2), 0
		for _, n := range old {
			if n.cell != 0 {
				x.put(n)
			}
		}
	}
	j := x.home(n.hash)
	for x.slots[j].cell != 0 {
		j = x.after(j)
	}
	x.slots[j] = n
	x.used++
}

// delete frees a slot, and closes the gap so that what was put after it is still
// found.
func (x *index) delete(n slot) {
	gap := x.home(n.hash)
	for x.slots[gap] != n {
		gap = x.after(gap)
	}
	for j := x.after(gap); x.slots[j].cell != 0; j = x.after(j) {
		if x.distance(x.home(x.slots[j].hash), j) >= x.distance(gap, j) {
			x.slots[gap] = x.slots[j]
			gap = j
		}
	}
	x.slots[gap] = slot{}
	x.used--
}

// distance is how many steps it is from slot i to slot j.
func (x *index) distance(i, j int) int {
	if j -= i; j < 0 {
		j += len(x.slots)
	}
	return j
}
