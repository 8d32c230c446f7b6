package rmitest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/memnet"
)

// Network is a network of nodes in memory. It is safe for concurrent use.
type Network struct {
	tb     testing.TB
	net    *memnet.Network
	logger *slog.Logger

	mu    sync.Mutex // guards the fields below
	names map[*rmi.Node]string
	ended bool // the nodes are closed: none is made any more
}

// New returns a network for one test, which ends with it.
func New(tb testing.TB) *Network {
	tb.Helper()
	log := &testLog{to: tb.Output()}
	n := &Network{
		tb:     tb,
		net:    memnet.New(),
		logger: slog.New(slog.NewTextHandler(log, nil)),
		names:  make(map[*rmi.Node]string),
	}
	own := label(tb)
	tb.Cleanup(func() {
		n.close()
		left := own.release()
		log.end()
		if left != "" {
			tb.Errorf("rmitest: goroutines are left after all nodes were closed:\n%s", left)
		}
	})
	return n
}

// Node returns a node that listens on a host of its own, "node-1" for the first.
func (n *Network) Node() *rmi.Node {
	n.tb.Helper()
	return n.NodeWith(nil)
}

// NodeWith returns a node with options that listens on a host of its own. o may
// be nil; its Network is replaced.
func (n *Network) NodeWith(o *rmi.Options) *rmi.Node {
	n.tb.Helper()
	node := n.ClientWith(o)
	if _, err := node.Listen(context.Background(), n.host(node)+":0"); err != nil {
		n.tb.Fatalf("rmitest: %v", err)
	}
	return node
}

// Client returns a node that listens nowhere, on a host of its own.
func (n *Network) Client() *rmi.Node {
	n.tb.Helper()
	return n.ClientWith(nil)
}

// ClientWith is Client with options. o may be nil; its Network is replaced.
func (n *Network) ClientWith(o *rmi.Options) *rmi.Node {
	n.tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ended {
		n.tb.Fatal("rmitest: a node is asked for after the network's end")
	}
	return n.add(fmt.Sprintf("node-%d", len(n.names)+1), o)
}

// Restart closes a node and returns a new one in its place, as if a new process ran on the same
// host. The new node listens at the same address if the old one did. Objects of the old node are
// gone. o may be nil.
func (n *Network) Restart(node *rmi.Node, o *rmi.Options) *rmi.Node {
	n.tb.Helper()
	host, at := n.host(node), node.Endpoint()
	if err := node.Close(); err != nil {
		n.tb.Fatalf("rmitest: %v", err)
	}
	n.mu.Lock()
	next := n.add(host, o)
	n.mu.Unlock()
	if at.Listens() {
		if _, err := next.Listen(context.Background(), at.Address()); err != nil {
			n.tb.Fatalf("rmitest: %v", err)
		}
	}
	return next
}

// add makes a node on a host. mu is held.
func (n *Network) add(host string, o *rmi.Options) *rmi.Node {
	var opts rmi.Options
	if o != nil {
		opts = *o
	}
	opts.Network = n.net.Host(host)
	if opts.Logger == nil {
		opts.Logger = n.logger.With("host", host)
	}
	node := rmi.NewNode(&opts)
	n.names[node] = host
	return node
}

// Host is a node's host name.
func (n *Network) Host(node *rmi.Node) string {
	n.tb.Helper()
	return n.host(node)
}

func (n *Network) host(node *rmi.Node) string {
	n.tb.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	name, ok := n.names[node]
	if !ok {
		n.tb.Fatal("rmitest: the node is of another network")
	}
	return name
}

// Cut fails every connection between two nodes at once. What was on its way is lost. New
// connections can be made.
func (n *Network) Cut(a, b *rmi.Node) {
	n.tb.Helper()
	n.net.Cut(n.host(a), n.host(b))
}

// Far makes a node another machine's, as it were: in its later connections neither side is local to
// the other (rmi.PeerInfo.Local). Without it the nodes of a network are, as those of one machine.
func (n *Network) Far(node *rmi.Node) {
	n.tb.Helper()
	n.net.Far(n.host(node))
}

// Partition stops the bytes between two nodes. Neither is told.
func (n *Network) Partition(a, b *rmi.Node) {
	n.tb.Helper()
	n.net.Partition(n.host(a), n.host(b))
}

// Heal undoes Partition: the bytes that waited go on.
func (n *Network) Heal(a, b *rmi.Node) {
	n.tb.Helper()
	n.net.Heal(n.host(a), n.host(b))
}

// Delay sets how long bytes take between two nodes, in each direction.
func (n *Network) Delay(a, b *rmi.Node, d time.Duration) {
	n.tb.Helper()
	x, y := n.host(a), n.host(b)
	n.net.Delay(x, y, d)
	n.net.Delay(y, x, d)
}

// close closes the nodes concurrently, because each may have to wait for its methods.
func (n *Network) close() {
	n.mu.Lock()
	n.ended = true
	var wg sync.WaitGroup
	for node := range n.names {
		wg.Go(func() {
			if err := node.Close(); err != nil {
				n.tb.Errorf("rmitest: %v", err)
			}
		})
	}
	n.mu.Unlock()
	wg.Wait()
}

// testLog writes to the test's log while the test runs. A goroutine that is left may log after
// that, which would panic.
type testLog struct {
	mu sync.Mutex
	to io.Writer // nil when the test is over
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to == nil {
		return len(b), nil
	}
	return l.to.Write(b)
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = nil
}
