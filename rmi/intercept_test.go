package rmi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/intercept"
	"gormi/rmi/internal/cases"
	"gormi/rmi/metadata"
	"gormi/rmi/rmitest"
)

// trail is what interceptors and methods note of the order in which they run.
type trail struct {
	mu    sync.Mutex // guards the fields below
	noted *sync.Cond // a step; nil: nobody waits
	steps []string
	only  refs.ID // if not zero, the object whose calls are noted
}

// none is of no object: some carriers make calls of their own.
var none = refs.ID{Object: 1<<64 - 1}

// follow has only the calls of an object noted.
func (x *trail) follow(r refs.Ref) refs.Ref {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.only = r.ID
	return r
}

func (x *trail) notes(call *intercept.Call) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.only == refs.ID{} || x.only == call.Object.ID
}

func (x *trail) step(s string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.steps = append(x.steps, s)
	if x.noted != nil {
		x.noted.Broadcast()
	}
}

// around notes when it is entered and left.
func (x *trail) around(name string) intercept.Interceptor {
	return func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		if !x.notes(call) {
			return next(ctx)
		}
		x.step(name + " " + call.Method)
		err := next(ctx)
		x.step(name + " is left")
		return err
	}
}

// sorted waits for so many steps, and sorts them.
func (x *trail) sorted(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.noted = sync.NewCond(&x.mu)
	for len(x.steps) < n {
		x.noted.Wait()
	}
	slices.Sort(x.steps)
}

func (x *trail) check(t *testing.T, want ...string) {
	t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !slices.Equal(x.steps, want) {
		t.Errorf("%q, want %q", x.steps, want)
	}
	x.steps = nil
}

func interceptors(all ...intercept.Interceptor) []intercept.Interceptor { return all }

// intercepted is an owner's worker behind interceptors of both sides, as the caller sees it.
func intercepted(t *testing.T, w Worker, callers, objects []intercept.Interceptor) Worker {
	t.Helper()
	network := rmitest.New(t)
	owner, caller := network.Node(), network.ClientWith(&rmi.Options{Interceptors: callers})
	return resolve[Worker](t, caller, export(t, owner, w, &rmi.ExportOptions{Interceptors: objects}))
}

func TestInterceptorsRunOutermostFirst(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		x := trail{only: none}
		owner := network.Node()
		caller := network.ClientWith(&rmi.Options{Interceptors: interceptors(x.around("caller 1"), x.around("caller 2"))})
		r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
			x.step("method")
			return n + 1, nil
		}}, &rmi.ExportOptions{Interceptors: interceptors(x.around("object 1"), x.around("object 2"))})
		w := resolve[Worker](t, caller, x.follow(r))
		for range 3 {
			if n, err := w.Do(within(t), 1); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			x.check(t, "caller 1 Do", "caller 2 Do", "object 1 Do", "object 2 Do", "method", "object 2 is left", "object 1 is left", "caller 2 is left", "caller 1 is left")
		}
		if b, err := w.Bytes(within(t), make([]byte, 1<<20)); len(b) != 1<<20 || err != nil {
			t.Error(len(b), err)
		}
		if sum, err := w.Sum(within(t), 1, 2, 3); sum != 6 || err != nil {
			t.Error(sum, err)
		}
	})
}

