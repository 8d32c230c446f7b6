package cases_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/cases"
	"gormi/rmi/internal/cases/other"
	"gormi/rmi/rmitest"
	"gormi/rmi/stub"
	"gormi/rmi/wire"
)

func to[T any](v T) *T { return &v }

var (
	when    = time.Unix(1_700_000_000, 123)
	scalars = cases.Scalars{B: true, I: -5, I8: -128, I16: -300, I32: -70000, I64: math.MinInt64, U: 1 << 31, U8: 255, U16: 65535,
		U32: math.MaxUint32, U64: math.MaxUint64, F32: 1.5, F64: math.Pi, S: "text"}
	base   = &cases.Base{Kind: "kind", More: &cases.Base{Kind: "more"}}
	square = function(func(_ context.Context, n int64) (int64, error) { return n * n, nil })
	handle = other.Handler(func(_ context.Context, p other.Point) (other.Point, error) { p.X++; return p, nil })
)

func embedding() (v cases.Embedding) {
	v.ID, v.A, v.Outer, v.B, v.Point.Label = 9, 3, "outer", 2, "label"
	return v
}

func codecs() cases.Codecs {
	v := cases.Codecs{Binary: cases.Binary{1, 2}, Ptr: &cases.Text{}, List: make([]cases.Text, 2), Map: map[string]cases.Binary{"b": {3, 4}}, Stamp: cases.Stamp{Time: when, N: 8}, Lent: cases.Lent{AddrPort: netip.MustParseAddrPort("10.0.0.1:80"), N: 7}}
	v.Packed, v.Streamed = cases.NewPacked(5)
	packed, streamed := cases.NewPacked(300)
	v.Packs, v.Streams = map[string]cases.Packed{"p": packed}, []*cases.Streamed{&streamed, nil}
	return v
}

func promoted() cases.Promoted {
	at := cases.Stamp{Time: when, N: 1}
	return cases.Promoted{Stamp: at, Omitted: at, Ptr: &at, Lent: cases.Lent{AddrPort: netip.MustParseAddrPort("10.0.0.1:80"), N: 7},
		Zero: cases.Zeroing{Zeroer: cases.Zeroer{N: 1}, M: 3}, Zeros: &cases.Zeroing{M: 3}, Number: cases.Numbered{Int: big.NewInt(1 << 40), N: 4},
		Texts: map[string]cases.Texted{"a": {Text: other.Text[int]{Value: 5}, N: 6}}}
}

// slicesOf returns slices of n elements, in all forms of numbers.
func slicesOf(n int) cases.Slices {
	return cases.Slices{B: numbers(n, func(i int) bool { return i%3 == 1 }), I: numbers(n, signed[int]), I8: numbers(n, signed[int8]), I16: numbers(n, signed[int16]),
		I32: numbers(n, signed[int32]), I64: numbers(n, signed[int64]), U: numbers(n, unsigned[uint]), U16: numbers(n, unsigned[uint16]), U32: numbers(n, unsigned[uint32]),
		U64: numbers(n, unsigned[uint64]), F32: numbers(n, func(i int) float32 { return float32(i) / 3 }), F64: numbers(n, func(i int) float64 { return float64(i) / 3 })}
}

func numbers[T any](n int, of func(i int) T) []T {
	list := make([]T, n)
	for i := range list {
		list[i] = of(i)
	}
	return list
}

func signed[T codec.Signed](i int) T { return T(int64(1)<<(i*2%64) - int64(i%2)*(1<<(i%62)+3)) }

func unsigned[T codec.Unsigned](i int) T { return T(uint64(1)<<(i*2%64) - uint64(i%2)) }

