package codec

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/rmi/fault"
)

// Values at the edge of their types arrive as they were, wherever they stand.
func TestValuesAtTheEdgeArriveAsTheyWere(t *testing.T) {
	type Numbers struct {
		Least, Most float64
		Single      float32
		U           uint64
		I           int64
		Bytes       []uint8
		Small       []int8
	}
	same(t, Numbers{math.SmallestNonzeroFloat64, math.Inf(1), math.MaxFloat32, math.MaxUint64, math.MinInt64, []uint8{0, 255}, []int8{-128, 127}})
	nan, err := travel(t, math.NaN())
	if !math.IsNaN(nan) || err != nil {
		t.Errorf("NaN arrived as %v, %v", nan, err)
	}
	zero, err := travel(t, math.Copysign(0, -1))
	if zero != 0 || !math.Signbit(zero) || err != nil {
		t.Errorf("-0 arrived as %v, %v", zero, err)
	}

	same(t, "not \xff UTF-8 \xc3")
	same(t, map[string]string{"a\xffb": "\xfe\xfd", "": "\x00", "é": strings.Repeat("\xc3", 70)})

	same(t, map[string]struct{}{"": {}, "a": {}})
	same(t, make([]struct{}, 3))
	same(t, map[[4]byte][2][3]byte{{1, 2}: {{3}, {4}}})
	same(t, map[bool]map[int8]string{true: {-128: "x"}, false: nil})
	same(t, map[int]string{math.MinInt: "least", 0: "", math.MaxInt: "most"})
	same(t, map[time.Month]map[netip.Addr]bool{time.May: {netip.MustParseAddr("fe80::1%eth0"): true, {}: false}})
	same(t, [2]map[string][]any{nil, {"a": {1, nil, "b"}}})
}

// nil and empty are two values, also within an any.
func TestNilAndEmptyStayApart(t *testing.T) {
	type lists struct {
		Strings []string
		Bytes   []byte
		Map     map[string]int
		Deep    [][]int
		Raw     json.RawMessage
		Ptrs    []*int
		Any     any
	}
	one := 1
	same(t, lists{})
	same(t, lists{[]string{}, []byte{}, map[string]int{}, [][]int{nil, {}, {1}}, json.RawMessage{}, []*int{nil, &one}, []any{}})
	same(t, lists{Any: map[string]any{"list": []any{}, "nil": nil, "bytes": []byte{}, "map": map[string]any{}}})
}

// A pointer to a zero value is not nil.
func TestPointersToZeroValuesStayPointers(t *testing.T) {
	type patch struct {
		N *int
		S *string
		B *bool
		F *float64
		D *time.Duration
		L *[]string
		P **int
	}
	none := new(int)
	same(t, patch{new(int), new(string), new(bool), new(float64), new(time.Duration), &[]string{}, &none})
	same(t, patch{})
	got, err := travel(t, struct{ T, None *time.Time }{T: new(time.Time)})
	if err != nil || got.T == nil || !got.T.IsZero() || got.None != nil {
		t.Errorf("the pointer to the zero time arrived as %+v, %v", got, err)
	}
}

// Which pointers arrive as nil, though they are not: package skeleton says so.
func TestPointersThatArriveAsNil(t *testing.T) {
	type Void struct{}
	type holder struct {
		*Void
		Zero  *time.Time `msgpack:",omitempty"`
		Later *time.Time `msgpack:",omitempty"`
		List  *[]string
		Ptr   **int
		Any   *any
		N     int
	}
	when := time.Unix(1, 0)
	got, err := travel(t, holder{&Void{}, new(time.Time), &when, new([]string), new(*int), new(any), 1})
	if err != nil || got.Later == nil || !got.Later.Equal(when) {
		t.Fatalf("%+v, %v", got, err)
	}
	if got.Later = nil; got != (holder{N: 1}) {
		t.Errorf("%+v", got)
	}
	same(t, any((*circle)(nil))) // and one that keeps its type
	same(t, []any{(*circle)(nil), []byte(nil), []any(nil), map[string]any(nil)})
}

// What an any holds keeps its type.
func TestAnAnyKeepsTheTypeOfItsValue(t *testing.T) {
	type box struct{ Any any }
	for _, v := range []any{
		7, int8(-8), int16(300), int32(7), int64(1) << 40, uint(7), uint8(200), uint16(9), uint32(10), uint64(math.MaxUint64),
		float32(1.5), 2.0, "x", []byte{1}, true, time.Second, map[string]any{"rate": 100, "unit": uint32(10), "list": []any{int64(1), uint8(1)}},
	} {
		same(t, box{v})
		same(t, v)
	}
	for _, when := range []time.Time{{}, time.Date(1, 1, 2, 3, 4, 5, 6, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.FixedZone("X", 3600))} {
		got, err := travel(t, struct {
			T   time.Time
			Any any
			Ptr *time.Time
		}{when, when, &when})
		inside, ok := got.Any.(time.Time)
		if err != nil || !ok || !inside.Equal(when) || !got.T.Equal(when) || got.Ptr == nil || !got.Ptr.Equal(when) {
			t.Errorf("%v arrived as %+v, %v", when, got, err)
		}
		if when.IsZero() && (got.T != time.Time{} || inside != time.Time{}) {
			t.Errorf("the zero time arrived as %#v and %#v", got.T, inside)
		}
	}
	_, err := travel[any](t, map[int]string{1: "one"})
	wantError(t, err, fault.KindInvalid, "map[int]string", "rmi.RegisterType")
}

