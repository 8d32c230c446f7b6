package rmi

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/backoff"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/callmeta"
	"gormi/rmi/transport"
)

// invocation is one call of a proxy: its attempts, until one succeeds or none can.
//
// A call whose outcome is NotExecuted is retried if time may help (mendable), or if a following
// proxy found another object. One whose outcome is Unknown is retried only if the method is
// idempotent. All attempts are made within the call's deadline. A lost connection does not end an
// attempt: the session resumes it.
//
// An invocation is reused by later calls, with all that a call needs on the way.
type invocation struct {
	node     *Node
	ctx      context.Context
	core     *proxy.Core
	method   *codec.Method
	begun    time.Time // if the deadline is a default
	deadline time.Time
	coarse   bool // the deadline is a default

	target *proxy.Core // the proxy itself, or that through which a following one goes
	tried  bool
	over   bool     // there will be no other attempt
	fails  int      // attempts that failed in a way that time may mend
	maybe  error    // what an attempt came to that may have run
	x      exchange // the attempt
	err    error    // why the call failed, complete
}

var _ proxy.Invocation = (*invocation)(nil)

var invocations = sync.Pool{New: func() any { return new(invocation) }}

// retries are the pauses between attempts.
var retries = backoff.Policy{Min: 5 * time.Millisecond, Max: time.Second, Jitter: 0.5}

// Begin implements proxy.Caller: it begins the call of a proxy.
func (n *proxyCaller) Begin(ctx context.Context, c *proxy.Core, m *codec.Method) proxy.Invocation {
	if len(n.opts.Interceptors) > 0 && ctx != nil {
		return (*Node)(n).intercept(ctx, c, m)
	}
	return n.begin(ctx, c, m)
}

// begin is Begin without interceptors.
func (n *proxyCaller) begin(ctx context.Context, c *proxy.Core, m *codec.Method) *invocation {
	v := invocations.Get().(*invocation)
	v.node, v.ctx, v.core, v.target, v.method = (*Node)(n), ctx, c, c, m
	if ctx == nil {
		v.over = true
		v.fail(fault.New(KindInvalid, OutcomeNotExecuted, "the context is nil: pass context.Background() if there is none"))
		return v
	}
	if c.Refresh != nil {
		v.target = c.Target()
	}
	var ok bool
	if v.deadline, ok = ctx.Deadline(); !ok {
		v.coarse, v.begun = true, time.Now()
		v.deadline = v.begun.Add(v.timeout())
	}
	return v
}

// timeout is what the call gets if its context has no deadline.
func (v *invocation) timeout() time.Duration {
	return cmp.Or(v.semantics().Timeout, v.node.opts.Timeout)
}

// semantics are the owner's for the method, as far as they are known yet.
func (v *invocation) semantics() codec.Semantics {
	if all := v.target.Semantics.Load(); all != nil {
		return (*all)[v.method.Index]
	}
	return v.method.Semantics
}

func (v *invocation) fail(err error) {
	if v.ctx != nil && v.ctx.Err() == context.Canceled && context.Cause(v.ctx) == transport.ErrReturned {
		err = afterReturn(err)
	}
	if v.coarse {
		whose := byNode
		if v.semantics().Timeout > 0 {
			whose = byOwner
		}
		err = late(err, v.timeout(), whose)
	}
	v.err = fault.Add(err, fault.Call(v.target.Ref(), v.method.Interface.Name, v.method.Name))
}

// afterReturn adds to the error of a cancelled call why it was cancelled, if its context is that of
// a method that has returned.
func afterReturn(err error) error {
	var f *Error
	if !errors.As(err, &f) || f.Kind != KindCancelled || f.Origin == fault.OriginPeer {
		return err
	}
	return fault.Add(f, fault.Cause(transport.ErrReturned))
}

// Attempt implements proxy.Invocation: it finds the session with the owner and
// makes sure that both sides agree on the interface.
func (v *invocation) Attempt() bool {
	for !v.over {
		if v.tried && !v.again() {
			return false
		}
		v.tried, v.err = true, nil
		if v.core.Refresh != nil {
			v.target = v.core.Target()
		}
		to, ok := v.target.Cache.Load().(route)
		var err error
		if !ok || to.session.Err() != nil || !v.target.Agreed.Load() {
			to, err = v.meet()
		}
		if err == nil && v.target != v.core && to.session.Detached() {
			err = errDetached
		}
		if err == nil {
			v.x.begin(v.node, to)
			return true
		}
		v.fail(fault.Add(err, fault.OutcomeNotExecuted)) // agreeing runs nothing of the object's
	}
	return false
}

