package twilioverify

import (
	"context"
	"crypto/sha256"
	"sync"
)

// turns lets those who name the same handle go one after another. The zero turns is ready.
// It keeps hashes, since whoever prints it must not see handles.
type turns struct {
	mu sync.Mutex
	m  map[[sha256.Size]byte]*turn
}

type turn struct {
	busy  chan struct{} // holds something while it is somebody's
	users int           // whoever waits included
}

// take waits for the turn of a handle and returns what ends it. It waits no longer than
// ctx lasts: nothing succeeds after that, so nothing needs a turn.
func (t *turns) take(ctx context.Context, handle string) (leave func()) {
	key := sha256.Sum256([]byte(handle))
	own := t.join(key)
	select {
	case own.busy <- struct{}{}:
		return func() {
			<-own.busy
			t.part(key, own)
		}
	case <-ctx.Done():
		return func() { t.part(key, own) }
	}
}

func (t *turns) join(key [sha256.Size]byte) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.m[key]
	if own == nil {
		own = &turn{busy: make(chan struct{}, 1)}
		if t.m == nil {
			t.m = map[[sha256.Size]byte]*turn{}
		}
		t.m[key] = own
	}
	own.users++
	return own
}

// part forgets a turn with its last user.
func (t *turns) part(key [sha256.Size]byte, own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(t.m, key)
	}
}
