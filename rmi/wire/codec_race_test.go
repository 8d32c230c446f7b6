//go:build race

package wire

// raceEnabled: sync.Pool drops values at random, so counts of allocations mean
// nothing.
const raceEnabled = true
