//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"sort"
	"strings"
	"sync"
	"testing"

	"gormi/proxy/dynamic"
)

// funcDispatcher dispatches to a function. A pointer to one is its identity.
type funcDispatcher struct {
	f func(method int, args []reflect.Value) []reflect.Value
}

func (d *funcDispatcher) Dispatch(method int, args []reflect.Value) []reflect.Value {
	return d.f(method, args)
}

func dispatcher(f func(method int, args []reflect.Value) []reflect.Value) *funcDispatcher {
	return &funcDispatcher{f}
}

// values makes results; a nil is a nil error.
func values(vs ...any) []reflect.Value {
	out := make([]reflect.Value, len(vs))
	for i, v := range vs {
		out[i] = reflect.ValueOf(v)
		if v == nil {
			out[i] = reflect.Zero(reflect.TypeFor[error]())
		}
	}
	return out
}

// newProxy makes a proxy of T, which must be an interface type.
func newProxy[T any](t testing.TB, d dynamic.Dispatcher) T {
	t.Helper()
	v, err := dynamic.New(reflect.TypeFor[T](), d)
	if err != nil {
		t.Fatal(err)
	}
	if v.Kind() != reflect.Interface || v.Type() != reflect.TypeFor[T]() {
		t.Fatalf("New returned a value of type %v and kind %v", v.Type(), v.Kind())
	}
	p, ok := v.Interface().(T)
	if !ok {
		t.Fatalf("%v does not have the methods of %v", v.Elem().Type(), v.Type())
	}
	return p
}

// account is what most tests make proxies of. In reflect's order Balance is 0, Deposit 1, Name 2.
type account interface {
	Name() string
	Deposit(amount int) (balance int, err error)
	Balance() int
}

type depositor interface {
	Deposit(amount int) (balance int, err error)
}

// ledger is an account behind a dispatcher.
type ledger struct {
	mu      sync.Mutex
	balance int
}

var errNegative = errors.New("negative")

func (l *ledger) Dispatch(method int, args []reflect.Value) []reflect.Value {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch method {
	case 0:
		return values(l.balance)
	case 1:
		if args[0].Int() < 0 {
			return values(l.balance, errNegative)
		}
		l.balance += int(args[0].Int())
		return values(l.balance, nil)
	case 2:
		return values("ledger")
	}
	panic(fmt.Sprintf("method %d", method))
}

func TestMethodsCallTheDispatcher(t *testing.T) {
	p := newProxy[account](t, new(ledger))
	if balance, err := p.Deposit(5); balance != 5 || err != nil {
		t.Errorf("Deposit returned %d, %v", balance, err)
	}
	if balance, err := p.Deposit(-1); balance != 5 || err != errNegative {
		t.Errorf("Deposit of a negative amount returned %d, %v", balance, err)
	}
	if b, n := p.Balance(), p.Name(); b != 5 || n != "ledger" {
		t.Errorf("Balance and Name returned %d, %q", b, n)
	}
}

func TestMethodCanBeKept(t *testing.T) {
	l := new(ledger)
	kept := func() []func(int) (int, error) {
		p := newProxy[account](t, l)
		expression := account.Deposit
		return []func(int) (int, error){
			p.Deposit,
			depositor(p).Deposit,
			func(n int) (int, error) { return expression(p, n) },
			reflect.ValueOf(p).Method(1).Interface().(func(int) (int, error)),
			reflect.ValueOf(&p).Elem().MethodByName("Deposit").Interface().(func(int) (int, error)),
		}
	}()
	runtime.GC()
	for i, f := range kept {
		if balance, err := f(1); balance != i+1 || err != nil {
			t.Errorf("kept method %d returned %d, %v", i, balance, err)
		}
	}
}

func TestMethodCanBeCalledByReflection(t *testing.T) {
	l := new(ledger)
	p := newProxy[account](t, l)
	st := reflect.TypeOf(p)
	five := reflect.ValueOf(5)
	deposit, ok := st.MethodByName("Deposit")
	if !ok || deposit.Index != 1 {
		t.Fatalf("Deposit is %+v", deposit)
	}
	asFunction := deposit.Func.Interface()
	for name, call := range map[string]func() []reflect.Value{
		"by value":     func() []reflect.Value { return reflect.ValueOf(p).Method(1).Call([]reflect.Value{five}) },
		"by name":      func() []reflect.Value { return reflect.ValueOf(p).MethodByName("Deposit").Call([]reflect.Value{five}) },
		"by interface": func() []reflect.Value { return reflect.ValueOf(&p).Elem().Method(1).Call([]reflect.Value{five}) },
		"of the type":  func() []reflect.Value { return deposit.Func.Call([]reflect.Value{reflect.ValueOf(p), five}) },
		"as func of any": func() []reflect.Value {
			return reflect.ValueOf(asFunction).Call([]reflect.Value{reflect.ValueOf(p), five})
		},
	} {
		l.balance = 10
		if out := call(); len(out) != 2 || out[0].Int() != 15 || !out[1].IsNil() {
			t.Errorf("%s: Deposit returned %v", name, out)
		}
	}
	if st.NumMethod() != 3+reflect.TypeFor[dynamic.Face]().NumMethod() {
		t.Errorf("the proxy has %d methods", st.NumMethod())
	}
}

