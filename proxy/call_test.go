package proxy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
)

// caller is a Caller without a network: answer is the object. Arguments and results are
// encoded and decoded as between two nodes.
type caller struct {
	attempts int // of each call; 0 is one
	answer   func(ctx context.Context, m *codec.Method, args []reflect.Value) ([]reflect.Value, error)
}

// call is an Invocation of a caller.
type call struct {
	*caller
	ctx     context.Context
	method  *codec.Method
	made    int // attempts
	args    *codec.Encoder
	results []byte
	err     error
}

func (c *caller) Begin(ctx context.Context, _ *proxy.Core, m *codec.Method) proxy.Invocation {
	return &call{caller: c, ctx: ctx, method: m}
}

func (c *call) Attempt() bool {
	if c.err != nil || c.made >= max(1, c.attempts) {
		return false
	}
	c.made++
	c.args = codec.NewEncoder(nil, nil)
	return true
}

func (c *call) Encoder() *codec.Encoder { return c.args }

func (c *call) Send(encodeErr error) {
	defer c.args.Release()
	if c.err = encodeErr; c.err != nil {
		return
	}
	d, err := codec.NewDecoder(c.args.Body(), nil, nil, nil)
	if c.err = err; err != nil {
		return
	}
	defer d.Release()
	args, err := c.method.DecodeArgs(d)
	if c.err = err; err != nil {
		return
	}
	var out []reflect.Value
	if out, c.err = c.answer(c.ctx, c.method, args); c.err != nil {
		return
	}
	e := codec.NewEncoder(nil, nil)
	defer e.Release()
	if c.err = c.method.EncodeResults(e, out); c.err == nil {
		c.results = slices.Clone(e.Body())
	}
}

func (c *call) Results() *codec.Decoder {
	if c.err != nil {
		return nil
	}
	d, err := codec.NewDecoder(c.results, nil, nil, nil)
	c.err = err
	return d
}

func (c *call) End(decodeErr error) error {
	if c.err == nil {
		c.err = decodeErr
	}
	return c.err
}

// values are values by reflection.
func values(vs ...any) (out []reflect.Value) {
	for _, v := range vs {
		out = append(out, reflect.ValueOf(v))
	}
	return out
}

// Arith is an interface whose methods do not stand in the order of their names.
type Arith interface {
	Sum(ctx context.Context, of ...int) (int, error)
	Div(ctx context.Context, a, b int) (quotient int, rest int, err error)
	Ping(ctx context.Context) error
}

// ArithFuncs is Arith as a struct of funcs.
type ArithFuncs struct {
	proxy.Face
	Sum  func(ctx context.Context, of ...int) (int, error)
	Div  func(ctx context.Context, a, b int) (quotient int, rest int, err error)
	Ping func(ctx context.Context) error
}

// made returns the proxy of a new reference.
func made[T any](t *testing.T, all *proxy.Table, c proxy.Caller) (T, *proxy.Core) {
	t.Helper()
	i := described[T](t)
	core, err := all.Get(reference(), i, c)
	if err != nil {
		t.Fatal(err)
	}
	return core.Value().Interface().(T), core
}

// arith is the object behind the proxies of Arith.
func arith(_ context.Context, m *codec.Method, args []reflect.Value) ([]reflect.Value, error) {
	switch m.Name {
	case "Sum":
		sum := 0
		for _, n := range args[0].Interface().([]int) {
			sum += n
		}
		return values(sum), nil
	case "Div", "Call":
		a, b := int(args[0].Int()), int(args[1].Int())
		if b == 0 {
			return nil, errors.New("by zero")
		}
		return values(a/b, a%b), nil
	}
	return nil, nil
}

func TestEachMethodOfAnInterfaceLeadsToItself(t *testing.T) {
	p, _ := made[Arith](t, new(proxy.Table), &caller{answer: arith})
	theMethodsOfArith(t, p.Sum, p.Div, p.Ping)
}

