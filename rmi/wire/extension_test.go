package wire_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func TestExtensionsAreUnderstoodSkippedOrRefused(t *testing.T) {
	target := wire.AppendTarget(nil, bank.Node, bank.Time)
	for _, test := range []struct {
		name  string
		b     []byte
		relay bool
		want  string // empty: legal
	}{
		{"none", nil, false, ""},
		{"target", target, true, ""},
		{"metadata", wire.AppendMetadata(nil, metadata(t, wire.MetadataPair{Key: "k", Value: "v"})), false, ""},
		{"metadata twice", bytes.Repeat(wire.AppendExtension(nil, wire.ExtMetadata, []byte("\x00\x01k\x00\x00")), 2), false, "metadata twice"},
		{"trace, empty", wire.AppendExtension(nil, wire.ExtTrace, nil), false, ""},
		{"skippable of later versions around a target", append(wire.AppendExtension(target, 0xff, count(0, 300)), 0xfe, 0, 0), true, ""},
		{"unknown", wire.AppendExtension(nil, 0x02, nil), false, "extension 2 is not known here and may not be skipped"},
		{"unknown after a target", wire.AppendExtension(target, 0x7f, nil), false, "extension 127"},
		{"type 0", []byte{0, 0, 0}, false, "extension 0"},
		{"one byte", []byte{0x82}, false, "cut short"},
		{"two bytes", []byte{0x82, 0}, false, "cut short"},
		{"longer than what is left", []byte{0x82, 0, 2, 1}, false, "2 bytes: only 1 are left"},
		{"length bomb", []byte{0x82, 0xff, 0xff}, false, "65535 bytes: only 0 are left"},
		{"short target", wire.AppendExtension(nil, wire.ExtTarget, make([]byte, 23)), false, "target of 23 bytes"},
		{"long target", wire.AppendExtension(nil, wire.ExtTarget, make([]byte, 25)), false, "target of 25 bytes"},
		{"two targets", append(target, target...), false, "a second one"},
		{"order", wire.AppendOrder(nil, 7), false, ""},
		{"a short order", wire.AppendExtension(nil, wire.ExtOrder, make([]byte, 7)), false, "place of a call in 7 bytes"},
		{"two orders", append(wire.AppendOrder(nil, 1), wire.AppendOrder(nil, 2)...), false, "a second one"},
		{"order 0", wire.AppendOrder(nil, 0), false, "numbered from 1"},
		{"connection, which the receiver of a call refuses itself", wire.AppendConnection(nil, wire.Connection{Epoch: 1}), false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			e, err := wire.ParseExtensions(test.b)
			if test.want != "" {
				wantProtocolError(t, err, test.want)
				return
			}
			if err != nil || e.Relay != test.relay {
				t.Errorf("%+v, %v", e, err)
			}
			if want := bytes.HasPrefix(test.b, []byte{byte(wire.ExtConnection)}); e.Resumable != want {
				t.Errorf("a connection of a session: %v, want %v", e.Resumable, want)
			}
			if want := map[bool]wire.CallNum{true: 7}[test.name == "order"]; e.Order != want {
				t.Errorf("the order is %d, want %d", e.Order, want)
			}
			if test.relay && (e.Node != bank.Node || e.Time != bank.Time) {
				t.Errorf("the target is %+v", e)
			}
		})
	}
}

