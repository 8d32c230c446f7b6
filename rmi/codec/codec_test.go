package codec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/rmi/fault"
)

// objects is an Exporter and an Importer that hands back what it exported.
type objects struct {
	byNum map[refs.ObjNum]reflect.Value
	fail  error
}

func newObjects() *objects { return &objects{byNum: map[refs.ObjNum]reflect.Value{}} }

func (o *objects) ExportRef(v reflect.Value, i *Interface) (refs.Ref, error) {
	if o.fail != nil {
		return refs.Ref{}, o.fail
	}
	n := refs.ObjNum(1<<20 + len(o.byNum))
	o.byNum[n] = v
	return refs.Ref{ID: refs.ID{Object: n, Time: 7}, Interface: refs.Interface{Name: i.Name, Fingerprint: i.Fingerprint}}, nil
}

func (o *objects) ImportRef(r refs.Ref, i *Interface) (reflect.Value, error) {
	v, ok := o.byNum[r.Object]
	if !ok {
		return reflect.Value{}, errors.New("no such export")
	}
	return v, nil
}

// methodOf makes a remote method that takes and returns values of type t.
func methodOf(t testing.TB, typ reflect.Type) *Method {
	t.Helper()
	i, err := InterfaceOf(funcOf(typ))
	if err != nil {
		t.Fatal(err)
	}
	return i.Methods[0]
}

func funcOf(typ reflect.Type) reflect.Type {
	return reflect.FuncOf([]reflect.Type{typeContext, typ}, []reflect.Type{typ, typeError}, false)
}

// travel sends v as an argument of type T and returns what arrives.
func travel[T any](t testing.TB, v T) (T, error) {
	t.Helper()
	return travelAs[T, T](t, v)
}

// travelAs sends a From to a method that takes a To.
func travelAs[From, To any](t testing.TB, v From) (to To, err error) {
	t.Helper()
	o := newObjects()
	e := NewEncoder(o, nil)
	defer e.Release()
	from := methodOf(t, reflect.TypeFor[From]())
	if err := from.EncodeArgs(e, []reflect.Value{reflect.ValueOf(&v).Elem()}); err != nil {
		return to, err
	}
	d, err := NewDecoder(e.Body(), e.Refs(), o, nil)
	if err != nil {
		t.Fatalf("%x: %v", e.Body(), err)
	}
	defer d.Release()
	got, err := methodOf(t, reflect.TypeFor[To]()).DecodeArgs(d)
	if err != nil {
		return to, err
	}
	to, _ = got[0].Interface().(To) // not of a nil interface
	return to, nil
}

type (
	inner struct {
		A int
		B string `msgpack:"b"`
	}
	Inner struct{ C, D int }
	Named string
	Color uint8

	record struct {
		ID   int64
		Name string
		When time.Time
		Tags []string
	}
	tagged struct {
		Plain    int
		Renamed  string `msgpack:"other"`
		Skipped  int    `msgpack:"-"`
		Omitted  string `msgpack:",omitempty"`
		Aliased  int    `msgpack:"new,alias:old"`
		hidden   int
		Optional *int `msgpack:"opt,omitempty"`
	}
	embedding struct {
		inner
		*Inner
		Own int
	}
	shadowing struct {
		Inner
		C string `msgpack:"c"`
	}
	kept struct {
		Inner `msgpack:",noinline"`
		X     int
	}
	tuple struct {
		_msgpack struct{} `msgpack:",as_array"`
		X, Y     int
		Label    string
	}
	tupleMore struct {
		_msgpack struct{} `msgpack:",as_array"`
		X, Y     int
		Label    string
		Z        float64
	}
	pair[A, B any] struct {
		First  A
		Second B
	}
	tree struct {
		Value       int
		Left, Right *tree
		Children    []tree
		ByName      map[string]*tree
	}
	wide struct {
		F00, F01, F02, F03, F04, F05, F06, F07, F08, F09, F10, F11, F12, F13, F14, F15, F16, F17, F18, F19 int  `msgpack:",omitempty"`
		Last                                                                                               bool `msgpack:",omitempty"`
	}
	ring     []ring
	listener interface {
		Notify(ctx context.Context, n int) error
	}
	shape     interface{ Area() float64 }
	square    struct{ Side float64 }
	circle    struct{ Radius float64 }
	stranger  struct{ X int }
	listening struct {
		Opts struct {
			Listeners []func(context.Context, int) error
		}
		One listener
		Ref refs.Ref
	}
)

