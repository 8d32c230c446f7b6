package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// emulator is as much of a terminal as the view needs. It takes no notice of colours, and panics at
// a sequence that it does not know.
type emulator struct {
	rows     [][]rune
	row, col int
	modes    map[string]bool // private modes that are set
	held     []byte          // the beginning of a sequence or of a character
}

func newScreen(rows int) *emulator {
	return &emulator{rows: make([][]rune, rows), modes: make(map[string]bool)}
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)([0-9;]*)([A-Za-z])`)

func (e *emulator) Write(p []byte) (int, error) {
	e.held = append(e.held, p...)
	for len(e.held) > 0 {
		if m := sequence.FindSubmatch(e.held); m != nil {
			e.held = e.held[len(m[0]):]
			e.control(string(m[1])+string(m[3]), string(m[2]))
			continue
		}
		if e.held[0] == '\x1b' && len(e.held) < 16 || !utf8.FullRune(e.held) {
			break // the rest comes
		}
		r, n := utf8.DecodeRune(e.held)
		e.held = e.held[n:]
		e.print(r)
	}
	return len(p), nil
}

func (e *emulator) control(what, args string) {
	switch what {
	case "H":
		row, col, _ := strings.Cut(args, ";")
		r, _ := strconv.Atoi(row)
		c, _ := strconv.Atoi(col)
		e.row, e.col = min(max(r, 1), len(e.rows))-1, max(c, 1)-1
	case "K":
		e.rows[e.row] = e.rows[e.row][:min(e.col, len(e.rows[e.row]))]
	case "J":
		from := e.row + 1
		if args == "2" {
			from = 0
		} else {
			e.control("K", "")
		}
		clear(e.rows[from:])
	case "m":
	case "?h", "?l":
		e.modes[args] = what == "?h"
	default:
		panic(fmt.Sprintf("unknown sequence %q with %q", what, args))
	}
}

func (e *emulator) print(r rune) {
	switch r {
	case '\r':
		e.col = 0
		return
	case '\n':
		e.row = min(e.row+1, len(e.rows)-1)
		return
	}
	row := e.rows[e.row]
	for len(row) <= e.col {
		row = append(row, ' ')
	}
	row[e.col] = r
	e.rows[e.row] = row
	e.col++
}

// String is what is to be seen, without the empty rows at the end.
func (e *emulator) String() string {
	var s strings.Builder
	for _, row := range e.rows {
		s.WriteString(strings.TrimRight(string(row), " ") + "\n")
	}
	return strings.TrimRight(s.String(), "\n") + "\n"
}