// calls are the parameter cases. Each passes values and returns what came back, which equals
// want. Their maps have one entry, because the order of more is random.
var calls = []struct {
	name string
	want any
	call func(ctx context.Context, c cases.Cases) (any, error)
}{
	{"null", nil, func(ctx context.Context, c cases.Cases) (any, error) { return nil, c.Null(ctx) }},
	{"many", []any{int64(7), "seven", []byte{7}}, func(ctx context.Context, c cases.Cases) (any, error) {
		x, y, z, err := c.Many(ctx, 7, "seven", []byte{7})
		return []any{x, y, z}, err
	}},
	{"variadic", []string{"a", "b"}, func(ctx context.Context, c cases.Cases) (any, error) { return c.Variadic(ctx, 1, "a", "b") }},
	{"variadic, none", []string(nil), func(ctx context.Context, c cases.Cases) (any, error) { return c.Variadic(ctx, 1) }},
	{"one way", nil, func(ctx context.Context, c cases.Cases) (any, error) { return nil, c.Tell(ctx, "told") }},
	passed("scalars", cases.Cases.Scalars, scalars),
	passed("zero scalars", cases.Cases.Scalars, cases.Scalars{}),
	passed("named", cases.Cases.Named, cases.NamedTypes{Color: 3, Name: "n", Flag: true, Ratio: 0.5, Blob: cases.Blob{1, 2}, Digest: cases.Digest{1, 2, 3, 4},
		Colors: cases.Colors{1, 2}, Names: cases.Names{"a", "b"}, Table: cases.Table{"k": 4}, Grid: cases.Grid{{1, 2}, {3, 4}}, Box: to(cases.Color(200))}),
	passed("zero named", cases.Cases.Named, cases.NamedTypes{}),
	passed("tags", cases.Cases.Tags, cases.Tagged{Plain: 1, Renamed: "r", Optional: "o", Aliased: 2}),
	passed("tags, left out", cases.Cases.Tags, cases.Tagged{Renamed: "r"}),
	passed("embedded", cases.Cases.Embedded, func() cases.Embedding { v := embedding(); v.Base = base; return v }()),
	passed("embedded, nil", cases.Cases.Embedded, embedding()),
	passed("tuple", cases.Cases.Tuple, cases.Tuple{Base: base, N: 3, S: "s"}),
	passed("pointing", cases.Cases.Pointing, cases.Pointing{Sparse: &cases.Sparse{Num: 1, Ptr: to(0), Some: []int{1}}, N: 2}),
	passed("pointing at nothing", cases.Cases.Pointing, cases.Pointing{N: 2}),
	passed("pointing at zeros", cases.Cases.Pointing, cases.Pointing{Sparse: &cases.Sparse{}}),
	passed("promoted", cases.Cases.Promoted, promoted()),
	passed("promoted, zero", cases.Cases.Promoted, cases.Promoted{}),
	passed("promoted, zero but for the other fields", cases.Cases.Promoted, cases.Promoted{
		Stamp: cases.Stamp{N: 1}, Omitted: cases.Stamp{N: 2}, Ptr: &cases.Stamp{}, Zero: cases.Zeroing{Zeroer: cases.Zeroer{N: 7}, M: 3},
		Zeros: &cases.Zeroing{Zeroer: cases.Zeroer{N: 7}}, Number: cases.Numbered{N: 4}}),
	passed("data with remote methods", cases.Cases.Active, &cases.Active{N: 5}),
	passed("tuple, nil", cases.Cases.Tuple, cases.Tuple{S: "s"}),
	passed("containers", cases.Cases.Containers, cases.Containers{Bytes: []byte("bytes"), Ints: []int{1, -2, 300000}, Structs: []cases.Inner{{1, 2}},
		Deep: [][]string{{"a"}, nil, {}}, Array: [2]string{"x", "y"}, Map: map[string]int{"one": 1}, Maps: map[string]map[int]cases.Inner{"m": {1: {3, 4}}},
		Ptrs: []*cases.Inner{{5, 6}, nil}, Times: []time.Time{when}, None: make([]struct{}, 2)}),
	passed("nil containers", cases.Cases.Containers, cases.Containers{}),
	passed("empty containers", cases.Cases.Containers, cases.Containers{Bytes: []byte{}, Ints: []int{}, Deep: [][]string{}, Map: map[string]int{},
		Maps: map[string]map[int]cases.Inner{"m": {}}, Ptrs: []*cases.Inner{}, None: []struct{}{}}),
	passed("keys", cases.Cases.Keys, cases.Keys{Bool: map[bool]int{true: 1}, Int: map[int16]string{-3: "x"}, Uint: map[uint64]string{1 << 60: "y"},
		Name: map[cases.Name]string{"n": "z"}, Digest: map[cases.Digest]string{{1}: "d"}, Unit: map[other.Unit]string{4: "u"}}),
	passed("many pointers", cases.Cases.Containers, cases.Containers{Ptrs: pointers(100)}),
	passed("pointers", cases.Cases.Pointers, &cases.Pointers{Int: to(1), String: to(to("s")), Struct: &cases.Pointers{Int: to(2)}, Slice: &[]int{1},
		Map: map[string]*cases.Pointers{"p": {Int: to(3)}}, Time: to(when)}),
	passed("nil pointer", cases.Cases.Pointers, (*cases.Pointers)(nil)),
	passed("nil pointers", cases.Cases.Pointers, &cases.Pointers{}),
	passed("tree", cases.Cases.Tree, cases.Tree{"a": {"b": {"c": nil}}}),
	{"omitted", cases.Omitted{}, func(ctx context.Context, c cases.Cases) (any, error) {
		return c.Omitted(ctx, cases.Omitted{Zero: cases.Zeroer{N: 7}})
	}},
	passed("nothing omitted", cases.Cases.Omitted, cases.Omitted{B: true, I: 1, U: 1, F: 1, S: "s", Slice: []int{1}, Array: [2]int{1, 2}, Map: map[string]int{"k": 1},
		Ptr: to(1), Any: "any", Err: io.EOF, Time: when, Zero: cases.Zeroer{N: 8}, Zeros: &cases.Zeroer{N: 9},
		Struct: cases.OnlyOmitted{Base: base, N: 1}, Unit: 3, Bytes: []byte{1}, Last: map[string]string{"a": "b"}}),
	passed("omitted, but for what panics", cases.Cases.Omitted, cases.Omitted{I: 1}),
	passed("partly omitted", cases.Cases.Omitted, cases.Omitted{Struct: cases.OnlyOmitted{N: 1}}),
	passed("foreign", cases.Cases.Foreign, cases.Foreign{Point: other.Point{X: 1, Y: 2, Label: "l"}, Points: map[string]*other.Point{"p": {X: 3}},
		Nested: other.NewNested(5), Unit: 6, Month: time.May}),
	passed("codecs", cases.Cases.Codecs, codecs()),
	passed("slices", cases.Cases.Slices, slicesOf(2)),
	passed("nil slices", cases.Cases.Slices, cases.Slices{}),
	passed("empty slices", cases.Cases.Slices, slicesOf(0)),
	passed("long slices", cases.Cases.Slices, slicesOf(40)),
	passed("named slices", cases.Cases.NamedSlices, cases.NamedSlices{Cents: []cases.Cents{-1, 0, math.MaxInt64}, Ports: []cases.Port{0, 65535},
		Angles: []cases.Angle{math.Pi, -1e300}, Ratios: []cases.Ratio{0.5, 0}, Flags: cases.Flags{true, false}, Colors: []cases.Color{1, 255}, Two: [2]cases.Color{2, 3}}),
	passed("nil named slices", cases.Cases.NamedSlices, cases.NamedSlices{}),
	passed("empty named slices", cases.Cases.NamedSlices, cases.NamedSlices{Cents: []cases.Cents{}, Ports: []cases.Port{}, Angles: []cases.Angle{}, Ratios: []cases.Ratio{}, Flags: cases.Flags{}, Colors: []cases.Color{}}),
	{"variadic funcs", int64(32), func(ctx context.Context, c cases.Cases) (any, error) { return c.Sum(ctx, 4, square, nil, square) }},
	{"variadic funcs, none", int64(0), func(ctx context.Context, c cases.Cases) (any, error) { return c.Sum(ctx, 4) }},
	{"variadic remotes", true, func(ctx context.Context, c cases.Cases) (any, error) {
		l := &ear{}
		got, err := c.Tellers(ctx, l, nil)
		return len(got) == 2 && got[0] == l && got[1] == nil, err
	}},
	{"pointers to interfaces", "true 7 ear heard x", func(ctx context.Context, c cases.Cases) (any, error) {
		l := &ear{"ear"}
		v, err := c.Interfaces(ctx, cases.Interfaces{Data: to(any(7)), Remote: to(cases.Listener(l)), Literal: l})
		if err != nil {
			return nil, err
		}
		text, err := v.Literal.Heard(ctx, "x")
		return fmt.Sprint(*v.Remote == l, " ", *v.Data, " ", text), err
	}},
	passed("no interfaces", cases.Cases.Interfaces, cases.Interfaces{}),
	{"pointer to a nil interface", true, func(ctx context.Context, c cases.Cases) (any, error) {
		v, err := c.Interfaces(ctx, cases.Interfaces{Remote: new(cases.Listener)})
		return v.Remote == nil, err
	}},
	{"an interface literal", "ear heard literally", func(ctx context.Context, c cases.Cases) (any, error) { return c.Literal(ctx, &ear{"ear"}) }},
	{"no interface literal", "nobody", func(ctx context.Context, c cases.Cases) (any, error) { return c.Literal(ctx, nil) }},
	passed("generic", cases.Cases.Generic, generic{First: "f", Second: []other.Pair[int, cases.Color]{{First: 1, Second: 2}}}),
	passed("generic list", cases.Cases.List, &other.List[cases.Name]{Value: "a", Next: &other.List[cases.Name]{Value: "b"}}),
	passed("unnamed", cases.Cases.Unnamed, unnamed{A: 1, B: struct{ C []string }{[]string{"c"}}}),
	passed("data", cases.Cases.Data, any(cases.Inner{A: 1, B: 2})),
	passed("data in data", cases.Cases.Data, any([]any{1, "two", map[string]any{"three": 3.5}})),
	passed("nil data", cases.Cases.Data, any(nil)),
	passed("error", cases.Cases.Error, io.EOF),
	passed("nil error", cases.Cases.Error, error(nil)),
	{"remotes", "true ear heard x16 {2 0 } the end EOF 3", func(ctx context.Context, c cases.Cases) (any, error) {
		l := &ear{"ear"}
		v, err := c.Remotes(ctx, cases.Remotes{Listener: l, Many: []cases.Listener{l, nil}, By: map[string]cases.Listener{"l": l}, Tell: square, Handler: handle,
			Ref: refs.Ref{}, Err: fmt.Errorf("the end %w", io.EOF), Any: 3})
		if err != nil {
			return nil, err
		}
		text, err1 := v.By["l"].Heard(ctx, "x")
		n, err2 := v.Tell(ctx, 4)
		p, err3 := v.Handler(ctx, other.Point{X: 1})
		same := v.Listener == l && v.Many[0] == l && v.Many[1] == nil && v.By["l"] == l && errors.Is(v.Err, io.EOF)
		return fmt.Sprint(same, " ", text, n, p, v.Err, " ", v.Any), errors.Join(err1, err2, err3)
	}},
	passed("no remotes", cases.Cases.Remotes, cases.Remotes{}),
	{"meet", int64(9), func(ctx context.Context, c cases.Cases) (any, error) {
		l := &ear{}
		x, f, h, err := c.Meet(ctx, l, square, handle)
		if err != nil {
			return nil, err
		}
		if p, err := h(ctx, other.Point{X: 1}); x != l || p.X != 2 || err != nil {
			return nil, fmt.Errorf("got %v and %v, %w", x, p, err)
		}
		return f(ctx, 3)
	}},
	{"apply", int64(36), func(ctx context.Context, c cases.Cases) (any, error) { return c.Apply(ctx, square, 6) }},
	{"meet nobody", []any{true, true, true}, func(ctx context.Context, c cases.Cases) (any, error) {
		l, f, h, err := c.Meet(ctx, nil, nil, nil)
		return []any{l == nil, f == nil, h == nil}, err
	}},
	passed("array", cases.Cases.Array, [3]cases.Scalars{1: scalars}),
	{"time", []any{when, time.Hour}, func(ctx context.Context, c cases.Cases) (any, error) {
		x, y, err := c.Time(ctx, when, time.Hour)
		return []any{x, y}, err
	}},
	passed("long", cases.Cases.Long, cases.Long{F01: 1, F17: 17, Last: "last"}),
	passed("long, left out", cases.Cases.Long, cases.Long{F01: 1}),
}

