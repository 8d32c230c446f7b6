package stub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/stub"
	"gormi/rmi/wire"
)

type account interface {
	Deposit(ctx context.Context, cents int64) error
}

type used interface {
	Tell(ctx context.Context) error
	Ask(ctx context.Context) error
}

// A registration that comes too late is told: it would lose directives.
func TestDirectivesComeBeforeTheInterfaceIsUsed(t *testing.T) {
	if _, err := codec.InterfaceOf(reflect.TypeFor[used]()); err != nil {
		t.Fatal(err)
	}
	register := func(ask, tell stub.Semantics) (panicked any) {
		defer func() { panicked = recover() }()
		stub.Generated[used]{Methods: []stub.Method{{Name: "Ask", Semantics: ask}, {Name: "Tell", Semantics: tell}}}.Register()
		return nil
	}
	got := fmt.Sprint(register(stub.Semantics{}, stub.Semantics{OneWay: true}))
	for _, want := range []string{"stub_test.go comes too late", `stub_test.used was used before Tell was declared "oneway"`, "in main or in an init function"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := register(stub.Semantics{}, stub.Semantics{}); got != nil {
		t.Errorf("an interface without directives: %v", got)
	}
}

func TestRegisteringWhatDoesNotFitPanics(t *testing.T) {
	for name, c := range map[string]struct {
		register func()
		want     string
	}{
		"other methods": {func() { stub.Generated[account]{Methods: []stub.Method{{Name: "Withdraw"}}}.Register() },
			"stub_test.go is stale: stub_test.account has the methods [Deposit], the file was made for [Withdraw]; run rmigen again"},
		"another layout": {func() { stub.StructOf[struct{ A int }]("struct{B}") },
			"stub_test.go is stale: rmi: invalid: struct { A int } travels as struct{A}; the file was made for struct{B}"},
		"another kind": {func() { stub.Plain[int8]("uint8") }, "int8 travels as int8, the file was made for uint8"},
		"no interface": {func() { stub.Register(func(stub.Object) int { return 0 }) }, "int is not an interface"},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("%s: %q, want %q", name, got, c.want)
				}
			}()
			c.register()
			t.Errorf("%s: registered", name)
		}()
	}
}

type lookupStub struct{ stub.Object }

func (s lookupStub) Lookup(ctx context.Context, id int64) (name string, err error) {
	panic("not called")
}

type lookup interface {
	Lookup(ctx context.Context, id int64) (string, error)
}

