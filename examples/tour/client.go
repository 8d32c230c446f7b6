package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// runClient is the client's process.
func runClient(c *child) error {
	node := rmi.NewNode(nil)
	defer node.Close()
	v := &client{child: c, node: node}
	c.obey(commands{
		"hello":    v.hello,
		"lookup":   v.lookup,
		"call":     v.call,
		"funcs":    v.funcs,
		"fail":     v.fail,
		"cancel":   v.cancel,
		"watch":    v.watch,
		"nest":     v.nest,
		"cut":      v.cut,
		"mismatch": v.mismatch,
	})
	c.say("asked to end")
	return nil
}

// client makes the calls of the tour; each method is a step.
type client struct {
	*child
	node *rmi.Node
	acct Account // a proxy, once it was looked up
}

func (c *client) hello(context.Context, string) (string, error) {
	if !c.node.Endpoint().IsZero() {
		return "", fmt.Errorf("the client listens on %v", c.node.Endpoint())
	}
	c.say("I listen nowhere")
	return "", nil
}

func (c *client) lookup(ctx context.Context, name string) (_ string, err error) {
	c.acct, err = registry.Lookup[Account](ctx, c.node, name, nil)
	if err != nil {
		return "", err
	}
	r, _ := rmi.RefOf(c.acct)
	c.say("%s is %v", name, r)
	c.say("I got an Account: a proxy of the object in the server's process")
	return "", nil
}

func (c *client) call(ctx context.Context, _ string) (string, error) {
	c.say("I call Deposit(100)")
	balance, err := c.acct.Deposit(ctx, 100)
	if err != nil {
		return "", err
	}
	c.say("The answer: the balance is %d", balance)
	return "", nil
}

func (c *client) funcs(ctx context.Context, name string) (string, error) {
	d, err := registry.Lookup[depositor](ctx, c.node, name, nil)
	if err != nil {
		return "", err
	}
	c.say("I call the field Deposit of a %T", d)
	balance, err := d.Deposit(ctx, 20)
	if err != nil {
		return "", err
	}
	c.say("The answer: the balance is %d", balance)
	return "", nil
}

func (c *client) fail(ctx context.Context, _ string) (string, error) {
	c.say("I call Withdraw(1000)")
	_, err := c.acct.Withdraw(ctx, 1000)
	if !errors.Is(err, errInsufficient) {
		return "", fmt.Errorf("got the error %w, want %w", err, errInsufficient)
	}
	c.say("The error: %v", err)
	c.say("errors.Is(err, errInsufficient) is true; the outcome is %v", rmi.OutcomeOf(err))
	return "", nil
}

// observer is the client's own remote object.
type observer struct {
	*child
	started chan struct{}
	stopped chan string
}

var _ Observer = (*observer)(nil)

func (o *observer) Started(context.Context) error {
	o.started <- struct{}{}
	return nil
}

func (o *observer) Stopped(_ context.Context, why string) error {
	o.stopped <- why
	return nil
}

func (c *client) cancel(ctx context.Context, _ string) (string, error) {
	o := &observer{c.child, make(chan struct{}, 1), make(chan string, 1)}
	audit, cancel := context.WithCancel(ctx)
	defer cancel()
	c.say("I call Audit and pass it an Observer")
	ended := make(chan error, 1)
	go func() { ended <- c.acct.Audit(audit, o) }()
	select {
	case <-o.started:
	case err := <-ended:
		return "", fmt.Errorf("the audit ended before it was cancelled: %w", err)
	}
	c.say("The server told my Observer that Audit runs; I cancel my context")
	cancel()
	err := <-ended
	if !errors.Is(err, context.Canceled) {
		return "", fmt.Errorf("the cancelled call returned %w", err)
	}
	select {
	case why := <-o.stopped:
		c.say("My call is over: errors.Is(err, context.Canceled) is true")
		c.say("The server told my Observer why Audit stopped: %s", why)
		return "", nil
	case <-ctx.Done():
		return "", fmt.Errorf("the handler did not say that it saw the cancellation: %w", context.Cause(ctx))
	}
}

