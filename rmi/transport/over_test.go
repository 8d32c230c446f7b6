package transport

import (
	"crypto/rand"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// deadlined reports read deadlines.
type deadlined struct {
	net.Conn
	told func()
}

func (d *deadlined) SetReadDeadline(t time.Time) error {
	if d.told != nil {
		d.told()
	}
	return d.Conn.SetReadDeadline(t)
}

// unattached is a connection of a new session of a peer that dialled, as its handshake leaves it.
func unattached(t *testing.T, n *node) (*Link, *deadlined) {
	t.Helper()
	mine, its := net.Pipe()
	t.Cleanup(func() { mine.Close(); its.Close() })
	d := &deadlined{Conn: mine}
	h, err := n.newHandshake(carry(d, nil), false)
	if err != nil {
		t.Fatal(err)
	}
	p := newRaw(t, its)
	hello := p.makeHello()
	h.peers = &hello
	var id wire.SessionID
	rand.Read(id[:])
	return h.link(h.session(id, p.node(), "raw"), 1), d
}

// errBreach ends a session whose peer is told why.
var errBreach = wire.ProtocolError("W-1: a test")

func TestAReaderThatIsWokenByACutSeesIt(t *testing.T) {
	l, conn := unattached(t, alone(t))
	woken := 0
	conn.told = func() {
		if woken++; l.Err() == nil {
			t.Error("the reader is woken before it can know why, and goes on to read")
		}
	}
	l.cutAfter(errBreach, wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindProtocol), "W-1"))
	if woken == 0 {
		t.Error("the reader is not woken")
	}
}

func TestTheClockLeavesAConnectionAloneThatIsClosed(t *testing.T) {
	l, conn := unattached(t, alone(t))
	l.polled = struct{ syscall.RawConn }{}
	woken := 0
	conn.told = func() { woken++ }
	l.lastRead.Store(1)
	if l.onTick(2); woken != 1 {
		t.Fatalf("the reader was nudged %d times", woken)
	}
	l.lastRead.Store(2)
	l.cutAfter(errBreach, wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindProtocol), "W-1"))
	woken = 0
	if l.onTick(3); woken != 0 {
		t.Error("the clock ends the wait for what the peer still sends, and the close record may be lost")
	}
}

// Two connections of a peer may come at the same time. The second session may end the first one
// in the moment before that is registered.
func TestASessionThatIsReplacedBeforeItHasAConnectionIsNotCounted(t *testing.T) {
	b := alone(t)
	l, conn := unattached(t, b)
	s := l.session
	if err := b.peers.accepted(b.Node(), s, wire.SessionID{}); err != nil {
		t.Fatal(err)
	}
	if !b.beginHandshake(conn, nil) {
		t.Fatal("no room")
	}
	replaced(s, "another came")
	<-s.gone
	if err := b.endHandshake(conn, l, nil); !errors.Is(err, ErrOver) {
		t.Errorf("the connection of a session that is over: %v", err)
	}
	b.Close(time.Second) // panicked: the transport waits for one session fewer than it has
}

func TestACallThatCameBehindTheEndIsNotCancelledAsAnother(t *testing.T) {
	b := alone(t)
	p := enter(t, b)
	s := b.Live(p.node())
	l := s.Link()
	s.end(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "a test"))
	<-s.gone
	in := incomings.Get().(*Incoming)
	in.Session, in.Header, in.ctx = s, wire.CallHeader{Seq: 1}, &callContext{session: s}
	if _, err := s.inbound.occupy(in, l, 16, nil); err != nil {
		t.Fatal(err)
	}
	s.let(in)
	if in, _, err := s.inbound.cancel(l, 0, 1, 16, false); in != nil || err != nil {
		t.Errorf("a cancel behind it is for %v, %v, which another session may use", in, err)
	}
}
