package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

const magic = "GoRMI\n"

// The kinds of handshake messages.
const (
	kindHello   = 1
	kindProof   = 2
	kindWelcome = 3
	kindRefuse  = 4
)

const (
	version           = 1
	featureResume     = 1
	handshakeTime     = 5 * time.Second
	maxHandshakeBytes = 4096
)

// hello says who a node is, and what it accepts from its peer.
type hello struct {
	Newest, Oldest uint16
	Features       uint64
	Key, Nonce     [32]byte
	Expected       nodeID
	Started        int64
	MessageLimit   uint32
	Budget         uint32
	Slots          uint32
	TableEntries   uint32
	Streams        uint16
}

var helloSize = binary.Size(hello{})

// idOf makes a node's id from its key: a UUID of version 8.
func idOf(key []byte) (id nodeID) {
	sum := sha256.Sum256(key)
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}

// refusal is the error for a connection that the peer refused.
type refusal struct{ notice }

func (r refusal) Error() string { return "refused: " + r.notice.String() }

// message returns a message of the handshake.
func message(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(body))), body...)
}

// readMessage reads a message of the kind that must come now, and returns its body.
func readMessage(r io.Reader, kind byte) ([]byte, error) {
	head := make([]byte, 3)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(head[1:])
	if n > maxHandshakeBytes {
		return nil, fmt.Errorf("a message of %d bytes in the handshake", n)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, err
	}
	switch {
	case head[0] == kindRefuse:
		n, err := parseNotice(body)
		return nil, errors.Join(refusal{n}, err)
	case head[0] != kind:
		return nil, fmt.Errorf("a message of kind %d in the handshake, want %d", head[0], kind)
	}
	return body, nil
}

// helloMessage returns the HELLO of a node, without extensions.
func helloMessage(h hello) []byte {
	var body bytes.Buffer
	binary.Write(&body, binary.BigEndian, h)
	return message(kindHello, append(body.Bytes(), 0, 0))
}

func parseHello(body []byte) (h hello, err error) {
	if len(body) < helloSize {
		return h, errors.New("a short HELLO")
	}
	binary.Read(bytes.NewReader(body), binary.BigEndian, &h)
	switch {
	case h.Oldest < 1 || h.Oldest > h.Newest || h.MessageLimit < 1024 || h.Budget < h.MessageLimit || h.Slots < 16:
		return h, errors.New("a HELLO with values out of range")
	case h.Oldest > version:
		return h, fmt.Errorf("the peer speaks version %d and later", h.Oldest)
	}
	return h, checkExtensions(body[helloSize:])
}

// checkExtensions reads the length and the extensions at the end of a message. This program
// knows none of that message, so it accepts those that may be skipped.
func checkExtensions(b []byte) error {
	if len(b) < 2 || int(binary.BigEndian.Uint16(b)) != len(b)-2 {
		return errors.New("a message with a wrong length of extensions")
	}
	return eachExtension(b[2:], func(kind byte, _ []byte) error {
		if kind&skippable == 0 {
			return fmt.Errorf("extension %#x in the handshake", kind)
		}
		return nil
	})
}

// eachExtension calls f with the type and the value of each extension.
func eachExtension(b []byte, f func(kind byte, value []byte) error) error {
	for len(b) > 0 {
		if len(b) < 3 || len(b)-3 < int(binary.BigEndian.Uint16(b[1:])) {
			return errors.New("cut extensions")
		}
		end := 3 + int(binary.BigEndian.Uint16(b[1:]))
		if err := f(b[0], b[3:end]); err != nil {
			return err
		}
		b = b[end:]
	}
	return nil
}

// signed returns the bytes that the node with this role ("D" or "A") signs, on a connection
// without TLS. The hellos are whole messages. ids is the two session ids of the proof, followed
// by its extensions.
func signed(role string, dialler, acceptor, ids []byte) []byte {
	hellos := sha256.Sum256(append(bytes.Clone(dialler), acceptor...))
	return append(append([]byte("GoRMI handshake 1 "+role), hellos[:]...), ids...)
}

