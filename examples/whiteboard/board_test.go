package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

func patient(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// clients returns a new board's proxies in n nodes, each a client of the board's node.
func clients(ctx context.Context, t *testing.T, n int) (proxies []ShapeList, nodes []*rmi.Node) {
	t.Helper()
	network := rmitest.New(t)
	owner := network.Node()
	names, err := registry.Serve(ctx, owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := newBoard(owner)
	t.Cleanup(func() { b.close() })
	if _, err := registry.Bind[ShapeList](ctx, owner, names.URL("whiteboard"), b, nil); err != nil {
		t.Fatal(err)
	}
	for range n {
		node := network.Client()
		list, err := registry.Lookup[ShapeList](ctx, node, names.URL("whiteboard"), nil)
		if err != nil {
			t.Fatal(err)
		}
		proxies, nodes = append(proxies, list), append(nodes, node)
	}
	return proxies, nodes
}

func line(x1, y1, x2, y2 int16) GraphicalObject {
	return GraphicalObject{Kind: "line", Points: []Point{{x1, y1}, {x2, y2}}, Colour: "#112233", Width: 3}
}

func draw(ctx context.Context, t *testing.T, l ShapeList, g GraphicalObject) Shape {
	t.Helper()
	s, err := l.NewShape(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestShapesAreReferences(t *testing.T) {
	ctx := patient(t)
	lists, _ := clients(ctx, t, 2)
	ada, bob := lists[0], lists[1]
	first := draw(ctx, t, ada, line(1, 2, 3, 4))
	second := draw(ctx, t, ada, line(5, 6, 7, 8))
	if v, err := second.Version(ctx); v != 2 || err != nil {
		t.Errorf("the second shape is of version %d, %v", v, err)
	}

	all, v, err := ada.AllShapes(ctx)
	if err != nil || v != 2 || !slices.Equal(all, []Shape{first, second}) {
		t.Errorf("AllShapes returns %v of version %d, %v: want the two shapes themselves", all, v, err)
	}
	all, _, err = bob.AllShapes(ctx)
	if err != nil || len(all) != 2 {
		t.Fatalf("another client sees %v, %v", all, err)
	}
	if g, err := all[1].AllState(ctx); err != nil || g.Kind != "line" || !slices.Equal(g.Points, []Point{{5, 6}, {7, 8}}) || g.Colour != "#112233" || g.Width != 3 {
		t.Errorf("the second shape is %+v, %v", g, err)
	}

	if err := all[0].Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if err := first.Remove(ctx); err != nil && !errors.Is(err, rmi.KindNoSuchObject) {
		t.Errorf("a second Remove: %v", err)
	}
	if all, v, err := ada.AllShapes(ctx); err != nil || v != 3 || !slices.Equal(all, []Shape{second}) {
		t.Errorf("after a removal AllShapes returns %v of version %d, %v", all, v, err)
	}
	for range 2 { // the second time there is nothing to clear, and nothing has changed
		if err := bob.Clear(ctx); err != nil {
			t.Fatal(err)
		}
		if all, v, err := ada.AllShapes(ctx); err != nil || v != 4 || len(all) != 0 {
			t.Errorf("after Clear AllShapes returns %v of version %d, %v", all, v, err)
		}
	}
}

// stuck is a listener that never returns.
type stuck struct{ called, release chan struct{} }

func (s *stuck) Callback(ctx context.Context, _ Version) error {
	close(s.called)
	select {
	case <-s.release:
	case <-ctx.Done():
	}
	return nil
}

// heard is a listener that passes versions on.
type heard chan Version

func (h heard) Callback(_ context.Context, v Version) error { h <- v; return nil }

func (h heard) until(ctx context.Context, t *testing.T, want Version) {
	t.Helper()
	last := Version(0)
	for last < want {
		select {
		case v := <-h:
			if v < last {
				t.Errorf("version %d came after %d", v, last)
			}
			last = v
		case <-ctx.Done():
			t.Fatalf("version %d is the last that was heard, want %d", last, want)
		}
	}
}

func TestCallback(t *testing.T) {
	ctx := patient(t)
	lists, _ := clients(ctx, t, 3)
	blocked := &stuck{make(chan struct{}), make(chan struct{})}
	defer close(blocked.release)
	if _, err := lists[0].Register(ctx, blocked); err != nil {
		t.Fatal(err)
	}
	h := make(heard, 2*maxShapes)
	sub, err := lists[1].Register(ctx, h)
	if err != nil {
		t.Fatal(err)
	}
	draw(ctx, t, lists[2], line(0, 0, 1, 1))
	<-blocked.called
	for range 99 {
		draw(ctx, t, lists[2], line(0, 0, 1, 1))
	}
	h.until(ctx, t, 100) // though the other listener hangs
	if err := lists[2].Clear(ctx); err != nil {
		t.Fatal(err)
	}
	h.until(ctx, t, 101)

	if err := sub.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	other := make(heard, 10)
	if _, err := lists[1].Register(ctx, other); err != nil {
		t.Fatal(err)
	}
	draw(ctx, t, lists[2], line(0, 0, 1, 1))
	other.until(ctx, t, 102)
	if len(h) > 0 {
		t.Errorf("after Cancel, version %d is heard", <-h)
	}
	if _, err := lists[0].Register(ctx, nil); err == nil {
		t.Error("no listener can be registered")
	}
}

func TestListenersAreBounded(t *testing.T) {
	ctx := patient(t)
	lists, _ := clients(ctx, t, 1)
	var last callback.Subscription
	for range maxListeners {
		var err error
		if last, err = lists[0].Register(ctx, make(heard)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := lists[0].Register(ctx, make(heard)); !errors.Is(err, errListeners) {
		t.Errorf("one more: %v", err)
	}
	if err := last.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := lists[0].Register(ctx, make(heard)); err != nil {
		t.Errorf("in the place of one that is gone: %v", err)
	}
}

func TestFullBoard(t *testing.T) {
	ctx := patient(t)
	lists, _ := clients(ctx, t, 1)
	for range maxShapes {
		draw(ctx, t, lists[0], line(0, 0, 1, 1))
	}
	if _, err := lists[0].NewShape(ctx, line(0, 0, 1, 1)); !errors.Is(err, errFull) {
		t.Errorf("one more: %v", err)
	}
	all, _, err := lists[0].AllShapes(ctx)
	if err != nil || len(all) != maxShapes {
		t.Fatalf("AllShapes returns %d, %v", len(all), err)
	}
	if err := all[7].Remove(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := lists[0].NewShape(ctx, line(0, 0, 1, 1)); err != nil {
		t.Errorf("in the place of one that was removed: %v", err)
	}
}

func TestBadShapes(t *testing.T) {
	ctx := patient(t)
	lists, _ := clients(ctx, t, 1)
	for _, c := range []struct {
		change func(*GraphicalObject)
		want   string
	}{
		{func(g *GraphicalObject) { g.Kind = "<script>" }, "its kind is"},
		{func(g *GraphicalObject) { g.Kind = strings.Repeat("x", 1000) }, "its kind is"},
		{func(g *GraphicalObject) { g.Points = g.Points[:1] }, "a line of 1 points"},
		{func(g *GraphicalObject) { g.Points = nil }, "a line of 0 points"},
		{func(g *GraphicalObject) { g.Kind, g.Points = "stroke", nil }, "a stroke of 0 points"},
		{func(g *GraphicalObject) { g.Kind, g.Points = "stroke", make([]Point, maxPoints+1) }, "a stroke of 1001 points"},
		{func(g *GraphicalObject) { g.Points[0][0] = -1 }, "the point -1, 2 is not on the board"},
		{func(g *GraphicalObject) { g.Points[1][1] = boardHeight + 1 }, "the point 3, 1001 is not on the board"},
		{func(g *GraphicalObject) { g.Width = 0 }, "width is 0"},
		{func(g *GraphicalObject) { g.Width = maxPen + 1 }, "width is 61"},
		{func(g *GraphicalObject) { g.Colour = "red" }, "the colour is"},
		{func(g *GraphicalObject) { g.Colour = "#12345G" }, "the colour is"},
		{func(g *GraphicalObject) { g.Colour = "url(//a)" }, "the colour is"},
		{func(g *GraphicalObject) { g.Filled = true }, "cannot be filled"},
	} {
		g := line(1, 2, 3, 4)
		c.change(&g)
		_, err := lists[0].NewShape(ctx, g)
		if !errors.Is(err, errBadShape) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
			t.Errorf("%+v: %v, want an errBadShape with %q", g, err, c.want)
		}
	}
	if all, v, err := lists[0].AllShapes(ctx); len(all) != 0 || v != 0 || err != nil {
		t.Errorf("%d shapes and version %d came of that, %v", len(all), v, err)
	}
}
