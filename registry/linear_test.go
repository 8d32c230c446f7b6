package registry_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// action is what somebody did with a name.
type action struct {
	what  string      // bind, rebind, unbind, lookup, close
	id    refs.ObjNum // of the object: bound, closed, or the only one to be unbound
	kept  bool        // permanent
	flaky bool        // the owner may be cut off, or the lease is not renewed
}

// result is what became of it.
type result struct {
	kind  rmi.Kind // 0 if it was done
	found refs.ObjNum
	lost  bool // it may have been done, or not
}

// nameState is a state of a name: bound, or not bound. If its lease lapsed, the node that held it
// may bind it again.
type nameState struct {
	bound       refs.ObjNum
	kept, flaky bool
	returns     refs.ObjNum // not bound, but who held it last may take it back
}

// quiet are the states that can follow a state in which nobody acted. A lease may lapse, and its
// holder may bind the name again. Nobody else may.
func quiet(s nameState) []nameState {
	switch {
	case s.bound != 0 && s.flaky:
		return []nameState{s, {returns: s.bound, flaky: true}}
	case s.returns != 0:
		return []nameState{s, {bound: s.returns, flaky: true}}
	}
	return []nameState{s}
}

// next are the states that a name can be in after an action with a result. There are none if the
// result is impossible.
func next(s nameState, a action, r result) []nameState {
	bound, free := nameState{bound: a.id, kept: a.kept, flaky: a.flaky}, nameState{}
	done := r.kind == 0
	var after []nameState
	switch a.what {
	case "lookup":
		if r.found == s.bound {
			after = append(after, s)
		}
	case "bind":
		switch {
		case done && (s.bound == 0 || s.flaky): // superseded, if the holder is cut off
			after = append(after, bound)
		case r.kind == rmi.KindAlreadyBound && s.bound != 0:
			after = append(after, s)
		}
	case "rebind":
		if done {
			after = append(after, bound)
		}
	case "unbind":
		its := s.bound != 0 && (a.id == 0 || a.id == s.bound)
		switch {
		case done && its:
			after = append(after, free)
		case r.kind == rmi.KindNotBound && !its:
			after = append(after, s)
		}
	case "close":
		switch {
		case r.kind == rmi.KindClosed && s.bound == a.id:
			after = append(after, free)
		case r.kind == rmi.KindNotBound && (s.returns == a.id || s.bound == a.id && s.flaky): // lapsed, or released by a first attempt
			after = append(after, free)
		case r.kind == rmi.KindNotBound && s.bound != a.id:
			after = append(after, s)
		}
	}
	if r.lost {
		switch after = []nameState{s}; {
		case a.what == "bind" && (s.bound == 0 || s.flaky), a.what == "rebind":
			after = append(after, bound)
		case a.what == "unbind" && (a.id == 0 || a.id == s.bound), a.what == "close" && a.id == s.bound:
			after = append(after, free)
		}
	}
	return after
}

