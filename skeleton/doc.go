// Package skeleton receives calls for an owner's objects: it decodes the
// arguments, invokes the method, and encodes the results: by code that was
// generated and linked in for the interface (Register), or by reflection. It
// also keeps the table of what a node exports.
//
// # Which interfaces can be exported
//
// An object is exported as one Go interface (or one func type), and only that
// interface's methods can be called, never the others that the value's type
// has. Package wire checks the rules when the interface is described; an
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
// # What a call can end in
//
// An unknown method, and arguments that do not fit, are refused before the
// method runs (outcome NotExecuted). A method's own error travels as kind
// Application, but the error of its context's deadline, once that has passed, as
// kind Deadline, which is what the caller says who did not wait for it. A panic is caught and becomes kind Panic with the panic's text;
// the stack goes to the node's logger, not to the caller. Results that cannot
// travel are an error too, but then the method ran (outcome Executed).
package skeleton
