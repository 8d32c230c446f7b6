package codec

import (
	"reflect"
	"runtime"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/mempool"
	"gormi/rmi/wire"
)

// keepBuffer is the capacity in bytes above which an encoder does not keep its
// buffer. Otherwise one large message would occupy its memory for ever.
const keepBuffer = 64 << 10

// An Encoder builds one body and the reference table that belongs to it. It
// is not safe for concurrent use. After an error only Refs and Release may be called.
type Encoder struct {
	w        bodyWriter
	mp       *msgpack.Encoder // writes to w
	exporter Exporter
	limits   *wire.Limits
	refs     []refs.Ref
	index    map[refs.Ref]int // of refs, once there are many
	depth    int
	elements int
	errors   int  // how many typed errors this encoder's value stands inside
	tainted  bool // a user's codec failed: its state may linger in mp
	track         // of typed calls
}

// bodyWriter is the buffer of an Encoder. It has the methods that keep msgpack from wrapping the
// writer. It stops at max bytes, or where there is no room for more.
type bodyWriter struct {
	buf   []byte
	limit int // what may be written without asking: see raise
	max   int
	room  Room
	// over is how long the body would have become when it passed max.
	over int
}

// Room is asked for the memory of bodies, by encoders that a peer makes work.
type Room interface {
	// Reserve makes room for size bytes in place of what it made room for before.
	Reserve(size int) *fault.Error
}

// raise raises the limit to n, which is needed, or better to size. It asks for the room first.
// Above max nothing fits.
func (w *bodyWriter) raise(n, size int) error {
	if n > w.max {
		w.over = n
		return errSize
	}
	size = min(size, w.max)
	err := w.room.Reserve(size)
	if err != nil && size > n {
		size = n
		err = w.room.Reserve(n)
	}
	if err != nil {
		return err
	}
	w.limit = size
	return nil
}

