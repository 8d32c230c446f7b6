package transport

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gormi/refs"
	"gormi/rmi/audit"
	"gormi/rmi/backoff"
	"gormi/rmi/dialpolicy"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// Transport makes a node's connections. It listens, dials, has one session with each peer, and
// owns every goroutine that serves them.
type Transport struct {
	Config
	node  refs.NodeID
	began time.Time

	remarks  remarks
	calls    rates        // by account
	entering rates        // connections that were accepted, by address
	now      atomic.Int64 // ticks since the beginning; see tick
	conns    atomic.Int64 // connections, handshakes under way included

	// Of all accounts, like the uses of the same name there.
	handshakes, held, retained use

	cuts, resumes, duplicatesRunning, duplicatesRetained atomic.Int64 // see type Counters

	accounts accounts
	busy     busyPoll
	peers    peers
	workers  workers
	dials    dials

	ctx    context.Context // ends with the transport; bounds dials
	cancel context.CancelFunc

	mu guard.Mutex[lockedTransport]

	wg sync.WaitGroup // accept loops, handshakes, dials, the clock, sessions' readers
}

// lockedTransport is the state of a Transport.
type lockedTransport struct {
	listeners   map[net.Listener]bool
	sessions    map[*Session]bool
	byID        map[wire.SessionID]*Session // those that peers dialled
	handshaking map[net.Conn]*account       // in the handshake; nil: dialled by this node
	closed      bool
	leaving     bool // Shutdown was called: no new sessions
}

// New returns a transport that does not listen and has no connection. The caller must Close it.
func New(c Config) *Transport {
	c.Limits = c.Limits.WithDefaults()
	if c.SessionLease <= 0 {
		c.SessionLease = DefaultSessionLease
	}
	if c.Grace == 0 {
		c.Grace = DefaultGrace
	}
	if c.Dial == nil {
		c.Dial, _ = dialpolicy.Policy{}.Compile()
	}
	t := &Transport{
		Config: c,
		began:  time.Now(),
		node:   refs.NodeIDFromKey(c.Key.Public().(ed25519.PublicKey)),
	}
	*t.mu.Lock() = lockedTransport{
		listeners:   make(map[net.Listener]bool),
		sessions:    make(map[*Session]bool),
		byID:        make(map[wire.SessionID]*Session),
		handshaking: make(map[net.Conn]*account),
	}
	t.mu.Unlock()
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.peers.init()
	t.workers.handler, t.workers.limits = c.Handler, &t.Limits
	t.dials.t = t
	t.calls.second, t.entering.second = t.Limits.CallRate, t.Limits.HandshakeRate
	t.busy.init(c.BusyPoll)
	t.now.Store(1) // a tick of 0 stands for never
	t.wg.Go(t.clock)
	return t
}

// windowsAddressInUse is WSAEADDRINUSE, which syscall.EADDRINUSE does not match.
const windowsAddressInUse = syscall.Errno(10048)

// Node is the id of this node.
func (t *Transport) Node() refs.NodeID { return t.node }

func errClosed() *fault.Error {
	return fault.New(fault.KindClosed, fault.OutcomeNotExecuted, "the node is closed")
}

// secured reports whether connections over a network use TLS. TCP does, if there is a
// configuration.
func (t *Transport) secured(network string) bool {
	return t.TLS != nil && network != "unix" && network != "udp"
}

// Listen begins to accept connections and returns the address on which it listens. network is
// "tcp", "unix" or "udp".
func (t *Transport) Listen(ctx context.Context, network, address string) (net.Addr, error) {
	l, err := t.Network.Listen(ctx, network, address)
	if err != nil {
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, f
		}
		if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, windowsAddressInUse) {
			return nil, fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted,
				"cannot listen on %s: another program has the address already; stop it, or choose another port (0 for any that is free): %w", address, err)
		}
		return nil, fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "cannot listen on %s: %w", address, err)
	}
	st := t.mu.Lock()
	if st.closed {
		t.mu.Unlock()
		l.Close()
		return nil, errClosed()
	}
	st.listeners[l] = true
	t.wg.Add(1)
	t.mu.Unlock()
	go t.acceptLoop(l)
	return l.Addr(), nil
}

