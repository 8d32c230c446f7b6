//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"unsafe"
)

type named interface {
	A(int) string
	B(string) int
}

// structOf makes a fresh struct type for T, different from that of its class.
func structOf[T any]() reflect.Type {
	return reflect.StructOf([]reflect.StructField{
		{Name: "Other", Type: reflect.TypeFor[T](), Anonymous: true},
		{Name: "A", Type: reflect.TypeFor[*entry]()},
		{Name: "B", Type: reflect.TypeFor[Dispatcher]()},
		{Name: "Face", Type: reflect.TypeFor[Face](), Anonymous: true},
	})
}

func TestMethodTableIsAcceptedOnlyAsExpected(t *testing.T) {
	fresh := structOf[named]()
	tab, err := methodTable(fresh, reflect.TypeFor[named]())
	if err != nil || len(tab.rows) != 2+reflect.TypeFor[Face]().NumMethod() {
		t.Fatalf("%d rows, %v", len(tab.rows), err)
	}
	class, err := classOf(reflect.TypeFor[named]())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ s, t reflect.Type }{
		"redirected already": {class.typ, reflect.TypeFor[named]()},
		"other names": {fresh, reflect.TypeFor[interface {
			A(int) string
			C(string) int
		}]()},
		"other types": {fresh, reflect.TypeFor[interface {
			A(int) string
			B(string) uint
		}]()},
		"other number":    {fresh, reflect.TypeFor[io.Reader]()},
		"compiled struct": {reflect.TypeFor[struct{ X, Y io.Reader }](), reflect.TypeFor[io.Reader]()},
		"compiled methods": {reflect.TypeFor[struct {
			io.Reader
			a, b, c int
			Face
		}](), reflect.TypeFor[io.Reader]()},
	} {
		if tab, err := methodTable(test.s, test.t); err == nil {
			t.Errorf("%s: accepted %v", name, tab.rows)
		}
	}
}

func TestChangeWithoutEffectIsTakenBack(t *testing.T) {
	fresh, clash := structOf[io.Writer](), structOf[fmt.Stringer]()
	for s, of := range map[reflect.Type]reflect.Type{fresh: reflect.TypeFor[io.Writer](), clash: reflect.TypeFor[fmt.Stringer]()} {
		tab, err := methodTable(s, of)
		if err != nil {
			t.Fatal(err)
		}
		counts := *tab.counts
		elsewhere := table{&counts, append([]row(nil), tab.rows...)}
		if err := elsewhere.redirect(s, of); err == nil || !reflect.DeepEqual(elsewhere, tab) {
			t.Errorf("%v; the table is %v and was %v", err, elsewhere, tab)
		}
	}
}

func TestProxyIsLaidOutAsItsStruct(t *testing.T) {
	class, err := classOf(reflect.TypeFor[named]())
	if err != nil {
		t.Fatal(err)
	}
	mirror := reflect.TypeFor[proxy]()
	for i := range mirror.NumField() {
		if m, s := mirror.Field(i), class.typ.Field(i); m.Offset != s.Offset || m.Type.Size() != s.Type.Size() {
			t.Errorf("field %s is at %d in the one and %d in the other", m.Name, m.Offset, s.Offset)
		}
	}
	if class.typ.Size() != mirror.Size() || len(class.entries) != 2 {
		t.Errorf("%d bytes, %d entries", class.typ.Size(), len(class.entries))
	}
}

func TestSelfCheckFails(t *testing.T) {
	if evenlySpaced(pointerSlots+slotSize) || evenlySpaced(reflect.ValueOf(fmt.Sprint).Pointer()) || evenlySpaced(0) {
		t.Error("something else passes for slots")
	}
	address, slot := uintptr(0xdeadbeef000), valueSlot(0)
	wild, slotFunc := *(**entry)(unsafe.Pointer(&address)), &slot
	call := *(*func(proxy) error)(unsafe.Pointer(&slotFunc))
	for name, check := range map[string]func() error{
		"with an error":        func() error { return errors.New("reason") },
		"with a panic":         func() error { panic("reason") },
		"with a fault":         func() error { return call(proxy{entries: wild}) },
		"with a complete text": func() error { return unsupported("reason") },
	} {
		err := guard(func() error { return nil }, check)
		if !errors.Is(err, errors.ErrUnsupported) || strings.Count(err.Error(), "gormi/cmd/rmigen") != 1 ||
			strings.Count(err.Error(), "dynamic: ") != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && name != "with a fault" && !strings.Contains(err.Error(), "reason") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := selfCheck(); err != nil {
		t.Errorf("a second check: %v", err)
	}
}
