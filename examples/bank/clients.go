package main

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"gormi/registry"
	"gormi/rmi"
)

// bank is a branch in service: the node that owns it, with a registry on the same port, and clients
// with a node and a connection each.
type bank struct {
	nodes   []*rmi.Node
	clients []Branch // proxies
}

// open exports a branch with the threading. Each client looks it up.
func open(ctx context.Context, branch Branch, th rmi.Threading, clients int) (*bank, error) {
	b := new(bank)
	if err := b.open(ctx, branch, th, clients); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bank) open(ctx context.Context, branch Branch, th rmi.Threading, clients int) error {
	owner, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.nodes = append(b.nodes, owner)
	names, err := registry.Serve(ctx, owner, nil)
	if err != nil {
		return err
	}
	h, err := rmi.Export(owner, branch, &rmi.ExportOptions{Threading: th})
	if err != nil {
		return err
	}
	name := names.URL("bank/branch")
	if _, err := registry.Bind(ctx, owner, name, h.Value(), nil); err != nil {
		return err
	}
	for range clients {
		node := rmi.NewNode(nil)
		b.nodes = append(b.nodes, node)
		client, err := registry.Lookup[Branch](ctx, node, name, nil)
		if err != nil {
			return err
		}
		b.clients = append(b.clients, client)
	}
	return nil
}

// transfer lets the clients of the plan transfer money concurrently. It returns how many transfers
// were confirmed.
func (b *bank) transfer(ctx context.Context, p plan) (confirmed int64, err error) {
	var n atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for _, client := range b.clients[:p.clients] {
		group.Go(func() error {
			for range p.transfers {
				if err := client.Transfer(ctx, amount); err != nil {
					return err
				}
				n.Add(1)
			}
			return nil
		})
	}
	err = group.Wait()
	return n.Load(), err
}

// close closes the clients' nodes, then the owner's.
func (b *bank) close() {
	for i := len(b.nodes) - 1; i >= 0; i-- {
		b.nodes[i].Close()
	}
}

func nameOf(th rmi.Threading) string {
	if th == rmi.ThreadingSerial {
		return "serial"
	}
	return "concurrent"
}
