package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// screen is as much of a terminal as the client needs, and refuses everything else.
type screen struct {
	rows, columns int
	cells         [][]rune
	y, x          int
	sy, sx        int // saved
	wrap          bool
	pending       []byte // not yet a whole sequence or rune
}

func newScreen(rows, columns int) *screen {
	s := &screen{rows: rows, columns: columns, wrap: true}
	for range rows {
		s.cells = append(s.cells, s.blank())
	}
	return s
}

func (s *screen) blank() []rune { return []rune(strings.Repeat(" ", s.columns)) }

// lines returns the rows down to the cursor's, without the spaces behind them.
func (s *screen) lines() []string {
	var l []string
	for _, r := range s.cells[:s.y+1] {
		l = append(l, strings.TrimRight(string(r), " "))
	}
	return l
}

func (s *screen) Write(b []byte) (int, error) {
	s.pending = append(s.pending, b...)
	for len(s.pending) > 0 {
		n, err := s.step(s.pending)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		s.pending = s.pending[n:]
	}
	return len(b), nil
}

// step carries out what b begins with and returns its length, 0 if there has to be more.
func (s *screen) step(b []byte) (int, error) {
	switch b[0] {
	case '\r':
		s.x = 0
		return 1, nil
	case '\n':
		s.down()
		return 1, nil
	case '\b':
		s.x = max(s.x-1, 0)
		return 1, nil
	case 0x1b:
		return s.escape(b)
	}
	if !utf8.FullRune(b) {
		return 0, nil
	}
	r, n := utf8.DecodeRune(b)
	if r < ' ' || r == utf8.RuneError {
		return 0, fmt.Errorf("%q reached the terminal", b[:n])
	}
	if s.x == s.columns {
		if s.wrap {
			s.x = 0
			s.down()
		} else {
			s.x--
		}
	}
	s.cells[s.y][s.x] = r
	s.x++
	return n, nil
}

// down is IND.
func (s *screen) down() {
	if s.y < s.rows-1 {
		s.y++
		return
	}
	s.cells = append(s.cells[1:], s.blank())
}

func (s *screen) escape(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, nil
	}
	switch b[1] {
	case '7':
		s.sy, s.sx = s.y, s.x
		return 2, nil
	case '8':
		s.y, s.x = s.sy, s.sx
		return 2, nil
	case 'D':
		s.down()
		return 2, nil
	case '[':
	default:
		return 0, fmt.Errorf("ESC %q reached the terminal", b[1])
	}
	end := 2
	for end < len(b) && (b[end] < '@' || b[end] > '~') {
		end++
	}
	if end == len(b) {
		return 0, nil
	}
	parameter := string(b[2:end])
	n, err := strconv.Atoi(parameter)
	if err != nil || n == 0 {
		n = 1
	}
	switch what := string(b[end]); {
	case what == "A":
		s.y = max(s.y-n, 0)
	case what == "B":
		s.y = min(s.y+n, s.rows-1)
	case what == "C":
		s.x = min(s.x+n, s.columns-1)
	case what == "L":
		s.cells = append(s.cells[:s.y:s.y], append([][]rune{s.blank()}, s.cells[s.y:s.rows-1]...)...)
	case what == "@":
		row := s.cells[s.y]
		s.cells[s.y] = append(append(append([]rune(nil), row[:s.x]...), []rune(strings.Repeat(" ", n))...), row[s.x:]...)[:s.columns]
	case parameter+what == "?7l":
		s.wrap = false
	case parameter+what == "?7h":
		s.wrap = true
	case what == "K" && (parameter == "" || parameter == "0"): // of the terminal driver, after an erased character
		copy(s.cells[s.y][min(s.x, s.columns-1):], s.blank())
	default:
		return 0, fmt.Errorf("CSI %q %q reached the terminal", parameter, what)
	}
	return end + 1, nil
}
