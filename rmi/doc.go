// Package rmi calls methods of objects that live in other processes.
//
// A Node is a process's place in the system: it exports objects, holds proxies
// and owns connections. An object is exported as one Go interface whose every
// method takes a context.Context first and returns an error last; other nodes
// get a value of that interface, a proxy, from a registry (package registry),
// as an argument or a result of a call, or from a reference (Resolve). Nothing
// needs to be generated. Arguments are copied, but remote objects and funcs among them
// travel by reference, so they can be called back, over the same connection.
//
//	node, err := rmi.Listen("127.0.0.1:0")
//	b, err := registry.Bind[Account](ctx, node, "bank/alice", &account{})
//	return node.Run(ctx)
//
// A call that fails returns zero results beside its error: what a method returns
// beside an error does not travel. Package skeleton says which types can travel,
// and how.
//
// There is no hidden default node: what is opened can be closed. A node and its
// proxies are safe for concurrent use.
//
// # How a call travels
//
// Each step with the file that does it:
//
//  1. proxy/proxy.go: the proxy's method takes its arguments. Proxy/dynamic makes
//     its type; or it is a stub, linked in by way of rmi/stub, which cmd/rmigen
//     generates: then no step below uses reflection where types are known.
//  2. rmi/invocation.go: Node.Begin begins an invocation. It makes attempts, until
//     one succeeds or none can: each finds the session with the owner and makes
//     sure that the two sides agree on the interface (rmi/call.go), has the proxy
//     encode the arguments, and takes steps 3 to 8.
//  3. rmi/codec/encode.go: values become MessagePack, by the plans of their types
//     or by typed calls (rmi/codec/typed_encode.go); remote values become
//     references, by rmi/references.go.
//  4. rmi/transport/session.go: Session.Call takes a slot (calls.go) and hands
//     the frame (rmi/wire/frame.go) to the outbox (outbox.go) of the connection
//     that the session has at the time (link.go), which writes it. If there is
//     none, or it is lost before the reply came, the next one sends it (resume.go).
//  5. rmi/transport/reader.go: the owner's reader takes the record in, puts
//     together what came in fragments (assembly.go), notes its slot (callee.go),
//     and hands it to a handler (workers.go), in its turn (turn.go).
//  6. rmi/serve.go: the references among the arguments are counted, and the
//     object is looked up (skeleton/table.go), or the call is relayed to another
//     node (rmi/relay.go).
//  7. skeleton/skeleton.go: the arguments are decoded (rmi/codec/decode.go or
//     rmi/codec/typed_decode.go), the method is invoked, its results are encoded.
//  8. rmi/transport/callee.go: the reply is kept in the slot, until the caller
//     has it, and goes back; the caller's reader completes the call, the proxy
//     decodes the results, and the invocation ends.
//
// # Values for many
//
// Packages that send values to many receivers, as package callback does, use one
// multicast primitive: a value is encoded once (Codec.Packet in multicast_send.go),
// goes to each Peer once with the list of its receivers there (Peer.Multicast), on
// a stream of the session whose window holds the sender back, and is decoded once
// for all of them (Node.Receive in multicast_receive.go).
//
// # What a failed call means
//
// Every failed call returns an *Error: its Kind, whether the peer made it or
// this side, and its Outcome. Before a call was sent it is NotExecuted; once
// the method ran, Executed; where a reply was lost, or the caller stopped
// waiting, Unknown. A method's own error is of kind Application; if it is that of the
// method's passed deadline, Deadline, which the caller says too who did not wait for it.
//
// A connection that is lost fails no call. The session goes on without it, and the
// side that dialled dials again; calls in flight complete on the next connection,
// each executed once, and new ones wait for it, until their deadline, or, if only the
// peer can dial, for Options.Grace: then those that wait fail with PeerGone, and new
// ones at once, until it is back. A session is over when there is no connection for
// longer than Options.SessionLease, when the peer's process ended, which is so when its
// address refuses connections or another node answers there (but see
// Options.RefusalsPass), or when either node is closed: then calls in flight fail with PeerGone (of a node
// that was closed itself, Closed) and Unknown. With a peer of another make, which may
// not know how to go on, that is so when the connection is lost. The next call begins another session, if the owner listens.
//
// Within its deadline a call is made again, with growing pauses, when its outcome is
// NotExecuted and
//   - the peer said that it is Overloaded, or
//   - the session was over before the call was sent,
//
// and, if the method is idempotent, when its outcome is Unknown and the session was
// lost. Everything else is the caller's to mend: nobody listens at the owner's address
// (ConnectFailed), another node does (StaleReference), the object is gone
// (NoSuchObject), the owner is shutting down, the slots for nested calls are taken.
// Proxies that follow an object (ResolveWith, and package registry's) look for another
// in its place when the call was NotExecuted, or is idempotent, and object or owner
// are gone.
//
// What becomes of a method's calls when messages are lost is its Semantics, which
// the owner chooses, by ExportOptions.Methods or by directives that cmd/rmigen
// reads, and callers learn with the object's description:
//
//	at-most-once    the default: Unknown is the caller's to deal with
//	idempotent      at-least-once: made again, as above    //rmi:idempotent
//	one-way         maybe: see below                       //rmi:oneway
//	timeout         of calls without a deadline            //rmi:timeout 5s
//
// A call of a one-way method returns when it was written to the connection, or left
// to be. It has no results, its error is dropped, and if the connection is lost it is
// lost with it. It still waits for a slot, a connection and room, and fails by its
// deadline where these are not had.
//
// A context's deadline and cancellation reach the method's context, and through
// it the calls that the method makes with it. A caller returns when its context
// ends, whatever the peer does. A call without a deadline gets Options.Timeout; one
// that is to wait without a limit gets MaxTimeout, a day. A method's context ends when
// it returns: context.Cause says so, and so does the error of a call made with it.
//
// # Stopping
//
// Run, and Shutdown, end a node in good order: calls whose headers arrived before are
// served to their end, also those whose arguments are still arriving, and their replies
// reach the callers, who acknowledge them, before the connections are closed. A
// connection that is cut meanwhile is made again. Calls that come later are refused,
// NotExecuted. What takes longer than the time given is given up, with an error that
// counts and names it; then callers get PeerGone, Unknown. Of a peer without a connection
// that does not come back within 2 s, methods are waited for, but not replies. Close ends
// a node at once.
//
// # How long things live
//
// What Export or a binding exports stays until its handle, or the node, is
// closed, or it is revoked (Handle.Revoke). What is exported because it was passed in a call stays as long as
// another node holds a reference to it: as long as there is a proxy there, or
// until the session with the holder is over for good. So does what has lost its
// handles. Nodes count the references that frames carry when they arrive
// (rmi/references.go) and give them back in batches (rmi/lease.go) when the
// proxies are collected, or released by hand (Node.Release); who hands a
// reference on keeps its own until the receiver has registered with the owner.
// Package refs/lease explains all of it. An object that implements Unreferencer
// is told when its last holder is gone, and Node.Inventory lists what a node
// exports and holds, and for whom. Garbage collections are left to the runtime:
// what a program seldom collects it holds for long. Objects that hold each other
// across nodes are not collected.
//
// A reference as a value (refs.Ref) holds nothing. One that came as a
// result or in an event is kept for 30 s, and one that is an argument while the
// method runs, so that Resolve can make a proxy of it, or Node.Hold hold it. A proxy is good while the
// owner's process lives and exports the object; its session is begun when it
// is first needed, and another after it is over.
//
// An owner that listens nowhere can be called by the nodes that it has a
// session with. When one of them hands a reference to its object on, it relays
// the calls: its address goes with the reference.
package rmi