// Every way to a call leads through the interceptors of both sides.
func TestEveryWayToACallIsIntercepted(t *testing.T) {
	network := rmitest.New(t)
	var x trail
	owner := network.Node()
	caller := network.ClientWith(&rmi.Options{Interceptors: interceptors(x.around("caller"))})
	object := &rmi.ExportOptions{Interceptors: interceptors(x.around("object"))}
	both := func(method string) []string {
		return []string{"caller " + method, "object " + method, "object is left", "caller is left"}
	}
	ctx := within(t)

	// Generated stubs on both sides.
	r := export[cases.Bench](t, owner, &benched{}, object)
	if got, err := resolve[cases.Bench](t, caller, r).Echo(ctx, record100); !reflect.DeepEqual(got, record100) || err != nil {
		t.Error(got, err)
	}
	x.check(t, both("Echo")...)
	if err := resolve[cases.Bench](t, caller, r).Null(ctx); err != nil {
		t.Error(err)
	}
	x.check(t, both("Null")...)
	// A struct of funcs.
	type null struct {
		Null func(ctx context.Context) error
	}
	if err := resolve[null](t, caller, r).Null(ctx); err != nil {
		t.Error(err)
	}
	x.check(t, both("Null")...)
	// A func, and by name.
	f := export[Func](t, owner, func(_ context.Context, n int64) (int64, error) { return n + 1, nil }, object)
	if n, err := resolve[Func](t, caller, f)(ctx, 1); n != 2 || err != nil {
		t.Error(n, err)
	}
	x.check(t, both("Call")...)
	if out, err := caller.Invoke(ctx, f, "Call", 1); err != nil || out[0] != int64(2) {
		t.Error(out, err)
	}
	x.check(t, both("Call")...)
	// A proxy that follows.
	follows, err := rmi.ResolveWith[Func](caller, f, nil, func(_ context.Context, r refs.Ref, _ error) (refs.Ref, error) { return r, nil })
	if err != nil {
		t.Fatal(err)
	}
	if n, err := follows(ctx, 1); n != 2 || err != nil {
		t.Error(n, err)
	}
	x.check(t, both("Call")...)
	// One-way.
	told := make(chan int64, 1)
	one := &rmi.ExportOptions{Interceptors: object.Interceptors, Methods: map[string]rmi.Semantics{"Call": {OneWay: true}}}
	tell := export(t, owner, func(_ context.Context, n int64) error { told <- n; return nil }, one)
	if err := resolve[func(context.Context, int64) error](t, caller, tell)(ctx, 7); err != nil || <-told != 7 {
		t.Error(err)
	}
	x.sorted(4) // nobody waits for the object
	x.check(t, "caller Call", "caller is left", "object Call", "object is left")
	// A run-time proxy of Worker, which calls back: the owner has no interceptors for its own calls,
	// and a function that is passed has none.
	if proxySupported() == nil {
		w := export[Worker](t, owner, &worker{}, object)
		if n, err := resolve[Worker](t, caller, w).Apply(ctx, func(_ context.Context, n int64) (int64, error) { return -n, nil }, 5); n != -5 || err != nil {
			t.Error(n, err)
		}
		x.check(t, both("Apply")...)
	}
	// The node's own talk is no call of the program's.
	if _, err := caller.Describe(ctx, f); err != nil {
		t.Error(err)
	}
	x.check(t)
}

// Callbacks pass the interceptors of the node that calls back, and of the object if it was
// exported with some. Nested calls are calls like any other.
func TestCallbacksAndNestedCallsAreIntercepted(t *testing.T) {
	network := rmitest.New(t)
	var x trail
	owner := network.NodeWith(&rmi.Options{Interceptors: interceptors(x.around("owner calls"))})
	caller := network.Client()
	w := hire(t, owner, caller, &worker{meet: func(ctx context.Context, guest Worker) (Worker, error) {
		_, err := guest.Do(ctx, 1)
		return guest, err
	}})
	guest := &worker{}
	export[Worker](t, caller, guest, &rmi.ExportOptions{Interceptors: interceptors(x.around("guest"))})
	back, err := w.Meet(within(t), guest)
	if err != nil || back != Worker(guest) {
		t.Error(back, err)
	}
	x.check(t, "owner calls Do", "guest Do", "guest is left", "owner calls is left")
}

