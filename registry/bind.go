package registry

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

// closeTimeout bounds how long Binding.Close waits for the registry.
const closeTimeout = 5 * time.Second

// maxEntryDescription is the longest description that is sent with a binding.
// An interface that needs more is bound without: MaxMessage has to hold the
// name and the reference too.
const maxEntryDescription = MaxMessage - 4<<10

// Binding is a name that this process bound. It may be ignored: the node takes
// the name back when it is closed or shut down.
type Binding struct {
	url      URL
	registry Registry
	ref      refs.Ref
	release  func() error // gives the export back
	unhook   func()

	made chan struct{} // closed when the registry has answered to Bind
	done chan struct{}

	mu      sync.Mutex // guards the fields below
	bound   bool       // the registry said so
	closing bool       // end was called

	// Written before done is closed, read after.
	closed error // what Close returns
	lost   error // what Err returns
}

// A BindOption changes how Bind and Rebind bind.
type BindOption func(*bindOptions)

type bindOptions struct {
	relayed bool
	export  *rmi.ExportOptions
}

// With says how the object is served, as rmi.Export does.
func With(o rmi.ExportOptions) BindOption { return func(b *bindOptions) { b.export = &o } }

// Relayed allows to bind an object of a node that does not listen. Calls of it
// go through the registry's node, over the connection that this node has with
// it, and fail while there is none.
func Relayed() BindOption { return func(o *bindOptions) { o.relayed = true } }

// Bind exports v as a T, a remote interface or a func type, and binds a name
// that is not bound yet to it. The object stays exported and the name bound until
// the Binding or n is closed. T has to be written, for what Go infers from v is
// the type of v, and no interface:
//
//	b, err := registry.Bind[Account](ctx, node, "bank/alice", &account{})
//
// If v is a proxy, the name is bound to the object that it stands for, which its
// owner exports. ctx bounds the call of the registry, not the binding.
func Bind[T any](ctx context.Context, n *rmi.Node, name string, v T, o ...BindOption) (*Binding, error) {
	return bind(ctx, n, "bind", name, v, o)
}

// Rebind is Bind for a name that may be bound: what was bound to it is replaced.
func Rebind[T any](ctx context.Context, n *rmi.Node, name string, v T, o ...BindOption) (*Binding, error) {
	return bind(ctx, n, "rebind", name, v, o)
}

func bind[T any](ctx context.Context, n *rmi.Node, op, name string, v T, options []BindOption) (*Binding, error) {
	u, r, err := resolveName(n, name)
	if err != nil {
		return nil, failed(op, "", err)
	}
	var o bindOptions
	for _, set := range options {
		set(&o)
	}
	e, release, err := offer(ctx, n, op, name, v, o.export)
	if err != nil {
		return nil, failed(op, u.String(), err)
	}
	b := &Binding{url: u, registry: r, ref: e.Ref, release: release, made: make(chan struct{}), done: make(chan struct{})}
	if err := b.bind(ctx, n, op, e, o); err != nil {
		_ = release()
		return nil, failed(op, u.String(), err)
	}
	return b, nil
}

// offer makes v callable and returns what the registry shall know of it.
func offer[T any](ctx context.Context, n *rmi.Node, op, name string, v T, o *rmi.ExportOptions) (e Entry, release func() error, err error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k != reflect.Interface && k != reflect.Func {
		return e, nil, invalid("%v is not an interface, and an object is bound as one: write registry.%s[Account](ctx, node, %q, v), where Account is the remote interface that %v implements",
			t, strings.ToUpper(op[:1])+op[1:], name, t)
	}
	d, err := rmi.Describe[T]()
	if err != nil {
		return e, nil, err
	}
	if r, ok := n.RefOf(v); ok {
		if r.Interface.Fingerprint != d.Fingerprint() {
			if d, err = n.Describe(ctx, r); err != nil {
				return e, nil, err
			}
		}
		e.Ref, release = r, func() error { return nil }
	} else {
		h, err := rmi.Export[T](n, v, o)
		if err != nil {
			return e, nil, err
		}
		e.Ref, release = h.Ref(), h.Close
	}
	if e.Description, err = d.MarshalBinary(); err != nil {
		_ = release()
		return e, nil, err
	}
	if len(e.Description) > maxEntryDescription {
		e.Description = nil
	}
	return e, release, nil
}