// The calls of a stub by hand fail if its types are not those of the interface.
func TestInvokeRefusesValuesOfOtherTypes(t *testing.T) {
	stub.Register(func(o stub.Object) lookup { return lookupStub{o} })
	i, err := codec.InterfaceOf(reflect.TypeFor[lookup]())
	if err != nil {
		t.Fatal(err)
	}
	var table proxy.Table
	core, err := table.Get(refs.Ref{ID: refs.ID{Object: 1}}, i, nil)
	if err != nil {
		t.Fatal(err)
	}
	object := core.Value().Interface().(lookupStub).Object
	var name string
	var number int
	for want, call := range map[string]struct{ arg, result any }{
		"stub_test.lookup.Lookup: argument 1 of the stub is a int, want a int64":  {1, &name},
		"stub_test.lookup.Lookup: result 1 of the stub is a *int, want a *string": {int64(1), &number},
		"result 1 of the stub is a string, want a *string":                        {int64(1), name},
		"result 1 of the stub is a <nil>, want a *string":                         {int64(1), nil},
	} {
		if err := object.Invoke(t.Context(), "Lookup", stub.Args(int64(1)), &name, &number); fault.KindOf(err) != fault.KindInvalid || !strings.Contains(err.Error(), "does not fit the interface in method Lookup") {
			t.Errorf("too many results: %v", err)
		}
		err := object.Invoke(t.Context(), "Lookup", stub.Args(call.arg), call.result)
		if fault.KindOf(err) != fault.KindInvalid || fault.OutcomeOf(err) != fault.OutcomeNotExecuted || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

type counter interface {
	Next(ctx context.Context, step int64) (int64, string, error)
}

// counterStub is what rmigen makes of counter.
type counterStub struct{ stub.Object }

func (s counterStub) Next(ctx context.Context, a0 int64) (r0 int64, r1 string, err error) {
	c := s.Begin(ctx, 0)
	for c.Attempt() {
		e := c.Args()
		e.Value(0)
		e.Int(a0)
		c.Send()
	}
	if d := c.Results(); d != nil {
		d.Value(0)
		d.Int64(&r0)
		d.Value(1)
		d.String(&r1)
	}
	if err = c.End(); err != nil {
		return 0, "", err
	}
	return r0, r1, nil
}

// answers is the caller of a proxy whose calls all get one body as their results,
// or fail.
type answers struct {
	body []byte
	err  error

	attempts int
	limits   wire.Limits
	e        *codec.Encoder
	d        *codec.Decoder
	sent     []byte
	sendErr  error
	endErr   error
}

func (a *answers) Begin(context.Context, *proxy.Core, *codec.Method) proxy.Invocation {
	*a = answers{body: a.body, err: a.err, limits: a.limits}
	return a
}

func (a *answers) Attempt() bool           { a.attempts++; return a.attempts == 1 }
func (a *answers) Encoder() *codec.Encoder { a.e = codec.NewEncoder(nil, &a.limits); return a.e }

func (a *answers) Send(err error) {
	a.sent, a.sendErr = bytes.Clone(a.e.Body()), err
	a.e.Release()
}

func (a *answers) Results() *codec.Decoder {
	if a.err != nil || a.sendErr != nil {
		return nil
	}
	a.d, a.err = codec.NewDecoder(a.body, nil, nil, nil)
	return a.d
}

func (a *answers) End(err error) error {
	a.endErr = err
	return errors.Join(a.sendErr, a.err, err)
}

// A generated proxy returns the error of results that it could not decode, of
// arguments that it could not encode, and of the call.
func TestAGeneratedProxyReturnsEveryError(t *testing.T) {
	stub.Register(func(o stub.Object) counter { return counterStub{o} })
	i, err := codec.InterfaceOf(reflect.TypeFor[counter]())
	if err != nil {
		t.Fatal(err)
	}
	var table proxy.Table
	caller := new(answers)
	core, err := table.Get(refs.Ref{ID: refs.ID{Object: 2}}, i, caller)
	if err != nil {
		t.Fatal(err)
	}
	c := core.Value().Interface().(counter)
	for _, test := range []struct {
		body    string
		failed  error
		message int // limit of the arguments
		want    string
		kind    fault.Kind
		outcome fault.Outcome
	}{
		{body: "\x92\x07\xa1x"},
		{body: "\x92\xa1x\xa1x", want: "result 1: got a string, want int64", kind: fault.KindMismatch, outcome: fault.OutcomeExecuted},
		{body: "\x92\x07\x07", want: "result 2: got an integer, want string", kind: fault.KindMismatch, outcome: fault.OutcomeExecuted},
		{body: "\x91\x07", want: "has 2 results, the message has 1", kind: fault.KindMismatch, outcome: fault.OutcomeExecuted},
		{body: "\x93\x07\xa1x\x07", want: "has 2 results, the message has 3", kind: fault.KindMismatch, outcome: fault.OutcomeExecuted},
		{failed: fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "gone"), want: "gone", kind: fault.KindPeerGone, outcome: fault.OutcomeUnknown},
		{message: 1, want: "argument 1: the body takes", kind: fault.KindTooLarge, outcome: fault.OutcomeNotExecuted},
	} {
		*caller = answers{body: []byte(test.body), err: test.failed, limits: wire.Limits{Message: test.message}}
		n, text, err := c.Next(t.Context(), 1<<40)
		if test.want == "" {
			if n != 7 || text != "x" || err != nil || caller.endErr != nil || !bytes.HasPrefix(caller.sent, []byte{0x91}) {
				t.Errorf("%q: got %d, %q, %v", test.body, n, text, err)
			}
			continue
		}
		if n != 0 || text != "" || err == nil || !strings.Contains(err.Error(), test.want) || fault.KindOf(err) != test.kind || fault.OutcomeOf(err) != test.outcome {
			t.Errorf("%q: got %d, %q, %v of kind %v and outcome %v", test.body, n, text, err, fault.KindOf(err), fault.OutcomeOf(err))
		}
		if decoded := test.failed == nil && test.message == 0; decoded != (caller.endErr != nil) {
			t.Errorf("%q: the call ended with %v", test.body, caller.endErr)
		}
	}
}

// Values that generated code makes count against the memory limit of a body.
func TestGeneratedCodecsStayWithinTheMemory(t *testing.T) {
	const n = 100
	list := "\x91\xdc\x00\x64" // of a hundred
	pointers := func(d *stub.Decoder) int {
		var v []*int64
		for i := stub.Slice(d, &v); i >= 0; i = d.Next() {
			if !d.Null() {
				stub.New(d, &v[i])
				d.Int64(v[i])
			}
		}
		return len(v)
	}
	elems := func(d *stub.Decoder) int {
		var v []*int64
		for i := stub.Slice(d, &v); i >= 0; i = d.Next() {
			if stub.NewElem(d, v, i) {
				d.Int64(v[i])
			}
		}
		return len(v)
	}
	arrays := func(d *stub.Decoder) int {
		var v [][2]byte
		for i := stub.Slice(d, &v); i >= 0; i = d.Next() {
			d.ByteArray(v[i][:])
		}
		return len(v)
	}
	maps := func(d *stub.Decoder) int {
		var v map[int8]int64
		for i := stub.Map(d, &v); i >= 0; i = d.Next() {
			var key int8
			d.Int8(&key)
			d.Keyed()
			var elem int64
			d.Int64(&elem)
			stub.Put(d, v, key, elem)
		}
		return len(v)
	}
	entries := ""
	for i := range n {
		entries += string([]byte{byte(i), 1})
	}
	i, err := codec.InterfaceOf(reflect.TypeFor[func(context.Context, any) error]())
	if err != nil {
		t.Fatal(err)
	}
	m := i.Methods[0]
	decode := func(body string, memory int, f func(*stub.Decoder) int) (int, error) {
		d, err := codec.NewDecoder([]byte(body), nil, nil, &wire.Limits{Memory: memory})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Release()
		d.OpenArgs(m)
		d.Value(0)
		made := f(d)
		return made, d.CloseArgs(m)
	}
	for name, test := range map[string]struct {
		body string
		size int
		f    func(*stub.Decoder) int
	}{
		"pointers":             {list + strings.Repeat("\x01", n), 8 + 8, pointers},
		"pointers as elements": {list + strings.Repeat("\x01", n), 8 + 8, elems},
		"arrays":               {list + strings.Repeat("\xc4\x02ab", n), 2, arrays},
		"maps":                 {"\x91\xde\x00\x64" + entries, 2 * (1 + 8 + 16), maps},
	} {
		if made, err := decode(test.body, n*test.size, test.f); made != n || err != nil {
			t.Errorf("%s: %d, %v", name, made, err)
		}
		if _, err := decode(test.body, n*test.size-1, test.f); fault.KindOf(err) != fault.KindTooLarge {
			t.Errorf("%s, one byte less: %v", name, err)
		}
	}
	if _, err := decode("\x91\x82\x05\x01\x05\x02", 1000, maps); err == nil || !strings.Contains(err.Error(), "argument 1[5]: the key comes twice") {
		t.Errorf("a key that comes twice: %v", err)
	}
	if made, err := decode("\x91\x82\x05\x01\x06\xa1x", 1000, maps); made != 1 || err == nil {
		t.Errorf("a value that is none: %d entries, %v", made, err)
	}
}
