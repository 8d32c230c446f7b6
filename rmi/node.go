package rmi

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/access"
	"gormi/rmi/audit"
	"gormi/rmi/dialpolicy"
	"gormi/rmi/fault"
	"gormi/rmi/intercept"
	"gormi/rmi/multicast"
	"gormi/rmi/transport"
	"gormi/rmi/transport/datagram"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// maxTimeout is the longest that a method gets to return.
const maxTimeout = 24 * time.Hour

// Options configure a node. The zero value is a good client.
type Options struct {
	// TLS secures all TCP connections of the node, those it accepts and those it dials.
	// So it needs a certificate to listen and roots to dial. If nil, connections are not
	// encrypted, and Listen accepts loopback addresses only. Datagrams ("udp:host:port")
	// are never encrypted.
	TLS *tls.Config

	// Insecure lets Listen accept any address without TLS. It also lets datagrams go to
	// other machines and come from them.
	Insecure bool

	// Authorize is asked about every call that arrives, before its arguments are decoded: see
	// package rmi/access. If nil, whoever has a reference may call.
	Authorize access.Gate

	// Dial says what references that came from peers may make the node connect to. By default
	// that is every address but those of link-local, multicast and cloud metadata services. If
	// the peer is on another machine, loopback and unix sockets are denied too. A denied dial
	// fails with KindDenied. Addresses that the program itself gives are its own choice. Package
	// dialpolicy says how the two are told apart. With a malformed rule nothing that a peer gave
	// is dialled, and Listen fails.
	Dial dialpolicy.Policy

	// RequirePrincipal refuses connections with peers of which nothing proves who they are:
	// see PeerInfo. It says so to both sides.
	RequirePrincipal bool

	// Advertise is the "host:port" at which others reach this node, if that differs from
	// what Listen was given: behind NAT, or to show a name instead of an address.
	Advertise string

	// Timeout is the time limit of calls whose context has no deadline. If zero, 30 s. If
	// negative, a day, which is the longest that any method gets to return.
	Timeout time.Duration

	// SessionLease is how long a session with another node outlives its connection. For
	// that time calls in flight wait for the connection to be made again, and what the
	// other node holds stays exported. If zero, a minute.
	SessionLease time.Duration

	// Grace is how long calls wait for a node whose connection was lost and that this node
	// cannot dial, because only the other node dials: a client that listens nowhere, for
	// example. A client that is alive is back within a second or two. After Grace the calls
	// that wait fail with PeerGone. New calls fail at once, until the other node is back or
	// the session is over. If zero, 5 s. If negative, calls wait until their deadline.
	Grace time.Duration

	// RefusalsPass says that this node dials others through something that may refuse
	// connections for a while although the others are alive: a load balancer, or a firewall
	// that rejects. If false, a node whose connection was lost counts as gone once its
	// address has refused two more connections, 200 ms apart. If true, it may come back for
	// as long as SessionLease.
	RefusalsPass bool

	// BusyPoll is how long a reader spins for more bytes before it blocks. Zero means
	// 100 µs; negative disables it, which is better for processes with many nodes. The most
	// is 5 ms. It has an effect on Linux and macOS only. See package transport for what it
	// costs.
	BusyPoll time.Duration

	// Drain is how long Run waits for calls in flight, their arguments and their replies when its
	// context ends. If zero, 10 s.
	Drain time.Duration

	// CloseWait is how long Close waits for methods to return. If zero, 2 s.
	CloseWait time.Duration

	// MaxExports bounds the objects that the node exports. If zero, a million.
	MaxExports int

	// Interceptors run around every call that the program makes through the node, the first
	// outermost. Package intercept says what they may do, and has some.
	Interceptors []intercept.Interceptor

	// Limits bound what peers can make the node hold.
	Limits Limits

	// Audit is told of each security event: see package audit. May be nil.
	Audit func(audit.Event)

	// Logger gets the node's log. If nil, slog.Default().
	Logger *slog.Logger

	// Network replaces TCP and unix sockets, for tests; see package rmitest. *net.Dialer and
	// *net.ListenConfig together have its shape. A net.Dialer in it should have
	// transport.CheckDial as its ControlContext: else the dial policy is asked about the
	// addresses of a name only when the connection stands.
	Network transport.Network
}

