package guard

import (
	"reflect"
	"strings"
	"sync"
	"testing"
	"unsafe"
)

type (
	outer struct{ n int }
	inner struct{ n int }
	other struct{ n int }
)

var nested = []Nesting{Nest[outer, inner]("in this test")}

func init() { Allow(nested) }

func TestLockReturnsTheState(t *testing.T) {
	var m Mutex[outer]
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				m.Lock().n++
				m.Unlock()
			}
		})
	}
	wg.Wait()
	defer m.Unlock()
	if n := m.Lock().n; n != 4000 {
		t.Errorf("counted %d of 4000", n)
	}
}

func TestAMutexIsAsLargeAsItsParts(t *testing.T) {
	if got, want := unsafe.Sizeof(Mutex[outer]{}), unsafe.Sizeof(struct {
		sync.Mutex
		outer
	}{}); got != want {
		t.Errorf("%d bytes, the parts have %d", got, want)
	}
}

func TestLocksTakenOutOfOrderPanic(t *testing.T) {
	if !Checked {
		t.Skip("this build does not check: go test -tags rmi_locks")
	}
	var a Mutex[outer]
	var b Mutex[inner]
	var c Mutex[other]
	for _, test := range []struct {
		name string
		do   func()
		want string // in the panic; "" for none
	}{
		{"allowed", func() { a.Lock(); defer a.Unlock(); b.Lock(); defer b.Unlock() }, ""},
		{"the other way round", func() { b.Lock(); defer b.Unlock(); a.Lock() }, "guard.outer is taken while that of guard.inner is held"},
		{"not listed", func() { a.Lock(); defer a.Unlock(); c.Lock() }, "guard.other is taken while that of guard.outer is held"},
		{"twice", func() { a.Lock(); defer a.Unlock(); a.Lock() }, "guard.outer is taken while that of guard.outer is held"},
		{"released by another", func() { a.Unlock() }, "released by a goroutine that did not take it"},
		{"held where none may be", func() { a.Lock(); defer a.Unlock(); NoneHeld() }, "held where none may be"},
		{"one after the other", func() { b.Lock(); b.Unlock(); a.Lock(); a.Unlock(); NoneHeld() }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "released by another" {
				done := make(chan struct{})
				go func() { a.Lock(); close(done) }()
				<-done
			}
			defer func() {
				got, _ := recover().(string)
				if (got == "") != (test.want == "") || !strings.Contains(got, test.want) {
					t.Errorf("panic %q, want %q", got, test.want)
				}
			}()
			test.do()
		})
	}
	if u := Unseen(); len(u) != 0 {
		t.Errorf("not seen: %v", u)
	}
}

func TestCycle(t *testing.T) {
	back := []Nesting{Nest[outer, inner](""), Nest[inner, other](""), Nest[other, outer]("")}
	if c := Cycle(back[:2]); c != nil {
		t.Errorf("a cycle in an order: %v", c)
	}
	want := []reflect.Type{reflect.TypeFor[outer](), reflect.TypeFor[inner](), reflect.TypeFor[other]()}
	if c := Cycle(back); !reflect.DeepEqual(c, want) {
		t.Errorf("cycle %v, want %v", c, want)
	}
	if c := Cycle([]Nesting{Nest[outer, outer]("")}); len(c) != 1 {
		t.Errorf("a lock in itself is a cycle; got %v", c)
	}
}