func TestTablesAreRefused(t *testing.T) {
	two := tableOfTwo(t)
	first := 2 + int(binary.BigEndian.Uint16(two))
	named := bank
	named.Interface.Name = strings.Repeat("n", 255)
	long, err := wire.AppendTable(nil, []refs.Ref{named})
	if err != nil {
		t.Fatal(err)
	}
	edited := func(at int, b byte) []byte {
		c := bytes.Clone(two)
		c[at] = b
		return c
	}
	for _, test := range []struct {
		name string
		b    []byte
		n    uint32
		want string // empty: legal
	}{
		{"empty", nil, 0, ""},
		{"two", two, 2, ""},
		{"fewer than announced", two[:first], 2, "2 references in a table of"},
		{"one long instead of two", long, 2, "reference 1 is cut short"},
		{"more than announced", two, 1, "bytes after the last reference"},
		{"count bomb", two, 1<<32 - 1, "4294967295 references in a table of"},
		{"count that no table of the size can hold", two, 4, "4 references in a table of"},
		{"cut in a reference", two[:len(two)-1], 2, "only"},
		{"cut in a length", two[:first+1], 2, "references in a table"},
		{"length bomb", edited(0, 0xff), 2, "reference 0 of 65357 bytes"},
		{"length of 0", edited(1, 0), 2, "reference 0"},
		{"unknown flag", edited(2, 0x20), 2, "flags of a later version"},
		{"illegal host", edited(2+1+16+8+8+2+1, '!'), 2, "reference 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			table, err := wire.ParseTable(test.b, test.n)
			if test.want != "" {
				wantProtocolError(t, err, test.want)
			} else if err != nil || len(table) != int(test.n) {
				t.Errorf("%v, %v", table, err)
			}
		})
	}
}

func TestTablesOfIllegalReferencesAreNotWritten(t *testing.T) {
	bad := bank
	bad.Host = "no host"
	if b, err := wire.AppendTable(nil, []refs.Ref{bank, bad}); err == nil {
		t.Errorf("%x", b)
	}
}

func FuzzExtensions(f *testing.F) {
	target := wire.AppendTarget(nil, bank.Node, bank.Time)
	f.Add([]byte(nil))
	f.Add(target)
	f.Add(append(bytes.Clone(target), target...))
	f.Add(wire.AppendExtension(target, wire.ExtTrace, count(0, 30)))
	f.Add(unhex(f, "82ffff"))
	f.Add(wire.AppendMetadata(bytes.Clone(target), metadata(f, wire.MetadataPair{Key: "a", PassOn: true}, wire.MetadataPair{Key: "b", Value: "1"})))
	f.Add(unhex(f, "02 0000"))
	f.Add(bytes.Repeat([]byte{0x80, 0, 0}, 2000))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := wire.ParseExtensions(b)
		if err != nil {
			if fault.KindOf(err) != fault.KindProtocol {
				t.Fatalf("%v: not of kind Protocol", err)
			}
			return
		}
		if want := wire.AppendTarget(nil, e.Node, e.Time); e.Relay && !bytes.Contains(b, want) {
			t.Fatalf("%x has no target %x", b, want)
		}
		var pairs []wire.MetadataPair
		for p := range e.Metadata.All() {
			pairs = append(pairs, p)
		}
		if m, err := wire.NewMetadata(pairs); err != nil || m != e.Metadata {
			t.Fatalf("%v: %x is not legal when written: %x", err, e.Metadata, m)
		}
		// Legal extensions stay legal after others that may be skipped.
		again, err := wire.ParseExtensions(wire.AppendExtension(bytes.Clone(b), 0x80, b[:min(len(b), 0xffff)]))
		if err != nil || again != e {
			t.Fatalf("%+v, %v", again, err)
		}
	})
}

func FuzzTable(f *testing.F) {
	f.Add(tableOfTwo(f), uint32(2))
	f.Add(tableOfTwo(f), uint32(1<<32-1))
	f.Add(unhex(f, "ffff"), uint32(1))
	f.Add(unhex(f, "0000 0000"), uint32(2))
	f.Add(unhex(f, "0035"+strings.Repeat("00", 53)), uint32(1))
	f.Add(bytes.Repeat([]byte{0xff}, 2000), uint32(30))
	f.Fuzz(func(t *testing.T, b []byte, n uint32) {
		table, err := wire.ParseTable(b, n)
		if err != nil {
			if fault.KindOf(err) != fault.KindProtocol {
				t.Fatalf("%v: not of kind Protocol", err)
			}
			return
		}
		if n == 0 {
			return
		}
		back, err := wire.AppendTable(nil, table)
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%v: written again as\n%x, was\n%x", err, back, b)
		}
	})
}
