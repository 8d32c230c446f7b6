package registry

import (
	"context"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/fault"
)

// closeTimeout is how long Binding.Close waits for the registry at most.
const closeTimeout = 5 * time.Second

// maxEntryDescription is the longest description that is sent with a binding. A longer one
// is left out, because MaxMessage has to hold the name and the reference too.
const maxEntryDescription = MaxMessage - 4<<10

// Binding is a name that this process bound. A program may ignore it: the node renews it, and
// unbinds the name when the node is closed.
type Binding struct {
	url     URL
	claim   Claim
	release func() error // ends the export; does nothing for a proxy
	unhold  func()       // ends the hold on a proxy's object; does nothing for an export
	renewer *renewer
	stays   bool // Permanent was asked for

	made chan struct{} // closed when the registry has answered to Bind
	done chan struct{}

	mu    sync.Mutex
	state bindingState // guarded by mu; reached by lock alone

	// Written before done is closed, read after.
	closed error // what Close returns
	lost   error // what Err returns
}

// bindingState is what the lock of a Binding guards. Its methods need that lock.
type bindingState struct {
	bound    bool // the registry said so
	leased   bool // else it stays bound without being renewed
	unsure   bool // the registry may have given a revision, and its answer was lost
	closing  bool // it is being unbound, or was lost
	revision Revision
	lease    time.Duration
}

// lock returns the state, which the caller may use until it unlocks mu.
func (b *Binding) lock() *bindingState {
	b.mu.Lock()
	return &b.state
}

// BindOptions say how Bind and Rebind bind. The zero value is a leased name.
type BindOptions struct {
	// Export says how the object is exported. It is not for a proxy, which its owner exports.
	Export rmi.ExportOptions

	// Relayed permits a node that does not listen to bind an object. Calls of it go through the
	// registry's node, over this node's connection with it. They fail while there is none.
	Relayed bool

	// Permanent binds a name that stays bound when the node is closed or killed. It ends when the
	// name is unbound (Binding.Close does that too) or rebound, or when the registry ends. Nothing
	// renews it, and Binding.Done does not report that it was lost. It is for objects that outlive
	// the program which binds them.
	Permanent bool

	// Lease is how long the name stays bound after the registry last heard from the node. If zero,
	// 20 s. Use more where the network may be interrupted for longer. The registry grants at
	// least a second, and at most ServeOptions.MaxLease.
	Lease time.Duration
}

// Bind exports v as a T and binds a free name to it. T is a remote interface or a func type. A
// leased name whose holder's session with the registry is cut counts as free for a node of the
// same principal, and for who may rebind it. So a program that was killed can be started again
// at once. The object stays exported, and the name bound, until the Binding or n is closed. n
// renews the lease. Write T out: Go would infer the type of v, which is not an interface:
//
//	b, err := registry.Bind[Account](ctx, node, "bank/alice", &account{}, nil)
//
// If v is a proxy, the name is bound to the remote object. n holds that object while the name
// is bound, and relays its calls if the owner does not listen. ctx bounds the call of the
// registry, not the binding. o may be nil.
func Bind[T any](ctx context.Context, n *rmi.Node, name string, v T, o *BindOptions) (*Binding, error) {
	return bind(ctx, n, "bind", name, v, o)
}

// Rebind is Bind for a name that may be bound already. It replaces what was bound, and the
// Binding that had the name is over (Done).
func Rebind[T any](ctx context.Context, n *rmi.Node, name string, v T, o *BindOptions) (*Binding, error) {
	return bind(ctx, n, "rebind", name, v, o)
}

func bind[T any](ctx context.Context, n *rmi.Node, op, name string, v T, o *BindOptions) (*Binding, error) {
	u, r, err := resolveName(n, name)
	if err != nil {
		return nil, during(op, "", err)
	}
	if o == nil {
		o = new(BindOptions)
	}
	if o.Permanent && o.Lease != 0 {
		return nil, during(op, u.String(), invalid("BindOptions has both Permanent and Lease: choose one"))
	}
	if o.Lease < 0 {
		return nil, during(op, u.String(), invalid("BindOptions.Lease is %v: it is positive, or zero for the registry's own", o.Lease))
	}
	e, release, unhold, err := offer(ctx, n, op, name, v, &o.Export)
	if err != nil {
		return nil, during(op, u.String(), err)
	}
	b := &Binding{
		url: u, claim: Claim{Name: u.Name, Entry: e, Lease: o.Lease, Replace: op == "rebind"}, stays: o.Permanent,
		release: release, unhold: unhold, renewer: renewerOf(n, u, r), made: make(chan struct{}), done: make(chan struct{}),
	}
	if err := b.bind(ctx, n, o); err != nil {
		_ = release()
		unhold()
		return nil, during(op, u.String(), err)
	}
	return b, nil
}