func TestProxyConvertsLikeAnyValue(t *testing.T) {
	p := newProxy[account](t, new(ledger))

	smaller := depositor(p)
	if n, _ := smaller.Deposit(1); n != 1 {
		t.Errorf("through a smaller interface Deposit returned %d", n)
	}
	if n, _ := any(smaller).(account).Deposit(1); n != 2 {
		t.Errorf("back from the smaller interface Deposit returned %d", n)
	}
	if n := any(p).(interface{ Balance() int }).Balance(); n != 2 {
		t.Errorf("through an unnamed interface Balance returned %d", n)
	}
	if _, ok := any(p).(io.Reader); ok {
		t.Error("the proxy has a method that its interface does not have")
	}
	switch v := any(smaller).(type) {
	case io.Reader, *ledger, nil:
		t.Errorf("the type switch took %T", v)
	case account:
		if v != p {
			t.Error("the type switch gave another value")
		}
	default:
		t.Errorf("the type switch did not know %T", v)
	}
	var m sync.Map
	m.Store("p", p)
	v, _ := m.Load("p")
	if n, _ := v.(depositor).Deposit(1); n != 3 {
		t.Errorf("through a sync.Map Deposit returned %d", n)
	}
	out := reflect.New(reflect.TypeFor[depositor]()).Elem()
	out.Set(reflect.ValueOf(p))
	if n, _ := out.Interface().(depositor).Deposit(1); n != 4 {
		t.Errorf("through reflect.Value.Set Deposit returned %d", n)
	}
	embedded := struct{ account }{p}
	if n, _ := depositor(&embedded).Deposit(1); n != 5 {
		t.Errorf("through an embedding struct Deposit returned %d", n)
	}
	done := make(chan bool)
	one := newProxy[interface{ Run() }](t, dispatcher(func(int, []reflect.Value) []reflect.Value {
		done <- true
		return nil
	}))
	go one.Run()
	<-done
	func() {
		go func() { <-done }()
		defer one.Run()
	}()
}

func TestProxiesAreEqualIfTheirDispatchersAre(t *testing.T) {
	a, b := new(ledger), new(ledger)
	a1, a2, b1 := newProxy[account](t, a), newProxy[account](t, a), newProxy[account](t, b)
	if a1 != a2 || a1 == b1 || any(a1) != any(a2) || depositor(a1) != depositor(a2) {
		t.Error("comparison does not follow the dispatchers")
	}
	if any(newProxy[depositor](t, a)) == any(a1) {
		t.Error("proxies of different interfaces are equal")
	}
	m := map[account]string{a1: "a", b1: "b"}
	if len(m) != 2 || m[a2] != "a" || m[b1] != "b" {
		t.Errorf("as map keys: %v", len(m))
	}
	k := map[any]int{depositor(a1): 1}
	if k[a2] != 1 {
		t.Error("the key depends on the interface it was converted to")
	}
	if reflect.TypeOf(a1) != reflect.TypeOf(b1) {
		t.Error("two proxies of one interface have different types")
	}
}

// byName is a dispatcher that is not a pointer.
type byName string

func (n byName) Dispatch(int, []reflect.Value) []reflect.Value { return values(string(n)) }

type uncomparable []string

func (u uncomparable) Dispatch(int, []reflect.Value) []reflect.Value { return values(u[0]) }

func TestDispatcherNeedNotBeAPointer(t *testing.T) {
	type namer interface{ Name() string }
	a1, a2, b := newProxy[namer](t, byName("a")), newProxy[namer](t, byName("a")), newProxy[namer](t, byName("b"))
	if a1 != a2 || a1 == b || a1.Name() != "a" || b.Name() != "b" {
		t.Error("dispatchers of equal value do not make equal proxies")
	}
	u := newProxy[namer](t, uncomparable{"u"})
	if d, ok := dynamic.DispatcherOf(u); !ok || u.Name() != "u" || d.(uncomparable)[0] != "u" {
		t.Error("a dispatcher that cannot be compared does not work")
	}
	if u == a1 {
		t.Error("different dispatchers make equal proxies")
	}
	defer func() {
		if _, ok := recover().(runtime.Error); !ok {
			t.Error("comparing what cannot be compared did not panic")
		}
	}()
	t.Error(u == newProxy[namer](t, uncomparable{"u"}))
}

