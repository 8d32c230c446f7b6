//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"runtime/debug"
	"unsafe"
)

// selfCheck returns an error unless what the package relies on holds in this process.
func selfCheck() error { return guard(checkSlots, checkProbe) }

// guard runs checks in order until one fails. A panic is a failure. So is an access to memory that
// is not there.
func guard(checks ...func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = unsupported(fmt.Sprintf("the check at start panicked: %v", p))
		}
	}()
	for _, check := range checks {
		if err := check(); errors.Is(err, errors.ErrUnsupported) {
			return err // from makeProxy, complete
		} else if err != nil {
			return unsupported(err.Error())
		}
	}
	return nil
}

// checkSlots calls every slot with a receiver whose entries are plain Go functions.
func checkSlots() error {
	for _, first := range []uintptr{pointerSlots, valueSlots} {
		if !evenlySpaced(first) {
			return fmt.Errorf("%s/%s places the slots differently", runtime.Version(), runtime.GOARCH)
		}
	}
	entries := make([]entry, slotCount)
	for i := range entries {
		byPointer := func(p *proxy, a, b int) int { return 1000*i + 100*a + 10*b + p.embedded.(int) }
		byValue := func(p proxy, a, b int) int { return -(1000*i + 100*a + 10*b + p.embedded.(int)) }
		entries[i].byPointer = *(*unsafe.Pointer)(unsafe.Pointer(&byPointer))
		entries[i].byValue = *(*unsafe.Pointer)(unsafe.Pointer(&byValue))
	}
	p := &proxy{embedded: 3, entries: &entries[0]}
	for i := range entries {
		// A function value is a pointer to the address of its code.
		pointerPC, valuePC := pointerSlot(i), valueSlot(i)
		pointerFunc, valueFunc := &pointerPC, &valuePC
		byPointer := *(*func(*proxy, int, int) int)(unsafe.Pointer(&pointerFunc))
		byValue := *(*func(proxy, int, int) int)(unsafe.Pointer(&valueFunc))
		want := 1000*i + 123
		if byPointer(p, 1, 2) != want || byValue(*p, 1, 2) != -want {
			return fmt.Errorf("slot %d does not lead to its function", i)
		}
	}
	return nil
}

// evenlySpaced reports whether the slots have the spacing slotSize. Then the function at first
// reaches to the instruction that must follow its slots, and is not half as long again. Slots are
// aligned and alike, so another spacing gives another length. If a slot is elsewhere nevertheless,
// it does not lead to its function.
func evenlySpaced(first uintptr) bool {
	within := func(pc uintptr) bool {
		f := runtime.FuncForPC(pc)
		return f != nil && f.Entry() == first
	}
	const length = slotCount * slotSize
	return first%slotSize == 0 && within(first) && within(first+length) && !within(first+length+length/2)
}

// probe is an interface of which a proxy is made to see whether it works. Its methods have
// arguments of several kinds, in registers and, where there are too many, on the stack.
type probe interface {
	Floats(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r float64) (float64, float64)
	Ints(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r int) (int, *int)
	Mixed(s string, f float64, b []byte, a [2]string, v any, rest ...int) (string, float64, []byte, [2]string, any, []int)
	Nothing()
}

// probed records a call and returns its results.
type probed struct {
	method  int
	args    []reflect.Value
	results []reflect.Value
}

func (d *probed) Dispatch(method int, args []reflect.Value) []reflect.Value {
	d.method, d.args = method, args
	return d.results
}

// checkProbe calls a proxy of the probe interface.
func checkProbe() error {
	t := reflect.TypeFor[probe]()
	d := new(probed)
	v, err := makeProxy(t, d)
	if err != nil {
		return err
	}
	p, ok := v.Interface().(probe)
	if !ok {
		return errors.New("a proxy lacks methods")
	}
	got := func(method int, args ...any) error {
		same := d.method == method && len(d.args) == len(args)
		for i := 0; same && i < len(args); i++ {
			same = reflect.DeepEqual(d.args[i].Interface(), args[i])
		}
		if !same {
			return fmt.Errorf("a call of method %s arrived as method %d with %v", t.Method(method).Name, d.method, d.args)
		}
		return nil
	}
	returned := func(method int, results ...any) error {
		for i, r := range results {
			if !reflect.DeepEqual(d.results[i].Interface(), r) {
				return fmt.Errorf("method %s returned %v for %v", t.Method(method).Name, r, d.results[i])
			}
		}
		return nil
	}
	values := func(vs ...any) {
		d.results = nil
		for _, v := range vs {
			d.results = append(d.results, reflect.ValueOf(v))
		}
	}

	values(2.5, -1.25)
	x, y := p.Floats(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
	if err := errors.Join(got(0, 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15., 16., 17., 18.),
		returned(0, x, y)); err != nil {
		return err
	}
	values(7, new(int))
	n, q := p.Ints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
	if err := errors.Join(got(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18),
		returned(1, n, q)); err != nil {
		return err
	}
	values("r", 4.5, []byte("b"), [2]string{"x", "y"}, any(d), []int{6})
	mixed := func(f func(string, float64, []byte, [2]string, any, ...int) (string, float64, []byte, [2]string, any, []int),
	) error {
		s, f1, b, a, v, rest := f("s", 1.5, []byte("c"), [2]string{"z", "w"}, 9, 1, 2)
		return errors.Join(got(2, "s", 1.5, []byte("c"), [2]string{"z", "w"}, 9, []int{1, 2}),
			returned(2, s, f1, b, a, v, rest))
	}
	if err := mixed(p.Mixed); err != nil {
		return err
	}
	fromType := func(s string, f float64, b []byte, a [2]string, v any, rest ...int) (
		string, float64, []byte, [2]string, any, []int) {
		method, _ := reflect.TypeOf(p).MethodByName("Mixed")
		out := method.Func.CallSlice([]reflect.Value{reflect.ValueOf(p), reflect.ValueOf(s),
			reflect.ValueOf(f), reflect.ValueOf(b), reflect.ValueOf(a), reflect.ValueOf(v), reflect.ValueOf(rest)})
		return out[0].String(), out[1].Float(), out[2].Bytes(), out[3].Interface().([2]string),
			out[4].Interface(), out[5].Interface().([]int)
	}
	if err := mixed(fromType); err != nil {
		return err
	}
	values()
	smaller, ok := any(p).(interface{ Nothing() })
	if !ok {
		return errors.New("a proxy does not convert to a smaller interface")
	}
	smaller.Nothing()
	if err := got(3); err != nil {
		return err
	}
	if s, ok := any(p).(Face); !ok || s.String() != plainText || fmt.Sprint(p) != plainText {
		return errors.New("a proxy does not print")
	}
	byType, _ := reflect.TypeOf(p).MethodByName("String")
	if out := byType.Func.Call([]reflect.Value{reflect.ValueOf(p)}); out[0].String() != plainText {
		return errors.New("a proxy does not print by its type's method")
	}
	if back, ok := DispatcherOf(smaller); !ok || back != Dispatcher(d) || any(smaller) != any(p) {
		return errors.New("a proxy does not lead back to its dispatcher")
	}
	return nil
}