// offer exports v, or holds its object if it is a proxy. It returns the entry for the registry,
// and how to end the export and the hold.
func offer[T any](ctx context.Context, n *rmi.Node, op, name string, v T, o *rmi.ExportOptions) (e Entry, release func() error, unhold func(), err error) {
	release, unhold = func() error { return nil }, func() {}
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k != reflect.Interface && k != reflect.Func {
		return e, release, unhold, invalid("%v is not an interface, and an object is bound as one: write registry.%s[Account](ctx, node, %q, v), where Account is the remote interface that %v implements",
			t, strings.ToUpper(op[:1])+op[1:], name, t)
	}
	d, err := rmi.Describe[T]()
	if err != nil {
		return e, release, unhold, err
	}
	if r, ok := rmi.RefOf(v); ok {
		if !reflect.ValueOf(*o).IsZero() {
			return e, release, unhold, invalid("the object is another node's, which exports it as it likes: BindOptions.Export is for the export of an object of one's own")
		}
		give := n.Hold(r)
		// v itself is kept too: if it is another node's, that one has the hold.
		e.Ref, unhold = r, func() { give(); runtime.KeepAlive(v) }
	} else {
		var h *rmi.Handle[T]
		if h, err = rmi.Export[T](n, v, o); err == nil {
			e.Ref, release = h.Ref(), h.Close
		}
	}
	// The object's own description, with the semantics that its export gave it, is the
	// one of the fingerprint in its reference.
	if err == nil && e.Ref.Interface.Fingerprint != d.Fingerprint() {
		d, err = n.Describe(ctx, e.Ref)
	}
	if err == nil {
		e.Description, err = d.MarshalBinary()
	}
	if err != nil {
		_ = release()
		unhold()
		return e, release, unhold, err
	}
	if len(e.Description) > maxEntryDescription {
		e.Description = nil
	}
	return e, release, unhold, nil
}

// bind calls the registry. Before it does, it registers b with the renewer, which unbinds it
// when the node closes.
func (b *Binding) bind(ctx context.Context, n *rmi.Node, o *BindOptions) error {
	if r := b.claim.Entry.Ref; !o.Relayed && !r.Listens() && !r.Via.Listens() && !n.Endpoint().Listens() {
		return invalid(`the node does not listen, so nobody could call the object: call node.Listen(ctx, "127.0.0.1:0") first, ` +
			"or set BindOptions.Relayed to have calls go through the registry's node")
	}
	if err := b.renewer.add(b); err != nil {
		return err
	}
	var g Grant
	var err error
	if b.stays {
		err = b.bindForGood(ctx)
	} else {
		g, err = b.acquire(ctx)
	}
	b.claim.Replace = false
	b.lock().answered(g, err)
	b.mu.Unlock()
	close(b.made)
	if err != nil {
		b.renewer.drop(b)
		return err
	}
	b.renewer.attend(g.Lease)
	return nil
}

// acquire claims the name.
func (b *Binding) acquire(ctx context.Context) (Grant, error) {
	grants, err := b.renewer.acquire(ctx, []Claim{b.claim})
	if err != nil {
		return Grant{}, err
	}
	return grants[0], grants[0].Refused
}

// bindForGood binds the name without a lease.
func (b *Binding) bindForGood(ctx context.Context) error {
	bind := b.renewer.registry.Bind
	if b.claim.Replace {
		bind = b.renewer.registry.Rebind
	}
	return bind(ctx, b.claim.Name, b.claim.Entry)
}

// answered notes the registry's answer to Bind. g is zero if it gave no lease.
func (b *bindingState) answered(g Grant, err error) {
	if b.bound = err == nil; g.Revision != 0 {
		b.granted(g)
	}
}

// granted notes a grant.
func (b *bindingState) granted(g Grant) {
	b.leased, b.unsure = true, false
	b.revision, b.lease = g.Revision, g.Lease
}

// unanswered notes that a claim failed with err. The registry may have granted it.
func (b *bindingState) unanswered(err error) {
	b.unsure = b.unsure || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted
}

// Name is the URL of the name, with the address of its registry.
func (b *Binding) Name() string { return b.url.String() }

// Ref is the reference that the name is bound to.
func (b *Binding) Ref() refs.Ref { return b.claim.Entry.Ref }

// Revision is the number that the registry gave to the binding. It is higher than that of all
// earlier bindings of the name. It changes when the name was lost and bound again. It is 0 if
// the binding is permanent.
func (b *Binding) Revision() Revision {
	defer b.mu.Unlock()
	return b.lock().revision
}

