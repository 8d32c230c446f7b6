package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"gormi/refs"
	"gormi/rmi/backoff"
	"gormi/rmi/dialpolicy"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
)

// dials joins concurrent dials to the same endpoint into one. For references that name no
// node it remembers which session an address led to.
type dials struct {
	t  *Transport
	mu guard.Mutex[lockedDials]
}

// lockedDials is the state of dials.
type lockedDials struct {
	underWay  map[dialKey]*dial
	byAddress map[target]*Session
}

// target is what is dialled, and who chose it. Dials to one address by the choice of different
// parties are not joined: other rules hold for them.
type target struct {
	endpoint refs.Endpoint
	from     refs.Origin
}

// guard marks the error of a dial whose address a peer chose as fault.Private.
func (to target) guard(err error) error {
	if err == nil || to.from == refs.OriginProgram {
		return err
	}
	return fault.Add(err, fault.Private)
}

type dialKey struct {
	target
	node refs.NodeID
}

type dial struct {
	done    chan struct{}
	session *Session
	err     error

	// Guarded by dials' lock.
	waiting int   // callers
	met     error // of the last attempt
}

// Session is SessionFor an endpoint that the program itself chose.
func (t *Transport) Session(ctx context.Context, ep refs.Endpoint, expected refs.NodeID) (*Session, error) {
	return t.SessionFor(ctx, ep, expected, refs.OriginProgram)
}

// SessionFor returns the session with the node expected, or, if that is zero, with whichever
// node answers at the endpoint. It dials if there is none and the dial policy allows it. from says
// who chose the endpoint. If it was a peer, errors are fault.Private.
func (t *Transport) SessionFor(ctx context.Context, ep refs.Endpoint, expected refs.NodeID, from refs.Origin) (*Session, error) {
	to := target{ep, from}
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
	if err := t.Dial.Asked(ep, from); err != nil {
		return nil, to.guard(err)
	}
	d := &t.dials
	key := dialKey{to, expected}
	st := d.mu.Lock()
	s, job, begun, err := st.join(t, key)
	d.mu.Unlock()
	if s != nil || err != nil {
		return s, err
	}
	if begun {
		go func() {
			defer t.wg.Done()
			job.session, job.err = t.dial(job, to, expected)
			st := d.mu.Lock()
			delete(st.underWay, key)
			if job.err == nil && expected.IsZero() {
				st.remember(to, job.session)
			}
			d.mu.Unlock()
			close(job.done)
		}()
	}
	select {
	case <-job.done:
		return job.session, to.guard(job.err)
	case <-ctx.Done():
		e := notSent(ctx.Err())
		e.Msg = "while dialling " + ep.String()
		d.mu.Lock()
		job.waiting--
		met := job.met
		d.mu.Unlock()
		if met != nil {
			e.Msg += "; the last attempt met: " + detail(met)
		}
		return nil, to.guard(e)
	}
}

// join returns the session, if there is one by now. Otherwise it returns the dial that leads to
// it, and counts the caller among those that wait for it. If begun, the caller must dial.
func (d *lockedDials) join(t *Transport, key dialKey) (s *Session, job *dial, begun bool, err error) {
	if key.node.IsZero() {
		if s := d.byAddress[key.target]; s != nil && s.live() {
			return s, nil, false, nil
		}
	}
	job = d.underWay[key]
	if job == nil && !key.node.IsZero() {
		if s := t.peers.live(key.node); s != nil { // a dial ended just now
			return s, nil, false, nil
		}
	}
	if job == nil {
		if !t.begin() {
			return nil, nil, false, errClosed()
		}
		job, begun = &dial{done: make(chan struct{})}, true
		if d.underWay == nil {
			d.underWay = make(map[dialKey]*dial)
			d.byAddress = make(map[target]*Session)
		}
		d.underWay[key] = job
	}
	job.waiting++
	return nil, job, begun, nil
}

// begin adds a goroutine that the transport waits for. It reports false if the transport is
// closed.
func (t *Transport) begin() bool {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	if st.closed {
		return false
	}
	t.wg.Add(1)
	return true
}

// met notes the error of an attempt, and reports whether somebody still waits for the next.
func (d *dials) met(job *dial, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	job.met = err
	return job.waiting > 0
}

// known reports whether there was a session with a node, or with the node at an address.
func (t *Transport) known(to target, node refs.NodeID) bool {
	if !node.IsZero() {
		return t.peers.met(node)
	}
	st := t.dials.mu.Lock()
	defer t.dials.mu.Unlock()
	return st.byAddress[to] != nil
}

// remember stores the session that an address led to, and forgets those that are over.
func (d *lockedDials) remember(to target, s *Session) {
	for k, v := range d.byAddress {
		if !v.live() {
			delete(d.byAddress, k)
		}
	}
	d.byAddress[to] = s
}

// strangerTries is how long a dial is repeated whose connections end before a hello arrived.
// The network may end them, or a program that is not a node.
const strangerTries = 2 * time.Second

// dial dials until a connection stands or an attempt fails for good. An attempt whose
// connection was cut in the handshake is repeated while somebody waits, for SessionLease at
// most. An attempt that took too long is repeated only if there was a session with the node
// before: a stranger that sends byte after byte is not a node.
func (t *Transport) dial(job *dial, to target, expected refs.NodeID) (*Session, error) {
	start := time.Now()
	for failures := 1; ; failures++ {
		s, err := t.dialFor(to, expected)
		var cut *cutError
		if err == nil || !errors.As(err, &cut) || !t.dials.met(job, err) {
			return s, err
		}
		if tried := time.Since(start); tried >= t.SessionLease || !cut.node && tried >= strangerTries {
			return nil, err
		}
		if !backoff.Sleep(t.ctx, firstDials.Delay(failures)) {
			return nil, errClosed()
		}
	}
}

