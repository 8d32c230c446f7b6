package rmi

import (
	"fmt"
	"runtime/debug"
	"strings"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// describe is the method that every object has: it returns the description of
// its interface.
const describe wire.MethodID = 0

// server is the node as the transport's handler.
type server struct{ n *Node }

var _ transport.Handler = server{}

// Route implements transport.Handler.
func (v server) Route(in *transport.Incoming) (transport.Threading, *transport.Turn) {
	if v.relayed(in) {
		return transport.ThreadingConcurrent, nil
	}
	e := v.n.exports.Get(in.Header.Object)
	if e == nil || in.Header.Method == describe {
		return transport.ThreadingConcurrent, nil
	}
	x := e.Extra.(*served)
	if x.Threading == ThreadingSerial {
		return ThreadingSerial, &x.turn
	}
	return x.Threading, nil
}

// relayed reports whether a call is for another node.
func (v server) relayed(in *transport.Incoming) bool {
	return in.Extensions.Relay && in.Extensions.Node != v.n.ID()
}

// Serve implements transport.Handler.
func (v server) Serve(in *transport.Incoming) {
	n := v.n
	// Whatever becomes of the call, its references were given to this node.
	table, err := n.receive(in.Session, in.Header.Payload.References, in.Table())
	if err != nil {
		in.Fail(fault.Add(err, fault.OutcomeNotExecuted))
		return
	}
	defer n.decoded(table)
	if v.relayed(in) {
		n.relay(in, table)
		return
	}
	e := n.exports.Get(in.Header.Object)
	if err := n.authorize(in, e); err != nil {
		in.Fail(err)
		return
	}
	if e == nil {
		in.Fail(fault.New(KindNoSuchObject, OutcomeNotExecuted, "the object is not exported (any more): look its name up again"))
		return
	}
	if err := n.serve(in, e, table); err != nil {
		err.Interface = e.Interface.Name
		in.Fail(err)
	}
}

// serve answers a call of an object of this node, or returns why not. table is
// the call's, counted already.
func (n *Node) serve(in *transport.Incoming, e *skeleton.Export, table []refs.Ref) *Error {
	if in.Header.Method == describe {
		return n.serveDescription(in, e)
	}
	m := e.Interface.ByID(in.Header.Method)
	if m == nil {
		return fault.New(KindNoSuchMethod, OutcomeNotExecuted, "%s has no method with the id %#x; it has %s", e.Interface.Name, uint32(in.Header.Method), among(methodNames(e.Interface)))
	}
	if limit := e.Extra.(*served).MaxMessage; limit > 0 && len(in.Body()) > limit {
		return fault.New(KindTooLarge, OutcomeNotExecuted, "%d bytes of arguments: the object accepts %d (its ExportOptions.MaxMessage)", len(in.Body()), limit)
	}
	dec, bad := codec.NewDecoder(in.Body(), table, sideOf(in.Session), &n.limits)
	if bad != nil {
		return fault.Add(bad, fault.OutcomeNotExecuted)
	}
	if in.Owned() {
		dec.Own()
	}
	enc := codec.NewEncoder(sideOf(in.Session), &n.limits)
	enc.Within(in)
	returned, retained := false, false
	defer func() {
		if !returned { // runtime.Goexit: the transport answers
			n.opts.Logger.Error("a method ended its goroutine instead of returning", "interface", e.Interface.Name, "method", m.Name, "stack", string(debug.Stack()))
			n.ungive(in.Session, enc.Refs()...)
		}
		dec.Release()
		if !retained {
			enc.Release()
		}
	}()
	var err *Error
	if len(e.Extra.(*served).Interceptors) == 0 {
		err = e.Serve(in.Context(), m, dec, enc)
	} else {
		enc, err = n.serveIntercepted(in, e, m, table, dec, enc)
	}
	returned = true
	if err != nil {
		n.ungive(in.Session, enc.Refs()...)
		err.Method = m.Name
		n.logPanic(err, e.Interface.Name, m.Name)
		return err
	}
	retained, err = n.answer(in, enc)
	return err
}

// serveDescription answers a call that asks for the description of an object's interface.
func (n *Node) serveDescription(in *transport.Incoming, e *skeleton.Export) *Error {
	enc := codec.NewEncoder(nil, &n.limits)
	b, err := e.Interface.Description().MarshalBinary()
	if err == nil {
		err = codec.EncodeAny(enc, []any{b})
	}
	if err != nil {
		enc.Release()
		return fault.New(KindInternal, OutcomeNotExecuted, "%w", err)
	}
	if !in.Reply(0, nil, enc.Body()) {
		enc.Release()
	}
	return nil
}

// answer replies with what was encoded. retained says that the reply is retained there.
func (n *Node) answer(in *transport.Incoming, enc *codec.Encoder) (retained bool, err *Error) {
	table, err := n.results(in.Session, enc.Refs(), enc.Body())
	if err != nil {
		return false, err
	}
	if err := in.Reserve(len(table) + len(enc.Body())); err != nil {
		n.ungive(in.Session, enc.Refs()...)
		return false, err
	}
	return in.Reply(len(enc.Refs()), table, enc.Body()), nil
}

func methodNames(i *codec.Interface) (names []string) {
	for _, m := range i.Methods {
		names = append(names, m.Name)
	}
	return names
}

// among lists names for an error, and of many the first.
func among(names []string) string {
	const most = 16
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
