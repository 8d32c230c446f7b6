package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
)

// view is where the client prints. It cleans all that it prints, because others wrote it and may
// mean harm.
//
// On a terminal, lines appear above the one that is being typed. The terminal's own line editing
// stays on, so the client does not know what was typed. It need not know, because the terminal can
// move it. The sequences are those of the VT102 and work wherever there is ANSI:
//
//	ESC D, CSI A    make sure that there is a row below (scroll at the bottom), go back up
//	ESC 7, CSI L    remember the cursor, push the input line down by a row
//	ESC 8, CSI B    back to the cursor, and down after the input line
//
// The limit is a typed line wider than the terminal: its first row stays where it was.
type view struct {
	mu       sync.Mutex // guards the fields below, and keeps lines whole
	w        io.Writer
	terminal bool
	width    func() int // columns; of a terminal only
	prompted bool       // the prompt is in the cursor's row
}

// above inserts a row above the cursor's. %s is at most as wide as the terminal. Automatic wrapping
// is off, so that text which is too wide loses its end and does not overwrite the next row.
const above = "\x1bD\x1b[A\x1b7\r\x1b[L\x1b[?7l%s\x1b[?7h\x1b8\x1b[B"

// print prints a line.
func (v *view) print(format string, a ...any) {
	text := clean(fmt.Sprintf(format, a...))
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.terminal {
		io.WriteString(v.w, text+"\n")
		return
	}
	var b strings.Builder
	for _, piece := range wrap(text, max(v.width(), 8)) {
		fmt.Fprintf(&b, above, piece)
	}
	io.WriteString(v.w, b.String()) // at once: the terminal echoes keys at any time
}

// ask shows the prompt, left of what may have been typed ahead.
func (v *view) ask(prompt string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.terminal || v.prompted {
		return
	}
	prompt = clean(prompt)
	columns := 0
	for _, r := range prompt {
		columns += runeWidth(r)
	}
	fmt.Fprintf(v.w, "\x1b7\r\x1b[%d@%s\x1b8\x1b[%dC", columns, prompt, columns)
	v.prompted = true
}

// entered notes that the user ended the line.
func (v *view) entered() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.prompted = false
}

// end leaves the cursor at the beginning of a row.
func (v *view) end() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.prompted {
		io.WriteString(v.w, "\n")
	}
	v.prompted = false
}
