package main

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// The kinds of records.
const (
	recordCall     = 1
	recordReturn   = 2
	recordFragment = 3
	recordCancel   = 4
	recordPing     = 5
	recordPong     = 6
	recordStream   = 7
	recordGoaway   = 8
	recordClose    = 9
	recordAck      = 10
)

// The flags of records.
const (
	fragmented = 1 // of calls and returns
	failed     = 2 // of returns
	uncounted  = 4 // of returns
	ofReturn   = 1 // of fragments
	settle     = 1 // of cancels
)

// skippable is the bit in the kinds of records and extensions that may be skipped without
// knowing them.
const skippable = 0x80

// The extensions: of calls to a relay, and of proofs for sessions that outlive their connections.
const (
	extTarget     = 0x01
	extConnection = 0x04
)

const (
	callHeader    = 58
	returnHeader  = 20
	maxExtensions = 8192
	maxChunk      = 32768 // payload in one record
	maxDepth      = 32
	maxRecord     = callHeader + maxExtensions + maxChunk
)

// What this node accepts from its peers.
const (
	messageLimit = 1 << 20
	budget       = 2 << 20
	slots        = 16
	tableEntries = 64
)

const (
	// pingAfter is the time without a byte after which to ping. The specification has 5
	// seconds. This program waits a little longer, so that the peer pings first and its pings
	// are seen.
	pingAfter = 7 * time.Second
	giveUp    = 15 * time.Second // without a byte, or with a write that makes no progress
)

// errOver is the error of calls when the session ended.
var errOver = errors.New("the session is over")

// session is what this node and a peer have in common after the handshake. If both sides can
// resume it, it outlives its connection: see resume.go.
type session struct {
	node      *node
	peer      hello
	id        nodeID // of the peer
	host      string // with which it was reached
	at        place
	name      [16]byte // the id of the session
	resumable bool

	writing    sync.Mutex // held while records are written; guards conn and connection
	conn       net.Conn
	connection uint32 // its number

	mu        sync.Mutex
	calls     map[uint32]*outgoing // calls in flight by slot
	sent      map[uint32]uint32    // last sequence number of each slot
	serving   map[uint32]*incoming
	again     map[uint32]*incoming // calls that came again, while their payloads arrive
	kept      map[uint32]*reply    // retained replies, which the peer did not acknowledge
	large     map[uint32]number    // free slots with large replies, which were acknowledged
	closing   bool                 // by this node
	cuts      int                  // connections lost and made again
	lose      bool                 // the next return is lost with its connection
	connected chan struct{}        // closed when there is another connection
	taken     map[uint32]uint32    // last sequence number of each of the peer's slots
	pongs     map[uint64]chan struct{}

	assembling uint64        // bytes of payloads under assembly here; the reader's
	reading    uint32        // number of the connection that is read; the reader's
	pinged     chan struct{} // gets a value, if there is room, with every ping of the peer
	done       chan struct{} // closed when the session is over
	err        error         // why; to be read when done is closed
}

// dial connects to a place. It expects the node with an id there, unless the id is zero.
func (n *node) dial(at place, expected nodeID) (*session, error) {
	p := purpose{connection: 1, begin: true}
	rand.Read(p.session[:])
	c, peer, err := n.connect(at, expected, p)
	if err != nil {
		return nil, err
	}
	s := &session{
		node: n, conn: c, peer: peer, id: idOf(peer.Key[:]), at: at, name: p.session, connection: p.connection, reading: p.connection,
		resumable: peer.Features&n.features&featureResume != 0,
		calls:     make(map[uint32]*outgoing), sent: make(map[uint32]uint32),
		serving: make(map[uint32]*incoming), taken: make(map[uint32]uint32),
		again: make(map[uint32]*incoming), kept: make(map[uint32]*reply), large: make(map[uint32]number), connected: make(chan struct{}),
		pongs: make(map[uint64]chan struct{}), pinged: make(chan struct{}, 1), done: make(chan struct{}),
	}
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		s.host = tcp.AddrPort().Addr().Unmap().String()
	}
	go s.run(c)
	return s, nil
}

// connect dials a place and does the handshake.
func (n *node) connect(at place, expected nodeID, p purpose) (net.Conn, hello, error) {
	c, err := at.dial(&net.Dialer{Timeout: handshakeTime})
	if err != nil {
		return nil, hello{}, err
	}
	peer, err := n.shake(c, expected, p)
	if err != nil {
		c.Close()
		return nil, peer, err
	}
	return c, peer, nil
}

// lost is the error of a connection that ended.
type lost struct{ error }

func (l lost) Unwrap() error { return l.error }

