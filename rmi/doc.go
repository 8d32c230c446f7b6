// Package rmi calls methods of objects that live in other processes.
//
// A Node is a process's place in the system: it exports objects, holds proxies
// and owns connections. An object is exported as one Go interface whose every
// method takes a context.Context first and returns an error last; other nodes
// get a value of that interface, a proxy, from a registry (package registry),
// as an argument or a result of a call, or from a reference (Resolve). Nothing
// is generated. Arguments are copied, but remote objects and funcs among them
// travel by reference, so they can be called back, over the same connection.
//
//	node, err := rmi.Listen("127.0.0.1:0")
//	b, err := registry.Bind[Account](ctx, node, "bank/alice", &account{})
//	return node.Run(ctx)
//
// There is no hidden default node: what is opened can be closed. A node and its
// proxies are safe for concurrent use.
//
// # How a call travels
//
// Each step with the file that does it:
//
//  1. proxy/proxy.go: the proxy's method collects its arguments (proxy/dynamic
//     makes its type, or a stub of rmi/stub does this).
//  2. rmi/invocation.go: Node.Begin begins an invocation, whose Attempt finds the
//     session with the owner and makes sure that the two sides agree on the
//     interface (rmi/call.go); then the proxy encodes the arguments.
//  3. rmi/wire/encode.go: values become MessagePack; remote values become
//     references, by rmi/references.go.
//  4. rmi/transport/session.go: Session.Call takes a slot (calls.go) and hands
//     the frame (rmi/wire/frame.go) to the outbox (outbox.go), which writes it.
//  5. rmi/transport/reader.go: the owner's reader takes the record in, puts
//     together what came in fragments (assembly.go), notes its slot (callee.go),
//     and hands it to a handler (workers.go), in its turn (turn.go).
//  6. rmi/serve.go: the references among the arguments are counted, and the
//     object is looked up (skeleton/table.go), or the call is relayed to another
//     node (rmi/relay.go).
//  7. skeleton/skeleton.go: the arguments are decoded (rmi/wire/decode.go), the
//     method is invoked, its results are encoded.
//  8. rmi/transport/callee.go: the reply goes back in the same slot; the
//     caller's reader completes the call, the proxy decodes the results, and the
//     invocation ends.
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
// waiting, Unknown. Nothing is retried yet: a connection that is lost fails the
// calls in flight, and the next call dials again.
//
// A context's deadline and cancellation reach the method's context, and through
// it the calls that the method makes with it. A caller returns when its context
// ends, whatever the peer does.
//
// # How long things live
//
// What Export or a binding exports stays until its handle, or the node, is
// closed. What is exported because it was passed in a call stays as long as
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
// A reference as a value (refs.Ref) holds nothing, nor does a proxy that follows
// a name (ResolveWith): the binding keeps the object exported. Any other proxy is good while the
// owner's process lives and exports the object; its session is dialled when it
// is first needed and again after it was lost.
//
// An owner that listens nowhere can be called by the nodes that it has a
// session with. When one of them hands a reference to its object on, it relays
// the calls: its address goes with the reference.
package rmi