// A relay passes calls on: its interceptors are not asked.
func TestARelayRunsNoInterceptors(t *testing.T) {
	network := rmitest.New(t)
	var x trail
	never := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		if call.Method == "Do" {
			t.Error("the relay's interceptor ran")
		}
		return next(ctx)
	}
	middle := network.NodeWith(&rmi.Options{Interceptors: interceptors(never)})
	owner, third := network.Client(), network.ClientWith(&rmi.Options{Interceptors: interceptors(x.around("third"))})
	r := export[Worker](t, middle, meetingPoint(), &rmi.ExportOptions{Interceptors: interceptors(never)})
	guest := &worker{}
	export[Worker](t, owner, guest, &rmi.ExportOptions{Interceptors: interceptors(x.around("object"))})
	ctx := within(t)
	if _, err := resolve[Worker](t, owner, r).Meet(ctx, guest); err != nil {
		t.Fatal(err)
	}
	w, err := resolve[Worker](t, third, r).Meet(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	x.check(t, "third Meet", "third is left")
	if n, err := w.Do(ctx, 5); n != 5 || err != nil {
		t.Error(n, err)
	}
	x.check(t, "third Do", "object Do", "object is left", "third is left")
}

// What an interceptor sees of a call, on both sides.
func TestWhatInterceptorsSee(t *testing.T) {
	network := rmitest.New(t)
	type seen struct {
		call          *intercept.Call
		args, results []any
		peer          intercept.Peer
		metadata      pairs
		early         error // of Results before next
	}
	var caller, owner *rmi.Node
	var at [2]seen
	look := func(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
		s := seen{call: call, metadata: call.Metadata(ctx)}
		_, s.early = call.Results()
		var err error
		if s.args, err = call.Args(); err != nil {
			t.Error(err)
		}
		if err := next(ctx); err != nil {
			return err
		}
		if s.results, err = call.Results(); err != nil {
			t.Error(err)
		}
		s.peer = call.Peer()
		i := 0
		if call.Incoming {
			i = 1
		}
		at[i] = s
		return nil
	}
	add := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		return next(metadata.With(ctx, "added", "yes"))
	}
	owner = network.Node()
	caller = network.ClientWith(&rmi.Options{Interceptors: interceptors(add, look)})
	host := &worker{}
	r := export[Worker](t, owner, host, &rmi.ExportOptions{Interceptors: interceptors(look)})
	w := resolve[Worker](t, caller, r)
	guest := &worker{do: func(_ context.Context, n int64) (int64, error) { return -n, nil }}
	v := Visit{Name: "call", Host: w, Guests: []Worker{guest}}
	back, err := w.Visit(metadata.With(within(t), "tenant", "blue"), v)
	if err != nil || back.Host != w || back.Guests[0] != Worker(guest) {
		t.Fatalf("%+v, %v", back, err)
	}
	for i, s := range at {
		node, other, self := caller, owner, w
		if i == 1 {
			node, other, self = owner, caller, Worker(host)
		}
		if s.call.Incoming != (i == 1) || s.call.Object.ID != r.ID || s.call.Interface != "rmi_test.Worker" || s.call.Method != "Visit" {
			t.Errorf("%+v", s.call)
		}
		if s.peer.Node != other.ID() || s.peer.Principal != "anonymous" || s.peer.Address == "" {
			t.Errorf("at %v the peer is %+v", node.ID(), s.peer)
		}
		checkPairs(t, "metadata", s.metadata, pairs{"tenant": "blue", "added": "yes"})
		if s.early == nil {
			t.Error("there were results before the call")
		}
		for what, values := range map[string][]any{"argument": s.args, "result": s.results} {
			got, ok := values[0].(Visit)
			if !ok || len(values) != 1 || got.Name != "call" || got.Host != self || len(got.Guests) != 1 {
				t.Errorf("the %s is %+v", what, values)
			} else if i == 0 && got.Guests[0] != Worker(guest) {
				t.Errorf("the guest is %v", got.Guests[0])
			}
		}
	}
	if out, err := caller.Invoke(within(t), r, "Do", 41); err != nil || out[0] != int64(41) {
		t.Error(out, err)
	}
	if args, results := at[0].args, at[0].results; !reflect.DeepEqual(args, []any{41}) || !reflect.DeepEqual(results, []any{int64(41)}) || at[0].call.Interface != "rmi_test.Worker" {
		t.Errorf("by name: %v, %v, %+v", args, results, at[0].call)
	}
}

