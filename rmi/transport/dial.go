package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
)

// dials joins concurrent dials to the same place into one, and remembers which
// session an address led to, for references that name no node.
type dials struct {
	t *Transport

	mu        sync.Mutex
	underWay  map[dialKey]*dial
	byAddress map[refs.Endpoint]*Session
}

type dialKey struct {
	endpoint refs.Endpoint
	node     refs.NodeID
}

type dial struct {
	done    chan struct{}
	session *Session
	err     error

	// Guarded by dials.mu.
	waiting int   // callers
	met     error // what the last attempt met
}

// Session returns the session with the node expected, or, if that is zero,
// with whichever node answers at the endpoint. It dials if there is none.
func (t *Transport) Session(ctx context.Context, ep refs.Endpoint, expected refs.NodeID) (*Session, error) {
	if !expected.IsZero() {
		if s := t.peers.live(expected); s != nil {
			return s, nil
		}
	}
	if t.ctx.Err() != nil {
		return nil, errClosed()
	}
	if !ep.Listens() {
		return nil, fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted,
			"the owner listens nowhere and has no session with this node: it can only be called while it is connected")
	}
	d := &t.dials
	key := dialKey{ep, expected}
	d.mu.Lock()
	if expected.IsZero() {
		if s := d.byAddress[ep]; s != nil && s.live() {
			d.mu.Unlock()
			return s, nil
		}
	}
	job := d.underWay[key]
	if job == nil && !expected.IsZero() {
		if s := t.peers.live(expected); s != nil { // a dial ended just now
			d.mu.Unlock()
			return s, nil
		}
	}
	if job == nil {
		t.mu.Lock()
		if t.closed {
			t.mu.Unlock()
			d.mu.Unlock()
			return nil, errClosed()
		}
		t.wg.Add(1)
		t.mu.Unlock()
		job = &dial{done: make(chan struct{})}
		if d.underWay == nil {
			d.underWay = make(map[dialKey]*dial)
			d.byAddress = make(map[refs.Endpoint]*Session)
		}
		d.underWay[key] = job
		go func() {
			defer t.wg.Done()
			job.session, job.err = t.dial(job, ep, expected)
			d.mu.Lock()
			delete(d.underWay, key)
			if job.err == nil && expected.IsZero() {
				d.remember(ep, job.session)
			}
			d.mu.Unlock()
			close(job.done)
		}()
	}
	job.waiting++
	d.mu.Unlock()
	select {
	case <-job.done:
		return job.session, job.err
	case <-ctx.Done():
		e := notSent(ctx.Err())
		e.Msg = "while dialling " + ep.String()
		d.mu.Lock()
		defer d.mu.Unlock()
		if job.waiting--; job.met != nil {
			e.Msg += "; the last attempt met: " + detail(job.met)
		}
		return nil, e
	}
}

// met notes what an attempt met, and reports whether somebody still waits for the next.
func (d *dials) met(job *dial, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	job.met = err
	return job.waiting > 0
}

// known reports whether there was a session with a node, or with who is at an address.
func (t *Transport) known(ep refs.Endpoint, node refs.NodeID) bool {
	if !node.IsZero() {
		return t.peers.met(node)
	}
	t.dials.mu.Lock()
	defer t.dials.mu.Unlock()
	return t.dials.byAddress[ep] != nil
}

// remember keeps the session that an address led to, and forgets those that are over. mu is held.
func (d *dials) remember(ep refs.Endpoint, s *Session) {
	for k, v := range d.byAddress {
		if !v.live() {
			delete(d.byAddress, k)
		}
	}
	d.byAddress[ep] = s
}

// strangerTries is how long a dial goes on whose connections end before anybody says
// hello: what ends them may be the network, or a program that is no node.
const strangerTries = 2 * time.Second

