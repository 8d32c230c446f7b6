package codec

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// A Decoder reads one body that Scan accepted. It is not safe for concurrent
// use. The values that it returns share no memory with the body.
type Decoder struct {
	r        bodyReader
	mp       *msgpack.Decoder // reads from r; sees only what user codecs read
	table    []refs.Ref
	importer Importer
	limits   *wire.Limits
	memory   int             // bytes of Go values that may still be made
	errors   int             // how many typed errors this decoder's value stands inside
	text     strings.Builder // short strings; see string
	owned    bool            // see Own
	taken    bool
	tainted  bool
	track                            // of typed calls
	stack    [wire.MaxNesting]uint32 // for scanValue
}

// bodyReader reads a body in memory. It offers msgpack the methods that keep
// it from buffering.
type bodyReader struct {
	b   []byte
	pos int
}

func (r *bodyReader) Read(p []byte) (int, error) {
	if r.pos >= len(r.b) && len(p) > 0 {
		return 0, io.EOF
	}
	n := copy(p, r.b[r.pos:])
	r.pos += n
	return n, nil
}

func (r *bodyReader) ReadByte() (byte, error) {
	if r.pos >= len(r.b) {
		return 0, io.EOF
	}
	r.pos++
	return r.b[r.pos-1], nil
}

func (r *bodyReader) UnreadByte() error {
	if r.pos == 0 {
		return errors.New("nothing to unread")
	}
	r.pos--
	return nil
}

var decoders = sync.Pool{New: func() any {
	d := new(Decoder)
	d.mp = msgpack.NewDecoder(&d.r)
	return d
}}

// NewDecoder scans body and returns a decoder for it. table is the frame's
// reference table. im imports the remote values in the body. It may be nil
// if there are none. nil limits mean the defaults. body and table still belong to the
// caller and must not change until Release. Errors are those of Scan.
func NewDecoder(body []byte, table []refs.Ref, im Importer, l *wire.Limits) (*Decoder, error) {
	d := decoders.Get().(*Decoder)
	d.limits = l.Effective()
	if len(table) > d.limits.References {
		err := fault.New(fault.KindTooLarge, fault.OutcomeUnknown, "a table of %d references is above the limit of %d (Options.Limits.References)",
			len(table), d.limits.References)
		d.Release()
		return nil, err
	}
	if _, err := scanBody(body, d.limits, d.stack[:]); err != nil {
		d.Release()
		return nil, err
	}
	d.r = bodyReader{b: body}
	d.table, d.importer, d.memory = table, im, d.limits.Memory
	return d, nil
}

// Own permits a decoded value to keep the body's memory.
func (d *Decoder) Own() { d.owned = true }

// Taken reports whether a value keeps the body's memory. The memory must not be used again then.
func (d *Decoder) Taken() bool { return d.taken }

// Release gives the decoder back. It must not be used afterwards. Decoded
// values stay valid.
func (d *Decoder) Release() {
	d.owned, d.taken = false, false
	if d.tainted || len(d.r.b) > keepBuffer {
		d.mp = msgpack.NewDecoder(&d.r) // drops what it buffered or recorded
	}
	d.r = bodyReader{}
	d.table, d.importer = nil, nil
	d.text.Reset()
	d.errors, d.tainted, d.track = 0, false, d.track.reset()
	decoders.Put(d)
}

// head reads the head of the next value.
func (d *Decoder) head() (valueHead, error) {
	h, ok := readHead(d.r.b[d.r.pos:])
	if !ok {
		return valueHead{}, refuse(fault.KindBadArguments, "the body ends too early")
	}
	d.r.pos += h.size
	return h, nil
}

// null consumes a nil if one comes next.
func (d *Decoder) null() bool {
	if d.r.pos < len(d.r.b) && d.r.b[d.r.pos] == 0xc0 {
		d.r.pos++
		return true
	}
	return false
}