// A Node is a process's place in the system. It exports objects, holds proxies and owns
// connections. An object is exported as one Go interface. Every method of that interface
// takes a context.Context first and returns an error last. Other nodes get a proxy: a value
// of that interface that sends its calls to the object. They get it from a registry (package
// registry), as an argument or a result of a call, or from a reference (Resolve). Nothing
// needs to be generated. Arguments are copied, but remote objects and funcs among them
// travel by reference. So they can be called back, over the same connection.
//
//	node, err := rmi.Listen(ctx, "127.0.0.1:0")
//	b, err := registry.Bind[Account](ctx, node, "bank/alice", &account{}, nil)
//	return node.Run(ctx)
//
// A call that fails returns zero results with its error: what a method returns
// beside an error does not travel. Package skeleton says which types can travel,
// and how.
//
// There is no hidden default node: what is opened can be closed. A node and its
// proxies are safe for concurrent use.
//
// A context's deadline and cancellation reach the method's context, and through
// it the calls that the method makes with it. A caller returns when its context
// ends, whatever the peer does. A call without a deadline gets Options.Timeout. No method gets
// longer than a day: a program that needs longer calls again when it gets KindDeadline. A
// method's context ends when it returns. context.Cause says so, and so does the error of a
// call made with it.
//
// An owner that listens nowhere can be called by the nodes that it has a session with. When
// one of them hands a reference to its object on, it relays the calls: its address goes with
// the reference.
type Node struct {
	opts      Options
	limits    wire.Limits
	time      refs.Time
	transport *transport.Transport
	exports   *skeleton.Table
	proxies   proxy.Table
	leases    leaseKeeper
	notifier  notifier
	multicast *multicast.Exchange
	agreed    agreements

	mu        sync.Mutex // guards the fields below
	advertise refs.Endpoint
	public    bool // see nodePort.Public
	hooks     map[*hook]bool
	watches   map[watched]chan struct{} // see Gone
	attached  map[any]any               // see nodePort.Attachment
	closing   bool

	watchers sync.WaitGroup // goroutines of watches; they end with ctx

	ctx    context.Context // ends when the node begins to close
	cancel context.CancelFunc
	closed chan struct{} // closed when Close is done
}

type hook struct{ f func(context.Context) }

