package rmi

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/callmeta"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// exchange is one request on one session, and the reply to it. Every call that this node
// makes is one: those of proxies (each attempt), those by name, and the node's own.
//
//	x.begin(n, to)
//	err := encode the arguments to x.enc
//	err = x.send(ctx, ref, method, err)
//	decode the results from x.dec, unless err != nil
//	x.end()
//
// Between begin and send the caller may fill in req's OneWay, Deadline, Coarse and Name, and
// metadata.
type exchange struct {
	node  *Node
	to    route
	enc   *codec.Encoder // from begin to send
	req   transport.Request
	sent  wire.Metadata   // with the call
	came  *callmeta.Reply // where what comes back goes; may be nil
	reply transport.Reply // to be released if there is a dec
	table []refs.Ref      // of the reply, counted
	dec   *codec.Decoder  // nil before the reply came, and if the call failed or is one-way
}

func (x *exchange) begin(n *Node, to route) {
	x.node, x.to, x.req = n, to, transport.Request{}
	x.sent, x.came = "", nil
	x.enc = codec.NewEncoder(sideOf(to.session), &n.limits)
}

// carry takes the metadata of ctx, which the node's own exchanges do not have.
func (x *exchange) carry(ctx context.Context) (err error) {
	x.sent, x.came, err = callmeta.Of(ctx)
	return err
}

// send makes the call of a method of the object that r leads to, unless encodeErr says that
// its arguments could not be encoded. Without a deadline the call gets its context's, or else
// the node's default. The error may be the one that the peer replied.
func (x *exchange) send(ctx context.Context, r refs.Ref, method wire.MethodID, encodeErr error) error {
	n, s, enc, req := x.node, x.to.session, x.enc, &x.req
	x.enc = nil
	chain, depth, nested := transport.ChainOf(ctx)
	if nested && depth >= wire.MaxDepth && encodeErr == nil {
		encodeErr = fault.New(KindOverloaded, OutcomeNotExecuted, "the chain of calls is %d deep, a fixed limit: do the calls call each other for ever?", depth)
	}
	if encodeErr != nil {
		n.ungive(s, enc.Refs()...)
		enc.Release()
		return fault.Add(encodeErr, fault.OutcomeNotExecuted)
	}
	req.Header = wire.CallHeader{Object: r.Object, Method: method}
	if nested {
		req.Header.Chain, req.Header.Depth = chain, depth+1
	} else {
		binary.NativeEndian.PutUint64(req.Header.Chain[:8], rand.Uint64())
		binary.NativeEndian.PutUint64(req.Header.Chain[8:], rand.Uint64())
	}
	ours := false
	if req.Deadline.IsZero() {
		var ok bool
		if req.Deadline, ok = ctx.Deadline(); !ok {
			req.Deadline, req.Coarse, ours = time.Now().Add(n.opts.Timeout), true, true
		}
	}
	req.Body = enc.Body()
	reply, err := n.transmit(ctx, req, x.to, r, enc.Refs(), x.sent)
	if err == nil || len(req.Table)+len(req.Body) <= wire.MaxInline {
		enc.Release() // else the session may still look at it
	}
	if err == nil && !req.OneWay {
		x.came.Came(reply.Metadata)
	}
	switch {
	case err != nil && ours:
		return late(err, n.opts.Timeout, byNode)
	case err != nil:
		return err
	case reply.Failed:
		err := n.errorOf(reply)
		n.tableDropped(s, reply.References, reply.Table)
		reply.Release()
		return err
	case req.OneWay:
		return nil
	}
	x.table, err = n.receive(s, reply.References, reply.Table)
	if err == nil {
		x.dec, err = codec.NewDecoder(reply.Body, x.table, (*keeping)(sideOf(s)), &n.limits)
	}
	if err != nil {
		n.decoded(x.table)
		reply.Release()
		return fault.Add(err, fault.OutcomeExecuted)
	}
	if reply.Owned {
		x.dec.Own()
	}
	x.reply = reply
	return nil
}

// end gives back what the reply came with. Without a reply it does nothing.
func (x *exchange) end() {
	if x.dec == nil {
		return
	}
	x.node.decoded(x.table)
	if x.dec.Taken() {
		x.reply.Detach()
	} else {
		x.reply.Release()
	}
	x.dec.Release()
	x.dec = nil
}

// transmit sends a call on its route to the owner of r and returns the reply, which may be an
// error. on are the references in the body, counted already; they are taken back if the call
// was not sent. The exchanges of this node, and the calls that it relays, all pass here.
func (n *Node) transmit(ctx context.Context, req *transport.Request, to route, r refs.Ref, on []refs.Ref, m wire.Metadata) (reply transport.Reply, err error) {
	if req.Table, err = wire.AppendTable(nil, on); err != nil {
		n.ungive(to.session, on...)
		return reply, fault.Add(err, fault.OutcomeNotExecuted)
	}
	req.Extensions, req.References = wire.AppendMetadata(to.extension(r), m), len(on)
	req.Uncounted = n.ungiver(to.session, on)
	reply, err = to.session.Call(ctx, req)
	if req.Uncounted != nil && err != nil && OutcomeOf(err) == OutcomeNotExecuted { // it was not sent
		req.Uncounted()
	}
	return reply, err
}

// errorOf is the error of a reply that says that the call failed.
func (n *Node) errorOf(reply transport.Reply) *Error {
	f, err := codec.ParseError(reply.Body, &n.limits)
	if err != nil {
		return fault.Add(err, fault.OutcomeExecuted)
	}
	return f
}
