package rmi

import (
	"context"
	"reflect"
	"runtime"
	"slices"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/intercept"
	"gormi/rmi/transport"
	"gormi/skeleton"
)

// intercepted is a call of a proxy through the node's interceptors. The arguments are encoded
// once, for no session in particular, as those of an event are. Each next is an invocation of
// its own that copies them.
type intercepted struct {
	passage
	node   *Node
	ctx    context.Context
	core   *proxy.Core
	method *codec.Method

	encoded bool
	enc     *codec.Encoder
	pins    []func()    // take back what the arguments hold
	reply   *invocation // the last next, if it succeeded; to be ended
	failed  *Error
}

var (
	_ proxy.Invocation = (*intercepted)(nil)
	_ codec.Exporter   = (*intercepted)(nil)
	_ intercept.Source = (*madeCall)(nil)
	_ intercept.Source = (*servedCall)(nil)
	_ intercept.Source = (*namedCall)(nil)
)

func (n *Node) intercept(ctx context.Context, c *proxy.Core, m *codec.Method) *intercepted {
	w := &intercepted{node: n, ctx: ctx, core: c, method: m}
	w.enc = codec.NewEncoder(w, &n.limits)
	return w
}

// ExportRef implements codec.Exporter.
func (w *intercepted) ExportRef(v reflect.Value, i *codec.Interface) (refs.Ref, error) {
	r, unpin, err := w.node.pin(v, i, w.core.Ref().ID.Node)
	if err == nil {
		w.pins = append(w.pins, unpin)
	}
	return r, err
}

// Attempt implements proxy.Invocation: there is one.
func (w *intercepted) Attempt() bool { return !w.encoded }

// Encoder implements proxy.Invocation.
func (w *intercepted) Encoder() *codec.Encoder { return w.enc }

// Send implements proxy.Invocation: it runs the interceptors.
func (w *intercepted) Send(encodeErr error) {
	w.encoded = true
	returned := false
	defer func() {
		if !returned { // runtime.Goexit, or a panic of what is not an interceptor's: nobody calls End
			w.let()
		}
	}()
	w.send(encodeErr)
	returned = true
}

func (w *intercepted) send(encodeErr error) {
	ref := w.core.Ref()
	about := fault.Call(ref, w.method.Interface.Name, w.method.Name)
	if encodeErr != nil {
		w.failed = fault.Add(encodeErr, fault.OutcomeNotExecuted, about)
		return
	}
	w.call = intercept.New(intercept.Call{Object: ref, Interface: w.method.Interface.Name, Method: w.method.Name}, (*madeCall)(w))
	w.last = w.again
	err := w.through(w.ctx, w.node.opts.Interceptors)
	if err == nil && !w.succeeded() && len(w.method.Out) > 0 {
		err = w.noResults()
	}
	if err == nil {
		return
	}
	if err.Msg == inInterceptor {
		w.node.logPanic(err, w.method.Interface.Name, w.method.Name)
	}
	w.dropReply()
	w.failed = fault.Add(err, about)
}

// again makes the call: it is what next comes to.
func (w *intercepted) again(ctx context.Context) error {
	w.dropReply()
	v := (*proxyCaller)(w.node).begin(ctx, w.core, w.method)
	for v.Attempt() {
		v.Send(v.Encoder().Copy(w.enc.Body(), w.enc.Refs()))
	}
	if v.err != nil {
		return v.End(nil)
	}
	w.reply = v
	return nil
}

// dropReply lets go of what an earlier next came to.
func (w *intercepted) dropReply() {
	if w.reply != nil {
		_ = w.reply.End(nil)
		w.reply = nil
	}
}

// Results implements proxy.Invocation.
func (w *intercepted) Results() *codec.Decoder {
	if w.reply == nil {
		return nil
	}
	return w.reply.Results()
}

// End implements proxy.Invocation.
func (w *intercepted) End(decodeErr error) (err error) {
	switch {
	case w.failed != nil:
		err = w.failed
	case w.reply != nil:
		err = w.reply.End(decodeErr)
		w.reply = nil
	}
	w.let()
	w.enc.Release()
	runtime.KeepAlive(w.core)
	return err
}

// let gives back what the call holds.
func (w *intercepted) let() {
	w.dropReply()
	for _, unpin := range w.pins {
		unpin()
	}
	w.pins = nil
}

// madeCall is intercepted as its interceptors see it.
type madeCall intercepted

// Peer implements intercept.Source.
func (w *madeCall) Peer() intercept.Peer {
	target := w.core
	if target.Refresh != nil {
		target = target.Target()
	}
	if to, ok := target.Cache.Load().(route); ok {
		return peerOf(to.session)
	}
	return w.node.peerAt(target.Ref())
}

