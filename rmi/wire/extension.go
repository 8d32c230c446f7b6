package wire

import (
	"encoding/binary"

	"gormi/refs"
)

// ExtensionType names an extension of a header. Values are wire values: append only.
type ExtensionType uint8

const (
	// ExtTarget: the call is for an object of another node; the receiver relays it. Calls only.
	ExtTarget ExtensionType = 0x01
	// ExtConnection: which connection of the session this is. The dialling side's proof only.
	ExtConnection ExtensionType = 0x04
	// ExtOrder: the place of a call among those sent on its connection, over datagrams only. It
	// stands in the record that completes the call: its own, or the last fragment of its payload.
	ExtOrder ExtensionType = 0x05
	// ExtMetadata: key-value pairs (Metadata). Calls and returns only. Skippable.
	ExtMetadata ExtensionType = 0x82
	// ExtTrace is skippable and reserved for a trace context.
	ExtTrace ExtensionType = 0x83
)

const targetSize = 16 + 8

// AppendExtension appends one extension: type, length, value.
func AppendExtension(b []byte, t ExtensionType, value []byte) []byte {
	b = append(b, byte(t), byte(len(value)>>8), byte(len(value)))
	return append(b, value...)
}

// AppendTarget appends the extension ExtTarget: node and start time of the owner of the object that
// is called.
func AppendTarget(b []byte, node refs.NodeID, time refs.Time) []byte {
	var v [targetSize]byte
	copy(v[:], node[:])
	binary.BigEndian.PutUint64(v[16:], uint64(time))
	return AppendExtension(b, ExtTarget, v[:])
}

// Connection is the value of ExtConnection.
type Connection struct {
	Epoch Epoch
	Begin bool // the session may not have begun yet, as far as the dialling side knows
}

const connectionSize = 4 + 1

// AppendConnection appends the extension that says which connection of a session a proof is for.
func AppendConnection(b []byte, c Connection) []byte {
	var v [connectionSize]byte
	binary.BigEndian.PutUint32(v[:], uint32(c.Epoch))
	if c.Begin {
		v[4] = 1
	}
	return AppendExtension(b, ExtConnection, v[:])
}

// CallNum numbers the calls sent on one connection over datagrams, from 1.
type CallNum uint64

const orderSize = 8

// AppendOrder appends the extension that says which place a call has on its connection.
func AppendOrder(b []byte, n CallNum) []byte {
	var v [orderSize]byte
	binary.BigEndian.PutUint64(v[:], uint64(n))
	return AppendExtension(b, ExtOrder, v[:])
}

// Extensions are the extensions of a header that this version understands.
type Extensions struct {
	Relay bool // Node and Time name the owner of the call's object
	Node  refs.NodeID
	Time  refs.Time

	Resumable  bool // Connection was there
	Connection Connection

	Order CallNum // 0: none

	Metadata Metadata
}

// skipExtensions checks the extensions of a header that has none which this package knows.
func skipExtensions(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	e, err := ParseExtensions(b)
	if err == nil && e.Metadata != "" {
		err = ProtocolError("W-45: metadata has no place here")
	}
	if err == nil {
		err = e.ofCalls(b)
	}
	return err
}

// ofCalls refuses what only calls and proofs have.
func (e *Extensions) ofCalls(b []byte) error {
	if e.Relay || e.Resumable || e.Order != 0 {
		return ProtocolError("W-45: extension %d has no place here", b[0])
	}
	return nil
}

// ParseExtensions reads the extensions of a header or of a proof. An unknown type that is not
// skippable is an error.
func ParseExtensions(b []byte) (Extensions, error) {
	var e Extensions
	for len(b) > 0 {
		if len(b) < 3 {
			return e, ProtocolError("W-44: extension is cut short")
		}
		t, n := ExtensionType(b[0]), int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b)-3 {
			return e, ProtocolError("W-44: extension %d of %d bytes: only %d are left", t, n, len(b)-3)
		}
		v := b[3 : 3+n]
		b = b[3+n:]
		switch {
		case t == ExtTarget:
			if n != targetSize || e.Relay {
				return e, ProtocolError("W-45: relay target of %d bytes, or a second one", n)
			}
			e.Relay = true
			copy(e.Node[:], v)
			e.Time = refs.Time(binary.BigEndian.Uint64(v[16:]))
		case t == ExtConnection:
			if n != connectionSize || e.Resumable || v[4] > 1 {
				return e, ProtocolError("W-45: connection of a session in %d bytes, or a second one", n)
			}
			e.Resumable = true
			e.Connection = Connection{Epoch(binary.BigEndian.Uint32(v)), v[4] == 1}
		case t == ExtOrder:
			if n != orderSize || e.Order != 0 {
				return e, ProtocolError("W-45: place of a call in %d bytes, or a second one", n)
			}
			if e.Order = CallNum(binary.BigEndian.Uint64(v)); e.Order == 0 {
				return e, ProtocolError("W-45: calls are numbered from 1")
			}
		case t == ExtMetadata:
			if e.Metadata != "" {
				return e, ProtocolError("W-45: metadata twice")
			}
			var err error
			if e.Metadata, err = ParseMetadata(v); err != nil {
				return e, err
			}
		case t&Skippable == 0:
			return e, ProtocolError("W-44: extension %d is not known here and may not be skipped", t)
		}
	}
	return e, nil
}

// AppendTable appends the table of references: per entry its length and its wire form.
func AppendTable(b []byte, table []refs.Ref) ([]byte, error) {
	for _, r := range table {
		at := len(b)
		b = append(b, 0, 0)
		var err error
		if b, err = r.AppendBinary(b); err != nil {
			return nil, err
		}
		binary.BigEndian.PutUint16(b[at:], uint16(len(b)-at-2))
	}
	return b, nil
}

// ParseTable reads a table of n references. n was checked against the limit by
// ParseCall or ParseReturn.
func ParseTable(b []byte, n uint32) ([]refs.Ref, error) {
	if n == 0 {
		return nil, nil
	}
	const least = 2 + 53 // no reference is shorter
	if uint64(n)*least > uint64(len(b)) {
		return nil, ProtocolError("W-100: %d references in a table of %d bytes", n, len(b))
	}
	table := make([]refs.Ref, n)
	for i := range table {
		if len(b) < 2 {
			return nil, ProtocolError("W-100: reference %d is cut short", i)
		}
		l := int(binary.BigEndian.Uint16(b))
		if l > len(b)-2 {
			return nil, ProtocolError("W-100: reference %d of %d bytes: only %d are left", i, l, len(b)-2)
		}
		r, err := refs.ParseBinary(b[2 : 2+l])
		if err != nil {
			return nil, ProtocolError("W-100: reference %d: %w", i, err)
		}
		table[i] = r
		b = b[2+l:]
	}
	if len(b) != 0 {
		return nil, ProtocolError("W-100: %d bytes after the last reference", len(b))
	}
	return table, nil
}
