//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"

	"gormi/proxy/dynamic"
)

// shadow declares its methods in an order that is not that of their names.
type shadow interface {
	Zeta(int) int
	Alpha(int) int
	Mu(int) int
}

type hidden interface {
	Open() error
	close() error
}

type wide126 interface {
	Wide(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u [3]int8, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
		_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
		_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
		_, _, _, _, _, _, _, _, _, _, _, _ int) int
}

func TestInterfacesThatAreRefused(t *testing.T) {
	d := new(ledger)
	for _, test := range []struct {
		t    reflect.Type
		d    dynamic.Dispatcher
		want string
	}{
		{nil, d, "no type"},
		{reflect.TypeFor[account](), nil, "no dispatcher"},
		{reflect.TypeFor[int](), d, "int is not an interface type"},
		{reflect.TypeFor[ledger](), d, "is not an interface type"},
		{reflect.TypeFor[any](), d, "has no methods"},
		{reflect.TypeFor[hidden](), d, "hidden has the unexported method close"},
		{reflect.TypeFor[interface {
			io.Reader
			hidden
		}](), d, "unexported method close"},
		{reflect.TypeFor[testing.TB](), d, "unexported method private"},
		{reflect.TypeFor[reflect.Type](), d, "unexported method"},
		{reflect.TypeFor[many257](), d, "has 257 methods, more than 256"},
		{reflect.TypeFor[interface {
			wide126
			Wider(func(), [128]int) (a, b, c int)
			Widest(wide126) error
		}](), d, ""},
	} {
		v, err := dynamic.New(test.t, test.d)
		if test.want == "" {
			if err != nil {
				t.Errorf("%v: %v", test.t, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) || v.IsValid() {
			t.Errorf("%v: %v, want %q", test.t, err, test.want)
		}
		if errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v: the error says that the platform is at fault: %v", test.t, err)
		}
	}
}

func TestManyParametersAreRefusedFromReflectsLimitOn(t *testing.T) {
	const most = 127
	if n := reflect.TypeFor[wide126]().Method(0).Type; n.NumIn()+n.NumOut() != most {
		t.Fatalf("%d parameters and results, want %d", n.NumIn(), most)
	}
	newProxy[wide126](t, new(ledger))
	type wide128 interface {
		Wide(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
			_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
			_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _,
			_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _ int)
	}
	n := reflect.TypeFor[wide128]().Method(0).Type.NumIn()
	if _, err := dynamic.New(reflect.TypeFor[wide128](), new(ledger)); n <= most || err == nil {
		t.Errorf("%d parameters: %v", n, err)
	}
}

func TestMethodsAreNumberedByName(t *testing.T) {
	p := newProxy[shadow](t, dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		return values(10*method + int(args[0].Int()))
	}))
	if a, m, z := p.Alpha(1), p.Mu(2), p.Zeta(3); a != 1 || m != 12 || z != 23 {
		t.Errorf("Alpha, Mu, Zeta returned %d, %d, %d", a, m, z)
	}
	if z := p.(interface{ Zeta(int) int }).Zeta(3); z != 23 {
		t.Errorf("through a smaller interface Zeta returned %d", z)
	}
}

func TestManyMethods(t *testing.T) {
	d := dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		return []reflect.Value{reflect.ValueOf(method), args[0]}
	})
	p := newProxy[many256](t, d)
	called := 0
	callMany(p, func(i int, f func(string) (int, string)) {
		called++
		if n, s := f(fmt.Sprint(i)); n != i || s != fmt.Sprint(i) {
			t.Errorf("method %d arrived as %d with %q", i, n, s)
		}
	})
	if called != 256 {
		t.Errorf("%d calls", called)
	}
	receiver, arg := reflect.ValueOf(p), reflect.ValueOf("x")
	for i := range reflect.TypeFor[many256]().NumMethod() {
		name := reflect.TypeFor[many256]().Method(i).Name
		ofType, _ := receiver.Type().MethodByName(name)
		byValue := receiver.MethodByName(name).Call([]reflect.Value{arg})
		byType := ofType.Func.Call([]reflect.Value{receiver, arg})
		if byValue[0].Int() != int64(i) || byType[0].Int() != int64(i) || byType[1].String() != "x" {
			t.Errorf("method %d called by reflection arrived as %v and %v", i, byValue[0], byType[0])
		}
	}
	// The number is that of the interface for which the proxy was made.
	if n, _ := many64(p).M063(""); n != 63 {
		t.Errorf("through a smaller interface method 63 arrived as %d", n)
	}
	last := any(p).(interface{ M255(string) (int, string) })
	if n, _ := last.M255(""); n != 255 {
		t.Errorf("alone in an interface method 255 arrived as %d", n)
	}
	if n, _ := newProxy[many64](t, d).M063(""); n != 63 {
		t.Errorf("method 63 of 64 arrived as %d", n)
	}
	if n, _ := newProxy[interface{ M255(string) (int, string) }](t, d).M255(""); n != 0 {
		t.Errorf("the only method of an interface arrived as %d", n)
	}
}

