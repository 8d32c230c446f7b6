package skeleton_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/skeleton"
)

// The numbers are those of the package documentation.
func TestAnInterfaceThatBreaksARuleIsRefusedWithItsNumber(t *testing.T) {
	type oneWay interface {
		Ask(ctx context.Context) (int, error)
	}
	if err := codec.Declare(reflect.TypeFor[oneWay](), map[string]codec.Semantics{"Ask": {OneWay: true}}); err != nil {
		t.Fatal(err)
	}
	var many []reflect.StructField
	for n := range 256 {
		many = append(many, reflect.StructField{Name: "Do" + strconv.Itoa(n), Type: reflect.TypeFor[func(context.Context) error]()})
	}
	for _, c := range []struct {
		typ  reflect.Type
		want []string // nil: it can be exported
	}{
		{reflect.TypeFor[Open](), nil},
		{reflect.TypeFor[func(context.Context) error](), nil},
		{reflect.TypeFor[func(context.Context, ...string) (int, error)](), nil},
		{reflect.TypeFor[any](), []string{"rule 1: "}},
		{reflect.TypeFor[interface{ do(context.Context) error }](), []string{"rule 1: the method do"}},
		{reflect.TypeFor[servant](), []string{"rule 1: "}},
		{reflect.TypeFor[interface{ Do(int) error }](), []string{"rule 2: Do"}},
		{reflect.TypeFor[func(int) error](), []string{"rule 2: Call"}},
		{reflect.TypeFor[interface{ Do(context.Context) int }](), []string{"rule 3: Do"}},
		{reflect.TypeFor[func(context.Context)](), []string{"rule 3: Call"}},
		{reflect.TypeFor[interface {
			Do(context.Context, chan int) error
		}](), []string{"rule 4: Do: argument 1"}},
		{reflect.TypeFor[func(context.Context) (chan int, error)](), []string{"rule 4: Call: result 1"}},
		{reflect.TypeFor[interface { // their names have one hash
			Ichlxlh(context.Context) error
			Qyggpca(context.Context) error
		}](), []string{"rule 5: Qyggpca"}},
		{reflect.StructOf(many[:255]), nil},
		{reflect.StructOf(many), []string{"rule 6: "}},
		{reflect.TypeFor[oneWay](), []string{"rule 7: Ask"}},
		{reflect.TypeFor[interface { // every problem is listed
			A(int) error
			B(context.Context) int
			C(context.Context, chan int) error
		}](), []string{"rule 2: A", "rule 3: B", "rule 4: C"}},
	} {
		_, err := codec.InterfaceOf(c.typ)
		if (err == nil) != (c.want == nil) || err != nil && (!errors.Is(err, fault.KindInvalid) || fault.OutcomeOf(err) != fault.OutcomeNotExecuted) {
			t.Errorf("%v: %v, want %q", c.typ, err, c.want)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q", c.typ, err, want)
			}
		}
	}
}

func TestAFuncIsServedAsTheMethodCall(t *testing.T) {
	i := described[func(context.Context, string, ...string) (string, error)](t)
	s := skeleton.New(i, reflect.ValueOf(func(_ context.Context, sep string, of ...string) (string, error) { return strings.Join(of, sep), nil }))
	out, err := serve(t, t.Context(), s, i.ByName("Call"), "-", []string{"a", "b", "c"})
	if err != nil || out[0].String() != "a-b-c" {
		t.Errorf("%v, %v", out, err)
	}
}

// Nested is served by reflection, GeneratedNested by generated code.
type (
	Nested interface {
		Do(ctx context.Context, n int64) error
	}
	GeneratedNested interface {
		Do(ctx context.Context, n int64) error
	}
)

// servantOf does what it is.
type servantOf func(ctx context.Context, n int64) error

func (f servantOf) Do(ctx context.Context, n int64) error { return f(ctx, n) }

func init() {
	skeleton.Register(reflect.TypeFor[GeneratedNested](), func(v reflect.Value) skeleton.Served {
		s := v.Interface().(GeneratedNested)
		return func(ctx context.Context, _ int, d *codec.Decoder, _ *codec.Encoder) error {
			var n int64
			d.Value(0)
			d.Int64(&n)
			if !d.Ok() {
				return nil
			}
			return s.Do(ctx, n)
		}
	})
}

