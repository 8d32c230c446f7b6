// Package rmi calls methods of objects in other processes: see README.md. The
// rules are at Node, Error, Semantics and Handle.
package rmi

// How a call travels
//
// A call crosses 19 files. Here they are in order, with the functions to begin at. Those
// without a folder are in rmi/transport. Files with helpers for one value, one number or one
// moment are left out.
//
// On the way to the method, at the caller:
//
//  1. Core.Call in proxy/proxy.go takes the arguments of the proxy's method. The proxy's
//     type is made at run time by package proxy/dynamic. Or the proxy is a stub, which
//     cmd/rmigen generates and which registers itself with rmi/stub. Then no step below uses
//     reflection where types are known.
//  2. proxyCaller.Begin in rmi/invocation.go begins an invocation. It makes attempts, until one
//     succeeds or none can. Each attempt finds the session with the owner, and makes sure
//     that the two sides agree on the interface.
//  3. Method.EncodeArgs in rmi/codec/interface.go turns values into MessagePack.
//  4. Encoder.encodeValues in rmi/codec/encode.go follows the plans of their types. A stub
//     makes typed calls instead.
//  5. exchange.send in rmi/exchange.go makes the request: the encoded arguments with the table of
//     the references among them.
//  6. Session.Call in session.go checks what the peer accepts, and waits for the reply.
//  7. outbound.acquire in outbound.go takes a slot, a place for one call in the session.
//  8. AppendCall in rmi/wire/frame.go makes the frame.
//  9. outbox.flush in outbox.go writes it, unless the caller can do so itself.
//  10. tryWriter.write in socket_unix.go is the write that does not block.
//
// On the way to the method, at the owner:
//
//  11. intake.readPolled in socket_unix.go reads the connection when bytes are there. Where
//     that is not possible the next file does.
//  12. intake.took, Link.record and Link.call in reader.go find the frame, and ParseCall in
//     rmi/wire/frame.go reads it.
//  13. inbound.occupy in inbound.go notes the call in its slot, if it is new.
//  14. Session.arrive and workers.serve in workers.go give it to a handler. From here on the
//     call is no longer on the goroutine that reads.
//  15. server.Serve in rmi/serve.go looks the object up.
//  16. Node.receive in rmi/references.go counts the references among the arguments.
//  17. Table.Get in skeleton/table.go finds the object by its number.
//  18. Skeleton.Serve in skeleton/skeleton.go has the arguments decoded, calls the method, and
//     has its results encoded.
//  19. Decoder.decodeValues in rmi/codec/decode.go decodes them.
//
// On the way back, at the owner:
//
//  20. Method.EncodeResults in rmi/codec/interface.go and Encoder.encodeValues in
//     rmi/codec/encode.go encode the results.
//  21. Incoming.Reply in incoming.go takes the results, and inbound.answered in inbound.go keeps
//     them in the slot until the caller has them. AppendReturn in rmi/wire/frame.go makes the
//     frame.
//  22. outbox.flush in outbox.go and tryWriter.write in socket_unix.go write it.
//
// On the way back, at the caller:
//
//  23. intake.readPolled in socket_unix.go and Link.record in reader.go take it in.
//  24. outbound.returned in outbound.go gives it to the call in the slot.
//  25. Session.roundTrip in session.go returns to the caller's goroutine.
//  26. Node.receive in rmi/references.go counts the references among the results.
//  27. invocation.Attempt in rmi/invocation.go makes another attempt, or none.
//  28. Method.DecodeResults in rmi/codec/interface.go and Decoder.decodeValues in
//     rmi/codec/decode.go decode the results, and Core.Call in proxy/proxy.go returns them.
//
// Some calls cross more:
//
//   - The first call to an owner dials: Transport.Session in dial.go. The first call of an
//     interface asks for its description: Node.agree in rmi/agree.go.
//   - Remote values become references (side.ExportRef in rmi/references.go), and references
//     become proxies (side.ImportRef in rmi/references.go).
//   - Large payloads come in fragments, which Link.assemble in assembly.go joins.
//   - Calls that take turns, such as those of a serial object, wait for theirs: Turn.enter in
//     turn.go. Over datagrams order.came in order.go tells which were sent before.
//   - If there is no connection, or it is lost before the reply arrived, the next one sends
//     the call: outbound.resend in outbound.go, called by Session.attach in resume.go.
//   - A call that a gate has to allow is asked about: Node.authorize in rmi/gate.go.
//   - A call for another node is relayed there: Node.relay in rmi/relay.go.
//   - Interceptors run around the call: passage.through in rmi/passage.go. At the caller
//     Node.intercept in rmi/intercepted.go then takes the arguments in place of step 2, and each
//     next goes on with step 2. At the owner Node.serveIntercepted in rmi/intercepted.go goes on
//     with step 18.
//   - Metadata go with the call, and come back: exchange.carry in rmi/exchange.go.
