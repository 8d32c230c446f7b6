// Package dynamic implements interface types at run time. The program was compiled with such a type
// but has no implementation of it. A value made here is called a proxy. Each of its methods calls
// one function, [Dispatcher.Dispatch], with the number of the method and its arguments.
//
// A proxy is an ordinary Go value. It can be assigned to a smaller interface or to any and asserted
// back. It takes part in type switches. Its methods can be kept as method values or found with
// reflect. Many goroutines may use it concurrently. It is collected when nothing refers to it. Two
// proxies of one interface type are equal under == if their dispatchers are. For dispatchers that
// are pointers, that is identity.
//
// # Which interfaces
//
//  1. The type is an interface with at least one and at most 256 methods. Methods of embedded
//     interfaces count. Instances of generic interfaces are types like any other.
//  2. Every method is exported. An unexported method belongs to the package that declares it, and
//     reflect cannot make types that have it.
//  3. A method has at most 127 parameters and results in all. That is one less than
//     reflect.FuncOf's limit.
//
// [New] refuses any other type with an error that names the rule.
//
// # How it is done
//
// The only types with methods that reflect makes are structs with an embedded field. For this
// struct:
//
//	struct {
//		Interface  T // embedded, stays nil
//		entries    *entry
//		dispatcher Dispatcher
//		Face       Face // embedded, stays nil
//	}
//
// reflect.StructOf gives a type with the methods of T and of [Face], each backed by a stub that
// panics. The descriptor of the type has a row for each method, with two pieces of code. Ifn runs
// when the method is called through an interface; the receiver is a pointer to the struct. Tfn runs
// when the method is called as a function taken from the type; the receiver is the struct itself.
// Package dynamic puts its own code there. reflect leaves the rows in the order of the fields.
// Package dynamic sorts them by name, and removes those of Face that clash with T's. The runtime
// does everything else: it builds method tables for T, for smaller interfaces and for larger ones
// from that descriptor, as it does for every type.
//
// The own code is a slot: a few instructions of assembly, one slot for each method number and kind
// of receiver. entries belongs to the interface type and holds two closures for each method. A slot
// follows the receiver to entries, puts the closure of its number where Go code expects its
// closure, and jumps to the closure's code. It has no frame, does not use the stack and touches no
// register that holds an argument. So for the caller, the garbage collector and a traceback it is
// as if the closure had been called. The closure comes from reflect.MakeFunc over the method's type
// with the receiver put first. That is how the Go ABI lays out a method call. The receiver is a
// typed parameter like the others, so the garbage collector sees it. reflect's code for such
// functions grows the stack, spills arguments and results, and can be preempted. A goroutine is
// never preempted within a slot: the runtime does not preempt assembly.
//
// Each interface type has one struct type and one set of closures. They are made under a lock at
// its first use and stay for ever, as all types made by reflect do. A proxy is one block of 56
// bytes. A call costs what a call of a function made by reflect.MakeFunc costs: beside it, the slot
// is negligible.
//
// The rows of Face lead to compiled methods of a struct of the same layout. What a proxy prints as
// needs no knowledge of T. In an unexported field of a struct, package fmt must not call methods.
// There it prints the address of the dispatcher, and never its contents.
//
// # What is relied on
//
//   - reflect.addReflectOff, by linkname. It turns the address of a slot into the 32 bits that a
//     descriptor can hold. Go keeps its name and type for packages that do this (see the comment on
//     it in reflect/type.go).
//   - The place and layout of a descriptor's method table: internal/abi's UncommonType and Method
//     behind a StructType.
//   - The internal calling convention: where the first argument words, the closure and a free
//     register are.
//   - An interface value being a type word and a data word.
//   - amd64 or arm64, compiled by gc.
//
// Go has said only of the first that it will keep it, and said so in a comment. So all of it is
// checked.
//
// # What is checked
//
// Some checks run once in a process, when [Supported] or New is first called. The slots must have
// the spacing that their addresses are computed with. Each of the 512 slots is called with a
// receiver made for the purpose, and must arrive at the closure of its number. A proxy of a probe
// interface must get and return arguments of several kinds, some in registers and some on the
// stack, in all ways to call it. Panics and faults during the check count as failures.
// on the stack, through all ways to call it. Panics and faults during the check count as failures.
//
// Other checks run for each interface type, before anything is written. The table must have the
// right counts and offset. reflect must list the same names in the same order for the struct as for
// the interface. Each row must have the type of its method, and both its code offsets must be those
// of reflect's panicking stub. The last two hold for the methods of Face too. addReflectOff hands
// out the numbers that stand for what reflect made at run time, and for one address it hands out
// one number. So these comparisons are exact, and nothing is dereferenced because of a guess. A
// table that passes is in memory that reflect allocated for this very type, not in a program's
// read-only data. (The program cannot hold an identical compiled type, which reflect.StructOf would
// return instead: the type of entries is private.) After writing, reflect is asked how many methods
// there are and what code each has. If the answer is wrong, the table is put back.
//
// If a check fails, nothing is made and the error says what was found. Other platforms and other
// compilers are not supported, and the build tag rmi_safe compiles all of this out. Supported and
// New then return the same kind of error. It wraps errors.ErrUnsupported and tells to link a stub
// or to use a struct of func fields.
//
// # Decisions
//
// A method table (itab) made by hand also gives a callable value. But converting that to a smaller
// interface gives nil: the runtime looks for the type's methods and finds none. Generating machine
// code was rejected, because not all systems allow it. The dispatcher lies in the proxy instead of
// behind one more pointer. So any pointer can be a dispatcher, and one dispatcher can serve proxies
// of several interfaces. The closures of both kinds of receiver are made, though calls of a
// function taken from the type are rare. Without them such a call would panic.
package dynamic
