package wire_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// wantProtocolError fails unless err is of kind Protocol and says each of parts.
func wantProtocolError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if fault.KindOf(err) != fault.KindProtocol {
		t.Errorf("got %v, want an error of kind Protocol that says %q", err, parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("got %q, want it to say %q", err, p)
		}
	}
}

func TestPrefixesAreBounded(t *testing.T) {
	for _, test := range []struct {
		hex, want string // want is empty if the prefix is legal
	}{
		{"01 00 0000 00000000", ""}, {"02 07 0000 00000014", ""}, {"04 01 0000 00000008", ""}, {"0a 00 0000 00000008", ""},
		{"09 00 2000 0000a03a", ""},
		{"88 ff 2000 0000a03a", ""}, // not known, nor are its flags
		{"09 01 0000 00000001", "unknown flags 0x1"}, {"01 02 0000 00000001", "unknown flags 0x2"},
		{"02 08 0000 00000001", "unknown flags 0x8"}, {"03 02 0000 00000001", "unknown flags 0x2"},
		{"04 02 0000 00000008", "unknown flags 0x2"}, {"0a 01 0000 00000008", "ack record with unknown flags 0x1"},
		{"ff 00 0000 00000001", ""}, // not known, but may be skipped
		{"01 00 0000 0000a03b", "41019 bytes: the limit is 41018"},
		{"02 00 0000 ffffffff", "4294967295 bytes"},
		{"80 00 0000 80000000", "2147483648 bytes"},
		{"01 00 2001 0000a03a", "8193 bytes of extensions"},
		{"01 00 0002 00000001", "2 bytes of extensions"},
	} {
		_, err := wire.ParsePrefix(unhex(t, test.hex))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.hex, err)
		case test.want != "":
			wantProtocolError(t, err, test.want)
		}
	}
}

func TestUnknownKindsSayWhetherTheyMayBeSkipped(t *testing.T) {
	for kind, skippable := range map[wire.FrameKind]bool{wire.FrameClose: false, wire.FrameAck: false, 11: false, 0x7f: false, 0x80: true, 0x8a: true, 0xff: true} {
		if kind.Skippable() != skippable {
			t.Errorf("%v: skippable is %v", kind, kind.Skippable())
		}
	}
	if got := wire.FrameKind(77).String() + wire.FrameKind(0).String() + wire.FramePong.String(); got != "frame kind 77frame kind 0pong" {
		t.Error(got)
	}
}

// callRecord is a legal call after its prefix, changed by edit.
func callRecord(payload wire.Payload, flags uint8, carried int, edit func(rec []byte)) (wire.Prefix, []byte) {
	h := wire.CallHeader{Seq: 1, Timeout: 1, Payload: payload}
	b := wire.AppendCall(nil, &h, flags|wire.FlagFragmented, nil)
	b[1] = flags
	rec := append(b[wire.PrefixSize:], make([]byte, carried)...)
	if edit != nil {
		edit(rec)
	}
	return wire.Prefix{Kind: wire.FrameCall, Flags: flags, Length: uint32(len(rec))}, rec
}