func TestEachFieldOfAStructOfFuncsLeadsToItsMethod(t *testing.T) {
	p, _ := made[ArithFuncs](t, new(proxy.Table), &caller{answer: arith})
	theMethodsOfArith(t, p.Sum, p.Div, p.Ping)
}

func theMethodsOfArith(t *testing.T, sum func(context.Context, ...int) (int, error), div func(context.Context, int, int) (int, int, error), ping func(context.Context) error) {
	t.Helper()
	if n, err := sum(t.Context(), 1, 2, 4); n != 7 || err != nil {
		t.Errorf("Sum: %v, %v", n, err)
	}
	if q, r, err := div(t.Context(), 17, 5); q != 3 || r != 2 || err != nil {
		t.Errorf("Div: %v, %v, %v", q, r, err)
	}
	if err := ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

func TestAFuncIsAnInterfaceOfOneMethod(t *testing.T) {
	p, _ := made[func(context.Context, int, int) (int, int, error)](t, new(proxy.Table), &caller{answer: arith})
	if q, r, err := p(t.Context(), 17, 5); q != 3 || r != 2 || err != nil {
		t.Errorf("%v, %v, %v", q, r, err)
	}
}

// Operation is a func type for which a registered function makes the proxies.
type Operation func(ctx context.Context) (string, error)

func TestARegisteredTypeHasTheProxiesThatLinkedCodeMakes(t *testing.T) {
	proxy.Register(reflect.TypeFor[Operation](), proxy.Registration{New: func(c *proxy.Core) any {
		return Operation(func(context.Context) (string, error) { return "linked " + c.Interface.Name, nil })
	}})
	var all proxy.Table
	p, c := made[Operation](t, &all, nil)
	if s, err := p(t.Context()); !strings.HasPrefix(s, "linked ") || err != nil {
		t.Errorf("it says %q, %v", s, err)
	}
	if all.CoreOf(reflect.ValueOf(p)) != c {
		t.Error("the core of a func that linked code made is not found")
	}
}

// Only for interfaces without a stub, proxies depend on the platform.
func TestOnlyAnInterfaceWithoutAStubNeedsThePlatformsHelp(t *testing.T) {
	type stubless interface{ Do(context.Context) error }
	type stubbed interface{ Do(context.Context) error }
	proxy.Register(reflect.TypeFor[stubbed](), proxy.Registration{})
	for _, typ := range []reflect.Type{reflect.TypeFor[stubbed](), reflect.TypeFor[func(context.Context) error](), reflect.TypeFor[ArithFuncs]()} {
		if err := proxy.Supported(typ); err != nil {
			t.Errorf("%v: %v", typ, err)
		}
	}
	i, err := codec.InterfaceOf(reflect.TypeFor[stubless]())
	if err != nil {
		t.Fatal(err)
	}
	_, err = new(proxy.Table).Get(reference(), i, nil)
	if says := proxy.Supported(i.Type); (says == nil) != (err == nil) || says != nil && !errors.Is(err, fault.KindInvalid) {
		t.Errorf("Supported says %v, and the proxy is made with %v", says, err)
	}
}

func TestACallThatFailsHasZeroResultsAndTheCallersError(t *testing.T) {
	bad := errors.New("bad")
	fails := &caller{answer: func(context.Context, *codec.Method, []reflect.Value) ([]reflect.Value, error) {
		return values(1, 2), bad
	}}
	p, _ := made[ArithFuncs](t, new(proxy.Table), fails)
	if q, r, err := p.Div(t.Context(), 1, 1); q != 0 || r != 0 || err != bad {
		t.Errorf("%v, %v, %v", q, r, err)
	}
}

// unreadable is a caller whose results are no results.
type unreadable struct{ caller }

func (u *unreadable) Begin(ctx context.Context, c *proxy.Core, m *codec.Method) proxy.Invocation {
	return &garbled{call{caller: &u.caller, ctx: ctx, method: m}}
}

type garbled struct{ call }

func (g *garbled) Results() *codec.Decoder {
	g.results = []byte{0x92, 0xc3}
	return g.call.Results()
}

func TestResultsThatCannotBeReadEndTheCallWithZeroResults(t *testing.T) {
	p, _ := made[ArithFuncs](t, new(proxy.Table), &unreadable{caller{answer: arith}})
	if q, r, err := p.Div(t.Context(), 17, 5); q != 0 || r != 0 || err == nil {
		t.Errorf("%v, %v, %v", q, r, err)
	}
}

func TestArgumentsThatCannotTravelAreTheCallersToRefuse(t *testing.T) {
	ran := false
	c := &caller{answer: func(context.Context, *codec.Method, []reflect.Value) ([]reflect.Value, error) {
		ran = true
		return nil, nil
	}}
	p, _ := made[func(context.Context, any) error](t, new(proxy.Table), c)
	if err := p(t.Context(), make(chan int)); !errors.Is(err, fault.KindInvalid) || ran {
		t.Errorf("a channel was sent: %v", err)
	}
}

// References belong to the session on which they are sent, so each attempt encodes again.
func TestEachAttemptEncodesTheArgumentsAnew(t *testing.T) {
	var came []int64
	c := &caller{attempts: 3, answer: func(_ context.Context, _ *codec.Method, args []reflect.Value) ([]reflect.Value, error) {
		came = append(came, args[0].Int())
		return nil, nil
	}}
	p, _ := made[func(context.Context, int) error](t, new(proxy.Table), c)
	if err := p(t.Context(), 5); err != nil || !slices.Equal(came, []int64{5, 5, 5}) {
		t.Errorf("%v, %v", came, err)
	}
}

func TestTheContextOfACallIsThatOfItsCaller(t *testing.T) {
	var got context.Context
	c := &caller{answer: func(ctx context.Context, _ *codec.Method, _ []reflect.Value) ([]reflect.Value, error) {
		got = ctx
		return nil, nil
	}}
	p, _ := made[func(context.Context) error](t, new(proxy.Table), c)
	for _, ctx := range []context.Context{t.Context(), nil} {
		if err := p(ctx); err != nil || got != ctx {
			t.Errorf("with %v came %v, %v", ctx, got, err)
		}
	}
}

// The two calls wait for each other.
func TestCallsOfOneProxyRunConcurrently(t *testing.T) {
	var both sync.WaitGroup
	both.Add(2)
	c := &caller{answer: func(context.Context, *codec.Method, []reflect.Value) ([]reflect.Value, error) {
		both.Done()
		both.Wait()
		return nil, nil
	}}
	p, _ := made[ArithFuncs](t, new(proxy.Table), c)
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if err := p.Ping(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}

func TestACallMayMakeAnotherThroughTheSameProxy(t *testing.T) {
	var p func(context.Context, int) (int, error)
	c := &caller{answer: func(ctx context.Context, _ *codec.Method, args []reflect.Value) ([]reflect.Value, error) {
		n := int(args[0].Int())
		if n == 0 {
			return values(0), nil
		}
		below, err := p(ctx, n-1)
		return values(below + n), err
	}}
	p, _ = made[func(context.Context, int) (int, error)](t, new(proxy.Table), c)
	if n, err := p(t.Context(), 4); n != 10 || err != nil {
		t.Errorf("%v, %v", n, err)
	}
}

func TestAProxyPrintsAsWhatItIs(t *testing.T) {
	p, core := made[ArithFuncs](t, new(proxy.Table), &caller{answer: arith})
	want := "proxy of " + core.Interface.Name + " at " + core.Ref().String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, p); got != want {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if got := fmt.Sprintf("%q", p); got != fmt.Sprintf("%q", want) {
		t.Errorf("%%q: %s", got)
	}
	if p.String() != want || p.GoString() != want || p.LogValue().Kind() != slog.KindString || p.LogValue().String() != want {
		t.Errorf("%s, %#v, %v", p.String(), p, p.LogValue())
	}
	if got := fmt.Sprint(proxy.Face{}); got != "proxy of nothing" {
		t.Errorf("what no node made prints as %s", got)
	}
}

func TestAProxyIsNoData(t *testing.T) {
	f, _ := made[ArithFuncs](t, new(proxy.Table), &caller{answer: arith})
	_, asText := f.MarshalText()
	_, asBinary := f.MarshalBinary()
	_, asJSON := json.Marshal(f)
	for how, err := range map[string]error{"text": asText, "binary": asBinary, "JSON": asJSON} {
		if !errors.Is(err, fault.KindInvalid) || !strings.Contains(err.Error(), "proxy of ") {
			t.Errorf("%s: %v", how, err)
		}
	}
}

func TestTheFacesOfOneProxyAreEqual(t *testing.T) {
	var all proxy.Table
	a, core := made[ArithFuncs](t, &all, nil)
	b, _ := made[ArithFuncs](t, &all, nil)
	if a.Face != proxy.FaceOf(core) || a.Face == b.Face || a.RMICore() != core {
		t.Errorf("%v, %v", a, b)
	}
	if all.CoreOf(reflect.ValueOf(a)) != core {
		t.Error("the core of a struct of funcs is not found")
	}
}

// hidden has a value that reflection must not take out.
type hidden struct{ f any }

func TestWhatIsNoProxyHasNoCore(t *testing.T) {
	all, other := new(proxy.Table), new(proxy.Table)
	p, core := made[func(context.Context) error](t, all, nil)
	for what, v := range map[string]reflect.Value{
		"nothing":              {},
		"a nil func":           reflect.ValueOf((func(context.Context) error)(nil)),
		"another func":         reflect.ValueOf(func(context.Context) error { return nil }),
		"an unexported field":  reflect.ValueOf(hidden{p}).Field(0),
		"an interface of none": reflect.ValueOf(new(Arith)).Elem(),
	} {
		if c := all.CoreOf(v); c != nil {
			t.Errorf("%s has the core %v", what, c.Ref())
		}
	}
	if all.CoreOf(reflect.ValueOf(p)) != core || other.CoreOf(reflect.ValueOf(p)) != nil {
		t.Error("a func is the proxy of another node than its own")
	}
}

// Every node knows the proxies of interfaces, and of structs that have a Face.
func TestAProxyOfAnInterfaceIsKnownToEveryNode(t *testing.T) {
	all := new(proxy.Table)
	p, core := made[Arith](t, all, nil)
	if new(proxy.Table).CoreOf(reflect.ValueOf(&p).Elem()) != core {
		t.Error("another node does not know it")
	}
}

func TestAFollowingFuncIsKnownUntilItIsCollected(t *testing.T) {
	all := new(proxy.Table)
	_, target := made[func(context.Context) error](t, all, &caller{answer: arith})
	f, err := all.Follow(target, func(context.Context, refs.Ref, error) (refs.Ref, error) { return refs.Ref{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if all.CoreOf(f.Value()) != f || all.CoreOf(target.Value()) != target || all.Len() != 1 {
		t.Errorf("of the two funcs one is not known, or counted: %d", all.Len())
	}
	runtime.KeepAlive(f)
}

// The table's own pointers are weak.
func TestAProxyThatIsUsedStaysInTheTable(t *testing.T) {
	all := proxy.Table{Holds: &holds{make(map[refs.ID]int)}}
	p, _ := made[func(context.Context, int, int) (int, int, error)](t, &all, &caller{answer: arith})
	for range 3 {
		runtime.GC()
	}
	core := all.CoreOf(reflect.ValueOf(p))
	if core == nil || all.Len() != 1 {
		t.Fatalf("the func is not known, %d are", all.Len())
	}
	if again, err := all.Get(core.Ref(), core.Interface, core.Caller); again != core || err != nil {
		t.Errorf("its reference gives another, %v", err)
	}
	runtime.KeepAlive(p)
}
