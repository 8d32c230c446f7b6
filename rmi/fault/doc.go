// Package fault is what goes wrong in a remote call: the error type of the whole module, the kinds of failure, and the
// names by which errors keep their identity when they cross the wire.
//
// Every failure is an [*Error]. Its [Kind] says what happened, its [Outcome] whether the method may have run, its
// [Origin] which side says so. Ask with the standard library, never by the text:
//
//	errors.Is(err, fault.KindNoSuchObject)           // by kind
//	errors.Is(err, context.DeadlineExceeded)         // also true for fault.KindDeadline
//	errors.Is(err, bank.ErrOverdrawn)                // the peer returned it, and both sides registered it
//	fault.OutcomeOf(err) == fault.OutcomeNotExecuted // safe to try again
//
// The kinds that stand for an error of the standard library match it, as [Error.Is] lists.
//
// # Identity across the wire
//
// An error that a method returns arrives as an Error of kind Application around a [*Remote]: the text, and what of it
// both sides know. A sentinel (io.EOF) is known by a name given with [Register]; a type whose values carry data by one
// given with [RegisterType]. The sentinels of package context, io, io/fs, os, net and errors that a servant is likely to return
// are known from the start. Sentinels and types share one set of names; the names are part of the protocol between
// programs, so they stay when the Go identifier moves: "bank.ErrOverdrawn", not a file path.
package fault