func TestCallsAndReturnsAreRefused(t *testing.T) {
	limits := wire.Limits{Message: 1 << 20, References: 4}.WithDefaults()
	for _, test := range []struct {
		name    string
		payload wire.Payload
		flags   uint8
		carried int
		want    string // empty: legal
	}{
		{"inline", payload(0, 0, 5), 0, 5, ""},
		{"empty", payload(0, 0, 0), 0, 0, ""},
		{"with a table", payload(1, 55, 5), 0, 60, ""},
		{"fragmented", payload(4, 300, 1<<20-300), wire.FlagFragmented, 0, ""},
		{"flags of later versions", payload(0, 0, 5), 0xf0, 5, ""},
		{"shorter than announced", payload(0, 0, 5), 0, 4, "announces a payload of 5 bytes and carries 4"},
		{"longer than announced", payload(0, 0, 5), 0, 6, "announces a payload of 5 bytes and carries 6"},
		{"body of all ones", payload(0, 0, 1<<32-1), 0, 0, "payload of 4294967295 bytes: the announced limit is 1048576"},
		{"sum past 32 bits", payload(1, 1<<32-1, 1<<32-1), 0, 0, "payload of 8589934590 bytes"},
		{"sum that wraps to 0", payload(1, 1<<31, 1<<31), wire.FlagFragmented, 0, "payload of 4294967296 bytes"},
		{"a byte past the limit", payload(0, 0, 1<<20+1), wire.FlagFragmented, 0, "payload of 1048577 bytes"},
		{"too many references", payload(5, 500, 1), 0, 501, "5 references in one frame: the limit is 4"},
		{"references without a table", payload(1, 0, 1), 0, 1, "1 references in a table of 0 bytes"},
		{"a table without references", payload(0, 55, 1), 0, 56, "0 references in a table of 55 bytes"},
		{"fragmented and inline", payload(0, 0, 5), wire.FlagFragmented, 5, "carries 5 bytes itself"},
		{"fragmented nothing", payload(0, 0, 0), wire.FlagFragmented, 0, "without a payload"},
	} {
		t.Run(test.name, func(t *testing.T) {
			check := func(rest []byte, err error) {
				t.Helper()
				switch {
				case test.want != "":
					wantProtocolError(t, err, test.want)
				case err != nil || len(rest) != test.carried:
					t.Errorf("%d bytes, %v", len(rest), err)
				}
			}
			p, rec := callRecord(test.payload, test.flags, test.carried, nil)
			_, rest, err := wire.ParseCall(p, rec, &limits, new(wire.CallHeader))
			check(rest, err)

			b := wire.AppendReturn(nil, &wire.ReturnHeader{Payload: test.payload}, wire.FlagFragmented, nil)
			rec = append(b[wire.PrefixSize:], make([]byte, test.carried)...)
			p = wire.Prefix{Kind: wire.FrameReturn, Flags: test.flags, Length: uint32(len(rec))}
			rest, err = wire.ParseReturn(p, rec, &limits, new(wire.ReturnHeader))
			check(rest, err)
		})
	}
}

func TestCallsWithoutADeadlineAreRefused(t *testing.T) {
	limits := wire.Limits{}.WithDefaults()
	p, rec := callRecord(payload(0, 0, 1), 0, 1, func(rec []byte) { clear(rec[32:40]) })
	_, _, err := wire.ParseCall(p, rec, &limits, new(wire.CallHeader))
	wantProtocolError(t, err, "without a deadline")
}

// No prefix of a record's bytes is accepted as the record. Its extensions cannot reach past its
// end.
func TestRecordsCutShortAreRefused(t *testing.T) {
	limits := wire.Limits{}.WithDefaults()
	whole := map[string][]byte{
		"call": nullCall(), "return": nullReturn(), "cancel": wire.AppendCancel(nil, 1, 2), "ack": wire.AppendAck(nil, 1, 2),
		"ping": wire.AppendPing(nil, wire.FramePing, 3), "close": wire.AppendNotice(nil, wire.FrameClose, 1, ""),
		"fragment": append(wire.AppendFragment(nil, 1, 1, false, 1), 7),
	}
	for name, b := range whole {
		for n := wire.PrefixSize; n < len(b); n++ {
			for _, ext := range []int{0, n - wire.PrefixSize} {
				short := bytes.Clone(b[:n])
				binary.BigEndian.PutUint16(short[2:], uint16(ext))
				binary.BigEndian.PutUint32(short[4:], uint32(n-wire.PrefixSize))
				p, err := wire.ParsePrefix(short)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := writeAgain(p, short[wire.PrefixSize:], &limits); fault.KindOf(err) != fault.KindProtocol {
					t.Errorf("%s of %d bytes, %d of extensions: %v", name, n, ext, err)
				}
			}
		}
	}
}

