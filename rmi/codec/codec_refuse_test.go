package codec

import (
	"context"
	"io"
	"iter"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func wantError(t *testing.T, err error, kind fault.Kind, parts ...string) {
	t.Helper()
	if fault.KindOf(err) != kind {
		t.Errorf("got %v, want kind %v", err, kind)
	}
	for _, p := range parts {
		if err != nil && !strings.Contains(err.Error(), p) {
			t.Errorf("got %q, want it to contain %q", err, p)
		}
	}
}

func TestTypesThatCannotTravelAreNamedByRuleAndPath(t *testing.T) {
	type opts struct {
		C     chan int
		Hooks []func(int)
	}
	type oneWay struct{ TextOnly textOnly }
	for _, test := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[chan int](), "rule 4: Call: argument 1: channels cannot travel"},
		{reflect.TypeFor[opts](), "rule 4: Call: argument 1: field C: channels"},
		{reflect.TypeFor[opts](), "rule 4: Call: argument 1: field Hooks[]: a function that travels takes a context.Context first and returns an error last"},
		{reflect.TypeFor[map[string]pair[int, *opts]](), "argument 1[]"},
		{reflect.TypeFor[pair[int, []opts]](), "argument 1: field Second[].C: channels"},
		{reflect.TypeFor[uintptr](), "memory address"},
		{reflect.TypeFor[complex128](), "complex numbers cannot travel"},
		{reflect.TypeFor[map[float64]int](), "a map's key is"},
		{reflect.TypeFor[map[struct{ X int }]int](), "a map's key is"},
		{reflect.TypeFor[map[*int]int](), "a map's key is"},
		{reflect.TypeFor[io.Reader](), "streams (io.Reader) are not supported yet"},
		{reflect.TypeFor[io.WriteCloser](), "streams"},
		{reflect.TypeFor[iter.Seq[int]](), "streams (iter.Seq[int]) are not supported yet"},
		{reflect.TypeFor[iter.Seq2[int, string]](), "streams"},
		{reflect.TypeFor[context.Context](), "first parameter of a method"},
		{reflect.TypeFor[func(context.Context)](), "returns an error last"},
		{reflect.TypeFor[interface {
			Good(context.Context) error
			Bad(int) error
		}](), "neither a remote interface nor data: Bad is no method that takes a context.Context first"},
		{reflect.TypeFor[struct{ hidden int }](), "no exported fields"},
		{reflect.TypeFor[oneWay](), "has MarshalText, but no UnmarshalText"},
		{reflect.TypeFor[struct {
			A int `msgpack:"x"`
			B int `msgpack:"x"`
		}](), `fields A and B both travel as "x"`},
		{reflect.TypeFor[struct {
			*inner
			X int
		}](), "embedded pointer to an unexported struct"},
		{reflect.TypeFor[struct {
			A int `msgpack:"'x'"`
		}](), "quotes in the tag"},
		{reflect.TypeFor[endless](), "pointers deep"},
		{reflect.TypeFor[interface {
			Next(context.Context, chan int) error
		}](), "argument 1: method Next: argument 1: channels"},
	} {
		_, err := InterfaceOf(funcOf(test.typ))
		if test.want == "argument 1[]" {
			test.want = "argument 1[].Second.C"
		}
		wantError(t, err, fault.KindInvalid, test.want)
		if fault.OutcomeOf(err) != fault.OutcomeNotExecuted {
			t.Errorf("%v: outcome %v", test.typ, fault.OutcomeOf(err))
		}
	}
}

type endless *endless

type textOnly struct{ X int }

func (textOnly) MarshalText() ([]byte, error) { return nil, nil }

