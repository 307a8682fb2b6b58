//go:build race

package memstore_test

// Under the race detector a million calls take too long, and what allocates differs.
const raceEnabled = true
