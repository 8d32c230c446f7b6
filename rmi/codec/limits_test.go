package codec

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// nest is n arrays within each other, around nothing.
func nest(n int) string { return strings.Repeat("\x91", n-1) + "\x90" }

// nested is a value whose encoding, as the argument of a method, is nest(n).
func nested(n int) (v ring) {
	for v = (ring{}); n > 2; n-- {
		v = ring{v}
	}
	return v
}

// What a limit allows passes, and one more does not, on either side.
func TestLimitsOfDepthAreExact(t *testing.T) {
	m := methodOf(t, reflect.TypeFor[ring]())
	for _, depth := range []int{2, 3, 63, 64, 254, 255} {
		lim := &wire.Limits{Depth: depth}
		for n := max(2, depth-1); n <= depth+2; n++ {
			fits := n <= depth
			_, err := Scan([]byte(nest(n)), lim)
			check := func(who string) {
				t.Helper()
				if fits && err != nil || !fits && (fault.KindOf(err) != fault.KindTooLarge || !strings.Contains(err.Error(), "nests deeper than the limit of "+fmt.Sprint(depth))) {
					t.Errorf("%s, %d deep with a limit of %d: %v", who, n, depth, err)
				}
			}
			check("Scan")
			_, err = Scan([]byte(strings.Repeat("\x81\xc0", n-1)+"\x80"), lim)
			check("Scan of maps")
			e := NewEncoder(nil, lim)
			err = m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(nested(n))})
			check("EncodeArgs")
			if fits && string(e.Body()) != nest(n) {
				t.Errorf("nested(%d) is %x", n, e.Body())
			}
			e.Release()
			if fits {
				d, err := NewDecoder([]byte(nest(n)), nil, nil, lim)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := m.DecodeArgs(d); err != nil || !reflect.DeepEqual(got[0].Interface(), nested(n)) {
					t.Errorf("%d deep with a limit of %d: got %v, %v", n, depth, got, err)
				}
				d.Release()
			}
		}
	}
}

func TestLimitsOfElementsAreExact(t *testing.T) {
	type entry struct{ A, B int }
	for _, test := range []struct {
		v    any
		body string
		n    int // elements, the argument included
	}{
		{[]bool{true, true, true}, "\x91\x93\xc3\xc3\xc3", 4},
		{map[string]int{"a": 1, "b": 2}, "\x91\x82\xa1a\x01\xa1b\x02", 5},
		{[]entry{{1, 2}}, "\x91\x91\x82\xa1A\x01\xa1B\x02", 6},
		{[][]int{{1}, {}}, "\x91\x92\x91\x01\x90", 4},
	} {
		for _, limit := range []int{test.n - 1, test.n, test.n + 1} {
			lim, fits := &wire.Limits{Elements: limit}, test.n <= limit
			_, scanned := Scan([]byte(test.body), lim)
			e := NewEncoder(nil, lim)
			encoded := methodOf(t, reflect.TypeOf(test.v)).EncodeArgs(e, []reflect.Value{reflect.ValueOf(test.v)})
			e.Release()
			for who, err := range map[string]error{"Scan": scanned, "EncodeArgs": encoded} {
				if fits && err != nil || !fits && (fault.KindOf(err) != fault.KindTooLarge || !strings.Contains(err.Error(), fmt.Sprintf("above the limit of %d", limit))) {
					t.Errorf("%s of %d elements with a limit of %d: %v", who, test.n, limit, err)
				}
			}
		}
	}
}

