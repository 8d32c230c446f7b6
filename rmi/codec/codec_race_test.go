//go:build race

package codec

// raceEnabled: sync.Pool drops values at random, so counts of allocations mean
// nothing.
const raceEnabled = true