// NewNode returns a node that does not listen: it is a client until Listen is
// called. o may be nil. The caller must Close the node.
func NewNode(o *Options) *Node {
	n := &Node{hooks: make(map[*hook]bool), attached: make(map[any]any), closed: make(chan struct{})}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if o != nil {
		n.opts = *o
	}
	switch {
	case n.opts.Timeout == 0:
		n.opts.Timeout = 30 * time.Second
	case n.opts.Timeout < 0:
		n.opts.Timeout = maxTimeout
	}
	if n.opts.MaxExports <= 0 {
		n.opts.MaxExports = 1_000_000
	}
	if n.opts.Logger == nil {
		n.opts.Logger = slog.Default()
	}
	if n.opts.Network == nil {
		n.opts.Network = systemNetwork{datagram.Network{Insecure: n.opts.Insecure, Control: transport.CheckDial}}
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	rules, _ := n.opts.Dial.Compile() // with an error they deny all, and say why
	n.time = refs.Time(time.Now().UnixNano())
	n.notifier.logger = n.opts.Logger
	n.exports = skeleton.NewTable(n.opts.MaxExports, n.notifier.unheld)
	n.multicast = multicast.NewExchange((*multicastHost)(n))
	n.transport = transport.New(transport.Config{
		Key: key, Time: n.time, Handler: server{n}, Network: n.opts.Network, Dial: rules, TLS: n.opts.TLS, RequirePrincipal: n.opts.RequirePrincipal,
		Limits: n.opts.Limits.transport(), Logger: n.opts.Logger, Audit: n.opts.Audit, Attach: n.attach, OnEnd: n.sessionEnded, OnStream: n.multicast.Opened,
		SessionLease: n.opts.SessionLease, Grace: n.opts.Grace, RefusalsPass: n.opts.RefusalsPass, BusyPoll: n.opts.BusyPoll, OnConnect: n.multicast.Connected, OnDisconnect: n.multicast.Disconnected,
		OnAbsent: n.sessionCut, OnTable: n.tableDropped,
	})
	n.limits = n.transport.Limits.Limits
	n.leases.init(n)
	n.proxies.Holds = &n.leases
	return n
}

// Listen returns a node that listens on addr and has no options. ctx bounds the call, not the
// node. For a node with options write
//
//	node := rmi.NewNode(&rmi.Options{Drain: time.Minute})
//	addr, err := node.Listen(ctx, "127.0.0.1:7000")
func Listen(ctx context.Context, addr string) (*Node, error) {
	n := NewNode(nil)
	if _, err := n.Listen(ctx, addr); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// systemNetwork is the operating system's.
type systemNetwork struct{ datagrams datagram.Network }

func (s systemNetwork) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network == "udp" {
		return s.datagrams.DialContext(ctx, network, address)
	}
	d := net.Dialer{ControlContext: transport.CheckDial}
	return d.DialContext(ctx, network, address)
}

func (s systemNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network == "udp" {
		return s.datagrams.Listen(ctx, network, address)
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if network == "unix" && !strings.HasPrefix(address, "@") {
		return listenUnix(ctx, address, l, err)
	}
	return l, err
}

// Listen makes the node accept connections on addr. That is "host:port", the path of a unix
// socket, or "udp:host:port" for datagrams. Listen returns the address that it got, with the
// port that was chosen if addr has port 0. Addresses beyond loopback need Options.TLS or
// Options.Insecure; for datagrams only Options.Insecure helps. At the path of a unix socket,
// Listen replaces a socket that a killed program left, and nothing else. When Listen fails,
// the node does not listen on addr. ctx bounds the call, which may look a host name up.
func (n *Node) Listen(ctx context.Context, addr string) (net.Addr, error) {
	ep, err := refs.ParseEndpoint(addr)
	if err != nil {
		return nil, fault.Add(nil, fault.Op("listen"), fault.KindInvalid, fault.OutcomeNotExecuted, fault.Cause(err))
	}
	if _, system := n.opts.Network.(systemNetwork); system && !ep.IsUnix() && !ep.IsLoopback() && (n.opts.TLS == nil || ep.UDP) && !n.opts.Insecure {
		advice := "set Options.TLS, listen on 127.0.0.1, or set Options.Insecure"
		if ep.UDP {
			advice = "TLS does not run over datagrams; listen on udp:127.0.0.1, or set Options.Insecure"
		}
		return nil, fault.Add(fault.New(fault.KindDenied, fault.OutcomeNotExecuted,
			"%s can be reached from other machines, and the connections would be in the clear: %s", addr, advice), fault.Op("listen"))
	}
	if _, err := n.opts.Dial.Compile(); err != nil {
		return nil, fault.Add(err, fault.Op("listen"))
	}
	if err := n.checkAdvertise(); err != nil {
		return nil, err
	}
	if c := n.opts.TLS; c != nil && !ep.IsUnix() && !ep.UDP && len(c.Certificates) == 0 && c.GetCertificate == nil && c.GetConfigForClient == nil {
		return nil, fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted,
			"%s: Options.TLS has no certificate, and a node that listens must show one: set its Certificates, as tls.LoadX509KeyPair makes them, or GetCertificate", addr), fault.Op("listen"))
	}
	a, err := n.transport.Listen(ctx, ep.Network(), ep.Address())
	if err != nil {
		return nil, fault.Add(err, fault.Op("listen"), fault.OutcomeNotExecuted)
	}
	got, err := n.advertised(ep, a)
	if err != nil {
		n.transport.StopListening(a)
		return nil, err
	}
	n.mu.Lock()
	if n.advertise.IsZero() || n.advertise.IsUnix() && !got.IsUnix() {
		n.advertise = got
	}
	n.public = n.public || !got.IsLoopback()
	n.mu.Unlock()
	return a, nil
}

