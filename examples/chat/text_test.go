package main

import (
	"slices"
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"plain, ünï, 東京, 👩\u200d🚀 e\u0301", "plain, ünï, 東京, 👩\u200d🚀 e\u0301"},
		{"a\tb\r\nc", "a b  c"},
		{"\x1b[31mred", "\ufffd[31mred"},
		{"\x00\a\b\x7f", "\ufffd\ufffd\ufffd\ufffd"},
		{"\u009b2J\u0085", "\ufffd2J\ufffd"}, // C1 controls
		{"\u202eabc\u2066", "\ufffdabc\ufffd"},
		{"\u200b\ufeff\u00ad\u2028", "\ufffd\ufffd\ufffd\ufffd"},
		{"\xff\x9b", "\ufffd\ufffd"}, // in a terminal that is not UTF-8, 0x9b is CSI
	} {
		if got := clean(c.text); got != c.want {
			t.Errorf("clean(%q) = %q, want %q", c.text, got, c.want)
		}
	}
}

func TestValidName(t *testing.T) {
	for _, s := range []string{"a", "Ada", "tea-room_1.b", "東京", strings.Repeat("ü", 32)} {
		if !validName(s) {
			t.Errorf("%q is no valid name", s)
		}
	}
	for _, s := range []string{"", " ", "a b", "a\n", "a/b", "\x1b", "\xff", "a\u202eb", "<a>", strings.Repeat("a", 33)} {
		if validName(s) {
			t.Errorf("%q is a valid name", s)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 5, []string{""}},
		{"abcde", 5, []string{"abcde"}},
		{"abcdef", 5, []string{"abcde", "f"}},
		{"ab cd ef", 5, []string{"ab cd", "ef"}},
		{"ab cdefgh", 5, []string{"ab", "cdefg", "h"}},
		{" abcdefg", 5, []string{" abcd", "efg"}},
		{"東京都", 5, []string{"東京", "都"}},
		{"東京", 1, []string{"東", "京"}},
		{"e\u0301e\u0301e\u0301", 3, []string{"e\u0301e\u0301e\u0301"}},
	} {
		if got := wrap(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
}