func (c *client) watch(ctx context.Context, _ string) (string, error) {
	if !c.node.Endpoint().IsZero() {
		return "", fmt.Errorf("the client listens on %v", c.node.Endpoint())
	}
	c.say("I still listen nowhere. I call Watch and pass it a function")
	told := make(chan int64, 1)
	sub, err := c.acct.Watch(ctx, func(_ context.Context, balance int64) error {
		c.say("My function runs here: the balance is %d", balance)
		told <- balance
		return nil
	})
	if err != nil {
		return "", err
	}
	c.say("I call Deposit(50)")
	balance, err := c.acct.Deposit(ctx, 50)
	if err != nil {
		return "", err
	}
	select {
	case b := <-told:
		if b != balance {
			return "", fmt.Errorf("the callback was told %d, the call %d", b, balance)
		}
	default:
		return "", errors.New("the server did not call the function")
	}
	c.say("Deposit returned, I cancel the subscription")
	return "", sub.Cancel(ctx)
}

func (c *client) nest(ctx context.Context, _ string) (string, error) {
	const deepest = 5
	var back func(ctx context.Context, level int) error
	back = func(ctx context.Context, level int) error {
		indent := strings.Repeat("  ", level)
		if level == deepest {
			c.say("%slevel %d: I was called, and that is deep enough", indent, level)
			return nil
		}
		c.say("%slevel %d: I call the server", indent, level)
		return c.acct.Bounce(ctx, level+1, back)
	}
	if err := back(ctx, 1); err != nil {
		return "", err
	}
	c.say("All have returned")
	return "", nil
}

func (c *client) cut(ctx context.Context, _ string) (string, error) {
	// Another node, because c.node has a connection to the server. The reference is the same,
	// except for the route.
	r, _ := rmi.RefOf(c.acct)
	cable, err := lay(r.Address())
	if err != nil {
		return "", err
	}
	defer cable.takeAway()
	node := rmi.NewNode(nil)
	defer node.Close()
	if r.Endpoint, err = refs.ParseEndpoint(cable.address()); err != nil {
		return "", err
	}
	acct, err := rmi.Resolve[Account](node, r, nil)
	if err != nil {
		return "", err
	}
	c.say("I reach the server through a cable, and call Watch")
	var told atomic.Int64
	sub, err := acct.Watch(ctx, func(_ context.Context, balance int64) error {
		told.Add(1)
		c.say("My function runs here: the balance is %d. The server waits for my answer: I cut the cable", balance)
		cable.cut()
		return nil
	})
	if err != nil {
		return "", err
	}
	c.say("I call Deposit(30)")
	balance, err := acct.Deposit(ctx, 30)
	if err != nil {
		return "", fmt.Errorf("the call did not survive the cut: %w", err)
	}
	c.say("The answer came over another connection: the balance is %d", balance)
	if err := sub.Cancel(ctx); err != nil {
		return "", err
	}
	s := node.Stats()
	if s.Resumes == 0 {
		return "", fmt.Errorf("the session was not resumed: %+v", s)
	}
	now, err := c.acct.Deposit(ctx, 0)
	if err != nil {
		return "", err
	}
	if now != balance || told.Load() != 1 {
		return "", fmt.Errorf("the balance was %d and is %d, and my function was called %d times", balance, now, told.Load())
	}
	c.say("Connections lost: %d, sessions resumed: %d. The balance is %d: the call was executed once", s.Cuts, s.Resumes, now)
	return "", nil
}

func (c *client) mismatch(ctx context.Context, name string) (string, error) {
	c.say("I look %s up as a wrongAccount", name)
	_, err := registry.Lookup[wrongAccount](ctx, c.node, name, nil)
	if !errors.Is(err, rmi.KindMismatch) {
		return "", fmt.Errorf("got the error %w, want one of kind Mismatch", err)
	}
	c.say("Refused: %v", err)
	return "", nil
}