func TestRecordsThatAreTooLongAreRefused(t *testing.T) {
	for name, b := range map[string][]byte{"cancel": wire.AppendCancel(nil, 1, 2), "ack": wire.AppendAck(nil, 1, 2), "ping": wire.AppendPing(nil, wire.FramePing, 3)} {
		b = append(b, 0)
		p := wire.Prefix{Kind: wire.FrameKind(b[0]), Length: uint32(len(b) - wire.PrefixSize)}
		_, err := writeAgain(p, b[wire.PrefixSize:], nil)
		wantProtocolError(t, err, name+" record of 9 bytes")
	}
	n := wire.FragmentHeaderSize + wire.MaxInline
	if _, err := wire.ParseFragment(wire.Prefix{Kind: wire.FrameFragment, Length: uint32(n)}, make([]byte, n)); err != nil {
		t.Errorf("a fragment of the largest size: %v", err)
	}
	_, err := wire.ParseFragment(wire.Prefix{Kind: wire.FrameFragment, Length: uint32(n + 1)}, make([]byte, n+1))
	wantProtocolError(t, err, "fragment record of 32777 bytes")
	_, err = wire.ParseFragment(wire.Prefix{Kind: wire.FrameFragment, Length: 8}, make([]byte, 8))
	wantProtocolError(t, err, "fragment record of 8 bytes")
	n = 1 + wire.MaxText + 1
	_, _, err = wire.ParseNotice(wire.Prefix{Kind: wire.FrameGoAway, Length: uint32(n)}, make([]byte, n))
	wantProtocolError(t, err, "goaway record of 1026 bytes")
}

// Every record that knows no extensions skips those that may be skipped, and refuses those that
// belong elsewhere.
func TestRecordsOfASlotAndTheirExtensions(t *testing.T) {
	for name, b := range map[string][]byte{
		"cancel": wire.AppendCancel(nil, 5, 9), "settle": wire.AppendSettle(nil, 5, 9), "ack": wire.AppendAck(nil, 5, 9),
	} {
		with := func(ext []byte) (wire.Prefix, []byte) {
			r := append(bytes.Clone(b), ext...)
			binary.BigEndian.PutUint16(r[2:], uint16(len(ext)))
			binary.BigEndian.PutUint32(r[4:], uint32(len(r)-wire.PrefixSize))
			p, err := wire.ParsePrefix(r)
			if err != nil {
				t.Fatal(err)
			}
			return p, r[wire.PrefixSize:]
		}
		for _, ext := range [][]byte{nil, wire.AppendExtension(nil, 0x90, count(0, 40))} {
			if slot, seq, err := wire.ParseCancel(with(ext)); slot != 5 || seq != 9 || err != nil {
				t.Errorf("%s with %x: slot %d, number %d, %v", name, ext, slot, seq, err)
			}
		}
		for _, ext := range [][]byte{
			wire.AppendConnection(nil, wire.Connection{Epoch: 1}), wire.AppendTarget(nil, bank.Node, bank.Time), wire.AppendExtension(nil, 0x10, nil),
			wire.AppendOrder(nil, 1),
		} {
			if _, _, err := wire.ParseCancel(with(ext)); fault.KindOf(err) != fault.KindProtocol {
				t.Errorf("%s with %x: %v", name, ext, err)
			}
		}
	}
}

// A reader may hand a fragment on before all of it is here.
func TestFragmentsMayBeHereInPart(t *testing.T) {
	b := append(wire.AppendFragment(nil, 5, 9, true, 100), "first bytes"...)
	p, err := wire.ParsePrefix(b)
	if err != nil {
		t.Fatal(err)
	}
	f, err := wire.ParseFragment(p, b[wire.PrefixSize:])
	if err != nil || f.Slot != 5 || f.Seq != 9 || !f.OfReturn || f.Size != 100 || string(f.Piece) != "first bytes" {
		t.Errorf("%+v, %v", f, err)
	}
	_, err = wire.ParseFragment(p, b[wire.PrefixSize:wire.PrefixSize+7])
	wantProtocolError(t, err, "fragment record")

	b = append(wire.AppendLastFragment(nil, 5, 9, 100, 3), "first bytes"...)
	if p, err = wire.ParsePrefix(b); err != nil {
		t.Fatal(err)
	}
	f, err = wire.ParseFragment(p, b[wire.PrefixSize:])
	if err != nil || f.Slot != 5 || f.Seq != 9 || f.OfReturn || f.Size != 100 || f.Order != 3 || string(f.Piece) != "first bytes" {
		t.Errorf("%+v, %v", f, err)
	}
	p.Flags = wire.FlagOfReturn
	_, err = wire.ParseFragment(p, b[wire.PrefixSize:])
	wantProtocolError(t, err, "extension 5 has no place here")
}