// lastFirstDial is the longest pause between attempts at a first connection.
const lastFirstDial = time.Second

// firstDials are the pauses between attempts at a first connection.
var firstDials = backoff.Policy{Min: firstRedial, Max: lastFirstDial, Jitter: 0.5}

// dialFor dials until a connection stands or the dial's own time is over.
func (t *Transport) dialFor(to target, expected refs.NodeID) (*Session, error) {
	ep := to.endpoint
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	defer cancel()
	for {
		s, peer, err := t.dialOnce(ctx, to, expected)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, errCrossed) {
			var f *fault.Error
			if t.ctx.Err() != nil {
				return nil, errClosed()
			}
			if errors.As(err, &f) {
				msg := "dialling " + ep.String()
				if f.Msg != "" {
					msg += ": " + f.Msg
				}
				return nil, fault.Add(f, fault.OutcomeNotExecuted, fault.Msg(msg))
			}
			return nil, err
		}
		// The peer's own connection is on its way, or it just came.
		arrival := t.peers.wait(peer) // not before: the end of our own dial is not what we wait for
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

// dialOnce makes one connection. peer is the node that answered, if one did.
func (t *Transport) dialOnce(ctx context.Context, to target, expected refs.NodeID) (s *Session, peer refs.NodeID, err error) {
	err = t.connect(ctx, to, "", func(h *handshake, host string) (*Link, error) {
		h.met = t.known(to, expected)
		h.known = h.met
		l, existing, err := h.dial(expected, host, to)
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

// connect makes a connection to an endpoint. run does the dialling side's handshake on it. If
// run returns no link, connect closes the connection. reached is the address at which an
// earlier dial to the same peer ended, if it is known.
func (t *Transport) connect(ctx context.Context, to target, reached string, run func(h *handshake, host string) (*Link, error)) error {
	ep := to.endpoint
	raw, err := t.open(ctx, to, reached)
	if err != nil {
		return connectFailed(err)
	}
	if !t.beginHandshake(raw, nil) {
		raw.Close()
		if t.ctx.Err() != nil {
			return errClosed()
		}
		return fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "this node has %d connections, its limit (Options.Limits.Connections)", t.Limits.Connections)
	}
	var over *tls.Conn
	host := ep.Host
	if ep.IsUnix() {
		host = "127.0.0.1" // another process of this machine
	} else if t.secured(ep.Network()) {
		cfg := t.TLS
		if cfg.ServerName == "" && !cfg.InsecureSkipVerify {
			cfg = cfg.Clone()
			cfg.ServerName = ep.Host
		}
		over = tls.Client(raw, cfg)
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	h, err := t.newHandshake(carry(raw, over), true)
	if err != nil {
		return t.endHandshake(raw, nil, err)
	}
	l, err := run(h, host)
	if err != nil && !errors.Is(err, errCrossed) {
		h.refuse(err)
	}
	return t.endHandshake(raw, l, err)
}

// open opens a connection to an endpoint. If no address of its name answers, it tries the
// address that was reached before, and returns the error of that attempt.
func (t *Transport) open(ctx context.Context, to target, reached string) (net.Conn, error) {
	ep := to.endpoint
	if reached == "" || reached == ep.Address() {
		return t.dialNetwork(ctx, to, ep.Address())
	}
	most, cancel := context.WithTimeout(ctx, dialTimeout-reachedTimeout)
	defer cancel()
	raw, err := t.dialNetwork(most, to, ep.Address())
	var op *net.OpError
	if err == nil || fault.KindOf(err) == fault.KindDenied || errors.As(err, &op) && op.Addr != nil && op.Addr.String() == reached {
		return raw, err
	}
	least, cancel := context.WithTimeout(ctx, reachedTimeout)
	defer cancel()
	return t.dialNetwork(least, to, reached)
}

// permission is what CheckDial asks. A dial carries it in its context.
type permission struct {
	rules *dialpolicy.Rules
	to    target
}

type permissionKey struct{}

// CheckDial tells why a dial of this module may not connect to an address that its host was resolved
// to. ctx is that of Network.DialContext. A net.Dialer calls it before it connects if it stands in
// its ControlContext, as in the network of the system. A program's own network should do likewise.
// For other dials CheckDial returns nil.
func CheckDial(ctx context.Context, _, address string, _ syscall.RawConn) error {
	p, ok := ctx.Value(permissionKey{}).(permission)
	if !ok || p.to.endpoint.IsUnix() {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil // it is a name still
	}
	return p.rules.Resolved(p.to.endpoint, at.Addr(), p.to.from)
}

// dialNetwork connects to an address of a target, if the policy allows it. It asks before the
// dial, and for a network that does not call CheckDial, once more when the connection
// stands, before anything is sent on it.
func (t *Transport) dialNetwork(ctx context.Context, to target, address string) (net.Conn, error) {
	ep := to.endpoint
	if err := t.Dial.Asked(ep, to.from); err != nil {
		return nil, err
	}
	ctx = context.WithValue(ctx, permissionKey{}, permission{t.Dial, to})
	if err := CheckDial(ctx, ep.Network(), address, nil); err != nil {
		return nil, err
	}
	raw, err := t.Network.DialContext(ctx, ep.Network(), address)
	if err != nil {
		return nil, err
	}
	if at := reachedAt(raw); at != "" {
		err = CheckDial(ctx, ep.Network(), at, nil)
	} else if !ep.IsUnix() {
		err = t.Dial.Unresolved(ep, to.from)
	}
	if err != nil {
		raw.Close()
		return nil, err
	}
	return raw, nil
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
		// This is the dial's own time-out, not the caller's deadline.
		err = nil
	}
	return fault.Add(fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "%s", hint), fault.Cause(err))
}