func TestPrintingDoesNotShowTheDispatcher(t *testing.T) {
	type named interface{ Named() }
	p := newProxy[named](t, byNamePointer("secret"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if s := fmt.Sprintf(verb, p); strings.Contains(s, "secret") || strings.Contains(s, "736563726574") {
			t.Errorf("%s printed %s", verb, s)
		}
	}
}

func byNamePointer(s string) *byName { n := byName(s); return &n }

func TestDispatcherOf(t *testing.T) {
	l := new(ledger)
	p := newProxy[account](t, l)
	for name, v := range map[string]any{"proxy": p, "smaller": depositor(p), "copy": reflect.ValueOf(p).Interface()} {
		if d, ok := dynamic.DispatcherOf(v); !ok || d != dynamic.Dispatcher(l) {
			t.Errorf("%s: %v, %v", name, d, ok)
		}
	}
	var none account
	s := reflect.TypeOf(p)
	for name, v := range map[string]any{
		"nil":                          nil,
		"nil interface":                none,
		"nil pointer":                  (*ledger)(nil),
		"int":                          1,
		"empty struct":                 struct{}{},
		"struct of the same size":      struct{ a, b, c, d, e, f, g uintptr }{1, 2, 3, 4, 5, 6, 7},
		"pointer to proxy":             &p,
		"pointer to its struct":        reflect.New(s).Interface(),
		"struct made by reflect alone": reflect.Zero(s).Interface(),
		"struct with a proxy":          struct{ account }{p},
		"dispatcher":                   l,
	} {
		if d, ok := dynamic.DispatcherOf(v); ok || d != nil {
			t.Errorf("%s: %v, %v", name, d, ok)
		}
	}
}

func TestOneDispatcherServesSeveralInterfaces(t *testing.T) {
	var got []int
	d := dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		got = append(got, method, len(args))
		return values(len(args), nil)
	})
	newProxy[depositor](t, d).Deposit(1)
	newProxy[account](t, d).Deposit(1)
	if !reflect.DeepEqual(got, []int{0, 1, 1, 1}) {
		t.Errorf("got %v", got)
	}
}

func TestZeroStructPanicsAsNilDoes(t *testing.T) {
	p := newProxy[account](t, new(ledger))
	zero := reflect.Zero(reflect.TypeOf(p))
	for name, call := range map[string]func(){
		"through the interface": func() { zero.Interface().(account).Deposit(1) },
		"of the type":           func() { zero.Type().Method(1).Func.Call([]reflect.Value{zero, reflect.ValueOf(1)}) },
	} {
		func() {
			defer func() {
				err, ok := recover().(runtime.Error)
				if !ok || err.Error() != "runtime error: invalid memory address or nil pointer dereference" {
					t.Errorf("%s: recovered %v", name, err)
				}
				runtime.GC()
			}()
			call()
		}()
	}
	last := reflect.Zero(reflect.TypeOf(newProxy[many256](t, new(ledger)))).Interface().(many256)
	defer func() {
		if _, ok := recover().(runtime.Error); !ok {
			t.Error("the last of 256 methods did not panic")
		}
	}()
	last.M255("")
}

func TestStandardLibraryCallsProxies(t *testing.T) {
	data := []int{3, 1, 2}
	sort.Sort(newProxy[sort.Interface](t, dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		switch method {
		case 0: // Len
			return values(len(data))
		case 1: // Less
			return values(data[args[0].Int()] < data[args[1].Int()])
		default: // Swap
			i, j := args[0].Int(), args[1].Int()
			data[i], data[j] = data[j], data[i]
			return nil
		}
	})))
	if !sort.IntsAreSorted(data) {
		t.Errorf("sorted: %v", data)
	}

	source := bytes.NewReader(bytes.Repeat([]byte("0123456789"), 10_000))
	r := newProxy[io.Reader](t, dispatcher(func(_ int, args []reflect.Value) []reflect.Value {
		n, err := source.Read(args[0].Bytes())
		if err == nil {
			return values(n, nil)
		}
		return values(n, err)
	}))
	if b, err := io.ReadAll(r); len(b) != 100_000 || err != nil {
		t.Errorf("read %d bytes, %v", len(b), err)
	}

	text := dispatcher(func(int, []reflect.Value) []reflect.Value { return values("text") })
	if s := fmt.Sprint(newProxy[fmt.Stringer](t, text)); s != "text" {
		t.Errorf("printed %q", s)
	}
	wrapped := newProxy[error](t, text)
	if err := fmt.Errorf("x: %w", wrapped); !errors.Is(err, wrapped) || err.Error() != "x: text" {
		t.Errorf("wrapped: %v", err)
	}
}
