// Package registry is the naming service: it leads from a name to a remote
// object.
//
// A registry is a remote object itself, of the interface [Registry], which a node
// serves under the well-known number [refs.RegistryObject]; so whoever knows its
// address needs nothing else. It runs as the daemon rmiregistry, or inside of any
// process that listens ([Serve]). What it keeps is references and descriptions of
// interfaces: it takes no part in the calls of the objects, except where it
// relays ([Relayed]).
//
// Programs use the functions. [Bind] exports an object and binds it, [Rebind]
// replaces what is bound, [Unbind] removes it, [Lookup] returns a proxy, [List]
// walks the names. [LookupRef] and [At] are for tools.
//
// The files: name.go and url.go say how names and addresses are written, and registry.go is
// the remote interface. The registry is store.go, which serve.go serves: it locks the tables
// of tables.go. Those are names.go (the names in order), lease.go (leases and their sweep)
// and past.go (how names ended). claim.go decides who may have a name, and limits.go bounds
// it all. client.go, bind.go and renewer.go are what programs use.
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
// The segments have no meaning to the registry: "bank" and "bank/alice" can both
// be bound, and a list is of those names that begin with a string.
//
// # Addresses
//
// The functions take a name with the address of its registry in front, or a name
// alone. [ParseURL] reads:
//
//	bank/alice                          the default registry
//	rmi://host/bank/alice               port 1099
//	rmi://host:port/bank/alice
//	rmi://[::1]:1099/bank/alice         (a zone is written [fe80::1%25eth0])
//	rmi://%2Frun%2Frmi.sock/bank/alice  a unix socket; %40x is the abstract one @x
//	rmi+udp://host:port/bank/alice      the registry's port is of UDP
//	rmi://host:port                     a registry, no name
//
// The default registry is what the environment variable RMI_REGISTRY says, in
// the last form, and without it rmi://localhost:1099.
//
// # Errors
//
// Errors are of type *rmi.Error, with the operation ("bind", "rebind", "unbind",
// "lookup", "list", "serve"), and a text that holds the URL and what can be done.
// errors.Is finds the kinds:
//
//   - rmi.Invalid: the name breaks a rule, or the URL cannot be read; the object
//     or the type T cannot be exported, or T was left out; the node does not
//     listen, so nobody could call the object; or the registry can be reached
//     from other machines and the reference leads to loopback only.
//   - rmi.NotBound: there is no such name. Unbind and Lookup.
//   - rmi.AlreadyBound: the name is taken, permanently or by a node that has a
//     connection with the registry, and Bind does not replace it; the text tells
//     whose object has it, and where. Or, of Serve, the node has a registry already.
//   - rmi.Mismatch: the object's interface does not have the methods of T, or not
//     with these parameters; both signatures are in the text. Lookup, which finds
//     it out by the description that the registry keeps, without dialling the
//     object's owner.
//   - rmi.Overloaded: the registry holds as much as it may (ServeOptions).
//   - rmi.ConnectFailed: nobody answers at the address.
//   - rmi.Denied: somebody answers, and one side wants TLS and the other does not,
//     or they do not trust each other's certificates; the text says which.
//   - rmi.Protocol: somebody answers who is no GoRMI node.
//   - rmi.NoSuchObject: a node answers, but it serves no registry.
//   - rmi.Closed: the node was closed.
//
// and those of any call: Deadline, Cancelled, PeerGone. The outcome says whether
// the registry may have been changed: after rmi.NotExecuted it was not.
//
// # How long a binding lives
//
// A name stays bound for as long as its owner lives, and no longer. It is leased:
// bound until the node that bound it was not heard of for 20 s ([Lease]). The
// node renews its leases every 5 s, all those at one registry in one call, and
// sees to the rest too, by these rules:
//
//  1. The end in good order, of the [Binding] or of its node, unbinds at once.
//  2. The name of a node that was killed, or that cannot be reached, lapses: it is
//     not found any more, and anybody can bind it.
//  3. Before it lapses, Bind supersedes it if the session of the node that
//     bound it with the registry's node is cut: a server that was killed can be
//     started again at once. (A computer that lost power is found out 15 s later.)
//  4. A name that lapsed while its owner lived, or that a registry lost because it
//     was restarted, is bound again by the owner's node within 10 s of when the
//     registry can be reached: at any time within them, so that nodes do not come
//     all at once.
//  5. Whenever a name is bound it gets a [Revision], higher than any before. The
//     node names the revision that it held when it renews a lease or binds a name
//     again, so it never takes the name from who bound it since: if anybody
//     unbound it, its own node too, rebound it, or bound it after it lapsed, by a
//     lease or for good, the Binding is over, and the name is not bound again. It
//     stays so if the other's binding is over as well, however that ended: closed,
//     unbound, or lapsed because its node died. [Binding.Done] tells, within 5 s if
//     the registry can be reached, whatever the length of the lease. Two programs
//     that both Rebind do not fight.
//  6. A binding holds what it binds. An object is exported until the Binding is
//     closed. Of a proxy that is bound, its node holds the object, as long as the
//     name is its own: the program need not keep the proxy. It is the node that
//     bound the name which holds; the registry does not.
//
// So a name can be bound to at most one object at a time, but an object whose
// name was lost goes on serving those who have its reference, until its program
// hears of it and closes the Binding. What must not be done by two at a time needs
// more than a name: Binding.Revision can serve as a fencing token, for whatever
// keeps the highest that it has seen.
//
// [Permanent] binds a name that stays, whether its owner lives or not, until it is
// unbound or the registry ends; and calls of the object fail with ConnectFailed or
// StaleReference. It is how clients bind that know no leases, and how bindings work
// at registries that do not: there a name of a node that was killed stays bound,
// until Rebind takes it.
//
// Time is measured by the registry, in which no change of its computer's clock
// plays a part. It remembers for at least 5 minutes how names ended (of many, the
// last 65,536), for a node that was away: if it comes back later, and nothing is
// bound to the name then, it binds it again.
//
// A registry keeps its names in memory. When it restarts, those that are leased
// come back by rule 4; permanent ones are lost, and their Bindings do not notice.
// Where two nodes think that a name is theirs, because one had not heard yet that
// the other took it, the later of them has it in the end.
//
// To renew 10,000 names takes a node and a registry some 20 ms together, in a dozen
// calls. A renewal does not touch the heap from which leases expire; the sweep
// looks at each name once in the length of its lease.
//
// A registry keeps nobody's object alive: who binds a name keeps what is bound, and
// gives it up with the Binding. What is kept with the name is the object's reference and
// the description that the object gives of itself, with the semantics of its export.
// Package rmi/wire specifies the calls, byte by byte, and has an example of each.
//
// # Failover
//
// Proxies lead to the owner, not to the registry. So they do not notice that the
// registry restarted, and when the owner is gone they fail: the name has to be
// looked up again. [Failover] has the proxy do that, and make calls again that
// were not executed:
//
//	acct, err := registry.Lookup[Account](ctx, node, "bank/alice", registry.Failover())
//
// When a call fails with rmi.StaleReference, rmi.NoSuchObject, rmi.PeerGone or
// rmi.ConnectFailed, and the outcome is rmi.NotExecuted, the proxy looks the name
// up, agrees on the interface with what is bound there now, and calls again. Nor
// does it wait for a connection with the owner that was lost, as other proxies do
// for as long as the session lives, but sees whether the name leads elsewhere. While
// the name leads to the same object, to none, or the registry does not answer, it
// goes on, with pauses that grow from 50 ms to 2 s, until the call's deadline; then
// the error is rmi.Deadline, and what went wrong before is in it. Calls that fail
// at a time look up once. An object that a proxy holds goes on when it is unbound
// or its name rebound, as long as its owner lives, and so does the proxy with it.
// A call that may have run is not made again: who lost the
// reply has to decide.
//
// # Whom a registry trusts
//
// Whoever can connect to a registry can list, look up, bind and unbind. It
// listens on loopback, unless its operator says otherwise, and TLS with client
// certificates is what restricts it.
//
// A name that is of no use is refused early: a reference whose host is loopback,
// in a registry that other machines can reach, would lead each of them to itself.
// A registry that only its own machine can reach takes it.
package registry
