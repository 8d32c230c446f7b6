package main

import (
	"context"
	"slices"
	"sync"

	"gormi/callback"
	"gormi/rmi"
)

// board is the servant behind ShapeList.
type board struct {
	node      *rmi.Node
	listeners *callback.Listeners[WhiteboardCallback]

	mu      sync.Mutex // guards the fields below
	version Version
	shapes  []*shape // on the board, oldest first
}

var _ ShapeList = (*board)(nil)

func newBoard(node *rmi.Node) *board {
	return &board{
		node: node,
		// Only the newest version counts, so one notification that waits is enough.
		listeners: callback.NewListeners[WhiteboardCallback](node, &callback.ListenersOptions[WhiteboardCallback]{Queue: 1}),
	}
}

// close forgets the listeners. The shapes end with the node.
func (b *board) close() error { return b.listeners.Close() }

// shape is the servant behind Shape. It is exported while it is on the board, so that it stays the
// same object to a client that lost its connection and came back.
type shape struct {
	board   *board
	state   GraphicalObject
	version Version
	export  *rmi.Handle[Shape]
}

var _ Shape = (*shape)(nil)

func (b *board) NewShape(_ context.Context, g GraphicalObject) (Shape, error) {
	if err := g.check(); err != nil {
		return nil, err
	}
	s := &shape{board: b, state: g}
	var err error
	if s.export, err = rmi.Export[Shape](b.node, s, nil); err != nil {
		return nil, err
	}
	if !b.add(s) {
		s.export.Close()
		return nil, errFull
	}
	b.notify()
	return s, nil
}

func (b *board) add(s *shape) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.shapes) == maxShapes {
		return false
	}
	b.version++
	s.version = b.version
	b.shapes = append(b.shapes, s)
	return true
}

func (b *board) AllShapes(context.Context) ([]Shape, Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]Shape, len(b.shapes))
	for i, s := range b.shapes {
		all[i] = s
	}
	return all, b.version, nil
}

func (b *board) Version(context.Context) (Version, error) { return b.newest(), nil }

func (b *board) newest() Version {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}

func (b *board) Register(_ context.Context, c WhiteboardCallback) (callback.Subscription, error) {
	if b.listeners.Len() >= maxListeners {
		return nil, errListeners
	}
	return b.listeners.Add(c)
}

// notify sends the listeners the version at the time of the call. It does not wait for them.
func (b *board) notify() {
	b.listeners.Notify(func(ctx context.Context, c WhiteboardCallback) error { return c.Callback(ctx, b.newest()) })
}

func (b *board) Clear(context.Context) error {
	b.remove(func(*shape) bool { return true })
	return nil
}

// remove takes shapes off the board, and ends their exports.
func (b *board) remove(which func(*shape) bool) {
	b.mu.Lock()
	var gone []*shape
	b.shapes = slices.DeleteFunc(b.shapes, func(s *shape) bool {
		if !which(s) {
			return false
		}
		gone = append(gone, s)
		return true
	})
	if len(gone) > 0 {
		b.version++
	}
	b.mu.Unlock()
	for _, s := range gone {
		s.export.Close()
	}
	if len(gone) > 0 {
		b.notify()
	}
}

func (s *shape) Version(context.Context) (Version, error)          { return s.version, nil }
func (s *shape) AllState(context.Context) (GraphicalObject, error) { return s.state, nil }

func (s *shape) Remove(context.Context) error {
	s.board.remove(func(other *shape) bool { return other == s })
	return nil
}
