package refs_test

import (
	"bytes"
	"testing"

	"gormi/refs"
)

// Whatever a parser takes, both forms of it read back to the same value, and the form that was read
// is the one that is written.

func FuzzParse(f *testing.F) {
	for text := range legal(f) {
		f.Add("rmi+ref://" + text)
	}
	for _, s := range []string{"", "rmi+ref://", "rmi+ref://%2", "rmi+ref://[::1%25]:1/-/0/0000000000000001//-", sample(f).String(),
		"rmi+ref://bank:1/-/0/0000000000000001//-?via=@&via=@&completed"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := refs.Parse(s)
		if err != nil {
			return
		}
		text, err := r.MarshalText()
		if err != nil || string(text) != s {
			t.Fatalf("%q is written as %q (%v)", s, text, err)
		}
		b, err := r.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := refs.ParseBinary(b); err != nil || back != r {
			t.Fatalf("%q comes back as %#v (%v)", s, back, err)
		}
		follow(t, r)
	})
}

func FuzzParseBinary(f *testing.F) {
	for _, r := range legal(f) {
		b, err := r.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, refs.MaxBinary+1))
	f.Add(bytes.Repeat([]byte{0}, refs.MaxBinary))
	f.Add(append(make([]byte, 1+16+8+8+2), 0xff)) // a length with nothing behind it
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := refs.ParseBinary(b)
		if err != nil {
			return
		}
		if got, err := r.AppendBinary(nil); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("%x is written as %x (%v)", b, got, err)
		}
		text, err := r.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := refs.Parse(string(text)); err != nil || back != r {
			t.Fatalf("%s comes back as %#v (%v)", text, back, err)
		}
		follow(t, r)
	})
}

// follow sends a reference through two machines: what each step makes can be sent.
func follow(t *testing.T, r refs.Ref) {
	for _, peer := range []string{"", "127.0.0.1", "10.0.0.1", "fe80::1%eth0", "/x", "@"} {
		kept := r.Complete(peer)
		if kept.ID != r.ID || kept.Interface != r.Interface {
			t.Fatalf("completion changed %v to %v", r, kept)
		}
		for _, next := range []refs.Ref{kept, kept.Outgoing()} {
			if _, err := next.AppendBinary(nil); err != nil {
				t.Fatalf("%#v completed by %q cannot be sent: %v", r, peer, err)
			}
		}
		if out := kept.Outgoing(); out.Completed || out.Via.Completed {
			t.Fatalf("%v is sent on with a mark", out)
		}
	}
}
