package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"gormi/registry"
	"gormi/rmi"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name string
		rule int // that it breaks; 0: it is legal
	}{
		{"a", 0},
		{"bank/alice", 0},
		{"bank/alice/savings", 0},
		{"Bank/Alice", 0},
		{"v1.2/a-b_c~d@e+f=g,h", 0},
		{".hidden", 0},
		{"...", 0},
		{"a..b", 0},
		{"-", 0},
		{"42", 0},
		{"قرض/東京/Zürich", 0},
		{"हिन्दी", 0},     // with vowel signs, which are marks
		{"u\u0308ber", 0}, // a combining mark
		{strings.Repeat("x", 255), 0},
		{strings.Repeat("x/", 127) + "x", 0},

		{"", 1},
		{strings.Repeat("x", 256), 1},
		{strings.Repeat("é", 128), 1},
		{"a\xff", 1},
		{"\xc0\xaf", 1}, // an overlong "/"
		{"/", 2},
		{"/a", 2},
		{"a/", 2},
		{"a//b", 2},
		{".", 3},
		{"..", 3},
		{"a/./b", 3},
		{"../a", 3},
		{"a/..", 3},
		{"a b", 4},
		{" a", 4},
		{"a\n", 4},
		{"a\x00b", 4},
		{"a\x1b[2J", 4},
		{"a\u202eb", 4}, // turns the text round
		{"a\u200bb", 4}, // a space of no width
		{"a:b", 4},
		{"localhost:1099/bank", 4},
		{"a%20b", 4},
		{"a?b", 4},
		{"a#b", 4},
		{`a\b`, 4},
		{`"a"`, 4},
		{"a*", 4},
		{"½", 4},
		{"☃", 4},
	} {
		err := registry.ValidName(c.name)
		if c.rule == 0 {
			if err != nil {
				t.Errorf("%q: %v", c.name, err)
			}
			continue
		}
		if rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("rule %d:", c.rule)) {
			t.Errorf("%q: got %v, want rule %d", c.name, err, c.rule)
		}
		if len(err.Error()) > 250 || strings.ContainsAny(err.Error(), "\n\x1b\x00") {
			t.Errorf("%q: the error is not fit to print: %q", c.name, err)
		}
	}
}
