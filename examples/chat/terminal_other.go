//go:build !(linux || darwin || freebsd)

package main

import "os"

// terminalWidth returns the columns of the terminal f, 0 if they are not known. ok is false if f is
// no terminal.
func terminalWidth(f *os.File) (columns int, ok bool) {
	info, err := f.Stat()
	// Consoles that know ANSI on such systems say so in one of these.
	ansi := os.Getenv("TERM") != "" || os.Getenv("WT_SESSION") != "" || os.Getenv("ANSICON") != ""
	return 0, ansi && err == nil && info.Mode()&os.ModeCharDevice != 0
}
