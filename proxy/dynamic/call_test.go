//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// echo returns what it is given. Its methods pass a type alone, between others that compete for
// registers, and often enough that it has to go on the stack.
type echo[T any] interface {
	Alone(T) T
	Between(int8, T, float32, T, string, T, any) (any, T, string, T, float32, T, int8)
	Often(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t T) (
		u, v, w, x, y, z, aa, ab, ac, ad, ae, af, ag, ah, ai, aj, ak, al, am, an T)
	Variadic(T, ...T) (T, []T)
}

// echoDispatcher reverses the arguments of Between.
func echoDispatcher() *funcDispatcher {
	return dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		if method == 1 {
			for i, j := 0, len(args)-1; i < j; i, j = i+1, j-1 {
				args[i], args[j] = args[j], args[i]
			}
		}
		return args
	})
}

// echoes calls all methods of a proxy of echo[T], by compiled calls and by reflection, with values
// v and w that same tells apart.
func echoes[T any](t *testing.T, v, w T, same func(a, b T) bool) {
	t.Run(reflect.TypeFor[T]().String(), func(t *testing.T) {
		p := newProxy[echo[T]](t, echoDispatcher())
		check := func(got T, want T) {
			t.Helper()
			if !same(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		for range 3 {
			check(p.Alone(v), v)
			check(p.Alone(w), w)

			a, b, c, d, e, f, g := p.Between(-5, v, 2.5, w, "between", v, math.Pi)
			check(b, v)
			check(d, w)
			check(f, v)
			if a != math.Pi || c != "between" || e != 2.5 || g != -5 {
				t.Errorf("between: %v, %q, %v, %v", a, c, e, g)
			}

			var r [20]T
			r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9],
				r[10], r[11], r[12], r[13], r[14], r[15], r[16], r[17], r[18], r[19] = p.Often(
				v, w, v, w, v, w, v, w, v, w, v, w, v, w, v, w, v, w, v, w)
			for i := range r {
				check(r[i], []T{v, w}[i%2])
			}

			first, rest := p.Variadic(v, w, v)
			check(first, v)
			if len(rest) != 2 {
				t.Fatalf("%d variadic arguments", len(rest))
			}
			check(rest[0], w)
			check(rest[1], v)
			if _, rest := p.Variadic(v); rest != nil {
				t.Errorf("no variadic argument arrived as %v", rest)
			}
			all := []T{v, w}
			if _, rest := p.Variadic(v, all...); unsafe.SliceData(rest) != unsafe.SliceData(all) {
				t.Error("a slice given as variadic argument was copied")
			}

			s, arg := reflect.ValueOf(p), reflect.ValueOf(&v).Elem()
			ofType := func(name string) reflect.Value {
				m, _ := s.Type().MethodByName(name)
				return m.Func
			}
			check(s.Method(0).Call([]reflect.Value{arg})[0].Interface().(T), v)
			check(s.Type().Method(0).Func.Call([]reflect.Value{s, arg})[0].Interface().(T), v)
			often := make([]reflect.Value, 21)
			for i := range often {
				often[i] = arg
			}
			often[0] = s
			for _, out := range ofType("Often").Call(often) {
				check(out.Interface().(T), v)
			}
			out := ofType("Variadic").Call([]reflect.Value{s, arg, arg})
			check(out[1].Index(0).Interface().(T), v)
		}
	})
}

func equal[T comparable](a, b T) bool { return a == b }

func deepEqual[T any](a, b T) bool { return reflect.DeepEqual(a, b) }

type pair struct {
	a int16
	b string
}

type mixture struct {
	a float32
	b *int
	c [1]string
	d struct{ e, f bool }
	_ [0]int
	g any
}

type large struct {
	a [20]int
	b *pair
	c string
	d [3]float64
}

func TestArgumentsAndResultsOfEveryKind(t *testing.T) {
	one, two := 1, 2
	echoes(t, true, false, equal)
	echoes(t, 1, -2, equal)
	echoes(t, int8(1), -128, equal)
	echoes(t, int16(1), -2, equal)
	echoes(t, int32(1), -2, equal)
	echoes(t, int64(math.MaxInt64), math.MinInt64, equal)
	echoes(t, uint(1), math.MaxUint, equal)
	echoes(t, uint8(1), 255, equal)
	echoes(t, uint16(1), 65535, equal)
	echoes(t, uint32(1), math.MaxUint32, equal)
	echoes(t, uint64(1), math.MaxUint64, equal)
	echoes(t, uintptr(1), 2, equal)
	echoes(t, float32(1.5), -2.5, equal)
	echoes(t, 1.5, math.Inf(-1), equal)
	echoes(t, complex64(complex(1, 2)), complex(3, 4), equal)
	echoes(t, complex(1, 2), complex(-3, 4), equal)
	echoes(t, "", strings.Repeat("s", 1000), equal)
	echoes(t, []byte("bytes"), nil, deepEqual)
	echoes(t, []pair{{1, "a"}, {2, "b"}}, []pair{}, deepEqual)
	echoes(t, map[string]int{"a": 1}, nil, deepEqual)
	echoes(t, [0]int{}, [0]int{}, equal)
	echoes(t, [1]string{"a"}, [1]string{"b"}, equal)
	echoes(t, [3]string{"a", "b", "c"}, [3]string{"d", "e", "f"}, equal)
	echoes(t, struct{}{}, struct{}{}, equal)
	echoes(t, pair{1, "a"}, pair{-2, "b"}, equal)
	echoes(t, mixture{a: 1.5, b: &one, c: [1]string{"c"}, g: 3}, mixture{b: &two, d: struct{ e, f bool }{f: true}, g: "g"}, equal)
	echoes(t, large{a: [20]int{19: 7}, b: &pair{1, "a"}, c: "c"}, large{d: [3]float64{1, 2, 3}}, equal)
	echoes(t, [1000]int{999: 1}, [1000]int{0: 2}, equal)
	echoes(t, &one, nil, equal)
	echoes(t, unsafe.Pointer(&one), unsafe.Pointer(&two), equal)
	echoes(t, make(chan int), nil, equal)
	echoes(t, (<-chan pair)(make(chan pair)), nil, equal)
	echoes(t, any(pair{1, "a"}), any(nil), func(a, b any) bool { return a == b })
	echoes(t, errors.New("e"), error(nil), func(a, b error) bool { return a == b })
	echoes(t, func() int { return one }, nil, func(a, b func() int) bool {
		return (a == nil) == (b == nil) && (a == nil || a() == b())
	})
	type named map[string][]*large
	echoes(t, named{"x": {nil, {c: "y"}}}, named{}, deepEqual)
}

// crowded has more arguments than registers, of kinds that compete for them in different ways.
type crowded interface {
	All(a int, b float64, c string, d []byte, e pair, f complex128, g any, h error, i [1]float32, j [2]int, k *large, l large,
		m bool, n uint8, o float32, p func() string, q map[string]int, r chan int, s mixture, t ...string) (
		string, large, []byte, error, float64, mixture, complex128, pair)
	Floats(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t float64) float64
	Ints(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t int) int
	Strings(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t string) string
}

func TestMoreArgumentsThanRegisters(t *testing.T) {
	var all []any
	p := newProxy[crowded](t, dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		switch method {
		case 0:
			all = nil
			for _, a := range args {
				all = append(all, a.Interface())
			}
			return []reflect.Value{args[2], args[11], args[3], args[7], args[1], args[18], args[5], args[4]}
		case 1:
			sum := 0.
			for i, a := range args {
				sum += float64(i+1) * a.Float()
			}
			return values(sum)
		case 2:
			sum := 0
			for i, a := range args {
				sum += (i + 1) * int(a.Int())
			}
			return values(sum)
		default:
			var s strings.Builder
			for _, a := range args {
				s.WriteString(a.String())
			}
			return values(s.String())
		}
	}))
	if n := p.Ints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20); n != 2870 {
		t.Errorf("20 ints: %d", n)
	}
	if n := p.Floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20); n != 2870 {
		t.Errorf("20 floats: %v", n)
	}
	if s := p.Strings("a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"); s != "abcdefghijklmnopqrst" {
		t.Errorf("20 strings: %q", s)
	}

	e, l, n := errors.New("h"), large{a: [20]int{3: 4}, c: "l"}, 7
	s, c, mix := func() string { return "p" }, make(chan int), mixture{a: 2, b: &n, g: "g"}
	r1, r2, r3, r4, r5, r6, r7, r8 := p.All(1, 2, "c", []byte("d"), pair{3, "e"}, complex(4, 5), "g", e, [1]float32{6},
		[2]int{7, 8}, &l, l, true, 9, 10, s, map[string]int{"q": 11}, c, mix, "t", "u")
	got := []any{r1, r2, r3, r4, r5, r6, r7, r8}
	want := []any{"c", l, []byte("d"), e, 2., mix, complex(4, 5), pair{3, "e"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("returned %v, want %v", got, want)
	}
	if f := all[15].(func() string); f() != "p" {
		t.Errorf("the function returned %q", f())
	}
	all[15] = nil
	want = []any{1, 2., "c", []byte("d"), pair{3, "e"}, complex(4, 5), "g", e, [1]float32{6}, [2]int{7, 8}, &l, l, true,
		uint8(9), float32(10), nil, map[string]int{"q": 11}, c, mix, []string{"t", "u"}}
	if !reflect.DeepEqual(all, want) {
		t.Errorf("arrived as %v, want %v", all, want)
	}
}

