package codec

import (
	"context"
	"encoding"
	"math/big"
	"net/netip"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

type (
	nullTime struct {
		time.Time
		Valid bool
		Note  string
	}
	weighed struct {
		netip.AddrPort
		Weight int
	}
	behind struct {
		*big.Int
		N int
	}
	// chosen declares a text form beside the binary one that it is lent.
	chosen struct {
		time.Time
		N int
	}
	halfOwn struct {
		time.Time
		N int
	}
	byPointer[T any] struct {
		Value T
		M     int
	}
	generic[T any] struct {
		byPointer[T]
		N int
	}
	own[T any] struct {
		byPointer[T]
		N int
	}
	small   struct{ V int }
	smaller struct {
		small
		N int
	}
	wrapped struct {
		small
		N int
	}
)

func (c chosen) MarshalText() ([]byte, error)       { return []byte{byte('0' + c.N)}, nil }
func (c *chosen) UnmarshalText(b []byte) error      { c.N = int(b[0] - '0'); return nil }
func (h halfOwn) MarshalBinary() ([]byte, error)    { return nil, nil }
func (b *byPointer[T]) IsZero() bool                { return b.M == 0 }
func (b byPointer[T]) MarshalText() ([]byte, error) { return nil, nil }
func (b *byPointer[T]) UnmarshalText([]byte) error  { return nil }
func (o own[T]) MarshalText() ([]byte, error)       { return []byte{byte(o.N)}, nil }
func (o *own[T]) UnmarshalText(b []byte) error      { o.N = int(b[0]); return nil }

// IsZero is so small that the compiler copies it into what calls it.
func (s small) IsZero() bool { return s.V == 0 }

func (w wrapped) IsZero() bool { return w.small.IsZero() }

func TestMethodsOfEmbeddedFieldsAreNotTheStructsOwn(t *testing.T) {
	type local struct {
		small
		N int
	}
	for _, test := range []struct {
		typ    reflect.Type
		method string
		want   bool
	}{
		{reflect.TypeFor[time.Time](), "MarshalBinary", true},
		{reflect.TypeFor[Named](), "String", true}, // nothing is embedded
		{reflect.TypeFor[nullTime](), "MarshalBinary", false},
		{reflect.TypeFor[*nullTime](), "IsZero", false},
		{reflect.TypeFor[behind](), "MarshalText", false},
		{reflect.TypeFor[chosen](), "MarshalText", true},
		{reflect.TypeFor[chosen](), "UnmarshalText", true},
		{reflect.TypeFor[chosen](), "MarshalBinary", false},
		{reflect.TypeFor[generic[int]](), "MarshalText", false},
		{reflect.TypeFor[generic[int]](), "UnmarshalText", false},
		{reflect.TypeFor[generic[*int]](), "IsZero", false},
		{reflect.TypeFor[own[int]](), "MarshalText", true},
		{reflect.TypeFor[own[string]](), "UnmarshalText", true},
		{reflect.TypeFor[smaller](), "IsZero", false},
		{reflect.TypeFor[local](), "IsZero", false},
		{reflect.TypeFor[wrapped](), "IsZero", true},
		{reflect.TypeFor[*wrapped](), "IsZero", true},
		{reflect.TypeFor[struct {
			time.Time
			N int
		}](), "MarshalBinary", false},
		{reflect.TypeFor[struct{ encoding.TextMarshaler }](), "MarshalText", false},
	} {
		if got := declares(test.typ, test.method); got != test.want {
			t.Errorf("%v declares %s: %v", test.typ, test.method, got)
		}
	}
}

func TestStructsThatEmbedATypeWithACodecKeepTheirOtherFields(t *testing.T) {
	when := time.Unix(1e9, 5)
	same(t, nullTime{when, true, "kept"})
	same(t, []nullTime{{Note: "kept"}})
	same(t, weighed{netip.MustParseAddrPort("10.0.0.1:80"), 7})
	same(t, map[string]behind{"none": {N: 1}, "some": {big.NewInt(1 << 50), 2}})
	same(t, chosen{N: 3})
	same(t, own[string]{N: 4})
	same(t, pair[int, *weighed]{1, &weighed{Weight: 2}})
	type omitting struct {
		Time  nullTime  `msgpack:",omitempty"`
		Small smaller   `msgpack:",omitempty"`
		Ptr   *nullTime `msgpack:",omitempty"`
		Deep  pair[int, smaller]
	}
	same(t, omitting{Time: nullTime{Valid: true}, Small: smaller{N: 5}, Ptr: &nullTime{}})
	same(t, omitting{})
	same(t, struct {
		W wrapped `msgpack:",omitempty"`
		N int
	}{N: 1})
}

// fickle is zero or not depending on what it points to.
type fickle struct {
	p *int
	N int
}

func (f fickle) IsZero() bool { return *f.p == 0 }

func TestAnIsZeroThatPanicsLeavesNothingOut(t *testing.T) {
	same(t, struct {
		F fickle `msgpack:",omitempty"`
		N int
	}{fickle{N: 3}, 1})
}

// looped and the two others embed pointers to what embeds them.
type (
	looped  struct{ *looped }
	Forth   struct{ *Back }
	Back    struct{ *Forth }
	Chained struct {
		*Chained
		N int
	}
)

func TestAStructMayEmbedAPointerToItself(t *testing.T) {
	same(t, Chained{N: 1, Chained: &Chained{N: 2}})
	for _, typ := range []reflect.Type{reflect.TypeFor[looped](), reflect.TypeFor[Forth](), reflect.TypeFor[*Back](), reflect.TypeFor[Chained]()} {
		if names := remoteNames(typ); len(names) != 0 {
			t.Errorf("%v has the remote methods %v", typ, names)
		}
	}
}

func TestWhatIsEmbeddedTravelsOrIsRefused(t *testing.T) {
	type unexported struct{ textForm }
	type Sub struct{ A, B int }
	type other struct{ B, C int }
	for _, test := range []struct {
		typ  reflect.Type
		want string // empty: it travels
	}{
		{reflect.TypeFor[struct {
			textForm
			N int
		}](), "field textForm: the embedded codec.textForm is unexported, so nothing of it would travel"},
		{reflect.TypeFor[struct {
			*textForm
			N int
		}](), "field textForm: the embedded *codec.textForm is unexported"},
		{reflect.TypeFor[struct {
			error
			N int
		}](), "field error: the embedded error is unexported"},
		{reflect.TypeFor[struct {
			inner `msgpack:",noinline"`
			N     int
		}](), "field inner: the embedded codec.inner is unexported"},
		{reflect.TypeFor[pair[int, unexported]](), "field Second.textForm: the embedded"},
		{reflect.TypeFor[struct {
			textForm `msgpack:"-"`
			N        int
		}](), ""},
		{reflect.TypeFor[struct {
			atomic.Int64
			N int
		}](), "field Int64: atomic.Int64 has no exported fields, so nothing of it would travel"},
		{reflect.TypeFor[struct {
			sync.Mutex
			N int
		}](), ""},
		{reflect.TypeFor[struct {
			Sub
			B int
		}](), `fields Sub.B and B both travel as "B"; give one of them another name by a tag`},
		{reflect.TypeFor[struct {
			B int
			*Sub
		}](), `fields B and Sub.B both travel as "B"`},
		{reflect.TypeFor[struct {
			Sub `msgpack:",inline"`
			B   int
		}](), `fields Sub.B and B both travel as "B"`},
		{reflect.TypeFor[struct {
			Sub
			other
		}](), `fields Sub.B and other.B both travel as "B"`},
		{reflect.TypeFor[struct {
			Sub `msgpack:",noinline"`
			B   int
		}](), ""},
		{reflect.TypeFor[struct {
			Sub
			B int `msgpack:"b"`
		}](), ""},
		{reflect.TypeFor[halfOwn](), "has MarshalBinary, but no UnmarshalBinary"},
	} {
		_, err := InterfaceOf(funcOf(test.typ))
		if test.want != "" {
			wantError(t, err, fault.KindInvalid, test.want)
		} else if err != nil {
			t.Errorf("%v: %v", test.typ, err)
		}
	}
}

type textForm struct{ N int }

func (textForm) MarshalText() ([]byte, error)  { return nil, nil }
func (*textForm) UnmarshalText(b []byte) error { return nil }

// An embedded pointer that is not nil arrives like that, whatever it points to.
func TestEmbeddedPointersArriveAsTheyWere(t *testing.T) {
	type Behind struct {
		N    int `msgpack:",omitempty"`
		P    *int
		List []int `msgpack:",omitempty"`
	}
	type deep struct {
		*Behind
		Own int
	}
	type outer struct {
		_msgpack struct{} `msgpack:",omitempty"`
		*deep
	}
	_ = outer{}._msgpack
	same(t, deep{Own: 1})
	same(t, deep{Behind: &Behind{}})
	same(t, deep{Behind: &Behind{N: 1}})
	type Sparse struct {
		A int   `msgpack:",omitempty"`
		B []int `msgpack:",omitempty"`
	}
	same(t, struct{ *Sparse }{})
	same(t, struct{ *Sparse }{&Sparse{}})
	type row struct {
		_msgpack struct{} `msgpack:",as_array"`
		*Sparse
		Own int
	}
	_ = row{}._msgpack
	same(t, row{Own: 1})
	same(t, row{Sparse: &Sparse{A: 1}})
	type Large struct {
		A   int
		Pad [1 << 10]byte `msgpack:"-"`
	}
	for memory, fits := range map[int]bool{2 << 10: true, 1 << 10: false} {
		d, err := NewDecoder([]byte("\x91\x81\xa1A\x01"), nil, nil, &wire.Limits{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		_, err = methodOf(t, reflect.TypeFor[struct{ *Large }]()).DecodeArgs(d)
		d.Release()
		if (err == nil) != fits {
			t.Errorf("with %d bytes: %v", memory, err)
		}
	}
	type Deep deep
	type all struct {
		_msgpack struct{} `msgpack:",omitempty"`
		*Deep
	}
	_ = all{}._msgpack
	same(t, all{})
	same(t, all{Deep: &Deep{}})
	same(t, all{Deep: &Deep{Behind: &Behind{}}})
}

type (
	session struct {
		ID  string
		Log []string
	}
	opaqueSession struct{ ID string }
	basedSession  struct {
		opaqueSession
		Name string
	}
	savable struct {
		_ struct{} `rmi:"value"`
		N int
	}
	Listening interface {
		Notify(ctx context.Context, n int) error
	}
	holdsListener struct {
		Listening
		N int
	}
	table map[string]int
)

func (*session) Notify(context.Context, int) error        { return nil }
func (*session) Close(context.Context) error              { return nil }
func (*session) Local() string                            { return "" }
func (*opaqueSession) Close(context.Context) error        { return nil }
func (savable) Save(context.Context, string) (int, error) { return 0, nil }
func (table) Get(context.Context, string) (int, error)    { return 0, nil }

func TestServantsInPlaceOfTheirInterfacesAreRefusedWithTheCure(t *testing.T) {
	for _, test := range []struct {
		typ  reflect.Type
		want []string
	}{
		{reflect.TypeFor[*session](), []string{"*codec.session has remote methods (Close, Notify)", "name its remote interface here instead, codec.", "for one", "`rmi:\"value\"`"}},
		{reflect.TypeFor[session](), []string{"argument 1: codec.session has remote methods"}},
		{reflect.TypeFor[[]*session](), []string{"argument 1[]: *codec.session has"}},
		{reflect.TypeFor[*opaqueSession](), []string{"*codec.opaqueSession has remote methods (Close), but here a copy", "an interface with these methods"}},
		{reflect.TypeFor[basedSession](), []string{"codec.basedSession has remote methods (Close)"}},
		{reflect.TypeFor[pair[int, map[string]*session]](), []string{"argument 1: field Second[]: *codec.session has"}},
		{reflect.TypeFor[table](), []string{"codec.table has remote methods (Get)"}},
		{reflect.TypeFor[savable](), nil},
		{reflect.TypeFor[*savable](), nil},
		{reflect.TypeFor[holdsListener](), nil},
	} {
		if _, err := InterfaceOf(reflect.TypeFor[listener]()); err != nil {
			t.Fatal(err)
		}
		_, err := InterfaceOf(funcOf(test.typ))
		if test.want == nil && err != nil {
			t.Errorf("%v: %v", test.typ, err)
		} else if test.want != nil {
			wantError(t, err, fault.KindInvalid, test.want...)
		}
	}
	_, err := travel(t, any(&session{}))
	wantError(t, err, fault.KindInvalid, "argument 1: in an interface that holds data, *codec.session has remote methods (Close, Notify)", "name its remote interface")
	e := NewEncoder(nil, nil)
	defer e.Release()
	wantError(t, EncodeAny(e, []any{1, &session{}}), fault.KindInvalid, "argument 2: ", "*codec.session has remote methods")
}

// A nil pointer in an interface is no object that anybody could call.
func TestANilPointerInARemoteInterfaceIsRefused(t *testing.T) {
	for _, v := range []listener{(*session)(nil), nilTable(nil)} {
		_, err := travel(t, v)
		wantError(t, err, fault.KindInvalid, "argument 1: a nil ", " is no codec.listener that could be called; pass nil itself")
		_, err = travel(t, pair[int, []listener]{1, []listener{notifier{}, nil, v}})
		wantError(t, err, fault.KindInvalid, "argument 1: Second[2]: a nil ")
		o := newObjects()
		e := NewEncoder(o, nil)
		m := methodOf(t, reflect.TypeFor[listener]())
		e.OpenResults(m)
		e.Value(0)
		e.Remote(RemoteOf(reflect.TypeFor[listener]()), v)
		err = e.CloseResults(m)
		e.Release()
		wantError(t, err, fault.KindInvalid, "result 1: a nil ")
		if fault.OutcomeOf(err) != fault.OutcomeExecuted || len(o.byNum) != 0 {
			t.Errorf("outcome %v, %d exports", fault.OutcomeOf(err), len(o.byNum))
		}
	}
	same(t, listener(nil))
}

type nilTable map[int]int

func (nilTable) Notify(context.Context, int) error { return nil }