// bind calls the registry. From before that, the node's end is ours.
func (b *Binding) bind(ctx context.Context, n *rmi.Node, op string, e Entry, o bindOptions) error {
	if !o.relayed && !e.Ref.Listens() && !e.Ref.Via.Listens() && !n.Endpoint().Listens() {
		return invalid(`the node does not listen, so nobody could call the object: call node.Listen("127.0.0.1:0") first, ` +
			"or pass registry.Relayed() to have calls go through the registry's node")
	}
	b.unhook = n.BeforeClose(func(ctx context.Context) { _ = b.end(ctx, "the node was closed") })
	var err error
	if op == "rebind" {
		err = b.registry.Rebind(ctx, b.url.Name, e)
	} else {
		err = b.registry.Bind(ctx, b.url.Name, e)
	}
	b.mu.Lock()
	b.bound = err == nil
	b.mu.Unlock()
	close(b.made)
	if err != nil {
		b.unhook()
	}
	return err
}

// Name is the URL of the name, with the address of its registry.
func (b *Binding) Name() string { return b.url.String() }

// Ref is the reference that the name is bound to.
func (b *Binding) Ref() refs.Ref { return b.ref }

// Done is closed when the binding is over: Close was called, or the node was
// closed. (That the registry restarted, or that somebody unbound the name, is
// not noticed before.) Err then tells why.
func (b *Binding) Done() <-chan struct{} { return b.done }

// Err is nil until Done is closed. Then its kind is rmi.Closed if the name was
// unbound by this process; rmi.NotBound if it was lost before, for somebody had
// unbound or rebound it, or the registry had restarted; rmi.NoSuchObject if the
// registry was closed; another kind if the registry did not answer, and may have
// the name still.
func (b *Binding) Err() error {
	select {
	case <-b.done:
		return b.lost
	default:
		return nil
	}
}

// Close unbinds the name, unless it is bound to something else by now, and takes
// the export back: the object cannot be called any more, unless it is exported or
// held otherwise. The error, if any, says that the registry was not reached
// within 5 s; the export is taken back all the same. Closing again returns the
// same.
func (b *Binding) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := b.end(ctx, "the binding was closed")
	b.unhook()
	_ = b.release()
	return err
}

// end unbinds. The export is left alone: calls in flight may lead to more.
func (b *Binding) end(ctx context.Context, why string) error {
	b.mu.Lock()
	first := !b.closing
	b.closing = true
	b.mu.Unlock()
	if !first {
		<-b.done // the first one's context bounds this
		return b.closed
	}
	defer close(b.done)
	select {
	case <-b.made:
	case <-ctx.Done(): // Bind's own call fails when the node's connections end
	}
	b.mu.Lock()
	bound := b.bound
	b.mu.Unlock()
	if !bound {
		b.lost = failed("unbind", b.url.String(), &rmi.Error{Kind: rmi.NotBound, Outcome: rmi.NotExecuted, Msg: "the name was not bound"})
		return nil
	}
	err := b.registry.Unbind(ctx, b.url.Name, b.ref)
	if err == nil {
		b.lost = failed("unbind", b.url.String(), &rmi.Error{Kind: rmi.Closed, Outcome: rmi.Executed, Msg: why})
		return nil
	}
	b.lost = failed("unbind", b.url.String(), err)
	if k := rmi.KindOf(b.lost); k != rmi.NotBound && k != rmi.NoSuchObject {
		b.closed = b.lost
	}
	return b.closed
}