func TestInterfaceArgumentsKeepTheirType(t *testing.T) {
	var got []reflect.Value
	p := newProxy[interface {
		Do(any, error, fmt.Stringer)
	}](t, dispatcher(
		func(_ int, args []reflect.Value) []reflect.Value { got = args; return nil }))
	p.Do(nil, nil, nil)
	p.Do(1, errNegative, nil)
	if got[0].Kind() != reflect.Interface || got[0].Elem().Int() != 1 || got[1].Type() != reflect.TypeFor[error]() ||
		got[2].Type() != reflect.TypeFor[fmt.Stringer]() || !got[2].IsNil() {
		t.Errorf("arrived as %v", got)
	}
}

func TestPanicsPropagate(t *testing.T) {
	type boom struct{ n int }
	p := newProxy[account](t, dispatcher(func(method int, args []reflect.Value) []reflect.Value {
		panic(boom{method})
	}))
	for name, call := range map[string]func(){
		"call":         func() { p.Deposit(1) },
		"method value": func() { f := p.Deposit; f(1) },
		"by type": func() {
			reflect.TypeOf(p).Method(1).Func.Call([]reflect.Value{reflect.ValueOf(p), reflect.ValueOf(1)})
		},
		"deferred": func() { defer p.Deposit(1) },
	} {
		func() {
			defer func() {
				if r := recover(); r != (boom{1}) {
					t.Errorf("%s: recovered %v", name, r)
				}
			}()
			call()
		}()
	}
}

func TestGoexitEndsTheCaller(t *testing.T) {
	p := newProxy[account](t, dispatcher(func(int, []reflect.Value) []reflect.Value {
		runtime.Goexit()
		return nil
	}))
	done := make(chan bool)
	go func() {
		returned := false
		defer func() { done <- returned }()
		p.Deposit(1)
		returned = true
	}()
	if <-done {
		t.Error("the call returned")
	}
}

func TestWrongResultsPanic(t *testing.T) {
	for name, results := range map[string][]reflect.Value{
		"too few":    values(1),
		"too many":   values(1, nil, 2),
		"wrong type": values("1", nil),
		"invalid":    {reflect.ValueOf(1), {}},
	} {
		p := newProxy[account](t, dispatcher(func(int, []reflect.Value) []reflect.Value { return results }))
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			p.Deposit(1)
		}()
	}
	p := newProxy[account](t, dispatcher(func(int, []reflect.Value) []reflect.Value {
		return values(1, errNegative) // *errors.errorString is assignable to error
	}))
	if n, err := p.Deposit(1); n != 1 || err != errNegative {
		t.Errorf("returned %d, %v", n, err)
	}
}
