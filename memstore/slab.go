package memstore

const (
	cellData = 56
	cellSize = 64
)

// A cell is as large as a cache line and holds the bytes of one entry, or some of
// them. Most meters fit into one.
//
// Cells, instead of a string or slice for each entry, let the index be numbers of
// four bytes and keep millions of pointers from the garbage collector, which would
// otherwise cost more than the operations. And since all cells are alike, what
// one kind of entry leaves free serves any other, so the bound in bytes is one on
// memory.
type cell struct {
	next uint32 // the cell that goes on, or the next free one; zero is none
	due  uint32 // in an entry's first: one more than its place in the expiry heap; zero is none
	data [cellData]byte
}

// A slab numbers cells, from one. They are made in chunks of a power of two.
type slab struct {
	chunks [][]cell
	shift  uint8
	last   uint32 // the highest number in use so far
	free   uint32 // the first of the free cells below it
}

// minShift makes a chunk of one memory page.
const minShift = 6

// init chooses chunks of at most 1 percent of limit bytes, since half of the last
// one is not used. But a list of many small ones would be one more thing to fetch.
func (s *slab) init(limit int64) {
	s.shift = minShift
	for s.shift < 12 && int64(cellSize)<<s.shift < limit/128 {
		s.shift++
	}
}

func (s *slab) at(i uint32) *cell { return &s.chunks[i>>(s.shift&31)][i&(1<<(s.shift&31)-1)] }

func (s *slab) take() uint32 {
	if i := s.free; i != 0 {
		c := s.at(i)
		s.free, c.next = c.next, 0
		return i
	}
	s.last++
	if s.last>>s.shift >= uint32(len(s.chunks)) {
		s.chunks = append(s.chunks, make([]cell, 1<<s.shift))
	}
	return s.last
}

// drop frees the cells from i on, and returns how many. They stay in their order,
// so that an entry made of them lies close together again.
func (s *slab) drop(i uint32) (n int) {
	if i == 0 {
		return 0
	}
	c := s.at(i)
	for n = 1; c.next != 0; n++ {
		c = s.at(c.next)
	}
	c.next, s.free = s.free, i
	return n
}

// write makes b the bytes from cell i on after the first off, takes and frees cells
// as needed and returns by how many there are more now.
func (s *slab) write(i uint32, off int, b []byte) (more int) {
	c := s.at(i)
	for {
		if off < cellData {
			b = b[copy(c.data[off:], b):]
		}
		if off = max(0, off-cellData); off == 0 && len(b) == 0 {
			break
		}
		if c.next == 0 {
			c.next = s.take()
			more++
		}
		c = s.at(c.next)
	}
	more -= s.drop(c.next)
	c.next = 0
	return more
}

// read appends the bytes from cell i on to b, whole cells of them. The cells of an
// entry mostly lie side by side. To count on, and to look then whether next agrees,
// lets the processor fetch them all at once, where following next would wait for
// each.
func (s *slab) read(b []byte, i uint32) []byte {
	for i != 0 {
		c := s.at(i)
		b = append(b, c.data[:]...)
		for c.next == i+1 {
			i++
			c = s.at(i)
			b = append(b, c.data[:]...)
		}
		i = c.next
	}
	return b
}

func cells(size int) int { return (size + cellData - 1) / cellData }
