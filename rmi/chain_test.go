package rmi_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// pingPong returns a function for each of two nodes that calls the other's,
// n-1 more times: A calls B, which calls A back, and so on.
func pingPong(t *testing.T, a, b *rmi.Node) (Func, func()) {
	var onA, onB Func
	start := func(peer *Func) Func {
		return func(ctx context.Context, n int64) (int64, error) {
			if n == 0 {
				return 0, nil
			}
			m, err := (*peer)(ctx, n-1)
			return m + 1, err
		}
	}
	var atA, atB Func // A's proxy of B's function, and the other way round
	onA, onB = start(&atA), start(&atB)
	refA, refB := export(t, a, onA, nil), export(t, b, onB, nil)
	atA = resolve[Func](t, a, refB)
	return atA, func() { atB = resolve[Func](t, b, refA) }
}

func TestAThousandChainsOfCallsEightDeep(t *testing.T) {
	network := rmitest.New(t)
	server, client := network.Node(), network.Client()
	call, connect := pingPong(t, client, server)
	connect()
	if _, err := call(within(t), 0); err != nil { // the server can only call back who is connected
		t.Fatal(err)
	}
	ctx := within(t)
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if n, err := call(ctx, 8); n != 8 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	wg.Wait()
}

// With room for one call from outside, and chains that need many at once, only
// nested calls that never queue let the chains through.
func TestNestedCallsDoNotQueue(t *testing.T) {
	network := rmitest.New(t)
	small := rmi.Limits{Handlers: 1, HandlersTotal: 1}
	server, client := network.NodeWith(&rmi.Options{Limits: small}), network.ClientWith(&rmi.Options{Limits: small})
	call, connect := pingPong(t, client, server)
	connect()
	if _, err := call(within(t), 0); err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if n, err := call(ctx, 16); n != 16 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	wg.Wait()
}

func TestAChainMayBe32Deep(t *testing.T) { overCarriers(t, aChainMayBe32Deep) }

func aChainMayBe32Deep(t *testing.T, network carrier) {
	server, client := network.Node(), network.Client()
	call, connect := pingPong(t, client, server)
	connect()
	ctx := within(t)
	if n, err := call(ctx, 32); n != 32 || err != nil { // the call itself and 32 nested ones
		t.Errorf("depth 32: %d, %v", n, err)
	}
	_, err := call(ctx, 33)
	expect{rmi.KindApplication, rmi.OutcomeExecuted, rmi.KindOverloaded}.check(t, err)
	_, err = call(ctx, 1000)
	if !errors.Is(err, rmi.KindOverloaded) {
		t.Errorf("depth 1000: %v", err)
	}
	if n, err := call(ctx, 8); n != 8 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestCallbacksOfManyClientsToManyClients(t *testing.T) {
	network := rmitest.New(t)
	server := network.Node()
	r := export[Worker](t, server, &worker{}, nil)
	ctx := within(t)
	var wg sync.WaitGroup
	for range 20 {
		w := resolve[Worker](t, network.Client(), r)
		for range 10 {
			wg.Go(func() {
				n, err := w.Apply(ctx, func(ctx context.Context, n int64) (int64, error) {
					return w.Apply(ctx, func(_ context.Context, n int64) (int64, error) { return n + 1, nil }, n)
				}, 1)
				if n != 2 || err != nil {
					t.Errorf("got %d, %v", n, err)
				}
			})
		}
	}
	wg.Wait()
}
