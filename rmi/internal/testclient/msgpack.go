package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
)

// maxNesting is how deep bodies may nest, including the outer array.
const maxNesting = 64

// encoder writes MessagePack. It collects references in the table that goes with the body.
// Values are nil, bool, int, uint64, string, []byte, []any, map[string]any and reference.
type encoder struct {
	body  []byte
	table []reference
}

func (e *encoder) value(v any) {
	switch v := v.(type) {
	case nil:
		e.body = append(e.body, 0xc0)
	case bool:
		if v {
			e.body = append(e.body, 0xc3)
		} else {
			e.body = append(e.body, 0xc2)
		}
	case int:
		e.body = binary.BigEndian.AppendUint64(append(e.body, 0xd3), uint64(v)) // any width is allowed
	case uint64:
		e.body = binary.BigEndian.AppendUint64(append(e.body, 0xcf), v)
	case string:
		e.body = append(binary.BigEndian.AppendUint32(append(e.body, 0xdb), uint32(len(v))), v...)
	case []byte:
		e.body = append(binary.BigEndian.AppendUint32(append(e.body, 0xc6), uint32(len(v))), v...)
	case []any:
		e.body = binary.BigEndian.AppendUint32(append(e.body, 0xdd), uint32(len(v)))
		for _, x := range v {
			e.value(x)
		}
	case map[string]any:
		e.body = binary.BigEndian.AppendUint32(append(e.body, 0xdf), uint32(len(v)))
		for _, name := range slices.Sorted(maps.Keys(v)) {
			e.value(name)
			e.value(v[name])
		}
	case reference:
		e.body = binary.BigEndian.AppendUint16(append(e.body, 0xd5, 1), uint16(len(e.table)))
		e.table = append(e.table, v)
	default:
		panic(fmt.Sprintf("encoder: %T", v))
	}
}

// encode returns one value, which contains no references.
func encode(v any) []byte {
	var e encoder
	e.value(v)
	return e.body
}

var errShort = errors.New("MessagePack ends too early")

// decoder reads MessagePack. Integers become int64, or uint64 if they are too large for it. All
// else is as in encoder. What this program reads has no maps with keys that are not strings.
type decoder struct {
	rest  []byte
	table []reference
}

// decode reads exactly one value, an array.
func decode(body []byte, table []reference) ([]any, error) {
	d := decoder{body, table}
	v, err := d.value(1)
	if err != nil {
		return nil, err
	}
	list, ok := v.([]any)
	if !ok || len(d.rest) > 0 {
		return nil, fmt.Errorf("a body is %T with %d bytes behind it, want one array", v, len(d.rest))
	}
	return list, nil
}

func (d *decoder) take(n uint64) ([]byte, error) {
	if n > uint64(len(d.rest)) {
		return nil, errShort
	}
	b := d.rest[:n]
	d.rest = d.rest[n:]
	return b, nil
}

// uint reads a number of 1, 2, 4 or 8 bytes.
func (d *decoder) uint(width int) (uint64, error) {
	b, err := d.take(uint64(width))
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return n, nil
}

func (d *decoder) value(nesting int) (any, error) {
	code, err := d.uint(1)
	if err != nil {
		return nil, err
	}
	switch c := byte(code); {
	case c <= 0x7f:
		return int64(c), nil
	case c >= 0xe0:
		return int64(int8(c)), nil
	case c <= 0x8f:
		return d.dict(uint64(c&0x0f), nesting)
	case c <= 0x9f:
		return d.list(uint64(c&0x0f), nesting)
	case c <= 0xbf:
		return d.str(uint64(c & 0x1f))
	case c == 0xc0:
		return nil, nil
	case c == 0xc2, c == 0xc3:
		return c == 0xc3, nil
	case c >= 0xc4 && c <= 0xc6:
		n, err := d.uint(1 << (c - 0xc4))
		if err != nil {
			return nil, err
		}
		return d.take(n)
	case c >= 0xc7 && c <= 0xc9:
		n, err := d.uint(1 << (c - 0xc7))
		if err != nil {
			return nil, err
		}
		return d.ext(n)
	case c == 0xca:
		n, err := d.uint(4)
		return float64(math.Float32frombits(uint32(n))), err
	case c == 0xcb:
		n, err := d.uint(8)
		return math.Float64frombits(n), err
	case c >= 0xcc && c <= 0xcf:
		n, err := d.uint(1 << (c - 0xcc))
		if n > math.MaxInt64 {
			return n, err
		}
		return int64(n), err
	case c >= 0xd0 && c <= 0xd3:
		width := 1 << (c - 0xd0)
		n, err := d.uint(width)
		unused := 64 - 8*width
		return int64(n<<unused) >> unused, err
	case c >= 0xd4 && c <= 0xd8:
		return d.ext(1 << (c - 0xd4))
	case c >= 0xd9 && c <= 0xdb:
		n, err := d.uint(1 << (c - 0xd9))
		if err != nil {
			return nil, err
		}
		return d.str(n)
	case c == 0xdc, c == 0xdd:
		n, err := d.uint(2 << (c - 0xdc))
		if err != nil {
			return nil, err
		}
		return d.list(n, nesting)
	case c == 0xde, c == 0xdf:
		n, err := d.uint(2 << (c - 0xde))
		if err != nil {
			return nil, err
		}
		return d.dict(n, nesting)
	default:
		return nil, fmt.Errorf("MessagePack has no code %#x", c)
	}
}

func (d *decoder) str(n uint64) (any, error) {
	b, err := d.take(n)
	return string(b), err
}

func (d *decoder) list(n uint64, nesting int) (any, error) {
	if nesting > maxNesting || n > uint64(len(d.rest)) { // an element has at least one byte
		return nil, errors.New("an array is too deep or too long")
	}
	list := make([]any, n)
	for i := range list {
		var err error
		if list[i], err = d.value(nesting + 1); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (d *decoder) dict(n uint64, nesting int) (any, error) {
	if nesting > maxNesting || n > uint64(len(d.rest)) {
		return nil, errors.New("a map is too deep or too long")
	}
	dict := make(map[string]any, n)
	for range n {
		key, err := d.value(nesting + 1)
		if err != nil {
			return nil, err
		}
		name, ok := key.(string)
		if _, twice := dict[name]; !ok || twice {
			return nil, fmt.Errorf("the key %v of a map is no string, or occurs twice", key)
		}
		if dict[name], err = d.value(nesting + 1); err != nil {
			return nil, err
		}
	}
	return dict, nil
}

// ext reads a reference, the one ext type that this program knows.
func (d *decoder) ext(n uint64) (any, error) {
	kind, err := d.uint(1)
	if err != nil {
		return nil, err
	}
	if kind != 1 || n != 2 {
		return nil, fmt.Errorf("ext type %d of %d bytes", int8(kind), n)
	}
	index, err := d.uint(2)
	if err != nil {
		return nil, err
	}
	if index >= uint64(len(d.table)) {
		return nil, fmt.Errorf("reference %d of a table of %d", index, len(d.table))
	}
	return d.table[index], nil
}
