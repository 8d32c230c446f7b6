package registry_test

import (
	"context"
	"fmt"
	"log"

	"gormi/registry"
	"gormi/rmi"
)

// A registry inside of a process that listens anyway.
func ExampleServe() {
	node, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	reg, err := registry.Serve(context.Background(), node, nil)
	if err != nil {
		log.Fatal(err)
	}
	// Other processes use the same URL.
	if _, err := registry.Bind[Account](context.Background(), node, reg.URL("bank/alice"), &account{}, nil); err != nil {
		log.Fatal(err)
	}
	fmt.Println(reg.Len())
	// Output: 1
}

func ExampleBind() {
	ctx := context.Background()
	url, stop := startRegistry() // in real life, the daemon rmiregistry
	defer stop()

	node, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close() // unbinds
	b, err := registry.Bind[Account](ctx, node, url+"/bank/alice", &account{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for info, err := range registry.List(ctx, node, url) {
		fmt.Println(info.Name, info.Interface, err)
	}
	if err := b.Close(); err != nil { // earlier than the node, if wanted
		log.Fatal(err)
	}
	fmt.Println(b.Err() != nil)
	// Output:
	// bank/alice registry_test.Account <nil>
	// true
}

func ExampleLookup() {
	ctx := context.Background()
	url, stop := startRegistry()
	defer stop()
	server, err := rmi.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if _, err := registry.Bind[Account](ctx, server, url+"/bank/alice", &account{}, nil); err != nil {
		log.Fatal(err)
	}

	node := rmi.NewNode(nil) // a client: it listens nowhere
	defer node.Close()
	acct, err := registry.Lookup[Account](ctx, node, url+"/bank/alice", nil)
	if err != nil {
		log.Fatal(err)
	}
	balance, err := acct.Deposit(ctx, 100)
	fmt.Println(balance, err)

	_, err = registry.Lookup[Account](ctx, node, url+"/bank/bob", nil)
	fmt.Println(rmi.KindOf(err))
	// Output:
	// 100 <nil>
	// NotBound
}

// A server is replaced by another, and the client goes on.
func ExampleLookup_failover() {
	ctx := context.Background()
	url, stop := startRegistry()
	defer stop()
	serve := func() *rmi.Node {
		node, err := rmi.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		if _, err := registry.Bind[Account](ctx, node, url+"/bank/alice", &account{}, nil); err != nil {
			log.Fatal(err)
		}
		return node
	}
	first := serve()

	node := rmi.NewNode(nil)
	defer node.Close()
	acct, err := registry.Lookup[Account](ctx, node, url+"/bank/alice", &registry.LookupOptions{Failover: true})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(acct.Deposit(ctx, 100))

	first.Close()
	second := serve()
	defer second.Close()
	fmt.Println(acct.Deposit(ctx, 1)) // with an account of its own
	// Output:
	// 100 <nil>
	// 1 <nil>
}

// startRegistry stands for the daemon; url is what RMI_REGISTRY would say.
func startRegistry() (url string, stop func()) {
	node, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	reg, err := registry.Serve(context.Background(), node, nil)
	if err != nil {
		log.Fatal(err)
	}
	return reg.URL(""), func() { node.Close() }
}
