package memstore_test

import (
	"testing"
	"time"

	"otp.example/otp"
	"otp.example/otp/memstore"
)

// The calls of a service allocate what they return, and the arithmetic of meters
// what it allocates.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		return
	}
	ctx, s, now := t.Context(), memstore.New(), start
	r := record(1, start)
	r.MaxAttempts, r.ExpiresAt = 1<<40, start.Add(1e6*time.Hour)
	other, c := record(2, start), charges(2, start)
	take := testing.AllocsPerRun(100, func() {
		now = now.Add(48 * time.Hour)
		m, _ := otp.Meter(nil).Take(1, sendLimits, now)
		_, _ = m.Take(1, sendLimits, now.Add(24*time.Hour))
	}) / 2
	if _, ok, err := s.Put(ctx, r, start); !ok || err != nil {
		t.Fatal(ok, err)
	}
	wrong := right(2)
	for _, tt := range []struct {
		name string
		want float64
		f    func()
	}{
		{"Get", 1, func() { _, _ = s.Get(ctx, r.ID) }},
		{"Spend", 1, func() { _, _, _ = s.Spend(ctx, r.ID, wrong, start) }},
		{"Take", take, func() {
			now = now.Add(48 * time.Hour)
			_, _ = s.Take(ctx, "key", 1, sendLimits, now)
		}},
		{"PutCharged", 6*take + 2, func() { // the second is the dead record that it puts over
			now = now.Add(48 * time.Hour)
			other.ExpiresAt = now.Add(time.Minute)
			for i := range c {
				c[i].At, c[i].Limits = now, sendLimits
				c[i].Cost = 1
			}
			if out, err := s.PutCharged(ctx, other, c, now); !out.Applied || err != nil {
				t.Fatal(out, err)
			}
		}},
	} {
		tt.f() // new entries
		if got := testing.AllocsPerRun(100, tt.f); got > tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}
