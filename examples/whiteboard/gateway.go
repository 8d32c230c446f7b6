package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// gateway is a client of the board: it keeps a copy of the board, and passes changes on to its
// pages.
type gateway struct {
	node *rmi.Node
	name string // the board's, in the registry

	mu     sync.Mutex // guards the fields below; not held during calls
	list   ShapeList  // nil while the server cannot be reached
	status status
	shapes []*picture // on the board, oldest first
	known  map[Shape]*picture
	pages  pages
}

// picture is a shape and a copy of its state, which never changes.
type picture struct {
	ID string `json:"id"`
	GraphicalObject
	shape Shape
}

// status is what pages show of the gateway.
type status struct {
	Online  bool    `json:"online"`
	Why     string  `json:"why,omitempty"` // not online
	Version Version `json:"version"`
}

// How long the gateway waits before it looks for the server again, and how often it asks for the
// version without having been called. The latter bounds the delay if a callback is lost on a
// connection that is not. Nobody notices a connection that is cut and comes back within lostAfter.
const (
	lostAfter  = 3 * time.Second
	firstWait  = 50 * time.Millisecond
	longWait   = 2 * time.Second
	checkEvery = 10 * time.Second
)

var (
	errOffline = errors.New("the whiteboard's server cannot be reached")
	errNoShape = errors.New("there is no such shape on the board")
	errLost    = errors.New("the connection to the server is lost")
)

// newGatewayNode returns a node for a gateway.
func newGatewayNode() *rmi.Node { return rmi.NewNode(&rmi.Options{SessionLease: lostAfter}) }

func newGateway(node *rmi.Node, name string) *gateway {
	return &gateway{node: node, name: name, known: make(map[Shape]*picture), status: status{Why: "looking for the server"}}
}

