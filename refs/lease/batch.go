package lease

import "gormi/refs"

// Count gives back N references to an object of the receiver's own.
type Count struct {
	//lint:ignore U1000 the codec looks at the tag
	_msgpack struct{} `msgpack:",as_array"`
	Object   refs.ObjNum
	N        uint32
}

// Object names an object of any node. It has the fields of refs.ID, in the form that is shortest on
// the wire.
type Object struct {
	//lint:ignore U1000 the codec looks at the tag
	_msgpack struct{} `msgpack:",as_array"`
	Node     [16]byte
	Time     int64
	Number   refs.ObjNum
}

// CountOf gives back N references to another node's object that the receiver handed on.
type CountOf struct {
	//lint:ignore U1000 the codec looks at the tag
	_msgpack struct{} `msgpack:",as_array"`
	Node     [16]byte
	Time     int64
	Number   refs.ObjNum
	N        uint32
}

func objectOf(id refs.ID) Object {
	return Object{Node: id.Node, Time: int64(id.Time), Number: id.Object}
}

func (o Object) id() refs.ID {
	return refs.ID{Node: o.Node, Time: refs.Time(o.Time), Object: o.Number}
}

func (c CountOf) id() refs.ID {
	return refs.ID{Node: c.Node, Time: refs.Time(c.Time), Object: c.Number}
}

// Batch is what a holder tells the peer of a session in one message. It is either what the holder
// gives back, or the peer's objects that it registers for.
type Batch struct {
	Number   uint64 // 1 for the first of a session, then one more each
	Own      []Count
	Others   []CountOf
	Register []refs.ObjNum
}

// A batch stays below one record of 32 KiB, which needs no fragments. In bytes, at most:
const (
	batchSize   = 30 << 10
	countSize   = 1 + 9 + 5          // array, number, count
	countOfSize = 1 + 18 + 9 + 9 + 5 // array, node, time, number, count
	numberSize  = 9
)

// Intake is the receiver's side of a session's batches. It takes each number in once. The zero
// value is ready to use.
type Intake struct {
	last    uint64
	missing []uint32 // the answer to the last batch
}

// Take calls f for a batch that was not taken in yet, and returns f's answer. If the last batch
// comes again, it returns the answer that f gave then. An older batch is a late arrival that nobody
// waits for.
func (in *Intake) Take(number uint64, f func() (missing []uint32)) (missing []uint32) {
	switch {
	case number > in.last:
		in.last, in.missing = number, f()
		return in.missing
	case number == in.last:
		return in.missing
	}
	return nil
}
