package memstore

const (
	cellData   = 52
	cellSize   = 64
	chunkCells = 64
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
	next  uint32 // the cell that goes on, or the next free one; zero is none
	chain uint32 // first cells only: the next entry of the bucket; zero is none
	due   uint32 // first cells only: one more than the place in the expiry heap; zero is none
	data  [cellData]byte
}

// A slab numbers cells, from one.
type slab struct {
	chunks []*[chunkCells]cell
	last   uint32 // the highest number in use so far
	free   uint32 // the first of the free cells below it
}

func (s *slab) at(i uint32) *cell { return &s.chunks[i/chunkCells][i%chunkCells] }

func (s *slab) take() uint32 {
	if i := s.free; i != 0 {
		c := s.at(i)
		s.free, c.next = c.next, 0
		return i
	}
	s.last++
	if s.last/chunkCells >= uint32(len(s.chunks)) {
		s.chunks = append(s.chunks, new([chunkCells]cell))
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

// write makes b the bytes from cell i on, takes and frees cells as needed and
// returns by how many there are more now.
func (s *slab) write(i uint32, b []byte) (more int) {
	c := s.at(i)
	for b = b[copy(c.data[:], b):]; len(b) > 0; b = b[copy(c.data[:], b):] {
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

// read appends the bytes from cell i on to b, whole cells of them.
func (s *slab) read(b []byte, i uint32) []byte {
	for ; i != 0; i = s.at(i).next {
		b = append(b, s.at(i).data[:]...)
	}
	return b
}

func cells(size int) int { return (size + cellData - 1) / cellData }
