package main

import (
	"io"
	"slices"
	"strings"
	"testing"
)

// TestTypingStaysWhole: whatever is printed while a line is typed stands above it, wherever on the
// screen it is.
func TestTypingStaysWhole(t *testing.T) {
	const columns = 20
	long := "the quick brown fox jumps over the lazy dog"
	for _, rows := range []int{2, 3, 5, 24} {
		for before := range rows + 1 {
			s := newScreen(rows, columns)
			for range before {
				io.WriteString(s, "before\r\n")
			}
			v := &view{w: s, terminal: true, width: func() int { return columns }}
			v.ask("ada> ")
			io.WriteString(s, "hal") // the terminal's echo
			for _, printed := range []struct {
				text  string
				lines []string
			}{
				{"bob: hi", []string{"bob: hi"}},
				{long, []string{"the quick brown fox", "jumps over the lazy", "dog"}},
				{strings.Repeat("x", columns), []string{strings.Repeat("x", columns)}},
				{"東京東京東京東京東京東京", []string{"東京東京東京東京東京", "東京"}},
			} {
				v.print("%s", printed.text)
				want := append(slices.Clone(printed.lines), "ada> hal")
				got := s.lines()
				n := min(len(want), rows)
				if !slices.Equal(got[max(len(got)-n, 0):], want[len(want)-n:]) || s.x != len("ada> hal") {
					t.Errorf("%d rows, %d lines before: the screen ends with %q, cursor at %d; want %q, 8", rows, before, got, s.x, want)
				}
			}
			io.WriteString(s, "lo\r\n")
			v.entered()
			// Typed ahead, before the prompt is back.
			io.WriteString(s, "ne")
			v.print("cy: hi")
			v.ask("ada> ")
			io.WriteString(s, "xt")
			v.ask("another> ") // the prompt is there: nothing happens
			want := []string{"ada> hallo", "cy: hi", "ada> next"}
			got := s.lines()
			n := min(3, rows)
			if !slices.Equal(got[max(len(got)-n, 0):], want[3-n:]) {
				t.Errorf("%d rows, %d lines before: the screen ends with %q, want %q", rows, before, got, want)
			}
			v.end()
			if s.x = 0; s.lines()[s.y] != "" {
				t.Errorf("after the end the cursor is in the row %q", s.lines()[s.y])
			}
		}
	}
}

func TestPlainLines(t *testing.T) {
	var b strings.Builder
	v := &view{w: &b}
	v.ask("ada> ")
	v.print("one: %s", "two\nthree\x1b[31m")
	v.entered()
	v.end()
	if want := "one: two three\ufffd[31m\n"; b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}