// acceptPauses are the pauses after connections that could not be accepted.
var acceptPauses = backoff.Policy{Min: 5 * time.Millisecond, Max: time.Second}

func (t *Transport) acceptLoop(l net.Listener) {
	defer t.wg.Done()
	for failures := 0; ; {
		conn, err := l.Accept()
		if err != nil {
			if t.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors, most likely: it may pass.
			failures++
			pause := acceptPauses.Delay(failures)
			t.Logger.Warn("accept failed", "address", l.Addr().String(), "err", err, "again_in", pause)
			if !backoff.Sleep(t.ctx, pause) {
				return
			}
			continue
		}
		failures = 0
		if !t.admitConnection(conn) {
			if t.ctx.Err() == nil {
				t.Note(audit.Event{Kind: audit.QuotaExceeded, From: addressOf(conn), Reason: "as many connections as the node accepts, or as many from this address (Options.Limits.Connections, Handshakes, HandshakeRate and Share)"})
			}
			if t.ctx.Err() == nil && !t.secured(l.Addr().Network()) {
				// It fits the socket's empty buffer.
				_ = conn.SetWriteDeadline(time.Now().Add(closeTimeout))
				_, _ = conn.Write(wire.AppendRefuse([]byte(wire.Magic), fault.KindOverloaded, "the node has as many connections as it accepts, or as many from this address (its Options.Limits.Connections, Handshakes, HandshakeRate and Share)"))
			}
			t.wg.Go(func() { conn.Close() }) // over datagrams that may take a moment
			continue
		}
		go t.serveConn(conn, l.Addr().Network())
	}
}

// admitConnection is beginHandshake for a connection that was accepted. It reports false too if
// there are too many of its address.
func (t *Transport) admitConnection(conn net.Conn) bool {
	l := &t.Limits
	owner := ownerOf(Anonymous, conn.RemoteAddr())
	if !t.entering.allow(owner) {
		return false
	}
	a := t.accounts.open(owner)
	if !a.conns.within(1, l.share(l.Connections)) {
		t.accounts.close(a)
		return false
	}
	if both(&t.handshakes, int64(l.Handshakes), &a.handshake, l.share(l.Handshakes), 1) {
		if t.beginHandshake(conn, a) {
			return true
		}
		t.handshakes.add(-1)
		a.handshake.add(-1)
	}
	a.conns.add(-1)
	t.accounts.close(a)
	return false
}

// disconnected takes a connection out of the books that was accepted on an account.
func (t *Transport) disconnected(a *account) {
	t.conns.Add(-1)
	if a != nil {
		a.conns.add(-1)
		t.accounts.close(a)
	}
}

// beginHandshake registers a connection before its handshake, with the account of who made it;
// nil if this node did. It reports false if there are too many connections, or the transport
// is closed.
func (t *Transport) beginHandshake(conn net.Conn, by *account) bool {
	if n := t.conns.Add(1); n > int64(t.Limits.Connections) {
		t.conns.Add(-1)
		return false
	}
	st := t.mu.Lock()
	defer t.mu.Unlock()
	if st.closed {
		t.conns.Add(-1)
		return false
	}
	st.handshaking[conn] = by
	t.wg.Add(1)
	return true
}