func TestTextsOfPeersAreCleanAndBounded(t *testing.T) {
	b := wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindPeerGone), strings.Repeat("x", 2000))
	if len(b) != wire.PrefixSize+1+wire.MaxText {
		t.Errorf("%d bytes", len(b))
	}
	b = wire.AppendNotice(nil, wire.FrameClose, 77, "a\x00b\x1bc\nd\xffe\x7ff")
	p, err := wire.ParsePrefix(b)
	if err != nil {
		t.Fatal(err)
	}
	kind, text, err := wire.ParseNotice(p, b[wire.PrefixSize:])
	if err != nil || kind != 77 || text != "a b c d e f" {
		t.Errorf("%d, %q, %v", kind, text, err)
	}
}

// Writing again what a parser accepted gives the same bytes. The exceptions are unknown flags, and
// extensions of records other than calls and returns, which this version does not write.
func FuzzPrefixAndRecord(f *testing.F) {
	for _, name := range []string{"call", "call_relayed", "call_fragmented", "return", "return_error", "return_fragmented",
		"return_uncounted", "fragment_of_call", "fragment_of_return", "cancel", "cancel_settle", "ack", "ping", "pong", "stream", "goaway", "close"} {
		f.Add(readGolden(f, "testdata/golden/"+name+".txt"))
	}
	for _, bomb := range []string{
		"01 00 0000 ffffffff", "02 01 ffff 0000a03a",
		"01 01 0000 0000003a" + strings.Repeat("ff", wire.CallHeaderSize),
		"02 01 0000 00000014" + strings.Repeat("ff", wire.ReturnHeaderSize),
		"03 00 0000 00008009 00000000 00000001", "03 00 0008 00000008 00000000 00000001", "8a 00 0000 00000000",
	} {
		f.Add(unhex(f, bomb))
	}
	limits := wire.Limits{}.WithDefaults()
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < wire.PrefixSize {
			return
		}
		p, err := wire.ParsePrefix(b)
		if err != nil {
			if fault.KindOf(err) != fault.KindProtocol {
				t.Fatalf("%v: not of kind Protocol", err)
			}
			return
		}
		rec := b[wire.PrefixSize:]
		if len(rec) > int(p.Length) {
			rec = rec[:p.Length]
		}
		if p.Kind == wire.FrameFragment {
			if fr, err := wire.ParseFragment(p, rec); err == nil && len(rec) <= int(p.Length) && len(fr.Piece) > fr.Size {
				t.Fatalf("a piece of %d bytes in a fragment of %d", len(fr.Piece), fr.Size)
			}
		}
		if len(rec) < int(p.Length) || p.Kind > wire.FrameAck || p.Kind == 0 {
			return // a reader waits for all of a record, and does not parse unknown ones
		}
		if p.Kind == wire.FrameStream {
			return // passed on as it is
		}
		back, err := writeAgain(p, rec, &limits)
		if err != nil {
			if fault.KindOf(err) != fault.KindProtocol {
				t.Fatalf("%v: not of kind Protocol", err)
			}
			return
		}
		switch p.Kind {
		case wire.FrameGoAway, wire.FrameClose: // texts are cleaned
			return
		case wire.FrameCall, wire.FrameReturn:
		default:
			if p.Extensions > 0 {
				return
			}
		}
		want := bytes.Clone(b[:wire.PrefixSize+int(p.Length)])
		want[1], back[1] = 0, 0
		if !bytes.Equal(back, want) {
			t.Fatalf("got\n%x\nwant\n%x", back, want)
		}
	})
}
