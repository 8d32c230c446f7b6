package main

import (
	"context"
	"errors"
	"fmt"

	"gormi/callback"
	"gormi/rmi"
)

//go:generate go tool rmigen

// ShapeList is the remote interface that is bound in the registry: a board, as in "Distributed
// Systems: Concepts and Design" by Coulouris, Dollimore, Kindberg and Blair. The names are the
// book's, in Go's spelling. Remove and Clear, which the book does not have, remove shapes.
type ShapeList interface {
	// NewShape puts a shape on the board and returns it, by reference: its state stays with the
	// server. Errors: errBadShape, errFull.
	NewShape(ctx context.Context, g GraphicalObject) (Shape, error)

	// AllShapes returns references to the shapes on the board, in the order in which they were
	// drawn, and the version of the board that has these shapes.
	AllShapes(ctx context.Context) ([]Shape, Version, error)

	Version(ctx context.Context) (Version, error)

	// Register calls c after each change, until the subscription is cancelled, which is the book's
	// deregister. A listener that is slower than the changes is not called for each, but always for
	// the last. Error: errListeners.
	Register(ctx context.Context, c WhiteboardCallback) (callback.Subscription, error)

	// Clear takes all shapes off the board.
	Clear(ctx context.Context) error
}

// Shape is a remote object too. In another process a shape equals itself and nothing else, however
// often its reference was received.
type Shape interface {
	// Version is the board's version when the shape was drawn.
	Version(ctx context.Context) (Version, error)

	// AllState returns a copy of what the shape looks like.
	AllState(ctx context.Context) (GraphicalObject, error)

	// Remove takes the shape off the board. It does nothing if it is off.
	Remove(ctx context.Context) error
}

// WhiteboardCallback is what a client implements to be told of changes.
type WhiteboardCallback interface {
	Callback(ctx context.Context, v Version) error
}

// Version counts the changes of a board, in one life of the server.
type Version int64

// GraphicalObject is what a shape looks like. It travels by value.
type GraphicalObject struct {
	Kind   string  `json:"kind"`   // one of kinds
	Points []Point `json:"points"` // of a stroke 1 to maxPoints; of the others 2: the ends, or opposite corners of the frame
	Colour string  `json:"colour"` // #rrggbb
	Width  int     `json:"width"`  // of the pen, 1 to maxPen
	Filled bool    `json:"filled"` // of rectangles and ellipses
}

// Point is x, 0 to boardWidth from the left, and y, 0 to boardHeight from the top.
type Point [2]int16

// What a board holds. AllShapes' references fit in one reply, which carries at most 1024.
const (
	boardWidth, boardHeight = 1600, 1000

	maxShapes    = 1000
	maxPoints    = 1000
	maxPen       = 60
	maxListeners = 1000
)

var kinds = map[string]bool{"stroke": true, "line": true, "rectangle": true, "ellipse": true}

// check returns an errBadShape that says what is wrong with g, if anything is.
func (g *GraphicalObject) check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{errBadShape}, a...)...)
	}
	n := len(g.Points)
	switch {
	case !kinds[g.Kind]:
		return bad("its kind is %.20q: want stroke, line, rectangle or ellipse", g.Kind)
	case g.Kind == "stroke" && (n < 1 || n > maxPoints):
		return bad("a stroke of %d points: want 1 to %d", n, maxPoints)
	case g.Kind != "stroke" && n != 2:
		return bad("a %s of %d points: want 2", g.Kind, n)
	case g.Width < 1 || g.Width > maxPen:
		return bad("the pen's width is %d: want 1 to %d", g.Width, maxPen)
	case !isColour(g.Colour):
		return bad("the colour is %.20q: want #rrggbb", g.Colour)
	case g.Filled && (g.Kind == "stroke" || g.Kind == "line"):
		return bad("a %s cannot be filled", g.Kind)
	}
	for _, p := range g.Points {
		if p[0] < 0 || p[0] > boardWidth || p[1] < 0 || p[1] > boardHeight {
			return bad("the point %d, %d is not on the board of %d by %d", p[0], p[1], boardWidth, boardHeight)
		}
	}
	return nil
}

func isColour(s string) bool {
	if len(s) != 7 || s[0] != '#' {
		return false
	}
	for _, c := range s[1:] {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// The board's own errors. They keep their identity on the way to the client.
var (
	errBadShape  = errors.New("that is no shape")
	errFull      = errors.New("the board is full: remove something, or clear it")
	errListeners = errors.New("too many listeners are registered")
)

func init() {
	rmi.RegisterError("whiteboard.BadShape", errBadShape)
	rmi.RegisterError("whiteboard.Full", errFull)
	rmi.RegisterError("whiteboard.Listeners", errListeners)
}
