package wire

import (
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"gormi/rmi/fault"
)

func TestMulticastRoundTrip(t *testing.T) {
	for _, c := range []struct {
		to         []ReceiverID
		head       string
		references int
		table      string
		body       string
	}{
		{[]ReceiverID{1}, "", 0, "", ""},
		{[]ReceiverID{7, 8, 300, 1 << 63}, "head", 0, "", "body"},
		{[]ReceiverID{7}, "head", 2, "table", "body"},
	} {
		b := AppendMulticast(nil, c.to, []byte(c.head), c.references, []byte(c.table), len(c.body))
		b = append(b, c.body...)
		if int(binary.BigEndian.Uint32(b)) != len(b)-4 {
			t.Fatalf("length %d of %d bytes", binary.BigEndian.Uint32(b), len(b)-4)
		}
		var m Multicast
		l := Limits{}.WithDefaults()
		to, err := ParseMulticast(b[4:], nil, &l, &m)
		if err != nil || !slices.Equal(to, c.to) || string(m.Head) != c.head || int(m.References) != c.references || string(m.Table) != c.table || string(m.Body) != c.body {
			t.Errorf("%+v became %v %+v, %v", c, to, m, err)
		}
	}
}

func TestMalformedMulticast(t *testing.T) {
	l := Limits{Message: 10, References: 2}.WithDefaults()
	for name, b := range map[string][]byte{
		"empty":               {},
		"no receivers":        {0, 0, 0, 0},
		"too many":            {0xff, 0xff, 3, 1, 1, 1},
		"fewer than said":     {3, 1, 1},
		"one twice":           {2, 1, 0, 0, 0, 0},
		"overflow":            {2, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0},
		"no head":             {1, 1, 0},
		"long head":           {1, 1, 0xff, 0xff, 0},
		"head past the end":   {1, 1, 0, 9, 0},
		"no references":       {1, 1, 0, 0},
		"too many references": {1, 1, 0, 0, 3, 1, 1},
		"no table":            {1, 1, 0, 0, 1},
		"empty table":         {1, 1, 0, 0, 1, 0},
		"table past the end":  {1, 1, 0, 0, 1, 9, 1},
		"body over the limit": {1, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11},
	} {
		var m Multicast
		if _, err := ParseMulticast(b, nil, &l, &m); !errors.Is(err, fault.KindProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseMulticast(f *testing.F) {
	f.Add(append(AppendMulticast(nil, []ReceiverID{1, 5}, []byte("head"), 1, []byte("table"), 4), "body"...)[4:])
	f.Add([]byte{1, 1, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Multicast
		l := Limits{}.WithDefaults()
		to, err := ParseMulticast(b, nil, &l, &m)
		if err != nil {
			return
		}
		again := append(AppendMulticast(nil, to, m.Head, int(m.References), m.Table, len(m.Body)), m.Body...)
		var n Multicast
		same, err := ParseMulticast(again[4:], nil, &l, &n)
		if err != nil || !slices.Equal(same, to) || string(n.Head) != string(m.Head) || string(n.Table) != string(m.Table) || string(n.Body) != string(m.Body) {
			t.Fatalf("%+v became %+v: %v", m, n, err)
		}
	})
}