// purpose says what the dialling node wants a connection for.
type purpose struct {
	session    [16]byte
	connection uint32 // its number; 0 leaves the extension out
	begin      bool
}

// extensions returns the extensions of the proof.
func (p purpose) extensions() []byte {
	if p.connection == 0 {
		return nil
	}
	b := append(binary.BigEndian.AppendUint32([]byte{extConnection, 0, 5}, p.connection), 0)
	if p.begin {
		b[len(b)-1] = 1
	}
	return b
}

// proofMessage returns the PROOF of the dialling node. It names no session that is over.
func proofMessage(key ed25519.PrivateKey, dialler, acceptor []byte, p purpose) []byte {
	ids := append(p.session[:], make([]byte, 16)...)
	extensions := p.extensions()
	proof := append(ed25519.Sign(key, signed("D", dialler, acceptor, append(bytes.Clone(ids), extensions...))), ids...)
	return message(kindProof, append(binary.BigEndian.AppendUint16(proof, uint16(len(extensions))), extensions...))
}

// checkProof checks the PROOF of the accepting node.
func checkProof(key []byte, dialler, acceptor, proof []byte) error {
	const ids, extensions = ed25519.SignatureSize, ed25519.SignatureSize + 32
	if len(proof) < extensions {
		return errors.New("a short PROOF")
	}
	text := append(signed("A", dialler, acceptor, proof[ids:extensions]), proof[min(extensions+2, len(proof)):]...)
	if !ed25519.Verify(key, text, proof[:ids]) {
		return errors.New("the peer does not hold its key")
	}
	return checkExtensions(proof[extensions:])
}

// shake does the handshake of the dialling side, and returns the peer's hello. It expects the
// node expected, unless that is zero. It leaves out the extension of the purpose if the peer
// cannot resume sessions.
func (n *node) shake(c net.Conn, expected nodeID, p purpose) (peer hello, err error) {
	c.SetDeadline(time.Now().Add(handshakeTime))
	defer c.SetDeadline(time.Time{})

	mine := hello{
		Newest: version, Oldest: version, Features: n.features, Key: [32]byte(n.key.Public().(ed25519.PublicKey)), Expected: expected,
		Started: n.started, MessageLimit: messageLimit, Budget: budget, Slots: slots, TableEntries: tableEntries,
	}
	rand.Read(mine.Nonce[:])
	dialler := helloMessage(mine)
	if _, err := c.Write(append([]byte(magic), dialler...)); err != nil {
		return peer, err
	}

	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(c, begin); err != nil {
		return peer, err
	}
	if string(begin) != magic {
		return peer, fmt.Errorf("no node answers: %q", begin)
	}
	body, err := readMessage(c, kindHello)
	if err != nil {
		return peer, err
	}
	acceptor := message(kindHello, body)
	if peer, err = parseHello(body); err != nil {
		return peer, err
	}
	if id := idOf(peer.Key[:]); expected != (nodeID{}) && id != expected {
		return peer, fmt.Errorf("node %v answers instead of %v", id, expected)
	}
	if body, err = readMessage(c, kindProof); err != nil {
		return peer, err
	}
	if err := checkProof(peer.Key[:], dialler, acceptor, body); err != nil {
		return peer, err
	}

	if peer.Features&n.features&featureResume == 0 {
		p.connection = 0
	}
	if _, err := c.Write(proofMessage(n.key, dialler, acceptor, p)); err != nil {
		return peer, err
	}
	if body, err = readMessage(c, kindWelcome); err != nil {
		return peer, err
	}
	if len(body) < 16 || !bytes.Equal(body[:16], p.session[:]) {
		return peer, errors.New("WELCOME to another session")
	}
	return peer, checkExtensions(body[16:])
}