// Their tags are read by reflection only.
var _, _ = tuple{}._msgpack, tupleMore{}._msgpack

func (s square) Area() float64   { return s.Side * s.Side }
func (c *circle) Area() float64  { return c.Radius * c.Radius * math.Pi }
func (s stranger) Area() float64 { return 0 }

func init() {
	RegisterType("test.square", reflect.TypeFor[square]())
	RegisterType("test.circle", reflect.TypeFor[circle]())
}

func TestValuesArriveAsTheyWere(t *testing.T) {
	seven := 7
	when := time.Unix(1700000000, 123456789)
	check := func(name string, same bool, err error, got any) {
		t.Helper()
		if err != nil || !same {
			t.Errorf("%s: got %#v, %v", name, got, err)
		}
	}
	same(t, true)
	same(t, int8(-128))
	same(t, int16(math.MinInt16))
	same(t, int32(math.MaxInt32))
	same(t, int64(math.MinInt64))
	same(t, -33)
	same(t, uint8(255))
	same(t, uint16(math.MaxUint16))
	same(t, uint32(math.MaxUint32))
	same(t, uint64(math.MaxUint64))
	same(t, uint(300))
	same(t, float32(1.5))
	same(t, math.Inf(-1))
	same(t, "grüße\x00")
	same(t, Named("x"))
	same(t, []byte{1, 2, 3})
	same(t, []byte{})
	same(t, []byte(nil))
	same(t, []Color{1, 2})
	same(t, [4]byte{1, 2, 3, 4})
	same(t, [2]string{"a", "b"})
	same(t, []int{})
	same(t, []int(nil))
	same(t, [][]int{{1}, nil, {}})
	same(t, map[string]int{"a": 1, "b": 2})
	same(t, map[int8][]string{-1: {"x"}})
	same(t, map[bool]string{true: "x"})
	same(t, map[[2]byte]int{{1, 2}: 3})
	same(t, map[netip.Addr]int{netip.MustParseAddr("::1"): 3})
	same(t, map[string]int(nil))
	same(t, &seven)
	same(t, (*int)(nil))
	same(t, time.Second)
	same(t, struct{}{})
	same(t, record{1, "x", time.Unix(5, 0), []string{"a"}})
	same(t, tagged{Plain: 1, Renamed: "x", Aliased: 3, Optional: &seven})
	same(t, embedding{inner: inner{1, "x"}, Inner: &Inner{C: 2}, Own: 3})
	same(t, embedding{Own: 3})
	same(t, shadowing{Inner{1, 2}, "x"})
	same(t, kept{Inner{1, 2}, 3})
	same(t, tuple{X: 1, Y: 2, Label: "x"})
	same(t, pair[string, *pair[int, bool]]{"x", &pair[int, bool]{1, true}})
	same(t, tree{1, &tree{Value: 2}, nil, []tree{{Value: 3}}, map[string]*tree{"x": {Value: 4}, "nil": nil}})
	same(t, wide{})
	same(t, wide{F07: 3, F19: -1, Last: true})
	same(t, ring{{}, {{}}})
	same(t, []any{1, "x", nil, []byte{1}, int8(3), []any{true}, map[string]any{"k": uint16(9)}, 2 * time.Second, 1.5})
	same(t, shape(square{2}))
	same(t, shape(&circle{2}))
	same(t, shape(nil))
	same(t, any(nil))
	same(t, any((*circle)(nil)))
	same(t, netip.MustParseAddrPort("[::1]:80"))
	same(t, url.URL{Scheme: "rmi", Host: "h", Path: "/x"})
	same(t, msgpack.RawMessage{0x93, 1, 2, 3})
	same(t, refs.Ref{})
	same(t, refs.Ref{ID: refs.ID{Object: 77, Time: 3}})
	same(t, []refs.Ref{{ID: refs.ID{Object: 77}}, {}, {ID: refs.ID{Object: 77}}})

	got, err := travel(t, when)
	check("time", got.Equal(when), err, got)
	got, err = travel(t, time.Time{})
	check("zero time", got.IsZero() && got.Equal(time.Time{}), err, got)
	n, err := travel(t, big.NewInt(-1<<40))
	check("big.Int", err == nil && n.Cmp(big.NewInt(-1<<40)) == 0, err, n)
	tag, err := travel(t, tagged{Skipped: 5, hidden: 6})
	check("left out", tag == tagged{}, err, tag)
}

