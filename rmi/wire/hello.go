package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gormi/refs"
	"gormi/rmi/fault"
)

// Magic is what either side sends first on a connection.
const Magic = "GoRMI\n"

// Version is the newest version of the protocol that this package speaks, Oldest the oldest.
const (
	Version uint16 = 1
	Oldest  uint16 = 1
)

// Feature is a bit that a node sets in its hello. A feature is in use on a session when both sides
// set its bit.
type Feature uint64

// FeatureResume: sessions outlive their connections.
const FeatureResume Feature = 1 << 0

// Features are those that this package offers.
const Features = FeatureResume

// SessionID names a session; the dialling side draws it at random.
type SessionID [16]byte

// Epoch numbers the connections of a session, from 1.
type Epoch uint32

// HandshakeKind says what a handshake message is.
type HandshakeKind uint8

const (
	HandshakeHello   HandshakeKind = 1 // both sides: who I am, what I can do
	HandshakeProof   HandshakeKind = 2 // both sides: the signature over both hellos
	HandshakeWelcome HandshakeKind = 3 // accepting side: the session begins
	HandshakeRefuse  HandshakeKind = 4 // either side, instead of any of these
)

// Sizes of the handshake's messages without their extensions.
const (
	HandshakePrefix = 3 // kind u8, length u16
	helloSize       = 2 + 2 + 8 + 32 + 32 + 16 + 8 + 4 + 4 + 4 + 4 + 2 + 2
	proofSize       = ed25519.SignatureSize + 16 + 16
	welcomeSize     = 16

	// MaxHandshake bounds the body of a handshake message.
	MaxHandshake = 4 << 10
)

// LeastSlots is the smallest number of calls in flight that a node may accept. A quarter of them is
// for calls of depth 0, the others for nested ones.
const LeastSlots = 16

// Hello is the first message of both sides.
type Hello struct {
	Version, Oldest uint16
	Features        Feature
	Key             [ed25519.PublicKeySize]byte
	Nonce           [32]byte
	Expected        refs.NodeID // who the dialling side wants to reach; zero: whoever answers
	Time            refs.Time   // when the sender's node was made

	// What the sender accepts from its peer.
	Message  uint32 // bytes of one payload
	Assembly uint32 // bytes of fragmented payloads begun and not ended
	Slots    uint32 // calls in flight; at least LeastSlots
	Entries  uint32 // references in one frame's table
	Streams  uint16 // open streams
}

// Node is the id that the hello's key stands for.
func (h *Hello) Node() refs.NodeID { return refs.NodeIDFromKey(h.Key[:]) }

// Append appends the hello as a message, prefix included.
func (h *Hello) Append(b []byte) []byte {
	b = appendHandshake(b, HandshakeHello, helloSize)
	be := binary.BigEndian
	b = be.AppendUint16(b, h.Version)
	b = be.AppendUint16(b, h.Oldest)
	b = be.AppendUint64(b, uint64(h.Features))
	b = append(b, h.Key[:]...)
	b = append(b, h.Nonce[:]...)
	b = append(b, h.Expected[:]...)
	b = be.AppendUint64(b, uint64(h.Time))
	b = be.AppendUint32(b, h.Message)
	b = be.AppendUint32(b, h.Assembly)
	b = be.AppendUint32(b, h.Slots)
	b = be.AppendUint32(b, h.Entries)
	b = be.AppendUint16(b, h.Streams)
	return be.AppendUint16(b, 0) // bytes of extensions
}

// ParseHello reads the body of a hello.
func ParseHello(b []byte) (*Hello, error) {
	h := new(Hello)
	b, err := fixed(HandshakeHello, b, helloSize)
	if err != nil {
		return nil, err
	}
	be := binary.BigEndian
	h.Version, h.Oldest = be.Uint16(b), be.Uint16(b[2:])
	h.Features = Feature(be.Uint64(b[4:]))
	b = b[12:]
	copy(h.Key[:], b)
	copy(h.Nonce[:], b[32:])
	copy(h.Expected[:], b[64:])
	b = b[80:]
	h.Time = refs.Time(be.Uint64(b))
	h.Message, h.Assembly, h.Slots = be.Uint32(b[8:]), be.Uint32(b[12:]), be.Uint32(b[16:])
	h.Entries = be.Uint32(b[20:])
	h.Streams = be.Uint16(b[24:])
	if h.Oldest == 0 || h.Oldest > h.Version {
		return nil, ProtocolError("W-6: hello speaks versions %d to %d", h.Oldest, h.Version)
	}
	if h.Slots < LeastSlots || h.Assembly < h.Message || h.Message < 1<<10 {
		return nil, ProtocolError("W-6: hello accepts %d calls, messages of %d bytes and %d bytes under assembly", h.Slots, h.Message, h.Assembly)
	}
	return h, nil
}

// Agree returns the version that both sides use.
func Agree(mine, peers *Hello) (uint16, error) {
	v := min(mine.Version, peers.Version)
	if v < mine.Oldest || v < peers.Oldest {
		return 0, ProtocolError("W-7: the peer speaks versions %d to %d of the protocol, this node %d to %d: upgrade the older one",
			peers.Oldest, peers.Version, mine.Oldest, mine.Version)
	}
	return v, nil
}

// Proof shows that the sender holds the key of its hello. The dialling side's proof also says which
// session begins.
type Proof struct {
	Signature [ed25519.SignatureSize]byte
	Session   SessionID // of the session that begins; zero from the accepting side
	Previous  SessionID // the last session with this peer that the sender knows to be over; or zero

	Extensions []byte // signed too

	Resumable  bool // the extensions say which connection of the session this is
	Connection Connection
}

