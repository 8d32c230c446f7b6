package rmi

import (
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// Limits bound what peers can make a node hold. Zero means the default, which the field's
// comment gives. An error of kind TooLarge or Overloaded names the field whose limit was met.
type Limits struct {
	Message    int // bytes of one message, arguments or results; 4 MiB, at most 1 GiB
	Depth      int // nested arrays and maps in a message, with the list of arguments; 64, at most 255
	Elements   int // array elements, map keys and map values in a message; 1,048,576
	Memory     int // bytes of Go values that one message may be decoded into; 256 MiB
	References int // references in a message; 16,384, at most 65,535

	Assembly      int // bytes of fragmented messages under assembly on a connection; 16 MiB
	AssemblyTotal int // the same, for all connections; one peer may use a quarter of it; 256 MiB
	Slots         int // calls in flight from one peer; 65,536; a quarter of them may be of depth 0
	Handlers      int // calls of one peer that run, or wait for an object's turn; 1,024
	HandlersTotal int // the same, for all peers; 8,192
	Nested        int // nested calls of one peer that run, exempt from the two limits above; 8,192
	NestedTotal   int // the same, for all peers; 16,384
	Queue         int // calls of depth 0 of one peer that wait for a handler; 4,096
	Streams       int // open streams on a connection; 256
	Connections   int // connections, including handshakes under way; 16,384
	Handshakes    int // handshakes under way on connections that others made; 2,048
	Pending       int // bytes of small frames that wait to be written to one peer; 256 KiB

	// Retained is how many bytes of replies to one peer the node keeps until the peer says
	// that they arrived. At the limit the node refuses the peer's new calls. The default is
	// 32 MiB. It should be well above 1 MiB: that much a caller may leave unacknowledged.
	Retained      int
	RetainedTotal int // the same, for all peers; a reply that has no room fails its call; 512 MiB

	// Detached is the number of sessions whose connection is lost. Above it, one of them
	// ends: of the principal or address that has most of them, the one that has been without
	// a connection for longest. The default is 4,096.
	Detached int

	// CallRate is how many calls a second one principal may make, and HandshakeRate how many
	// connections a second may come from one address. As many as in a second may come at once.
	// The default, zero, is no limit.
	CallRate      int
	HandshakeRate int

	// Share is how many percent of HandlersTotal, NestedTotal, AssemblyTotal, RetainedTotal,
	// Connections and Handshakes one principal may use, whose peers are counted together. For
	// peers of which nothing proves who they are (see PeerInfo), an address counts as one. The
	// default is 50. Set 100 where all peers come through one gateway.
	Share int
}

// transport is l as the layers below know it.
func (l Limits) transport() transport.Limits {
	return transport.Limits{
		Limits: wire.Limits{
			Message: l.Message, Depth: l.Depth, Elements: l.Elements, Memory: l.Memory, References: l.References,
		},
		Assembly: l.Assembly, AssemblyTotal: l.AssemblyTotal, Slots: l.Slots, Handlers: l.Handlers, HandlersTotal: l.HandlersTotal,
		Nested: l.Nested, NestedTotal: l.NestedTotal, Queue: l.Queue, Streams: l.Streams, Connections: l.Connections, Handshakes: l.Handshakes, Pending: l.Pending,
		Retained: l.Retained, RetainedTotal: l.RetainedTotal, Detached: l.Detached, CallRate: l.CallRate, HandshakeRate: l.HandshakeRate, Share: l.Share,
	}
}
