// Package rmi calls methods of objects that live in other processes.
//
// A Node is a process's place in the system. It exports objects, holds proxies and owns
// connections. An object is exported as one Go interface. Every method of that interface
// takes a context.Context first and returns an error last. Other nodes get a proxy: a value
// of that interface that sends its calls to the object. They get it from a registry (package
// registry), as an argument or a result of a call, or from a reference (Resolve). Nothing
// needs to be generated. Arguments are copied, but remote objects and funcs among them
// travel by reference. So they can be called back, over the same connection.
//
//	node, err := rmi.Listen("127.0.0.1:0")
//	b, err := registry.Bind[Account](ctx, node, "bank/alice", &account{})
//	return node.Run(ctx)
//
// A call that fails returns zero results with its error: what a method returns
// beside an error does not travel. Package skeleton says which types can travel,
// and how.
//
// There is no hidden default node: what is opened can be closed. A node and its
// proxies are safe for concurrent use.
//
// # How a call travels
//
// Each step with the functions that do it and their files (in rmi/transport, if no folder is
// named):
//
//  1. Core.Call in proxy/proxy.go takes the arguments of the proxy's method. The proxy's
//     type is made at run time by package proxy/dynamic. Or the proxy is a stub, which
//     cmd/rmigen generates and which registers itself with rmi/stub. Then no step below uses
//     reflection where types are known.
//  2. proxyCaller.Begin in rmi/invocation.go begins an invocation. It makes attempts, until one
//     succeeds or none can. Each attempt finds the session with the owner (Node.route in
//     rmi/call.go) and makes sure that the two sides agree on the interface (Node.agree in
//     the same file). Then the proxy encodes the arguments, and steps 3 to 8 follow.
//  3. Method.EncodeArgs in rmi/codec/interface.go turns values into MessagePack. It follows
//     the plans of their types (Encoder.encodeValues in rmi/codec/encode.go). A stub makes
//     typed calls instead (Encoder.OpenArgs in rmi/codec/typed_encode.go). Remote values
//     become references (side.ExportRef in rmi/references.go).
//  4. Session.Call in session.go takes a slot, a place for one call in the session
//     (callTable.acquire in calls.go). The frame (AppendCall in rmi/wire/frame.go) goes to
//     the outbox (outbox.go) of the session's current connection (link.go), which writes
//     it. If there is no connection, or it is lost before the reply arrived, the next one
//     sends the call (callTable.resend in calls.go, called by Session.attach in resume.go).
//  5. Link.record and Link.call in reader.go read the frame at the owner. Link.assemble in
//     assembly.go joins fragments. callee.occupy in callee.go notes the call in its slot.
//     Session.admit in workers.go gives it a handler. Calls that take turns, as those of
//     a serial object, first wait for theirs (Turn.enter in turn.go).
//  6. server.Serve in rmi/serve.go counts the references among the arguments and looks the
//     object up (Table.Get in skeleton/table.go). A call for another node is relayed there
//     (Node.relay in rmi/relay.go).
//  7. Skeleton.Serve in skeleton/skeleton.go decodes the arguments (Decoder.decodeValues in
//     rmi/codec/decode.go, or Decoder.OpenArgs in rmi/codec/typed_decode.go). It invokes the
//     method and encodes its results.
//  8. Incoming.Reply in callee.go keeps the reply in the slot until the caller has it, and
//     sends it. The caller's reader completes the call (callTable.complete in calls.go). The
//     proxy decodes the results, and the invocation ends.
//
// # What a failed call means
//
// Every failed call returns an *Error. It says the Kind, whether the peer or this side made
// the error, and the Outcome. Before a call was sent the outcome is NotExecuted. Once the
// method ran it is Executed. It is Unknown where a reply was lost, or the caller stopped
// waiting. A method's own error is of kind Application. If that error is the one of the
// method's passed deadline, the kind is Deadline; a caller that did not wait for the
// method gets that kind too.
//
// A connection that is lost fails no call. The session goes on without it, and the side
// that dialled dials again. Calls in flight complete on the next connection, each executed
// once. New calls wait for that connection until their deadline. If only the peer can dial,
// calls wait for Options.Grace. Then those that wait fail with PeerGone, and new ones fail at
// once, until the peer is back.
//
// A session is over when
//   - there was no connection for longer than Options.SessionLease, or
//   - the peer's process ended: its address refuses connections (but see
//     Options.RefusalsPass), or another node answers there, or
//   - either node is closed, or
//   - the connection is lost, and the peer does not know how to go on, as one of another
//     make may not.
//
// Then calls in flight fail with the outcome Unknown and the kind PeerGone, or Closed if it
// was the caller's own node that was closed. The next call begins another session, if the
// owner listens.
//
// Within its deadline a call is made again, with growing pauses, when its outcome is
// NotExecuted and
//   - the peer said that it is Overloaded, or
//   - the session was over before the call was sent.
//
// If the method is idempotent, the call is also made again when its outcome is Unknown and
// the session was lost. All other failures are for the caller to handle: nobody listens at
// the owner's address (ConnectFailed), another node does (StaleReference), the object is gone
// (NoSuchObject), the owner is shutting down, the slots for nested calls are taken.
// Some proxies follow an object (ResolveWith, and package registry's). When the object or
// its owner is gone, they look for another in its place. They do so if the call was
// NotExecuted, or is idempotent.
//
// What becomes of a method's calls when messages are lost is its Semantics. The owner
// chooses it, by ExportOptions.Methods or by directives that cmd/rmigen reads. Callers learn
// it with the object's description:
//
//	at-most-once    the default: the caller handles Unknown
//	idempotent      at-least-once: made again, as above    //rmi:idempotent
//	one-way         maybe: see below                       //rmi:oneway
//	timeout         of calls without a deadline            //rmi:timeout 5s
//
// A call of a one-way method returns when it was written to the connection, or handed to
// another goroutine that writes it. It has no results, and its error is dropped. If the
// connection is lost, the call is lost too. It still waits for a slot, a connection and room,
// and fails if it does not get these by its deadline.
//
// A context's deadline and cancellation reach the method's context, and through
// it the calls that the method makes with it. A caller returns when its context
// ends, whatever the peer does. A call without a deadline gets Options.Timeout. A call
// that is to wait without a limit gets MaxTimeout, a day. A method's context ends when
// it returns. context.Cause says so, and so does the error of a call made with it.
//
// # Stopping
//
// Run and Shutdown end a node in good order. Calls whose headers arrived before are served
// to their end, even if their arguments are still arriving. Their replies reach the callers,
// who acknowledge them, before the connections are closed. A connection that is cut
// meanwhile is made again. Calls that come later are refused with NotExecuted. What takes
// longer than the time given is given up; the error counts and names it, and the callers get
// PeerGone with Unknown. If a peer has no connection and does not come back within 2 s, the
// node waits for the methods that it called, but not for their replies. Close ends a node at
// once.
//
// # How long things live
//
// What Export or a binding exports stays until its handle, or the node, is closed, or it is
// revoked (Handle.Revoke). What is exported because it was passed in a call stays as long as
// another node holds a reference to it. That is as long as there is a proxy there, or until
// the session with the holder is over for good. The same is true of an object that has lost
// its handles.
//
// Nodes count the references that frames carry when they arrive (rmi/references.go). They
// give them back in batches (rmi/lease.go) when the proxies are collected, or released by
// hand (Node.Release). A node that hands a reference on keeps its own until the receiver has
// registered with the owner. Package refs/lease explains all of it. An object that
// implements Unreferencer is told when its last holder is gone. Node.Inventory lists what a
// node exports and holds, and for whom. Garbage collections are left to the runtime: a
// program that seldom collects holds references for long. Objects that hold each other
// across nodes are not collected.
//
// A reference as a value (refs.Ref) holds nothing. One that came as a result or in an event
// is kept for 30 s, and one that is an argument while the method runs. In that time Resolve
// can make a proxy of it, or Node.Hold hold it. A proxy is good while the owner's process
// lives and exports the object. Its session begins when it is first needed. If the session
// is over, the next call begins another.
//
// An owner that listens nowhere can be called by the nodes that it has a session with. When
// one of them hands a reference to its object on, it relays the calls: its address goes with
// the reference.
package rmi
