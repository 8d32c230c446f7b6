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
//   - rmi.AlreadyBound: the name is taken, and Bind does not replace it; or, of
//     Serve, the node has a registry already.
//   - rmi.Mismatch: the object's interface does not have the methods of T, or not
//     with these parameters; both signatures are in the text. Lookup, which finds
//     it out by the description that the registry keeps, without dialling the
//     object's owner.
//   - rmi.Overloaded: the registry holds as much as it may (ServeOptions).
//   - rmi.ConnectFailed: nobody answers at the address.
//   - rmi.Protocol: somebody answers who is no GoRMI node.
//   - rmi.NoSuchObject: a node answers, but it serves no registry.
//   - rmi.Closed: the node was closed.
//
// and those of any call: Deadline, Cancelled, PeerGone. The outcome says whether
// the registry may have been changed: after rmi.NotExecuted it was not.
//
// # How long a binding lives
//
// A name stays bound until its [Binding] or the node that bound it is closed,
// until somebody unbinds or rebinds it, or until the registry ends. The registry
// does not watch the owners. The name of a program that was killed stays bound,
// and calls of the object fail with ConnectFailed or StaleReference; the program
// uses Rebind to take its name back when it runs again.
//
// A registry keeps its names in memory. When it restarts, they are gone, and
// bindings do not notice: a program that wants its name back binds it again. (A
// later version renews bindings.) Proxies are not concerned, for they lead to the
// owners; neither are those of the registry, whose reference names no process.
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
