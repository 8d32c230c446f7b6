//go:build !gc || !(amd64 || arm64) || rmi_safe

package rmi_test

import (
	"context"

	"gormi/refs"
	"gormi/rmi/stub"
)

// Stubs by hand, for platforms where interfaces cannot be proxied at run time.
func init() {
	stub.Register(func(o stub.Object) Worker { return workerStub{o} })
	stub.Register(func(o stub.Object) Ponger { return pongerStub{o} })
	stub.Register(func(o stub.Object) Account { return accountStub{o} })
	stub.Register(func(o stub.Object) Doer { return doerStub{o} })
	stub.Register(func(o stub.Object) Wrong { return wrongStub{o} })
	stub.Register(func(o stub.Object) Desk { return deskStub{o} })
	stub.Register(func(o stub.Object) eagerDesk { return deskStub{o} })
	stub.Register(func(o stub.Object) Shelf { return shelfStub{o} })
	stub.Register(func(o stub.Object) Mail { return mailStub{o} })
}

type pongerStub struct{ stub.Object }

func (s pongerStub) Ping(ctx context.Context, r refs.Ref) error {
	return s.Invoke(ctx, "Ping", stub.Args(r))
}

type workerStub struct{ stub.Object }

func (s workerStub) Do(ctx context.Context, n int64) (m int64, err error) {
	err = s.Invoke(ctx, "Do", stub.Args(n), &m)
	return
}

func (s workerStub) Sum(ctx context.Context, first int64, more ...int64) (m int64, err error) {
	err = s.Invoke(ctx, "Sum", stub.Args(first, more), &m)
	return
}

func (s workerStub) Bytes(ctx context.Context, b []byte) (c []byte, err error) {
	err = s.Invoke(ctx, "Bytes", stub.Args(b), &c)
	return
}

func (s workerStub) Meet(ctx context.Context, w Worker) (v Worker, err error) {
	err = s.Invoke(ctx, "Meet", stub.Args(w), &v)
	return
}

func (s workerStub) Apply(ctx context.Context, f func(context.Context, int64) (int64, error), n int64) (m int64, err error) {
	err = s.Invoke(ctx, "Apply", stub.Args(f, n), &m)
	return
}

func (s workerStub) Visit(ctx context.Context, v Visit) (w Visit, err error) {
	err = s.Invoke(ctx, "Visit", stub.Args(v), &w)
	return
}

func (s workerStub) Refer(ctx context.Context, r refs.Ref) (q refs.Ref, err error) {
	err = s.Invoke(ctx, "Refer", stub.Args(r), &q)
	return
}

type accountStub struct{ stub.Object }

func (s accountStub) Deposit(ctx context.Context, cents int64) (n int64, err error) {
	err = s.Invoke(ctx, "Deposit", stub.Args(cents), &n)
	return
}

func (s accountStub) Withdraw(ctx context.Context, cents int64) (n int64, err error) {
	err = s.Invoke(ctx, "Withdraw", stub.Args(cents), &n)
	return
}

type doerStub struct{ stub.Object }

func (s doerStub) Do(ctx context.Context, n int64) (m int64, err error) {
	err = s.Invoke(ctx, "Do", stub.Args(n), &m)
	return
}

type wrongStub struct{ stub.Object }

func (s wrongStub) Do(ctx context.Context, text string) (n int64, err error) {
	err = s.Invoke(ctx, "Do", stub.Args(text), &n)
	return
}

type shelfStub struct{ stub.Object }

func (s shelfStub) Put(ctx context.Context, r refs.Ref) error {
	return s.Invoke(ctx, "Put", stub.Args(r))
}

func (s shelfStub) Get(ctx context.Context) (r refs.Ref, err error) {
	err = s.Invoke(ctx, "Get", stub.Args(), &r)
	return
}

type mailStub struct{ stub.Object }

func (s mailStub) Send(ctx context.Context, n int64, b []byte) error {
	return s.Invoke(ctx, "Send", stub.Args(n, b))
}

func (s mailStub) Sent(ctx context.Context) (got []int64, err error) {
	err = s.Invoke(ctx, "Sent", stub.Args(), &got)
	return
}
