package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

var update = flag.Bool("update", false, "write the golden session anew")

// transcript is what two nodes said to each other, in order.
type transcript struct {
	mu    sync.Mutex
	steps []spoken
	conns int
}

// spoken is what a node wrote at once, or, with a note, what happened.
type spoken struct {
	who   string // "D" or "A"
	conn  int
	bytes []byte
	note  string
	lost  bool
}

func (r *transcript) note(format string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps = append(r.steps, spoken{note: fmt.Sprintf(format, a...)})
}

// recorded is a Network that writes down what is written on its connections.
type recorded struct {
	Network
	r *transcript
}

func (n recorded) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.r.mu.Lock() // before the other side accepts
	n.r.conns++
	k := n.r.conns
	n.r.mu.Unlock()
	c, err := n.Network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &recordedConn{Conn: c, r: n.r, who: "D", k: k}, nil
}

func (n recorded) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := n.Network.Listen(ctx, network, address)
	return recordedListener{l, n.r}, err
}

type recordedListener struct {
	net.Listener
	r *transcript
}

func (l recordedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return &recordedConn{Conn: c, r: l.r, who: "A", k: l.r.conns}, nil
}

type recordedConn struct {
	net.Conn
	r    *transcript
	who  string
	k    int
	lost bool // what is written now does not arrive; guarded by r.mu
}

func (c *recordedConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *recordedConn) Write(b []byte) (int, error) {
	c.r.mu.Lock() // before the peer can answer
	c.r.steps = append(c.r.steps, spoken{who: c.who, conn: c.k, bytes: bytes.Clone(b), lost: c.lost})
	c.r.mu.Unlock()
	return c.Conn.Write(b)
}

// losing says that from now on nothing arrives that is written on a link.
func losing(l *Link, r *transcript) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l.conn.(*recordedConn).lost = true
}

// speech is one direction of one connection, as far as it was written down.
type speech struct {
	magic, proved, welcomed bool
}

// write writes the transcript for people. Everything that was written at once begins with a
// line that says by whom, on which connection.
func (r *transcript) write(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	speeches := make(map[string]*speech)
	for _, s := range r.steps {
		if s.note != "" {
			fmt.Fprintf(&out, "\n# %s\n", strings.ReplaceAll(strings.ReplaceAll(s.note, "\n", "\n# "), "# \n", "#\n"))
			continue
		}
		key := fmt.Sprintf("%s%d", s.who, s.conn)
		d := speeches[key]
		if d == nil {
			d = new(speech)
			speeches[key] = d
		}
		for b := s.bytes; len(b) > 0; {
			name, parts, n := d.next(t, s.who, b)
			if s.lost {
				name += "; it is lost"
			}
			fmt.Fprintf(&out, "\n# %s, connection %d: %s\n", s.who, s.conn, name)
			for _, p := range parts {
				for first := true; p.n > 0 || first; first = false {
					line := b[:min(p.n, 16)]
					b, n, p.n = b[len(line):], n-len(line), p.n-len(line)
					if first {
						fmt.Fprintf(&out, "%-32s # %s\n", hex.EncodeToString(line), p.name)
					} else {
						fmt.Fprintf(&out, "%x\n", line)
					}
				}
			}
			if n != 0 {
				t.Fatalf("%s: %d bytes are not annotated", name, n)
			}
		}
	}
	return out.Bytes()
}

// piece of a message; see transcript.write.
type namedPart struct {
	n    int
	name string
}

