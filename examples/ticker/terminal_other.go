//go:build !windows

package main

import "os"

// terminal reports whether f is a terminal that can show the view in place. (For the null device it
// does not matter.)
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
