// Package skeleton receives calls for an owner's objects. It decodes the arguments, calls the
// method, and encodes the results. Generated code that was registered for the interface (Register)
// does this, or else reflection. The package also keeps the table of what a node exports.
//
// # Which interfaces can be exported
//
// An object is exported as one Go interface or func type. Only the methods of that interface can be
// called, never others that the value's type has. Package codec checks the rules when it describes
// the interface. If some are broken, the error lists all of them.
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
// Values of a type travel in the first of these ways that fits:
//
//  1. An interface or func whose methods have the form of rules 2 and 3 travels by reference. A nil
//     stays nil. A nil pointer in such an interface is no object, and the call fails with Invalid.
//  2. Other interfaces hold data. The value's type must have a name (rmi.RegisterType).
//  3. A type that itself declares a codec travels as that codec writes it. A codec is one of
//     EncodeMsgpack, MarshalMsgpack, MarshalBinary or MarshalText, and its counterpart. Methods
//     promoted from an embedded field do not count, because they know nothing of the other fields.
//     The same holds for an IsZero that decides what the tag omitempty leaves out.
//  4. A type is refused if it, or a pointer to it, has methods of the form of rules 2 and 3. It
//     looks like a remote object in place of its interface, and a copy would travel. Data that has
//     such methods says so by a field _ struct{} with the tag `rmi:"value"`.
//  5. A struct travels by the names of its exported fields, with the tags of msgpack. The fields of
//     structs that it embeds travel as its own. No two may have one name. Nothing that is embedded
//     may get lost because it is unexported or has no exported fields, except the mutexes of
//     package sync.
//  6. Everything else travels by its kind, or is refused: channels, complex numbers, memory
//     addresses.
//
// Two programs may have different versions of a struct. A field that one of them lacks is skipped
// or zero. Every other difference is an error: of the comparison of the interfaces before the first
// call, or of the call. The exception is an embedded pointer. One to a struct without fields
// arrives as nil. So does one to a struct that has nothing but embedded pointers, all nil. With the
// tag as_array, so does one to a struct whose fields are all nil.
//
// A pointer to a nil pointer, slice, map or interface arrives as nil. With the tag omitempty, a
// pointer whose type has an IsZero is left out if that reports true, and arrives as nil. That
// happens to a *time.Time that points to the zero time. Without the tag it arrives as it was.
//
// # What a call can end in
//
// A call of an unknown method, or with arguments that do not fit, is refused before the method runs
// (outcome NotExecuted). A method's own error travels as kind Application. But if the deadline of
// the method's context has passed, and the error is that of the deadline, it travels as kind
// Deadline. A caller that did not wait for it gets the same kind. A panic is caught and becomes
// kind Panic with the panic's text. The stack goes to the node's logger, not to the caller. Results
// that cannot travel are an error too, but then the method ran (outcome Executed). Results beside
// an error do not travel: the caller gets zero values.
package skeleton
