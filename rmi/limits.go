package rmi

import (
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// Limits bound what peers can make a node hold. A zero field means its default, which
// stands behind it. An error of kind TooLarge or Overloaded names the field that it met.
type Limits struct {
	Message    int // bytes of one message, arguments or results; 4 MiB, at most 1 GiB
	Depth      int // nesting of arrays and maps in a message, that of the arguments included; 64, at most 255
	Elements   int // array elements, map keys and map values in a message; 1,048,576
	Memory     int // bytes of Go values that one message may be decoded into; 256 MiB
	References int // references in a message; 16,384, at most 65,535
	Name       int // bytes of a method's, type's or interface's name; 255, which is the most

	Assembly      int // bytes of fragmented messages under assembly on a connection; 16 MiB
	AssemblyTotal int // the same, of all connections together, a quarter of it for one peer; 256 MiB
	Slots         int // calls in flight from one peer; 65,536, of which a quarter may be of depth 0
	Handlers      int // calls of one peer being served or waiting for a servant's turn; 1,024
	HandlersTotal int // the same, of all peers together; 8,192
	Nested        int // nested calls of one peer being served, which pass the two limits above; 8,192
	Queue         int // calls of depth 0 of one peer that wait for a handler; 4,096
	Streams       int // open streams on a connection; 256
	Connections   int // connections, handshakes under way included; 16,384
	Pending       int // bytes of small frames that wait to be written to one peer; 256 KiB

	// Kept is how many bytes of replies to one peer the node keeps until the peer says
	// that they arrived. At the limit its new calls are refused. 32 MiB; it is to be well
	// above 1 MiB, which a caller may owe.
	Kept int

	Detached int // sessions whose connection is lost; past it the one that is so for longest ends; 4,096
}

// transport is l as the layers below know it.
func (l Limits) transport() transport.Limits {
	return transport.Limits{
		Limits: wire.Limits{
			Message: l.Message, Depth: l.Depth, Elements: l.Elements, Memory: l.Memory, References: l.References, Name: l.Name,
		},
		Assembly: l.Assembly, AssemblyTotal: l.AssemblyTotal, Slots: l.Slots, Handlers: l.Handlers, HandlersTotal: l.HandlersTotal,
		Nested: l.Nested, Queue: l.Queue, Streams: l.Streams, Connections: l.Connections, Pending: l.Pending,
		Kept: l.Kept, Detached: l.Detached,
	}
}
