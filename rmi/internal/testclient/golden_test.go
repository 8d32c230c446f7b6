package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// golden reads the bytes of an example.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "wire", "testdata", "golden", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for line := range strings.Lines(string(text)) {
		digits, _, _ := strings.Cut(line, "#")
		b, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// seed is the sequence of 32 bytes from first.
func seed(first byte) []byte {
	b := make([]byte, ed25519.SeedSize)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func TestGoldenHandshake(t *testing.T) {
	dialler, acceptor := golden(t, "hello_dialler"), golden(t, "hello_acceptor")
	for _, m := range [][]byte{dialler, acceptor} {
		h, err := parseHello(m[3:])
		if err != nil {
			t.Fatal(err)
		}
		if got := helloMessage(h); !bytes.Equal(got, m) {
			t.Errorf("HELLO\n%x, want\n%x", got, m)
		}
	}
	key := ed25519.NewKeyFromSeed(seed(0x20))
	h, _ := parseHello(dialler[3:])
	if id := idOf(key.Public().(ed25519.PublicKey)); id != h.Expected {
		t.Errorf("node id %v, want %v", id, h.Expected)
	}
	if err := checkProof(key.Public().(ed25519.PublicKey), dialler, acceptor, golden(t, "proof_acceptor")[3:]); err != nil {
		t.Error(err)
	}
	session := [16]byte(golden(t, "welcome")[3:])
	got, want := proofMessage(ed25519.NewKeyFromSeed(seed(0)), dialler, acceptor, purpose{session: session}), golden(t, "proof_dialler")
	if !bytes.Equal(got, want) {
		t.Errorf("PROOF\n%x, want\n%x", got, want)
	}
}

func TestGoldenTable(t *testing.T) {
	b := golden(t, "table")
	table, err := parseTable(b, 2, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := appendTable(nil, table); !bytes.Equal(got, b) {
		t.Errorf("table\n%x, want\n%x", got, b)
	}
}

func TestGoldenDescription(t *testing.T) {
	b := golden(t, "description")
	end := len(b) - 16 // the fingerprint follows
	d, err := parseDescription(b[:end])
	if err != nil {
		t.Fatal(err)
	}
	if got := d.fingerprint(); !bytes.Equal(got[:], b[end:]) {
		t.Errorf("fingerprint of %v\n%x, want\n%x", d, got, b[end:])
	}
}

// This program does not know semantics. It skips them, and for it the interface is the same
// without them.
func TestGoldenDescriptionOfLaterNodes(t *testing.T) {
	plain, with := golden(t, "description"), golden(t, "description_semantics")
	d, err := parseDescription(with[:len(with)-16])
	if err != nil {
		t.Fatal(err)
	}
	if got := d.fingerprint(); !bytes.Equal(got[:], plain[len(plain)-16:]) {
		t.Errorf("fingerprint of %v\n%x, want\n%x", d, got, plain[len(plain)-16:])
	}
}

func TestGoldenErrors(t *testing.T) {
	for name, want := range map[string]string{
		"error_application": "Application/Executed: deposit: unexpected EOF",
		"error_plain":       "Application/Executed: poor",
		"error_refused":     "NoSuchMethod/NotExecuted: bank.Account has no such method",
	} {
		form, err := decode(golden(t, name), nil)
		if err != nil {
			t.Fatal(err)
		}
		e, err := parseError(form)
		if err != nil {
			t.Fatal(err)
		}
		if got := e.Error(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestGoldenMetadata(t *testing.T) {
	for name, c := range map[string]struct {
		header int
		want   []pair
	}{
		"call_metadata":   {callHeader, []pair{{"authorization", "Bearer s3cret", false}, {"tenant", "blue", true}}},
		"return_metadata": {returnHeader, []pair{{"version", "7", false}}},
	} {
		b := golden(t, name)
		extension := b[8+c.header:][:binary.BigEndian.Uint16(b[2:])]
		if got := metadataExtension(c.want); !bytes.Equal(got, extension) {
			t.Errorf("%s: %x, want %x", name, got, extension)
		}
		if got, err := parseMetadata(extension[3:]); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestMethodHash(t *testing.T) {
	for name, want := range map[string]uint32{
		"Bind": 0x30ad5f4e, "Rebind": 0x6ce63aa7, "Unbind": 0x04cfadf9, "Lookup": 0x69ab10ab, "List": 0x8d2937a1,
	} {
		if got := methodHash(name); got != want {
			t.Errorf("%s has the hash %#x, want %#x", name, got, want)
		}
	}
}

// spokenBytes is a message that the golden session says was written.
type spokenBytes struct {
	who        byte // 'D' or 'A'
	connection byte
	what       string
	bytes      []byte
}

// goldenSession reads the transcript.
func goldenSession(t *testing.T) []spokenBytes {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "wire", "testdata", "golden", "session.txt"))
	if err != nil {
		t.Fatal(err)
	}
	var all []spokenBytes
	for line := range strings.Lines(string(text)) {
		digits, comment, _ := strings.Cut(line, "#")
		b, err := hex.DecodeString(strings.TrimSpace(digits))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 0 {
			last := &all[len(all)-1]
			last.bytes = append(last.bytes, b...)
			continue
		}
		if begin, what, ok := strings.Cut(strings.TrimSpace(comment), ": "); ok && strings.Contains(begin, ", connection ") {
			all = append(all, spokenBytes{begin[0], begin[len(begin)-1] - '0', what, nil})
		}
	}
	return all
}

// This program, made from the specification, produces the bytes of the nodes of the transcript.
func TestGoldenSession(t *testing.T) {
	find := func(who, connection byte, what string) []byte {
		t.Helper()
		for _, m := range goldenSession(t) {
			if m.who == who && m.connection == connection && strings.HasPrefix(m.what, what) {
				return m.bytes
			}
		}
		t.Fatalf("%c says no %s on connection %d", who, what, connection)
		return nil
	}
	session := [16]byte(find('A', 1, "WELCOME")[3:])
	for connection := byte(1); connection <= 2; connection++ {
		dialler, acceptor := find('D', connection, "HELLO"), find('A', connection, "HELLO")
		h, err := parseHello(acceptor[3:])
		if err != nil {
			t.Fatal(err)
		}
		if err := checkProof(h.Key[:], dialler, acceptor, find('A', connection, "PROOF")[3:]); err != nil {
			t.Error(err)
		}
		p := purpose{session: session, connection: uint32(connection), begin: connection == 1}
		got, want := proofMessage(ed25519.NewKeyFromSeed(seed(0)), dialler, acceptor, p), find('D', connection, "PROOF")
		if !bytes.Equal(got, want) {
			t.Errorf("PROOF of connection %d\n%x, want\n%x", connection, got, want)
		}
	}
	first, again := find('D', 1, "call of Count"), find('D', 2, "call of Count")
	if !bytes.Equal(first, again) { // the clock of the test stands still
		t.Errorf("the call that comes again is\n%x, was\n%x", again, first)
	}
	if !bytes.Equal(find('A', 1, "return, slot 0, number 2"), find('A', 2, "return, slot 0, number 2")) {
		t.Error("the return that comes again is another")
	}
	if r := find('A', 2, "return with an error"); r[1] != failed|uncounted {
		t.Errorf("the flags are %#x", r[1])
	}
}

// goldenBody reads the body of a call or return, and the references of its table.
func goldenBody(t *testing.T, name string) []any {
	t.Helper()
	b := golden(t, name)
	size, announced := callHeader, 44
	if b[0] == recordReturn {
		size, announced = returnHeader, 8
	}
	header, rest := b[8:8+size], b[8+size:]
	s := &session{host: "192.0.2.9"}
	p, err := s.newPayload(header[announced:], b[1], rest)
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.decode(s)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestGoldenCalls(t *testing.T) {
	three := goldenBody(t, "return_references")
	ref, ok := three[0].(reference)
	if !ok || three[1] != three[0] || three[2] != nil || ref.name != "bank.Account" || ref.at != (place{"bank.example", 7000}) {
		t.Errorf("%+v", three)
	}
	entry, _ := goldenBody(t, "registry_lookup_return")[0].(map[string]any)
	ref, _ = entry["Ref"].(reference)
	b, _ := entry["Description"].([]byte)
	d, err := parseDescription(b)
	if err != nil || d.fingerprint() != ref.fingerprint {
		t.Errorf("%v, %v: the fingerprint is %x, in the reference %x", d, err, d.fingerprint(), ref.fingerprint)
	}
	e, err := parseError(goldenBody(t, "registry_refused"))
	if err != nil || e.kind != application || e.inner() == nil || nameOf(errorKinds, e.inner().kind) != "NotBound" {
		t.Errorf("%v, %v", e, err)
	}
	clean := goldenBody(t, "lease_clean")
	if got := fmt.Sprint(clean[0], clean[1]); got != fmt.Sprint(1, []any{[]any{ref.number, 2}}) {
		t.Errorf("Clean of %v", got)
	}
	if others, _ := clean[2].([]any); len(others) != 1 || fmt.Sprint(others[0]) != fmt.Sprint(of(ref, 1)) {
		t.Errorf("Clean of %v, want %v", clean[2], of(ref, 1))
	}
	for name, method := range map[string]string{"registry_bind": "Bind", "registry_acquire": "Acquire", "registry_renew": "Renew", "registry_release": "Release",
		"lease_clean": "Clean", "lease_dirty": "Dirty", "lease_linger": "Linger"} {
		if got := binary.BigEndian.Uint32(golden(t, name)[8+40:]); got != methodHash(method) {
			t.Errorf("%s is a call of %#x, want that of %s, %#x", name, got, method, methodHash(method))
		}
		goldenBody(t, name)
	}
	n, err := parseNotice(golden(t, "close_breach")[8:])
	if err != nil || n.kind != protocol || !strings.HasPrefix(n.text, "W-53: ") {
		t.Errorf("%v, %v", n, err)
	}
}