// dial dials until a connection stands or a dial fails. One that was cut in its
// handshake, as later ones may be, is made again for as long as somebody waits, and
// as long as later ones at most. One that took too long is not, unless there was a
// session with the node before: a stranger that drips bytes is no node.
func (t *Transport) dial(job *dial, ep refs.Endpoint, expected refs.NodeID) (*Session, error) {
	start := time.Now()
	for pause := firstRedial; ; pause = min(2*pause, lastFirstDial) {
		s, err := t.dialFor(ep, expected)
		var cut *cutError
		if err == nil || !errors.As(err, &cut) || !t.dials.met(job, err) {
			return s, err
		}
		if tried := time.Since(start); tried >= t.SessionLease || !cut.node && tried >= strangerTries {
			return nil, err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
		select {
		case <-timer.C:
		case <-t.ctx.Done():
			timer.Stop()
			return nil, errClosed()
		}
	}
}

// lastFirstDial is the longest pause between attempts at a first connection.
const lastFirstDial = time.Second

// dialFor dials until a connection stands or the dial's own time is over.
func (t *Transport) dialFor(ep refs.Endpoint, expected refs.NodeID) (*Session, error) {
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	defer cancel()
	for {
		s, peer, err := t.dialOnce(ctx, ep, expected)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errCrossed) {
			var f *fault.Error
			if t.ctx.Err() != nil {
				return nil, errClosed()
			}
			if errors.As(err, &f) {
				c := *f
				c.Outcome = fault.OutcomeNotExecuted
				if c.Msg = "dialling " + ep.String(); f.Msg != "" {
					c.Msg += ": " + f.Msg
				}
				return nil, &c
			}
			return nil, err
		}
		// The peer's own connection is on its way, or it just came.
		arrival := t.peers.wait(peer) // not before: the end of our own dial is no news
		if s := t.peers.live(peer); s != nil {
			return s, nil
		}
		select {
		case <-arrival:
			if s := t.peers.live(peer); s != nil {
				return s, nil
			}
		case <-time.After(crossedRetry): // the other connection failed, and nobody told us
		case <-ctx.Done():
			return nil, fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "%s: %w", ep, errCrossed)
		}
	}
}

// dialOnce makes one connection. peer is who answered, if anybody did.
func (t *Transport) dialOnce(ctx context.Context, ep refs.Endpoint, expected refs.NodeID) (s *Session, peer refs.NodeID, err error) {
	err = t.connect(ctx, ep, "", func(h *handshake, host string) (*Link, error) {
		h.met = t.known(ep, expected)
		h.known = h.met
		l, existing, err := h.dial(expected, host, ep)
		if h.peers != nil {
			peer = h.peers.Node()
		}
		if s = existing; l != nil {
			s = l.session
		}
		return l, err
	})
	return s, peer, err
}

// connect makes a connection to an endpoint and has shake do the dialling side's
// handshake on it. Without a link the connection is closed again. reached is the
// address at which an earlier dial to the same peer ended, if that is known.
func (t *Transport) connect(ctx context.Context, ep refs.Endpoint, reached string, shake func(h *handshake, host string) (*Link, error)) error {
	raw, err := t.open(ctx, ep, reached)
	if err != nil {
		return connectFailed(err)
	}
	if !t.shake(raw) {
		raw.Close()
		if t.ctx.Err() != nil {
			return errClosed()
		}
		return fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "this node has %d connections, its limit (Options.Limits.Connections)", t.Limits.Connections)
	}
	tune(raw)
	conn, host := raw, ep.Host
	if ep.IsUnix() {
		host = "127.0.0.1" // another process of this machine
	} else if t.secured(ep.Network()) {
		cfg := t.TLS
		if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
			cfg = cfg.Clone()
			cfg.ServerName = ep.Host
		}
		conn = tls.Client(raw, cfg)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	h, err := t.newHandshake(conn, true)
	if err != nil {
		return t.shook(raw, nil, err)
	}
	l, err := shake(h, host)
	if err != nil && !errors.Is(err, errCrossed) {
		h.refuse(err)
	}
	return t.shook(raw, l, err)
}

// open opens a connection to an endpoint. If its name leads to no other address,
// the one that was reached before decides.
func (t *Transport) open(ctx context.Context, ep refs.Endpoint, reached string) (net.Conn, error) {
	if reached == "" || reached == ep.Address() {
		return t.Network.DialContext(ctx, ep.Network(), ep.Address())
	}
	most, cancel := context.WithTimeout(ctx, dialTimeout-reachedTimeout)
	defer cancel()
	raw, err := t.Network.DialContext(most, ep.Network(), ep.Address())
	var op *net.OpError
	if err == nil || errors.As(err, &op) && op.Addr != nil && op.Addr.String() == reached {
		return raw, err
	}
	least, cancel := context.WithTimeout(ctx, reachedTimeout)
	defer cancel()
	return t.Network.DialContext(least, ep.Network(), reached)
}

// connectFailed is the error of a dial that reached nobody.
func connectFailed(err error) *fault.Error {
	var f *fault.Error
	if errors.As(err, &f) {
		return f
	}
	hint := ""
	var dns *net.DNSError
	switch {
	case isRefusal(err):
		hint = "nobody listens there: is the program running, and is this its port?"
	case errors.As(err, &dns):
		hint = "the host name is not known"
	case errors.Is(err, context.DeadlineExceeded):
		hint = "no answer within " + dialTimeout.String() + ": is the host up, does a firewall let the port through?"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		// The dial's own time: not the caller's deadline.
		return &fault.Error{Kind: fault.KindConnectFailed, Outcome: fault.OutcomeNotExecuted, Msg: hint}
	}
	return &fault.Error{Kind: fault.KindConnectFailed, Outcome: fault.OutcomeNotExecuted, Msg: hint, Err: err}
}
