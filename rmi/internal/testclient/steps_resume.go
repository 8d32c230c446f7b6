package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
)

// reach looks the greeter up and dials it, as a node that announces features.
func reach(registryAt place, name string, features uint64) (n *node, registry, greeter *session, ref reference, err error) {
	if n, err = newNode(features); err != nil {
		return n, nil, nil, ref, err
	}
	if registry, err = n.dial(registryAt, nodeID{}); err != nil {
		return n, nil, nil, ref, fmt.Errorf("registry: %w", err)
	}
	if ref, _, err = lookup(registry, name); err != nil {
		return n, registry, nil, ref, err
	}
	greeter, err = n.dial(ref.at, ref.node)
	return n, registry, greeter, ref, err
}

// resumeSteps shows that calls survive their connection, and are executed once.
func resumeSteps(registryAt place, name string) error {
	n, registry, greeter, ref, err := reach(registryAt, name, featureResume)
	if err != nil {
		return err
	}
	say("resume: both nodes announce it: %v", greeter.resumable && registry.resumable)

	// A function that counts its calls, and returns when it is allowed to.
	began, may := make(chan struct{}, 10), make(chan struct{}, 10)
	runs := 0
	o := &object{description: funcDescription()}
	o.call = func(ctx context.Context, _ *incoming, _ string) error {
		runs++ // the calls do not overlap
		began <- struct{}{}
		select {
		case <-may:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	subscription, err := result[reference](greeter.call(request{object: ref.number, method: "Watch", args: []any{n.export(o, [16]byte{})}}))
	if err != nil {
		return err
	}
	greet := func(name string) (*outgoing, error) {
		c, err := greeter.begin(request{object: ref.number, method: "Greet", args: []any{name}})
		if err != nil {
			return nil, err
		}
		return c, c.sendArgs(len(name) + 100)
	}

	// Both directions have a call under way when the connection is cut.
	for _, name := range []string{"a call that runs", strings.Repeat("x", 100<<10)} {
		runs = 0
		c, err := greet(name)
		if err != nil {
			return err
		}
		select {
		case <-began:
		case <-greeter.done:
			return greeter.err
		}
		if err := greeter.cut(); err != nil {
			return err
		}
		may <- struct{}{}
		text, err := result[string](c.wait())
		if err != nil {
			return err
		}
		say("resume: cut while a call of %d bytes and its callback run; it returns: %v, the callback ran %d times", len(name), text == "Hello, "+name+"!", runs)
	}

	// The return is lost with the connection. The peer has retained it.
	runs = 0
	c, err := greet("a return that is lost")
	if err != nil {
		return err
	}
	<-began
	greeter.mu.Lock()
	greeter.lose = true
	connected := greeter.connected
	greeter.mu.Unlock()
	may <- struct{}{}
	if err := greeter.waitFor(connected); err != nil {
		return err
	}
	text, err := result[string](c.wait())
	if err != nil {
		return err
	}
	say("resume: cut before the return; it comes again: %v, the callback ran %d times", text == "Hello, a return that is lost!", runs)
	if _, err := greeter.call(request{object: subscription.number, method: "Cancel"}); err != nil {
		return err
	}

	// A call that the peer never saw is given up.
	if c, err = greeter.begin(request{object: ref.number, method: "Greet", args: []any{"x"}, unsent: true}); err != nil {
		return err
	}
	greeter.mu.Lock()
	c.gaveUp = true
	greeter.mu.Unlock()
	if err := greeter.cut(); err != nil {
		return err
	}
	_, err = c.wait()
	if err := want(err, "resume: a call that was lost, and given up"); err != nil {
		return err
	}
	say("resume: it says uncounted: %v", c.flags&uncounted != 0)
	if text, err = result[string](greeter.call(request{object: ref.number, method: "Greet", args: []any{"the next in its slot"}})); err != nil {
		return err
	}
	say("resume: %s", text)

	for _, p := range []struct {
		what string
		purpose
	}{
		{"a connection of a session that nobody knows", purpose{session: random(), connection: 2}},
		{"a connection without a number", purpose{session: random()}},
		{"a connection that is older than the session's", purpose{session: greeter.name, connection: 1}},
	} {
		c, _, err := n.connect(ref.at, ref.node, p.purpose)
		if err == nil {
			c.Close()
			return fmt.Errorf("%s is welcomed", p.what)
		}
		if refused := (refusal{}); errors.As(err, &refused) {
			say("resume: %s is %v", p.what, err)
		} else {
			say("resume: %s is closed", p.what)
		}
	}
	if text, err = result[string](greeter.call(request{object: ref.number, method: "Greet", args: []any{"after all of that"}})); err != nil {
		return err
	}
	greeter.mu.Lock()
	cuts := greeter.cuts
	greeter.mu.Unlock()
	say("resume: %s, in one session with %d cuts", text, cuts)
	return errors.Join(greeter.close(), registry.close())
}

func random() (id [16]byte) {
	rand.Read(id[:])
	return id
}
