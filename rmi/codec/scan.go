package codec

import (
	"encoding/binary"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// The ext types of a body. Every other ext type is refused.
const (
	extTime      = -1 // msgpack's timestamp: 4, 8 or 12 bytes
	extReference = 1  // 2 bytes: index into the frame's reference table
)

// valueClass is what kind of msgpack value a head announces.
type valueClass uint8

const (
	classNil valueClass = iota
	classBool
	classInt  // a negative integer
	classUint // a non-negative integer
	classFloat32
	classFloat64
	classString
	classBinary
	classArray
	classMap
	classExt
)

// String names the class as error messages need it: "got a string".
func (c valueClass) String() string {
	return [...]string{"nil", "a bool", "an integer", "an integer", "a float32", "a float64",
		"a string", "binary data", "an array", "a map", "an extension"}[c]
}

// valueHead is the decoded first bytes of a msgpack value.
type valueHead struct {
	class valueClass
	ext   int8 // type of a classExt
	size  int  // bytes of the head; the payload, if any, follows
	// n is the number itself for bools, integers (two's complement) and floats (IEEE bits). It is
	// the payload's length in bytes for strings, binary data and exts. It is the count of elements
	// or pairs for arrays and maps.
	n uint64
}

// readHead decodes the head of the value at the start of b. It returns false when b ends inside the
// head or when the first byte is no msgpack code.
func readHead(b []byte) (valueHead, bool) {
	if len(b) == 0 {
		return valueHead{}, false
	}
	c := b[0]
	switch {
	case c <= 0x7f:
		return valueHead{class: classUint, size: 1, n: uint64(c)}, true
	case c <= 0x8f:
		return valueHead{class: classMap, size: 1, n: uint64(c & 0x0f)}, true
	case c <= 0x9f:
		return valueHead{class: classArray, size: 1, n: uint64(c & 0x0f)}, true
	case c <= 0xbf:
		return valueHead{class: classString, size: 1, n: uint64(c & 0x1f)}, true
	case c >= 0xe0:
		return valueHead{class: classInt, size: 1, n: uint64(int64(int8(c)))}, true
	}
	switch c {
	case 0xc0:
		return valueHead{class: classNil, size: 1}, true
	case 0xc2, 0xc3:
		return valueHead{class: classBool, size: 1, n: uint64(c & 1)}, true
	case 0xc4, 0xc5, 0xc6:
		return sizedHead(b, classBinary, 1<<(c-0xc4))
	case 0xc7, 0xc8, 0xc9:
		h, ok := sizedHead(b, classExt, 1<<(c-0xc7))
		if !ok || len(b) <= h.size {
			return valueHead{}, false
		}
		h.ext = int8(b[h.size])
		h.size++
		return h, true
	case 0xca:
		return sizedHead(b, classFloat32, 4)
	case 0xcb:
		return sizedHead(b, classFloat64, 8)
	case 0xcc, 0xcd, 0xce, 0xcf:
		return sizedHead(b, classUint, 1<<(c-0xcc))
	case 0xd0, 0xd1, 0xd2, 0xd3:
		width := 1 << (c - 0xd0)
		h, ok := sizedHead(b, classInt, width)
		shift := 64 - 8*width
		if h.n = uint64(int64(h.n<<shift) >> shift); int64(h.n) >= 0 {
			h.class = classUint
		}
		return h, ok
	case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8:
		if len(b) < 2 {
			return valueHead{}, false
		}
		return valueHead{class: classExt, ext: int8(b[1]), size: 2, n: 1 << (c - 0xd4)}, true
	case 0xd9, 0xda, 0xdb:
		return sizedHead(b, classString, 1<<(c-0xd9))
	case 0xdc, 0xdd:
		return sizedHead(b, classArray, 2<<(c-0xdc))
	case 0xde, 0xdf:
		return sizedHead(b, classMap, 2<<(c-0xde))
	}
	return valueHead{}, false
}

// sizedHead reads the big-endian number of width bytes that follows the code.
func sizedHead(b []byte, class valueClass, width int) (valueHead, bool) {
	if len(b) < 1+width {
		return valueHead{}, false
	}
	h := valueHead{class: class, size: 1 + width}
	switch width {
	case 1:
		h.n = uint64(b[1])
	case 2:
		h.n = uint64(binary.BigEndian.Uint16(b[1:]))
	case 4:
		h.n = uint64(binary.BigEndian.Uint32(b[1:]))
	case 8:
		h.n = binary.BigEndian.Uint64(b[1:])
	}
	return h, true
}

// sizes has the length of a value by its first byte. It covers values that contain no others and
// are no ext, where that byte alone tells the length.
var sizes = func() (t [256]uint8) {
	for c := range t {
		switch c := byte(c); {
		case c < 0x80, c >= 0xe0, c == 0xc0, c&^1 == 0xc2:
			t[c] = 1
		case c&^0x1f == 0xa0:
			t[c] = 1 + c&0x1f
		case c == 0xca, c == 0xce, c == 0xd2:
			t[c] = 5
		case c == 0xcb, c == 0xcf, c == 0xd3:
			t[c] = 9
		case c == 0xcc, c == 0xd0:
			t[c] = 2
		case c == 0xcd, c == 0xd1:
			t[c] = 3
		}
	}
	return t
}()

// Shape says how much a scanned body declares.
type Shape struct {
	Elements int // array elements, map keys and map values, in total
	Depth    int // deepest nesting of arrays and maps
}

// Scan checks a body from a peer in one pass, without recursion and without allocating. Nothing
// else looks at the body before. The body must hold exactly one msgpack value, of known codes and
// ext types. No declared length may exceed the bytes that are left. Nesting and the number of
// elements must stay within l (nil means the defaults).
//
// The error is a *fault.Error of kind TooLarge (a limit is exceeded) or BadArguments (the body is
// malformed). Its outcome is Unknown: Scan checks both arguments and results, and only the caller
// knows which these are.
func Scan(body []byte, l *wire.Limits) (Shape, error) {
	lim := l.Effective()
	var stack [wire.MaxNesting]uint32
	return scanBody(body, lim, stack[:])
}

// scanBody is Scan with a stack that the caller lends.
func scanBody(body []byte, lim *wire.Limits, stack []uint32) (Shape, error) {
	if len(body) > lim.Message {
		return Shape{}, fault.New(fault.KindTooLarge, fault.OutcomeUnknown,
			"a body of %d bytes is above the limit of %d bytes (Options.Limits.Message)", len(body), lim.Message)
	}
	shape, end, err := scanValue(body, lim, stack)
	if err != nil {
		return Shape{}, err
	}
	if end != len(body) {
		return Shape{}, malformed("%d bytes follow its end at byte %d", len(body)-end, end)
	}
	return shape, nil
}

func malformed(format string, a ...any) error {
	return fault.New(fault.KindBadArguments, fault.OutcomeUnknown, "the body is malformed: "+format, a...)
}

// scanValue checks the value at the start of b and returns where it ends. stack holds, for every
// open array or map, how many values it still lacks. It has at least lim.Depth entries.
func scanValue(b []byte, lim *wire.Limits, stack []uint32) (shape Shape, end int, err error) {
	depth := 0
	// missing counts values that are announced and were not met yet. Each takes a byte or more.
	// That bounds all counts by the length of b, however they nest.
	missing := uint64(1)
	for {
		if depth > 0 { // a run of scalars; the last value of what is open is left to what follows
			n := stack[depth-1]
			for n > 1 && end < len(b) {
				code := b[end]
				size := int(sizes[code])
				if size == 0 || size > len(b)-end {
					break
				}
				end += size
				n--
				for n > 1 && size <= len(b)-end && b[end] == code { // mostly, one is like the one before
					end += size
					n--
				}
			}
			missing -= uint64(stack[depth-1] - n)
			stack[depth-1] = n
		}
		start := end
		h, ok := readHead(b[start:])
		if !ok {
			return Shape{}, 0, badHead(b, end)
		}
		end += h.size
		missing--
		left := uint64(len(b) - end)
		switch h.class {
		case classString, classBinary, classExt:
			if h.n > left {
				return Shape{}, 0, malformed("%v of %d bytes at byte %d, but %d bytes are left", h.class, h.n, start, left)
			}
			if h.class == classExt && !knownExt(h) {
				return Shape{}, 0, malformed("ext type %d of %d bytes at byte %d is unknown", h.ext, h.n, start)
			}
			end += int(h.n)
		case classArray, classMap:
			count := h.n
			if h.class == classMap {
				count *= 2
			}
			missing += count
			if missing > left {
				return Shape{}, 0, malformed("%v of %d at byte %d, but %d bytes are left for %d values",
					h.class, h.n, start, left, missing)
			}
			if depth == lim.Depth {
				return Shape{}, 0, fault.New(fault.KindTooLarge, fault.OutcomeUnknown,
					"the body nests deeper than the limit of %d (Options.Limits.Depth; at byte %d)", lim.Depth, start)
			}
			if shape.Elements += int(count); shape.Elements > lim.Elements {
				return Shape{}, 0, fault.New(fault.KindTooLarge, fault.OutcomeUnknown,
					"the body has %d elements or more, above the limit of %d (Options.Limits.Elements)", shape.Elements, lim.Elements)
			}
			shape.Depth = max(shape.Depth, depth+1)
			if count > 0 {
				stack[depth] = uint32(count)
				depth++
				continue
			}
		}
		for depth > 0 {
			if stack[depth-1]--; stack[depth-1] > 0 {
				break
			}
			depth--
		}
		if depth == 0 {
			return shape, end, nil
		}
	}
}

func knownExt(h valueHead) bool {
	switch h.ext {
	case extTime:
		return h.n == 4 || h.n == 8 || h.n == 12
	case extReference:
		return h.n == 2
	}
	return false
}

func badHead(b []byte, at int) error {
	if at < len(b) && b[at] == 0xc1 {
		return malformed("byte %d is 0xc1, which is no msgpack code", at)
	}
	return malformed("it ends inside a value, after %d bytes", len(b))
}
