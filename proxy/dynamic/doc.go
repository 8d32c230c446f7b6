// Package dynamic makes, at run time, values of interface types that the program was compiled with but has no
// implementation of. Each method of such a value calls one function, [Dispatcher.Dispatch], with the number of the
// method and its arguments. A value made here is called a proxy.
//
// A proxy is an ordinary Go value. It can be assigned to a smaller interface or to any and asserted back, it takes part
// in type switches, its methods can be kept as method values or found with reflect, it may be used from many
// goroutines, and it is collected when nothing refers to it. Two proxies of one interface type are equal under == if
// their dispatchers are; with pointers as dispatchers that is identity.
//
// # Which interfaces
//
//  1. The type is an interface with at least one and at most 256 methods; methods of embedded interfaces count.
//     Instances of generic interfaces are types like any other.
//  2. Every method is exported. A method that is not belongs to the package that declares it, and reflect cannot make
//     types that have it.
//  3. A method has at most 127 parameters and results in all, one less than reflect.FuncOf's limit.
//
// [New] refuses any other type with an error that names the rule.
//
// # How it is done
//
// The only types with methods that reflect will make are structs with an embedded field: reflect.StructOf gives
//
//	struct { Interface T; entries *entry; dispatcher Dispatcher; Face Face }    // T and Face are embedded, and stay nil
//
// the methods of T and of [Face], each backed by a stub that panics. The descriptor of that type holds, for each method,
// the code to run when it is called through an interface (Ifn; the receiver is a pointer to the struct) and when it is
// called as a function taken from the type (Tfn; the receiver is the struct itself). Package dynamic puts its own code
// there, and the rows, which reflect leaves in the order of the fields, in the order of their names, without those of
// Face that clash with T's. Everything else is the runtime's own doing: it builds method tables for T, for smaller
// interfaces and for larger ones from that descriptor, as it does for every type.
//
// The own code is a slot, one per method number and kind of receiver: a few instructions of assembly. A slot follows
// the receiver to entries, which belongs to the interface type and holds two closures for each method, puts the closure
// of its number where Go code expects its closure, and jumps to the closure's code. It has no frame, does not use the
// stack and touches no register that holds an argument. For the caller, for the garbage collector and for a traceback it
// is therefore as if the closure had been called. The closure comes from reflect.MakeFunc over the method's type
// with the receiver put first, which is how the Go ABI lays out a method call; the receiver is a typed parameter like
// the others, so the garbage collector sees it. Growing the stack, preemption, spilled arguments and results are
// the business of reflect's code for such functions. A goroutine is never preempted within a slot: the runtime
// does not preempt assembly.
//
// Per interface type there is one struct type and one set of closures, made under a lock at its first use and kept for
// ever, as all types made by reflect are. A proxy is one block of 56 bytes. A call costs what a call of a function made
// by reflect.MakeFunc costs: the slot disappears beside it.
//
// The rows of Face lead to compiled methods of a struct of the same layout: what a proxy prints as needs no knowledge of T.
// Where package fmt must not call methods, in an unexported field of a struct, it prints the address of the
// dispatcher, and never its contents.
//
// # What is relied on
//
//   - reflect.addReflectOff, by linkname, which turns the address of a slot into the 32 bits that a descriptor can
//     hold. Go keeps its name and type for packages that do this (see the comment on it in reflect/type.go).
//   - The place and layout of a descriptor's method table: internal/abi's UncommonType and Method behind a StructType.
//   - The internal calling convention: where the first argument words, the closure and a free register are.
//   - An interface value being a type word and a data word.
//   - amd64 or arm64, compiled by gc.
//
// Only the first is something that Go has said it will keep, and that in a comment. So all of it is checked.
//
// # What is checked
//
// Once in a process, when [Supported] or New is first called: that the slots have the spacing that their addresses are
// computed with; that each of the 512 slots, called with a receiver made for the purpose, arrives at the closure of its
// number; and that a proxy of a probe interface gets and returns arguments of several kinds, some in registers and some
// on the stack, through all ways to call it. Panics and faults during the check count as failures.
//
// For each interface type, before anything is written: that the table has the right counts and offset; that reflect
// lists the same names in the same order for the struct as for the interface; that each row has the type of its method;
// and that both its code offsets are those of reflect's panicking stub (these hold for the methods of Face too). Offsets of things that reflect made at run time
// are numbers that addReflectOff hands out, and for the same address it hands out the same number: so these
// comparisons are exact, nothing is dereferenced on the strength of a guess, and a table that passes is in
// memory that reflect allocated for this very type, not in a program's read-only data. (The program cannot hold an
// identical compiled type, which reflect.StructOf would return instead: the type of entries is private.) After
// writing, reflect is asked how many methods there are and what code each has; if that is not what it should be, the
// table is put back.
//
// If a check fails, nothing is made and the error says what was found. On other platforms, with other compilers and
// with the build tag rmi_safe, which compiles all of this out, Supported and New return the same kind of
// error: it wraps errors.ErrUnsupported and tells to link a stub or to use a struct of func fields.
//
// # Decisions
//
// A method table (itab) made by hand also gives a callable value, but converting it to a smaller interface gives
// nil: the runtime looks for the type's methods and finds none. Generating machine code was rejected: not all systems
// allow it. The dispatcher lies in the proxy instead of behind one more pointer, so that any pointer can be a dispatcher
// and one dispatcher can serve proxies of several interfaces. The closures of the two kinds of receiver
// are both made even though calls of a function taken from the type are rare; without them such a call would panic.
package dynamic