// passed is the case of a method that returns its one argument.
func passed[T any](name string, method func(cases.Cases, context.Context, T) (T, error), v T) struct {
	name string
	want any
	call func(ctx context.Context, c cases.Cases) (any, error)
} {
	return struct {
		name string
		want any
		call func(ctx context.Context, c cases.Cases) (any, error)
	}{name, v, func(ctx context.Context, c cases.Cases) (any, error) { return method(c, ctx, v) }}
}

func TestEveryPairOfProxyAndSkeletonSendsTheSameBytes(t *testing.T) {
	all := pairs(t, &echo{})
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			var first *loop
			for pair, p := range all {
				got, err := c.call(t.Context(), p.Cases)
				if err != nil {
					t.Fatalf("%s: %v", pair, err)
				}
				if !reflect.DeepEqual(got, c.want) {
					t.Errorf("%s: got %+v, want %+v", pair, got, c.want)
				}
				if first == nil {
					first = p.loop
					continue
				}
				if !bytes.Equal(p.args, first.args) || !slices.Equal(p.refs, first.refs) {
					t.Errorf("%s: arguments\n%x, another pair sent\n%x", pair, p.args, first.args)
				}
				if !bytes.Equal(p.results, first.results) {
					t.Errorf("%s: results\n%x, another pair sent\n%x", pair, p.results, first.results)
				}
			}
		})
	}
}