// An interceptor's error is the call's, and says whether the method ran.
func TestErrorsOfInterceptors(t *testing.T) {
	returns := func(err error) intercept.Interceptor {
		return func(context.Context, *intercept.Call, intercept.Handler) error { return err }
	}
	after := func(err error) intercept.Interceptor {
		return func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
			if next(ctx) != nil {
				t.Error("the method failed")
			}
			return err
		}
	}
	wraps := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		if err := next(ctx); err != nil {
			return fmt.Errorf("audited: %w", err)
		}
		return nil
	}
	passes := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error { return next(ctx) }
	bare := &rmi.Error{Kind: rmi.KindDenied, Msg: "not you"}
	for _, c := range []struct {
		name string
		i    intercept.Interceptor
		n    int64 // below 0 the method fails
		expect
		text string
	}{
		{"refused", returns(intercept.Refuse(rmi.KindDenied, "not %s", "you")), 1, expect{rmi.KindDenied, rmi.OutcomeNotExecuted, nil}, "not you"},
		{"refused by an error without an outcome", returns(bare), 1, expect{rmi.KindDenied, rmi.OutcomeNotExecuted, nil}, "not you"},
		{"another kind would lie", returns(&rmi.Error{Kind: rmi.KindNoSuchObject, Msg: "of a call to others"}), 1, expect{rmi.KindApplication, rmi.OutcomeNotExecuted, nil}, "of a call to others"},
		{"an error of the program", returns(errPoor), 1, expect{rmi.KindApplication, rmi.OutcomeNotExecuted, errPoor}, ""},
		{"the same when the method ran", after(errPoor), 1, expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}, ""},
		{"refused when the method ran", after(bare), 1, expect{rmi.KindDenied, rmi.OutcomeExecuted, nil}, "not you"},
		{"the method's, passed on", passes, -1, expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}, ""},
		{"the method's, wrapped", wraps, -1, expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}, "audited: "},
		{"the method's panic, passed on", passes, -2, expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}, "ouch"},
		{"the method's panic, wrapped", wraps, -2, expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}, "audited: "},
		{"nothing", returns(nil), 1, expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}, "no next succeeded"},
		{"the method's is swallowed", func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error { _ = next(ctx); return nil }, -1,
			expect{rmi.KindInvalid, rmi.OutcomeExecuted, nil}, "no next succeeded"},
		{"no context", func(_ context.Context, _ *intercept.Call, next intercept.Handler) error {
			return next(nil)
		}, 1, expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}, "without a context"},
	} {
		for side, w := range map[string]func(Worker) Worker{
			"caller": func(w Worker) Worker { return intercepted(t, w, interceptors(c.i), nil) },
			"object": func(w Worker) Worker { return intercepted(t, w, nil, interceptors(c.i)) },
		} {
			t.Run(c.name+", at the "+side, func(t *testing.T) {
				w := w(&worker{do: func(_ context.Context, n int64) (int64, error) {
					switch n {
					case -1:
						return 0, errPoor
					case -2:
						panic("ouch")
					}
					return n, nil
				}})
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				n, err := w.Do(ctx, c.n)
				if n != 0 {
					t.Errorf("a result: %d", n)
				}
				c.check(t, err)
				if f, ok := errors.AsType[*rmi.Error](err); !ok || f.Method != "Do" || f.Op != "call" || !strings.Contains(err.Error(), c.text) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// Of several calls of next the error of any may be returned, and the outcome is that of all.
func TestErrorsOfInterceptorsThatTryAgain(t *testing.T) {
	for _, first := range []bool{true, false} {
		w := intercepted(t, &worker{do: func(context.Context, int64) (int64, error) { return 0, errPoor }}, interceptors(
			func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
				err := next(ctx)
				expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}.check(t, err)
				over, cancel := context.WithCancel(ctx)
				cancel()
				again := next(over)
				expect{rmi.KindCancelled, rmi.OutcomeNotExecuted, context.Canceled}.check(t, again)
				if first {
					return err
				}
				return again
			}), nil)
		_, err := w.Do(within(t), 1)
		if want := (expect{rmi.KindCancelled, rmi.OutcomeExecuted, context.Canceled}); !first {
			want.check(t, err)
		} else {
			expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}.check(t, err)
		}
	}
}

// An interceptor that waits for too long says so by its context's error.
func TestAnInterceptorWhoseTimeIsOver(t *testing.T) {
	wait := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		<-ctx.Done()
		return fmt.Errorf("no room: %w", ctx.Err())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := intercepted(t, &worker{}, interceptors(wait), nil).Do(ctx, 1)
	expect{rmi.KindDeadline, rmi.OutcomeNotExecuted, context.DeadlineExceeded}.check(t, err)
}

// An error whose own methods panic ends no process.
func TestAnInterceptorsErrorThatPanics(t *testing.T) {
	bad := func(context.Context, *intercept.Call, intercept.Handler) error { return panicky{} }
	for _, sides := range [][2][]intercept.Interceptor{{interceptors(bad), nil}, {nil, interceptors(bad)}} {
		_, err := intercepted(t, &worker{}, sides[0], sides[1]).Do(within(t), 1)
		if rmi.KindOf(err) != rmi.KindApplication {
			t.Error(rmi.KindOf(err))
		}
	}
}

type panicky struct{}

func (panicky) Error() string { return "panicky" }
func (panicky) As(any) bool   { panic("ouch") }
func (panicky) Is(error) bool { panic("ouch") }

// A method without results succeeds if its interceptors say so.
func TestAnInterceptorThatLeavesAMethodOut(t *testing.T) {
	network := rmitest.New(t)
	leave := func(context.Context, *intercept.Call, intercept.Handler) error { return nil }
	swallow := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error { _ = next(ctx); return nil }
	ran := 0
	put := func(context.Context, int64) error { ran++; return errPoor }
	type tell = func(context.Context, int64) error
	for i, c := range []struct{ callers, objects []intercept.Interceptor }{
		{interceptors(leave), nil}, {nil, interceptors(leave)}, {interceptors(swallow), nil}, {nil, interceptors(swallow)},
	} {
		owner, caller := network.Node(), network.ClientWith(&rmi.Options{Interceptors: c.callers})
		if err := resolve[tell](t, caller, export(t, owner, put, &rmi.ExportOptions{Interceptors: c.objects}))(within(t), 1); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if ran != 2 {
		t.Errorf("the method ran %d times", ran)
	}
}

// A panic in an interceptor is an error of the call, and its stack is logged.
func TestPanicsOfInterceptors(t *testing.T) {
	for _, ran := range []bool{false, true} {
		ouch := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
			if ran {
				_ = next(ctx)
			}
			panic("ouch")
		}
		want := expect{rmi.KindPanic, rmi.OutcomeNotExecuted, nil}
		if ran {
			want.outcome = rmi.OutcomeExecuted
		}
		for _, side := range []string{"caller", "object"} {
			var logged syncBuffer
			network := rmitest.New(t)
			logger := slog.New(slog.NewTextHandler(&logged, nil))
			o, e := &rmi.Options{Logger: logger, Interceptors: interceptors(ouch)}, new(rmi.ExportOptions)
			if side == "object" {
				o, e = &rmi.Options{Logger: logger}, &rmi.ExportOptions{Interceptors: interceptors(ouch)}
			}
			owner, caller := network.NodeWith(&rmi.Options{Logger: logger}), network.ClientWith(o)
			r := export[Worker](t, owner, &worker{}, e)
			_, err := resolve[Worker](t, caller, r).Do(within(t), 1)
			want.check(t, err)
			if !strings.Contains(err.Error(), "in an interceptor: panic: ouch") {
				t.Error(err)
			}
			if _, err := caller.Invoke(within(t), r, "Do", 1); rmi.KindOf(err) != rmi.KindPanic {
				t.Error(err)
			}
			if l := logged.String(); strings.Count(l, "an interceptor panicked") != 2 || !strings.Contains(l, "intercept_test.go") {
				t.Errorf("logged: %s", l)
			}
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// At the caller next may be called again: with references among the arguments, and for results
// that are the last one's.
func TestAnInterceptorTriesAgain(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		tries := 0
		again := func(ctx context.Context, call *intercept.Call, next intercept.Handler) (err error) {
			for range 5 {
				if err = next(ctx); !errors.Is(err, errPoor) {
					break
				}
			}
			return err
		}
		owner, caller := network.Node(), network.ClientWith(&rmi.Options{Interceptors: interceptors(again)})
		w := resolve[Worker](t, caller, export[Worker](t, owner, &worker{
			apply: func(ctx context.Context, f Func, n int64) (int64, error) {
				if tries++; tries < 3 {
					return 0, errPoor
				}
				return f(ctx, n)
			},
		}, nil))
		before := caller.Exports()
		for range 3 {
			tries = 0
			n, err := w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n * n, nil }, 12)
			if n != 144 || err != nil || tries != 3 {
				t.Errorf("%d, %v after %d tries", n, err, tries)
			}
		}
		for ctx := within(t); caller.Exports() > before; { // until the owner has given the functions back
			runtime.GC()
			select {
			case <-time.After(5 * time.Millisecond): // cleanups run, and batches gather
			case <-ctx.Done():
				t.Fatal("the functions are not given back")
			}
		}
	})
}

