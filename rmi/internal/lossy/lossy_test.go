package lossy_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/internal/lossy"
)

// exchange sends n datagrams from one socket to another, and returns those that
// arrive, in order.
func exchange(t *testing.T, packets *lossy.Network, n int) (got []string) {
	t.Helper()
	to, err := packets.ListenPacket(t.Context(), "udp", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	from, err := packets.DialContext(t.Context(), "udp", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for i := range n {
		if _, err := from.Write(fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	_ = to.SetReadDeadline(time.Now().Add(time.Minute))
	for b := make([]byte, 10); ; {
		n, a, err := to.ReadFrom(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil || a.String() != from.LocalAddr().String() {
			t.Fatal(a, err)
		}
		got = append(got, string(b[:n]))
	}
}

func numbers(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestAGoodLinkKeepsOrder(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			if got := exchange(t, lossy.New(lossy.Options{Delay: delay}), 1000); !slices.Equal(got, numbers(1000)) {
				t.Errorf("%d datagrams arrive, in order: %v", len(got), slices.IsSorted(got))
			}
		})
	}
}

func TestABadLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		packets := lossy.New(lossy.Options{Seed: 1, Loss: 0.2, Dup: 0.1, Reorder: 0.2})
		got := exchange(t, packets, n)
		c := packets.Counts()
		if c.Sent != n || len(got) != n-c.Lost+c.Dup {
			t.Errorf("%d datagrams of %+v arrive", len(got), c)
		}
		for name, share := range map[string]float64{"lost": float64(c.Lost) / 0.2, "twice": float64(c.Dup) / 0.08, "late": float64(c.Late) / 0.176} {
			if share < 0.7*n || share > 1.3*n {
				t.Errorf("%s: %+v", name, c)
			}
		}
		unique := slices.Compact(slices.Sorted(slices.Values(got)))
		if len(unique) != n-c.Lost || slices.Equal(got, unique) {
			t.Errorf("%d different datagrams, %+v", len(unique), c)
		}
	})
}

func TestTheSameSeedIsTheSameLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := lossy.Options{Seed: 42, Loss: 0.5, Dup: 0.2, Reorder: 0.3}
		a, b := exchange(t, lossy.New(o), 200), exchange(t, lossy.New(o), 200)
		if !slices.Equal(a, b) {
			t.Errorf("%v\n%v", a, b)
		}
		o.Seed++
		if slices.Equal(a, exchange(t, lossy.New(o), 200)) {
			t.Error("another seed is the same link")
		}
	})
}

func TestSockets(t *testing.T) {
	packets := lossy.New(lossy.Options{})
	s, err := packets.ListenPacket(t.Context(), "udp", "b:1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := packets.ListenPacket(t.Context(), "udp", "b:1"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listening twice: %v", err)
	}
	for _, address := range []string{"b", "b:x", "b:70000"} {
		if _, err := packets.DialContext(t.Context(), "udp", address); err == nil {
			t.Errorf("%s is dialled", address)
		}
	}
	if _, err := packets.DialContext(t.Context(), "tcp", "b:1"); err == nil {
		t.Error("TCP is dialled")
	}
	s.Close()
	if _, _, err := s.ReadFrom(nil); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if _, err := s.WriteTo(nil, lossy.Addr{Host: "b", Port: 1}); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if s, err = packets.ListenPacket(t.Context(), "udp", "b:1"); err != nil {
		t.Errorf("the port is not free again: %v", err)
	}
	s.Close()
}

func TestRealSocketsAreBadWhenTheySend(t *testing.T) {
	good, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bad := lossy.Wrap(good, lossy.Options{Loss: 1})
	defer bad.Close()
	sockets := lossy.NewSockets(lossy.Options{Dup: 1})
	c, err := sockets.DialContext(t.Context(), "udp", good.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 2)
	for range 2 {
		n, a, err := bad.ReadFrom(b)
		if err != nil || string(b[:n]) != "x" {
			t.Fatal(n, err)
		}
		if _, err := bad.WriteTo(b[:n], a); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := bad.Counts(), (lossy.Counts{Sent: 2, Lost: 2}); got != want {
		t.Errorf("%+v", got)
	}
	if got, want := sockets.Counts(), (lossy.Counts{Sent: 1, Dup: 1}); got != want {
		t.Errorf("%+v", got)
	}
}