// Signed returns what is signed: the transcript, then what the proof itself says.
func (p *Proof) Signed(transcript []byte) []byte {
	b := append([]byte(nil), transcript...)
	b = append(append(b, p.Session[:]...), p.Previous[:]...)
	return append(b, p.Extensions...)
}

// Append appends the proof as a message.
func (p *Proof) Append(b []byte) []byte {
	b = appendHandshake(b, HandshakeProof, proofSize+2+len(p.Extensions))
	b = append(b, p.Signature[:]...)
	b = append(b, p.Session[:]...)
	b = append(b, p.Previous[:]...)
	b = append(b, byte(len(p.Extensions)>>8), byte(len(p.Extensions)))
	return append(b, p.Extensions...)
}

// ParseProof reads the body of a proof.
func ParseProof(b []byte) (*Proof, error) {
	ext := b[min(len(b), proofSize+2):]
	b, err := split(HandshakeProof, b, proofSize+2)
	if err != nil {
		return nil, err
	}
	e, err := ParseExtensions(ext)
	switch {
	case err != nil:
	case e.Relay:
		err = ProtocolError("W-45: extension %d is for calls", ExtTarget)
	case e.Metadata != "":
		err = ProtocolError("W-45: metadata has no place here")
	}
	if err != nil {
		return nil, err
	}
	p := &Proof{Extensions: ext, Resumable: e.Resumable, Connection: e.Connection}
	copy(p.Signature[:], b)
	copy(p.Session[:], b[64:])
	copy(p.Previous[:], b[80:])
	return p, nil
}

// AppendWelcome appends the message that begins a session.
func AppendWelcome(b []byte, id SessionID) []byte {
	b = appendHandshake(b, HandshakeWelcome, welcomeSize+2)
	b = append(b, id[:]...)
	return append(b, 0, 0)
}

// ParseWelcome reads the body of a welcome.
func ParseWelcome(b []byte) (id SessionID, err error) {
	if b, err = fixed(HandshakeWelcome, b, welcomeSize+2); err != nil {
		return id, err
	}
	copy(id[:], b)
	return id, nil
}

// RefuseCrossed in a refusal says that the two nodes dialled each other, and that the accepting
// side keeps its own dial: its connection will come.
const RefuseCrossed fault.Kind = 0

// AppendRefuse appends the message that ends a handshake: a fault kind and a text.
func AppendRefuse(b []byte, kind fault.Kind, text string) []byte {
	clean := appendText([]byte{byte(kind)}, text)
	return append(appendHandshake(b, HandshakeRefuse, len(clean)), clean...)
}

// ParseRefuse reads the body of a refusal.
func ParseRefuse(b []byte) (fault.Kind, string, error) {
	if len(b) < 1 || len(b) > 1+MaxText {
		return 0, "", ProtocolError("W-16: refusal of %d bytes", len(b))
	}
	return fault.Kind(b[0]), cleanText(string(b[1:])), nil
}

// ParseHandshakePrefix reads kind and length of a handshake message.
func ParseHandshakePrefix(b []byte) (HandshakeKind, int, error) {
	k, n := HandshakeKind(b[0]), int(binary.BigEndian.Uint16(b[1:]))
	if k < HandshakeHello || k > HandshakeRefuse {
		return 0, 0, ProtocolError("W-5: handshake message of unknown kind %d", k)
	}
	if n > MaxHandshake {
		return 0, 0, ProtocolError("W-5: handshake message of %d bytes: the limit is %d", n, MaxHandshake)
	}
	return k, n, nil
}

// Transcript returns what both sides sign, each before what its own proof says (Proof.Signed). It
// covers the two hello messages with their prefixes, the dialling side's first. It also covers the
// TLS channel's exporter value (empty without TLS), which ties the proof to this very connection.
func Transcript(dialler bool, diallerHello, acceptorHello, binding []byte) []byte {
	h := sha256.New()
	h.Write(diallerHello)
	h.Write(acceptorHello)
	h.Write(binding)
	role := byte('A')
	if dialler {
		role = 'D'
	}
	return h.Sum(append([]byte("GoRMI handshake 1 "), role))
}

func appendHandshake(b []byte, k HandshakeKind, n int) []byte {
	return append(b, byte(k), byte(n>>8), byte(n))
}

// fixed cuts the extensions off a handshake message of n fixed bytes. The last two of these are the
// extensions' length. Extensions must be well formed. Types that are not skippable are refused.
func fixed(k HandshakeKind, b []byte, n int) ([]byte, error) {
	head, err := split(k, b, n)
	if err == nil {
		err = skipExtensions(b[n:])
	}
	return head, err
}

// split does what fixed does, for a message whose extensions the caller looks at.
func split(k HandshakeKind, b []byte, n int) ([]byte, error) {
	if len(b) < n || int(binary.BigEndian.Uint16(b[n-2:])) != len(b)-n {
		return nil, ProtocolError("W-5: handshake message %d of %d bytes is cut short or too long", k, len(b))
	}
	return b[:n], nil
}

// cleanText makes a text fit to be logged and shown, whoever wrote it. What must not be seen
// becomes a space: control characters, line ends, and marks that turn the direction of a text.
func cleanText(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
}

// appendText appends the text of a notice: clean, and at most MaxText bytes of it.
func appendText(b []byte, s string) []byte {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	s = cleanText(s) // may be longer in no case: what it replaces is as long as a space, or longer
	return append(b, s...)
}

// ProtocolError is the error of bytes that break the specification.
func ProtocolError(format string, a ...any) error {
	return &fault.Error{Op: "protocol", Kind: fault.KindProtocol, Err: fmt.Errorf(format, a...)}
}