// Calls fail alike with every proxy and skeleton.
func TestEveryPairFailsAlike(t *testing.T) {
	type secret struct{ N int } // has no name on the wire
	loops := cases.Tree{}
	loops["again"] = loops
	for _, c := range []struct {
		name    string
		kind    fault.Kind
		outcome fault.Outcome
		call    func(ctx context.Context, c cases.Cases) (any, error)
	}{
		{"an error", fault.KindApplication, fault.OutcomeExecuted, func(ctx context.Context, c cases.Cases) (any, error) { return c.Fail(ctx, 1) }},
		{"a panic", fault.KindPanic, fault.OutcomeExecuted, func(ctx context.Context, c cases.Cases) (any, error) { return c.Fail(ctx, 2) }},
		{"a known error", fault.KindApplication, fault.OutcomeExecuted, func(ctx context.Context, c cases.Cases) (any, error) { return c.Fail(ctx, 3) }},
		{"an argument that cannot travel", fault.KindInvalid, fault.OutcomeNotExecuted, func(ctx context.Context, c cases.Cases) (any, error) {
			return c.Remotes(ctx, cases.Remotes{Any: secret{1}})
		}},
		{"a cycle", fault.KindTooLarge, fault.OutcomeNotExecuted, func(ctx context.Context, c cases.Cases) (any, error) { return c.Tree(ctx, loops) }},
		{"too much", fault.KindTooLarge, fault.OutcomeNotExecuted, func(ctx context.Context, c cases.Cases) (any, error) {
			return c.Containers(ctx, cases.Containers{Deep: [][]string{{"a", string(make([]byte, 5<<20))}}})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			texts := map[string]string{}
			for pair, p := range pairs(t, &echo{}) {
				got, err := c.call(t.Context(), p.Cases)
				if fault.KindOf(err) != c.kind || fault.OutcomeOf(err) != c.outcome {
					t.Fatalf("%s: %v, a %v of outcome %v", pair, err, fault.KindOf(err), fault.OutcomeOf(err))
				}
				if !reflect.ValueOf(got).IsZero() {
					t.Errorf("%s: a failed call returned %+v", pair, got)
				}
				var f *fault.Error
				errors.As(err, &f)
				texts[f.Detail()] = pair
			}
			if len(texts) != 1 {
				t.Errorf("the pairs say different things: %v", texts)
			}
		})
	}
}

