package transport

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

func TestAnAccountIsAPrincipalsOrAnAddresses(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1234} }
	for _, c := range []struct {
		principal string
		from      net.Addr
		want      string
	}{
		{"spiffe://bank/teller", tcp("10.1.2.3"), "principal spiffe://bank/teller"},
		{Anonymous, tcp("10.1.2.3"), "10.1.2.3"},
		{Anonymous, tcp("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64"},
		{Anonymous, tcp("2001:db8:1:2:ffff:4:5:6"), "2001:db8:1:2::/64"},
		{Anonymous, &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, "fe80::/64"},
		{Anonymous, tcp("::ffff:10.1.2.3"), "10.1.2.3"},
		{Anonymous, &net.UnixAddr{Net: "unix", Name: ""}, "unix"},
		{Anonymous, nil, "nowhere"},
	} {
		if got := ownerOf(c.principal, c.from); got != c.want {
			t.Errorf("the account of %q from %v is %q, want %q", c.principal, c.from, got, c.want)
		}
	}
}

// crowds is a node with small limits, and two hosts whose peers are two accounts.
type crowds struct {
	*testing.T
	mem *memnet.Network
	b   *node
}

func crowdsAt(t *testing.T, set func(*Limits)) *crowds {
	mem := memnet.New()
	return &crowds{t, mem, newNode(t, mem.Host("b"), "b", func(c *Config) { set(&c.Limits) })}
}

// from is a new peer at a host.
func (c *crowds) from(host string) *raw { return enterFrom(c.T, c.b, c.mem.Host(host)) }

// served sees that a peer is served as ever, in a slot that it does not use yet.
func (c *crowds) served(p *raw, slot wire.Slot) {
	c.Helper()
	p.write(p.call(slot, echo, "as ever"))
	if got, err := p.returned(slot); got != "as ever" || err != nil {
		c.Errorf("a peer with another account got %q, %v", got, err)
	}
}

func TestAnAccountHasAShareOfTheConnections(t *testing.T) {
	c := crowdsAt(t, func(l *Limits) { l.Connections = 6 })
	var all []*raw
	for range 3 {
		all = append(all, c.from("raw"))
	}
	if told := refusal(rawTo(t, c.b, c.mem.Host("raw")).ended()); !strings.Contains(told, "as many from this address") || !strings.Contains(told, "Share") {
		t.Errorf("the fourth of a host was told %q", told)
	}
	c.served(c.from("other"), 0)
	all[0].cut(c.b.Live(all[0].node()))
	c.served(c.from("raw"), 0) // there is room again
}

func TestAnAccountHasAShareOfTheHandshakes(t *testing.T) {
	c := crowdsAt(t, func(l *Limits) { l.Handshakes, l.Connections = 4, 12 })
	var silent []*raw
	for range 2 {
		silent = append(silent, rawTo(t, c.b, c.mem.Host("raw")))
	}
	for range 10 { // more than there may be connections of one address
		if told := refusal(rawTo(t, c.b, c.mem.Host("raw")).ended()); !strings.Contains(told, "Handshakes") {
			t.Errorf("the third was told %q", told)
		}
	}
	c.served(c.from("other"), 0)
	for _, p := range silent {
		p.conn.Close()
		c.b.logs.wait(t, "connection refused")
	}
	for late := time.After(patience); c.b.handshakes.now() > 0; runtime.Gosched() {
		select {
		case <-late:
			t.Fatalf("%d handshakes are under way for ever", c.b.handshakes.now())
		default:
		}
	}
	c.served(c.from("raw"), 0) // there is room again
}

// One address has all calls being served that its share allows, and others queued, on two
// sessions. Peers of another are served; and when a call ends, the next of the queue is.
func TestAnAccountHasAShareOfTheHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowdsAt(t, func(l *Limits) { l.HandlersTotal = 4 })
		one, two := c.from("raw"), c.from("raw")
		one.write(one.call(0, linger, ""))
		one.write(one.call(1, linger, ""))
		synctest.Wait()
		two.write(two.call(0, echo, "queued"))
		one.write(one.call(2, echo, "queued too"))
		synctest.Wait()
		if n := c.b.workers.serving(); n != 2 {
			t.Errorf("%d calls of one address are served, want 2", n)
		}
		other := c.from("other")
		other.write(other.call(0, linger, ""))
		c.served(other, 1)
		one.write(wire.AppendCancel(nil, 0, 1))
		if got, err := two.returned(0); got != "queued" || err != nil {
			t.Errorf("the queued call returned %q, %v", got, err)
		}
		for _, p := range []*raw{one, two, other} {
			p.conn.Close()
		}
	})
}

func TestAnAccountHasAShareOfTheNestedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowdsAt(t, func(l *Limits) { l.NestedTotal = 4 })
		nested := func(h *wire.CallHeader) { h.Depth = 1 }
		p := c.from("raw")
		for slot := range wire.Slot(2) {
			p.write(p.call(slot, linger, "", nested))
		}
		synctest.Wait()
		p.write(p.call(2, echo, "", nested))
		_, err := p.returned(2)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "Options.Limits.NestedTotal")
		c.served(p, 3) // a call of depth 0 has another limit
		p.write(wire.AppendCancel(nil, 0, 1))
		synctest.Wait()
		p.write(p.call(2, echo, "room", nested)) // there is room again
		for {
			if slot, rec := p.next(wire.FrameReturn); slot.Kind == wire.FrameReturn && strings.HasSuffix(string(rec), "room") {
				break
			}
		}
		other := c.from("other")
		c.served(other, 0)
		other.write(other.call(1, echo, "nested", nested))
		if got, err := other.returned(1); got != "nested" || err != nil {
			t.Errorf("a nested call of another address: %q, %v", got, err)
		}
		p.conn.Close()
		other.conn.Close()
	})
}

// Who makes more calls in a second than CallRate is refused for the rest of it, on all its sessions,
// whatever depth the calls claim. Others are served, and time gives it more.
func TestAnAccountHasARateOfCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowdsAt(t, func(l *Limits) { l.CallRate = 5 })
		p, q := c.from("raw"), c.from("raw")
		for i := range 5 {
			p.write(p.call(wire.Slot(i), echo, "x"))
			if got, err := p.returned(wire.Slot(i)); got != "x" || err != nil {
				t.Fatalf("call %d: %q, %v", i, got, err)
			}
		}
		for i, depth := range []uint8{0, 1} {
			h := wire.CallHeader{Slot: wire.Slot(i), Seq: 1, Object: 1, Method: echo, Depth: depth, Timeout: 1e6}
			q.seq[h.Slot] = h.Seq
			q.write(wire.AppendCall(nil, &h, 0, nil))
			_, err := q.returned(h.Slot)
			wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "Options.Limits.CallRate")
		}
		c.served(c.from("other"), 0)
		<-time.After(time.Second)
		c.served(q, 7)
		<-time.After(2 * workerIdle)
		if n := c.b.calls.size(); n != 0 {
			t.Errorf("%d owners are remembered who did nothing", n)
		}
	})
}

// A connection counts when it is made, also if the one before is gone.
func TestAnAccountHasARateOfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowdsAt(t, func(l *Limits) { l.HandshakeRate = 3 })
		for range 3 {
			p := c.from("raw")
			p.conn.Close()
			synctest.Wait()
		}
		if told := refusal(rawTo(t, c.b, c.mem.Host("raw")).ended()); !strings.Contains(told, "HandshakeRate") {
			t.Errorf("the fourth in a second was told %q", told)
		}
		c.served(c.from("other"), 0)
		<-time.After(time.Second)
		c.served(c.from("raw"), 0)
	})
}

// Not even names of owners are remembered without a bound.
func TestRatesRememberSoManyOwners(t *testing.T) {
	r := rates{second: 1}
	for i := range mostOwners + 100 {
		r.allow(fmt.Sprint(i))
	}
	if n := r.size(); n != mostOwners {
		t.Errorf("%d owners are remembered", n)
	}
	if r.forget(time.Now().Add(time.Minute)); r.size() != 0 {
		t.Errorf("%d are not forgotten", r.size())
	}
}

