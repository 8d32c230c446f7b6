package callback

import (
	"bytes"
	"context"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/codec"
	"gormi/rmi/multicast"
	"gormi/rmi/wire"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// piece names the next n bytes of a golden frame; n < 0 takes all that are left.
type piece struct {
	n    int
	name string
}

// golden compares b with testdata/golden/name.txt, and returns the bytes of that file. It has bytes
// in hexadecimal, and their meaning after a '#'.
func golden(t *testing.T, name, about string, b []byte, parts ...piece) []byte {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		var out strings.Builder
		fmt.Fprintf(&out, "# %s\n", about)
		rest := b
		for _, p := range parts {
			n := p.n
			if n < 0 {
				n = len(rest)
			}
			for first := true; n > 0 || first; first = false {
				line := rest[:min(n, 16)]
				rest, n = rest[len(line):], n-len(line)
				if first {
					fmt.Fprintf(&out, "%-32x # %s\n", line, p.name)
				} else {
					fmt.Fprintf(&out, "%x\n", line)
				}
			}
		}
		if len(rest) > 0 {
			t.Fatalf("%s: %d bytes have no name", name, len(rest))
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.TrimSpace(line))
	}
	kept, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, b) {
		t.Errorf("%s:\ngot  %x\nwant %x", path, b, kept)
	}
	return kept
}

// theSource is the source of the golden frames.
func theSource(t *testing.T) *codec.Interface {
	t.Helper()
	i, err := codec.InterfaceOf(reflect.TypeFor[Source[string]]())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func encode(t *testing.T, put func(*codec.Encoder, []reflect.Value) error, values ...any) []byte {
	t.Helper()
	limits := wire.Limits{}.WithDefaults()
	enc := codec.NewEncoder(nil, &limits)
	defer enc.Release()
	var in []reflect.Value
	for _, v := range values {
		in = append(in, reflect.ValueOf(v))
	}
	if err := put(enc, in); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(enc.Body())
}

func decode(t *testing.T, get func(*codec.Decoder) ([]reflect.Value, error), body []byte, want ...any) {
	t.Helper()
	limits := wire.Limits{}.WithDefaults()
	dec, err := codec.NewDecoder(body, nil, nil, &limits)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Release()
	out, err := get(dec)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range out {
		if !reflect.DeepEqual(v.Interface(), want[i]) {
			t.Errorf("got %+v, want %+v", v.Interface(), want[i])
		}
	}
}

const theEpoch = Epoch(1_700_000_000_000_000_000)

func TestGoldenCalls(t *testing.T) {
	i := theSource(t)
	count := func(first byte) (b [16]byte) {
		for i := range b {
			b[i] = first + byte(i)
		}
		return b
	}
	first := subscribeRequest{Receiver: 3, Subs: []subID{1, 2}, Token: 7, Match: "AC*", Queue: 1024, Policy: PolicyCoalesce, Snapshot: true, Start: StartSnapshot}
	again := subscribeRequest{Receiver: 3, Subs: []subID{1, 2}, Token: 8, Resume: true, Match: "AC*", Queue: 1024, Policy: PolicyCoalesce, Snapshot: true,
		Start: StartFromSeq, Seq: 43, Epoch: theEpoch}
	grant := subscribeGrant{Node: refs.NodeID(count(0x10)), Session: multicast.ConnectionID(count(0x40))}
	for _, c := range []struct {
		name, about, parts string
		method             string
		args, results      []any
	}{
		{"subscribe", "arguments of Subscribe: two subscriptions, of the state and what follows", "[Request]", "Subscribe", []any{first}, nil},
		{"subscribe_resume", "arguments of Subscribe: the same on the next connection, from number 43 on", "[Request]", "Subscribe", []any{again}, nil},
		{"grant", "results of Subscribe", "[Grant]", "Subscribe", nil, []any{grant}},
		{"unsubscribe", "arguments of Unsubscribe", "[receiver, subs]", "Unsubscribe", []any{multicast.ReceiverID(3), []subID{2}}, nil},
		{"read", "arguments of Read", "[from, match, max]", "Read", []any{Seq(41), "AC*", 100}, nil},
		{"read_result", "results of Read: one event of a source of strings", "[[Event]]", "Read", nil,
			[]any{[]Event[string]{{Kind: KindPublished, Seq: 42, Epoch: theEpoch, Key: "ACME", Value: "4711"}}}},
	} {
		m := i.ByName(c.method)
		if c.args != nil {
			b := golden(t, c.name, c.about, encode(t, m.EncodeArgs, c.args...), piece{-1, c.parts})
			decode(t, m.DecodeArgs, b, c.args...)
		} else {
			b := golden(t, c.name, c.about, encode(t, m.EncodeResults, c.results...), piece{-1, c.parts})
			decode(t, m.DecodeResults, b, c.results...)
		}
	}
	// What doc.go says of the methods.
	for name, id := range map[string]wire.MethodID{"Subscribe": 0x006ab0a3, "Unsubscribe": 0xfd265e36, "Read": 0x4f0befe5} {
		if got := i.ByName(name).ID; got != id {
			t.Errorf("%s has %#08x, the specification says %#08x", name, got, id)
		}
	}
}

func TestGoldenHeads(t *testing.T) {
	for _, c := range []struct {
		name, about string
		b           []byte
		parts       []piece
		want        head
	}{
		{"head_event", "head of event 300 with the key ACME", appendEventHead(nil, headEvent, 300, "ACME"),
			[]piece{{1, "event"}, {2, "number"}, {4, "key"}}, head{kind: headEvent, number: 300, text: []byte("ACME")}},
		{"head_state", "head of a part of the state as of event 42", appendEventHead(nil, headState, 42, "ACME"),
			[]piece{{1, "state"}, {1, "number"}, {4, "key"}}, head{kind: headState, number: 42, text: []byte("ACME")}},
		{"head_begin", "head of begin", beginHead(7, theEpoch),
			[]piece{{1, "begin"}, {1, "token"}, {8, "epoch"}}, head{kind: headBegin, number: 7, epoch: theEpoch}},
		{"head_joined", "head of joined", joinedHead(7, 43),
			[]piece{{1, "joined"}, {1, "token"}, {1, "number of the next event"}}, head{kind: headJoined, number: 7, last: 43}},
		{"head_gap", "head of a gap: events are lost up to number 200", appendGapHead(nil, 5, 200, false),
			[]piece{{1, "gap"}, {1, "how many"}, {2, "the last"}, {1, "of the epoch asked for"}}, head{kind: headGap, number: 5, last: 200}},
		{"head_gap_restarted", "head of a gap: the owner restarted, and keeps its events from number 1 on", appendGapHead(nil, 0, 0, true),
			[]piece{{1, "gap"}, {1, "how many is not known"}, {1, "nor the last"}, {1, "another epoch"}}, head{kind: headGap, restarted: true}},
		{"head_end", "head of the end of a topic that was closed", endHead(0, ""),
			[]piece{{1, "end"}, {1, "closed"}}, head{kind: headEnd, text: []byte{}}},
		{"head_end_slow", "head of the end of subscriptions with the policy 3", endHead(slowKind, "too slow"),
			[]piece{{1, "end"}, {1, "the queue was full"}, {-1, "text"}}, head{kind: headEnd, reason: slowKind, text: []byte("too slow")}},
	} {
		h, ok := parseHead(golden(t, c.name, c.about, c.b, c.parts...))
		if !ok || !reflect.DeepEqual(h, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, h, c.want)
		}
	}
}