// next takes the first message apart that b begins with.
func (d *speech) next(t *testing.T, who string, b []byte) (name string, parts []namedPart, n int) {
	t.Helper()
	add := func(size int, format string, a ...any) {
		parts = append(parts, namedPart{size, fmt.Sprintf(format, a...)})
		n += size
	}
	if !d.magic {
		d.magic = true
		add(len(wire.Magic), "GoRMI and a line feed")
		return "magic", parts, n
	}
	if !d.proved || who == "A" && !d.welcomed {
		kind, size, err := wire.ParseHandshakePrefix(b)
		if err != nil {
			t.Fatal(err)
		}
		add(1, "kind")
		add(2, "length")
		body := b[wire.HandshakePrefix:][:size]
		switch kind {
		case wire.HandshakeHello:
			h, err := wire.ParseHello(body)
			if err != nil {
				t.Fatal(err)
			}
			add(2, "newest version")
			add(2, "oldest version")
			add(8, "features: resume")
			add(32, "key, of the node %s", h.Node())
			add(32, "nonce")
			add(16, "expected node")
			add(8, "time")
			add(4, "message limit: %d", h.Message)
			add(4, "assembly budget: %d", h.Assembly)
			add(4, "slots: %d", h.Slots)
			add(4, "entries of a table: %d", h.Entries)
			add(2, "streams: %d", h.Streams)
			add(2, "length of extensions")
			return "HELLO", parts, n
		case wire.HandshakeProof:
			d.proved = true
			p, err := wire.ParseProof(body)
			if err != nil {
				t.Fatal(err)
			}
			add(64, "signature")
			add(16, "session")
			add(16, "last session that is over")
			add(2, "length of extensions")
			if p.Resumable {
				add(1, "extension: connection")
				add(2, "its length")
				add(4, "number of the connection: %d", p.Connection.Epoch)
				add(1, "begin: %v", p.Connection.Begin)
			}
			return "PROOF", parts, n
		case wire.HandshakeWelcome:
			d.welcomed = true
			add(16, "session")
			add(2, "length of extensions")
			return "WELCOME", parts, n
		}
		t.Fatalf("handshake message %d", kind)
	}
	p, err := wire.ParsePrefix(b)
	if err != nil {
		t.Fatal(err)
	}
	add(1, "kind: %v", p.Kind)
	add(1, "flags")
	add(2, "length of extensions")
	add(4, "length")
	limits := wire.Limits{}.WithDefaults()
	rec := b[wire.PrefixSize:][:p.Length]
	at := fmt.Sprintf("slot %d, number %d", binary.BigEndian.Uint32(append(rec[:4:4], 0, 0, 0, 0)), binary.BigEndian.Uint32(append(rec[min(4, len(rec)):min(8, len(rec)):min(8, len(rec))], 0, 0, 0, 0)))
	switch p.Kind {
	case wire.FrameCall:
		var h wire.CallHeader
		if _, _, err := wire.ParseCall(p, rec, &limits, &h); err != nil {
			t.Fatal(err)
		}
		add(4, "slot")
		add(4, "sequence number")
		add(16, "chain")
		add(8, "object")
		add(8, "microseconds left: %d", h.Timeout)
		add(4, "method: %s", methodNames[h.Method])
		add(4, "references")
		add(4, "length of table")
		add(4, "length of body")
		add(1, "depth")
		add(1, "hops")
		add(int(h.Payload.Body), "body: %s", said(rec[len(rec)-int(h.Payload.Body):]))
		return fmt.Sprintf("call of %s, %s", methodNames[h.Method], at), parts, n
	case wire.FrameReturn:
		var h wire.ReturnHeader
		if _, err := wire.ParseReturn(p, rec, &limits, &h); err != nil {
			t.Fatal(err)
		}
		add(4, "slot")
		add(4, "sequence number")
		add(4, "references")
		add(4, "length of table")
		add(4, "length of body")
		body := rec[len(rec)-int(h.Payload.Body):]
		name := "return, " + at
		if p.Flags&wire.FlagError != 0 {
			f, err := codec.ParseError(body, &limits)
			if err != nil {
				t.Fatal(err)
			}
			add(len(body), "body: error form")
			name = fmt.Sprintf("return with an error, %v and %v, %s", f.Kind, f.Outcome, at)
		} else {
			add(len(body), "body: %s", said(body))
		}
		if p.Flags&wire.FlagUncounted != 0 {
			name += ", uncounted"
		}
		return name, parts, n
	case wire.FrameCancel, wire.FrameAck:
		add(4, "slot")
		add(4, "sequence number")
		return fmt.Sprintf("%v, %s", p.Kind, at), parts, n
	case wire.FramePing, wire.FramePong:
		add(8, "token")
	case wire.FrameGoAway, wire.FrameClose:
		kind, text, err := wire.ParseNotice(p, rec)
		if err != nil {
			t.Fatal(err)
		}
		add(1, "error kind: %v", fault.Kind(kind))
		add(len(rec)-1, "text: %s", text)
	default:
		t.Fatalf("a record of kind %v", p.Kind)
	}
	return p.Kind.String(), parts, n
}

// said prints the bodies of this test, which are arrays of at most one short string.
func said(b []byte) string {
	if len(b) > 2 && b[0] == 0x91 && b[1]&0xe0 == 0xa0 {
		return fmt.Sprintf("[%q]", b[2:])
	}
	return fmt.Sprintf("%x", b)
}

var methodNames = map[wire.MethodID]string{}

// words is the body of a call or return of one string.
func words(s string) []byte { return append([]byte{0x91, 0xa0 | byte(len(s))}, s...) }