// Both skeletons accept and refuse the same bodies, however these are changed and whatever the
// limits are.
func TestSkeletonsAgreeOnHostileBodies(t *testing.T) {
	generated, _ := newLoop[cases.Cases, cases.Cases](t, &echo{})
	reflective, _ := newLoop[cases.Cases, cases.Plain](t, &echo{})
	recorder, proxied := newLoop[cases.Cases, cases.Cases](t, &echo{})
	refused, taken := 0, 0
	for _, c := range calls {
		if _, err := c.call(t.Context(), proxied); err != nil {
			t.Fatal(err)
		}
	}
	for i := range interfaceOf[cases.Cases](t).Methods {
		method := interfaceOf[cases.Cases](t).Methods[i].Name
		if method == "Fail" || method == "Keys" {
			continue
		}
		for _, c := range calls {
			_, _ = c.call(t.Context(), proxied)
			table, exported := recorder.refs, recorder.exported
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for round := range 60 {
				body := bytes.Clone(recorder.args)
				for range random.IntN(4) {
					body[random.IntN(len(body))] = mutations[random.IntN(len(mutations))]
				}
				limits := wire.Limits{}
				switch round % 4 {
				case 1:
					limits.Memory = 1 + random.IntN(400)
				case 2:
					limits.Elements, limits.Depth = 1+random.IntN(40), 1+random.IntN(6)
				}
				generated.limits, reflective.limits = limits, limits
				generated.exported, reflective.exported = exported, exported
				got, _, err1 := generated.serve(t.Context(), method, body, table)
				want, _, err2 := reflective.serve(t.Context(), method, body, table)
				if fault.KindOf(err1) != fault.KindOf(err2) || fault.OutcomeOf(err1) != fault.OutcomeOf(err2) {
					t.Fatalf("%s(%x) with %+v:\ngenerated %v\nreflective %v", method, body, limits, err1, err2)
				}
				if err1 != nil {
					refused++
					continue
				}
				taken++
				if len(got) != len(want) { // the order of a map's entries is random
					t.Fatalf("%s(%x):\ngenerated %x\nreflective %x", method, body, got, want)
				}
			}
		}
	}
	if refused < 1000 || taken < 1000 {
		t.Errorf("%d bodies were refused and %d taken: too few to tell anything", refused, taken)
	}
}