// A reply that has no room beside those that nobody acknowledged fails its call, which ran. While
// so much is retained, an account's calls are refused; those of others are not.
func TestAnAccountHasAShareOfTheRetainedReplies(t *testing.T) {
	c := crowdsAt(t, func(l *Limits) { l.RetainedTotal = 200 << 10 })
	c.b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, 60<<10)) }
	p := c.from("raw")
	p.write(p.call(0, first, ""))
	p.whole(0)
	p.write(p.call(1, first, ""))
	_, err := p.returned(1)
	wantKind(t, err, fault.KindOverloaded, fault.OutcomeExecuted, "Options.Limits.RetainedTotal")
	if n := c.b.retained.now(); n != 60<<10 {
		t.Errorf("%d bytes are retained", n)
	}
	other := c.from("other")
	other.write(other.call(0, first, ""))
	other.whole(0)
	p.write(wire.AppendAck(nil, 0, 1))
	p.write(p.call(2, first, "")) // there is room again
	p.whole(2)
	p.write(p.call(0, first, "")) // the slot's next call says that the last reply arrived
	_, err = p.returned(0)
	wantKind(t, err, fault.KindOverloaded, fault.OutcomeExecuted, "Options.Limits.RetainedTotal")

	// What a session that is over retained is in nobody's way.
	s := c.b.Live(p.node())
	s.Close(errClosed())
	<-s.gone
	if n := c.b.retained.now(); n != 60<<10 {
		t.Errorf("%d bytes are retained for the other peer", n)
	}
	q := c.from("raw")
	q.write(q.call(0, first, ""))
	q.whole(0)
}

// A reply that is made when its session is over is not retained.
func TestAReplyAfterItsSessionIsNotRetained(t *testing.T) {
	c := crowdsAt(t, func(*Limits) {})
	entered, release, answered := make(chan struct{}), make(chan struct{}), make(chan struct{})
	c.b.handler.methods[first] = func(in *Incoming) {
		close(entered)
		<-release
		in.Reply(0, nil, make([]byte, 60<<10))
		close(answered)
	}
	p := c.from("raw")
	p.write(p.call(0, first, ""))
	<-entered
	s := c.b.Live(p.node())
	s.Close(errClosed())
	<-s.Done()
	close(release)
	<-answered
	<-s.gone
	if n := c.b.retained.now(); n != 0 {
		t.Errorf("%d bytes are retained for ever", n)
	}
}

// A reply of a session that cannot be resumed is not retained. It is counted all the same, from
// when it is made to when the connection has taken it.
func TestAReplyThatIsNotRetainedIsCountedWhileItIsMade(t *testing.T) {
	c := crowdsAt(t, func(l *Limits) { l.RetainedTotal = 400 << 10 })
	made := make(chan int64, 1)
	c.b.handler.methods[first] = func(in *Incoming) {
		if err := in.Reserve(90 << 10); err != nil {
			t.Error(err)
		}
		if err := in.Reserve(100 << 10); err != nil {
			t.Error(err)
		}
		wantKind(t, in.Reserve(201<<10), fault.KindTooLarge, fault.OutcomeExecuted, "Options.Limits.Share and RetainedTotal")
		made <- c.b.retained.now()
		in.Reply(0, nil, make([]byte, 100<<10))
	}
	p := rawTo(t, c.b, c.mem.Host("raw"))
	p.join()
	s := c.b.Live(p.node())
	changed := s.changed.next()
	p.write(p.call(0, first, ""))
	p.whole(0)
	if n := <-made; n != 100<<10 {
		t.Errorf("%d bytes are counted while the reply is made", n)
	}
	for c.b.retained.now() != 0 {
		<-changed
		changed = s.changed.next()
	}
}

// What was reserved for a reply that is not made is given back, and a long error is counted.
func TestAFailedReplyIsCountedAsItIs(t *testing.T) {
	c := crowdsAt(t, func(*Limits) {})
	text := ""
	c.b.handler.methods[first] = func(in *Incoming) {
		if err := in.Reserve(60 << 10); err != nil {
			t.Error(err)
		}
		in.Fail(fault.New(fault.KindApplication, fault.OutcomeExecuted, "%s", text))
	}
	p := c.from("raw")
	for slot, length := range []int{10, 8 << 10} {
		text = strings.Repeat("x", length)
		p.write(p.call(wire.Slot(slot), first, ""))
		if _, err := p.returned(wire.Slot(slot)); fault.KindOf(err) != fault.KindApplication {
			t.Fatal(err)
		}
		if n := c.b.retained.now(); n < int64(length)-100 || n > int64(length)+100 {
			t.Errorf("%d bytes are retained of an error of %d", n, length)
		}
		p.write(wire.AppendAck(nil, wire.Slot(slot), 1))
		p.taken()
		if n := c.b.retained.now(); n != 0 {
			t.Errorf("%d bytes are retained after the acknowledgement", n)
		}
	}
}