// A whole session, with a connection that is cut and another in its place: what two nodes send
// each other, byte by byte. The specification shows it.
func TestGoldenSession(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	r := new(transcript)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		mem := memnet.New()
		for _, m := range []string{"Greet", "Count", "Tell"} {
			methodNames[wire.MethodIDOf(m)] = m
		}
		seed := func(first byte) ed25519.PrivateKey {
			b := make([]byte, ed25519.SeedSize)
			for i := range b {
				b[i] = first + byte(i)
			}
			return ed25519.NewKeyFromSeed(b)
		}
		set := func(key byte, at refs.Time) func(*Config) {
			return func(c *Config) { c.Key, c.Time = seed(key), 1_700_000_000_000_000_000+at }
		}
		d := newNode(t, recorded{mem.Host("d"), r}, "", set(0x00, 0))
		time.Sleep(tick / 2) // so that not both clocks tick at once
		a := newNode(t, recorded{mem.Host("a"), r}, "a", set(0x20, 1))
		d.handler.methods[wire.MethodIDOf("Tell")] = func(in *Incoming) { in.Reply(0, nil, []byte{0x90}) }
		a.handler.methods[wire.MethodIDOf("Greet")] = func(in *Incoming) { in.Reply(0, nil, words("Hello, Bob!")) }
		counted, count, answer := 0, make(chan struct{}), make(chan struct{})
		a.handler.methods[wire.MethodIDOf("Count")] = func(in *Incoming) {
			counted++
			close(count)
			<-answer
			in.Reply(0, nil, words(fmt.Sprint("counted: ", counted)))
		}
		call := func(ctx context.Context, s *Session, method, arg string) ([]byte, error) {
			q := request(ctx, wire.MethodIDOf(method), words(arg))
			q.Header.Object = 0x9f3c5d7e11aa22bb
			return do(ctx, s, q)
		}
		must := func(want string, got []byte, err error) {
			t.Helper()
			if err != nil || string(got) != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}

		r.note("A whole session between D and A, as their programs write it. Lines are hexadecimal; what stands behind # is no\npart of it. D's key is made from the seed 00 01 ... 1f, A's from 20 21 ... 3f. There is no TLS.\n\nD dials A, for a new session.")
		s, err := d.Session(ctx, a.at, a.Node())
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		r.note("Calls in both directions.")
		got, err := call(ctx, s, "Greet", "Bob")
		must(string(words("Hello, Bob!")), got, err)
		synctest.Wait()
		back := a.Live(d.Node())
		got, err = call(ctx, back, "Tell", "it is late")
		must("\x90", got, err)
		synctest.Wait()

		r.note("A call whose method runs while the connection is lost. Its number is the slot's next: that acknowledges the\nreturn of Greet.")
		ends := make(chan string, 2)
		resumed := make(chan struct{}) // so that slot 1 is free before slot 0 is, whose reply is read
		go func() {
			q := request(ctx, wire.MethodIDOf("Count"), words("once"))
			q.Header.Object = 0x9f3c5d7e11aa22bb
			reply, err := s.Call(ctx, q)
			<-resumed
			ends <- fmt.Sprint(string(reply.Body), err)
			reply.Release()
		}()
		<-count
		synctest.Wait()
		r.note("From here on nothing arrives any more. A answers; D makes another call, and gives it up.")
		mem.Partition("d", "a")
		losing(s.Link(), r)
		losing(back.Link(), r)
		close(answer)
		synctest.Wait()
		givenUp, giveUp := context.WithCancel(ctx)
		go func() {
			_, err := call(givenUp, s, "Greet", "Eve")
			var f *fault.Error
			errors.As(err, &f)
			ends <- fmt.Sprint(f.Kind, f.Outcome)
		}()
		synctest.Wait()
		giveUp()
		if got := <-ends; got != fmt.Sprint(fault.KindCancelled, fault.OutcomeUnknown) {
			t.Error(got)
		}
		synctest.Wait()

		r.note("The connection is cut. D dials again, for the same session: connection 2, begin 0.\nThen it says again what A may not have heard: the call of slot 0 as it was, and that the call of slot 1 is given up.\nA sends the reply of slot 0 again, and does not execute the call again; of the call in slot 1 it has never heard.")
		mem.Cut("d", "a")
		mem.Heal("d", "a")
		synctest.Wait()
		close(resumed)
		if got := <-ends; got != string(words("counted: 1"))+"<nil>" {
			t.Errorf("%q", got)
		}
		synctest.Wait()

		r.note("The session goes on. Slot 1 is free again, and its last number used up.")
		got, err = call(ctx, s, "Greet", "Bob")
		must(string(words("Hello, Bob!")), got, err)
		synctest.Wait()

		r.note("Nothing is said for 5 seconds.")
		time.Sleep(pingAfter + tick)
		synctest.Wait()

		r.note("A is shut down.")
		if err := a.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		a.Close(time.Second)
		synctest.Wait()
		if <-s.Done(); s.Err() == nil || counted != 1 {
			t.Errorf("%v, counted %d", s.Err(), counted)
		}
	})

	path := filepath.Join("..", "wire", "testdata", "golden", "session.txt")
	wrote := bytes.TrimLeft(r.write(t), "\n")
	if *update {
		if err := os.WriteFile(path, wrote, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wrote, want) {
		t.Errorf("%s: the nodes say something else (write it anew with -update):\n%s", path, wrote)
	}
}
