// Package cases has one method for every rule for parameters. It is declared twice, with a
// generated stub and without, so that tests can compare the two on either side of a call.
package cases

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/internal/cases/other"
)

//go:generate go tool rmigen -type Bench,Cases,Listener

// Cases has a method of one argument and an equal result for each rule, and methods of other
// shapes.
type Cases interface {
	Null(ctx context.Context) error
	//rmi:idempotent
	//rmi:timeout 5s
	Many(ctx context.Context, a int64, b string, c []byte) (int64, string, []byte, error)
	Variadic(ctx context.Context, first int, rest ...string) ([]string, error)
	//rmi:oneway
	Tell(ctx context.Context, text string) error
	Fail(ctx context.Context, how int) (Scalars, error)

	Scalars(ctx context.Context, v Scalars) (Scalars, error)
	Named(ctx context.Context, v NamedTypes) (NamedTypes, error)
	Tags(ctx context.Context, v Tagged) (Tagged, error)
	Embedded(ctx context.Context, v Embedding) (Embedding, error)
	Tuple(ctx context.Context, v Tuple) (Tuple, error)
	Pointing(ctx context.Context, v Pointing) (Pointing, error)
	Promoted(ctx context.Context, v Promoted) (Promoted, error)
	Active(ctx context.Context, v *Active) (*Active, error)
	Containers(ctx context.Context, v Containers) (Containers, error)
	Keys(ctx context.Context, v Keys) (Keys, error)
	Pointers(ctx context.Context, v *Pointers) (*Pointers, error)
	Tree(ctx context.Context, v Tree) (Tree, error)
	Omitted(ctx context.Context, v Omitted) (Omitted, error)
	Foreign(ctx context.Context, v Foreign) (Foreign, error)
	Codecs(ctx context.Context, v Codecs) (Codecs, error)
	Generic(ctx context.Context, v other.Pair[string, []other.Pair[int, Color]]) (other.Pair[string, []other.Pair[int, Color]], error)
	List(ctx context.Context, v *other.List[Name]) (*other.List[Name], error)
	Unnamed(ctx context.Context, v struct {
		A int `msgpack:"a"`
		B struct{ C []string }
	}) (struct {
		A int `msgpack:"a"`
		B struct{ C []string }
	}, error)
	Data(ctx context.Context, v any) (any, error)
	Error(ctx context.Context, v error) (error, error)
	Remotes(ctx context.Context, v Remotes) (Remotes, error)
	Apply(ctx context.Context, f func(_ context.Context, other int64) (int64, error), n int64) (int64, error)
	Meet(ctx context.Context, l Listener, f func(ctx context.Context, n int64) (int64, error), h other.Handler) (Listener, func(ctx context.Context, n int64) (int64, error), other.Handler, error)
	Array(ctx context.Context, v [3]Scalars) ([3]Scalars, error)
	Time(ctx context.Context, v time.Time, d time.Duration) (time.Time, time.Duration, error)
	Long(ctx context.Context, v Long) (Long, error)
	Slices(ctx context.Context, v Slices) (Slices, error)
	NamedSlices(ctx context.Context, v NamedSlices) (NamedSlices, error)
	Sum(ctx context.Context, n int64, fs ...func(_ context.Context, other int64) (int64, error)) (int64, error)
	Tellers(ctx context.Context, ls ...Listener) ([]Listener, error)
	Interfaces(ctx context.Context, v Interfaces) (Interfaces, error)
	Literal(ctx context.Context, v interface {
		Heard(ctx context.Context, text string) (string, error)
	}) (string, error)
}

// Plain is Cases without a generated stub.
type Plain interface{ Cases }

// Listener is a remote interface that travels by reference.
type Listener interface {
	//rmi:timeout 7s
	Heard(ctx context.Context, text string) (string, error)
}

// Scalars has a field of each basic kind.
type Scalars struct {
	B   bool
	I   int
	I8  int8
	I16 int16
	I32 int32
	I64 int64
	U   uint
	U8  uint8
	U16 uint16
	U32 uint32
	U64 uint64
	F32 float32
	F64 float64
	S   string
}

type (
	// Color is a named number, Name a named string, and so on.
	Color  uint8
	Name   string
	Flag   bool
	Ratio  float32
	Blob   []byte
	Digest [4]byte
	Colors []Color
	Names  []Name
	Table  map[Name]Color
	Grid   [2][2]int
	Box    *Color
)

// NamedTypes has named types of each form.
type NamedTypes struct {
	Color  Color
	Name   Name
	Flag   Flag
	Ratio  Ratio
	Blob   Blob
	Digest Digest
	Colors Colors
	Names  Names
	Table  Table
	Grid   Grid
	Box    Box
}

// Slices has slices of each kind that is written in one go.
type Slices struct {
	B   []bool
	I   []int
	I8  []int8
	I16 []int16
	I32 []int32
	I64 []int64
	U   []uint
	U16 []uint16
	U32 []uint32
	U64 []uint64
	F32 []float32
	F64 []float64
}