// bothWays runs a test with servants that are served by reflection and by generated code.
func bothWays(t *testing.T, test func(t *testing.T, i *codec.Interface)) {
	t.Run("by reflection", func(t *testing.T) { test(t, described[Nested](t)) })
	t.Run("by generated code", func(t *testing.T) { test(t, described[GeneratedNested](t)) })
}

// The node makes calls take turns, not the skeleton. The two calls wait for each other.
func TestCallsOfOneSkeletonRunConcurrently(t *testing.T) {
	bothWays(t, func(t *testing.T, i *codec.Interface) {
		var both, calls sync.WaitGroup
		both.Add(2)
		s := skeleton.New(i, reflect.ValueOf(servantOf(func(context.Context, int64) error { both.Done(); both.Wait(); return nil })))
		for n := range int64(2) {
			calls.Go(func() {
				if _, err := serve(t, t.Context(), s, i.ByName("Do"), n); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	})
}

func TestAMethodMayBeEnteredAgainWhileItRuns(t *testing.T) {
	bothWays(t, func(t *testing.T, i *codec.Interface) {
		var s *skeleton.Skeleton
		deep := 0
		s = skeleton.New(i, reflect.ValueOf(servantOf(func(ctx context.Context, n int64) error {
			if deep++; n == 0 {
				return nil
			}
			_, err := serve(t, ctx, s, i.ByName("Do"), n-1)
			if err != nil {
				return err
			}
			return nil
		})))
		if _, err := serve(t, t.Context(), s, i.ByName("Do"), int64(3)); err != nil || deep != 4 {
			t.Errorf("%d deep: %v", deep, err)
		}
	})
}

type ctxKey struct{}

func TestAMethodRunsWithTheContextOfItsCall(t *testing.T) {
	bothWays(t, func(t *testing.T, i *codec.Interface) {
		var got any
		s := skeleton.New(i, reflect.ValueOf(servantOf(func(ctx context.Context, _ int64) error { got = ctx.Value(ctxKey{}); return nil })))
		if _, err := serve(t, context.WithValue(t.Context(), ctxKey{}, "mine"), s, i.ByName("Do"), int64(0)); err != nil || got != "mine" {
			t.Errorf("%v, %v", got, err)
		}
	})
}

func TestArgumentsThatDoNotFitAreRefusedBeforeTheMethodRuns(t *testing.T) {
	bothWays(t, func(t *testing.T, i *codec.Interface) {
		ran := false
		s := skeleton.New(i, reflect.ValueOf(servantOf(func(context.Context, int64) error { ran = true; return nil })))
		for what, body := range map[string][]byte{"text for a number": {0x91, 0xa1, 'x'}, "no argument": {0x90}} {
			d, err := codec.NewDecoder(body, nil, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			e := codec.NewEncoder(nil, nil)
			if err := s.Serve(t.Context(), i.ByName("Do"), d, e); !errors.Is(err, fault.KindBadArguments) || err.Outcome != fault.OutcomeNotExecuted || ran {
				t.Errorf("%s: %v", what, err)
			}
			e.Release()
			d.Release()
		}
	})
}

// anyOf returns what its func returns.
type anyOf interface {
	Get(ctx context.Context) (any, error)
}

// GeneratedAny is anyOf, served by generated code.
type GeneratedAny interface {
	Get(ctx context.Context) (any, error)
}

type getter func() (any, error)

func (g getter) Get(context.Context) (any, error) { return g() }

func init() {
	skeleton.Register(reflect.TypeFor[GeneratedAny](), func(v reflect.Value) skeleton.Served {
		s := v.Interface().(GeneratedAny)
		return func(ctx context.Context, _ int, _ *codec.Decoder, e *codec.Encoder) error {
			got, err := s.Get(ctx)
			if err == nil {
				e.Value(0)
				e.Other(reflect.ValueOf(&got).Elem())
			}
			return err
		}
	})
}

// The method ran, and the outcome says so.
func TestResultsThatCannotTravelFailACallThatRan(t *testing.T) {
	for _, i := range []*codec.Interface{described[anyOf](t), described[GeneratedAny](t)} {
		s := skeleton.New(i, reflect.ValueOf(getter(func() (any, error) { return make(chan int), nil })))
		if _, err := serve(t, t.Context(), s, i.ByName("Get")); !errors.Is(err, fault.KindInvalid) || err.Outcome != fault.OutcomeExecuted {
			t.Errorf("%s: %v", i.Name, err)
		}
	}
}

func TestResultsBesideAnErrorDoNotTravel(t *testing.T) {
	for _, i := range []*codec.Interface{described[anyOf](t), described[GeneratedAny](t)} {
		s := skeleton.New(i, reflect.ValueOf(getter(func() (any, error) { return make(chan int), errPlain })))
		if _, err := serve(t, t.Context(), s, i.ByName("Get")); !errors.Is(err, errPlain) || err.Kind != fault.KindApplication {
			t.Errorf("%s: %v", i.Name, err)
		}
	}
}

func TestAPanicKeepsItsValueAndItsStack(t *testing.T) {
	bothWays(t, func(t *testing.T, i *codec.Interface) {
		s := skeleton.New(i, reflect.ValueOf(servantOf(func(context.Context, int64) error { panic("oops") })))
		_, err := serve(t, t.Context(), s, i.ByName("Do"), int64(0))
		p, ok := errors.AsType[*skeleton.PanicError](err.Err)
		if !ok || p.Value != "oops" || p.Error() != "panic: oops" || !strings.Contains(string(p.Stack), "TestAPanicKeepsItsValueAndItsStack") {
			t.Errorf("%v", err)
		}
		if strings.Contains(err.Error(), "goroutine") {
			t.Errorf("the stack is in the error's text: %v", err)
		}
	})
}

func TestAPointerInsideAnInterfaceIsTheObjectThatItIsAlone(t *testing.T) {
	all, _ := table(10)
	i, v := described[Open](t), &servant{}
	var inside Open = v
	alone, err := all.Pin(i, reflect.ValueOf(v), 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := all.Pin(i, reflect.ValueOf(&inside).Elem(), 0, none, nil); e != alone || err != nil {
		t.Errorf("it is another object, %v", err)
	}
}

func TestAPinByNumberKeepsAnExport(t *testing.T) {
	all, _ := table(10)
	e, err := all.Pin(described[Open](t), reflect.ValueOf(&servant{}), 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if all.PinNum(e.Num) != e || all.PinNum(e.Num+1) != nil {
		t.Error("another export is pinned")
	}
	all.Unpin(e)
	if all.Get(e.Num) != e {
		t.Error("it is gone, with one handle of two")
	}
	all.Unpin(e)
	if all.Get(e.Num) != nil {
		t.Error("it is left")
	}
}

func TestAnObjectNobodyHeldGoesInSilenceWithItsLastPin(t *testing.T) {
	all, unheld := table(10)
	e, err := all.Pin(described[Open](t), reflect.ValueOf(&servant{}), 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	all.Unpin(e)
	if all.Len() != 0 || len(*unheld) != 0 {
		t.Errorf("%d are left, and told: %v", all.Len(), *unheld)
	}
}

func TestTheLastHoldersEndIsToldThoughAPinKeepsTheObject(t *testing.T) {
	all, unheld := table(10)
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	e, err := all.Pin(i, v, 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := all.Hold(i, v, "a", none); err != nil {
			t.Fatal(err)
		}
	}
	all.Take("a", lease.Count{Object: e.Num, N: 1})
	if len(*unheld) != 0 {
		t.Error("told with one reference of two")
	}
	all.Take("a", lease.Count{Object: e.Num, N: 1})
	if !slices.Equal(*unheld, []*skeleton.Export{e}) || all.Get(e.Num) != e {
		t.Errorf("told: %v; there: %v", *unheld, all.Get(e.Num))
	}
}

// The func unheld may use the table.
func TestUnheldIsCalledWithoutTheTablesLock(t *testing.T) {
	var all *skeleton.Table
	left := -1
	all = skeleton.NewTable(10, func([]*skeleton.Export) { left = all.Len() })
	if _, err := all.Hold(described[Open](t), reflect.ValueOf(&servant{}), "a", none); err != nil {
		t.Fatal(err)
	}
	all.Gone("a", time.Now())
	if left != 0 {
		t.Errorf("%d exports", left)
	}
}

// A call must not wait for somebody who exports.
func TestGetDoesNotWaitForTheTablesLock(t *testing.T) {
	all, _ := table(10)
	i := described[Open](t)
	first, err := all.Pin(i, reflect.ValueOf(&servant{}), 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = all.Pin(i, reflect.ValueOf(&servant{}), 0, func(e *skeleton.Export) { // under the lock
		if all.Get(first.Num) != first {
			t.Error("another export is not found")
		}
		if all.Get(e.Num) != nil {
			t.Error("it is seen before it is complete")
		}
		e.Extra = "complete"
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoHoldsAReferenceIsAmongItsHolders(t *testing.T) {
	all, _ := table(10)
	i := described[Open](t)
	var nums []refs.ObjNum
	for range 2 {
		e, err := all.Hold(i, reflect.ValueOf(&servant{}), "a", none)
		if err != nil {
			t.Fatal(err)
		}
		nums = append(nums, e.Num)
	}
	if missing := all.Register("b", []refs.ObjNum{nums[1], 99, nums[1], 98}); !slices.Equal(missing, []uint32{1, 3}) {
		t.Errorf("not exported: %v", missing)
	}
	var got []string
	for _, x := range all.All() {
		s := ""
		for _, h := range x.Holders {
			s += h.To.(string) + strings.Repeat("+", int(h.Count))
		}
		got = append(got, s)
	}
	if !slices.Equal(got, []string{"a+", "a+b++"}) {
		t.Errorf("the oldest first, they are held by %q", got)
	}
}

// Numbers are random, so they do not give the order.
func TestExportsAreListedTheOldestFirst(t *testing.T) {
	all, _ := table(100)
	var want, got []time.Time
	for range 50 {
		e, err := all.Pin(described[Open](t), reflect.ValueOf(&servant{}), 0, none, nil)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, e.Since)
	}
	for _, x := range all.All() {
		got = append(got, x.Since)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// A holder that ends may have handed a reference on that its next holder did not register yet.
func TestWhatLingersOutlivesItsHolderForAWhile(t *testing.T) {
	all, unheld := table(10)
	i := described[Open](t)
	hold := func() *skeleton.Export {
		e, err := all.Hold(i, reflect.ValueOf(&servant{}), "a", none)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	lingers, saved, goes := hold(), hold(), hold()
	until := time.Now().Add(time.Minute)
	all.Linger("a", []refs.ObjNum{lingers.Num, saved.Num})
	all.Gone("a", until)
	if all.Get(goes.Num) != nil || all.Get(lingers.Num) == nil || all.Get(saved.Num) == nil {
		t.Error("not what lingers is left")
	}
	if missing := all.Register("b", []refs.ObjNum{saved.Num}); missing != nil {
		t.Errorf("what lingers cannot be taken over: %v", missing)
	}
	if more := all.Expire(until.Add(-time.Nanosecond)); !more || all.Get(lingers.Num) == nil {
		t.Error("it ends before its time")
	}
	if more := all.Expire(until); more || all.Get(lingers.Num) != nil || all.Get(saved.Num) == nil {
		t.Error("it does not end in its time, or what was taken over does")
	}
	if !slices.Equal(*unheld, []*skeleton.Export{goes, lingers}) {
		t.Errorf("told: %v", *unheld)
	}
	if all.Expire(until.Add(time.Hour)) {
		t.Error("something lingers yet")
	}
}

// A number that is not reserved cannot be guessed, nor computed from another.
func TestObjectNumbersAreRandomAndNeverUsedAgain(t *testing.T) {
	all, _ := table(10)
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	seen := make(map[refs.ObjNum]bool)
	var ones, zeros refs.ObjNum
	for range 200 {
		e, err := all.Pin(i, v, 0, none, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e.Num < refs.ReservedObjects || seen[e.Num] {
			t.Fatalf("the number %d", uint64(e.Num))
		}
		seen[e.Num] = true
		ones, zeros = ones|e.Num, zeros|^e.Num
		all.Unpin(e)
	}
	if ones != ^refs.ObjNum(0) || zeros != ^refs.ObjNum(0) {
		t.Errorf("bits that never change: %x, %x", uint64(^ones), uint64(^zeros))
	}
}

// What a table says about itself must be true when many goroutines use it.
func TestATableIsEmptyWhenAllWhoUsedItAreGone(t *testing.T) {
	all := skeleton.NewTable(10, func([]*skeleton.Export) {})
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	var users sync.WaitGroup
	for n := range 4 {
		users.Go(func() {
			for range 500 {
				p, err := all.Pin(i, v, 0, none, nil)
				if err != nil {
					t.Error(err)
					return
				}
				h, err := all.Hold(i, v, n, none)
				if err != nil || h != p || all.Get(p.Num) != p {
					t.Errorf("%v is %v, %v", h, p, err)
				}
				all.Unpin(p)
				all.Take(n, lease.Count{Object: h.Num, N: 1})
			}
		})
	}
	users.Wait()
	if all.Len() != 0 || len(all.All()) != 0 {
		t.Errorf("%d are left", all.Len())
	}
}
