//go:build !gc || !(amd64 || arm64) || rmi_safe

package main

import (
	"context"

	"gormi/rmi/stub"
)

// Stubs by hand, for platforms where interfaces cannot be proxied at run time.
type (
	chatStub     struct{ stub.Object }
	seatStub     struct{ stub.Object }
	listenerStub struct{ stub.Object }
)

var (
	_ Chat     = chatStub{}
	_ Seat     = seatStub{}
	_ Listener = listenerStub{}
)

func init() {
	stub.Register(func(o stub.Object) Chat { return chatStub{o} })
	stub.Register(func(o stub.Object) Seat { return seatStub{o} })
	stub.Register(func(o stub.Object) Listener { return listenerStub{o} })
}

func (s chatStub) Join(ctx context.Context, room, name string, l Listener) (seated Seated, err error) {
	err = s.Invoke(ctx, "Join", stub.Args(room, name, l), &seated)
	return
}

func (s chatStub) Rooms(ctx context.Context) (rooms []RoomInfo, err error) {
	err = s.Invoke(ctx, "Rooms", nil, &rooms)
	return
}

func (s seatStub) Say(ctx context.Context, text string) error {
	return s.Invoke(ctx, "Say", stub.Args(text))
}

func (s seatStub) Who(ctx context.Context) (names []string, err error) {
	err = s.Invoke(ctx, "Who", nil, &names)
	return
}

func (s seatStub) Leave(ctx context.Context) error { return s.Invoke(ctx, "Leave", nil) }

func (s listenerStub) Heard(ctx context.Context, l Line) error {
	return s.Invoke(ctx, "Heard", stub.Args(l))
}
