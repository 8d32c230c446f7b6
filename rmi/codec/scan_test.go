package codec

import (
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func TestScanAcceptsWhatIsComplete(t *testing.T) {
	for body, want := range map[string]Shape{
		"\x90":                                 {0, 1},
		"\xc0":                                 {0, 0},
		"\x93\x01\xa1x\xc4\x01y":               {3, 1},
		"\x91\x81\xa1x\x92\x90\x80":            {5, 4},
		"\xdc\x00\x01\xdd\x00\x00\x00\x00":     {1, 2},
		"\xde\x00\x01\xc2\xdf\x00\x00\x00\x00": {2, 2},
		"\x92\xd5\x01\x00\x00\xd6\xff\x00\x00\x00\x00":                          {2, 1},
		"\x92\xd7\xff12345678\xc7\x0c\xff123456789012":                          {2, 1},
		"\x94\xca1234\xcb12345678\xd3\xff\xff\xff\xff\xff\xff\xff\xff\xd9\x01x": {4, 1},
	} {
		if got, err := Scan([]byte(body), nil); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", body, got, err, want)
		}
	}
}

func TestScanRefuses(t *testing.T) {
	bomb := func(code byte, n uint32) string { return string(binary.BigEndian.AppendUint32([]byte{code}, n)) }
	for _, test := range []struct {
		body string
		kind fault.Kind
		want string
	}{
		{"", fault.KindBadArguments, "it ends inside a value, after 0 bytes"},
		{"\x91", fault.KindBadArguments, "0 bytes are left"},
		{"\x92\x01", fault.KindBadArguments, "an array of 2 at byte 0"},
		{"\x91\xcd\x01", fault.KindBadArguments, "ends inside a value"},
		{"\x91\xa5abc", fault.KindBadArguments, "a string of 5 bytes at byte 1, but 3 bytes are left"},
		{"\x90\x90", fault.KindBadArguments, "1 bytes follow its end at byte 1"},
		{"\x91\xc1", fault.KindBadArguments, "byte 1 is 0xc1"},
		{bomb(0xdd, 4_000_000_000), fault.KindBadArguments, "an array of 4000000000"},
		{bomb(0xdf, 4_294_967_295), fault.KindBadArguments, "a map of 4294967295"},
		{bomb(0xdb, 4_294_967_295), fault.KindBadArguments, "a string of 4294967295"},
		{bomb(0xc6, 4_294_967_295), fault.KindBadArguments, "binary data of 4294967295"},
		{bomb(0xc9, 4_294_967_295) + "\x01", fault.KindBadArguments, "an extension of 4294967295"},
		{"\xc9\x00\x00", fault.KindBadArguments, "ends inside a value"},
		{"\xc7\x02\x01\x00\x00", 0, ""},
		{"\xd4\x01\x00", fault.KindBadArguments, "ext type 1 of 1 bytes"},
		{"\xd5\x02\x00\x00", fault.KindBadArguments, "ext type 2 of 2 bytes"},
		{"\xd5\xff\x00\x00", fault.KindBadArguments, "ext type -1 of 2 bytes"},
		{strings.Repeat("\x91", 1_000_000) + "\xc0", fault.KindTooLarge, "nests deeper than the limit of 64"},
		{strings.Repeat("\x81\xc0", 100) + "\xc0", fault.KindTooLarge, "nests deeper"},
		{"\xdd\x00\x20\x00\x00" + strings.Repeat("\xc0", 1<<21), fault.KindTooLarge, "above the limit of 1048576"},
		{strings.Repeat("x", 5<<20), fault.KindTooLarge, "a body of 5242880 bytes is above the limit of 4194304 bytes"},
		// Each length alone would fit into what is left.
		{"\x9f\x9f\x9f\x9f\x9f\x9f" + strings.Repeat("\xc0", 30), fault.KindBadArguments, "are left for"},
	} {
		_, err := Scan([]byte(test.body), nil)
		if test.kind == 0 {
			if err != nil {
				t.Errorf("%.20q: %v", test.body, err)
			}
			continue
		}
		wantError(t, err, test.kind, test.want)
		if o := fault.OutcomeOf(err); o != fault.OutcomeUnknown {
			t.Errorf("outcome %v", o)
		}
		if _, err := NewDecoder([]byte(test.body), nil, nil, nil); fault.KindOf(err) != test.kind {
			t.Errorf("%.20q: NewDecoder: %v", test.body, err)
		}
	}
}

