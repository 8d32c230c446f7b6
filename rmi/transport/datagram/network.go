package datagram

import (
	"context"
	"net"
	"syscall"

	"gormi/rmi/fault"
)

// Packets opens sockets. A struct that embeds net.Dialer and net.ListenConfig implements it, and
// so can a network in memory.
type Packets interface {
	// DialContext returns a socket with one peer.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error)
}

// Network opens connections and listeners over datagrams, for the network "udp". The zero value
// uses the operating system's UDP, on loopback.
type Network struct {
	Packets Packets // where sockets come from; nil means the operating system's UDP
	// Control is the ControlContext of the operating system's sockets that dial; nil means none.
	Control func(ctx context.Context, network, address string, c syscall.RawConn) error

	Insecure bool // allow addresses beyond loopback, without encryption
}

type system struct {
	net.Dialer
	net.ListenConfig
}

// DialContext makes a connection to address, "host:port".
func (n Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if n.Packets != nil {
		socket, err := n.Packets.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, socket)
	}
	d := net.Dialer{ControlContext: n.Control}
	socket, err := d.DialContext(ctx, network, address) // this sends nothing
	if err != nil {
		return nil, err
	}
	if err := n.allow(socket.RemoteAddr()); err != nil {
		socket.Close()
		return nil, err
	}
	roomy(socket)
	return dial(ctx, socket)
}

// roomy lets the system store more of what arrives while the program is busy. By default that
// is less than a full window. It helps but is not needed.
func roomy(socket any) {
	if u, ok := socket.(*net.UDPConn); ok {
		_ = u.SetReadBuffer(4 * window * MaxDatagram)
	}
}

func dial(ctx context.Context, socket net.Conn) (net.Conn, error) {
	c, err := Dial(ctx, socket)
	if err != nil {
		return nil, err // not a nil *Conn
	}
	return c, nil
}

// Listen accepts connections on address, "host:port".
func (n Network) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if n.Packets != nil {
		socket, err := n.Packets.ListenPacket(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return Listen(socket), nil
	}
	socket, err := new(system).ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := n.allow(socket.LocalAddr()); err != nil {
		socket.Close()
		return nil, err
	}
	roomy(socket)
	return Listen(socket), nil
}

// allow refuses addresses beyond this machine, unless Insecure is set.
func (n Network) allow(a net.Addr) error {
	if u, ok := a.(*net.UDPAddr); n.Insecure || ok && u.IP.IsLoopback() {
		return nil
	}
	return fault.New(fault.KindDenied, fault.OutcomeNotExecuted,
		"%v is beyond this machine, and datagrams are not encrypted: TLS does not run over them. Use TCP with Options.TLS, or set Options.Insecure", a)
}
