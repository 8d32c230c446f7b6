package rmi_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
	"gormi/rmi/transport/datagram"
	"gormi/rmi/transport/datagram/lossy"
)

// carrier is a network of nodes for tests of what holds whatever carries the
// calls.
type carrier interface {
	Node() *rmi.Node
	NodeWith(o *rmi.Options) *rmi.Node
	Client() *rmi.Node
	ClientWith(o *rmi.Options) *rmi.Node
	Cut(a, b *rmi.Node)
	Partition(a, b *rmi.Node)
	Heal(a, b *rmi.Node)
}

var _ carrier = (*rmitest.Network)(nil)

// overCarriers runs a test over a stream, over datagrams, and over datagrams of
// which many are lost, in virtual time.
func overCarriers(t *testing.T, test func(t *testing.T, network carrier)) {
	good := lossy.Options{Delay: time.Millisecond}
	bad := badLink(1)
	bad.Delay = time.Millisecond
	for _, c := range []struct {
		name string
		make func(t *testing.T) carrier
	}{
		{"stream", func(t *testing.T) carrier { return rmitest.New(t) }},
		{"datagrams", func(t *testing.T) carrier { return &datagrams{t: t, packets: lossy.New(good), usual: good} }},
		{"datagrams that get lost", func(t *testing.T) carrier { return &datagrams{t: t, packets: lossy.New(bad), usual: bad} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, c.make(t)) })
		})
	}
}

// datagrams is a carrier between two nodes, or more if none is cut.
type datagrams struct {
	t       *testing.T
	packets *lossy.Network
	usual   lossy.Options

	mu      sync.Mutex // guards the fields below
	nodes   int
	dialled []net.Conn
}

func (d *datagrams) Node() *rmi.Node   { return d.NodeWith(nil) }
func (d *datagrams) Client() *rmi.Node { return d.ClientWith(nil) }

func (d *datagrams) NodeWith(o *rmi.Options) *rmi.Node {
	n := d.ClientWith(o)
	d.mu.Lock()
	d.nodes++
	host := fmt.Sprintf("udp:node-%d:0", d.nodes)
	d.mu.Unlock()
	if _, err := n.Listen(host); err != nil {
		d.t.Fatal(err)
	}
	return n
}

func (d *datagrams) ClientWith(o *rmi.Options) *rmi.Node {
	var opts rmi.Options
	if o != nil {
		opts = *o
	}
	opts.Network = datagram.Network{Packets: d}
	return client(d.t, &opts)
}

func (d *datagrams) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	return d.packets.ListenPacket(ctx, network, address)
}

func (d *datagrams) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.packets.DialContext(ctx, network, address)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dialled = append(d.dialled, c)
	return c, err
}

// Partition loses all datagrams until Heal.
func (d *datagrams) Partition(_, _ *rmi.Node) { d.packets.Set(lossy.Options{Loss: 1}) }
func (d *datagrams) Heal(_, _ *rmi.Node)      { d.packets.Set(d.usual) }

// Cut closes the sockets of all who dialled: they begin anew with others.
func (d *datagrams) Cut(_, _ *rmi.Node) {
	d.mu.Lock()
	sockets := slices.Clone(d.dialled)
	d.dialled = nil
	d.mu.Unlock()
	for _, c := range sockets {
		c.Close()
	}
}