func same[T any](t *testing.T, v T) {
	t.Helper()
	got, err := travel(t, v)
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("%T: %#v arrived as %#v, %v", v, v, got, err)
	}
}

func TestReferencesTravelAnywhere(t *testing.T) {
	o := newObjects()
	called := 0
	f := func(context.Context, int) error { called++; return nil }
	ref := refs.Ref{ID: refs.ID{Object: 99}}
	v := listening{One: notifier{}, Ref: ref}
	v.Opts.Listeners = []func(context.Context, int) error{nil, f, f}
	m := methodOf(t, reflect.TypeFor[listening]())
	e := NewEncoder(o, nil)
	defer e.Release()
	if err := m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(v)}); err != nil {
		t.Fatal(err)
	}
	if n := len(e.Refs()); n != 4 { // every func is a new export
		t.Errorf("the table has %d entries", n)
	}
	d, err := NewDecoder(e.Body(), e.Refs(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	args, err := m.DecodeArgs(d)
	if err != nil {
		t.Fatal(err)
	}
	got := args[0].Interface().(listening)
	if got.One != (notifier{}) || got.Ref != ref || got.Opts.Listeners[0] != nil {
		t.Errorf("got %#v", got)
	}
	if err := got.Opts.Listeners[2](t.Context(), 1); err != nil || called != 1 {
		t.Errorf("called %d times, %v", called, err)
	}

	o.fail = fault.New(fault.KindClosed, fault.OutcomeNotExecuted, "the node is closed")
	e2 := NewEncoder(o, nil)
	defer e2.Release()
	err = m.EncodeArgs(e2, []reflect.Value{reflect.ValueOf(v)})
	wantError(t, err, fault.KindClosed, "argument 1: Opts.Listeners[1]", "the node is closed")
}

type notifier struct{}

func (notifier) Notify(context.Context, int) error { return nil }

func TestSameReferenceUsesOneEntry(t *testing.T) {
	e := NewEncoder(nil, nil)
	defer e.Release()
	var all []any
	for range 3 {
		for i := range 40 {
			all = append(all, refs.Ref{ID: refs.ID{Object: refs.ObjNum(i + 1)}})
		}
	}
	if err := EncodeAny(e, all); err != nil {
		t.Fatal(err)
	}
	if len(e.Refs()) != 40 {
		t.Errorf("%d entries", len(e.Refs()))
	}
	d, err := NewDecoder(e.Body(), e.Refs(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	got, err := DecodeAny(d)
	if err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestFieldsMayBeUnknownMissingOrReordered(t *testing.T) {
	type v1 struct{ A, B, C int }
	type v2 struct {
		C int
		X []map[string][]int
		A int
	}
	got, err := travelAs[v1, v2](t, v1{1, 2, 3})
	if err != nil || got.A != 1 || got.C != 3 || got.X != nil {
		t.Errorf("got %+v, %v", got, err)
	}
	back, err := travelAs[v2, v1](t, v2{C: 3, A: 1, X: []map[string][]int{{"x": {1}}}})
	if err != nil || back != (v1{1, 0, 3}) {
		t.Errorf("got %+v, %v", back, err)
	}
	old, err := travelAs[struct {
		Old int `msgpack:"old"`
	}, tagged](t, struct {
		Old int `msgpack:"old"`
	}{5})
	if err != nil || old.Aliased != 5 {
		t.Errorf("got %+v, %v", old, err)
	}
	more, err := travelAs[tuple, tupleMore](t, tuple{X: 1, Y: 2, Label: "x"})
	if err != nil || more.Label != "x" {
		t.Errorf("got %+v, %v", more, err)
	}
	less, err := travelAs[tupleMore, tuple](t, tupleMore{X: 1, Y: 2, Label: "x", Z: 3})
	if err != nil || less.Label != "x" {
		t.Errorf("got %+v, %v", less, err)
	}
	// keys that are no strings are unknown fields
	d, _ := NewDecoder([]byte("\x91\x82\x92\x01\x02\x03\xa1A\x07"), nil, nil, nil)
	defer d.Release()
	args, err := methodOf(t, reflect.TypeFor[v1]()).DecodeArgs(d)
	if err != nil || args[0].Interface() != (v1{A: 7}) {
		t.Errorf("got %v, %v", args, err)
	}
}

func TestStructsAreWrittenAsMsgpackWould(t *testing.T) {
	seven := 7
	for _, v := range []any{record{1, "x", time.Unix(5, 6), []string{"a"}}, tagged{Plain: 1, Renamed: "y", Omitted: "z"}, tagged{Optional: &seven},
		embedding{Inner: &Inner{1, 2}, Own: -40}, tuple{X: 1000, Label: "x"}, kept{Inner{1, 2}, 3}, shadowingLast{C: "x", Inner: Inner{1, 2}},
		[]byte{1}, map[string]int{"a": 1 << 30}, netip.MustParseAddr("1.2.3.4"), big.NewInt(5), [3]byte{1, 2, 3}, float32(2), [2]bool{true}} {
		var want bytes.Buffer
		mp := msgpack.NewEncoder(&want)
		mp.UseCompactInts(true)
		if err := mp.Encode(v); err != nil {
			t.Fatal(err)
		}
		e := NewEncoder(nil, nil)
		if err := EncodeAny(e, []any{v}); err != nil {
			t.Fatal(err)
		}
		if got := e.Body()[1:]; !bytes.Equal(got, want.Bytes()) {
			t.Errorf("%T: got %q, msgpack writes %q", v, got, want.Bytes())
		}
		e.Release()
	}
}

type shadowingLast struct {
	C     string
	Inner `msgpack:",noinline"`
}

func TestCallByName(t *testing.T) {
	e := NewEncoder(nil, nil)
	defer e.Release()
	// A struct passed as a map.
	args := []any{map[string]any{"ID": 5, "Name": "x", "Tags": []any{"a", "b"}}}
	if err := EncodeAny(e, args); err != nil {
		t.Fatal(err)
	}
	d, err := NewDecoder(e.Body(), nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := methodOf(t, reflect.TypeFor[record]()).DecodeArgs(d)
	d.Release()
	if err != nil || !reflect.DeepEqual(got[0].Interface(), record{ID: 5, Name: "x", Tags: []string{"a", "b"}}) {
		t.Errorf("got %v, %v", got, err)
	}
	d, _ = NewDecoder(e.Body(), nil, nil, nil)
	back, err := DecodeAny(d)
	d.Release()
	if err != nil || fmt.Sprint(back) != "[map[ID:5 Name:x Tags:[a b]]]" {
		t.Errorf("got %v, %v", back, err)
	}
	for body, want := range map[string]string{
		"\x91\x82\x01\x02\xa1x\x03":                                     "1:2",
		"\x95\xc0\xc3\xff\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc4\x01x": "[<nil> true -1 1.5 [120]]",
		"\x91\x82\x01\x02\x01\x03":                                      "comes twice",
		"\x91\x81\x90\x02":                                              "as a map's key",
		"\x91\x81\xc0\x02":                                              "as a map's key",
		"\x91\xd5\x01\x00\x00":                                          "outside the message's table",
		"\x05":                                                          "not an array",
	} {
		d, err := NewDecoder([]byte(body), nil, nil, nil)
		if err != nil {
			t.Fatalf("%x: %v", body, err)
		}
		v, err := DecodeAny(d)
		d.Release()
		if s := fmt.Sprint(v, err); !strings.Contains(s, want) {
			t.Errorf("%x: got %s, want %s", body, s, want)
		}
	}
}