// model is one name.
var model = (&porcupine.NondeterministicModel{
	Init: func() []any { return []any{nameState{}} },
	Step: func(state, input, output any) []any {
		var all []any
		for _, before := range quiet(state.(nameState)) {
			for _, before := range quiet(before) { // lapsed, and taken back
				for _, after := range next(before, input.(action), output.(result)) {
					all = append(all, after)
				}
			}
		}
		return all
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v %+v", input, output) },
}).ToModel()

// history is what happened to names, in an order that no clock gave: an action that returned before
// another was called has a lower number.
type history struct {
	order atomic.Int64
	mu    sync.Mutex // guards the fields below
	of    map[string][]porcupine.Operation
	kinds map[string]int
}

func (h *history) do(client int, name string, a action, f func() result) result {
	call := h.order.Add(1)
	r := f()
	o := porcupine.Operation{ClientId: client, Input: a, Call: call, Output: r, Return: h.order.Add(1)}
	if r.lost {
		o.Return = 1 << 62 // it may happen yet
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of[name] = append(h.of[name], o)
	what := a.what
	if r.lost {
		what += ", lost"
	} else if r.kind != 0 {
		what += ", " + r.kind.String()
	}
	h.kinds[what]++
	return r
}

// resultOf is the result of an action by its error.
func resultOf(err error) result {
	for _, k := range []rmi.Kind{rmi.KindAlreadyBound, rmi.KindNotBound} {
		if errors.Is(err, k) {
			return result{kind: k}
		}
	}
	return result{lost: err != nil}
}

// citizen is a node that acts on names.
type citizen struct {
	w        *town
	h        *history
	i        int
	rnd      *rand.Rand
	node     *rmi.Node
	flaky    bool
	bindings map[string][]*registry.Binding
}

const actionTimeout = 8 * time.Second

// act does something with a name.
func (c *citizen) act(t *testing.T, name string) {
	ctx, cancel := context.WithTimeout(t.Context(), actionTimeout)
	defer cancel()
	url := c.w.reg.URL(name)
	reg, err := registry.At(c.node, url)
	if err != nil {
		t.Fatal(err)
	}
	switch k := c.rnd.IntN(16); {
	case k < 8:
		v := new(account)
		object, err := rmi.Export[Account](c.node, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer object.Close() // the binding has one of its own
		a := action{what: "bind", id: object.Ref().Object, flaky: c.flaky}
		do, options := registry.Bind[Account], new(registry.BindOptions)
		if k%2 == 0 {
			a.what, do = "rebind", registry.Rebind[Account]
		}
		switch c.rnd.IntN(4) {
		case 0:
			a.kept, a.flaky = true, false
			options.Permanent = true
		case 1:
			options.Lease = time.Second
		}
		c.h.do(c.i, name, a, func() result {
			b, err := do(ctx, c.node, url, v, options)
			if err == nil {
				c.bindings[name] = append(c.bindings[name], b)
			}
			return resultOf(err)
		})
	case k < 10: // whoever has it
		c.h.do(c.i, name, action{what: "unbind"}, func() result { return resultOf(registry.Unbind(ctx, c.node, url)) })
	case k < 11: // by the remote interface, one of its own objects only
		if all := c.bindings[name]; len(all) > 0 {
			only := all[c.rnd.IntN(len(all))].Ref()
			c.h.do(c.i, name, action{what: "unbind", id: only.Object}, func() result { return resultOf(reg.Unbind(ctx, name, only)) })
		}
	case k < 12: // by the remote interface, an object of its own that no Binding renews
		object, err := rmi.Export[Account](c.node, new(account), nil)
		if err != nil {
			t.Fatal(err)
		}
		a := action{what: "rebind", id: object.Ref().Object, kept: true}
		c.h.do(c.i, name, a, func() result { return resultOf(reg.Rebind(ctx, name, registry.Entry{Ref: object.Ref()})) })
	default:
		if all := c.bindings[name]; len(all) > 0 {
			i := c.rnd.IntN(len(all))
			b := all[i]
			c.bindings[name] = append(all[:i:i], all[i+1:]...)
			c.h.do(c.i, name, action{what: "close", id: b.Ref().Object}, func() result {
				err := b.Close()
				return result{kind: rmi.KindOf(b.Err()), lost: err != nil}
			})
		}
	}
}

// TestNamesAreLinearizable: nodes concurrently bind, rebind and unbind a name, for good or by
// leases long and short, while some are cut off for shorter or longer than a lease. What all of
// them see is explained by some order of the actions, one after the other. Between actions a lease
// may lapse, and its holder may bind the name again, if nobody else had or unbound it.
func TestNamesAreLinearizable(t *testing.T) {
	histories, actions := 12, 0
	if os.Getenv("RMI_LONG") != "" {
		histories = 400
	}
	kinds := make(map[string]int)
	for seed := range histories {
		h := &history{of: make(map[string][]porcupine.Operation), kinds: kinds}
		inTown(t, func(t *testing.T, w *town) { h.record(t, w, uint64(seed)) })
		for name, all := range h.of {
			actions += len(all)
			kinds["made again"] += madeAgain(all)
			switch porcupine.CheckOperationsTimeout(model, all, time.Minute) {
			case porcupine.Illegal:
				t.Fatalf("seed %d: what happened to %s has no order:\n%s", seed, name, stuck(all))
			case porcupine.Unknown:
				t.Fatalf("seed %d: no order of %s was found in a minute", seed, name)
			}
		}
	}
	t.Logf("figure: %d histories, %d actions: %v", histories, actions, kinds)
	for _, what := range []string{"bind", "bind, AlreadyBound", "rebind", "unbind", "unbind, NotBound", "close, Closed", "close, NotBound", "bind, lost", "made again"} {
		if kinds[what] == 0 {
			t.Errorf("no %s: the histories did not get to what they are for", what)
		}
	}
}

// madeAgain counts how often a name was bound, not bound, and bound to the same object.
func madeAgain(all []porcupine.Operation) (n int) {
	var last refs.ObjNum
	lapsed := false
	for _, o := range all {
		if o.Input.(action).what != "lookup" {
			continue
		}
		switch found := o.Output.(result).found; {
		case found == 0:
			lapsed = true
		case found == last && lapsed:
			n++
			fallthrough
		default:
			last, lapsed = found, false
		}
	}
	return n
}

// stuck shows where a history has no order: what happened from some time before the first action
// that cannot be placed.
func stuck(all []porcupine.Operation) string {
	slices.SortFunc(all, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	n := sort.Search(len(all), func(n int) bool { return !porcupine.CheckOperations(model, all[:n]) })
	var s strings.Builder
	for _, o := range all[max(n-25, 0):n] {
		fmt.Fprintf(&s, "%4d to %4d, node %d: %s\n", o.Call, o.Return, o.ClientId, model.DescribeOperation(o.Input, o.Output))
	}
	return s.String()
}

// record has four nodes act for some minutes. Two of them are cut off now and then.
func (h *history) record(t *testing.T, w *town, seed uint64) {
	names := []string{"a", "b", "c"}
	pace := []int{2000, 20_000}[seed%2] // in milliseconds
	var acting sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		c := &citizen{w: w, h: h, i: i, rnd: rand.New(rand.NewPCG(seed, uint64(i))), node: w.Node(), flaky: i >= 2, bindings: make(map[string][]*registry.Binding)}
		if c.flaky {
			acting.Go(func() { // ends with stop
				rnd := rand.New(rand.NewPCG(seed, uint64(100+i)))
				for {
					select {
					case <-stop:
						w.Heal(c.node, w.node)
						return
					case <-time.After(time.Duration(rnd.IntN(40)) * time.Second):
					}
					how := rnd.IntN(3)
					if how > 0 {
						w.Partition(c.node, w.node)
					}
					if how < 2 {
						w.Cut(c.node, w.node)
					}
					if how > 0 {
						pass(time.Duration(1+rnd.IntN(30)) * time.Second)
						w.Heal(c.node, w.node)
					}
				}
			})
		}
		acting.Go(func() {
			for range 40 {
				pass(time.Duration(c.rnd.IntN(pace)) * time.Millisecond)
				c.act(t, names[c.rnd.IntN(len(names))])
			}
		})
	}
	observed := make(chan struct{})
	go func() { // ends with stop
		defer close(observed)
		rnd := rand.New(rand.NewPCG(seed, 200))
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(rnd.IntN(pace/4)) * time.Millisecond):
			}
			name := names[rnd.IntN(len(names))]
			call := func() result {
				e, err := registry.LookupRef(t.Context(), w.caller, w.reg.URL(name))
				if err != nil && !errors.Is(err, rmi.KindNotBound) {
					t.Error(err)
				}
				return result{found: e.Ref.Object}
			}
			h.do(9, name, action{what: "lookup"}, call)
		}
	}()
	done := make(chan struct{})
	go func() {
		pass(3 * time.Minute)
		close(stop)
		acting.Wait()
		close(done)
	}()
	<-done
	<-observed
}
