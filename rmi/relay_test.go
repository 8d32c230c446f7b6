package rmi_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// meetingPoint is a worker that keeps who came, and hands out who is kept.
func meetingPoint() *worker {
	var kept Worker
	return &worker{meet: func(_ context.Context, w Worker) (Worker, error) {
		if w != nil {
			kept = w
		}
		return kept, nil
	}}
}

// A client's object reaches a third node through the node that handed it on.
func TestTheNodeInTheMiddleRelays(t *testing.T) {
	for _, c := range []struct {
		name    string
		listens bool // the third node does
	}{{"to a client", false}, {"to a node that listens", true}} {
		t.Run(c.name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				middle, owner, third := network.Node(), network.Client(), network.Client()
				if c.listens {
					third = network.Node()
				}
				r := export[Worker](t, middle, meetingPoint(), nil)
				guest := &worker{
					do: func(_ context.Context, n int64) (int64, error) { return n + 1, nil },
					meet: func(ctx context.Context, w Worker) (Worker, error) { // w is the third node's
						_, err := w.Do(ctx, 1)
						return w, err
					},
				}
				ctx := within(t)
				if _, err := resolve[Worker](t, owner, r).Meet(ctx, guest); err != nil {
					t.Fatal(err)
				}
				got, err := resolve[Worker](t, third, r).Meet(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := got.Do(ctx, 41); n != 42 || err != nil {
					t.Fatalf("through the relay: %d, %v", n, err)
				}
				if b, err := got.Bytes(ctx, make([]byte, 1<<20)); len(b) != 1<<20 || err != nil {
					t.Errorf("a megabyte through the relay: %d, %v", len(b), err)
				}
				// References pass both ways: the third node's object goes to the
				// owner, is called there, and comes back as itself.
				mine := &worker{do: func(_ context.Context, n int64) (int64, error) { return -n, nil }}
				back, err := got.Meet(ctx, mine)
				if err != nil {
					t.Fatal(err)
				}
				if back != Worker(mine) {
					t.Error("the object did not come home as itself")
				}
				if want := map[bool]int{false: 1, true: 2}[c.listens]; owner.Sessions() != want { // what listens is dialled
					t.Errorf("the owner has %d connections, want %d", owner.Sessions(), want)
				}
			})
		})
	}
}

