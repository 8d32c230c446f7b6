package memnet

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	firstEphemeral = 32768 // ports picked for port 0 and for dialers
	lastPort       = 65535
	backlog        = 128 // connections waiting for Accept before dials wait
)

// Network is a set of hosts and the links between them. It is safe for concurrent use. It needs
// no Close: an unused network is collected like any value.
type Network struct {
	mu        sync.Mutex // guards the fields below; taken before any connection's lock
	listeners map[Addr]*listener
	links     map[linkKey]*link
	conns     map[*pair]struct{} // connections with an open end
	nextPort  map[string]int     // by host
	far       map[string]bool    // by host
	changed   notice             // a partition healed
}

// linkKey names a link with its hosts in order, so that both directions find it.
type linkKey struct{ low, high string }

// link is what is unusual between two hosts.
type link struct {
	partitioned bool
	delay       map[string]time.Duration // by sending host
}

func keyOf(a, b string) linkKey {
	if b < a {
		a, b = b, a
	}
	return linkKey{a, b}
}

// New returns a network without hosts. All its links work.
func New() *Network {
	return &Network{
		listeners: make(map[Addr]*listener),
		links:     make(map[linkKey]*link),
		conns:     make(map[*pair]struct{}),
		nextPort:  make(map[string]int),
		far:       make(map[string]bool),
	}
}

// Host is the network as one host sees it.
type Host struct {
	network *Network
	name    string
}

// Host returns the view of the host called name.
func (n *Network) Host(name string) *Host { return &Host{network: n, name: name} }

// Name returns the name that the host's addresses carry.
func (h *Host) Name() string { return h.name }

// Listen listens on address, which must name this host. Port 0 means any free port.
func (h *Host) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	a, err := resolve(h.name, network, address)
	if err == nil && a.Host != h.name {
		err = os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)
	}
	return h.network.listen(ctx, network, a, err)
}

// DialContext connects this host to address. A dial takes the delay both ways. While the hosts
// are partitioned or the listener's backlog is full, it waits, at most until ctx ends.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	a, err := resolve(h.name, network, address)
	return h.network.dial(ctx, network, h.name, a, err)
}

// localhost is the host on which a Network's own methods act.
const localhost = "localhost"

// Listen listens on address, on the host that it names. Port 0 means any free port.
func (n *Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	a, err := resolve(localhost, network, address)
	return n.listen(ctx, network, a, err)
}

// DialContext connects the host "localhost" to address, as [Host.DialContext] does.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.Host(localhost).DialContext(ctx, network, address)
}

// Cut fails every connection between a and b at once, on both sides, with ECONNRESET. Bytes in
// flight and unread bytes are lost. New dials succeed.
func (n *Network) Cut(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.between(a, b) {
		for _, h := range p.halves {
			h.cut()
		}
		delete(n.conns, p)
	}
}

// Far makes a host a machine of its own. The addresses at the other end of its later
// connections are not local, and neither is its own at that end.
func (n *Network) Far(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.far[host] = true
}

// Partition stops the bytes between a and b, and nobody is told. What has not arrived waits,
// writers fill their buffers, and dials wait until their context ends.
func (n *Network) Partition(a, b string) { n.setPartitioned(a, b, true) }

// Heal undoes Partition. The bytes that waited go on.
func (n *Network) Heal(a, b string) { n.setPartitioned(a, b, false) }

func (n *Network) setPartitioned(a, b string, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.linkOf(a, b).partitioned = on
	for p := range n.between(a, b) {
		for _, h := range p.halves {
			h.hold(on)
		}
	}
	n.changed.broadcast()
}

// Delay sets how long bytes written on a take to reach b. The way back has its own delay. Bytes
// already in flight keep the delay with which they were sent. Bytes never overtake one another.
func (n *Network) Delay(a, b string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.linkOf(a, b).delay[a] = d
	for p := range n.between(a, b) {
		for i, h := range p.halves {
			if p.ends[i].Host == a {
				h.setDelay(d)
			}
		}
	}
}

// linkOf returns the link between a and b. n.mu is held.
func (n *Network) linkOf(a, b string) *link {
	key := keyOf(a, b)
	l := n.links[key]
	if l == nil {
		l = &link{delay: make(map[string]time.Duration)}
		n.links[key] = l
	}
	return l
}