// mutations are bytes that matter in MessagePack.
var mutations = []byte{0x00, 0x01, 0x7f, 0x80, 0x81, 0x82, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x9f, 0xa0, 0xa1, 0xa3, 0xc0, 0xc2, 0xc3, 0xc4, 0xca, 0xcb, 0xcc, 0xcd,
	0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd9, 0xdc, 0xde, 0xe0, 0xff}

// An error says where in the value it happened.
func TestErrorsNameThePlace(t *testing.T) {
	large := cases.Containers{Bytes: make([]byte, 5<<20)}
	type secret struct{ N int } // has no name on the wire
	ctx := t.Context()
	for where, call := range map[string]func(c cases.Cases) error{
		"argument 1: Any:": func(c cases.Cases) error { return last(c.Remotes(ctx, cases.Remotes{Any: secret{}})) },
		"argument 3:": func(c cases.Cases) error {
			_, _, _, err := c.Many(ctx, 1, "", large.Bytes)
			return err
		},
		"argument 1: Bytes:": func(c cases.Cases) error { return last(c.Containers(ctx, large)) },
		"argument 1: Deep[1][0]": func(c cases.Cases) error {
			return last(c.Containers(ctx, cases.Containers{Deep: [][]string{nil, {string(large.Bytes)}}}))
		},
		`argument 1["a"]["b"]["c"]`: func(c cases.Cases) error {
			deep := cases.Tree{}
			for range 100 {
				deep = cases.Tree{"d": deep}
			}
			return last(c.Tree(ctx, cases.Tree{"a": {"b": {"c": deep}}}))
		},
		`argument 1: Map["p"].Struct.Map["q"].String:`: func(c cases.Cases) error {
			return last(c.Pointers(ctx, &cases.Pointers{Map: map[string]*cases.Pointers{"p": {
				Struct: &cases.Pointers{Map: map[string]*cases.Pointers{"q": {String: to(to(string(large.Bytes)))}}}}}}))
		},
	} {
		for pair, p := range pairs(t, &echo{}) {
			if err := call(p.Cases); err == nil || !strings.Contains(err.Error(), where) {
				t.Errorf("%s: want %s in: %v", pair, where, err)
			}
		}
	}
}