// payload returns the bytes after the head of a string, binary data or ext. They belong to the
// body.
func (d *Decoder) payload(h valueHead) ([]byte, error) {
	if h.n > uint64(len(d.r.b)-d.r.pos) {
		return nil, refuse(fault.KindBadArguments, "the body ends too early")
	}
	b := d.r.b[d.r.pos : d.r.pos+int(h.n)]
	d.r.pos += int(h.n)
	return b, nil
}

// raw returns the bytes of the next value and skips it.
func (d *Decoder) raw() ([]byte, Shape, error) {
	rest := d.r.b[d.r.pos:]
	shape, end, err := scanValue(rest, d.limits, d.stack[:])
	if err != nil {
		return nil, Shape{}, err
	}
	d.r.pos += end
	return rest[:end], shape, nil
}

// length reads the head of an array or map. Scan made sure that the count is at most the bytes that
// are left.
func (d *Decoder) length(class valueClass, t reflect.Type) (int, error) {
	h, err := d.head()
	if err != nil {
		return 0, err
	}
	if h.class != class {
		return 0, unexpected(h, t)
	}
	if h.n > uint64(len(d.r.b)-d.r.pos) {
		return 0, refuse(fault.KindBadArguments, "the body ends too early")
	}
	return int(h.n), nil
}

// charge takes n values of a size out of the memory budget, before they are allocated.
func (d *Decoder) charge(n int, size uintptr) error {
	if size > 0 && uint64(n) > uint64(d.memory)/uint64(size) {
		return refuse(fault.KindTooLarge, "decoding takes more memory than the limit of %d bytes (Options.Limits.Memory)", d.limits.Memory)
	}
	d.memory -= n * int(size)
	return nil
}

// unexpected returns the error for a value whose head was read and does not fit.
func unexpected(h valueHead, t reflect.Type) error {
	got := h.class.String()
	if h.class == classExt {
		got = map[int8]string{extTime: "a time", extReference: "a reference"}[h.ext]
	}
	return refuse(fault.KindBadArguments, "got %s, want %s", got, typeName(t))
}

// decodeValues reads one array of values. what is "argument" or "result".
func (d *Decoder) decodeValues(m *Method, what string, plans []*plan, kind fault.Kind, outcome fault.Outcome) ([]reflect.Value, error) {
	if err := d.openValues(m, what, len(plans), kind, outcome); err != nil {
		return nil, m.fault(err)
	}
	if len(plans) == 0 {
		return nil, nil
	}
	values := make([]reflect.Value, len(plans))
	for i, p := range plans {
		v := reflect.New(p.typ).Elem()
		if err := p.dec(d, v); err != nil {
			return nil, m.fault(valueFailure(err, what, i, kind, outcome))
		}
		values[i] = v
	}
	return values, nil
}

// openValues reads the head of the array of want values.
func (d *Decoder) openValues(m *Method, what string, want int, kind fault.Kind, outcome fault.Outcome) *fault.Error {
	h, err := d.head()
	if err == nil && h.class != classArray {
		err = refuse(kind, "got %v, want an array of them", h.class)
	}
	if err != nil {
		return failure(err, what+"s", kind, outcome)
	}
	if h.n != uint64(want) {
		return &fault.Error{Kind: kind, Outcome: outcome,
			Msg: fmt.Sprintf("%s has %s, the message has %d", m.Signature(), counted(want, what), h.n)}
	}
	return nil
}

// valueFailure returns the error of value i. For a malformed form, its kind is the one given.
func valueFailure(err error, what string, i int, kind fault.Kind, outcome fault.Outcome) *fault.Error {
	f := failure(err, numbered(what, i), kind, outcome)
	if f.Kind == fault.KindBadArguments {
		f.Kind = kind
	}
	return f
}

func numbered(what string, i int) string { return what + " " + strconv.Itoa(i+1) }

func counted(n int, what string) string {
	s := strconv.Itoa(n)
	if what == "" {
		return s
	}
	if n != 1 {
		what += "s"
	}
	return s + " " + what
}

func tooLarge(size, limit int) string {
	return fmt.Sprintf("the body takes %d bytes or more, above the limit of %d bytes (Options.Limits.Message)", size, limit)
}