// between yields the connections between a and b. n.mu is held.
func (n *Network) between(a, b string) func(yield func(*pair) bool) {
	key := keyOf(a, b)
	return func(yield func(*pair) bool) {
		for p := range n.conns {
			if keyOf(p.ends[0].Host, p.ends[1].Host) == key && !yield(p) {
				return
			}
		}
	}
}

// forget removes a connection with no open end.
func (n *Network) forget(p *pair) {
	n.mu.Lock()
	delete(n.conns, p)
	n.mu.Unlock()
}

func (n *Network) listen(ctx context.Context, network string, a Addr, err error) (net.Listener, error) {
	if err == nil {
		err = ctx.Err()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err == nil && a.Port == 0 {
		a.Port, err = n.freePort(a.Host)
	}
	if err == nil && n.listeners[a] != nil {
		err = os.NewSyscallError("bind", syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Addr: a, Err: err}
	}
	l := &listener{network: n, addr: a, net: network}
	n.listeners[a] = l
	return l, nil
}

// freePort returns a port of host on which nobody listens. n.mu is held. The ports of dialers
// are not reserved: two connections may share one if a test makes tens of thousands.
func (n *Network) freePort(host string) (int, error) {
	const count = lastPort - firstEphemeral + 1
	for range count {
		port := firstEphemeral + n.nextPort[host]
		n.nextPort[host] = (n.nextPort[host] + 1) % count
		if n.listeners[Addr{host, port}] == nil {
			return port, nil
		}
	}
	return 0, os.NewSyscallError("bind", syscall.EADDRINUSE)
}

func (n *Network) dial(ctx context.Context, network, from string, to Addr, err error) (net.Conn, error) {
	local := Addr{Host: from}
	if err == nil {
		err = ctx.Err()
	}
	waited := false
	for err == nil {
		n.mu.Lock()
		l := n.listeners[to]
		link := n.linkOf(from, to.Host)
		roundTrip := link.delay[from] + link.delay[to.Host]
		if from == to.Host {
			roundTrip = 2 * link.delay[from]
		}
		var retry <-chan struct{}
		var timer <-chan time.Time
		switch {
		case link.partitioned:
			retry = n.changed.wait()
		case roundTrip > 0 && !waited:
			waited = true
			timer = time.After(roundTrip)
		case l == nil:
			err = os.NewSyscallError("connect", syscall.ECONNREFUSED)
		case len(l.waiting) >= backlog:
			retry = l.changed.wait()
		default:
			local.Port, err = n.freePort(from)
			if err == nil {
				c := n.connect(network, local, to, link)
				l.waiting = append(l.waiting, c.peer())
				l.changed.broadcast()
				n.mu.Unlock()
				return c, nil
			}
		}
		n.mu.Unlock()
		if err == nil {
			select {
			case <-retry:
			case <-timer:
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Source: local, Addr: to, Err: err}
}

// connect makes a connection and returns its dialling end. n.mu is held.
func (n *Network) connect(network string, from, to Addr, l *link) *conn {
	p := &pair{network: n, net: network, ends: [2]Addr{from, to}, far: from.Host != to.Host && (n.far[from.Host] || n.far[to.Host])}
	for i := range p.halves {
		p.halves[i] = &half{delay: l.delay[p.ends[i].Host], held: l.partitioned}
	}
	for i := range p.conns {
		p.conns[i] = &conn{pair: p, end: i, out: p.halves[i], in: p.halves[1-i]}
	}
	n.conns[p] = struct{}{}
	return p.conns[0]
}

// Addr is the address of one end of a connection: a host's name and a port.
type Addr struct {
	Host string
	Port int
}

var _ net.Addr = Addr{}

// Network returns "tcp".
func (Addr) Network() string { return "tcp" }

// IsLocal says that hosts are on one machine, as far as those can tell who connect them: see Far.
func (Addr) IsLocal() bool { return true }

// farAddr is the address of the other end of a connection between two machines.
type farAddr struct{ Addr }

func (farAddr) IsLocal() bool { return false }

// String returns the address in the form for DialContext.
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

// resolve reads an address in the view of the host self.
func resolve(self, network, address string) (Addr, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return Addr{}, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return Addr{}, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return Addr{}, &net.AddrError{Err: "invalid port", Addr: address}
	}
	host = strings.TrimSuffix(host, ".")
	ip := net.ParseIP(host)
	if host == "" || host == localhost || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
		host = self
	}
	return Addr{Host: host, Port: int(port)}, nil
}