// endHandshake ends what beginHandshake began. If there is a link l, it becomes the link of
// its session. Else the connection is closed. err is the handshake's error.
func (t *Transport) endHandshake(conn net.Conn, l *Link, err error) error {
	defer t.wg.Done()
	var mine *account // of the session, if it is new
	if l != nil {
		mine = t.accounts.open(ownerOf(l.session.principal, conn.RemoteAddr()))
	}
	st := t.mu.Lock()
	by := st.handshaking[conn]
	delete(st.handshaking, conn)
	var begun *Session
	if l != nil && !st.sessions[l.session] && l.session.live() { // else an older session is resumed
		begun = l.session
		begun.account, mine = mine, nil
		st.sessions[begun] = true
		if !begun.dialled {
			st.byID[begun.id] = begun
		}
		t.wg.Add(1)
	}
	closed, leaving := st.closed, st.leaving
	t.mu.Unlock()
	t.accounts.close(mine)
	if by != nil {
		t.handshakes.add(-1)
		by.handshake.add(-1)
	}
	if l != nil {
		l.account = by
		if closed && begun != nil {
			begun.end(errClosed())
		} else if leaving {
			l.session.goingOff.Store(true)
		}
		_ = conn.SetDeadline(time.Time{})
		if err = l.session.attach(l); err == nil {
			return nil
		}
		if begun != nil {
			begun.end(err) // a goroutine of it was never started
		}
	}
	conn.Close()
	t.disconnected(by)
	return err
}

// accepted returns the session of an id that a peer, in this start of it, dialled, or nil.
func (t *Transport) accepted(id wire.SessionID, peer *wire.Hello) *Session {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	if s := st.byID[id]; s != nil && s.peer == peer.Node() && s.peerTime == peer.Time && s.live() {
		return s
	}
	return nil
}

// serveConn does the accepting side of the handshake.
func (t *Transport) serveConn(conn net.Conn, network string) {
	var over *tls.Conn
	if t.secured(network) {
		over = tls.Server(conn, t.TLS)
	}
	c := carry(conn, over)
	var l *Link
	h, err := t.newHandshake(c, false)
	if err == nil {
		if l, err = h.accept(); err != nil {
			h.refuse(err)
		}
	}
	if err != nil && !errors.Is(err, errCrossed) {
		t.Note(audit.Event{Kind: audit.ConnectionRefused, From: addressOf(conn), Reason: text(err)})
	}
	if err != nil {
		c.linger(time.Now().Add(closeTimeout), lingerRefused)
	}
	_ = t.endHandshake(conn, l, err)
}

// session makes the session that a handshake agreed on. It has no connection yet.
func (h *handshake) session(id wire.SessionID, peer refs.NodeID, host string) *Session {
	t, p := h.t, h.peers
	s := &Session{
		transport: t, id: id, peer: peer, peerTime: p.Time, host: host, principal: h.principal, noStreams: p.Streams == 0,
		limits: wire.Limits{Message: int(min(p.Message, 1<<30)), References: int(min(p.Entries, 1<<16))},
		done:   make(chan struct{}), gone: make(chan struct{}),
	}
	s.outbound.init(s, int(min(p.Slots, 1<<20)))
	s.inbound.init(s)
	s.mu.Lock().of = s
	s.mu.Unlock()
	if t.Attach != nil {
		guard.NoneHeld()
		s.attached = t.Attach(s)
	}
	return s
}

// ended removes a session when all its goroutines but the calling one have ended.
func (t *Transport) ended(s *Session) {
	t.peers.remove(s)
	st := t.mu.Lock()
	entered := st.sessions[s] // not if another took its place before it had a connection
	delete(st.sessions, s)
	if st.byID[s.id] == s {
		delete(st.byID, s.id)
	}
	t.mu.Unlock()
	if t.OnEnd != nil {
		guard.NoneHeld()
		t.OnEnd(s)
	}
	if fault.KindOf(s.err) == fault.KindProtocol {
		s.noteOf(audit.ProtocolBroken, s.err)
	}
	t.Logger.Debug("session ended", "peer", s.peer.String(), "reason", s.err)
	if entered {
		s.inbound.forget()
		t.accounts.close(s.account)
		t.wg.Done()
	}
}

// clock advances the transport's time and looks after what depends on it.
func (t *Transport) clock() {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	var list []*Session
	for {
		select {
		case <-ticker.C:
		case <-t.ctx.Done():
			return
		}
		now := t.now.Add(1)
		list = t.list(list[:0])
		for _, s := range list {
			s.onTick(now)
		}
		t.boundDetached(list)
		clear(list)
		if now%int64(time.Second/tick) == 0 {
			t.tellUnlogged()
		}
		if now%int64(workerIdle/tick) == 0 {
			t.workers.trim()
			t.calls.forget(time.Now())
			t.entering.forget(time.Now())
			t.peers.forget(now)
		}
	}
}

