package main

import (
	"io"
	"os"
	"strconv"
)

// newView returns a view on the output, for a terminal if input and output are one.
func newView(in io.Reader, out io.Writer) *view {
	v := &view{w: out}
	from, ok1 := in.(*os.File)
	to, ok2 := out.(*os.File)
	if !ok1 || !ok2 || os.Getenv("TERM") == "dumb" {
		return v
	}
	_, typed := terminalWidth(from)
	_, shown := terminalWidth(to)
	v.terminal = typed && shown
	v.width = func() int { // anew each time: windows change their size
		if n, _ := terminalWidth(to); n > 0 {
			return n
		}
		if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
			return n
		}
		return 80
	}
	return v
}
