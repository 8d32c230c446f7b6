package wire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/registry"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Values is an interface whose method takes a value of each kind.
type Values interface {
	Send(ctx context.Context, b bool, i8 int8, i16 int16, i32 int32, i int, u8 uint8, u16 uint16, u32 uint32, u uint,
		f32 float32, f64 float64, s string, raw []byte, digest [4]byte, at time.Time, ref, none refs.Ref, sentinel error,
		a any, list []int64, array [2]bool, table map[string]int64, point Point, pair Pair,
		call func(ctx context.Context, balance int64) error, nothing *Point, wait time.Duration, addr netip.Addr, ip net.IP, huge *big.Int) error
}

type Point struct {
	X, Y  int64
	Label string `msgpack:"label"`
}

type Pair struct {
	//lint:ignore U1000 the codec looks at the tag
	_msgpack struct{} `msgpack:",as_array"`
	Name     string
	Count    uint32
}

// funcs is an Exporter by which every function has the same reference.
type funcs struct{}

func (funcs) ExportRef(_ reflect.Value, i *codec.Interface) (refs.Ref, error) {
	return refs.Ref{ID: refs.ID{Node: nodeOf(diallerKey), Time: bank.Time, Object: 0xca11ca11ca11ca11},
		Interface: refs.Interface{Name: i.Name, Fingerprint: i.Fingerprint}}, nil
}

// message is a call or a return that is being made.
type message struct {
	body, table []byte
	refs        []refs.Ref
	parts       []part // of table and body
}

// encode makes the payload of a call's arguments, or of its results.
func encode(t *testing.T, m *codec.Method, results bool, names []string, values ...any) message {
	t.Helper()
	types, write := m.In, m.EncodeArgs
	if results {
		types, write = m.Out, m.EncodeResults
	}
	if len(types) != len(values) {
		t.Fatalf("%s: %d values, want %d", m.Name, len(values), len(types))
	}
	in := make([]reflect.Value, len(values))
	for i, v := range values {
		in[i] = reflect.New(types[i]).Elem()
		if v != nil {
			in[i].Set(reflect.ValueOf(v))
		}
	}
	e := codec.NewEncoder(funcs{}, nil)
	defer e.Release()
	if err := write(e, in); err != nil {
		t.Fatal(err)
	}
	x := message{body: bytes.Clone(e.Body())}
	x.refs = append(x.refs, e.Refs()...)
	var err error
	if x.table, err = wire.AppendTable(nil, x.refs); err != nil {
		t.Fatal(err)
	}
	for i, r := range x.refs {
		b, err := r.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		x.parts = append(x.parts, part{2, fmt.Sprintf("length of reference %d", i)}, part{len(b), fmt.Sprintf("reference %d: %s", i, r.Interface.Name)})
	}
	r := bytes.NewReader(x.body)
	d := msgpack.NewDecoder(r)
	if n, err := d.DecodeArrayLen(); err != nil || n != len(values) {
		t.Fatal(n, err)
	}
	what := "argument"
	if results {
		what = "result"
	}
	x.parts = append(x.parts, part{len(x.body) - r.Len(), fmt.Sprintf("body: %d %ss", len(values), what)})
	for i := range values {
		left := r.Len()
		if err := d.Skip(); err != nil {
			t.Fatal(err)
		}
		name := what
		if i < len(names) {
			name = names[i]
		}
		x.parts = append(x.parts, part{left - r.Len(), name})
	}
	return x
}

func (x message) payload() wire.Payload {
	return payload(uint32(len(x.refs)), uint32(len(x.table)), uint32(len(x.body)))
}

// goldenCall compares the record of a call.
func goldenCall(t *testing.T, name, about string, object refs.ObjNum, m *codec.Method, names []string, args ...any) {
	t.Helper()
	x := encode(t, m, false, names, args...)
	h := wire.CallHeader{Slot: 0, Seq: 1, Chain: chain, Object: object, Timeout: 30_000_000, Method: m.ID, Payload: x.payload()}
	golden(t, name, about, append(append(wire.AppendCall(nil, &h, 0, nil), x.table...), x.body...), join(callParts, x.parts...)...)
}

// goldenReturn compares the record of a return.
func goldenReturn(t *testing.T, name, about string, m *codec.Method, names []string, results ...any) {
	t.Helper()
	x := encode(t, m, true, names, results...)
	h := wire.ReturnHeader{Slot: 0, Seq: 1, Payload: x.payload()}
	golden(t, name, about, append(append(wire.AppendReturn(nil, &h, 0, nil), x.table...), x.body...), join(returnParts, x.parts...)...)
}

