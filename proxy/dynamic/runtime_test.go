//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"weak"

	"gormi/proxy/dynamic"
)

type recursive interface {
	Down(depth int, p *int, a [4]string, f float64, spilled ...*int) (sum int, q *int, s string)
}

func TestStackGrowsThroughCalls(t *testing.T) {
	const depth = 5_000
	var p recursive
	d := dispatcher(func(_ int, args []reflect.Value) []reflect.Value {
		n := int(args[0].Int())
		ptr, rest := args[1].Interface().(*int), args[4].Interface().([]*int)
		if *ptr != n || *rest[0] != n || args[2].Index(3).String() != "d" || args[3].Float() != float64(n) {
			panic(fmt.Sprintf("at depth %d: %v", n, args))
		}
		if n == depth {
			return values(0, ptr, "end")
		}
		// A variable in this frame, to which only the frame of the callee and this one point.
		next := n + 1
		sum, q, s := p.Down(next, &next, [4]string{3: "d"}, float64(next), &next)
		if *q != depth {
			panic(fmt.Sprintf("at depth %d: result %d", n, *q))
		}
		return values(sum+n, q, s)
	})
	p = newProxy[recursive](t, d)
	for range 2 {
		done := make(chan error)
		go func() { // a goroutine starts with a small stack
			zero := 0
			sum, q, s := p.Down(0, &zero, [4]string{3: "d"}, 0, &zero)
			if sum != depth*(depth-1)/2 || *q != depth || s != "end" {
				done <- fmt.Errorf("returned %d, %d, %q", sum, *q, s)
			}
			close(done)
		}()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// block is what calls in the tests below pass around: it tells if its memory was given to something
// else.
type block struct {
	self *block
	fill [30]uint64
}

func newBlock(n uint64) *block {
	b := new(block)
	b.self = b
	for i := range b.fill {
		b.fill[i] = n
	}
	return b
}

func (b *block) check(n uint64) error {
	if b.self != b {
		return fmt.Errorf("block %d is at %p and was at %p", n, b, b.self)
	}
	for _, f := range b.fill {
		if f != n {
			return fmt.Errorf("block %d holds %x", n, f)
		}
	}
	return nil
}

type blocks interface {
	Pass(n uint64, b *block, s []*block, m map[uint64]*block, v any, f func() *block, x, y, z *block, spilled *block) (
		*block, []*block, any)
}

func garbage() (sink [][]byte) {
	for i := range 50 {
		sink = append(sink, make([]byte, 16+8*i))
	}
	return sink
}

func TestCallsUnderGarbageCollection(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	d := dispatcher(func(_ int, args []reflect.Value) []reflect.Value {
		n := args[0].Uint()
		if n%16 == 0 {
			runtime.GC()
		}
		garbage()
		bs := []*block{args[1].Interface().(*block), args[2].Index(0).Interface().(*block),
			args[3].MapIndex(args[0]).Interface().(*block), args[4].Interface().(*block),
			args[5].Call(nil)[0].Interface().(*block), args[6].Interface().(*block), args[7].Interface().(*block),
			args[8].Interface().(*block), args[9].Interface().(*block)}
		for _, b := range bs {
			if err := b.check(n); err != nil {
				panic(err)
			}
		}
		return values(newBlock(n+1), []*block{newBlock(n + 1)}, newBlock(n+1))
	})
	p := newProxy[blocks](t, d)
	var wg sync.WaitGroup
	for g := range uint64(8) {
		wg.Go(func() {
			for i := range uint64(50) {
				n := 1000*g + i
				inner := newBlock(n)
				call := p.Pass
				if i%3 == 0 { // a proxy that only the call refers to
					v, _ := dynamic.New(reflect.TypeFor[blocks](), d)
					call = v.Interface().(blocks).Pass
				}
				b, s, v := call(n, newBlock(n), []*block{newBlock(n)}, map[uint64]*block{n: newBlock(n)}, newBlock(n),
					func() *block { return inner }, newBlock(n), newBlock(n), newBlock(n), newBlock(n))
				garbage()
				for _, b := range []*block{b, s[0], v.(*block)} {
					if err := b.check(n + 1); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestArgumentsStayReachable(t *testing.T) {
	p := newProxy[blocks](t, dispatcher(func(_ int, args []reflect.Value) []reflect.Value {
		first, last := weak.Make(args[1].Interface().(*block)), weak.Make(args[9].Interface().(*block))
		for range 3 {
			runtime.GC()
		}
		if first.Value() == nil || last.Value() == nil {
			t.Error("an argument was collected during the call")
		}
		return []reflect.Value{args[1], args[2], reflect.ValueOf(args[9].Interface())}
	}))
	b, _, last := p.Pass(1, newBlock(1), nil, nil, nil, nil, nil, nil, nil, newBlock(2))
	runtime.GC()
	if b.check(1) != nil || last.(*block).check(2) != nil {
		t.Error("a result was collected")
	}
}

// forgetful does not refer to itself while it dispatches.
type forgetful struct {
	self *atomic.Pointer[weak.Pointer[forgetful]]
}

func (d *forgetful) Dispatch(int, []reflect.Value) []reflect.Value {
	self := d.self
	for range 3 {
		runtime.GC()
	}
	return values(self.Load().Value() != nil)
}

func TestDispatcherStaysReachableDuringCalls(t *testing.T) {
	type reachable interface{ Reachable() bool }
	var self atomic.Pointer[weak.Pointer[forgetful]]
	fresh := func() reachable {
		d := &forgetful{self: &self}
		w := weak.Make(d)
		self.Store(&w)
		return newProxy[reachable](t, d)
	}
	if !fresh().Reachable() {
		t.Error("collected during a call")
	}
	if f := fresh().Reachable; !f() {
		t.Error("collected during a call of a method value")
	}
	p := fresh()
	m, _ := reflect.TypeOf(p).MethodByName("Reachable")
	if !m.Func.Call([]reflect.Value{reflect.ValueOf(p)})[0].Bool() {
		t.Error("collected during a call of the type's method")
	}
}

func TestDroppedProxiesAreCollected(t *testing.T) {
	collected := make(chan int, 3)
	func() {
		for i := range cap(collected) {
			d := new(ledger)
			runtime.AddCleanup(d, func(i int) { collected <- i }, i)
			p := newProxy[account](t, d)
			p.Deposit(i)
			m := map[any]depositor{p: p}
			f := m[p].Deposit
			f(1)
			reflect.TypeOf(p).Method(1).Func.Call([]reflect.Value{reflect.ValueOf(p), reflect.ValueOf(1)})
		}
	}()
	for n, rounds := 0, 0; n < cap(collected); rounds++ {
		runtime.GC()
		select {
		case <-collected:
			n++
		default:
			if rounds == 10_000 {
				t.Fatalf("only %d of %d dispatchers were collected", n, cap(collected))
			}
			runtime.Gosched()
		}
	}
}

func TestThousandGoroutinesCall(t *testing.T) {
	l := new(ledger)
	p := newProxy[account](t, l)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			p.Deposit(1)
			depositor(p).Deposit(1)
			reflect.ValueOf(p).Method(1).Call([]reflect.Value{reflect.ValueOf(1)})
		})
	}
	wg.Wait()
	if n := p.Balance(); n != 3000 {
		t.Errorf("the balance is %d", n)
	}
}

func firstUse[T any]() (any, error) {
	v, err := dynamic.New(reflect.TypeFor[container[string, T]](), dispatcher(
		func(_ int, args []reflect.Value) []reflect.Value {
			return []reflect.Value{reflect.Zero(reflect.TypeFor[T]()), reflect.ValueOf(true)}
		}))
	if err != nil {
		return nil, err
	}
	if _, ok := v.Interface().(container[string, T]).Get("x"); !ok {
		return nil, fmt.Errorf("%v: the call failed", v.Type())
	}
	return v.Interface(), nil
}

func TestFirstUseByManyGoroutines(t *testing.T) {
	uses := []func() (any, error){firstUse[[1]int], firstUse[[2]int], firstUse[[3]int], firstUse[[4]int], firstUse[[5]int],
		firstUse[[6]int], firstUse[[7]int], firstUse[[8]int], firstUse[[9]int], firstUse[[10]int]}
	types := make([]sync.Map, len(uses))
	start := make(chan bool)
	var wg sync.WaitGroup
	for g := range 1000 {
		wg.Go(func() {
			<-start
			for i := range uses {
				i = (i + g) % len(uses)
				v, err := uses[i]()
				if err != nil {
					t.Error(err)
					return
				}
				types[i].Store(reflect.TypeOf(v), true)
			}
		})
	}
	close(start)
	wg.Wait()
	for i := range types {
		n := 0
		types[i].Range(func(any, any) bool { n++; return true })
		if n != 1 {
			t.Errorf("interface %d has %d struct types", i, n)
		}
	}
}

// A stack walk gets from the dispatcher to the caller, whatever lies between.
func TestTracebackReachesTheCaller(t *testing.T) {
	var stack string
	p := newProxy[interface{ Trace(...string) }](t, dispatcher(func(int, []reflect.Value) []reflect.Value {
		stack = string(debug.Stack())
		return nil
	}))
	p.Trace("a", "b")
	if !strings.Contains(stack, "TestTracebackReachesTheCaller(") {
		t.Errorf("the caller is not in\n%s", stack)
	}
}

// Under GOGC=1, with freed memory overwritten, in a process of its own.
func TestCallsWithFreedMemoryOverwritten(t *testing.T) {
	if os.Getenv("DYNAMIC_CHILD") != "" {
		t.Skip("already there")
	}
	cmd := exec.Command(os.Args[0], "-test.run=GarbageCollection|Reachable|Collected|StackGrows|EveryKind")
	cmd.Env = append(os.Environ(), "DYNAMIC_CHILD=1", "GOGC=1", "GODEBUG=clobberfree=1")
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this process runs in an emulator, which its children do not")
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