type container[K comparable, V any] interface {
	Get(K) (V, bool)
	Put(K, V)
}

func TestGenericInterfaces(t *testing.T) {
	ints, strs := map[any]any{}, map[any]any{}
	in := func(m map[any]any, zero any) dynamic.Dispatcher {
		return dispatcher(func(method int, args []reflect.Value) []reflect.Value {
			if method == 1 {
				m[args[0].Interface()] = args[1].Interface()
				return nil
			}
			if v, ok := m[args[0].Interface()]; ok {
				return values(v, true)
			}
			return values(zero, false)
		})
	}
	a := newProxy[container[string, int]](t, in(ints, 0))
	b := newProxy[container[[2]string, map[string]float64]](t, in(strs, map[string]float64(nil)))
	a.Put("x", 7)
	b.Put([2]string{"y", "z"}, map[string]float64{"pi": 3})
	if v, ok := a.Get("x"); v != 7 || !ok {
		t.Errorf("Get returned %d, %v", v, ok)
	}
	if v, ok := b.Get([2]string{"y", "z"}); v["pi"] != 3 || !ok {
		t.Errorf("Get returned %v, %v", v, ok)
	}
	if v, ok := b.Get([2]string{}); v != nil || ok {
		t.Errorf("Get of nothing returned %v, %v", v, ok)
	}
	if reflect.TypeOf(a) == reflect.TypeOf(b) {
		t.Error("two instances share a type")
	}
}

func TestEmbeddedInterfaces(t *testing.T) {
	type both interface {
		io.ReadCloser
		io.WriteCloser // Close twice: the same method
		account
	}
	var called []int
	p := newProxy[both](t, dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		called = append(called, method)
		switch method {
		case 1:
			return values(nil)
		case 2, 4, 5:
			return values(method, nil)
		case 3:
			return values("name")
		default:
			return values(method)
		}
	}))
	p.Balance()
	p.Close()
	p.Deposit(1)
	p.Name()
	p.Read(nil)
	p.Write(nil)
	if !reflect.DeepEqual(called, []int{0, 1, 2, 3, 4, 5}) {
		t.Errorf("called %v", called)
	}
	if n, err := io.ReadWriteCloser(p).Write([]byte("x")); n != 5 || err != nil {
		t.Errorf("Write returned %d, %v", n, err)
	}
}

// Interfaces that differ in name alone have different struct types; the number of a method is that
// of each.
func TestInterfacesWithEqualMethods(t *testing.T) {
	type reader interface{ Read([]byte) (int, error) }
	d := dispatcher(func(int, []reflect.Value) []reflect.Value { return values(1, nil) })
	a, b, c := newProxy[io.Reader](t, d), newProxy[reader](t, d), newProxy[interface{ Read([]byte) (int, error) }](t, d)
	for _, r := range []io.Reader{a, b, c} {
		if n, err := r.Read(nil); n != 1 || err != nil {
			t.Errorf("%T: Read returned %d, %v", r, n, err)
		}
	}
	if reflect.TypeOf(a) == reflect.TypeOf(b) || reflect.TypeOf(b) == reflect.TypeOf(c) {
		t.Error("two interfaces share a struct type")
	}
	newProxy[context.Context](t, d)
}
