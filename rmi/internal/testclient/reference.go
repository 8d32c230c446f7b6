package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
)

// nodeID identifies a node. It is made of the hash of the node's key.
type nodeID [16]byte

func (id nodeID) String() string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// The flags of a reference.
const (
	flagVia          = 1
	flagCompleted    = 2
	flagViaCompleted = 4
)

// place is where a node listens. The zero value means that it listens nowhere.
type place struct {
	host string
	port uint16
}

// isSocket reports whether the host is a unix socket, which has no port.
func (p place) isSocket() bool {
	return strings.HasPrefix(p.host, "/") || strings.HasPrefix(p.host, "@")
}

// dial connects to the place, which may be a unix socket.
func (p place) dial(d *net.Dialer) (net.Conn, error) {
	if p.isSocket() {
		return d.Dial("unix", p.host)
	}
	return d.Dial("tcp", net.JoinHostPort(p.host, strconv.Itoa(int(p.port))))
}

// owner is the part of a reference that names the object's node, and the value of the extension
// "target".
type owner struct {
	node    nodeID
	started int64
}

// reference leads to a remote object.
type reference struct {
	owner
	number      uint64
	at          place
	name        string // of the interface
	fingerprint [16]byte
	relay       nodeID // zero for none
	relayAt     place
}

func appendPlace(b []byte, p place) []byte {
	b = binary.BigEndian.AppendUint16(b, p.port)
	return append(append(b, byte(len(p.host))), p.host...)
}

// appendTable writes the table of a payload.
func appendTable(b []byte, table []reference) []byte {
	for _, r := range table {
		var flags byte
		if r.relay != (nodeID{}) {
			flags = flagVia
		}
		ref := append([]byte{flags}, r.node[:]...)
		ref = binary.BigEndian.AppendUint64(ref, uint64(r.started))
		ref = binary.BigEndian.AppendUint64(ref, r.number)
		ref = appendPlace(ref, r.at)
		ref = append(append(ref, byte(len(r.name))), r.name...)
		ref = append(ref, r.fingerprint[:]...)
		if flags&flagVia != 0 {
			ref = appendPlace(append(ref, r.relay[:]...), r.relayAt)
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(ref))), ref...)
	}
	return b
}

// parseTable reads a table. A blank host becomes the host with which this node reached the
// sender.
func parseTable(b []byte, count uint32, sender string) ([]reference, error) {
	var table []reference
	d := decoder{rest: b}
	for range count {
		n, err := d.uint(2)
		if err != nil {
			return nil, err
		}
		ref, err := d.take(n)
		if err != nil {
			return nil, err
		}
		r, err := parseReference(ref, sender)
		if err != nil {
			return nil, err
		}
		table = append(table, r)
	}
	if len(d.rest) > 0 {
		return nil, errors.New("bytes behind the last reference of a table")
	}
	return table, nil
}

func parseReference(b []byte, sender string) (r reference, err error) {
	d := decoder{rest: b}
	take := func(n uint64) []byte {
		var b []byte
		if err == nil {
			b, err = d.take(n)
		}
		if err != nil {
			return make([]byte, n) // n is small: the length of a field
		}
		return b
	}
	text := func() string { return string(take(uint64(take(1)[0]))) }
	where := func(completed bool) place {
		p := place{port: binary.BigEndian.Uint16(take(2))}
		p.host = text()
		if err == nil && p.host != "" && p.isSocket() != (p.port == 0) {
			err = fmt.Errorf("the host %q with port %d", p.host, p.port)
		}
		if p.port != 0 && (p.host == "" || completed) {
			p.host = sender
		}
		return p
	}
	flags := take(1)[0]
	copy(r.node[:], take(16))
	r.started = int64(binary.BigEndian.Uint64(take(8)))
	r.number = binary.BigEndian.Uint64(take(8))
	r.at = where(flags&flagCompleted != 0)
	r.name = text()
	copy(r.fingerprint[:], take(16))
	if flags&flagVia != 0 {
		copy(r.relay[:], take(16))
		r.relayAt = where(flags&flagViaCompleted != 0)
	}
	switch {
	case err != nil:
		return r, err
	case flags > 7 || len(d.rest) > 0 || flags&flagVia != 0 && r.relay == (nodeID{}):
		return r, fmt.Errorf("malformed reference %x", b)
	}
	return r, nil
}