type (
	// Cents is a named number, Port another, and so on.
	Cents int64
	Port  uint16
	Angle float64
	Flags []Flag
)

// NamedSlices has slices of named types, and named bytes.
type NamedSlices struct {
	Cents  []Cents
	Ports  []Port
	Angles []Angle
	Ratios []Ratio
	Flags  Flags
	Colors []Color
	Two    [2]Color
}

// Interfaces has pointers to interfaces, and interfaces without a name.
type Interfaces struct {
	Data    *any
	Remote  *Listener
	Literal interface {
		Heard(ctx context.Context, text string) (string, error)
	}
}

// Tagged uses the tags.
type Tagged struct {
	Plain    int
	Renamed  string `msgpack:"other"`
	Skipped  int    `msgpack:"-"`
	Optional string `msgpack:",omitempty"`
	Aliased  int    `msgpack:"new,alias:old"`
	hidden   int
}

// NewTagged returns a Tagged with a field that does not travel.
func NewTagged(v Tagged) Tagged { v.hidden = 3; return v }

type base struct{ ID int64 }

// Base is embedded by pointer.
type Base struct {
	Kind string
	More *Base
}

// Inner has a name that its outer struct has too.
type Inner struct{ A, B int }

// Embedding embeds structs in all ways.
type Embedding struct {
	base
	*Base
	Inner
	other.Point `msgpack:",noinline"`
	Outer       string `msgpack:"a"`
}

// Sparse has only fields that are not written unless they are set.
type Sparse struct {
	Num  int `msgpack:",omitempty"`
	Ptr  *int
	Some []int `msgpack:",omitempty"`
}

// Pointing embeds by pointer structs that may have only nils.
type Pointing struct {
	*Sparse
	N int
}

// Tuple travels as an array.
type Tuple struct {
	_msgpack struct{} `msgpack:",as_array"` //lint:ignore U1000 the tag is for msgpack
	*Base
	N int `msgpack:",omitempty"`
	S string
}

// Containers has slices, arrays and maps.
type Containers struct {
	Bytes   []byte
	Ints    []int
	Structs []Inner
	Deep    [][]string
	Array   [2]string
	Empty   [0]int
	Map     map[string]int
	Maps    map[string]map[int]Inner
	Ptrs    []*Inner
	Times   []time.Time
	None    []struct{}
}

// Keys has maps with keys of each kind.
type Keys struct {
	Bool   map[bool]int
	Int    map[int16]string
	Uint   map[uint64]string
	Name   map[Name]string
	Digest map[Digest]string
	Unit   map[other.Unit]string
}

// Pointers has pointers.
type Pointers struct {
	Int    *int
	String **string
	Struct *Pointers
	Slice  *[]int
	Map    map[string]*Pointers
	Time   *time.Time
}

// Tree contains itself.
type Tree map[string]Tree

// Zeroer decides itself when it is empty.
type Zeroer struct{ N int }

// IsZero reports that N is 7.
func (z Zeroer) IsZero() bool { return z.N == 7 }

// Fickle needs what it points to, to tell whether it is zero.
type Fickle struct{ P *int }

// IsZero reports that *P is 0.
func (f Fickle) IsZero() bool { return *f.P == 0 }

// Omitted leaves out every kind of empty value.
type Omitted struct {
	B      bool              `msgpack:",omitempty"`
	I      int               `msgpack:",omitempty"`
	U      uint8             `msgpack:",omitempty"`
	F      float64           `msgpack:",omitempty"`
	S      Name              `msgpack:",omitempty"`
	Slice  []int             `msgpack:",omitempty"`
	Array  [2]int            `msgpack:",omitempty"`
	None   [0]int            `msgpack:",omitempty"`
	Map    map[string]int    `msgpack:",omitempty"`
	Ptr    *int              `msgpack:",omitempty"`
	Any    any               `msgpack:",omitempty"`
	Err    error             `msgpack:",omitempty"`
	Remote Listener          `msgpack:",omitempty"`
	Time   time.Time         `msgpack:",omitempty"`
	Ref    refs.Ref          `msgpack:",omitempty"`
	Zero   Zeroer            `msgpack:",omitempty"`
	Zeros  *Zeroer           `msgpack:",omitempty"`
	Fickle Fickle            `msgpack:",omitempty"`
	Struct OnlyOmitted       `msgpack:",omitempty"`
	Always Inner             `msgpack:",omitempty"`
	Void   struct{}          `msgpack:",omitempty"`
	Unit   other.Unit        `msgpack:",omitempty"`
	Text   Text              `msgpack:",omitempty"`
	Bytes  []byte            `msgpack:",omitempty"`
	Last   map[string]string `msgpack:",omitempty"`
}

// OnlyOmitted is empty when its fields are.
type OnlyOmitted struct {
	*Base
	N int `msgpack:",omitempty"`
}

// Foreign has types of other packages.
type Foreign struct {
	Point  other.Point
	Points map[string]*other.Point
	Nested other.Nested
	Unit   other.Unit
	Month  time.Month
}

