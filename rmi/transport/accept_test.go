package transport

import (
	"context"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/internal/memnet"
)

// exhausted is a network whose listeners fail to accept while the process has no descriptors.
type exhausted struct {
	Network
	none     atomic.Bool
	attempts atomic.Int64
}

type exhaustedListener struct {
	net.Listener
	of *exhausted
}

func (x *exhausted) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := x.Network.Listen(ctx, network, address)
	return exhaustedListener{l, x}, err
}

func (l exhaustedListener) Accept() (net.Conn, error) {
	l.of.attempts.Add(1)
	if l.of.none.Load() {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

// A process without descriptors for more connections does not use its processor up to get them,
// and its connections go on. Later it accepts again.
func TestANodeWithoutDescriptorsAcceptsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		x := &exhausted{Network: mem.Host("b")}
		a, b := newNode(t, mem.Host("a"), ""), newNode(t, x, "b")
		s := a.session(t, b)
		x.none.Store(true)
		first := newNode(t, mem.Host("c"), "").session // the listener waits for one more
		first(t, b)
		before := x.attempts.Load()
		time.Sleep(time.Minute)
		if n := x.attempts.Load() - before; n < 30 || n > 80 {
			t.Errorf("%d attempts in a minute, want pauses that grow to a second", n)
		}
		works(t, s)
		if l := b.logs.String(); !strings.Contains(l, "accept failed") {
			t.Errorf("log: %s", l)
		}
		x.none.Store(false)
		begin := time.Now()
		works(t, newNode(t, mem.Host("d"), "").session(t, b))
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("accepted after %v", d)
		}
	})
}
