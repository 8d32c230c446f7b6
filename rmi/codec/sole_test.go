package codec

import "testing"

func TestSoleBytes(t *testing.T) {
	for _, c := range []struct {
		body string
		str  bool
		want string
		ok   bool
	}{
		{"\x91\xc4\x03abc", false, "abc", true}, {"\x91\xa3abc", true, "abc", true}, {"\x91\xd9\x01a", true, "a", true},
		{"\x91\xc4\x00", false, "", true},
		{"\x91\xa3abc", false, "", false}, {"\x91\xc4\x03ab", false, "", false}, {"\x91\xc4\x03abcd", false, "", false},
		{"\x92\xa1a\xa1b", true, "", false}, {"\x91\xc0", true, "", false}, {"", true, "", false}, {"\x91", true, "", false},
		{"\x91\xc6\xff\xff\xff\xff", false, "", false},
	} {
		if b, ok := SoleBytes([]byte(c.body), c.str); ok != c.ok || string(b) != c.want {
			t.Errorf("%q: %q, %v", c.body, b, ok)
		}
	}
}
