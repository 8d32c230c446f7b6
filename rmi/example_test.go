package rmi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/access"
)

// Account is the interface of the examples, and exampleAccount what owners export.
type Account interface {
	Deposit(ctx context.Context, cents int64) (int64, error)
	Withdraw(ctx context.Context, cents int64) (int64, error)
}

type exampleAccount struct{ balance int64 }

func (a *exampleAccount) Deposit(_ context.Context, cents int64) (int64, error) {
	a.balance += cents
	return a.balance, nil
}

// errNoFunds is known by its name on both sides.
var errNoFunds = errors.New("insufficient funds")

// overdrawn is an error with fields.
type overdrawn struct{ By int64 }

func (o *overdrawn) Error() string { return fmt.Sprintf("overdrawn by %d", o.By) }

func init() {
	rmi.RegisterError("example.ErrNoFunds", errNoFunds)
	rmi.RegisterErrorType[*overdrawn]("example.Overdrawn")
}

func (a *exampleAccount) Withdraw(_ context.Context, cents int64) (int64, error) {
	switch {
	case a.balance == 0:
		return 0, fmt.Errorf("the account is empty: %w", errNoFunds)
	case cents > a.balance:
		return 0, &overdrawn{By: cents - a.balance}
	}
	a.balance -= cents
	return a.balance, nil
}

// examplePair is two nodes, which in real life are in two processes, a proxy at the
// client, and how to end it all.
func examplePair() (owner, client *rmi.Node, acct Account, stop func()) {
	owner, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	h, err := rmi.Export[Account](owner, &exampleAccount{}, &rmi.ExportOptions{Threading: rmi.ThreadingSerial})
	if err != nil {
		log.Fatal(err)
	}
	client = rmi.NewNode(nil)
	if acct, err = rmi.Resolve[Account](client, h.Ref(), nil); err != nil {
		log.Fatal(err)
	}
	return owner, client, acct, func() {
		client.Close()
		owner.Close()
	}
}