// Text has a text form, Binary a binary one.
type (
	Text   struct{ s string }
	Binary [2]int
)

// MarshalText implements encoding.TextMarshaler.
func (t Text) MarshalText() ([]byte, error) { return []byte("<" + t.s + ">"), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Text) UnmarshalText(b []byte) error { t.s = string(b[1 : len(b)-1]); return nil }

// MarshalBinary implements encoding.BinaryMarshaler.
func (b Binary) MarshalBinary() ([]byte, error) { return []byte{byte(b[0]), byte(b[1])}, nil }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (b *Binary) UnmarshalBinary(x []byte) error { b[0], b[1] = int(x[0]), int(x[1]); return nil }

// Streamed writes itself to msgpack's streams, Packed as bytes of MessagePack.
type (
	Streamed struct{ n int }
	Packed   struct{ n int }
)

// EncodeMsgpack implements msgpack.CustomEncoder.
func (s Streamed) EncodeMsgpack(e *msgpack.Encoder) error { return e.EncodeInt(int64(s.n) + 1) }

// DecodeMsgpack implements msgpack.CustomDecoder.
func (s *Streamed) DecodeMsgpack(d *msgpack.Decoder) error {
	n, err := d.DecodeInt()
	s.n = n - 1
	return err
}

// MarshalMsgpack implements msgpack.Marshaler.
func (p Packed) MarshalMsgpack() ([]byte, error) { return msgpack.Marshal([]int{p.n}) }

// UnmarshalMsgpack implements msgpack.Unmarshaler.
func (p *Packed) UnmarshalMsgpack(b []byte) error {
	var list []int
	if err := msgpack.Unmarshal(b, &list); err != nil {
		return err
	}
	if len(list) != 1 {
		return errors.New("want one number")
	}
	p.n = list[0]
	return nil
}

// NewPacked returns a Packed and a Streamed of n.
func NewPacked(n int) (Packed, Streamed) { return Packed{n}, Streamed{n} }

// Stamp does not count as having the methods of the time that it embeds. It is a struct of two
// fields, and empty if both are.
type Stamp struct {
	time.Time
	N int
}

// Lent has methods of its own beside the promoted ones, which are tried first.
type Lent struct {
	netip.AddrPort
	N int
}

// MarshalText implements encoding.TextMarshaler.
func (l Lent) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%v %d", l.AddrPort, l.N), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Lent) UnmarshalText(b []byte) (err error) {
	addr, n, _ := strings.Cut(string(b), " ")
	if l.N, err = strconv.Atoi(n); err == nil {
		l.AddrPort, err = netip.ParseAddrPort(addr)
	}
	return err
}

// IsZero reports that N is 0.
func (l Lent) IsZero() bool { return l.N == 0 }

// Promoted has types that embed others whose methods the codec looks at.
type Promoted struct {
	Stamp   Stamp
	Omitted Stamp    `msgpack:",omitempty"`
	Ptr     *Stamp   `msgpack:",omitempty"`
	Lent    Lent     `msgpack:",omitempty"`
	Zero    Zeroing  `msgpack:",omitempty"`
	Zeros   *Zeroing `msgpack:",omitempty"`
	Number  Numbered
	Texts   map[string]Texted
}

// Zeroing is lent IsZero, Numbered a codec by pointer, Texted one by what is generic.
type (
	Zeroing struct {
		Zeroer
		M int
	}
	Numbered struct {
		*big.Int
		N int
	}
	Texted struct {
		other.Text[int]
		N int
	}
)

// Active is data that can do remote things.
type Active struct {
	_ struct{} `rmi:"value"`
	N int
}

// Save has the shape of a remote method.
func (*Active) Save(ctx context.Context) error { return ctx.Err() }

// Codecs has types with codecs of their own.
type Codecs struct {
	Text     Text
	Ptr      *Text
	Binary   Binary
	List     []Text
	Map      map[string]Binary
	Streamed Streamed
	Streams  []*Streamed
	Packed   Packed
	Packs    map[string]Packed
	Stamp    Stamp
	Lent     Lent
}

// Remotes has remote values, and others that are not data.
type Remotes struct {
	Listener Listener
	Many     []Listener
	By       map[string]Listener
	Tell     func(ctx context.Context, n int64) (int64, error)
	Handler  other.Handler
	Ref      refs.Ref
	Err      error
	Any      any
}

// Long has more fields than one byte can count.
type Long struct {
	F01, F02, F03, F04, F05, F06, F07, F08, F09, F10, F11, F12, F13, F14, F15, F16, F17 int
	Last                                                                                string `msgpack:",omitempty"`
}

// Record is about 100 bytes.
type Record struct {
	ID    int64
	Name  string
	Tags  []string
	Value float64
}

// Bench is what benchmarks call.
type Bench interface {
	Null(ctx context.Context) error
	Echo(ctx context.Context, r Record) (Record, error)
}

// PlainBench is Bench without a generated stub.
type PlainBench interface{ Bench }

func init() { rmi.RegisterType[Inner]("cases.Inner") }
