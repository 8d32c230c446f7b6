package refs

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// NodeID names a node. It is a version 8 UUID made of the node's public key, so that only the
// holder of the key can claim it. The zero NodeID stands for "whoever answers at that place" in the
// reference of a well-known object.
type NodeID [16]byte

// NodeIDFromKey returns the id of the node that holds the private half of key: the first 16 bytes
// of the key's SHA-256, with the version and variant bits of a version 8 UUID (RFC 9562).
func NodeIDFromKey(key ed25519.PublicKey) NodeID {
	sum := sha256.Sum256(key)
	n := NodeID(sum[:16])
	n[6] = n[6]&0x0f | 0x80
	n[8] = n[8]&0x3f | 0x80
	return n
}

// ParseNodeID reads what [NodeID.String] writes: 36 characters, lower case.
func ParseNodeID(s string) (NodeID, error) {
	u, err := uuid.Parse(s)
	if err != nil || u.String() != s {
		return NodeID{}, fmt.Errorf("refs: %s is no node id: want a lower-case UUID", quote(s))
	}
	return NodeID(u), nil
}

// String returns the id as a UUID in lower case.
func (n NodeID) String() string { return uuid.UUID(n).String() }

// Short returns the first 8 hexadecimal digits, enough to tell nodes apart in a log. It returns "-"
// for the zero id.
func (n NodeID) Short() string {
	if n.IsZero() {
		return "-"
	}
	return hex.EncodeToString(n[:4])
}

// IsZero reports whether n names no node.
func (n NodeID) IsZero() bool { return n == NodeID{} }

// MarshalText gives the same text as String.
func (n NodeID) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (n *NodeID) UnmarshalText(text []byte) error {
	id, err := ParseNodeID(string(text))
	if err == nil {
		*n = id
	}
	return err
}

// ObjNum is the number of an object at its owner. Numbers from [ReservedObjects] up are random.
// Whoever knows one may call the object, so they print as "…".
type ObjNum uint64

const (
	// RegistryObject is the number of a node's registry.
	RegistryObject ObjNum = 1

	// LeaseObject is the number of the object by which nodes give references back to each other.
	// Every node has it.
	LeaseObject ObjNum = 2

	// ReservedObjects is the first number that is not well known. Numbers below it are the same at
	// every node. They are not secret, and print as they are.
	ReservedObjects ObjNum = 1 << 16
)

// NewObjNum returns a random number that is not reserved.
func NewObjNum() ObjNum {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails: crypto/rand ends the process instead
		if n := ObjNum(binary.BigEndian.Uint64(b[:])); n >= ReservedObjects {
			return n
		}
	}
}

// Hex returns the number in full as 16 hexadecimal digits. Keep it out of logs.
func (n ObjNum) Hex() string { return fmt.Sprintf("%016x", uint64(n)) }

// Time is when the owner of an object started, in nanoseconds since 1970 UTC. It shows that a
// reference from before a restart is stale. It is zero in the reference of a well-known object,
// which outlives restarts.
type Time int64

// String returns the time in RFC 3339 form, "-" for zero.
func (t Time) String() string {
	if t == 0 {
		return "-"
	}
	return time.Unix(0, int64(t)).UTC().Format(time.RFC3339Nano)
}

// Fingerprint stands for the description of an interface. Equal fingerprints mean equal
// descriptions. Zero means "not known".
type Fingerprint [16]byte

// ParseFingerprint reads what [Fingerprint.String] writes: 32 hexadecimal digits, lower case.
func ParseFingerprint(s string) (Fingerprint, error) {
	var f Fingerprint
	if len(s) != 2*len(f) {
		return Fingerprint{}, fmt.Errorf("refs: %s is no fingerprint: want 32 lower-case hexadecimal digits", quote(s))
	}
	if _, err := hex.Decode(f[:], []byte(s)); err != nil || f.String() != s {
		return Fingerprint{}, fmt.Errorf("refs: %s is no fingerprint: want 32 lower-case hexadecimal digits", quote(s))
	}
	return f, nil
}

// String returns the fingerprint as 32 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// IsZero reports whether the fingerprint is not known.
func (f Fingerprint) IsZero() bool { return f == Fingerprint{} }

// MarshalText gives the same text as String.
func (f Fingerprint) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText gives.
func (f *Fingerprint) UnmarshalText(text []byte) error {
	p, err := ParseFingerprint(string(text))
	if err == nil {
		*f = p
	}
	return err
}

// ID is the identity of a remote object. Compare references by it.
type ID struct {
	Node   NodeID
	Time   Time
	Object ObjNum
}

// IsWellKnown reports whether the id has no node and no time. Such an id names an object of
// whichever node answers, now and after its next restart.
func (id ID) IsWellKnown() bool { return id.Node.IsZero() && id.Time == 0 }