// A server listens, exports or binds, and runs until it is told to stop. Most programs
// use registry.Bind and registry.Lookup to hand the reference over.
func ExampleListen() {
	node, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	h, err := rmi.Export[Account](node, &exampleAccount{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(node.Endpoint().Host, h.Ref().Interface.Name)
	// Output: 127.0.0.1 rmi_test.Account
}

// A client listens nowhere.
func ExampleNewNode() {
	owner, _, _, stop := examplePair()
	defer stop()
	h, err := rmi.Export[Account](owner, &exampleAccount{}, nil)
	if err != nil {
		log.Fatal(err)
	}

	node := rmi.NewNode(nil)
	defer node.Close()
	acct, err := rmi.Resolve[Account](node, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acct.Deposit(context.Background(), 100))
	// Output: 100 <nil>
}

// A node that other machines reach says how, and gives up a peer sooner than by default.
func ExampleOptions() {
	node := rmi.NewNode(&rmi.Options{
		Advertise:    "bank.example:7000", // what clients dial
		SessionLease: 10 * time.Second,
	})
	defer node.Close()
	_, err := node.Listen(context.Background(), "127.0.0.1:0")
	fmt.Println(node.Endpoint(), err)
	// Output: bank.example:7000 <nil>
}

// A gate says who may call what, before anything of a call is decoded.
func ExampleOptions_authorize() {
	owner := rmi.NewNode(&rmi.Options{Authorize: func(_ context.Context, c access.Call) bool {
		return c.Interface == "rmi_test.Account" && (c.Method == "Deposit" || c.Principal == "spiffe://bank/teller")
	}})
	defer owner.Close()
	if _, err := owner.Listen(context.Background(), "127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	h, err := rmi.Export[Account](owner, &exampleAccount{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	client := rmi.NewNode(nil)
	defer client.Close()
	acct, err := rmi.Resolve[Account](client, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acct.Deposit(context.Background(), 100))
	_, err = acct.Withdraw(context.Background(), 100)
	fmt.Println(rmi.KindOf(err), rmi.OutcomeOf(err))
	// Output:
	// 100 <nil>
	// Denied NotExecuted
}

// The same program runs with TLS where the environment names files, and without elsewhere.
func ExampleTLSFromEnv() {
	config, err := rmi.TLSFromEnv()
	if err != nil {
		log.Fatal(err) // it names the file, or the variable that is missing
	}
	node := rmi.NewNode(&rmi.Options{TLS: config})
	defer node.Close()
	fmt.Println(node.Endpoint().Listens())
	// Output: false
}

// curious is an account that asks who calls it.
type curious struct{ exampleAccount }

func (c *curious) Deposit(ctx context.Context, cents int64) (int64, error) {
	if p, ok := rmi.PeerFrom(ctx); ok { // else the call comes from within the program
		fmt.Println("a deposit of", p.Principal)
	}
	return c.exampleAccount.Deposit(ctx, cents)
}

func ExamplePeerFrom() {
	owner, client, _, stop := examplePair()
	defer stop()
	h, err := rmi.Export[Account](owner, &curious{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	acct, err := rmi.Resolve[Account](client, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acct.Deposit(context.Background(), 100))
	// Output:
	// a deposit of anonymous
	// 100 <nil>
}

func ExampleNode_Listen() {
	node := rmi.NewNode(&rmi.Options{
		Timeout: 5 * time.Second,                                // of calls without a deadline
		Limits:  rmi.Limits{Message: 16 << 20, Handlers: 10000}, // of what peers may send and ask for
	})
	defer node.Close()
	addr, err := node.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(addr.Network())
	_, err = node.Listen(context.Background(), "192.0.2.1:7000") // needs Options.TLS, or Options.Insecure
	fmt.Println(rmi.KindOf(err))
	// Output:
	// tcp
	// Denied
}

// Run serves until its context ends, lets calls finish, and closes the node.
func ExampleNode_Run() {
	node, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) // signal.NotifyContext, in a main function
	cancel()
	fmt.Println(node.Run(ctx))
	// Output: <nil>
}

// Shutdown and Close are the parts of Run.
func ExampleNode_Shutdown() {
	owner, _, acct, stop := examplePair()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := acct.Deposit(ctx, 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(owner.Shutdown(ctx), owner.Close())
	_, err := acct.Deposit(ctx, 1)
	fmt.Println(rmi.OutcomeOf(err))
	// Output:
	// <nil> <nil>
	// NotExecuted
}

func ExampleExport() {
	owner, client, _, stop := examplePair()
	defer stop()
	h, err := rmi.Export[Account](owner, &exampleAccount{}, &rmi.ExportOptions{
		Threading: rmi.ThreadingSerial, // one call at a time: the account needs no lock
		Methods:   map[string]rmi.Semantics{"Deposit": {Timeout: time.Second}},
	})
	if err != nil {
		log.Fatal(err)
	}
	acct, err := rmi.Resolve[Account](client, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acct.Deposit(context.Background(), 100))
	h.Close() // the object is exported no longer, unless somebody holds it
	// Output: 100 <nil>
}

// An object that is revoked is gone for everybody.
func ExampleHandle_Revoke() {
	owner, client, _, stop := examplePair()
	defer stop()
	h, err := rmi.Export[Account](owner, &exampleAccount{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	acct, err := rmi.Resolve[Account](client, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	h.Revoke()
	_, err = acct.Deposit(context.Background(), 100)
	fmt.Println(rmi.KindOf(err))
	// Output: NoSuchObject
}

// A function that is given a proxy only finds the node that it calls through.
func ExampleNodeOf() {
	_, client, acct, stop := examplePair()
	defer stop()
	node, ok := rmi.NodeOf(acct)
	fmt.Println(node == client, ok)
	// Output: true true
}

// Who exports says what becomes of a method's calls when a reply is lost.
func ExampleSemantics() {
	for _, s := range []rmi.Semantics{
		{}, // at most once: the call fails with Unknown
		{Idempotent: true, Timeout: 5 * time.Second}, // at least once: it is made again
		{OneWay: true}, // maybe: it is over when it was sent
	} {
		fmt.Printf("%q\n", s)
	}
	// Output:
	// ""
	// "idempotent, timeout 5s"
	// "oneway"
}

// A reference as text can be stored, sent, and made a proxy of again.
func ExampleResolve() {
	_, client, acct, stop := examplePair()
	defer stop()
	ref, _ := rmi.RefOf(acct)
	text, err := ref.MarshalText()
	if err != nil {
		log.Fatal(err)
	}

	ref, err = refs.Parse(string(text))
	if err != nil {
		log.Fatal(err)
	}
	again, err := rmi.Resolve[Account](client, ref, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(again == acct) // one object, one proxy
	// Output: true
}

// The proxy asks where to go when its object is gone. registry.LookupOptions.Failover does so by a
// name.
func ExampleResolveWith() {
	owner, client, _, stop := examplePair()
	defer stop()
	first, err := rmi.Export[Account](owner, &exampleAccount{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	second, err := rmi.Export[Account](owner, &exampleAccount{balance: 1000}, nil)
	if err != nil {
		log.Fatal(err)
	}
	acct, err := rmi.ResolveWith[Account](client, first.Ref(), nil, func(context.Context, refs.Ref, error) (refs.Ref, error) {
		return second.Ref(), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	first.Close()
	fmt.Println(acct.Deposit(context.Background(), 1))
	// Output: 1001 <nil>
}

func ExampleAs() {
	_, _, acct, stop := examplePair()
	defer stop()
	type Depositor interface {
		Deposit(ctx context.Context, cents int64) (int64, error)
	}
	var smaller Depositor = acct // as of any value
	back, err := rmi.As[Account](context.Background(), smaller)
	fmt.Println(back == acct, err)
	// Output: true <nil>
}

// A proxy prints as what it is, and is no data: its reference is.
func ExampleRefOf() {
	_, _, acct, stop := examplePair()
	defer stop()
	_, err := json.Marshal(acct)
	fmt.Println(err != nil)
	ref, ok := rmi.RefOf(acct)
	fmt.Println(ref.Interface.Name, ok)
	_, ok = rmi.RefOf(&exampleAccount{})
	fmt.Println(ok)
	// Output:
	// true
	// rmi_test.Account true
	// false
}

// A struct of funcs needs no interface, and works on every platform.
func ExampleProxy() {
	_, client, acct, stop := examplePair()
	defer stop()
	ref, _ := rmi.RefOf(acct)

	type accountFuncs struct {
		rmi.Proxy // may be left out
		Deposit   func(ctx context.Context, cents int64) (int64, error)
	}
	funcs, err := rmi.Resolve[accountFuncs](client, ref, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(funcs.Deposit(context.Background(), 100))
	same, _ := rmi.RefOf(funcs)
	fmt.Println(same == ref)
	// Output:
	// 100 <nil>
	// true
}

func ExampleGone() {
	owner, _, acct, stop := examplePair()
	defer stop()
	gone, err := rmi.Gone(acct)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := acct.Deposit(context.Background(), 1); err != nil {
		log.Fatal(err)
	}
	owner.Close() // or its process dies
	<-gone
	fmt.Println("the account's owner is gone")
	// Output: the account's owner is gone
}

// Both sides register a sentinel under the same name; see the init function here.
func ExampleRegisterError() {
	_, _, acct, stop := examplePair()
	defer stop()
	_, err := acct.Withdraw(context.Background(), 100)
	fmt.Println(errors.Is(err, errNoFunds))
	fmt.Println(err)
	// Output:
	// true
	// rmi: call rmi_test.Account.Withdraw: the account is empty: insufficient funds
}

func ExampleRegisterErrorType() {
	ctx := context.Background()
	_, _, acct, stop := examplePair()
	defer stop()
	if _, err := acct.Deposit(ctx, 100); err != nil {
		log.Fatal(err)
	}
	_, err := acct.Withdraw(ctx, 130)
	if o, ok := errors.AsType[*overdrawn](err); ok {
		fmt.Println(o.By)
	}
	// Output: 30
}

type circle struct{ Radius float64 }

func init() { rmi.RegisterType[circle]("example.Circle") }

// An any carries basic types, and those that both sides registered.
func ExampleRegisterType() {
	owner, client, _, stop := examplePair()
	defer stop()
	grow := func(_ context.Context, shape any) (any, error) {
		c, ok := shape.(circle)
		if !ok {
			return nil, fmt.Errorf("a %T is no circle", shape)
		}
		return circle{2 * c.Radius}, nil
	}
	h, err := rmi.Export[func(context.Context, any) (any, error)](owner, grow, nil)
	if err != nil {
		log.Fatal(err)
	}
	remote, err := rmi.Resolve[func(context.Context, any) (any, error)](client, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(remote(context.Background(), circle{1.5}))
	// Output: {3} <nil>
}

// Every failed call says what went wrong, and whether it may have run.
func ExampleKindOf() {
	_, client, acct, stop := examplePair()
	defer stop()
	client.Close()
	_, err := acct.Deposit(context.Background(), 100)
	fmt.Println(rmi.KindOf(err), rmi.OutcomeOf(err), errors.Is(err, rmi.KindClosed))
	// Output: Closed NotExecuted true
}

func ExampleOutcomeOf() {
	_, _, acct, stop := examplePair()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := acct.Deposit(ctx, 100)
	switch rmi.OutcomeOf(err) {
	case rmi.OutcomeNotExecuted:
		fmt.Println("safe to try again")
	case rmi.OutcomeExecuted:
		fmt.Println("it ran")
	case rmi.OutcomeUnknown:
		fmt.Println("it may have run")
	}
	// Output: safe to try again
}

func ExampleError() {
	_, _, acct, stop := examplePair()
	defer stop()
	_, err := acct.Withdraw(context.Background(), 1)
	if e, ok := errors.AsType[*rmi.Error](err); ok {
		fmt.Println(e.Op, e.Interface, e.Method, e.Kind, e.Outcome)
		fmt.Println(e.Err)
	}
	// Output:
	// call rmi_test.Account Withdraw Application Executed
	// the account is empty: insufficient funds
}

// Tools call by name, without the Go interface.
func ExampleNode_Invoke() {
	_, client, acct, stop := examplePair()
	defer stop()
	ref, _ := rmi.RefOf(acct)
	fmt.Println(client.Invoke(context.Background(), ref, "Deposit", 100))
	// Output: [100] <nil>
}

func ExampleDescribe() {
	d, err := rmi.Describe[Account]()
	if err != nil {
		log.Fatal(err)
	}
	for _, m := range d.Methods {
		fmt.Println(m.Name, len(m.Params), len(m.Results))
	}
	// Output:
	// Deposit 1 1
	// Withdraw 1 1
}

// The owner is asked what an object's interface is.
func ExampleNode_Describe() {
	_, client, acct, stop := examplePair()
	defer stop()
	ref, _ := rmi.RefOf(acct)
	theirs, err := client.Describe(context.Background(), ref)
	if err != nil {
		log.Fatal(err)
	}
	mine, err := rmi.Describe[Account]()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(theirs.Accepts(mine))
	// Output: <nil>
}

// A proxy's object is held until the proxy is collected, or released by hand.
func ExampleRelease() {
	_, _, acct, stop := examplePair()
	defer stop()
	fmt.Println(rmi.Release(acct), rmi.KindOf(rmi.Release(&exampleAccount{})))
	// Output: <nil> Invalid
}

// An inventory lists what a node exports and holds, and for whom.
func ExampleNode_Inventory() {
	owner, client, acct, stop := examplePair()
	defer stop()
	if _, err := acct.Deposit(context.Background(), 1); err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(owner.Inventory().Exports), len(client.Inventory().Held))
	// Output: 1 1
}

// Well-known objects are found by their address alone, as a registry is.
// A client reaches an object of a well-known number by its address alone.
func ExampleExportOptions() {
	node := rmi.NewNode(nil)
	defer node.Close()
	if _, err := rmi.Export[Account](node, &exampleAccount{}, &rmi.ExportOptions{Number: 100}); err != nil {
		log.Fatal(err)
	}
	if _, err := node.Listen(context.Background(), "127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}

	client := rmi.NewNode(nil)
	defer client.Close()
	acct, err := rmi.Resolve[Account](client, refs.WellKnown(node.Endpoint(), 100), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acct.Deposit(context.Background(), 100))
	// Output: 100 <nil>
}

// session tells when nobody holds it any more.
type session struct {
	exampleAccount
	over chan struct{}
}

func (s *session) Unreferenced() { close(s.over) }

func ExampleUnreferencer() {
	owner, client, _, stop := examplePair()
	defer stop()
	s := &session{over: make(chan struct{})}
	open := func(context.Context) (Account, error) { return s, nil }
	h, err := rmi.Export[func(context.Context) (Account, error)](owner, open, nil)
	if err != nil {
		log.Fatal(err)
	}

	remote, err := rmi.Resolve[func(context.Context) (Account, error)](client, h.Ref(), nil)
	if err != nil {
		log.Fatal(err)
	}
	acct, err := remote(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	rmi.Release(acct) // or it is collected, or the client's process ends
	<-s.over
	fmt.Println("nobody holds the session")
	// Output: nobody holds the session
}