func TestDecodingRefusesWhatDoesNotFit(t *testing.T) {
	for _, test := range []struct {
		typ  reflect.Type
		body string
		want string
	}{
		{reflect.TypeFor[int8](), "\x91\xcd\x01\x2c", "argument 1: 300 does not fit into int8"},
		{reflect.TypeFor[int8](), "\x91\xd1\xff\x00", "-256 does not fit into int8"},
		{reflect.TypeFor[uint](), "\x91\xff", "-1 does not fit into uint"},
		{reflect.TypeFor[int64](), "\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615 does not fit into int64"},
		{reflect.TypeFor[uint16](), "\x91\xce\x00\x01\x00\x00", "65536 does not fit into uint16"},
		{reflect.TypeFor[float32](), "\x91\xcb\x7f\xe0\x00\x00\x00\x00\x00\x00", "does not fit into float32"},
		{reflect.TypeFor[float64](), "\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "does not fit into float64"},
		{reflect.TypeFor[float64](), "\x91\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "does not fit into float64"},
		{reflect.TypeFor[int64](), "\x91\xa1x", "got a string, want int64"},
		{reflect.TypeFor[int64](), "\x91\xca\x00\x00\x00\x00", "got a float32, want int64"},
		{reflect.TypeFor[string](), "\x91\xc4\x01x", "got binary data, want string"},
		{reflect.TypeFor[[]byte](), "\x91\xa1x", "got a string, want []byte"},
		{reflect.TypeFor[bool](), "\x91\x01", "got an integer, want bool"},
		{reflect.TypeFor[[2]int](), "\x91\x93\x01\x02\x03", "got 3 elements for a [2]int"},
		{reflect.TypeFor[[2]byte](), "\x91\xc4\x01x", "got 1 bytes for a [2]byte"},
		{reflect.TypeFor[inner](), "\x91\x92\x01\x02", "got an array, want codec.inner"},
		{reflect.TypeFor[inner](), "\x91\x82\xa1A\x01\xa1A\x02", "argument 1: A: the field comes twice"},
		{reflect.TypeFor[inner](), "\x91\x83\xa1b\xa1x\xa1A\x01\xa1b\xa1y", "argument 1: B: the field comes twice"},
		{reflect.TypeFor[tagged](), "\x91\x82\xa3new\x01\xa3old\x02", "Aliased: the field comes twice"},
		{reflect.TypeFor[map[string]int](), "\x91\x82\xa1A\x01\xa1A\x02", `argument 1["A"]: the key comes twice`},
		{reflect.TypeFor[map[string]pair[int, []bool]](), "\x91\x81\xa1A\x81\xa6Second\x92\xc2\x07", `argument 1["A"].Second[1]: got an integer, want bool`},
		{reflect.TypeFor[time.Time](), "\x91\xa1x", "got a string, want time.Time"},
		{reflect.TypeFor[time.Time](), "\x91\xd5\x01\x00\x00", "got a reference, want time.Time"},
		{reflect.TypeFor[listener](), "\x91\xd5\x01\x00\x00", "reference 0 is outside the message's table of 0"},
		{reflect.TypeFor[listener](), "\x91\xd6\xff\x00\x00\x00\x00", "got a time, want codec.listener"},
		{reflect.TypeFor[refs.Ref](), "\x91\xd5\x01\xff\xff", "reference 65535 is outside"},
		{reflect.TypeFor[any](), "\x91\x92\xa4nope\x01", `type "nope" came, which this side has not registered`},
		{reflect.TypeFor[any](), "\x91\x05", "got an integer, want any"},
		{reflect.TypeFor[any](), "\x91\x92\xa4int8\xcd\x01\x2c", "argument 1.(int8): 300 does not fit"},
		{reflect.TypeFor[shape](), "\x91\x92\xa3int\x01", "a int came, which is no codec.shape"},
		{reflect.TypeFor[netip.Addr](), "\x91\xc4\x01x", "argument 1"},
		{reflect.TypeFor[panicky](), "\x91\xc4\x01x", "the type's own codec panicked"},
		{reflect.TypeFor[greedy](), "\x91\x92\x01\x02", "argument 1"},
		{reflect.TypeFor[lazy](), "\x91\x92\x01\x02", "DecodeMsgpack read 0 of the 3 bytes"},
		{reflect.TypeFor[int](), "\x90", "Call(int) (int) has 1 argument, the message has 0"},
		{reflect.TypeFor[int](), "\x92\x01\x02", "Call(int) (int) has 1 argument, the message has 2"},
		{reflect.TypeFor[int](), "\x01", "got an integer, want an array"},
	} {
		m := methodOf(t, test.typ)
		d, err := NewDecoder([]byte(test.body), nil, newObjects(), nil)
		if err != nil {
			t.Errorf("%v: %v", test.typ, err)
			continue
		}
		_, err = m.DecodeArgs(d)
		d.Release()
		wantError(t, err, fault.KindBadArguments, test.want)
		if fault.OutcomeOf(err) != fault.OutcomeNotExecuted {
			t.Errorf("%v: outcome %v", test.typ, fault.OutcomeOf(err))
		}
	}
}

type panicky struct{ X int }

func (panicky) MarshalBinary() ([]byte, error)      { return nil, nil }
func (*panicky) UnmarshalBinary(b []byte) error     { _ = b[len(b)]; return nil }
func (greedy) EncodeMsgpack(*msgpack.Encoder) error { return nil }

// greedy reads a value more than its own.
type greedy struct{ X int }

func (*greedy) DecodeMsgpack(d *msgpack.Decoder) error {
	if err := d.Skip(); err != nil {
		return err
	}
	return d.Skip()
}

// lazy reads nothing and writes two values.
type lazy struct{ X int }

func (lazy) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeMulti(1, 2) }
func (*lazy) DecodeMsgpack(*msgpack.Decoder) error  { return nil }

func TestNilIsTheZeroValue(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[int](), reflect.TypeFor[string](), reflect.TypeFor[[2]int](), reflect.TypeFor[[2]byte](),
		reflect.TypeFor[record](), reflect.TypeFor[tuple](), reflect.TypeFor[time.Time](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[bool](),
		reflect.TypeFor[float64](), reflect.TypeFor[error](), reflect.TypeFor[any](), reflect.TypeFor[listener](), reflect.TypeFor[refs.Ref](),
		reflect.TypeFor[embedding](), reflect.TypeFor[func(context.Context) error](), reflect.TypeFor[*tree](), reflect.TypeFor[map[string]int]()} {
		d, err := NewDecoder([]byte{0x91, 0xc0}, nil, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := methodOf(t, typ).DecodeArgs(d)
		if err != nil || !got[0].IsZero() {
			t.Errorf("%v: %v, %v", typ, got, err)
		}
		d.Release()
	}
}

func TestEncodingRefusesWithThePath(t *testing.T) {
	cyclic := &tree{}
	cyclic.Left = cyclic
	var loop ring
	loop = append(loop, nil)
	loop[0] = loop
	try := func(v any, l *wire.Limits, kind fault.Kind, want ...string) {
		t.Helper()
		e := NewEncoder(nil, l)
		defer e.Release()
		err := methodOf(t, reflect.TypeOf(v)).EncodeArgs(e, []reflect.Value{reflect.ValueOf(v)})
		wantError(t, err, kind, want...)
		if fault.OutcomeOf(err) != fault.OutcomeNotExecuted {
			t.Errorf("outcome %v", fault.OutcomeOf(err))
		}
	}
	try(cyclic, nil, fault.KindTooLarge, "argument 1: Left.Left", "…", "does the value contain itself?")
	try(loop, nil, fault.KindTooLarge, "argument 1[0][0]", "limit of 64")
	try([]any{1, stranger{}}, nil, fault.KindInvalid, "argument 1[1]: a codec.stranger", "call rmi.RegisterType")
	try(pair[int, any]{1, make(chan int)}, nil, fault.KindInvalid, "argument 1: Second: a chan int")
	try(make([]byte, 100), &wire.Limits{Message: 50}, fault.KindTooLarge, "argument 1: the body takes 103 bytes or more, above the limit of 50 bytes")
	try([]record{{}, {Name: strings.Repeat("x", 100)}}, &wire.Limits{Message: 60}, fault.KindTooLarge, "argument 1[1].Name: ", "limit of 60 bytes")
	try(make([]bool, 100), &wire.Limits{Elements: 50}, fault.KindTooLarge, "argument 1: 101 elements or more, above the limit of 50")
	try(lazy{}, nil, fault.KindInvalid, "wrote more than one value")
	try(greedy{}, nil, fault.KindInvalid, "cannot travel")
	try(msgpack.RawMessage{0xdd, 0xff, 0xff, 0xff, 0xff}, nil, fault.KindInvalid, "cannot travel")
	try(panicking{}, nil, fault.KindInvalid, "codec panicked")
	try([]refs.Ref{{Completed: true}, {ID: refs.ID{Object: 3}}}, &wire.Limits{References: 1}, fault.KindTooLarge, "argument 1[1]: more references than the limit of 1")
	try(func(context.Context) error { return nil }, nil, fault.KindInvalid, "only arguments and results of a call carry references")
}

type panicking struct{ *url.URL }

func (p panicking) MarshalBinary() ([]byte, error)     { return p.URL.MarshalBinary() }
func (p *panicking) UnmarshalBinary(text []byte) error { return p.URL.UnmarshalBinary(text) }

func TestWrongNumberOrTypeOfValuesIsRefused(t *testing.T) {
	m := methodOf(t, reflect.TypeFor[int]())
	e := NewEncoder(nil, nil)
	defer e.Release()
	wantError(t, m.EncodeArgs(e, nil), fault.KindBadArguments, "Call(int) (int) has 1 argument, not 0")
	wantError(t, m.EncodeResults(e, []reflect.Value{reflect.ValueOf("x")}), fault.KindBadArguments, "result 1: got a string, want int")
}