// meet finds the session with the owner and agrees on the interface, within the call's deadline.
// That deadline may change: the method's own may have been known only to the owner.
func (v *invocation) meet() (route, error) {
	ctx, n := v.ctx, v.node
	if v.coarse {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, v.deadline)
		defer cancel()
	}
	to, err := n.routeOf(ctx, v.target)
	if err != nil || v.target.Agreed.Load() {
		return to, err
	}
	if v.target != v.core && to.session.Detached() {
		return to, errDetached
	}
	if err = n.agree(ctx, v.target, to); err == nil && v.coarse {
		v.deadline = v.begun.Add(v.timeout())
	}
	return to, err
}

// again reports whether to make another attempt. It returns when it is time for that.
func (v *invocation) again() bool {
	if v.err == nil { // the last one succeeded
		v.over = true
		return false
	}
	unknown := OutcomeOf(v.err) == OutcomeUnknown
	if unknown {
		v.maybe = v.err
	}
	switch {
	case unknown && !v.semantics().Idempotent:
		v.over = true
	case v.core.Refresh != nil && ownerGone(v.err, unknown):
		ctx, cancel := context.WithDeadline(callmeta.Without(v.ctx), v.deadline) // the registry is not whom they are for
		_, err := v.core.Refresh(ctx, v.target.Ref(), v.err)
		cancel()
		if v.over = err != nil; v.over {
			v.fail(err)
		}
	case v.ctx.Err() != nil || !time.Now().Before(v.deadline), !v.mendable(unknown):
		v.over = true
	default:
		v.over = !v.wait()
	}
	return !v.over
}

// mendable reports whether an attempt may succeed after the last one: the peer was busy, the
// session ended, the network did not answer where it did before, or the call came too late to its
// relay. It does not help to wait if nobody listens at the owner's address, if another node does,
// or if the owner shuts down.
func (v *invocation) mendable(unknown bool) bool {
	var f *Error
	if !errors.As(v.err, &f) {
		return false
	}
	switch f.Kind {
	case KindOverloaded:
		return f.Origin == fault.OriginPeer
	case KindNoSuchObject:
		return f.Origin == fault.OriginPeer && v.node.overtaken(v.x.to, v.target.Ref().ID.Node, f.Kind)
	case KindPeerGone:
		if unknown {
			return true
		}
		// The reference does not lead to another process at the owner's address.
		gone := errors.Is(v.err, transport.ErrRefused) && !v.x.to.relay && !v.target.Ref().ID.Node.IsZero()
		return errors.Is(v.err, transport.ErrOver) && !gone
	case KindConnectFailed:
		return unknown || v.maybe != nil && f.Origin != fault.OriginPeer && !errors.Is(v.err, syscall.ECONNREFUSED)
	}
	return false
}

// wait waits before the next attempt, longer each time. It reports false if the call has no time
// left for that.
func (v *invocation) wait() bool {
	v.fails++
	pause := retries.Delay(v.fails)
	return time.Until(v.deadline) > pause && backoff.Sleep(v.ctx, pause)
}

// Encoder implements proxy.Invocation.
func (v *invocation) Encoder() *codec.Encoder { return v.x.enc }

// Send implements proxy.Invocation.
func (v *invocation) Send(encodeErr error) {
	req := &v.x.req
	req.OneWay = v.semantics().OneWay && len(v.method.Out) == 0
	req.Deadline, req.Coarse, req.Name = v.deadline, v.coarse, v.method
	if encodeErr == nil {
		encodeErr = v.x.carry(v.ctx)
	}
	err := v.x.send(v.ctx, v.target.Ref(), v.method.ID, encodeErr)
	v.over = err == nil || encodeErr != nil
	if err != nil {
		v.fail(err)
	}
}

// Results implements proxy.Invocation.
func (v *invocation) Results() *codec.Decoder { return v.x.dec }

// End implements proxy.Invocation.
func (v *invocation) End(decodeErr error) error {
	if decodeErr != nil {
		v.fail(fault.Add(decodeErr, fault.OutcomeExecuted))
	}
	v.x.end()
	err := v.err
	if err != nil && v.maybe != nil && OutcomeOf(err) == OutcomeNotExecuted {
		err = v.unknown(err)
	}
	runtime.KeepAlive(v.core)
	*v = invocation{}
	invocations.Put(v)
	return err
}

// unknown is the error of a call of which an earlier attempt may have run.
func (v *invocation) unknown(err error) error {
	f := fault.Add(err)
	first := strings.TrimPrefix(attempt(v.maybe).Error(), "rmi: ")
	return fault.Add(fault.New(f.Kind, fault.OutcomeUnknown, "an attempt may have run (%s), and the last failed", first),
		fault.Op(f.Op), fault.Call(f.Ref, f.Interface, f.Method), f.Origin, fault.Cause(attempt(err)))
}

// attempt returns the error of an attempt without what the call's error says already.
func attempt(err error) *Error {
	f := fault.Add(err)
	f.Op, f.Ref, f.Interface, f.Method = "", refs.Ref{}, "", ""
	return f
}
