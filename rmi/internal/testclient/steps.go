package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// registryObject is the number of the registry's object in every node that runs a registry.
const registryObject = 1

// greeterMethods are the methods of the greeter that this program uses, as description prints them.
var greeterMethods = []string{"Greet(string)(string)", "Watch(remote{Call(string)()})(remote{Cancel()()})"}

// levels runs all steps of this program up to a level of conformance.
func levels(registryAt place, name, level string, idle bool) error {
	for _, l := range []struct {
		name string
		do   func() error
	}{
		{"client", func() error { return steps(registryAt, name, idle) }},
		{"resume", func() error { return resumeSteps(registryAt, name) }},
		{"leases", func() error { return leaseSteps(registryAt, name) }},
	} {
		say("level: %s", l.name)
		if err := l.do(); err != nil {
			return fmt.Errorf("level %s: %w", l.name, err)
		}
		if l.name == level {
			return nil
		}
	}
	return fmt.Errorf("there is no level %q", level)
}

// steps runs the steps of a minimum client.
func steps(registryAt place, name string, idle bool) error {
	n, err := newNode(0)
	if err != nil {
		return err
	}
	registry, err := n.dial(registryAt, nodeID{})
	if err != nil {
		return fmt.Errorf("registry: %w", err)
	}
	say("registry: handshake done, the node holds its key")
	ref, description, err := lookup(registry, name)
	if err != nil {
		return err
	}
	say("registry: %s is an object of the interface %s", name, ref.name)
	greeter, err := n.dial(ref.at, ref.node)
	if err != nil {
		return fmt.Errorf("greeter: %w", err)
	}
	say("greeter: handshake done, the node is the one that the reference names")

	for _, step := range []func() error{
		func() error { return stranger(n, ref) },
		func() error { return breach(ref) },
		func() error { return registryCalls(registry, name) },
		func() error { return agree(greeter, ref, description) },
		func() error { return greet(greeter, ref) },
		func() error { return watch(greeter, ref) },
		func() error { return mistakes(greeter, ref) },
		func() error { return unknowns(greeter, ref) },
		func() error { return giveUpAssembly(greeter, ref) },
		func() error { return giveUpCall(greeter, ref) },
		func() error { return relayed(registry, registryAt) },
		func() error { return pings(greeter, idle) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	if err := errors.Join(greeter.close(), registry.close()); err != nil {
		return err
	}
	say("both sessions are closed, and the peers have closed the connections")
	return nil
}

// result returns the only result of a call as a T.
func result[T any](results []any, err error) (v T, _ error) {
	if err != nil {
		return v, err
	}
	if len(results) != 1 {
		return v, fmt.Errorf("%d results", len(results))
	}
	v, ok := results[0].(T)
	if !ok {
		return v, fmt.Errorf("the result is %T, want %T", results[0], v)
	}
	return v, nil
}

// lookup asks the registry for a name, and returns the reference and the description that are
// bound to it.
func lookup(registry *session, name string) (ref reference, description []byte, err error) {
	entry, err := result[map[string]any](registry.call(request{object: registryObject, method: "Lookup", args: []any{name}}))
	if err != nil {
		return ref, nil, err
	}
	ref, ok := entry["Ref"].(reference)
	if !ok {
		return ref, nil, fmt.Errorf("an entry without a reference: %v", entry)
	}
	description, _ = entry["Description"].([]byte)
	return ref, description, nil
}

// stranger dials the greeter's place, and expects another node there.
func stranger(n *node, ref reference) error {
	_, err := n.dial(ref.at, n.id)
	var r refusal
	if !errors.As(err, &r) {
		return fmt.Errorf("a dial that expects another node: %w", err)
	}
	say("greeter: who expects another node is %v", err)
	return nil
}

// breach breaks a rule, and checks which rule the peer names.
func breach(ref reference) error {
	n, err := newNode(0) // there is one session between two nodes
	if err != nil {
		return err
	}
	s, err := n.dial(ref.at, ref.node)
	if err != nil {
		return err
	}
	if err := s.write(0x33, 0, nil, nil); err != nil {
		return err
	}
	<-s.done
	var c closedByPeer
	if !errors.As(s.err, &c) {
		return fmt.Errorf("who sends an unknown record: %w, want a close record", s.err)
	}
	say("greeter: who sends an unknown record is %v", c)
	return nil
}

// registryCalls lists names, and asks for a name that is not bound.
func registryCalls(registry *session, name string) error {
	page, err := result[map[string]any](registry.call(request{
		object: registryObject, method: "List", args: []any{name, "", 10},
	}))
	if err != nil {
		return err
	}
	say("registry: list %v", page)
	_, _, err = lookup(registry, name+"/no/such/name")
	return want(err, "registry: lookup of a name that is not bound")
}

// want prints the error that a call must end with.
func want(err error, what string) error {
	var e *callError
	if !errors.As(err, &e) {
		return fmt.Errorf("%s: %w, want an error form", what, err)
	}
	say("%s: %v", what, e)
	return nil
}

// agree checks that the object has the methods that this program is about to call.
func agree(greeter *session, ref reference, bound []byte) error {
	b, err := result[[]byte](greeter.call(request{object: ref.number, method: describe}))
	if err != nil {
		return err
	}
	d, err := parseDescription(b)
	if err != nil {
		return err
	}
	say("greeter: describes itself as %s: %v", d.name, d)
	say("greeter: the description that the registry has is the same: %v", string(b) == string(bound))
	say("greeter: the fingerprint in the reference is that of the description: %v", d.fingerprint() == ref.fingerprint)
	if !d.has(greeterMethods...) {
		return fmt.Errorf("the object does not have the methods %v", greeterMethods)
	}
	return nil
}

// greet calls Greet, with a short name and with one that needs fragments.
func greet(greeter *session, ref reference) error {
	text, err := result[string](greeter.call(request{object: ref.number, method: "Greet", args: []any{"testclient"}}))
	if err != nil {
		return err
	}
	say("greeter: %s", text)
	name := strings.Repeat("x", 100<<10)
	text, err = result[string](greeter.call(request{object: ref.number, method: "Greet", args: []any{name}}))
	if err != nil {
		return err
	}
	say("greeter: greets a name of %d bytes in %d bytes, as expected: %v", len(name), len(text), text == "Hello, "+name+"!")
	return nil
}

// watch makes the greeter call a function of this program, and ends that.
func watch(greeter *session, ref reference) error {
	d, err := parseDescription(funcDescription())
	if err != nil {
		return err
	}
	for _, fingerprint := range [][16]byte{{}, d.fingerprint()} {
		type callback struct {
			*incoming
			name string
		}
		told := make(chan callback, 10)
		o := &object{description: funcDescription()}
		o.call = func(_ context.Context, in *incoming, name string) error {
			told <- callback{in, name}
			return nil
		}
		subscription, err := result[reference](greeter.call(request{
			object: ref.number, method: "Watch", args: []any{greeter.node.export(o, fingerprint)},
		}))
		if err != nil {
			return err
		}
		c, err := greeter.begin(request{object: ref.number, method: "Greet", args: []any{"callback"}})
		if err != nil {
			return err
		}
		if _, err := c.wait(); err != nil {
			return err
		}
		if len(told) != 1 {
			return fmt.Errorf("called back %d times", len(told))
		}
		in := <-told
		say("callback: %s is greeted, says a call at depth %d of the same chain: %v; asked for the description: %v",
			in.name, in.depth, in.chain == c.chain, len(o.described) > 0)

		if _, err := greeter.call(request{object: subscription.number, method: "Cancel"}); err != nil {
			return err
		}
		if _, err := greeter.call(request{object: ref.number, method: "Greet", args: []any{"callback"}}); err != nil {
			return err
		}
		say("callback: the subscription (%s) is cancelled, calls after that: %d", subscription.name, len(told))
	}
	return nil
}

// mistakes makes calls that cannot be served.
func mistakes(greeter *session, ref reference) error {
	for _, m := range []struct {
		what string
		request
	}{
		{"an unknown object", request{object: ref.number ^ 1, method: "Greet", args: []any{"x"}}},
		{"an unknown method", request{object: ref.number, method: "NoSuchMethod"}},
		{"a wrong argument", request{object: ref.number, method: "Greet", args: []any{true}}},
		{"no argument", request{object: ref.number, method: "Greet"}},
		{"a target that is not relayed", request{
			object: ref.number, method: "Greet", args: []any{"x"}, target: &owner{nodeID{1}, 1},
		}},
	} {
		_, err := greeter.call(m.request)
		if err := want(err, "greeter: "+m.what); err != nil {
			return err
		}
	}
	text, err := result[string](greeter.call(request{
		object: ref.number, method: "Greet", args: []any{"target"}, target: &ref.owner,
	}))
	if err == nil {
		say("greeter: a target that is the node itself: %s", text)
	}
	return err
}

// unknowns sends what the peer does not know. The peer skips what may be skipped.
func unknowns(greeter *session, ref reference) error {
	if err := greeter.write(skippable|1, 0xff, nil, nil, []byte("a record of a later version")...); err != nil {
		return err
	}
	r := request{object: ref.number, method: "Greet", args: []any{"skipped"}, extra: []byte{skippable | 0x70, 0, 1, 'x'}}
	text, err := result[string](greeter.call(r))
	if err != nil {
		return err
	}
	say("greeter: a record and an extension that may be skipped: %s", text)
	r.extra = []byte{0x70, 0, 1, 'x'}
	_, err = greeter.call(r)
	if err := want(err, "greeter: an extension that may not"); err != nil {
		return err
	}
	r.extra, r.pairs = nil, []pair{{key: "two\nlines"}}
	_, err = greeter.call(r)
	return want(err, "greeter: metadata with a control character in a key")
}

// giveUpAssembly cancels a call before all of its arguments are sent.
func giveUpAssembly(greeter *session, ref reference) error {
	c, err := greeter.begin(request{object: ref.number, method: "Greet", args: []any{strings.Repeat("x", 100<<10)}})
	if err != nil {
		return err
	}
	if err := errors.Join(c.sendArgs(50<<10), c.cancel()); err != nil {
		return err
	}
	_, err = c.wait()
	return want(err, "greeter: a call cancelled between its fragments")
}

// giveUpCall cancels a call while the greeter waits for a callback. The greeter then cancels
// the callback.
func giveUpCall(greeter *session, ref reference) error {
	began, gaveUp := make(chan struct{}, 1), make(chan error, 1)
	o := &object{description: funcDescription()}
	o.call = func(ctx context.Context, _ *incoming, _ string) error {
		began <- struct{}{}
		<-ctx.Done() // at its deadline at the latest
		gaveUp <- ctx.Err()
		return &callError{kind: cancelled, outcome: executed, text: "given up"}
	}
	subscription, err := result[reference](greeter.call(request{
		object: ref.number, method: "Watch", args: []any{greeter.node.export(o, [16]byte{})},
	}))
	if err != nil {
		return err
	}
	c, err := greeter.begin(request{object: ref.number, method: "Greet", args: []any{"cancel"}})
	if err != nil {
		return err
	}
	select {
	case <-began:
	case <-c.done:
		return errors.New("the call returned without a callback")
	case <-greeter.done:
		return greeter.err
	}
	if err := c.cancel(); err != nil {
		return err
	}
	say("callback: ended by %v", <-gaveUp)
	text, err := result[string](c.wait()) // the method's own result, because it ignores the cancel
	if err != nil {
		return err
	}
	say("greeter: a call cancelled while it runs returns all the same: %s", text)
	_, err = greeter.call(request{object: subscription.number, method: "Cancel"})
	return err
}

// relayed binds a function of this program, which does not listen. A second node calls it
// through the registry.
func relayed(registry *session, registryAt place) error {
	o := &object{description: funcDescription()}
	o.call = func(_ context.Context, in *incoming, name string) error {
		say("relay: called with %q at depth %d after %d hops; metadata %+v", name, in.depth, in.hops, in.pairs)
		in.back = []pair{{key: "version", value: "7"}}
		return errors.New("the function's own error")
	}
	const name = "testclient/function"
	entry := map[string]any{"Ref": registry.node.export(o, [16]byte{}), "Description": o.description}
	if _, err := registry.call(request{object: registryObject, method: "Bind", args: []any{name, entry}}); err != nil {
		return err
	}

	n, err := newNode(0)
	if err != nil {
		return err
	}
	second, err := n.dial(registryAt, nodeID{})
	if err != nil {
		return err
	}
	ref, _, err := lookup(second, name)
	if err != nil {
		return err
	}
	say("relay: the reference has a place: %v, a relay that is the registry: %v, and its place: %v",
		ref.at != place{}, ref.relay == second.id, ref.relayAt == registryAt)
	c, err := second.begin(request{object: ref.number, method: "Call", args: []any{"relayed"}, target: &ref.owner,
		pairs: []pair{{key: "tenant", value: "blue", passedOn: true}, {key: "id", value: "42"}}})
	if err != nil {
		return err
	}
	_, err = c.wait()
	if err := want(err, "relay: the call returns"); err != nil {
		return err
	}
	say("relay: metadata of the return: %+v", c.pairs)
	if err := second.close(); err != nil {
		return err
	}
	_, err = registry.call(request{object: registryObject, method: "Unbind", args: []any{name, nil}})
	return err
}

// pings sends a ping, and may wait for one.
func pings(greeter *session, idle bool) error {
	if err := greeter.ping(); err != nil {
		return err
	}
	say("greeter: answers a ping")
	if !idle {
		return nil
	}
	select {
	case <-greeter.pinged:
	case <-greeter.done:
		return greeter.err
	case <-time.After(giveUp):
		return errors.New("no ping came")
	}
	if err := greeter.ping(); err != nil {
		return err
	}
	say("greeter: pings after a silence, and takes the pong")
	return nil
}
