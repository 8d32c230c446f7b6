// Package skeleton receives calls for an owner's objects: it decodes the
// arguments, invokes the method, and encodes the results: by code that was
// generated and linked in for the interface (Register), or by reflection. It
// also keeps the table of what a node exports.
//
// # Which interfaces can be exported
//
// An object is exported as one Go interface (or one func type), and only that
// interface's methods can be called, never the others that the value's type
// has. Package codec checks the rules when the interface is described; an
// interface that breaks some is refused with all of them listed.
//
//  1. The interface has at least one method, and all its methods are exported.
//  2. Every method takes a context.Context first.
//  3. Every method returns an error last.
//  4. Every other parameter and result is of a type that can travel.
//  5. No two methods' ids (FNV-1a hashes of their names) are equal, and none is 0.
//  6. At most 255 methods, 255 parameters and results a method, names of at most 255 bytes.
//  7. A method that is declared one-way has no results but its error.
//
// A func type is an interface of one method named Call, to which rules 2 to 4 apply.
//
// # Which types can travel
//
// Values of a type travel in one of these ways, the first that fits:
//
//  1. An interface or func whose methods have the form of rules 2 and 3
//     travels by reference. A nil stays nil; a nil pointer in such an
//     interface is no object, and the call fails with Invalid.
//  2. Other interfaces are data: the value's type has a name
//     (rmi.RegisterType).
//  3. A type that itself declares a codec (EncodeMsgpack, MarshalMsgpack,
//     MarshalBinary or MarshalText, and its counterpart) travels as that
//     writes it. Methods that an embedded field lends do not count, for they
//     know nothing of the other fields; so with an IsZero that is to decide
//     what the tag omitempty leaves out.
//  4. A type that has, or whose pointer has, methods of the form of rules 2
//     and 3 is refused: it looks like a remote object that stands there in
//     place of its interface, and a copy would travel. Data that has such
//     methods says so by a field _ struct{} with the tag `rmi:"value"`.
//  5. A struct travels by the names of its exported fields, with the tags of
//     msgpack. The fields of structs that it embeds travel as its own. No
//     two may have one name, and nothing that is embedded may get lost
//     because it is unexported or has no exported fields (but for the
//     mutexes of package sync).
//  6. Everything else travels by its kind, or is refused: channels, complex
//     numbers, memory addresses.
//
// Two programs may have different versions of a struct. What one of them lacks
// is skipped or zero; everything else is told: by the comparison of the
// interfaces before the first call, or by an error of the call. Only whether an
// embedded pointer is nil cannot always be told: one to a struct that has nothing
// but embedded pointers, all nil, arrives as nil; so does, with the tag as_array,
// one to a struct whose fields are all nil. One to a struct without fields arrives as nil.
//
// A pointer to a nil pointer, slice, map or interface arrives as nil. With the tag omitempty, a
// pointer whose type has an IsZero is left out if that reports true, and arrives as nil: so does
// a *time.Time that leads to the zero time. Without the tag it arrives as it was.
//
// # What a call can end in
//
// An unknown method, and arguments that do not fit, are refused before the
// method runs (outcome NotExecuted). A method's own error travels as kind
// Application, but the error of its context's deadline, once that has passed, as
// kind Deadline, which is what the caller says who did not wait for it. A panic is caught and becomes kind Panic with the panic's text;
// the stack goes to the node's logger, not to the caller. Results that cannot
// travel are an error too, but then the method ran (outcome Executed). Results
// beside an error do not travel: the caller gets zero values.
package skeleton
