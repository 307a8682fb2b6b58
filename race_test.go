//go:build race

package otp

// Pools forget at random under the race detector, so allocations are not exact there.
const raceEnabled = true
