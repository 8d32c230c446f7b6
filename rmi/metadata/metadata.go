// Package metadata carries key-value pairs beside the arguments of a call: who asks, on whose
// behalf, which version, an id for the logs.
//
//	// the caller
//	ctx = metadata.With(ctx, "tenant", "blue")
//	balance, err := acct.Deposit(ctx, 100)
//
//	// the method
//	tenant, ok := metadata.Get(ctx, "tenant")
//
//	// back: the method sets a pair, the caller reads it when the call has returned
//	err := metadata.SetReply(ctx, "version", "7")
//
//	ctx, reply := metadata.WithReply(ctx)
//	balance, err := acct.Deposit(ctx, 100)
//	version, ok := reply.Get("version")
//
// The rules:
//
//  1. A pair goes with every call that is made with the context: of proxies, of functions that
//     were passed, by name (Node.Invoke), and those that other packages make with it, as
//     registry.Lookup does. Use Without for calls that are to carry nothing.
//  2. A method gets the pairs of its own call. They do not go with the calls that it makes
//     itself, unless the caller marked them (WithPassedOn). A marked pair goes with all calls of
//     the chain. A method that gives its key another value replaces it.
//  3. A key has 1 to 255 bytes, is UTF-8 and has no control characters. A value is any bytes. No
//     key comes twice: a later value replaces an earlier one.
//  4. A call carries MaxSize bytes at most, and so does its reply. Keys and values count, and 4
//     bytes for each pair. The pairs that are passed on count too.
//  5. A pair that breaks rule 3 or 4 is not sent: the call fails with kind Invalid or TooLarge
//     and outcome NotExecuted, and SetReply returns an error of that kind. Peers that send such
//     pairs get an error, and of a reply that is the end of the session.
//  6. What a method set comes back with an error too. Nothing comes back from a call that did not
//     run, or of which no reply came, or that is one-way.
//  7. Relays pass the pairs on, both ways, and can read them. Without TLS everybody on the way
//     can. A pair is proof of nothing: see rmi.PeerFrom for who calls.
package metadata

import (
	"context"

	"gormi/rmi/fault"
	"gormi/rmi/internal/callmeta"
	"gormi/rmi/wire"
)

// MaxSize is how many bytes of metadata go with a call, and with a reply: 8 KiB less what else
// stands in the same header.
const MaxSize = wire.MaxMetadata

// With returns a context whose calls carry the pair. A call made with a bad key, or with too
// much, fails.
func With(ctx context.Context, key, value string) context.Context {
	return callmeta.With(ctx, wire.MetadataPair{Key: key, Value: value})
}

// WithPassedOn is With for a pair that also goes with the calls that are made to serve these
// calls, and so on.
func WithPassedOn(ctx context.Context, key, value string) context.Context {
	return callmeta.With(ctx, wire.MetadataPair{Key: key, Value: value, PassOn: true})
}

// Without returns a context whose calls carry nothing: neither what With gave it, nor what is
// passed on. It also ends what WithReply began.
func Without(ctx context.Context) context.Context { return callmeta.Without(ctx) }

// Get returns the value of a key in the metadata of the call that ctx belongs to. ok is false
// if the call has no such key, or ctx is not of a remote call.
func Get(ctx context.Context, key string) (value string, ok bool) {
	if c := callmeta.ServedBy(ctx); c != nil {
		return c.Metadata().Get(key)
	}
	return "", false
}

// From returns the metadata of the call that ctx belongs to. The map is the caller's own. It is
// empty if the call has none, and nil if ctx is not of a remote call.
func From(ctx context.Context) map[string]string {
	c := callmeta.ServedBy(ctx)
	if c == nil {
		return nil
	}
	return toMap(c.Metadata())
}

// Outgoing returns the metadata that a call made with ctx would carry, or why it would fail.
func Outgoing(ctx context.Context) (map[string]string, error) {
	m, _, err := callmeta.Of(ctx)
	if err != nil {
		return nil, err
	}
	return toMap(m), nil
}

// SetReply has the reply of the call that ctx belongs to carry a pair. A later value of a key
// replaces an earlier one. It returns an error if the pair breaks a rule, if ctx is not of a
// remote call, or if the call was answered already.
func SetReply(ctx context.Context, key, value string) error {
	c := callmeta.ServedBy(ctx)
	if c == nil {
		return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the context is not of a call that is being served")
	}
	return c.SetReplyMetadata(key, value)
}

// Reply is the metadata that came back. If several calls were made with its context, it is that
// of the last one that was answered.
type Reply struct{ r *callmeta.Reply }

// WithReply returns a context, and the place for what comes back with the replies of the calls
// that are made with it.
func WithReply(ctx context.Context) (context.Context, *Reply) {
	ctx, r := callmeta.WithReply(ctx)
	return ctx, &Reply{r}
}

// Get returns the value of a key.
func (r *Reply) Get(key string) (value string, ok bool) { return r.r.Metadata().Get(key) }

// All returns all pairs. The map is the caller's own. It is empty while no reply came.
func (r *Reply) All() map[string]string { return toMap(r.r.Metadata()) }

func toMap(m wire.Metadata) map[string]string {
	all := make(map[string]string)
	for p := range m.All() {
		all[p.Key] = p.Value
	}
	return all
}