// Types of the standard library with a codec of their own travel by it.
func TestTypesWithACodecOfTheirOwnArriveAsTheyWere(t *testing.T) {
	large, _ := new(big.Int).SetString(strings.Repeat("1234567890", 6), 10)
	if got, err := travel(t, large); err != nil || got.Cmp(large) != 0 {
		t.Errorf("%v arrived as %v, %v", large, got, err)
	}
	if got, err := travel(t, (*big.Int)(nil)); err != nil || got != nil {
		t.Errorf("no *big.Int arrived as %v, %v", got, err)
	}
	if got, err := travel(t, big.NewRat(1, 3)); err != nil || got.Cmp(big.NewRat(1, 3)) != 0 {
		t.Errorf("1/3 arrived as %v, %v", got, err)
	}
	type address struct {
		IP     net.IP
		Net    *net.IPNet
		Addr   netip.Addr
		Prefix netip.Prefix
		URL    *url.URL
		JSON   json.RawMessage
		Number json.Number
		Raw    msgpack.RawMessage
	}
	_, subnet, err := net.ParseCIDR("10.1.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse("https://u:p%40ss@h:1/a%2Fb?c=d#e")
	if err != nil {
		t.Fatal(err)
	}
	in := address{net.ParseIP("1.2.3.4"), subnet, netip.MustParseAddr("fe80::1%eth0"), netip.MustParsePrefix("10.0.0.0/8"), u,
		json.RawMessage(`{"a":[1,null]}`), "12345678901234567890", msgpack.RawMessage{0x91, 1}}
	got, err := travel(t, in)
	if err != nil || !got.IP.Equal(in.IP) || got.Net.String() != subnet.String() || got.URL.String() != u.String() {
		t.Errorf("%+v arrived as %+v, %v", in, got, err)
	}
	got.IP, got.Net, got.URL = in.IP, in.Net, in.URL
	if !reflect.DeepEqual(got, in) {
		t.Errorf("%+v arrived as %+v", in, got)
	}
	zero, err := travel(t, address{})
	if err != nil || zero.IP != nil || zero.Net != nil || zero.Addr.IsValid() || zero.Prefix.IsValid() || zero.URL != nil || zero.JSON != nil || zero.Number != "" {
		t.Errorf("zero values arrived as %+v, %v", zero, err)
	}
}

// A value that is reachable by very many paths is refused before it fills the memory.
func TestAValueOfVeryManyPathsIsRefused(t *testing.T) {
	v := &tree{}
	for range 40 { // 2^40 paths
		v = &tree{Left: v, Right: v}
	}
	_, err := travel(t, v)
	wantError(t, err, fault.KindTooLarge, "argument 1: Left.Left")
	if fault.OutcomeOf(err) != fault.OutcomeNotExecuted {
		t.Errorf("outcome %v", fault.OutcomeOf(err))
	}
}

// What was decoded shares no memory with the body, which is used again.
func TestDecodedValuesOutliveTheirBody(t *testing.T) {
	type parts struct {
		Bytes []byte
		Raw   msgpack.RawMessage
		Text  string
		List  []string
		Array [40]byte
		Any   any
		Keys  map[string]string
		Err   error
	}
	value := func(c byte, size int) parts {
		text := strings.Repeat(string(rune(c)), size)
		raw, err := msgpack.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		v := parts{[]byte(text), raw, text, []string{text, text[:1]}, [40]byte{}, text, map[string]string{text: text}, code(size)}
		copy(v.Array[:], text)
		return v
	}
	m := methodOf(t, reflect.TypeFor[parts]())
	for _, size := range []int{1, 63, 64, 65, 511, 4096, 17 << 10, 70 << 10} {
		e := NewEncoder(nil, nil)
		if err := m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(value('a', size))}); err != nil {
			t.Fatal(err)
		}
		body := append([]byte(nil), e.Body()...)
		e.Release()
		d, err := NewDecoder(body, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.DecodeArgs(d)
		if err != nil {
			t.Fatal(err)
		}
		d.Release()
		for i := range body {
			body[i] = 'z'
		}
		if want := value('a', size); !reflect.DeepEqual(got[0].Interface(), want) {
			t.Errorf("what was decoded from %d bytes a piece changed with its body", size)
		}
	}
}

// A value is decoded into new memory: nothing of an earlier one shows through where it has zeros.
func TestNothingOfAnEarlierValueShows(t *testing.T) {
	type all struct {
		B bool
		N int
		S []int
		M map[string]int
		P *int
		E struct{ Text string }
	}
	one := 1
	for i := range 100 {
		in := all{}
		if i%2 == 0 {
			in = all{true, i, []int{i, i}, map[string]int{"a": i}, &one, struct{ Text string }{fmt.Sprint(i)}}
		}
		same(t, in)
	}
}