// A whole stream: what a topic sends to one receiver that asked for all that is kept,
// was too slow for one event, and stays until the topic is closed.
func TestGoldenStream(t *testing.T) {
	node := rmi.NewNode(nil)
	defer node.Close()
	topic, err := NewTopic(node, &TopicOptions[string]{Key: func(s string) string { return s[:1] }})
	if err != nil {
		t.Fatal(err)
	}
	topic.epoch = theEpoch
	l := &link[string]{topic: topic, state: linkState[string]{running: true}} // the test is its run
	codec, err := codec.InterfaceOf(reflect.TypeFor[func(context.Context, string) error]())
	if err != nil {
		t.Fatal(err)
	}

	stream := []byte(wire.MulticastPreamble)
	parts := []piece{{len(stream), "EVNT, version 1, reserved"}}
	var values []string
	flush := func() {
		var b batch[string]
		b.take(l.lock())
		l.mu.Unlock()
		b.merge()
		for _, m := range b.messages {
			var body []byte
			h, _ := parseHead(m.Head)
			if m.Packet != nil {
				body = encode(t, codec.Methods[0].EncodeArgs, values[h.number-1])
				if m.Packet.Size() != len(body) {
					t.Fatalf("event %d has %d bytes, want %d", h.number, m.Packet.Size(), len(body))
				}
			}
			at := len(stream)
			stream = append(wire.AppendMulticast(stream, m.To, m.Head, 0, nil, len(body)), body...)
			parts = append(parts, piece{4, "length"}, piece{1, "receivers"}, piece{1, "3"}, piece{2, "length of the head"},
				piece{len(m.Head), "head of " + [...]string{1: "event", "state", "begin", "joined", "gap", "end"}[h.kind]}, piece{1, "references"})
			if len(body) > 0 {
				parts = append(parts, piece{len(body), fmt.Sprintf("[%q]", values[h.number-1])})
			}
			if n := len(stream) - at - 4 - 1 - 1 - 2 - len(m.Head) - 1 - len(body); n != 0 {
				t.Fatalf("%d bytes more than specified", n)
			}
		}
	}
	publish := func(text string) {
		values = append(values, text)
		if _, err := topic.Publish(text); err != nil {
			t.Fatal(err)
		}
	}

	publish("AB")
	s := topic.lock()
	_, err = s.subscribe(l, &subscribeRequest{Receiver: 3, Subs: []subID{1}, Token: 7, Queue: 1024, Policy: PolicyDropOldest, Start: StartOldest})
	topic.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	publish("AC")
	flush()
	topic.state.clients[nil].groups[3].out.q.limit = 1
	publish("AD")
	publish("BC")
	topic.Close()
	flush()
	golden(t, "stream", "packets to receiver 3: its request (token 7, Oldest) finds one event; of the next three, one is lost; then the topic is closed", stream, parts...)
}