// pointers returns n pointers, some of them nil.
func pointers(n int) []*cases.Inner {
	v := make([]*cases.Inner, n)
	for i := range v {
		if i%7 != 0 && i%5 != 1 {
			v[i] = &cases.Inner{A: i, B: i}
		}
	}
	return v
}

func last[T any](_ T, err error) error { return err }

// passesLiteral names the calls that pass an object as an interface without a name. No stub can
// serve them: the owner needs run-time proxies.
var passesLiteral = map[string]bool{"pointers to interfaces": true, "an interface literal": true}

// TestFourPairsOverNodes is the same over real nodes.
func TestFourPairsOverNodes(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	generated, err := rmi.Export[cases.Cases](owner, &echo{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reflective, err := rmi.Export[cases.Plain](owner, &echo{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	runTime := proxy.Supported(reflect.TypeFor[cases.Plain]()) == nil
	proxies := map[string]cases.Cases{}
	for name, ref := range map[string]refs.Ref{"generated": generated.Ref(), "reflective": reflective.Ref()} {
		p, err := rmi.Resolve[cases.Cases](caller, ref, nil)
		if err != nil {
			t.Fatal(err)
		}
		proxies["generated, "+name] = p
		if runTime {
			q, err := rmi.Resolve[cases.Plain](caller, ref, nil)
			if err != nil {
				t.Fatal(err)
			}
			proxies["run-time, "+name] = q
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for pair, p := range proxies {
		for _, c := range calls {
			got, err := c.call(ctx, p)
			if !runTime && passesLiteral[c.name] {
				if !errors.Is(err, rmi.KindInvalid) || !strings.Contains(err.Error(), "no proxy for interface { Heard(") {
					t.Errorf("%s: %s: got %+v, %v without run-time proxies", pair, c.name, got, err)
				}
				continue
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: %s: got %+v, %v, want %+v", pair, c.name, got, err, c.want)
			}
		}
		if _, err := p.Fail(ctx, 3); !errors.Is(err, io.EOF) || !errors.Is(err, rmi.KindApplication) {
			t.Errorf("%s: the method failed with %v", pair, err)
		}
		if _, err := p.Fail(ctx, 2); !errors.Is(err, rmi.KindPanic) {
			t.Errorf("%s: the method panicked with %v", pair, err)
		}
		var none context.Context
		if err := p.Null(none); !errors.Is(err, rmi.KindInvalid) {
			t.Errorf("%s: a nil context: %v", pair, err)
		}
	}
}

func TestDirectivesAreTheMethodsSemantics(t *testing.T) {
	// Listener is mentioned by types that are described before it.
	if got := interfaceOf[cases.Listener](t).Methods[0].Semantics; got != (stub.Semantics{Timeout: 7 * time.Second}) {
		t.Errorf("Heard has the semantics %+v", got)
	}
	for _, m := range interfaceOf[cases.Cases](t).Methods {
		want := map[string]stub.Semantics{"Many": {Idempotent: true, Timeout: 5 * time.Second}, "Tell": {OneWay: true}}[m.Name]
		if m.Semantics != want {
			t.Errorf("%s has the semantics %+v, want %+v", m.Name, m.Semantics, want)
		}
	}
}