// checkAdvertise refuses an Options.Advertise that is no address.
func (n *Node) checkAdvertise() error {
	if n.opts.Advertise == "" {
		return nil
	}
	if ep, err := refs.ParseEndpoint(n.opts.Advertise); err != nil || !ep.Listens() {
		return fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "Options.Advertise is %q: want host:port", n.opts.Advertise), fault.Op("listen"), fault.Cause(err))
	}
	return nil
}

// advertised is what references of this node say about where it listens. A
// node that listens on all its addresses leaves the host to the receiver.
func (n *Node) advertised(asked refs.Endpoint, got net.Addr) (refs.Endpoint, error) {
	if n.opts.Advertise != "" {
		return refs.ParseEndpoint(n.opts.Advertise)
	}
	if asked.IsUnix() {
		return asked, nil
	}
	ep, err := refs.ParseEndpoint(got.String())
	if err != nil {
		return ep, fault.Add(nil, fault.Op("listen"), fault.KindInternal, fault.OutcomeNotExecuted, fault.Cause(err))
	}
	if ip := net.ParseIP(ep.Host); ip != nil && ip.IsUnspecified() {
		ep.Host = ""
	}
	ep.UDP = asked.UDP
	return ep, nil
}

// ID is the node's id. Each node gets a new one.
func (n *Node) ID() refs.NodeID { return n.transport.Node() }

// Endpoint is where the node listens, as its references say. It is zero if the node does
// not listen. Its host is blank if the node listens on all its addresses.
func (n *Node) Endpoint() refs.Endpoint {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.advertise
}

// Logger is the node's logger.
func (n *Node) Logger() *slog.Logger { return n.opts.Logger }

// Context ends when the node begins to shut down or to close.
func (n *Node) Context() context.Context { return n.ctx }

// runHooks calls the functions given to BeforeClose, once, concurrently.
func (n *Node) runHooks(ctx context.Context) {
	n.cancel()
	n.mu.Lock()
	hooks := n.hooks
	n.hooks = make(map[*hook]bool)
	n.mu.Unlock()
	var wg sync.WaitGroup
	for h := range hooks {
		wg.Go(func() { h.f(ctx) })
	}
	wg.Wait()
}

// Close ends the node at once. Calls in flight fail with an error that matches
// net.ErrClosed. The contexts of running methods are cancelled. Close waits for the node's
// goroutines.
func (n *Node) Close() error {
	n.mu.Lock()
	if n.closing {
		n.mu.Unlock()
		<-n.closed
		return nil
	}
	n.closing = true
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	n.runHooks(ctx)
	n.leases.farewell(ctx)
	cancel()
	notified := n.notifier.close()
	grace := n.opts.CloseWait
	if grace <= 0 {
		grace = 2 * time.Second
	}
	n.transport.Close(grace)
	n.watchers.Wait()
	n.leases.close()
	select {
	case <-notified:
	case <-time.After(grace):
		n.opts.Logger.Warn("an object's Unreferenced still runs after close")
	}
	n.exports.Clear()
	close(n.closed)
	return nil
}

// sessionEnded gives back what the peer held, and tells those who wanted to know.
func (n *Node) sessionEnded(s *transport.Session) {
	n.sessionGone(s)
	sideOf(s).sender.Ended()
}