func (w *bodyWriter) Write(p []byte) (int, error) {
	if err := write(w, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

func write[T []byte | string](w *bodyWriter, p T) error {
	n := len(w.buf) + len(p)
	if n > w.limit {
		if err := w.raise(n, n); err != nil {
			return err
		}
	}
	if n > cap(w.buf) && n > keepBuffer {
		w.grow(n)
	}
	rest := p
	for len(rest) > copyAtOnce { // what is much longer holds a processor up that others wait for
		w.buf = append(w.buf, rest[:copyAtOnce]...)
		rest = rest[copyAtOnce:]
		runtime.Gosched()
	}
	w.buf = append(w.buf, rest...)
	return nil
}

// copyAtOnce is how many bytes are copied before others get their turn.
const copyAtOnce = 64 << 10

// grow makes room for n bytes, in memory that another large body had used.
func (w *bodyWriter) grow(n int) {
	b := append(mempool.Get(n), w.buf...)
	mempool.Put(w.buf)
	w.buf = b
}

func (w *bodyWriter) WriteByte(c byte) error {
	return w.put(append(w.buf, c))
}

var encoders = sync.Pool{New: func() any {
	e := new(Encoder)
	e.attach()
	return e
}}

// attach binds a fresh msgpack encoder to the buffer.
func (e *Encoder) attach() {
	e.mp = msgpack.NewEncoder(&e.w)
	e.mp.UseCompactInts(true)
}

// NewEncoder returns an encoder for one body. x exports the remote values in it,
// and may be nil if there are none. nil limits mean the defaults.
func NewEncoder(x Exporter, l *wire.Limits) *Encoder {
	e := encoders.Get().(*Encoder)
	e.exporter = x
	e.limits = l.Effective()
	e.w.max = e.limits.Message
	e.w.limit = e.w.max
	return e
}

// Within makes the encoder ask for room before its body takes more memory than a small one.
func (e *Encoder) Within(r Room) {
	e.w.room, e.w.limit = r, min(e.w.max, keepBuffer)
}

// Release gives the encoder and its buffers back. The encoder, and what Body
// and Refs returned, must not be used afterwards.
func (e *Encoder) Release() {
	if e.tainted {
		e.attach()
	}
	buf, table := e.w.buf[:0], e.refs
	if cap(buf) > keepBuffer {
		mempool.Put(buf)
		buf = nil
	}
	if cap(table) > 64 {
		table = nil
	}
	clear(table)
	*e = Encoder{mp: e.mp, refs: table[:0], track: e.track.reset()}
	e.w.buf = buf
	encoders.Put(e)
}

// Body returns what was encoded. It is valid until Release.
func (e *Encoder) Body() []byte { return e.w.buf }

// Refs returns the reference table. Indices in the body point into it. It is
// valid until Release. After an error it holds what was exported before the error,
// so that the caller can release that.
func (e *Encoder) Refs() []refs.Ref { return e.refs }

// Copy writes a body that another encoder made for nobody in particular, with its table, in
// place of values. The exporter must be a Forwarder: it makes the references fit.
func (e *Encoder) Copy(body []byte, table []refs.Ref) error {
	forward := e.exporter.(Forwarder)
	for _, r := range table {
		e.refs = append(e.refs, forward.ForwardRef(r))
	}
	if err := write(&e.w, body); err != nil {
		return failure(e.sized(err), "arguments", fault.KindInvalid, fault.OutcomeNotExecuted)
	}
	return nil
}

// enter counts an array or map of n values that is about to be written. The caller decrements depth
// when it is complete.
func (e *Encoder) enter(n int) error {
	if e.depth >= e.limits.Depth {
		return refuse(fault.KindTooLarge, "nests deeper than the limit of %d (Options.Limits.Depth); does the value contain itself?", e.limits.Depth)
	}
	if e.elements += n; e.elements > e.limits.Elements {
		return refuse(fault.KindTooLarge, "%d elements or more, above the limit of %d (Options.Limits.Elements)", e.elements, e.limits.Elements)
	}
	e.depth++
	return nil
}

func (e *Encoder) array(n int) error {
	if err := e.enter(n); err != nil {
		return err
	}
	return e.arrayLen(n)
}

func (e *Encoder) bytes(b []byte) error {
	if err := e.bytesLen(len(b)); err != nil {
		return err
	}
	return write(&e.w, b)
}

// reference writes the index of r. It adds r to the table unless it is there.
func (e *Encoder) reference(r refs.Ref) error {
	i, err := e.tableIndex(r)
	if err != nil {
		return err
	}
	return e.w.put(append(e.w.buf, 0xd5, extReference, byte(i>>8), byte(i)))
}

// linearRefs is the table size up to which a search beats a map.
const linearRefs = 16

func (e *Encoder) tableIndex(r refs.Ref) (int, error) {
	if e.index != nil {
		if i, ok := e.index[r]; ok {
			e.repeated(r)
			return i, nil
		}
	} else {
		for i := range e.refs {
			if e.refs[i] == r {
				e.repeated(r)
				return i, nil
			}
		}
	}
	i := len(e.refs)
	e.refs = append(e.refs, r)
	switch {
	case e.index != nil:
		e.index[r] = i
	case len(e.refs) > linearRefs:
		e.index = make(map[refs.Ref]int)
		for j, known := range e.refs {
			e.index[known] = j
		}
	}
	if i >= e.limits.References {
		return 0, refuse(fault.KindTooLarge, "more references than the limit of %d for one message (Options.Limits.References)", e.limits.References)
	}
	return i, nil
}

func (e *Encoder) repeated(r refs.Ref) {
	if x, ok := e.exporter.(Repeater); ok {
		x.RepeatRef(r)
	}
}

// export writes a remote value as a reference.
func (e *Encoder) export(v reflect.Value, i *Interface) error {
	if e.exporter == nil {
		return refuse(fault.KindInvalid, "a %s cannot travel here: only arguments and results of a call carry references", i.Name)
	}
	if obj := object(v); isNil(obj) {
		return refuse(fault.KindInvalid, "a nil %s is no %s that could be called; pass nil itself", typeName(obj.Type()), i.Name)
	}
	r, err := e.exporter.ExportRef(v, i)
	if err != nil {
		return err
	}
	return e.reference(r)
}

// object returns what an interface that is not nil holds.
func object(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	}
	return false
}

// encodeValues writes one array of values. what is "argument" or "result".
func (e *Encoder) encodeValues(m *Method, what string, plans []*plan, values []reflect.Value, outcome fault.Outcome) error {
	if len(values) != len(plans) {
		return m.fault(&fault.Error{Kind: fault.KindBadArguments, Outcome: outcome,
			Msg: m.Signature() + " has " + counted(len(plans), what) + ", not " + counted(len(values), "")})
	}
	err := e.array(len(plans))
	if err != nil {
		return m.fault(failure(e.sized(err), what+"s", fault.KindInvalid, outcome))
	}
	for i, p := range plans {
		v := values[i]
		if err = p.accept(&v); err == nil {
			err = p.enc(e, v)
		}
		if err != nil {
			return m.fault(failure(e.sized(err), numbered(what, i), fault.KindInvalid, outcome))
		}
	}
	e.depth--
	return nil
}

// accept makes v a value of p's type. The value of an interface may need that.
func (p *plan) accept(v *reflect.Value) error {
	switch {
	case !v.IsValid():
		*v = reflect.Zero(p.typ)
	case v.Type() == p.typ:
	case v.Type().AssignableTo(p.typ):
		*v = v.Convert(p.typ)
	default:
		return refuse(fault.KindBadArguments, "got a %v, want %v", v.Type(), p.typ)
	}
	return nil
}

// sized puts limit and size into the error of a body that grew too large.
func (e *Encoder) sized(err error) error {
	if e.w.over == 0 {
		return err
	}
	var path []string
	if v, ok := err.(*valueError); ok {
		path = v.path
	}
	return &valueError{kind: fault.KindTooLarge, path: path, msg: tooLarge(e.w.over, e.w.max)}
}