// Small replies are counted too, in portions.
func TestSmallRepliesCountInAnAccount(t *testing.T) {
	const calls = 40
	c := crowdsAt(t, func(l *Limits) { l.RetainedTotal = 4 * portion })
	p := c.from("raw")
	body := strings.Repeat("x", 4<<10)
	refused := 0
	for slot := range wire.Slot(calls) {
		p.write(p.call(slot, echo, body))
		switch _, err := p.returned(slot); {
		case err == nil && refused == 0:
		case fault.KindOf(err) == fault.KindOverloaded && strings.Contains(err.Error(), "RetainedTotal"):
			refused++
		default:
			t.Fatalf("call %d: %v", slot, err)
		}
	}
	if refused != calls-2*portion/len(body) {
		t.Errorf("%d of %d calls were refused", refused, calls)
	}
	c.served(c.from("other"), 0)
	for slot := range wire.Slot(calls) {
		p.write(wire.AppendAck(nil, slot, 1))
	}
	p.write(p.call(calls, echo, "again"))
	if got, err := p.returned(calls); got != "again" || err != nil {
		t.Errorf("after the acknowledgements: %q, %v", got, err)
	}
}

func TestAnAccountHasAShareOfTheAssembly(t *testing.T) {
	c := crowdsAt(t, func(l *Limits) { l.Message, l.Assembly, l.AssemblyTotal = 100_000, 100_000, 400_000 })
	two := []*raw{c.from("raw"), c.from("raw")}
	for _, p := range two {
		p.write(p.begin(0, echo, 100_000))
		p.write(p.fragment(0, 30_000))
		p.write(wire.AppendPing(nil, wire.FramePing, 1))
		p.next(wire.FramePong)
	}
	third := c.from("raw")
	third.write(third.large(0, echo, 100_000))
	_, err := third.returned(0)
	wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "AssemblyTotal")
	other := c.from("other")
	other.write(other.large(0, echo, 100_000))
	if _, body := other.whole(0); len(body) != 100_000 {
		t.Errorf("the echo has %d bytes", len(body))
	}
	for _, p := range two {
		p.conn.Close()
	}
}

// A peer that announces a message and does not send it loses its connection. One that is slow does
// not.
func TestAMessageThatDoesNotComeIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes int // with each second
		over  bool
	}{{"none", 0, true}, {"few", 100, true}, {"slow", 1000, false}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cr := crowdsAt(t, func(*Limits) {})
				p := cr.from("raw")
				s := cr.b.Live(p.node())
				p.write(p.begin(0, echo, 100_000))
				start := time.Now()
				for range 60 {
					<-time.After(time.Second)
					if s.Detached() {
						break
					}
					b := wire.AppendPing(nil, wire.FramePong, 1)
					if c.bytes > 0 {
						b = append(b, p.fragment(0, c.bytes)...)
					}
					if _, err := p.conn.Write(b); err != nil {
						break
					}
				}
				took := time.Since(start)
				if s.Detached() != c.over || c.over && took > deadAfter+2*time.Second {
					t.Errorf("detached: %v, after %v", s.Detached(), took)
				}
				if c.over && cr.b.held.now() != 0 {
					t.Errorf("%d bytes are still charged", cr.b.held.now())
				}
				p.conn.Close()
			})
		})
	}
}

// Sessions that a host leaves behind push out its own, not those of others.
func TestDetachedSessionsOfOthersStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := crowdsAt(t, func(l *Limits) { l.Detached = 3 })
		leave := func(host string) *Session {
			p := c.from(host)
			s := c.b.Live(p.node())
			p.conn.Close()
			<-time.After(2 * tick)
			return s
		}
		of := leave("other")
		var left []*Session
		for range 5 {
			left = append(left, leave("raw"))
		}
		if of.Err() != nil {
			t.Errorf("another's session ended: %v", of.Err())
		}
		for i, s := range left {
			if over := s.Err() != nil; over != (i < 3) {
				t.Errorf("session %d is over: %v", i, s.Err())
			}
		}
	})
}

func TestAccountsThatNobodyUsesAreForgotten(t *testing.T) {
	c := crowdsAt(t, func(*Limits) {})
	p := c.from("raw")
	c.served(p, 0)
	rawTo(t, c.b, c.mem.Host("other")).conn.Close()
	s := c.b.Live(p.node())
	s.Close(errClosed())
	<-s.gone
	c.b.Close(time.Second)
	if n := c.b.accounts.size(); n != 0 {
		t.Errorf("%d accounts are left", n)
	}
	for name, u := range map[string]*use{"handshakes": &c.b.handshakes, "assembled": &c.b.held, "retained": &c.b.retained, "handlers": &c.b.workers.handlers, "nested": &c.b.workers.nested} {
		if u.now() != 0 {
			t.Errorf("%s: %d in use", name, u.now())
		}
	}
}
