package refs_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"gormi/refs"
)

// The bytes of the specification, by hand.
func TestWireFormByteByByte(t *testing.T) {
	r := changed(t, func(r *refs.Ref) {
		r.Via = refs.Via{Node: node(t, relayText), Endpoint: refs.Endpoint{Host: "::1", Port: 7001}, Completed: true}
	})
	want := strings.Join([]string{
		"05",                               // VIA, VIA_COMPLETED
		"6ba7b8109dad81d180b400c04fd430c8", // node
		"17979cfe362a0000",                 // time
		"9f3c5d7e11aa22bb",                 // object
		"1b58",                             // port
		"0c", "62616e6b2e6578616d706c65",   // host
		"0c", "62616e6b2e4163636f756e74", // interface
		printText,                          // fingerprint
		"1b4e28ba2fa181d2883f0016d3cca427", // relay
		"1b59",                             // its port
		"03", "3a3a31",                     // its host
	}, "")
	got, err := r.AppendBinary([]byte("head"))
	if err != nil || !bytes.HasPrefix(got, []byte("head")) || hex.EncodeToString(got[4:]) != want {
		t.Errorf("%v\n got %x\nwant %s", err, got, want)
	}
}

func TestWireFormOfUDP(t *testing.T) {
	over := changed(t, func(r *refs.Ref) {
		r.Via = refs.Via{Node: node(t, relayText), Endpoint: refs.Endpoint{Host: "::1", Port: 7001}}
	})
	plain, err := over.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	over.UDP, over.Via.UDP = true, true
	got, err := over.AppendBinary(nil)
	if want := append([]byte{1 | 8 | 16}, plain[1:]...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v\n got %x\nwant %x", err, got, want)
	}
}

func TestWireFormRoundTrip(t *testing.T) {
	for text, r := range legal(t) {
		b, err := r.AppendBinary(nil)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if back, err := refs.ParseBinary(b); err != nil || back != r {
			t.Errorf("%s comes back as %#v (%v)", text, back, err)
		}
		for i := range b {
			if back, err := refs.ParseBinary(b[:i]); err == nil || !back.IsZero() {
				t.Errorf("%s cut to %d of %d bytes: %v, %v", text, i, len(b), back, err)
			}
		}
		if back, err := refs.ParseBinary(append(b, 0)); err == nil {
			t.Errorf("%s with a byte more: %v", text, back)
		}
	}
}

func TestLongestWireForm(t *testing.T) {
	label := strings.Repeat("a", 63)
	host := label + "." + label + "." + label + "." + label[:61] + "."
	r := changed(t, func(r *refs.Ref) {
		r.Host, r.Interface.Name = host, strings.Repeat("x", refs.MaxName)
		r.Via = refs.Via{Node: r.Node, Endpoint: at(host, 1)}
	})
	b, err := r.AppendBinary(nil)
	if err != nil || len(b) > refs.MaxBinary {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if back, err := refs.ParseBinary(b); err != nil || back != r {
		t.Errorf("comes back as %v (%v)", back, err)
	}
	text, err := r.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := refs.Parse(string(text)); err != nil || back != r {
		t.Errorf("comes back as %v (%v)", back, err)
	}
}

func TestParseBinaryRefuses(t *testing.T) {
	good, err := sample(t).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	const host = 1 + 16 + 8 + 8 + 2 // offset of its length
	with := func(i int, v ...byte) []byte { return append(append(bytes.Clone(good[:i]), v...), good[i+len(v):]...) }
	relay := func(node byte, port byte, host string) []byte {
		b := append(with(0, 1), bytes.Repeat([]byte{node}, 16)...)
		return append(append(b, 0, port, byte(len(host))), host...)
	}
	for name, test := range map[string]struct {
		b    []byte
		want string
	}{
		"nothing":               {nil, "cut short"},
		"a later flag":          {with(0, 32), "flags"},
		"relay's UDP":           {with(0, 16), "relay"},
		"UDP without port":      {append(append(with(0, 8)[:host-2:host-2], 0, 0, 0), good[host+1+12:]...), "UDP without a port"},
		"all flags":             {with(0, 0xff), "flags"},
		"via that is not there": {with(0, 1), "cut short"},
		"completed":             {with(0, 2), "no IP host on loopback"},
		"completed via":         {with(0, 4), "relay"},
		"long host":             {with(host, 0xff), "cut short"},
		"short host":            {with(host, 3), "cut short"},
		"no port":               {with(host-2, 0, 0), "port 0"},
		"space in host":         {with(host+2, ' '), "illegal"},
		"NUL in host":           {with(host+2, 0), "illegal"},
		"slash before host":     {with(host+1, '/'), "has no port"},
		"newline in interface":  {with(host+1+12+2, '\n'), "not printable"},
		"half a rune":           {with(host+1+12+2, 0xc3), "not printable"},
		"relay without node":    {relay(0, 1, "hub"), "no node id"},
		"empty relay":           {relay(0, 0, ""), "no node id"},
		"relay without port":    {relay(1, 0, "hub"), "port 0"},
		"relay host":            {relay(1, 1, "h b"), "illegal"},
		"megabytes":             {make([]byte, 1<<20), "follow"},
	} {
		r, err := refs.ParseBinary(test.b)
		if err == nil || !r.IsZero() {
			t.Errorf("%s: %v, %v", name, r, err)
		} else if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q in it", name, err, test.want)
		}
	}
}