// Done is closed when the binding is over: Close was called, the node was closed, or the name
// was lost. It is lost when somebody rebinds or unbinds it, or takes it while the session with
// the registry is cut. The loss of a permanent binding is not noticed. Err then says why. The
// node does not bind a lost name again; the program may. The object stays exported until Close,
// for those that hold references to it.
func (b *Binding) Done() <-chan struct{} { return b.done }

// Err is nil until Done is closed. Then its kind is
//
//   - rmi.KindClosed if this process unbound the name, or closed the node of a permanent binding,
//     which leaves the name bound;
//   - rmi.KindNotBound if the name was lost before: somebody unbound or rebound it, and the
//     text says who;
//   - rmi.KindDenied if the registry's policy does not let this node keep the name any more;
//   - rmi.KindNoSuchObject if the registry was closed;
//   - another kind if the registry refused to bind the name again after a restart, or did not
//     answer and may still have the name.
func (b *Binding) Err() error {
	select {
	case <-b.done:
		return b.lost
	default:
		return nil
	}
}

// Close unbinds the name, unless it was lost, and ends the export. The object cannot be called
// any more, unless it is also exported or held in another way. An error says that the registry
// was not reached within 5 s. Even then the export ends, and the lease lapses by itself.
// Closing again returns the same.
func (b *Binding) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if b.begin() {
		b.end(b.unbind(ctx, "the binding was closed"))
	} else {
		<-b.done // the first one's context bounds this
	}
	_ = b.release()
	return b.closed
}

// begin reports whether the caller is the one that ends the binding. If so it must call end.
func (b *Binding) begin() bool {
	s := b.lock()
	defer b.mu.Unlock()
	first := !s.closing
	s.closing = true
	return first
}

// end ends the binding for the reason lost. It does not end the export, because calls in flight
// may lead to more calls. Close returns the error if the registry may still have the name.
func (b *Binding) end(lost error) {
	b.lost = during("unbind", b.url.String(), lost)
	switch rmi.KindOf(b.lost) {
	case rmi.KindClosed, rmi.KindNotBound, rmi.KindNoSuchObject:
	default:
		b.closed = b.lost
	}
	b.over()
}

// over ends what the binding holds: the name is not its own any more.
func (b *Binding) over() {
	b.renewer.drop(b)
	b.unhold()
	close(b.done)
}

// lose ends the binding, unless somebody else does. The registry said that the name is bound to
// another object, or that it does not take the name again.
func (b *Binding) lose(why error) {
	if !b.begin() {
		return
	}
	b.lost = during("renew", b.url.String(), why)
	if e, ok := b.lost.(*rmi.Error); ok && e.Kind == rmi.KindAlreadyBound {
		e.Kind = rmi.KindNotBound // to the object of this binding
	}
	b.over()
	b.renewer.node.Logger().Warn("a binding was lost", "name", b.url.String(), "err", b.lost)
}

// unbind unbinds the name at the registry, and returns why the binding is over. b is closing.
func (b *Binding) unbind(ctx context.Context, why string) error {
	b.settle(ctx)
	s := b.lock()
	bound, held := s.bound, Held{b.claim.Name, s.revision}
	byRevision := s.leased && !s.unsure
	b.mu.Unlock()
	var err error
	switch {
	case !bound:
	case byRevision:
		var lost []Lost
		if lost, err = b.renewer.release(ctx, []Held{held}); len(lost) > 0 {
			err = lost[0].reason()
		}
	default:
		err = b.renewer.registry.Unbind(ctx, b.claim.Name, b.Ref())
	}
	if err != nil {
		return err
	}
	return closed(why)
}

// settle waits until the registry has answered Bind, and until the renewer has finished an attempt
// to bind the name again. The renewer skips bindings that are closing.
func (b *Binding) settle(ctx context.Context) {
	select {
	case <-b.made:
	case <-ctx.Done(): // Bind's own call fails when the node's connections end
		return
	}
	select {
	case b.renewer.turn <- struct{}{}:
		<-b.renewer.turn
	case <-ctx.Done():
	}
}

// reason says why a name is not held any more.
func (l Lost) reason() error {
	switch {
	case l.Unbound:
		return refused(rmi.KindNotBound, "%s", l.what())
	case l.By != "":
		return refused(rmi.KindNotBound, "the name is bound to another object by now, %s", shown(l.By))
	case l.Now != 0:
		return refused(rmi.KindNotBound, "the name was bound to another object meanwhile")
	}
	return notBound()
}

// what says who unbound a name.
func (l Lost) what() string {
	if l.By == "" {
		return "somebody unbound the name"
	}
	return "the name was unbound by " + shown(l.By)
}

// shown makes what a registry said fit for a message.
func shown(s string) string {
	const most = 600 // an interface, two hosts and the words between
	if len(s) > most {
		s = s[:most] + "…"
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

func closed(why string) error { return fault.New(fault.KindClosed, fault.OutcomeExecuted, "%s", why) }
