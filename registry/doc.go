// Package registry is the naming service: it maps names to remote objects.
//
// A registry is itself a remote object, of the interface [Registry]. A node serves it under
// the well-known number [refs.RegistryObject], so its address is all that a client needs. It
// runs as the daemon rmiregistry, or in any process that listens ([Serve]). It keeps
// references and descriptions of interfaces. It takes no part in calls of the objects, except
// where it relays them ([Relayed]).
//
// Programs use the functions. [Bind] exports an object and binds a name to it. [Rebind]
// replaces what is bound, [Unbind] removes it, [Lookup] returns a proxy, and [List] walks the
// names. [LookupRef] and [At] are for tools.
//
// Four terms. A name is bound if the registry has an object for it. A lease is the time for which
// it stays bound without being renewed. The owner of an object is the node that exports it. The
// holder of a name is the node that bound it.
//
// The files: name.go and url.go say how names and addresses are written, and registry.go is the
// remote interface. The registry is store.go, which serve.go serves: it locks the tables of
// tables.go. Those are names.go (the names in order), lease.go (leases and their sweep) and
// past.go (how names ended). holder.go tells who calls and asks the policy, claim.go decides
// who may have a name, and limits.go bounds it all. client.go, bind.go and renewer.go are what
// programs use.
//
// # Names
//
// A name is a path such as "bank/alice". [ValidName] checks it against these
// rules, and errors cite their numbers:
//
//  1. A name is 1 to 255 bytes of UTF-8.
//  2. It is one or more segments with "/" between them, and no segment is empty:
//     there is no "/" at the beginning, at the end or after another.
//  3. No segment is "." or "..".
//  4. A segment consists of Unicode letters and their marks, decimal digits, and
//     the characters - _ . ~ @ + = and the comma. So a name needs no escaping in
//     a URL, and "localhost:1099/bank", which lacks its "rmi://", is no name.
//  5. Names are equal if their bytes are: upper and lower case differ, and
//     nothing is normalized. Their order is that of their bytes.
//
// The segments have no meaning to the registry. "bank" and "bank/alice" can both be bound, and
// List selects names by how they begin.
//
// # Addresses
//
// The functions take a name alone, or a name after the address of its registry. [ParseURL]
// reads:
//
//	bank/alice                          the default registry
//	rmi://host/bank/alice               port 1099
//	rmi://host:port/bank/alice
//	rmi://[::1]:1099/bank/alice         (a zone is written [fe80::1%25eth0])
//	rmi://%2Frun%2Frmi.sock/bank/alice  a unix socket; %40x is the abstract one @x
//	rmi+udp://host:port/bank/alice      the registry's port is of UDP
//	rmi://host:port                     a registry, no name
//
// The environment variable RMI_REGISTRY names the default registry, in the last form. If it is
// not set, the default is rmi://localhost:1099.
//
// # Errors
//
// Errors are of type *rmi.Error. They have the operation ("bind", "rebind", "unbind", "lookup",
// "list", "serve"). The text holds the URL and what can be done. errors.Is finds the kinds:
//
//   - rmi.KindInvalid: the name breaks a rule. The URL cannot be read. The object or the type T
//     cannot be exported, or T was left out. The node does not listen, so nobody could call
//     the object. The reference leads to loopback only, and the registry can be reached from
//     other machines.
//   - rmi.KindNotBound: there is no such name. Unbind and Lookup return it.
//   - rmi.KindAlreadyBound: Bind found the name taken, permanently or by a node that has a
//     connection with the registry. The text says which object has it, and where. Serve
//     returns it if the node has a registry already.
//   - rmi.KindMismatch: the object's interface lacks a method of T, or has it with other
//     parameters. Both signatures are in the text. Lookup returns it. It compares with the
//     description that the registry keeps, and does not dial the object's owner.
//   - rmi.KindOverloaded: the registry has reached a limit (ServeOptions).
//   - rmi.KindConnectFailed: nobody answers at the address.
//   - rmi.KindDenied: the registry's policy does not allow it, only one side wants TLS, or one
//     does not trust the other's certificate. The text says which.
//   - rmi.KindProtocol: what answers is not a GoRMI node.
//   - rmi.KindNoSuchObject: a node answers, but it serves no registry.
//   - rmi.KindClosed: the node was closed.
//
// Deadline, Cancelled and PeerGone come from any call. The outcome says whether the registry
// may have changed: after rmi.OutcomeNotExecuted it has not.
//
// # How long a binding lives
//
// A name stays bound for as long as its holder lives, and no longer. It is leased: it stays
// bound until the registry has not heard from its holder for 20 s ([Lease]). The holder renews
// its leases every 5 s, all of those at one registry in one call. These rules apply:
//
//  1. Closing the [Binding] or its node unbinds the name at once.
//  2. The name of a node that was killed, or that cannot be reached, lapses. Then it is not
//     found any more, and anybody can bind it.
//  3. Before it lapses, Bind takes it over if the session between its holder and the
//     registry's node is cut. So a server that was killed can be started again at once. (That
//     a computer lost power is noticed after 15 s.)
//  4. A name may lapse while its holder lives, and a registry that restarts loses its names.
//     The holder binds such a name again within 10 s after the registry can be reached. It
//     picks a random time within them, so that nodes do not come all at once.
//  5. Whenever a name is bound it gets a [Revision], higher than all before. To renew a lease,
//     or to bind a name again, a node states the revision that it held. So it never takes the
//     name from a later holder. The Binding is over if anybody unbound the name (its own node
//     too), rebound it, or bound it after it lapsed. Then it is not bound again. That holds
//     also when the later binding has ended, in whatever way. [Binding.Done] is closed within
//     5 s if the registry can be reached, whatever the length of the lease. Two programs that
//     both Rebind do not fight.
//  6. A binding holds what it binds. An exported object stays exported until the Binding is
//     closed. If a proxy is bound, the node that bound it holds the object for as long as it
//     has the name: the program need not keep the proxy. The registry holds nothing.
//
// So a name is bound to at most one object. But an object that lost its name goes on serving
// the clients that have its reference, until its program notices and closes the Binding. Work
// that must not be done twice at once needs more than a name: Binding.Revision can serve as a
// fencing token, where the highest one seen is kept.
//
// [Permanent] binds a name that stays bound, whether its holder lives or not, until it is
// unbound or the registry ends. Once the owner is gone, calls of the object fail with
// ConnectFailed or StaleReference. Clients that know no leases bind in this way.
// There the name of a node that was killed stays bound until Rebind takes it.
//
// Where this says that anybody can do something with a name, the policy has to let them. A new
// process takes the name of one that was killed (rule 3) if both have the same principal or it
// may rebind the name; the lease of a name ends (rule 2) if its holder may not bind it any
// more; and of two that held the name in a registry before this one (rule 5), the later one
// gets it back if it may rebind it.
//
// The registry measures time. Changes of its computer's clock do not matter. For a node that
// was away it remembers how names ended, for at least 5 minutes (the last 65,536 of them, if
// there are more). If the node comes back later than that and the name is free, it binds the
// name again.
//
// A registry keeps its names in memory. When it restarts, leased names come back by rule 4.
// Permanent ones are lost, and their Bindings do not notice. Two nodes may both believe that
// they hold a name, because one has not heard yet that the other took it. After a restart the
// later holder gets it in the end.
//
// Renewing 10,000 names takes a node and a registry about 20 ms together, in a dozen calls. A
// renewal does not touch the heap from which leases expire. The sweep looks at each name once
// per length of its lease.
//
// With a name the registry keeps the object's reference and the description that the object
// gives of itself, with the semantics of its export. Package rmi/wire specifies the calls, byte
// by byte, and has an example of each.
//
// # Failover
//
// A proxy calls the owner, not the registry. So it does not notice that the registry
// restarted. When the owner is gone its calls fail, and the name has to be looked up again.
// LookupOptions.Failover makes the proxy do that, and repeat calls that were not executed:
//
//	o := &registry.LookupOptions{Failover: true}
//	acct, err := registry.Lookup[Account](ctx, node, "bank/alice", o)
//
// A call may fail with rmi.KindStaleReference, rmi.KindNoSuchObject, rmi.KindPeerGone or
// rmi.KindConnectFailed, and the outcome rmi.OutcomeNotExecuted. Then the proxy looks the name up,
// checks the interface of what is bound there now, and calls again. When the connection with the
// owner is lost, other proxies wait for as long as the session lives; this one looks the name up.
// It goes on while the name leads to the same object or to none, and while the registry does not
// answer. Its pauses grow from 50 ms to 2 s. At the call's deadline the error is rmi.KindDeadline,
// with what went wrong before as its cause. Concurrent calls that fail share one lookup.
//
// A call that may have run is not repeated: the caller has to decide. An object that a proxy
// holds stays usable when its name is unbound or rebound, as long as its owner lives. The proxy
// stays with it until then.
//
// # Who may do what
//
// A registry has a policy: who may bind, rebind, unbind, look up and list which names. Package
// registry/policy says how it is written, ServeOptions.Policy and rmiregistry -policy set it,
// and [Server.SetPolicy] and SIGHUP replace it. Without one, peers of the same machine
// (rmi.PeerInfo.Local) may do everything; others with a principal may look up, list, bind free
// names, and change what they bound themselves; anonymous ones of other machines may do
// nothing. These rules apply:
//
//  1. The holder of a name is the node that bound it, and any other node of the same principal,
//     if that is not anonymous. It may rebind the name if it may bind it, and unbind it.
//     Anybody else needs rebind or unbind for the name.
//  2. Only the node that bound a name renews its lease or releases it, whatever the policy says. To
//     know its revision is no proof of anything, and no peer that may not rebind the name is told
//     it, but for its holder.
//  3. A holder that may neither bind nor rebind its name any more does not keep it: its lease is
//     not renewed, and its Binding ends with rmi.KindDenied.
//  4. A peer that may do something with no name at all is refused before its arguments are
//     decoded. What it may not do with one name is refused with rmi.KindDenied, whether the
//     name is bound or not.
//  5. Who loses a name is told by whom ([Binding.Err]). It is an event of package audit too,
//     NameTaken, as is each operation that the policy denies.
//  6. A peer that calls through a relay counts as an anonymous one of another machine.
//  7. The registry's own process may do everything.
//
// What listens on the registry's machine and passes connections on, such as a tunnel or a load
// balancer, makes peers of other machines local. Give such a registry a policy without @local.
// The nodes of a network in memory (package rmitest) are local, unless the test says that they
// are far.
//
// A registry that other machines can reach refuses a reference whose host is loopback: it would
// lead each machine to itself. A registry that only its own machine can reach takes it.
package registry
