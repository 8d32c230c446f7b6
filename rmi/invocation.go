package rmi

import (
	"context"
	"runtime"
	"sync"

	"gormi/proxy"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

var _ proxy.Caller = (*Node)(nil)

// invocation is one call of a proxy. It is used from call to call, with all
// that a call needs on the way.
type invocation struct {
	node   *Node
	ctx    context.Context
	core   *proxy.Core
	method *wire.Method

	tried  bool
	target *proxy.Core        // through which this attempt goes: core, unless that follows its object
	cancel context.CancelFunc // of a following proxy's call, nil if it has a deadline of its own
	to     route
	enc    *wire.Encoder // of an attempt, until Send
	req    transport.Request

	reply transport.Reply // to be released if there is a dec
	dec   *wire.Decoder
	err   error // why the call failed, complete
}

var _ proxy.Invocation = (*invocation)(nil)

var invocations = sync.Pool{New: func() any { return new(invocation) }}

// Begin begins the call of a proxy. It implements proxy.Caller and is not for
// programs: they call methods of proxies, or Invoke.
func (n *Node) Begin(ctx context.Context, c *proxy.Core, m *wire.Method) proxy.Invocation {
	v := invocations.Get().(*invocation)
	v.node, v.ctx, v.core, v.method = n, ctx, c, m
	if ctx == nil {
		v.fail(fault.New(Invalid, NotExecuted, "the context is nil: pass context.Background() if there is none"))
	}
	return v
}

func (v *invocation) fail(err error) { v.err = v.node.failed(err, v.core.Ref(), v.method) }

// Attempt implements proxy.Invocation.
func (v *invocation) Attempt() bool {
	if v.core.Refresh != nil {
		return v.attemptFollowing()
	}
	if v.tried || v.err != nil {
		return false
	}
	v.tried = true
	return v.begin(v.core)
}

// begin begins an attempt: it finds the session with the owner and makes sure
// that both sides agree on the interface.
func (v *invocation) begin(c *proxy.Core) bool {
	v.target = c
	n := v.node
	to, err := n.routeOf(v.ctx, c)
	if err == nil && v.core != c && to.session.Detached() {
		err = errDetached
	}
	if err == nil && !c.Agreed.Load() {
		err = n.agree(v.ctx, c, to)
	}
	if err != nil {
		v.fail(err)
		return false
	}
	v.to, v.enc = to, wire.NewEncoder(sideOf(to.session), &n.limits)
	return true
}

// Encoder implements proxy.Invocation.
func (v *invocation) Encoder() *wire.Encoder { return v.enc }

// Send implements proxy.Invocation.
func (v *invocation) Send(encodeErr error) {
	enc := v.enc
	v.enc = nil
	if encodeErr != nil {
		enc.Release()
		v.fail(asError(encodeErr, NotExecuted))
		return
	}
	reply, err := v.node.send(v.ctx, &v.req, v.to, v.target.Ref(), v.method.ID, enc)
	if err != nil {
		v.fail(err)
		return
	}
	s := v.to.session
	table, err := parseTable(reply.Table, reply.References, s)
	if err == nil {
		v.dec, err = wire.NewDecoder(reply.Body, table, sideOf(s), &v.node.limits)
	}
	if err != nil {
		reply.Release()
		v.fail(asError(err, Executed))
		return
	}
	v.reply = reply
}

// Results implements proxy.Invocation.
func (v *invocation) Results() *wire.Decoder { return v.dec }

// End implements proxy.Invocation.
func (v *invocation) End(decodeErr error) error {
	if decodeErr != nil {
		v.fail(asError(decodeErr, Executed))
	}
	if v.dec != nil {
		v.dec.Release()
		v.reply.Release()
	}
	if v.cancel != nil {
		v.cancel()
	}
	err := v.err
	runtime.KeepAlive(v.core)
	*v = invocation{}
	invocations.Put(v)
	return err
}
