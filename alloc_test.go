package otp

import (
	"testing"
	"time"
)

// What the hot paths allocate is exact, so it is asserted.
func TestAllocations(t *testing.T) {
	kr, err := NewKeyring(Key{ID: "k", Secret: random(32)})
	if err != nil {
		t.Fatal(err)
	}
	k := kr.state.Load()
	h := handle{keys: k.primary, expires: time.Unix(2e9, 0), format: Format{Length: 6}, routes: 1}
	id := h.seal("tenant")
	var buf [64]byte
	for name, tt := range map[string]struct {
		want float64
		f    func()
	}{
		"a handle that does not open": {0, func() { k.open("k.AAAA", "tenant") }},
		"a code that cannot be":       {0, func() { Format{Length: 6}.canonical("12345x") }},
		"mac":                         {0, func() { k.primary.code.sumFields("a", "b") }},
		"digest":                      {0, func() { h.digest(buf[:0], "tenant", "login", "", 0, "123456") }},
	} {
		if got := testing.AllocsPerRun(100, tt.f); got > tt.want && !raceEnabled {
			t.Errorf("%s: %v allocations, want %v", name, got, tt.want)
		}
	}
	if _, ok := k.open(id, "tenant"); !ok {
		t.Error("handle does not open")
	}
}