// A call that fails leaves nothing exported.
func TestInterceptedCallsLeaveNothingBehind(t *testing.T) {
	refuse := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		return intercept.Refuse(rmi.KindDenied, "no")
	}
	network := rmitest.New(t)
	owner, caller := network.Node(), network.ClientWith(&rmi.Options{Interceptors: interceptors(refuse)})
	w := resolve[Worker](t, caller, export[Worker](t, owner, &worker{}, nil))
	f := func(_ context.Context, n int64) (int64, error) { return n, nil }
	if _, err := w.Apply(within(t), f, 1); rmi.KindOf(err) != rmi.KindDenied {
		t.Error(err)
	}
	if _, err := w.Meet(within(t), (*worker)(nil)); rmi.KindOf(err) != rmi.KindInvalid { // cannot be encoded
		t.Error(err)
	}
	done := make(chan struct{})
	ends := network.ClientWith(&rmi.Options{Interceptors: interceptors(func(context.Context, *intercept.Call, intercept.Handler) error {
		runtime.Goexit()
		return nil
	})})
	v := resolve[Worker](t, ends, export[Worker](t, owner, &worker{}, nil))
	go func() {
		defer close(done)
		_, _ = v.Apply(within(t), f, 1)
	}()
	<-done
	if caller.Exports()+ends.Exports() != 0 {
		t.Errorf("%d and %d exports", caller.Exports(), ends.Exports())
	}
}