func interfaceOf[T any](t *testing.T) *codec.Interface {
	t.Helper()
	i, err := codec.InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestGoldenValues(t *testing.T) {
	if strconv.IntSize < 64 {
		t.Skip("an int has 32 bits here, and cannot hold the values of the file")
	}
	low, high := int64(-5_000_000_000), uint64(1<<63)
	names := []string{"1 bool: true", "2 int8: -1", "3 int16: -300", "4 int32: 70000", "5 int64, a Go int: -5000000000", "6 uint8: 200", "7 uint16: 60000",
		"8 uint32: 4000000000", "9 uint64, a Go uint: 2^63", "10 float32: 0.5", "11 float64: 0.1", `12 string: "grüezi"`, "13 bytes: 00 ff", "14 byte array of 4",
		"15 time: 2023-11-14 22:13:20.5 UTC", "16 reference: index 0", "16 reference: none", "17 error: [0, 0, text, \"\", [[io.EOF, nil]]], of no kind",
		`18 any: ["int64", 7]`, "19 list of int64: 1, 2, 300", "20 array of 2 bool", `21 map: {"a": 1}`, `22 struct: {"X": 1, "Y": -1, "label": "here"}`,
		`23 tuple: ["n", 3]`, "24 func, as a remote interface: index 1", "22 struct, a pointer that is nil", "5 int64, a time.Duration: 1.5 s in nanoseconds",
		"25 binary form, a netip.Addr: 192.0.2.1", `26 text form, a net.IP: "192.0.2.1" as bin`, `26 text form, a big.Int: "-123456789012345678901" as bin`}
	goldenCall(t, "values", "call of Send of the interface Values in golden_calls_test.go, with a value of each kind", bank.Object,
		interfaceOf[Values](t).ByName("Send"), names,
		true, int8(-1), int16(-300), int32(70000), int(low), uint8(200), uint16(60000), uint32(4_000_000_000), uint(high),
		float32(0.5), 0.1, "grüezi", []byte{0, 255}, [4]byte{1, 2, 3, 4}, time.Unix(1_700_000_000, 500_000_000).UTC(), bank, refs.Ref{},
		fmt.Errorf("the file ended: %w", io.EOF), any(int64(7)), []int64{1, 2, 300}, [2]bool{true, false}, map[string]int64{"a": 1},
		Point{1, -1, "here"}, Pair{Name: "n", Count: 3}, func(context.Context, int64) error { return nil }, (*Point)(nil), 1500*time.Millisecond,
		netip.MustParseAddr("192.0.2.1"), net.IPv4(192, 0, 2, 1), huge(t))
}

func huge(t *testing.T) *big.Int {
	n, ok := new(big.Int).SetString("-123456789012345678901", 10)
	if !ok {
		t.Fatal("no number")
	}
	return n
}

func TestGoldenReturnWithReferences(t *testing.T) {
	m := interfaceOf[interface {
		Find(ctx context.Context, name string) (first, again, none refs.Ref, err error)
	}](t).ByName("Find")
	goldenReturn(t, "return_references", "return of three references: one object twice, which needs one entry, and none", m,
		[]string{"index 0", "index 0 again", "no reference"}, bank, bank, refs.Ref{})
}

// The registry's calls, and what it answers with.
func TestGoldenRegistryCalls(t *testing.T) {
	i := interfaceOf[registry.Registry](t)
	d, err := interfaceOf[Account](t).Description().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	described := interfaceOf[Account](t)
	account := bank
	account.Interface.Fingerprint = described.Fingerprint
	entry := registry.Entry{Ref: account, Description: d}
	held := []registry.Held{{Name: "bank/alice", Revision: 41}, {Name: "bank/bob", Revision: 42}}
	const object = refs.RegistryObject
	entryName := "entry: {Ref: index 0, Description: that of the object, whose fingerprint is in the reference}"

	goldenCall(t, "registry_bind", "call of Bind", object, i.ByName("Bind"), []string{"name", entryName}, "bank/alice", entry)
	goldenCall(t, "registry_rebind", "call of Rebind, by a node that does not know the description", object, i.ByName("Rebind"),
		[]string{"name", "entry"}, "bank/alice", registry.Entry{Ref: account})
	goldenCall(t, "registry_unbind", "call of Unbind, whatever is bound", object, i.ByName("Unbind"), []string{"name", "only: nil"}, "bank/alice", refs.Ref{})
	goldenCall(t, "registry_lookup", "call of Lookup", object, i.ByName("Lookup"), []string{"name"}, "bank/alice")
	goldenReturn(t, "registry_lookup_return", "return of Lookup", i.ByName("Lookup"), []string{entryName}, entry)
	goldenCall(t, "registry_list", "call of List", object, i.ByName("List"), []string{"prefix", "after", "limit: the registry's default"}, "bank/", "bank/alice", 0)
	goldenReturn(t, "registry_list_return", "return of List", i.ByName("List"), []string{"page: {Names: [{Name, Interface}], More: false}"},
		registry.Page{Names: []registry.NameInfo{{Name: "bank/bob", Interface: "bank.Account"}}})
	goldenCall(t, "registry_acquire", "call of Acquire: a name that is new, and one that was held before", object, i.ByName("Acquire"), []string{"claims"},
		[]registry.Claim{{Name: "bank/alice", Entry: registry.Entry{Ref: account}}, {Name: "bank/bob", Entry: registry.Entry{Ref: account}, Lease: time.Minute, Held: 42}})
	goldenReturn(t, "registry_acquire_return", "return of Acquire: the first claim is granted, the second refused", i.ByName("Acquire"), []string{"grants"},
		[]registry.Grant{{Revision: 43, Lease: 20 * time.Second}, {Refused: fault.New(fault.KindAlreadyBound, fault.OutcomeNotExecuted, "the name was bound to another object")}})
	goldenCall(t, "registry_renew", "call of Renew", object, i.ByName("Renew"), []string{"held"}, held)
	goldenReturn(t, "registry_renew_return", "return of Renew: the second name was rebound", i.ByName("Renew"), []string{"lost: [{Index: 1, Now: 50, Unbound: false}]"},
		[]registry.Lost{{Index: 1, Now: 50}})
	goldenCall(t, "registry_release", "call of Release", object, i.ByName("Release"), []string{"held"}, held)
	goldenReturn(t, "registry_release_return", "return of Release: none of the names was lost", i.ByName("Release"), []string{"lost: none"}, []registry.Lost{})

	form := codec.AppendError(nil, fault.New(fault.KindApplication, fault.OutcomeExecuted, "%w", fault.New(fault.KindNotBound, fault.OutcomeNotExecuted, "the name is not bound")))
	h := wire.ReturnHeader{Slot: 0, Seq: 1, Payload: payload(0, 0, uint32(len(form)))}
	golden(t, "registry_refused", "return of Lookup of a name that is not bound: NotBound inside of an error of the application",
		append(wire.AppendReturn(nil, &h, wire.FlagError, nil), form...), join(returnParts, part{-1, `body: error form, with an identity "rmi.Error"`})...)
	f, err := codec.ParseError(form, nil)
	if inner := (*fault.Error)(nil); err != nil || f.Kind != fault.KindApplication || !errors.As(errors.Unwrap(f), &inner) || inner.Kind != fault.KindNotBound {
		t.Errorf("%v, %v", f, err)
	}
	for _, id := range []struct {
		name string
		hash wire.MethodID
	}{{"Bind", 0x30ad5f4e}, {"Rebind", 0x6ce63aa7}, {"Unbind", 0x04cfadf9}, {"Lookup", 0x69ab10ab}, {"List", 0x8d2937a1},
		{"Acquire", 0x05cc05b3}, {"Renew", 0x9a23808e}, {"Release", 0x6d1e9b1e}} {
		if m := i.ByName(id.name); m == nil || m.ID != id.hash {
			t.Errorf("%s has not the hash %#x", id.name, uint32(id.hash))
		}
	}
	if len(i.Methods) != 8 {
		t.Errorf("the registry has %d methods: the specification lists 8", len(i.Methods))
	}
}

// leases is the interface of object 2, as the specification has it.
type leases interface {
	Clean(ctx context.Context, batch uint64, own []lease.Count, others []lease.CountOf) error
	Dirty(ctx context.Context, batch uint64, own []refs.ObjNum) (missing []uint32, err error)
	Linger(ctx context.Context, own []refs.ObjNum, others []lease.Object) error
}

func TestGoldenLeases(t *testing.T) {
	i := interfaceOf[leases](t)
	const object = refs.LeaseObject
	node := nodeOf(acceptorKey)
	goldenCall(t, "lease_clean", "call of Clean, the first batch: two references to an object of the callee's, one to another's", object, i.ByName("Clean"),
		[]string{"batch", "own: [[object, count]]", "others: [[node, time, object, count]]"},
		uint64(1), []lease.Count{{Object: bank.Object, N: 2}}, []lease.CountOf{{Node: node, Time: int64(bank.Time), Number: bank.Object, N: 1}})
	goldenCall(t, "lease_dirty", "call of Dirty, the second batch", object, i.ByName("Dirty"), []string{"batch", "own: two objects"},
		uint64(2), []refs.ObjNum{bank.Object, 0x1234})
	goldenReturn(t, "lease_dirty_return", "return of Dirty: the second object is not exported", i.ByName("Dirty"), []string{"missing: the position 1"}, []uint32{1})
	goldenCall(t, "lease_linger", "call of Linger", object, i.ByName("Linger"), []string{"own", "others: [[node, time, object]]"},
		[]refs.ObjNum{bank.Object}, []lease.Object{{Node: node, Time: int64(bank.Time), Number: bank.Object}})
	for name, hash := range map[string]wire.MethodID{"Clean": 0xf8a56cde, "Dirty": 0x57addc3b, "Linger": 0xe5f20c5e} {
		if i.ByName(name).ID != hash {
			t.Errorf("%s has not the hash %#x", name, uint32(hash))
		}
	}
}

func TestGoldenCloseForABreach(t *testing.T) {
	golden(t, "close_breach", "close of a session whose peer broke a rule, and which one",
		wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindProtocol), "W-53: call in slot 70000: the announced limit is 65536"),
		join(recordPrefix, part{1, "error kind: Protocol"}, part{-1, "text"})...)
}