// follow keeps the copy up to date until ctx ends. When the server is lost, it looks for it again.
func (g *gateway) follow(ctx context.Context) {
	wait := firstWait
	for {
		err := g.attend(ctx, func() { wait = firstWait })
		if ctx.Err() != nil {
			return
		}
		g.offline(err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		wait = min(2*wait, longWait)
	}
}

// ear is the listener that the server calls. It gets a version that the board has at least.
type ear struct {
	newest  atomic.Int64
	changed chan struct{} // holds one
}

var _ WhiteboardCallback = (*ear)(nil)

func (e *ear) Callback(_ context.Context, v Version) error {
	e.newest.Store(int64(v)) // calls come one at a time, in order
	select {
	case e.changed <- struct{}{}:
	default:
	}
	return nil
}

// attend finds the server and follows it until it is lost. It registers before it looks at the
// board, so that no change is lost between.
func (g *gateway) attend(ctx context.Context, found func()) error {
	list, err := registry.Lookup[ShapeList](ctx, g.node, g.name, nil)
	if err != nil {
		return err
	}
	e := &ear{changed: make(chan struct{}, 1)}
	sub, err := list.Register(ctx, e)
	if err != nil {
		return err
	}
	defer func() {
		soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		sub.Cancel(soon) // fails if the server is lost, and the registration with it
	}()
	gone, err := rmi.Gone(list)
	if err != nil {
		return err
	}
	version, err := g.look(ctx, list)
	if err != nil {
		return err
	}
	found()
	check := time.NewTicker(checkEvery)
	defer check.Stop()
	for {
		newest := version
		select {
		case <-e.changed:
			newest = Version(e.newest.Load())
		case <-check.C:
			if newest, err = list.Version(ctx); err != nil {
				return err
			}
		case <-gone:
			return errLost
		case <-ctx.Done():
			return ctx.Err()
		}
		if newest > version { // else the last look has seen it
			if version, err = g.look(ctx, list); err != nil {
				return err
			}
		}
	}
}

// look compares the board with the copy. It does not ask shapes that it knows for their state
// again: it recognises them by the identity of their references.
func (g *gateway) look(ctx context.Context, list ShapeList) (Version, error) {
	all, version, err := list.AllShapes(ctx)
	if err != nil {
		return 0, err
	}
	shapes := make([]*picture, 0, len(all))
	known := make(map[Shape]*picture, len(all))
	var added []*picture
	for _, s := range all {
		p := g.known[s] // only this goroutine writes known
		if p == nil {
			state, err := s.AllState(ctx)
			if errors.Is(err, rmi.KindNoSuchObject) {
				continue // removed meanwhile; the callback for that is on its way
			}
			if err == nil {
				err = state.check() // pages shall get nothing but shapes
			}
			if err != nil {
				return 0, err
			}
			p = &picture{ID: pageID(s), GraphicalObject: state, shape: s}
			added = append(added, p)
		}
		known[s] = p
		shapes = append(shapes, p)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var removed []string
	for s, p := range g.known {
		if known[s] == nil {
			removed = append(removed, p.ID)
		}
	}
	g.list, g.shapes, g.known = list, shapes, known
	g.status.Online, g.status.Why, g.status.Version = true, "", version
	g.tell(&update{Added: added, Removed: removed})
	return version, nil
}

// pageID names a shape in pages. It is derived from the reference's identity, so it is the same at
// every gateway and after every reconnection. But it is not enough to call the object.
func pageID(s Shape) string {
	r, _ := rmi.RefOf(s)
	h := sha256.Sum256(fmt.Appendf(nil, "%v %d %s", r.ID.Node, r.ID.Time, r.ID.Object.Hex()))
	return hex.EncodeToString(h[:12])
}

// offline tells the pages. They keep showing what was on the board.
func (g *gateway) offline(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.status
	g.list = nil
	g.status.Online, g.status.Why = false, reason(err)
	if g.status != was {
		g.tell(new(update))
	}
}

// reason says, for people, why the server cannot be reached.
func reason(err error) string {
	switch {
	case errors.Is(err, errLost):
		return errLost.Error()
	case errors.Is(err, rmi.KindNotBound):
		return "the registry knows no whiteboard: its server does not run"
	case errors.Is(err, rmi.KindConnectFailed), errors.Is(err, rmi.KindStaleReference), errors.Is(err, rmi.KindPeerGone):
		return errOffline.Error()
	}
	return err.Error()
}

// board returns the server's object.
func (g *gateway) board() (ShapeList, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.list == nil {
		return nil, errOffline
	}
	return g.list, nil
}

// drawn answers a page that drew a shape. Updates of that version and later ones include it: it was
// on the board, or was removed already.
type drawn struct {
	ID      string  `json:"id"`
	Version Version `json:"version"`
}

// draw puts a shape on the board, for a page. The pages see it when the callback comes.
func (g *gateway) draw(ctx context.Context, o GraphicalObject) (drawn, error) {
	list, err := g.board()
	if err != nil {
		return drawn{}, err
	}
	s, err := list.NewShape(ctx, o)
	if err != nil {
		return drawn{}, err
	}
	v, err := s.Version(ctx)
	if errors.Is(err, rmi.KindNoSuchObject) { // somebody was quick to remove it
		v, err = list.Version(ctx)
	}
	return drawn{pageID(s), v}, err
}

func (g *gateway) remove(ctx context.Context, id string) error {
	g.mu.Lock()
	var s Shape
	for _, p := range g.shapes {
		if p.ID == id {
			s = p.shape
		}
	}
	online := g.list != nil
	g.mu.Unlock()
	if s == nil {
		return errNoShape
	}
	if !online {
		return errOffline
	}
	err := s.Remove(ctx)
	if errors.Is(err, rmi.KindNoSuchObject) {
		return errNoShape
	}
	return err
}

func (g *gateway) clear(ctx context.Context) error {
	list, err := g.board()
	if err != nil {
		return err
	}
	return list.Clear(ctx)
}