// next is for now, for one at a time, and at the object for once.
func TestNextOutOfPlace(t *testing.T) {
	later := make(chan intercept.Handler, 1)
	keep := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		later <- next
		return next(ctx)
	}
	twice := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		if err := next(ctx); err != nil {
			return err
		}
		return next(ctx)
	}
	for _, sides := range [][2][]intercept.Interceptor{{interceptors(keep), nil}, {nil, interceptors(keep)}} {
		if n, err := intercepted(t, &worker{}, sides[0], sides[1]).Do(within(t), 1); n != 1 || err != nil {
			t.Error(n, err)
		}
		if err := (<-later)(within(t)); rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "when the call was over") {
			t.Error(err)
		}
	}
	_, err := intercepted(t, &worker{}, nil, interceptors(twice)).Do(within(t), 1)
	expect{rmi.KindInvalid, rmi.OutcomeExecuted, nil}.check(t, err)
	if !strings.Contains(err.Error(), "next twice") {
		t.Error(err)
	}
	if n, err := intercepted(t, &worker{}, interceptors(twice), nil).Do(within(t), 1); n != 1 || err != nil {
		t.Error(n, err)
	}
	// An interceptor that gives up: the call ends when its next has.
	for _, side := range []int{0, 1} {
		running, goOn := make(chan struct{}), make(chan struct{})
		var sides [2][]intercept.Interceptor
		sides[side] = interceptors(func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
			go next(ctx)
			<-running
			if err := next(ctx); rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "while another") && !strings.Contains(err.Error(), "twice") {
				t.Error(err)
			}
			return errPoor
		})
		w := intercepted(t, &worker{do: func(_ context.Context, n int64) (int64, error) {
			close(running)
			<-goOn
			return n, nil
		}}, sides[0], sides[1])
		ended := make(chan error, 1)
		go func() {
			_, err := w.Do(within(t), 1)
			ended <- err
		}()
		<-running
		select {
		case err := <-ended:
			t.Errorf("it ended before its next: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		close(goOn)
		expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}.check(t, <-ended)
	}
}