// Every value that is made takes from the memory that is left, whatever its kind
// and however small it is: many small ones do not pass where one large does not.
func TestManySmallValuesShareOneMemory(t *testing.T) {
	const n = 100
	type small struct{ P *int64 }
	list := "\x91\xdc\x00\x64" // of a hundred
	for _, test := range []struct {
		typ  reflect.Type
		elem string
		size int // bytes of one element and what it points to
	}{
		{reflect.TypeFor[[]*int64](), "\x01", 8 + 8},
		{reflect.TypeFor[[]string](), "\xa4abcd", 16 + 4},
		{reflect.TypeFor[[][]byte](), "\xc4\x04abcd", 24 + 4},
		{reflect.TypeFor[[][]int64](), "\x91\x01", 24 + 8},
		{reflect.TypeFor[[]small](), "\x81\xa1P\x01", 8 + 8},
		{reflect.TypeFor[[]any](), "\x92\xa5int64\x01", 16 + 8},
		{reflect.TypeFor[[]map[bool]bool](), "\x81\xc2\xc3", 8 + 2*(2+16)},
	} {
		m := methodOf(t, test.typ)
		for _, spare := range []int{0, -1} {
			d, err := NewDecoder([]byte(list+strings.Repeat(test.elem, n)), nil, nil, &wire.Limits{Memory: n*test.size + spare})
			if err != nil {
				t.Fatal(err)
			}
			_, err = m.DecodeArgs(d)
			d.Release()
			if spare == 0 && err != nil {
				t.Errorf("%v: %v", test.typ, err)
			} else if spare < 0 {
				wantError(t, err, fault.KindTooLarge, "argument 1[99]", "more memory than the limit")
			}
		}
	}
	// By name too, and across typed errors, which are bodies of their own.
	for _, memory := range []int{1 << 20, 2000} {
		d, err := NewDecoder([]byte(list+strings.Repeat("\xa4abcd", n)), nil, nil, &wire.Limits{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeAny(d)
		d.Release()
		if (err == nil) != (memory == 1<<20) {
			t.Errorf("DecodeAny with %d bytes: %v", memory, err)
		}
	}
	for spare, fits := range map[int]bool{0: true, -1: false} { // a hundred nils in two lists
		d, err := NewDecoder([]byte(list+strings.Repeat("\xc0", n)), nil, nil, &wire.Limits{Memory: 101*16 + 102*24 + spare})
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodeAny(d)
		d.Release()
		if (err == nil) != fits {
			t.Errorf("DecodeAny with %d bytes to spare: %v", spare, err)
		}
	}
	many := make([]error, 10)
	for i := range many {
		many[i] = &overdrawn{Cause: errors.New(strings.Repeat("x", 1000))}
	}
	form := AppendError(nil, errors.Join(many...))
	for memory, want := range map[int]int{1 << 20: 10, 5000: 4} {
		f, err := ParseError(form, &wire.Limits{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(f.Err.(*fault.Remote).Causes); got < want-2 || got > want {
			t.Errorf("with %d bytes %d errors were made, want %d at most", memory, got, want)
		}
	}
}

// The text of an error has at most 64 KiB on the wire, cut between characters.
func TestTextsOfErrorsAreCutAt64KiB(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{strings.Repeat("x", 64<<10), strings.Repeat("x", 64<<10)},
		{strings.Repeat("x", 64<<10+1), strings.Repeat("x", 64<<10-3) + "…"},
		{"x" + strings.Repeat("ä", 32<<10), "x" + strings.Repeat("ä", 32<<10-2) + "…"},
		{strings.Repeat("x", 1<<20), strings.Repeat("x", 64<<10-3) + "…"},
	} {
		for _, err := range []error{errors.New(test.text), &fault.Error{Kind: fault.KindDenied, Msg: test.text}} {
			f := sent(t, err)
			if got := f.Detail(); got != test.want || len(got) > 64<<10 || !utf8.ValidString(got) {
				t.Errorf("%T of %d bytes arrived with %d", err, len(test.text), len(got))
			}
		}
		if f := sent(t, &fault.Error{Kind: fault.KindDenied, Op: test.text}); f.Op != test.want {
			t.Errorf("an op of %d bytes arrived with %d", len(test.text), len(f.Op))
		}
	}
}

// An error carries 16 others at most, of 64 KiB together, whatever the peer sends.
func TestWhatAnErrorCarriesIsBounded(t *testing.T) {
	var many []error
	for range 5 {
		many = append(many, &overdrawn{Cause: errors.New(strings.Repeat("x", 20_000))})
	}
	form := AppendError(nil, errors.Join(many...))
	f, err := ParseError(form, nil)
	if err != nil || len(f.Err.(*fault.Remote).Causes) != 3 || len(form) > 64<<10 {
		t.Errorf("%d bytes, %v, %v", len(form), f, err)
	}
	entry := "\x92\xa6io.EOF\xc0"
	f, err = ParseError([]byte("\x95\x10\x02\xa1t\xa0\xdc\x00\x28"+strings.Repeat(entry, 40)), nil)
	if err != nil || len(f.Err.(*fault.Remote).Causes) != 16 {
		t.Errorf("%v, %v", f, err)
	}
	if f.Outcome != fault.OutcomeExecuted || f.Kind != fault.KindApplication {
		t.Errorf("got %v, %v", f.Kind, f.Outcome)
	}
}

// endlessly wraps a new error each time that Unwrap is called.
type endlessly struct{ asked *int }

func (e endlessly) Error() string { return "endless" }
func (e endlessly) Unwrap() error { *e.asked++; return endlessly{e.asked} }

// failing is a registered error whose values cannot be written.
type failing struct {
	tried *int
	n     int
}

func (f failing) Error() string                { return "failing" }
func (f failing) MarshalText() ([]byte, error) { *f.tried++; return nil, errors.New("no") }
func (f *failing) UnmarshalText([]byte) error  { return nil }

// heavy takes a megabyte.
type heavy struct{ Pad [1 << 20]uint8 }

func (heavy) Error() string { return "heavy" }

func init() {
	fault.RegisterType[failing]("test.failing")
	fault.RegisterType[heavy]("test.heavy")
}

func TestLookingAtAnErrorIsBounded(t *testing.T) {
	n := 0
	sent(t, endlessly{&n})
	if n == 0 || n > maxErrorNodes+1 {
		t.Errorf("Unwrap was called %d times", n)
	}
	n = 0
	var many error
	for i := range 100 {
		many = errors.Join(many, failing{&n, i})
	}
	sent(t, many)
	if n != maxErrorIdentities {
		t.Errorf("%d values were tried", n)
	}
	// Every hop of a chain of calls adds an error of kind Application.
	var hops error = code(7)
	for range 2 * maxErrorIdentities {
		hops = &fault.Error{Kind: fault.KindApplication, Outcome: fault.OutcomeExecuted, Err: hops}
	}
	var c code
	if f := sent(t, fmt.Errorf("x: %w", hops)); !errors.As(f, &c) || c != 7 || len(f.Err.(*fault.Remote).Causes) != 1 {
		t.Errorf("got %v", f)
	}
	form := []byte("\x95\x10\x09\xa1t\xa0\x91\x92\xaatest.heavy\xc4\x01\xc0")
	for memory, want := range map[int]int{1 << 21: 1, 1 << 19: 0} {
		f, err := ParseError(form, &wire.Limits{Memory: memory})
		if err != nil || len(f.Err.(*fault.Remote).Causes) != want || f.Outcome != fault.OutcomeUnknown {
			t.Errorf("with %d bytes: %v, %v, outcome %v", memory, f, err, f.Outcome)
		}
	}
}

// deepCodec writes arrays within each other by a codec of its own.
type deepCodec struct{ depth int }

func (c deepCodec) MarshalMsgpack() ([]byte, error)  { return []byte(nest(c.depth)), nil }
func (c *deepCodec) UnmarshalMsgpack(b []byte) error { c.depth = len(b); return nil }

// What a type's own codec writes counts with what stands around it.
func TestCodecsStayWithinTheLimitsOfTheBody(t *testing.T) {
	m := methodOf(t, reflect.TypeFor[[]deepCodec]())
	try := func(v []deepCodec, l *wire.Limits) error {
		e := NewEncoder(nil, l)
		defer e.Release()
		return m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(v)})
	}
	for _, test := range []struct {
		v    []deepCodec
		fits wire.Limits
		less wire.Limits
	}{
		{[]deepCodec{{5}}, wire.Limits{Depth: 7}, wire.Limits{Depth: 6}},
		{[]deepCodec{{5}, {3}}, wire.Limits{Elements: 9}, wire.Limits{Elements: 8}}, // 1 + 2 + 4 + 2
	} {
		if err := try(test.v, &test.fits); err != nil {
			t.Errorf("%v within %+v: %v", test.v, test.fits, err)
		}
		wantError(t, try(test.v, &test.less), fault.KindInvalid, "with its own codec cannot travel")
	}
	body := []byte("\x91\x91" + nest(20))
	for memory, fits := range map[int]bool{64 * 25: true, 64 * 15: false} {
		d, err := NewDecoder(body, nil, nil, &wire.Limits{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		_, err = m.DecodeArgs(d)
		d.Release()
		if (err == nil) != fits {
			t.Errorf("with %d bytes: %v", memory, err)
		}
	}
}

func TestOtherLimitsAreExact(t *testing.T) {
	if _, err := Scan([]byte("\x92\x01\x02"), &wire.Limits{Message: 3}); err != nil {
		t.Error(err)
	}
	_, err := Scan([]byte("\x92\x01\x02"), &wire.Limits{Message: 2})
	wantError(t, err, fault.KindTooLarge, "a body of 3 bytes is above the limit of 2 bytes")
	if _, err := InterfaceOf(funcOf(reflect.TypeFor[********int]())); err != nil {
		t.Error(err)
	}
	_, err = InterfaceOf(funcOf(reflect.TypeFor[*********int]()))
	wantError(t, err, fault.KindInvalid, "more than 8 pointers deep")
	type named struct{ N int }
	type other struct{ N int }
	RegisterType(strings.Repeat("n", 254), reflect.TypeFor[named]())
	same(t, any(&named{1})) // with the "*", 255 bytes
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "the name is not 1 to 254 bytes") {
			t.Errorf("got %v", r)
		}
	}()
	RegisterType(strings.Repeat("m", 255), reflect.TypeFor[other]())
}

func TestDescriptionsAreBounded(t *testing.T) {
	fields := func(n int) reflect.Type {
		var list []reflect.StructField
		for i := range n {
			list = append(list, reflect.StructField{Name: fmt.Sprintf("F%0249d", i), Type: reflect.TypeFor[int]()})
		}
		return reflect.StructOf(list)
	}
	if _, err := InterfaceOf(funcOf(fields(200))); err != nil {
		t.Error(err)
	}
	_, err := InterfaceOf(funcOf(fields(300)))
	wantError(t, err, fault.KindInvalid, "rule 6: ", "more than 65536 bytes or 4096 types")
}

// room is a Room that has some bytes.
type room struct {
	size  int
	asked []int
}

func (r *room) Reserve(n int) *fault.Error {
	r.asked = append(r.asked, n)
	if n > r.size {
		return fault.New(fault.KindOverloaded, fault.OutcomeExecuted, "no room for %d", n)
	}
	return nil
}

// An encoder takes no memory for which it did not get room, whatever makes its body grow.
func TestAnEncoderAsksForRoom(t *testing.T) {
	type pair struct{ A, B string }
	for name, v := range map[string]any{
		"bytes":   make([]byte, 1<<20),
		"string":  strings.Repeat("x", 1<<20),
		"ints":    make([]int, 1<<20),
		"structs": slices.Repeat([]pair{{"some", "thing"}}, 40_000),
		"strings": slices.Repeat([]string{"something"}, 100_000),
		"map":     map[string][]byte{"a": make([]byte, 1<<20)},
	} {
		m := methodOf(t, reflect.TypeOf(v))
		encode := func(size int) (*Encoder, *room, error) {
			e, r := NewEncoder(nil, &wire.Limits{Message: 2 << 20, Elements: 2 << 20}), &room{size: size}
			e.Within(r)
			return e, r, m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(v)})
		}
		e, r, err := encode(2 << 20)
		if err != nil || len(e.Body()) < 600_000 || r.asked[0] <= keepBuffer || r.asked[len(r.asked)-1] < len(e.Body()) {
			t.Errorf("%s: %d bytes, after asking for %v: %v", name, len(e.Body()), r.asked, err)
		}
		e.Release()
		e, r, err = encode(300_000)
		if fault.KindOf(err) != fault.KindOverloaded || !strings.Contains(err.Error(), "no room for") || len(e.Body()) > 300_000 {
			t.Errorf("%s, without room: %d bytes, after asking for %v: %v", name, len(e.Body()), r.asked, err)
		}
		e.Release()
		e = NewEncoder(nil, &wire.Limits{Message: 2 << 20, Elements: 2 << 20})
		if err := m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(v)}); err != nil {
			t.Errorf("%s, by one that asks nobody: %v", name, err)
		}
		e.Release()
	}
	e, r := NewEncoder(nil, &wire.Limits{Message: 1 << 20}), &room{size: 4 << 20}
	defer e.Release()
	e.Within(r)
	m := methodOf(t, reflect.TypeFor[[]byte]())
	if err := m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(make([]byte, 1<<20))}); fault.KindOf(err) != fault.KindTooLarge || len(r.asked) > 0 {
		t.Errorf("more than a message may have: %v, after asking for %v", err, r.asked)
	}
}