// Once the owner itself counts a holder, the relay in the middle may forget it. The
// holder's calls go to the owner then, those of proxies that used the relay before too.
func TestCallsLeaveTheRelayForTheOwner(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		middle, owner, third := network.Node(), network.Client(), network.Node()
		meeting := export[Worker](t, middle, meetingPoint(), nil)
		theirs := export[Worker](t, third, &worker{do: func(_ context.Context, n int64) (int64, error) { return n, nil }}, nil)
		ctx := within(t)
		guest := &worker{do: func(_ context.Context, n int64) (int64, error) { return -n, nil }}
		if _, err := resolve[Worker](t, owner, meeting).Meet(ctx, guest); err != nil {
			t.Fatal(err)
		}
		got, err := resolve[Worker](t, third, meeting).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := got.Do(ctx, 1); n != -1 || err != nil {
			t.Fatalf("by the relay: %d, %v", n, err)
		}
		if n, err := resolve[Worker](t, owner, theirs).Do(ctx, 1); n != 1 || err != nil { // the owner dials
			t.Fatal(n, err)
		}
		for n := range int64(200) { // while the third node registers
			if m, err := got.Do(ctx, n); m != -n || err != nil {
				t.Fatalf("call %d: %d, %v", n, m, err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

// A call has no more time at the owner than its caller gave it, however many
// nodes it passed.
func TestADeadlinePassesARelay(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		middle, owner, third := network.Node(), network.Client(), network.Client()
		r := export[Worker](t, middle, meetingPoint(), nil)
		left := &worker{do: func(ctx context.Context, _ int64) (int64, error) {
			d, ok := ctx.Deadline()
			if !ok {
				return 0, errors.New("the call has no deadline")
			}
			return int64(time.Until(d)), nil
		}}
		ctx := within(t)
		if _, err := resolve[Worker](t, owner, r).Meet(ctx, left); err != nil {
			t.Fatal(err)
		}
		got, err := resolve[Worker](t, third, r).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, given := range []time.Duration{20 * time.Second, 10 * time.Minute} {
			ctx, cancel := context.WithTimeout(t.Context(), given)
			d, err := got.Do(ctx, 1)
			cancel()
			if left := time.Duration(d); err != nil || left <= given/2 || left > given+time.Millisecond { // rounded up at each hop
				t.Errorf("the caller gave %v, and the owner has %v, %v", given, left, err)
			}
		}
	})
}

// The node in the middle hands the object to a node of its own choice.
func TestAServerHandsAClientsObjectToAnotherServer(t *testing.T) {
	overCarriers(t, aServerHandsAClientsObjectToAnotherServer)
}

func aServerHandsAClientsObjectToAnotherServer(t *testing.T, network carrier) {
	back, front, client := network.Node(), network.Node(), network.Client()
	b := hire(t, back, front, &worker{meet: func(ctx context.Context, w Worker) (Worker, error) {
		n, err := w.Do(ctx, 1)
		if n != 2 || err != nil {
			t.Errorf("the server behind got %d, %v", n, err)
		}
		return w, err
	}})
	f := hire(t, front, client, &worker{meet: func(ctx context.Context, w Worker) (Worker, error) { return b.Meet(ctx, w) }})
	mine := &worker{do: func(_ context.Context, n int64) (int64, error) { return n + 1, nil }}
	got, err := f.Meet(within(t), mine)
	if err != nil || got != Worker(mine) {
		t.Errorf("got %v, %v", got, err)
	}
}

// throughRelays hands a reference to first's object from each node to the next,
// of which every second one listens, and returns the last one's proxy. No node
// tells where it listens, so each that hands the reference on has to relay.
func throughRelays(t *testing.T, v Worker, nodes ...*rmi.Node) Worker {
	t.Helper()
	ctx := within(t)
	r := export(t, nodes[0], v, nil)
	for i := range len(nodes) - 1 {
		here, next := nodes[i], nodes[i+1]
		var got refs.Ref
		var err error
		if next.Endpoint().Listens() {
			_, err = hire(t, next, here, &worker{refer: func(_ context.Context, r refs.Ref) (refs.Ref, error) {
				got = r
				return refs.Ref{}, nil
			}}).Refer(ctx, r)
		} else {
			got, err = hire(t, here, next, &worker{refer: func(context.Context, refs.Ref) (refs.Ref, error) { return r, nil }}).Refer(ctx, refs.Ref{})
		}
		if err != nil {
			t.Fatal(err)
		}
		r = got
		r.Via.Endpoint = refs.Endpoint{}
	}
	return resolve[Worker](t, nodes[len(nodes)-1], r)
}

func TestACallPassesAtMostEightRelays(t *testing.T) {
	network := rmitest.New(t)
	nodes := []*rmi.Node{network.Client()}
	for len(nodes) < 11 {
		if len(nodes)%2 == 1 {
			nodes = append(nodes, network.Node())
		} else {
			nodes = append(nodes, network.Client())
		}
		p := throughRelays(t, &worker{}, nodes...)
		n, err := p.Do(within(t), 7)
		if relays := len(nodes) - 2; relays > 8 {
			expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
		} else if n != 7 || err != nil {
			t.Errorf("%d relays: %d, %v", relays, n, err)
		}
	}
}

func TestARelayPassesOnOnlyWhatItHandedOut(t *testing.T) {
	network := rmitest.New(t)
	middle, owner, third := network.Node(), network.Client(), network.Client()
	r := export[Worker](t, middle, meetingPoint(), nil)
	if _, err := resolve[Worker](t, owner, r).Meet(within(t), &worker{}); err != nil {
		t.Fatal(err)
	}
	// The reference of an object that nobody handed to third, with its way.
	secret := export[Worker](t, owner, &worker{}, nil)
	secret.Via = refs.Via{Node: middle.ID(), Endpoint: middle.Endpoint()}
	_, err := resolve[Worker](t, third, secret).Do(within(t), 1)
	expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
	var f *rmi.Error
	if !errors.As(err, &f) || f.Origin == 0 {
		t.Errorf("the error does not say that the peer made it: %v", err)
	}
}

func TestARelayWhoseOwnerIsGone(t *testing.T) {
	network := rmitest.New(t)
	middle, owner, third := network.Node(), network.Client(), network.Client()
	r := export[Worker](t, middle, meetingPoint(), nil)
	ctx := within(t)
	if _, err := resolve[Worker](t, owner, r).Meet(ctx, &worker{}); err != nil {
		t.Fatal(err)
	}
	got, err := resolve[Worker](t, third, r).Meet(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		_, err = got.Do(ctx, 1)
		if err == nil || rmi.OutcomeOf(err) == rmi.OutcomeNotExecuted { // until the relay has noticed
			break
		}
	}
	if !errors.Is(err, rmi.KindNoSuchObject) && !errors.Is(err, rmi.KindPeerGone) {
		t.Errorf("got %v", err)
	}
}

func TestErrorsPassARelayAsTheyAre(t *testing.T) {
	network := rmitest.New(t)
	v := &worker{do: func(_ context.Context, n int64) (int64, error) {
		if n == 0 {
			panic("zero")
		}
		return 0, &shortfall{Missing: n}
	}}
	p := throughRelays(t, v, network.Client(), network.Node(), network.Client(), network.Node())
	_, err := p.Do(within(t), 5)
	expect{rmi.KindApplication, rmi.OutcomeExecuted, nil}.check(t, err)
	var s *shortfall
	if !errors.As(err, &s) || s.Missing != 5 {
		t.Errorf("got %v", err)
	}
	_, err = p.Do(within(t), 0)
	expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}.check(t, err)
}

// shortfall is an error with content.
type shortfall struct{ Missing int64 }

func (s *shortfall) Error() string { return "not enough" }

func init() { rmi.RegisterErrorType[*shortfall]("rmi_test.shortfall") }

// whileDialling is a network that lets something happen before it dials an address.
type whileDialling struct {
	net.Dialer
	net.ListenConfig
	address string
	happen  func()
}

func (n *whileDialling) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if address == n.address {
		n.happen()
	}
	return n.Dialer.DialContext(ctx, network, address)
}

