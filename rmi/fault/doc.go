// Package fault describes failures of remote calls. It has the error type of the whole module, the
// kinds of failure, and the names by which errors keep their identity when they cross the wire.
//
// Every failure is an [*Error]. Its [Kind] says what happened. Its [Outcome] says whether the
// method may have run, its [Origin] which side found the failure. Ask with the standard library,
// never by the text:
//
//	errors.Is(err, fault.KindNoSuchObject)           // by kind
//	errors.Is(err, context.DeadlineExceeded)         // also true for fault.KindDeadline
//	errors.Is(err, bank.ErrOverdrawn)                // the peer returned it; both registered it
//	fault.OutcomeOf(err) == fault.OutcomeNotExecuted // safe to try again
//
// The kinds that stand for an error of the standard library match it, as [Error.Is] lists.
//
// # Identity across the wire
//
// An error that a method returns arrives as an Error of kind Application. It wraps a [*Remote],
// which holds the text and the errors that both sides know. A sentinel (io.EOF) is known by a name
// given with [Register]. A type whose values carry data is known by a name given with
// [RegisterType]. The sentinels of package context, io, io/fs, os, net and errors that a servant is
// likely to return are known from the start. Sentinels and types share one set of names. The names
// are part of the protocol between programs. So they stay when the Go identifier moves: use
// "bank.ErrOverdrawn", not a file path.
package fault
