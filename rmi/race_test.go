//go:build race

package rmi_test

// raceEnabled: the detector makes large tests many times slower.
const raceEnabled = true
