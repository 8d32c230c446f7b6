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

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/internal/lossy"
	"gormi/rmi/rmitest"
	"gormi/rmi/transport/datagram"
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

// overCarriers runs a test over a stream, over datagrams, over datagrams of which many are lost,
// and over such datagrams beside other calls on the same sessions. Of those calls one in eight is
// cancelled. Time is virtual.
func overCarriers(t *testing.T, test func(t *testing.T, network carrier)) {
	good := lossy.Options{Delay: time.Millisecond}
	bad := badLink(1)
	bad.Delay = time.Millisecond
	for _, c := range []struct {
		name string
		open func(t *testing.T) carrier
	}{
		{"stream", func(t *testing.T) carrier { return rmitest.New(t) }},
		{"datagrams", func(t *testing.T) carrier { return &datagrams{t: t, packets: lossy.New(good), usual: good} }},
		{"datagrams that get lost", func(t *testing.T) carrier { return &datagrams{t: t, packets: lossy.New(bad), usual: bad} }},
		{"datagrams that get lost, beside calls that are given up", func(t *testing.T) carrier {
			return &datagrams{t: t, packets: lossy.New(bad), usual: bad, mixed: true}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, c.open(t)) })
		})
	}
}

// datagrams is a carrier between two nodes, or more if none is cut.
type datagrams struct {
	t       *testing.T
	packets *lossy.Network
	usual   lossy.Options
	mixed   bool // every node makes calls to every node that listens

	mu      sync.Mutex // guards the fields below
	nodes   int
	callers []*rmi.Node
	beside  []refs.Ref // of objects that answer the calls of mixed
	dialled []net.Conn
}

func (d *datagrams) Node() *rmi.Node   { return d.NodeWith(nil) }
func (d *datagrams) Client() *rmi.Node { return d.ClientWith(nil) }

func (d *datagrams) NodeWith(o *rmi.Options) *rmi.Node {
	n := d.node(o)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes++
	if _, err := n.Listen(context.Background(), fmt.Sprintf("udp:node-%d:0", d.nodes)); err != nil {
		d.t.Fatal(err)
	}
	if d.mixed {
		r := export[Worker](d.t, n, &worker{do: func(ctx context.Context, ms int64) (int64, error) {
			return ms, work(ctx, time.Duration(ms)*time.Millisecond)
		}}, nil)
		for _, c := range d.callers {
			d.mix(c, r)
		}
		d.callers, d.beside = append(d.callers, n), append(d.beside, r)
	}
	return n
}

// ClientWith returns a node that does not listen.
func (d *datagrams) ClientWith(o *rmi.Options) *rmi.Node {
	n := d.node(o)
	if d.mixed {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.callers = append(d.callers, n)
		for _, r := range d.beside {
			d.mix(n, r)
		}
	}
	return n
}

// mix makes calls from one node to another until the test ends. Some are cancelled at about the
// time at which they are answered. Calls may fail because of what the test does with the nodes, but
// not because one node does not understand the other.
func (d *datagrams) mix(n *rmi.Node, r refs.Ref) {
	ctx, cancel := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	d.t.Cleanup(func() { cancel(); calls.Wait() }) // before the nodes are closed
	w := resolve[Worker](d.t, n, r)
	for caller := range uint64(2) {
		calls.Go(func() {
			random := draw(d.usual.Seed, caller)
			for pause := time.Millisecond; ctx.Err() == nil; pause = min(pause+pause/64, 10*time.Second) { // tests may last for hours
				takes := random.Int64N(3) * 6 // milliseconds: before and after the callee takes charge
				call, done := ctx, func() {}
				if random.IntN(8) == 0 {
					call, done = context.WithTimeout(ctx, time.Duration(takes)*time.Millisecond+time.Duration(random.Int64N(int64(6*time.Millisecond))))
				}
				_, err := w.Do(call, takes)
				done()
				switch rmi.KindOf(err) {
				case rmi.KindProtocol:
					d.t.Errorf("a call beside ends with %v", err)
					return
				case rmi.KindClosed:
					return
				}
				_ = work(ctx, time.Duration(random.Int64N(int64(pause))))
			}
		})
	}
}

func (d *datagrams) node(o *rmi.Options) *rmi.Node {
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
