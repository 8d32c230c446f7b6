package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/dialpolicy"
	"gormi/rmi/transport"
)

// answers is a resolver whose answer for every name is the next of a list of IPv4 addresses; the
// last one stays.
func answers(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	var asked atomic.Int64
	go func() { // ends with the socket
		b := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			end := 12
			for end < n && b[end] != 0 {
				end += int(b[end]) + 1
			}
			end += 5
			if end > n {
				continue
			}
			answer := append([]byte{b[0], b[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, b[12:end]...)
			if b[end-3] == 1 { // A
				i := min(int(asked.Add(1)), len(addresses)) - 1
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				answer = append(answer, net.ParseIP(addresses[i]).To4()...)
			}
			_, _ = server.WriteTo(answer, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// named is the system's network with a resolver of its own.
type named struct {
	net.Dialer
	net.ListenConfig
}

// accepts counts the connections that a port accepts. It sends a banner on each.
func accepts(t *testing.T) (addr string, count *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	count = new(atomic.Int64)
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			count.Add(1)
			_, _ = c.Write([]byte("SECRET-BANNER\r\n"))
			c.Close()
		}
	}()
	return l.Addr().String(), count
}

// strange is a reference to an object of nobody at an address, as it comes from somebody.
func strange(t *testing.T, addr string, from refs.Origin) refs.Ref {
	t.Helper()
	ep, err := refs.ParseEndpoint(addr)
	if err != nil {
		t.Fatal(err)
	}
	return refs.Ref{Endpoint: ep, ID: refs.ID{Node: refs.NodeID{1}, Time: 1, Object: 77}, Origin: from}
}

func call(t *testing.T, n *rmi.Node, r refs.Ref) error {
	t.Helper()
	w := resolve[Worker](t, n, r)
	_, err := w.Do(within(t), 1)
	return err
}

// A name may lead to one address when it is looked at and to another when it is dialled. Only the
// address that is connected to counts.
func TestANameThatChangesItsAddressGainsNothing(t *testing.T) {
	addr, count := accepts(t)
	_, port, _ := net.SplitHostPort(addr)
	for name, control := range map[string]bool{"checked before": true, "checked after": false} {
		network := &named{Dialer: net.Dialer{Resolver: answers(t, "192.0.2.1", "127.0.0.1"), Timeout: 300 * time.Millisecond}}
		if control {
			network.ControlContext = transport.CheckDial
		}
		n := rmi.NewNode(&rmi.Options{Network: network})
		t.Cleanup(func() { n.Close() })
		r := strange(t, "rebound.example:"+port, refs.OriginRemote)
		if err := call(t, n, r); errors.Is(err, rmi.KindDenied) { // 192.0.2.1 leads nowhere, but may be dialled
			t.Errorf("%s: at first: %v", name, err)
		}
		before := count.Load()
		err := call(t, n, r)
		if !errors.Is(err, rmi.KindDenied) || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Errorf("%s: then: %v", name, err)
		}
		if control && count.Load() != before {
			t.Errorf("%s: it was connected to", name)
		}
		if strings.Contains(fmt.Sprint(err), "BANNER") {
			t.Errorf("%s: it was read from: %v", name, err)
		}
	}
}

func TestWhatAReferenceOfAPeerMayDial(t *testing.T) {
	addr, count := accepts(t)
	socket := filepath.Join(t.TempDir(), "s")
	n := rmi.NewNode(nil)
	t.Cleanup(func() { n.Close() })
	for _, at := range []string{addr, "unix:" + socket, "169.254.169.254:80", "udp:" + addr, "localhost:" + addr[strings.LastIndexByte(addr, ':')+1:]} {
		if err := call(t, n, strange(t, at, refs.OriginRemote)); !errors.Is(err, rmi.KindDenied) || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Errorf("%s: %v", at, err)
		}
	}
	if count.Load() != 0 {
		t.Error("something was dialled")
	}
	if err := call(t, n, strange(t, addr, refs.OriginPeer)); errors.Is(err, rmi.KindDenied) || count.Load() == 0 {
		t.Errorf("from this machine: %v", err)
	}
	other := strange(t, addr, refs.OriginProgram)
	if err := call(t, n, other); errors.Is(err, rmi.KindDenied) {
		t.Errorf("the program's own: %v", err)
	}
	own := rmi.NewNode(&rmi.Options{Dial: dialpolicy.Policy{Deny: []string{"loopback"}, Own: true}})
	t.Cleanup(func() { own.Close() })
	if err := call(t, own, other); !errors.Is(err, rmi.KindDenied) {
		t.Errorf("the program's own, restricted: %v", err)
	}
	bad := rmi.NewNode(&rmi.Options{Dial: dialpolicy.Policy{Deny: []string{"10.0.0.0/99"}}})
	t.Cleanup(func() { bad.Close() })
	if _, err := bad.Listen(within(t), "127.0.0.1:0"); !errors.Is(err, rmi.KindInvalid) || !strings.Contains(err.Error(), "10.0.0.0/99") {
		t.Errorf("a malformed rule: %v", err)
	}
}

// Whoever passes a reference does not learn whether a port is open, nor what answers there.
func TestAPeerLearnsNothingOfADialThatItCaused(t *testing.T) {
	open, count := accepts(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	shut := l.Addr().String()
	l.Close()
	victim, attacker := rmi.NewNode(nil), rmi.NewNode(nil)
	t.Cleanup(func() { victim.Close(); attacker.Close() })
	if _, err := victim.Listen(within(t), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	for name, how := range map[string]func(error) error{
		"wrapped":    func(err error) error { return fmt.Errorf("calling back: %w", err) },
		"as it is":   func(err error) error { return err },
		"flattened":  func(err error) error { return errors.New("calling back: " + err.Error()) },
		"background": nil,
	} {
		r := export[Ponger](t, victim, &dialler{victim, how}, nil)
		p := resolve[Ponger](t, attacker, r)
		texts := make(map[string]string)
		for state, at := range map[string]string{"open": open, "shut": shut} {
			err := p.Ping(within(t), strange(t, at, refs.OriginProgram))
			if err == nil {
				t.Fatal("the call succeeded")
			}
			texts[state] = strings.ReplaceAll(err.Error(), at, "ADDRESS")
		}
		if texts["open"] != texts["shut"] || strings.Contains(texts["open"], "SECRET") {
			t.Errorf("%s: open and shut differ:\n%s\n%s", name, texts["open"], texts["shut"])
		}
	}
	if count.Load() == 0 {
		t.Error("nothing was dialled: the test shows nothing")
	}
}

// Ponger is for a method that calls the object of a reference.
type Ponger interface {
	Ping(ctx context.Context, r refs.Ref) error
}

type dialler struct {
	n   *rmi.Node
	how func(error) error
}

func (d *dialler) Ping(ctx context.Context, r refs.Ref) error {
	how := d.how
	if how == nil { // the program calls on its own account, and passes the error on later
		ctx, how = context.WithoutCancel(context.Background()), func(err error) error { return fmt.Errorf("it failed: %w", err) }
	}
	w, err := rmi.Resolve[Worker](d.n, r, nil)
	if err != nil {
		return err
	}
	_, err = w.Do(ctx, 1)
	return how(err)
}
