package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// leaseObject is the number of the object in every node to which references are given back.
const leaseObject = 2

// given is what a peer gave back by one call of Clean.
type given struct {
	batch      int64
	references int
}

// exportLeases makes the node's own object 2. The channel receives what peers give back.
func (n *node) exportLeases() <-chan given {
	told := make(chan given, 100)
	o := &object{methods: map[uint32]func([]any) ([]any, error){
		methodHash("Clean"): func(args []any) ([]any, error) {
			if len(args) != 3 {
				return nil, &callError{kind: badArguments, outcome: notExecuted, text: "want a batch and two lists"}
			}
			g := given{}
			g.batch, _ = args[0].(int64)
			own, _ := args[1].([]any)
			for _, x := range own {
				if count, ok := x.([]any); ok && len(count) == 2 {
					c, _ := count[1].(int64)
					g.references += int(c)
				}
			}
			select {
			case told <- g:
			default:
			}
			return nil, nil
		},
		methodHash("Dirty"):  func([]any) ([]any, error) { return []any{nil}, nil },
		methodHash("Linger"): func([]any) ([]any, error) { return nil, nil },
	}}
	o.described = make(chan struct{}, 1)
	n.mu.Lock()
	n.objects[leaseObject] = o
	n.mu.Unlock()
	return told
}

// batches numbers the calls that tell a peer about leases.
type batches struct {
	s    *session
	last int
}

// clean gives references back, with a number of its own.
func (b *batches) clean(own, others []any) error {
	b.last++
	return b.repeat(own, others)
}

// repeat is clean with the last number again.
func (b *batches) repeat(own, others []any) error {
	_, err := b.s.call(request{object: leaseObject, method: "Clean", args: []any{b.last, own, others}})
	return err
}

// of counts references to another node's object.
func of(r reference, count int) []any {
	return []any{r.node[:], int(r.started), r.number, count}
}

// leaseSteps gives references back, and checks what happens then.
func leaseSteps(registryAt place, name string) error {
	n, registry, greeter, ref, err := reach(registryAt, name, featureResume)
	if err != nil {
		return err
	}
	told := n.exportLeases()
	atGreeter, atRegistry := batches{s: greeter}, batches{s: registry}

	// The reference that the registry gave this node is to the greeter's object. So register
	// with the greeter, then give the reference back.
	missing, err := result[[]any](greeter.call(request{object: leaseObject, method: "Dirty", args: []any{1, []any{ref.number, ref.number ^ 1}}}))
	if err != nil {
		return err
	}
	atGreeter.last = 1
	say("leases: registered with the owner; of two objects it does not export those at %v", missing)
	if err := atRegistry.clean(nil, []any{of(ref, 1)}); err != nil {
		return err
	}
	say("leases: given back to the registry, which had handed it on")

	// An object that only this node holds, and that is given back.
	o := &object{description: funcDescription()}
	o.call = func(context.Context, *incoming, string) error { return nil }
	subscription, err := result[reference](greeter.call(request{object: ref.number, method: "Watch", args: []any{n.export(o, [16]byte{})}}))
	if err != nil {
		return err
	}
	if _, err := greeter.call(request{object: subscription.number, method: describe}); err != nil {
		return err
	}
	if err := atGreeter.clean([]any{[]any{subscription.number, 1}}, nil); err != nil {
		return err
	}
	_, err = greeter.call(request{object: subscription.number, method: describe})
	if err := want(err, "leases: a subscription that was given back"); err != nil {
		return err
	}

	if err := givenBackOnce(n, registry, registryAt, told); err != nil {
		return err
	}
	if _, err := greeter.call(request{object: leaseObject, method: "Linger", args: []any{[]any{ref.number}, []any{}}}); err != nil {
		return err
	}
	say("leases: asked to keep what was handed on, for a lease")
	if err := atGreeter.clean([]any{[]any{ref.number, 1}}, nil); err != nil {
		return err
	}
	return errors.Join(greeter.close(), registry.close())
}

// givenBackOnce makes the registry relay calls to a function of this node, as long as a second
// node holds a reference.
func givenBackOnce(n *node, registry *session, registryAt place, told <-chan given) error {
	o := &object{description: funcDescription()}
	o.call = func(context.Context, *incoming, string) error { return nil }
	const name = "testclient/leased"
	entry := map[string]any{"Ref": n.export(o, [16]byte{}), "Description": o.description}
	if _, err := registry.call(request{object: registryObject, method: "Bind", args: []any{name, entry}}); err != nil {
		return err
	}
	select {
	case g := <-told:
		say("leases: the registry gives %d reference back, which it does not hold, in batch %d", g.references, g.batch)
	case <-registry.done:
		return registry.err
	case <-time.After(callTime):
		return errors.New("the registry gives nothing back")
	}

	other, err := newNode(featureResume)
	if err != nil {
		return err
	}
	second, err := other.dial(registryAt, nodeID{})
	if err != nil {
		return err
	}
	var ref reference
	for range 2 {
		if ref, _, err = lookup(second, name); err != nil {
			return err
		}
	}
	b := batches{s: second}
	call := func() error {
		_, err := second.call(request{object: ref.number, method: "Call", args: []any{"leased"}, target: &ref.owner})
		return err
	}
	say("leases: handed on twice by the registry, which relays: %v", call() == nil)
	if err := b.clean(nil, []any{of(ref, 1)}); err != nil {
		return err
	}
	say("leases: given back once: %v", call() == nil)
	if err := b.repeat(nil, []any{of(ref, 1)}); err != nil {
		return err
	}
	say("leases: the same batch again: %v", call() == nil)
	if err := b.clean(nil, []any{of(ref, 1)}); err != nil {
		return err
	}
	if err := want(call(), "leases: given back twice"); err != nil {
		return fmt.Errorf("%w: the call was relayed", err)
	}
	if err := second.close(); err != nil {
		return err
	}
	_, err = registry.call(request{object: registryObject, method: "Unbind", args: []any{name, nil}})
	return err
}