// boundDetached ends detached sessions, if there are more than Limits.Detached. Keys cost
// nothing, so anybody can leave as many as connections allow. So of the account that has
// most of them, the one goes that has been detached for longest.
func (t *Transport) boundDetached(list []*Session) {
	detached := slices.DeleteFunc(list, func(s *Session) bool { return !s.Detached() })
	if len(detached) <= t.Limits.Detached {
		return
	}
	since := make(map[*Session]int64, len(detached))
	for _, s := range detached {
		since[s] = s.mu.Lock().since
		s.mu.Unlock()
	}
	slices.SortFunc(detached, func(a, b *Session) int { return cmp.Compare(since[a], since[b]) })
	has := make(map[*account][]*Session)
	for _, s := range detached {
		has[s.account] = append(has[s.account], s)
	}
	for range len(detached) - t.Limits.Detached {
		var most *account
		for a, own := range has {
			if most == nil || len(own) > len(has[most]) || len(own) == len(has[most]) && since[own[0]] < since[has[most][0]] {
				most = a
			}
		}
		s := has[most][0]
		has[most] = has[most][1:]
		err := fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the connection was lost, and more than %d sessions were without one (Options.Limits.Detached)", t.Limits.Detached)
		s.noteOf(audit.QuotaExceeded, err)
		s.end(err)
	}
}

func (t *Transport) list(to []*Session) []*Session {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	for s := range st.sessions {
		to = append(to, s)
	}
	return to
}

// Sessions returns the sessions that live.
func (t *Transport) Sessions() []*Session { return t.list(nil) }

// Live returns the session with a node, or nil.
func (t *Transport) Live(n refs.NodeID) *Session { return t.peers.live(n) }

// StopListening takes back the Listen that returned addr.
func (t *Transport) StopListening(addr net.Addr) {
	st := t.mu.Lock()
	listeners := slices.Collect(maps.Keys(st.listeners))
	t.mu.Unlock()
	for _, l := range listeners { // without the lock: their addresses are the network's
		if l.Addr() == addr || l.Addr().String() == addr.String() && l.Addr().Network() == addr.Network() {
			delete(t.mu.Lock().listeners, l)
			t.mu.Unlock()
			l.Close()
			return
		}
	}
}

// stopListening closes the listeners: no connection is accepted any more.
func (t *Transport) stopListening() {
	st := t.mu.Lock()
	ls := st.listeners
	st.listeners = make(map[net.Listener]bool)
	t.mu.Unlock()
	for l := range ls {
		l.Close()
	}
}

// Close ends everything at once. Calls in flight fail with a Closed error, and the contexts of
// handlers are cancelled. It waits for every goroutine of the transport, but for handlers at
// most grace. A servant that does not look at its context is left behind, and logged.
func (t *Transport) Close(grace time.Duration) {
	st := t.mu.Lock()
	if st.closed {
		t.mu.Unlock()
		t.wg.Wait()
		return
	}
	st.closed = true
	var handshaking []net.Conn
	for c := range st.handshaking {
		handshaking = append(handshaking, c)
	}
	t.mu.Unlock()
	t.cancel()
	t.peers.mu.Lock().closed = true
	t.peers.mu.Unlock()
	t.stopListening()
	for _, c := range handshaking {
		c.Close()
	}
	var closing sync.WaitGroup
	for _, s := range t.Sessions() {
		closing.Go(func() { s.Close(errClosed()) })
	}
	closing.Wait()
	t.wg.Wait()
	t.workers.drain()
	served := make(chan struct{})
	go func() { t.workers.wg.Wait(); close(served) }()
	select {
	case <-served:
	case <-time.After(grace):
		t.Logger.Warn("methods of this node's objects still run after close; they ignore their context", "calls", t.workers.serving())
	}
}
