package wire_test

import (
	"slices"
	"strings"
	"testing"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func TestMetadataReadsBack(t *testing.T) {
	most := wire.MaxMetadata - 4 - 3
	for _, pairs := range [][]wire.MetadataPair{
		nil,
		{{Key: "a"}},
		{{Key: "a", Value: "1", PassOn: true}, {Key: "ab", Value: "\x00\xff"}, {Key: "ü", Value: "2"}},
		{{Key: strings.Repeat("k", wire.MaxMetadataKey), Value: "v"}},
		{{Key: "key", Value: strings.Repeat("v", most)}},
	} {
		shuffled := slices.Clone(pairs)
		slices.Reverse(shuffled)
		m := metadata(t, shuffled...)
		if got := slices.Collect(m.All()); !slices.Equal(got, pairs) {
			t.Errorf("%v, want %v", got, pairs)
		}
		for _, p := range pairs {
			if v, ok := m.Get(p.Key); !ok || v != p.Value {
				t.Errorf("%q: %q, %v", p.Key, v, ok)
			}
		}
		if _, ok := m.Get("none"); ok {
			t.Error("a key that is not there")
		}
		if len(pairs) == 0 {
			continue
		}
		if again, err := wire.ParseMetadata([]byte(m)); err != nil || again != m {
			t.Errorf("%q, %v", again, err)
		}
	}
}

func TestMetadataThatIsNotSent(t *testing.T) {
	pair := func(key, value string) []wire.MetadataPair { return []wire.MetadataPair{{Key: key, Value: value}} }
	for _, c := range []struct {
		pairs []wire.MetadataPair
		kind  fault.Kind
		want  string
	}{
		{pair("", "v"), fault.KindInvalid, `the metadata key "" is empty`},
		{pair(strings.Repeat("k", 256), "v"), fault.KindInvalid, "is longer than 255 bytes"},
		{pair("a\xff", "v"), fault.KindInvalid, `the metadata key "a\xff" is not UTF-8`},
		{pair("a\nb", "v"), fault.KindInvalid, `the metadata key "a\nb" has a control character`},
		{pair("a\x1b[2J", "v"), fault.KindInvalid, "has a control character"},
		{pair("a\u009b", "v"), fault.KindInvalid, "has a control character"},
		{pair("key", strings.Repeat("v", wire.MaxMetadata)), fault.KindTooLarge, "8135 bytes of metadata with keys, and 4 for each pair: a call, or a reply, carries 8128 at most"},
		{pair("key", strings.Repeat("v", 1<<20)), fault.KindTooLarge, "carries 8128 at most"},
		{append(pair("a", strings.Repeat("v", 5000)), pair("b", strings.Repeat("v", 5000))...), fault.KindTooLarge, "carries 8128 at most"},
	} {
		m, err := wire.NewMetadata(c.pairs)
		if m != "" || fault.KindOf(err) != c.kind || fault.OutcomeOf(err) != fault.OutcomeNotExecuted || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20v: %v, want %s", c.pairs, err, c.want)
		}
	}
}

func TestHostileMetadata(t *testing.T) {
	for _, c := range []struct{ b, want string }{
		{"", "0 bytes of metadata"},
		{strings.Repeat("x", wire.MaxMetadata+1), "8129 bytes of metadata"},
		{"\x00", "cut short"},
		{"\x00\x01k", "cut short"},
		{"\x00\x01k\x00", "cut short"},
		{"\x00\xffk\x00\x00", "cut short"},
		{"\x00\x01k\x00\x02v", "a metadata value of 2 bytes: only 1 are left"},
		{"\x00\x01k\xff\xff", "a metadata value of 65535 bytes"},
		{"\x02\x01k\x00\x00", "flags 0x2"},
		{"\x00\x00\x00\x00", `key "" is empty`},
		{"\x00\x01\xff\x00\x00", "is not UTF-8"},
		{"\x00\x01\n\x00\x00", "has a control character"},
		{"\x00\x02\xc2\x9b\x00\x00", "has a control character"},
		{"\x00\x01k\x00\x00\x00\x01k\x00\x00", `the metadata key "k" after "k"`},
		{"\x00\x01l\x00\x00\x00\x01k\x00\x00", `the metadata key "k" after "l"`},
		{"\x00\x01k\x00\x00\x00", "cut short"},
	} {
		m, err := wire.ParseMetadata([]byte(c.b))
		if m != "" {
			t.Errorf("%q", m)
		}
		wantProtocolError(t, err, c.want)
	}
}

// Metadata stands where it belongs, or the record is refused.
func TestMetadataInItsPlaceOnly(t *testing.T) {
	ext := wire.AppendMetadata(nil, metadata(t, wire.MetadataPair{Key: "k", Value: "v"}))
	limits := wire.Limits{}.WithDefaults()
	h := wire.ReturnHeader{Slot: 1, Seq: 2, Payload: payload(0, 0, 1)}
	read := func(ext []byte) (wire.ReturnHeader, error) {
		rec := append(wire.AppendReturn(nil, &h, 0, ext), 0x90)
		p, err := wire.ParsePrefix(rec)
		if err != nil {
			t.Fatal(err)
		}
		got := wire.ReturnHeader{Metadata: "of another return"}
		_, err = wire.ParseReturn(p, rec[wire.PrefixSize:], &limits, &got)
		return got, err
	}
	if got, err := read(ext); err != nil || got.Metadata != metadata(t, wire.MetadataPair{Key: "k", Value: "v"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := read(nil); err != nil || got.Metadata != "" {
		t.Errorf("%+v, %v", got, err)
	}
	_, err := read(append(ext[:len(ext):len(ext)], ext...))
	wantProtocolError(t, err, "W-45: metadata twice")
	_, err = read(wire.AppendOrder(ext[:len(ext):len(ext)], 1))
	wantProtocolError(t, err, "W-45")

	for kind, header := range map[wire.FrameKind][]byte{wire.FrameCancel: make([]byte, 8), wire.FramePing: make([]byte, 8), wire.FrameStream: nil, wire.FrameGoAway: nil, wire.FrameFragment: make([]byte, 8)} {
		rec := append(append([]byte(nil), header...), ext...)
		p := wire.Prefix{Kind: kind, Extensions: uint16(len(ext)), Length: uint32(len(rec) + 1)}
		var err error
		switch kind {
		case wire.FrameCancel:
			_, _, err = wire.ParseCancel(p, rec)
		case wire.FramePing:
			_, err = wire.ParsePing(p, rec)
		case wire.FrameStream:
			_, err = wire.ParseStream(p, rec)
		case wire.FrameGoAway:
			_, _, err = wire.ParseNotice(p, append(rec, 1))
		case wire.FrameFragment:
			_, err = wire.ParseFragment(p, append(rec, 1))
		}
		wantProtocolError(t, err, "has no place here")
	}
	proof := wire.Proof{Extensions: ext}
	_, err = wire.ParseProof(proof.Append(nil)[wire.HandshakePrefix:])
	wantProtocolError(t, err, "has no place here")
}