// run reads records until the session is over.
func (s *session) run(c net.Conn) {
	var err error
	for err == nil {
		r := bufio.NewReader(watched{s, c})
		for err == nil {
			err = s.readRecord(r)
		}
		c.Close()
		if cut := (lost{}); errors.As(err, &cut) && s.resumable {
			c, err = s.resume(err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range s.serving {
		in.cancel()
	}
	s.err = err
	close(s.done)
}

// watched reads from a session's connection, and pings when nothing arrives.
type watched struct {
	s    *session
	conn net.Conn
}

func (w watched) Read(b []byte) (int, error) {
	begin := time.Now()
	w.conn.SetReadDeadline(begin.Add(pingAfter))
	n, err := w.conn.Read(b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		if err := w.s.write(recordPing, 0, nil, make([]byte, 8)); err != nil {
			return 0, err
		}
		w.conn.SetReadDeadline(begin.Add(giveUp))
		n, err = w.conn.Read(b)
	}
	return n, err
}

// write sends one record.
func (s *session) write(kind, flags byte, extensions []byte, header []byte, rest ...byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.writeNow(kind, flags, extensions, header, rest...)
}

// writeNow is write for when s.writing is held. What is lost with a connection is sent again on
// the next, or need not be.
func (s *session) writeNow(kind, flags byte, extensions []byte, header []byte, rest ...byte) error {
	record := binary.BigEndian.AppendUint16([]byte{kind, flags}, uint16(len(extensions)))
	record = binary.BigEndian.AppendUint32(record, uint32(len(header)+len(extensions)+len(rest)))
	record = append(append(append(record, header...), extensions...), rest...)
	s.conn.SetWriteDeadline(time.Now().Add(giveUp))
	_, err := s.conn.Write(record)
	if err != nil && s.resumable {
		return nil
	}
	return err
}

// number names a call: its slot and sequence number. It is the header of fragments and cancels.
type number struct{ slot, sequence uint32 }

func (n number) header() []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, n.slot), n.sequence)
}

// readRecord reads and handles one record.
func (s *session) readRecord(r io.Reader) error {
	head := make([]byte, 8)
	if _, err := io.ReadFull(r, head); err != nil {
		return lost{err}
	}
	kind, flags := head[0], head[1]
	extended, length := int(binary.BigEndian.Uint16(head[2:])), binary.BigEndian.Uint32(head[4:])
	if extended > maxExtensions || length > maxRecord {
		return fmt.Errorf("a record of %d bytes with %d of extensions", length, extended)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return lost{err}
	}
	if kind&skippable != 0 {
		return nil // may be skipped
	}
	known := []struct {
		header int
		flags  byte
	}{
		recordCall: {callHeader, fragmented}, recordReturn: {returnHeader, fragmented | failed | uncounted},
		recordFragment: {8, ofReturn}, recordCancel: {8, settle}, recordPing: {8, 0}, recordPong: {8, 0},
		recordStream: {}, recordGoaway: {}, recordClose: {}, recordAck: {8, 0},
	}
	if kind == 0 || int(kind) >= len(known) {
		return fmt.Errorf("a record of kind %d", kind)
	}
	size := known[kind].header
	if flags&^known[kind].flags != 0 || size+extended > len(body) {
		return fmt.Errorf("a record of kind %d with flags %#x and %d bytes", kind, flags, len(body))
	}
	header, extensions, rest := body[:size], body[size:size+extended], body[size+extended:]

	switch kind {
	case recordCall:
		return s.readCall(flags, header, extensions, rest)
	case recordReturn:
		return s.readReturn(flags, header, extensions, rest)
	}
	if err := eachExtension(extensions, refuseExtension); err != nil {
		return err
	}
	if len(rest) > 0 && (kind >= recordCancel && kind <= recordPong || kind == recordAck) {
		return fmt.Errorf("a record of kind %d has %d bytes behind its header", kind, len(rest))
	}
	switch kind {
	case recordFragment:
		return s.readFragment(flags, numberOf(header), rest)
	case recordCancel:
		return s.readCancel(numberOf(header), flags&settle != 0)
	case recordAck:
		s.readAck(numberOf(header))
		return nil
	case recordPing:
		select {
		case s.pinged <- struct{}{}:
		default:
		}
		return s.write(recordPong, 0, nil, header)
	case recordPong:
		s.mu.Lock()
		defer s.mu.Unlock()
		if c := s.pongs[binary.BigEndian.Uint64(header)]; c != nil {
			close(c)
			delete(s.pongs, binary.BigEndian.Uint64(header))
		}
		return nil
	case recordGoaway:
		n, err := parseNotice(rest)
		if err == nil {
			say("%s goes away: %v", s.id, n)
		}
		return err
	case recordClose:
		n, err := parseNotice(rest)
		return errors.Join(closedByPeer{n}, err)
	default:
		return errors.New("a stream record, though this node announced no streams")
	}
}

func numberOf(header []byte) number {
	return number{binary.BigEndian.Uint32(header), binary.BigEndian.Uint32(header[4:])}
}

// refuseExtension refuses one that is not known, or has its place elsewhere.
func refuseExtension(kind byte, _ []byte) error {
	if kind&skippable == 0 || kind == extMetadata {
		return fmt.Errorf("a record with an extension %#x", kind)
	}
	return nil
}

// closedByPeer is the error of a session that the peer ended.
type closedByPeer struct{ notice }

func (c closedByPeer) Error() string { return "closed by the peer: " + c.notice.String() }

// ping waits until the peer answers a ping.
func (s *session) ping() error {
	token := make([]byte, 8)
	rand.Read(token)
	c := make(chan struct{})
	s.mu.Lock()
	s.pongs[binary.BigEndian.Uint64(token)] = c
	s.mu.Unlock()
	if err := s.write(recordPing, 0, nil, token); err != nil {
		return err
	}
	select {
	case <-c:
		return nil
	case <-s.done:
		return s.err
	}
}

// close announces the end, closes the session, and waits until the peer has closed the
// connection too.
func (s *session) close() error {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	text := []byte("the client is done")
	err := errors.Join(
		s.write(recordGoaway, 0, nil, nil, append([]byte{closed}, text...)...),
		s.write(recordClose, 0, nil, nil, append([]byte{closed}, text...)...))
	if err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-time.After(handshakeTime):
		return errors.New("the peer does not close the connection")
	}
	if !errors.Is(s.err, io.EOF) {
		return s.err
	}
	return nil
}
