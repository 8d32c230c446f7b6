package rmi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
)

// invocation is one call of a proxy: its attempts, until one succeeds or none can.
//
// A call whose outcome is NotExecuted is made again where time may mend what
// failed (mendable), and where a following proxy is led to another object; one
// whose outcome is Unknown, only if the method is idempotent. All of it within
// the call's deadline. Losing a connection is not the end of an attempt: that is
// the session's to mend.
//
// It is used from call to call, with all that a call needs on the way.
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
	over   bool // there will be no other attempt
	pause  time.Duration
	maybe  error // what an attempt came to that may have run
	to     route
	enc    *codec.Encoder // of an attempt, until Send
	req    transport.Request
	reply  transport.Reply // to be released if there is a dec
	table  []refs.Ref      // of the reply, counted
	dec    *codec.Decoder
	err    error // why the call failed, complete
}

var _ proxy.Invocation = (*invocation)(nil)

var invocations = sync.Pool{New: func() any { return new(invocation) }}

const (
	firstRetry = 5 * time.Millisecond // pause before the second attempt; it is doubled each time
	lastRetry  = time.Second
)

// Begin implements proxy.Caller: it begins the call of a proxy.
func (n *proxyCaller) Begin(ctx context.Context, c *proxy.Core, m *codec.Method) proxy.Invocation {
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
	v.err = v.node.failed(err, v.target.Ref(), v.method)
}

// afterReturn says in the error of a call that was cancelled why: its context is that
// of a method that has returned.
func afterReturn(err error) error {
	var f *Error
	if !errors.As(err, &f) || f.Kind != KindCancelled || f.Origin == fault.OriginPeer {
		return err
	}
	c := *f
	c.Err = transport.ErrReturned
	return &c
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
			v.to, v.enc = to, codec.NewEncoder(sideOf(to.session), &v.node.limits)
			return true
		}
		v.fail(asError(err, OutcomeNotExecuted)) // agreeing runs nothing of the object's
	}
	return false
}

// meet finds the session with the owner and agrees on the interface, by the
// call's deadline. That is another one if only the owner knew the method's.
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

// again reports whether to make another attempt, when it is time for it.
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
		ctx, cancel := context.WithDeadline(v.ctx, v.deadline)
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

// mendable tells of the last attempt whether the next may succeed: the peer was
// busy, the session ended, the network did not answer where it did before, the call
// came to its relay too late.
// Nobody listening at the owner's address, another node there, or an owner that
// shuts down are for good.
func (v *invocation) mendable(unknown bool) bool {
	var f *Error
	if !errors.As(v.err, &f) {
		return false
	}
	switch f.Kind {
	case KindOverloaded:
		return f.Origin == fault.OriginPeer
	case KindNoSuchObject:
		return f.Origin == fault.OriginPeer && v.node.overtaken(v.to, v.target.Ref().ID.Node, f.Kind)
	case KindPeerGone:
		if unknown {
			return true
		}
		// To another process at the owner's address the reference does not lead.
		gone := errors.Is(v.err, transport.ErrRefused) && !v.to.relay && !v.target.Ref().ID.Node.IsZero()
		return errors.Is(v.err, transport.ErrOver) && !gone
	case KindConnectFailed:
		return unknown || v.maybe != nil && f.Origin != fault.OriginPeer && !errors.Is(v.err, syscall.ECONNREFUSED)
	}
	return false
}

// wait lets a growing while pass before the next attempt. It reports false if
// there is no time for one.
func (v *invocation) wait() bool {
	v.pause = min(max(2*v.pause, firstRetry), lastRetry)
	pause := v.pause/2 + rand.N(v.pause/2+1)
	if time.Until(v.deadline) <= pause {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-v.ctx.Done():
		return false
	}
}

// Encoder implements proxy.Invocation.
func (v *invocation) Encoder() *codec.Encoder { return v.enc }

// Send implements proxy.Invocation.
func (v *invocation) Send(encodeErr error) {
	enc := v.enc
	v.enc = nil
	if encodeErr != nil {
		v.node.ungive(v.to.session, enc.Refs()...)
		enc.Release()
		v.over = true
		v.fail(asError(encodeErr, OutcomeNotExecuted))
		return
	}
	v.req = transport.Request{OneWay: v.semantics().OneWay && len(v.method.Out) == 0, Deadline: v.deadline, Coarse: v.coarse, Name: v.method}
	reply, err := v.node.send(v.ctx, &v.req, v.to, v.target.Ref(), v.method.ID, enc)
	if err != nil {
		v.fail(err)
		return
	}
	v.over = true
	if v.req.OneWay {
		return
	}
	s := v.to.session
	v.table, err = v.node.receive(s, reply.References, reply.Table)
	if err == nil {
		v.dec, err = codec.NewDecoder(reply.Body, v.table, (*keeping)(sideOf(s)), &v.node.limits)
	}
	if err != nil {
		v.node.decoded(v.table)
		reply.Release()
		v.fail(asError(err, OutcomeExecuted))
		return
	}
	if reply.Owned {
		v.dec.Own()
	}
	v.reply = reply
}

// Results implements proxy.Invocation.
func (v *invocation) Results() *codec.Decoder { return v.dec }

// End implements proxy.Invocation.
func (v *invocation) End(decodeErr error) error {
	if decodeErr != nil {
		v.fail(asError(decodeErr, OutcomeExecuted))
	}
	if v.dec != nil {
		v.node.decoded(v.table)
		if v.dec.Taken() {
			v.reply.Detach()
		} else {
			v.reply.Release()
		}
		v.dec.Release()
	}
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
	f := asError(err, OutcomeUnknown)
	first := strings.TrimPrefix(attempt(v.maybe).Error(), "rmi: ")
	return &Error{Op: f.Op, Ref: f.Ref, Interface: f.Interface, Method: f.Method, Kind: f.Kind, Outcome: OutcomeUnknown, Origin: f.Origin,
		Msg: fmt.Sprintf("an attempt may have run (%s), and the last failed", first), Err: attempt(err)}
}

// attempt is the error of an attempt without what the call's error says already.
func attempt(err error) *Error {
	f := asError(err, OutcomeOf(err))
	f.Op, f.Ref, f.Interface, f.Method = "", refs.Ref{}, "", ""
	return f
}
