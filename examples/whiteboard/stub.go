//go:build !gc || !(amd64 || arm64) || rmi_safe

package main

import (
	"context"

	"gormi/callback"
	"gormi/rmi/stub"
)

// Stubs by hand, for platforms where interfaces cannot be proxied at run time.
type (
	shapeListStub struct{ stub.Object }
	shapeStub     struct{ stub.Object }
	callbackStub  struct{ stub.Object }
)

var (
	_ ShapeList          = shapeListStub{}
	_ Shape              = shapeStub{}
	_ WhiteboardCallback = callbackStub{}
)

func init() {
	stub.Register(func(o stub.Object) ShapeList { return shapeListStub{o} })
	stub.Register(func(o stub.Object) Shape { return shapeStub{o} })
	stub.Register(func(o stub.Object) WhiteboardCallback { return callbackStub{o} })
}

func (s shapeListStub) NewShape(ctx context.Context, g GraphicalObject) (shape Shape, err error) {
	err = s.Invoke(ctx, "NewShape", stub.Args(g), &shape)
	return
}

func (s shapeListStub) AllShapes(ctx context.Context) (all []Shape, v Version, err error) {
	err = s.Invoke(ctx, "AllShapes", nil, &all, &v)
	return
}

func (s shapeListStub) Version(ctx context.Context) (v Version, err error) {
	err = s.Invoke(ctx, "Version", nil, &v)
	return
}

func (s shapeListStub) Register(ctx context.Context, c WhiteboardCallback) (sub callback.Subscription, err error) {
	err = s.Invoke(ctx, "Register", stub.Args(c), &sub)
	return
}

func (s shapeListStub) Clear(ctx context.Context) error { return s.Invoke(ctx, "Clear", nil) }

func (s shapeStub) Version(ctx context.Context) (v Version, err error) {
	err = s.Invoke(ctx, "Version", nil, &v)
	return
}

func (s shapeStub) AllState(ctx context.Context) (g GraphicalObject, err error) {
	err = s.Invoke(ctx, "AllState", nil, &g)
	return
}

func (s shapeStub) Remove(ctx context.Context) error { return s.Invoke(ctx, "Remove", nil) }

func (s callbackStub) Callback(ctx context.Context, v Version) error {
	return s.Invoke(ctx, "Callback", stub.Args(v))
}
