package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden reads the bytes of an example.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "testdata", "golden", name+".txt"))
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

// This program does not know semantics: it skips them, and the interface is to it
// what it is without.
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

func TestMethodHash(t *testing.T) {
	for name, want := range map[string]uint32{
		"Bind": 0x30ad5f4e, "Rebind": 0x6ce63aa7, "Unbind": 0x04cfadf9, "Lookup": 0x69ab10ab, "List": 0x8d2937a1,
	} {
		if got := methodHash(name); got != want {
			t.Errorf("%s has the hash %#x, want %#x", name, got, want)
		}
	}
}