// A call comes too late to its relay if the caller has begun to hold the object from its owner
// meanwhile. Such a call is retried.
func TestACallThatIsLateForItsRelayGoesToTheOwner(t *testing.T) {
	ctx := within(t)
	middle, owner, network := listening(t, "localhost:0", nil), client(t, nil), new(whileDialling)
	third := listening(t, "localhost:0", &rmi.Options{Network: network})
	object := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) { return -n, nil }}, nil)
	theirs := export[Worker](t, third, &worker{do: func(_ context.Context, n int64) (int64, error) { return n, nil }}, nil)
	object.Via = refs.Via{Node: middle.ID(), Endpoint: middle.Endpoint()} // which never handed it on
	network.address = middle.Endpoint().Address()
	var met atomic.Bool
	network.happen = func() {
		if n, err := resolve[Worker](t, owner, theirs).Do(ctx, 1); n != 1 || err != nil {
			t.Error(n, err)
		}
		met.Store(true)
	}
	got := resolve[Worker](t, third, object)
	if n, err := got.Do(ctx, 1); n != -1 || err != nil || !met.Load() {
		t.Errorf("%d, %v, owner met: %t", n, err, met.Load())
	}
}

// So is a call that a relay passes on to another relay: it goes to the owner, once the owner has
// connected to the relay.
func TestACallThatIsLateForTheNextRelayGoesToTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		middle, far, owner, caller := network.Node(), network.Client(), network.Client(), network.Client()
		object := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) { return -n, nil }}, nil)
		object.Via = refs.Via{Node: far.ID()} // which never handed it on
		through := resolve[Worker](t, middle, object)
		meeting := export[Worker](t, middle, &worker{meet: func(context.Context, Worker) (Worker, error) { return through, nil }}, nil)
		ctx := within(t)
		if _, err := resolve[Worker](t, far, meeting).Do(ctx, 1); err != nil { // far dials
			t.Fatal(err)
		}
		got, err := resolve[Worker](t, caller, meeting).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		network.Partition(middle, far)
		end := make(chan error, 1)
		go func() {
			n, err := got.Do(ctx, 1)
			if err == nil && n != -1 {
				err = errors.New("another object answered")
			}
			end <- err
		}()
		synctest.Wait()                                                          // the call is on its way to far
		if _, err := resolve[Worker](t, owner, meeting).Do(ctx, 1); err != nil { // the owner comes
			t.Fatal(err)
		}
		network.Heal(middle, far)
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
}