// What an interceptor puts into the context is there in what is inside.
func TestInterceptorsChangeTheContext(t *testing.T) {
	type key struct{}
	add := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		ctx, cancel := context.WithTimeout(context.WithValue(ctx, key{}, "inside"), time.Minute)
		defer cancel()
		return next(ctx)
	}
	check := func(ctx context.Context) {
		d, ok := ctx.Deadline()
		if v := ctx.Value(key{}); v != "inside" || !ok || time.Until(d) > time.Minute {
			t.Errorf("%v, %v", v, time.Until(d))
		}
	}
	look := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		check(ctx)
		return next(ctx)
	}
	w := intercepted(t, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		check(ctx)
		if _, ok := rmi.PeerFrom(ctx); !ok {
			t.Error("the context is no call's any more")
		}
		return n, nil
	}}, interceptors(add, look), interceptors(add, look))
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	if _, err := w.Do(ctx, 1); err != nil {
		t.Error(err)
	}
}

// Interceptors and metadata together: a deadline and a cut in between.
func TestInterceptedCallsOutliveAConnection(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		x := trail{only: none}
		began, goOn := make(chan struct{}), make(chan struct{})
		owner, caller := network.Node(), network.ClientWith(&rmi.Options{Interceptors: interceptors(x.around("caller"))})
		w := resolve[Worker](t, caller, x.follow(export[Worker](t, owner, &worker{do: func(ctx context.Context, n int64) (int64, error) {
			close(began)
			<-goOn
			return n, nil
		}}, &rmi.ExportOptions{Interceptors: interceptors(x.around("object"))})))
		done := make(chan error, 1)
		go func() {
			_, err := w.Do(within(t), 1)
			done <- err
		}()
		<-began
		network.Cut(owner, caller)
		close(goOn)
		if err := <-done; err != nil {
			t.Error(err)
		}
		x.check(t, "caller Do", "object Do", "object is left", "caller is left")
	})
}

// The options of an export are those of the first; the same list again is no difference.
func TestInterceptorsOfASecondExport(t *testing.T) {
	network := rmitest.New(t)
	var x trail
	owner, caller := network.Node(), network.Client()
	list := interceptors(x.around("object"))
	w := &worker{}
	r := export[Worker](t, owner, w, &rmi.ExportOptions{Interceptors: list})
	export[Worker](t, owner, w, &rmi.ExportOptions{Interceptors: list})
	export[Worker](t, owner, w, nil)
	if _, err := rmi.Export[Worker](owner, w, &rmi.ExportOptions{Interceptors: interceptors(x.around("other"))}); rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "other Interceptors there and here") {
		t.Error(err)
	}
	if _, err := resolve[Worker](t, caller, r).Do(within(t), 1); err != nil {
		t.Error(err)
	}
	x.check(t, "object Do", "object is left")
}

// A serial object's interceptors run in its turn.
func TestInterceptorsOfASerialObjectTakeTurns(t *testing.T) {
	inside := 0
	w := func() Worker {
		network := rmitest.New(t)
		return resolve[Worker](t, network.Client(), export[Worker](t, network.Node(), &worker{}, &rmi.ExportOptions{Threading: rmi.ThreadingSerial,
			Interceptors: interceptors(func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
				if inside++; inside != 1 {
					t.Error("two at a time")
				}
				defer func() { inside-- }()
				return next(ctx)
			})}))
	}()
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := w.Do(within(t), 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