// Args implements intercept.Source.
func (w *madeCall) Args() ([]any, error) {
	return w.node.look(w.enc.Body(), w.enc.Refs(), w.method.DecodeArgs)
}

// Results implements intercept.Source.
func (w *madeCall) Results() ([]any, error) {
	switch {
	case w.reply == nil:
		return nil, noneYet()
	case w.reply.Results() == nil: // one-way
		return nil, nil
	}
	return w.node.look(w.reply.x.reply.Body, w.reply.x.table, w.method.DecodeResults)
}

// peerAt is the owner of an object, as far as it is known.
func (n *Node) peerAt(r refs.Ref) intercept.Peer {
	if s := n.transport.Live(r.ID.Node); s != nil {
		return peerOf(s)
	}
	return intercept.Peer{Node: r.ID.Node}
}

// peerOf is who is at the other end of a session.
func peerOf(s *transport.Session) intercept.Peer {
	p := infoOf(s)
	return intercept.Peer{Principal: p.Principal, Address: p.Address, Node: p.Node}
}

// namedCall is a call by name through the node's interceptors, as they see it.
type namedCall struct {
	node *Node
	ref  refs.Ref
	to   route
	args []any
	out  []any
	done bool // there is out
}

// invokeIntercepted is invoke with interceptors.
func (n *Node) invokeIntercepted(ctx context.Context, to route, r refs.Ref, iface, method string, args []any) ([]any, error) {
	c := &namedCall{node: n, ref: r, to: to, args: args}
	p := &passage{call: intercept.New(intercept.Call{Object: r, Interface: iface, Method: method}, c)}
	p.last = func(ctx context.Context) (err error) {
		c.done = false
		if c.out, err = n.invoke(ctx, to, r, method, args); err != nil {
			return fault.Add(err, fault.Op("invoke"), fault.At(r))
		}
		c.done = true
		return nil
	}
	switch err := p.through(ctx, n.opts.Interceptors); {
	case err != nil:
		n.logPanic(err, iface, method)
		return nil, err
	case !p.succeeded():
		return nil, p.noResults()
	}
	return c.out, nil
}

// Peer implements intercept.Source.
func (c *namedCall) Peer() intercept.Peer { return peerOf(c.to.session) }

// Args implements intercept.Source.
func (c *namedCall) Args() ([]any, error) { return slices.Clone(c.args), nil }

// Results implements intercept.Source.
func (c *namedCall) Results() ([]any, error) {
	if !c.done {
		return nil, noneYet()
	}
	return slices.Clone(c.out), nil
}

// servedCall is a call of an object of this node, as the object's interceptors see it.
type servedCall struct {
	passage
	node   *Node
	in     *transport.Incoming
	method *codec.Method
	table  []refs.Ref // of the arguments
	enc    *codec.Encoder
}

// serveIntercepted has a call served through the object's interceptors. It returns the encoder
// that has the results.
func (n *Node) serveIntercepted(in *transport.Incoming, e *skeleton.Export, m *codec.Method, table []refs.Ref, dec *codec.Decoder, enc *codec.Encoder) (*codec.Encoder, *Error) {
	c := &servedCall{node: n, in: in, method: m, table: table, enc: enc}
	c.once = true
	c.call = intercept.New(intercept.Call{Incoming: true, Object: n.refTo(e), Interface: e.Interface.Name, Method: m.Name}, c)
	c.last = func(ctx context.Context) error {
		if err := e.Serve(ctx, m, dec, enc); err != nil {
			return err
		}
		return nil
	}
	err := c.through(in.Context(), e.Extra.(*served).Interceptors)
	switch {
	case err != nil || c.succeeded():
		return enc, err
	case len(m.Out) > 0:
		return enc, c.noResults()
	}
	n.ungive(in.Session, enc.Refs()...)
	enc.Release()
	enc = codec.NewEncoder(sideOf(in.Session), &n.limits)
	if err := m.EncodeResults(enc, nil); err != nil {
		return enc, fault.Add(err)
	}
	return enc, nil
}

// Peer implements intercept.Source.
func (c *servedCall) Peer() intercept.Peer { return peerOf(c.in.Session) }

// Args implements intercept.Source.
func (c *servedCall) Args() ([]any, error) {
	return c.node.look(c.in.Body(), c.table, c.method.DecodeArgs)
}

// Results implements intercept.Source.
func (c *servedCall) Results() ([]any, error) {
	if !c.succeeded() {
		return nil, noneYet()
	}
	return c.node.look(c.enc.Body(), c.enc.Refs(), c.method.DecodeResults)
}