func TestScanOfEveryPrefixFails(t *testing.T) {
	e := NewEncoder(nil, nil)
	defer e.Release()
	if err := EncodeAny(e, []any{1, 300, -70000, "text", []byte{1, 2}, record{ID: 1 << 40}, []any{1.5, nil, true}}); err != nil {
		t.Fatal(err)
	}
	for n := range e.Body() {
		if _, err := Scan(e.Body()[:n], nil); err == nil {
			t.Errorf("the first %d bytes of %d pass", n, len(e.Body()))
		}
	}
}

func TestScanDoesNotAllocate(t *testing.T) {
	body := []byte("\x93\x01\xa1x\x81\xa1x\x92\x90\x80")
	if n := testing.AllocsPerRun(100, func() { _, _ = Scan(body, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

type kilobyte struct {
	Text string
	Pad  [1 << 10]uint16
}

// TestDecodingStaysWithinTheMemoryLimit sends bodies whose one-byte elements
// stand for large values.
func TestDecodingStaysWithinTheMemoryLimit(t *testing.T) {
	const limit = 1 << 20
	n := 1 << 18
	head := string(binary.BigEndian.AppendUint32([]byte{0x91, 0xdd}, uint32(n)))
	for _, test := range []struct {
		typ  reflect.Type
		body string
	}{
		{reflect.TypeFor[[]kilobyte](), head + strings.Repeat("\xc0", n)},
		{reflect.TypeFor[[]kilobyte](), head + strings.Repeat("\x80", n)},
		{reflect.TypeFor[[]*kilobyte](), head + strings.Repeat("\x80", n)},
		{reflect.TypeFor[[][]kilobyte](), head + strings.Repeat("\x92\xc0\xc0", n)},
		{reflect.TypeFor[[]map[string]kilobyte](), head + strings.Repeat("\x81\xa0\xc0", n)},
		{reflect.TypeFor[[]any](), head + strings.Repeat("\x92\xa5[]any\xc0", n)},
		{reflect.TypeFor[[]msgpack2](), head + strings.Repeat("\x92\xc0\xc0", n)},
		{reflect.TypeFor[[]error](), head + strings.Repeat("\x95\x00\x00\xa0\xa0\x90", n)},
	} {
		d, err := NewDecoder([]byte(test.body), nil, nil, &wire.Limits{Memory: limit, Elements: 1 << 30})
		if err != nil {
			t.Errorf("%v: %v", test.typ, err)
			continue
		}
		m := methodOf(t, test.typ)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = m.DecodeArgs(d)
		runtime.ReadMemStats(&after)
		d.Release()
		wantError(t, err, fault.KindTooLarge, "more memory than the limit of 1048576 bytes")
		if used := after.TotalAlloc - before.TotalAlloc; used > 2*limit {
			t.Errorf("%v: decoding allocated %d bytes under a limit of %d", test.typ, used, limit)
		}
	}
}

// msgpack2 has its own codec, whose cost is estimated.
type msgpack2 struct{ X any }

func (msgpack2) MarshalMsgpack() ([]byte, error)  { return []byte{0xc0}, nil }
func (*msgpack2) UnmarshalMsgpack(b []byte) error { return nil }

func TestTooManyReferencesAreRefused(t *testing.T) {
	_, err := NewDecoder([]byte{0x90}, make([]refs.Ref, 3), nil, &wire.Limits{References: 2})
	wantError(t, err, fault.KindTooLarge, "a table of 3 references")
}
